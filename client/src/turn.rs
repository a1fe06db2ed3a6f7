//! Lets a task go to the end of the line, so that it finds more to do when its turn comes.
//!
//! A task that is woken runs next, before others that are ready. Who collects what many others make (the
//! driver here, from its callers; a node's sessions and connections) would be woken for each piece: one frame,
//! one packet.

use std::future::poll_fn;
use std::task::Poll;

/// Completes once every task that was ready before has had its turn: for a task that collects what others
/// make, such as the requests of many callers, and would else be woken for each piece. Costs a trip through
/// the run queue.
pub async fn end_of_line() {
    let mut is_called = false;
    poll_fn(|context| {
        if std::mem::replace(&mut is_called, true) {
            return Poll::Ready(());
        }
        // A task that wakes itself while it runs goes to the back.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
