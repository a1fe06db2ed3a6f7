//! What a node keeps the audit trail with, beside what commits record by themselves: refusals, counted and recorded, and
//! the rule by which old records go. The node starts it; the chains are `selvedge_cluster::audit`.
//!
//! What is recorded, each in the commit of the change unless it is said otherwise:
//!
//! ```text
//! policy.set, policy.reset                        the patch before and after
//! schedule.create|update|pause|resume|delete      what runs when, never its input
//! operation.cancel|pause|resume|retry|signal      by somebody else than who submitted it
//! session.close, session.close-all                one before it takes effect; those of a principal
//! role.set|remove                                 the rules before and after
//! api-key.create|revoke|remove                    never the key
//! user.create|change|set-password|remove          never the password
//! user.login, refused; login.end                  of users that there are
//! signing-key.create|remove                       by the cluster itself
//! limit.set|delete                                the rate before and after
//! subject.export|erase|rewrap                     of whom, never what is known of them
//! subject.consent.grant|withdraw                  to what
//! cluster.drain|undrain|remove                    in the chain of the cluster
//! backup.create|restore                           in the chain of the cluster, after their end
//! audit.trim                                      how many records went, and up to which
//! RESOURCE.ACTION, session.open, both refused     one a minute for each principal, permission and code, with a count
//! ```
//!
//! Not recorded is what clients do to their own: commands of actors, submissions, triggers; and commands that are
//! refused for another reason than who asks.

mod keeper;
mod refusals;

pub use keeper::{Keeper, KeeperConfig};
pub use refusals::{Refusal, Refusals, What};
