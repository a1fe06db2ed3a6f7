//! Sessions: the client's relation to the node, above any one connection.
//!
//! A connection (of the edge or of the bridge) opens one through [`Sessions`] with the Hello it got,
//! and holds it by a [`SessionHandle`]; what comes back arrives at its end of a [`link`]. Each session is
//! an actor under the `sessions` supervisor, so that a crash ends one session, whose client resumes it.
//! Nothing here knows QUIC or WebSocket.

mod actor;
mod alarm;
mod elsewhere;
mod handle;
mod inbox;
mod item;
mod limited;
mod link;
mod message;
mod registry;
mod room;
mod service;
mod supervisor;
mod upload;
mod words;
mod work;

pub use elsewhere::{Addresses, OtherNodes, no_other_nodes};
pub use handle::{BatchPermit, Batches, PayloadCommand, SessionHandle, SessionReporter};
pub(crate) use item::{Told, ended, event, told};
pub use link::{
    Attached, End, LinkReceiver, LinkSender, Opening, Outgoing, Ready, Transport, link,
};
pub use registry::{SessionFilter, SessionInfo};
pub use room::{NodeRoom, Room, Taken};
pub use service::{Inside, SessionConfig, Sessions, StartError};
pub(crate) use upload::{PayloadRoom, Source, Upload, broken, refusal};
pub(crate) use words::{last_words, malformed, moved, ordinal, unsendable};
