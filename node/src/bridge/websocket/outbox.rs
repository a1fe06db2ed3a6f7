//! The bytes on their way from a connection's actor to its socket: the body of the response that upgraded it.
//!
//! The server takes from it while the socket takes from the server, so what stays in it says that the client does not
//! read. Both ends are on one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::time::timeout;

/// The actor's end.
#[derive(Debug)]
pub(super) struct Outbox(Rc<Shared>);

/// The server's end. Dropped with the connection.
#[derive(Debug)]
pub(super) struct Body(Rc<Shared>);

/// Why there will be no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The connection has gone.
    Gone,
    /// Nothing was taken for too long.
    Stalled,
}

#[derive(Debug, Default)]
struct Shared {
    queue: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
    is_ended: Cell<bool>,
    is_gone: Cell<bool>,
    /// The server waits for bytes.
    server: RefCell<Option<Waker>>,
    /// The actor waits for room.
    actor: RefCell<Option<Waker>>,
}

/// What makes it full. With what one message of the actor's adds it stays below the 256 KiB that are kept for a
/// client.
const FULL_BYTES: usize = 64 * 1024;

/// What the server takes at a time: so little that a slow client is told from one that takes nothing.
const PIECE_BYTES: usize = 16 * 1024;

/// Both ends.
pub(super) fn outbox() -> (Outbox, Body) {
    let shared = Rc::new(Shared::default());
    (Outbox(Rc::clone(&shared)), Body(shared))
}

impl Outbox {
    pub(super) fn push(&self, mut bytes: Bytes) {
        self.0.bytes.set(self.0.bytes.get() + bytes.len());
        while !bytes.is_empty() {
            let piece = bytes.split_to(PIECE_BYTES.min(bytes.len()));
            self.0.queue.borrow_mut().push_back(piece);
        }
        wake(&self.0.server);
    }

    /// Nothing follows: the connection closes when all is written.
    pub(super) fn end(&self) {
        self.0.is_ended.set(true);
        wake(&self.0.server);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.bytes.get() >= FULL_BYTES
    }

    /// Waits until it is not full, but no longer than `stall` for the next piece to be taken.
    pub(super) fn room(&self, stall: Duration) -> impl Future<Output = Result<(), NoRoom>> + use<> {
        let shared = Rc::clone(&self.0);
        async move {
            while shared.bytes.get() >= FULL_BYTES {
                let taken = timeout(stall, shared.taken()).await;
                taken.map_err(|_| NoRoom::Stalled)??;
            }
            Ok(())
        }
    }
}

impl Shared {
    /// Waits until something is taken.
    fn taken(&self) -> impl Future<Output = Result<(), NoRoom>> {
        let before = self.bytes.get();
        poll_fn(move |cx| {
            if self.is_gone.get() {
                return Poll::Ready(Err(NoRoom::Gone));
            }
            if self.bytes.get() != before {
                return Poll::Ready(Ok(()));
            }
            self.actor.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}

impl Stream for Body {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let shared = &self.0;
        if let Some(bytes) = shared.queue.borrow_mut().pop_front() {
            shared.bytes.set(shared.bytes.get() - bytes.len());
            wake(&shared.actor);
            return Poll::Ready(Some(Ok(bytes)));
        }
        if shared.is_ended.get() {
            return Poll::Ready(None);
        }
        shared.server.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.is_gone.set(true);
        wake(&self.0.actor);
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    const STALL: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_piece_now_and_then_is_waited_for() {
        let (outbox, mut body) = outbox();
        outbox.push(Bytes::from(vec![0; 2 * FULL_BYTES]));
        assert!(outbox.is_full());
        let slow = async {
            let mut taken = 0;
            while taken <= FULL_BYTES {
                tokio::time::sleep(STALL - Duration::from_secs(1)).await;
                taken += body.next().await.unwrap().unwrap().len();
            }
        };
        let (room, ()) = tokio::join!(outbox.room(STALL), slow);
        assert_eq!(room, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_and_who_is_gone_is_told() {
        let (outbox, body) = outbox();
        outbox.push(Bytes::from(vec![0; FULL_BYTES]));
        assert_eq!(outbox.room(STALL).await, Err(NoRoom::Stalled));
        drop(body);
        assert_eq!(outbox.room(STALL).await, Err(NoRoom::Gone));
    }

    #[tokio::test]
    async fn what_was_pushed_comes_whole_before_the_end() {
        let (outbox, body) = outbox();
        let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        outbox.push(Bytes::from(bytes.clone()));
        drop(outbox);
        let pieces: Vec<Bytes> = body.map(Result::unwrap).collect().await;
        assert_eq!(pieces.concat(), bytes);
    }
}
