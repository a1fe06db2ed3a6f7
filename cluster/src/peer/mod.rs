//! Connections between nodes: QUIC with certificates of the cluster's authority on both ends.
//!
//! A node that serves others has a [`Listener`]; if it needs them as well, the listener's [`Links`] have one
//! connection to each, which either of the two has dialled and both open streams on. A node that needs another one
//! and serves nobody, as the client of a storage node does, has a [`Dialer`] and a [`Link`] of its own.
//! What a stream is for is said by its first bytes ([`selvedge_protocol::peer`]); what follows is its
//! service's affair. Nothing here knows of stores or actors.

mod agreement;
mod credentials;
mod dialer;
mod hold;
mod identity;
mod link;
mod links;
mod listener;
mod pair;
mod reset;
mod served;
mod silence;
mod stream;
mod tls;
mod transport;

pub use credentials::Credentials;
pub use dialer::{ConnectError, Dialer, Target};
pub use identity::{Identity, IdentityError, PeerFiles, node_domain};
pub use link::{Link, LinkState};
pub use links::Links;
pub use listener::{Inbound, ListenError, Listener, ListenerConfig, Stopping};
/// An open connection to another node.
pub use quinn::Connection;
pub use reset::ResetKey;
pub use stream::{PeerReader, PeerStream, PeerWriter, StreamError};
