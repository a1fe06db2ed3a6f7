//! Rate limits: of each connection and principal at one node, and of principals and tenants over the whole cluster.
//!
//! Sessions and requests get an [`Allowance`] and take a token for each thing that they do; the edge counts bytes and
//! frames against it. What holds over the cluster is set by administrators and stored; its tokens have one owner, an actor,
//! which nodes tell what they let through. `lease` has the bound that follows, and why. Nothing here waits on the way of a
//! request, and nothing here knows of the wire.

mod account;
mod allowance;
mod bucket;
mod kind;
mod lease;
mod local;
mod meter;
mod name;
mod rate;
mod rows;
mod rules;
mod service;
mod tend;
mod ticks;
mod top;

pub use allowance::{Allowance, Standing};
pub(crate) use kind::LimitKind;
pub use local::{LocalLimits, LocalRates};
pub use name::{Level, LimitId, LimitName, Scope, WrongName};
pub use rate::{Rate, WrongRate};
pub use rows::{Limit, SetError};
pub(crate) use rules::Rules;
pub(crate) use service::LimitsParts;
pub use service::{Bearer, Limits};
pub use top::Refused;
