//! Personal data: what is stored about a person lies under a key of that person's own, so that it is gone wherever it
//! is, backups included, when the key is.
//!
//! ```text
//! wrapping keys   outside of the store: a file, the environment, a service       wrap
//! subject keys    one a subject and tenant, in the store, wrapped                seal
//! rows            state, sessions, outcomes, events, timers, messages, payloads of actors that name a subject
//! ```
//!
//! A kind says which subject an actor is about; the commit of the actor [seals](envelope) its rows, and the
//! [store that unseals](Unsealing) gives them back to whoever reads. A row whose key was erased is not there. Keys of
//! actors, ids, labels and times stay in the clear: they are what rows are found by, and no place for names.
//!
//! [`SubjectKeys`] has the keys; [`erase`] destroys one and [`sweep`] clears what lay under it. Nothing here decides
//! who may do what.

mod cache;
mod consent;
mod envelope;
mod erase;
mod keys;
mod list;
mod record;
mod rewrap;
mod subjects;
mod unsealing;
mod wrapping;

pub use consent::{Consent, ConsentChange, consents, set_consent};
pub use erase::{Erased, Erasure, Swept, destroy, erase, note, sweep};
pub use keys::{DataKey, SubjectKeys};
pub use list::{KeyState, SubjectShown, actors_of, subjects};
pub use rewrap::{Rewrapped, rewrap};
pub use subjects::{Subjects, Trail};
pub use unsealing::Unsealing;
pub use wrapping::{KeyWrapper, SecretKey, WrapError, Wrapped, WrappingKeys, WrongKeys};

pub(crate) use envelope::{escaped, is_sealed_family};
pub(crate) use keys::Present;
pub(crate) use list::actor_row;
pub(crate) use record::SubjectActor;

use selvedge_protocol::{SubjectId, Tenant};

/// A person, and the tenant whose data it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopedSubject {
    pub tenant: Tenant,
    pub subject: SubjectId,
}
