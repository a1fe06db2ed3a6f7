//! What nodes say to each other: the services of a peer connection, and how a stream says which it is for.
//!
//! ```text
//!  0       1
//! +-------+-------+-------------------+
//! |service|version| frames ...        |   the first bytes of every bidirectional stream
//! +-------+-------+-------------------+
//! ```
//!
//! Both ends are nodes of one cluster, known to each other by certificates of its authority. A stream for
//! a service or version that the other end does not serve is reset with [`close::UNSERVED`].
//!
//! Two nodes that serve each other share one connection, which either may dial and both open streams on. Its first
//! stream begins with [`LINK`] and keeps it.
//!
//! ```text
//! dialled  -- LINK --> "shall we use this one?"
//!         <-- byte --  a promise; or the connection is closed with CROSSED: the other end has dialled as well
//!          -- byte --> taken: now both use it, in place of any other
//! ```
//!
//! The bytes may have any value. Who ends its direction of this stream stops: it serves what was asked, and the other
//! end asks nothing more and closes the connection when it has all answers. Datagrams of one byte are beats: the end
//! that has dialled counts them and says one some time after the last was answered, and again until it is; the other
//! end answers each with the same byte. So each that is new shows that the one before was heard.

pub mod actors;
pub mod processing;
pub mod store;

/// ALPN protocol id of the peer port.
pub const ALPN: &[u8] = b"selvedge-peer/1";

/// What a stream between nodes is for. Ordinals are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Transactions on the other node's store, see [`store`].
    Store,
    /// Commands, queries and subscriptions to actors that the other node owns, see [`actors`].
    Actors,
    /// Attempts of operations that the other node executes, and what goes with them, see [`processing`].
    Processing,
}

/// The first bytes of a stream.
pub type Preface = [u8; 2];

/// What the stream begins with that keeps a connection. No service has its ordinal.
pub const LINK: Preface = [0, 1];

/// Why a preface is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefaceError {
    /// No service has this ordinal.
    #[error("no service has ordinal {0}")]
    Service(u8),
    /// The service does not speak this version.
    #[error("version {version} of {service:?} is not spoken here, only {spoken}", spoken = service.version())]
    Version { service: Service, version: u8 },
}

impl Service {
    const fn ordinal(self) -> u8 {
        match self {
            Self::Store => 1,
            Self::Actors => 2,
            Self::Processing => 3,
        }
    }

    /// The version that this build speaks.
    const fn version(self) -> u8 {
        match self {
            Self::Store | Self::Actors | Self::Processing => 1,
        }
    }

    /// What a stream for this service begins with.
    pub const fn preface(self) -> Preface {
        [self.ordinal(), self.version()]
    }

    /// The service that a stream is for.
    pub fn of([ordinal, version]: Preface) -> Result<Self, PrefaceError> {
        let service = match ordinal {
            1 => Self::Store,
            2 => Self::Actors,
            3 => Self::Processing,
            other => return Err(PrefaceError::Service(other)),
        };
        if version != service.version() {
            return Err(PrefaceError::Version { service, version });
        }
        Ok(service)
    }
}

/// Application codes with which nodes close connections and reset streams.
pub mod close {
    /// All is said.
    pub const DONE: u32 = 0;
    /// The node stops.
    pub const STOPPING: u32 = 1;
    /// The stream is for a service or version that this node does not serve.
    pub const UNSERVED: u32 = 2;
    /// The bytes of the stream are not what its service expects.
    pub const MALFORMED: u32 = 3;
    /// A bound was reached, or time is over.
    pub const BUSY: u32 = 4;
    /// The other end's connection is used instead of this one, which nothing was asked on yet.
    pub const CROSSED: u32 = 5;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_names_its_service_and_version() {
        assert_eq!(Service::Store.preface(), [1, 1]);
        assert_eq!(Service::of([1, 1]), Ok(Service::Store));
        assert_eq!(Service::of([9, 1]), Err(PrefaceError::Service(9)));
        assert_eq!(Service::of(LINK), Err(PrefaceError::Service(0)));
        let newer = Service::of([1, 2]).unwrap_err();
        assert!(newer.to_string().contains("version 2 of Store"), "{newer}");
    }
}
