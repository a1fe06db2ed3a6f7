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

use bytes::Bytes;
use futures::Stream;

/// The actor's end.
#[derive(Debug)]
pub(super) struct Outbox(Rc<Shared>);

/// The server's end. Dropped with the connection.
#[derive(Debug)]
pub(super) struct Body(Rc<Shared>);

/// The connection has gone.
#[derive(Debug)]
pub(super) struct Gone;

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

/// Both ends.
pub(super) fn outbox() -> (Outbox, Body) {
    let shared = Rc::new(Shared::default());
    (Outbox(Rc::clone(&shared)), Body(shared))
}

impl Outbox {
    pub(super) fn push(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.0.bytes.set(self.0.bytes.get() + bytes.len());
        self.0.queue.borrow_mut().push_back(bytes);
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

    /// Waits until it is not full.
    pub(super) fn room(&self) -> impl Future<Output = Result<(), Gone>> + use<> {
        let shared = Rc::clone(&self.0);
        poll_fn(move |cx| {
            if shared.is_gone.get() {
                return Poll::Ready(Err(Gone));
            }
            if shared.bytes.get() < FULL_BYTES {
                return Poll::Ready(Ok(()));
            }
            shared.actor.replace(Some(cx.waker().clone()));
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
