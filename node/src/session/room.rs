//! Room for large answers and snapshots: bytes that were made for one client and that it has not taken.
//!
//! Sessions and subscriptions take it before they hand such bytes on, or refuse; it never waits, since
//! the bytes are in memory already.

use std::sync::Arc;

use selvedge_protocol::limits::SESSION_ANSWER_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room of a node, of which connections take their shares.
#[derive(Debug, Clone)]
pub struct NodeRoom(Arc<Semaphore>);

/// The room of one connection.
#[derive(Debug, Clone)]
pub struct Room {
    connection: Arc<Semaphore>,
    node: Arc<Semaphore>,
}

/// Room that is taken. Dropped once the client has the bytes.
#[derive(Debug)]
pub struct Taken {
    _connection: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

impl NodeRoom {
    /// Room for so many bytes in all.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes_max / UNIT_BYTES)))
    }

    /// The room of a new connection.
    pub fn connection(&self) -> Room {
        Room {
            connection: Arc::new(Semaphore::new(SESSION_ANSWER_BYTES_MAX / UNIT_BYTES)),
            node: Arc::clone(&self.0),
        }
    }
}

impl Room {
    /// Takes room at once, or refuses in a way that may be retried.
    pub fn take(&self, bytes: usize) -> Result<Taken, Failure> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let take = |room: &Arc<Semaphore>| Arc::clone(room).try_acquire_many_owned(units).ok();
        let (Some(connection), Some(node)) = (take(&self.connection), take(&self.node)) else {
            return Err(Failure::new(
                ErrorCode::Overloaded,
                "too many bytes of large answers wait for their clients; read those first, then ask again",
            ));
        };
        Ok(Taken {
            _connection: connection,
            _node: node,
        })
    }
}

/// Semaphores count less than bytes.
const UNIT_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_its_own_bound_and_all_share_one() {
        let node = NodeRoom::new(SESSION_ANSWER_BYTES_MAX + UNIT_BYTES);
        let (first, second) = (node.connection(), node.connection());
        let all = first.take(SESSION_ANSWER_BYTES_MAX).unwrap();
        assert_eq!(first.take(1).unwrap_err().code, ErrorCode::Overloaded);
        let rest = second.take(UNIT_BYTES).unwrap();
        assert_eq!(second.take(1).unwrap_err().code, ErrorCode::Overloaded);
        drop(all);
        assert!(second.take(SESSION_ANSWER_BYTES_MAX - UNIT_BYTES).is_ok());
        drop(rest);
        assert!(first.take(SESSION_ANSWER_BYTES_MAX).is_ok());
    }
}
