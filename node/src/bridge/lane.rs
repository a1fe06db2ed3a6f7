//! Answers on their way from the main runtime to a thread of the bridge. However many come while the thread is busy wake it
//! once: to wake another runtime is a call of the system each time. The [inside](super::Inside) hands answers over here.

use std::cell::OnceCell;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_cluster::actor::{AnswerSink, ReplyTo};
use selvedge_protocol::frame::Outcome;
use tokio::sync::{Notify, oneshot};

/// Those of one thread.
#[derive(Debug, Default)]
struct Lane {
    /// Each with who waits for it. Bounded by the requests that the thread has under way.
    arrived: Mutex<Vec<(oneshot::Sender<Outcome>, Outcome)>>,
    /// Something has arrived where nothing was.
    news: Notify,
}

thread_local! {
    static LANE: OnceCell<Arc<Lane>> = const { OnceCell::new() };
}

/// Begins to hand over answers on this thread, a thread of the server.
pub(super) fn begin() {
    LANE.with(|lane| {
        lane.get_or_init(|| {
            let lane = Arc::new(Lane::default());
            actix_web::rt::spawn(Arc::clone(&lane).run());
            lane
        });
    });
}

/// An answer that is awaited. On a thread of no server it comes by itself.
pub(super) fn reply() -> (ReplyTo, oneshot::Receiver<Outcome>) {
    let (sender, receiver) = oneshot::channel();
    let sink = Once {
        sender: Mutex::new(Some(sender)),
        lane: LANE.with(|lane| lane.get().cloned()),
    };
    (ReplyTo::new(Arc::new(sink), 0), receiver)
}

impl Lane {
    async fn run(self: Arc<Self>) {
        let mut taken = Vec::new();
        loop {
            self.news.notified().await;
            std::mem::swap(&mut taken, &mut *self.arrived.lock());
            for (sender, outcome) in taken.drain(..) {
                // Who asked may have gone.
                let _ = sender.send(outcome);
            }
        }
    }
}

struct Once {
    sender: Mutex<Option<oneshot::Sender<Outcome>>>,
    lane: Option<Arc<Lane>>,
}

impl AnswerSink for Once {
    fn answer(&self, _token: u64, outcome: Outcome) {
        let Some(sender) = self.sender.lock().take() else {
            return;
        };
        let Some(lane) = &self.lane else {
            let _ = sender.send(outcome);
            return;
        };
        let is_first = {
            let mut arrived = lane.arrived.lock();
            arrived.push((sender, outcome));
            arrived.len() == 1
        };
        if is_first {
            lane.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use actix_web::rt::System;
    use bytes::Bytes;
    use selvedge_protocol::frame::Success;

    use super::*;

    fn success(seq: u64) -> Outcome {
        Outcome::Success(Success {
            seq,
            version: 0,
            body: Bytes::new(),
        })
    }

    #[test]
    fn answers_find_who_waits_for_them() {
        System::new().block_on(answers());
    }

    async fn answers() {
        begin();
        begin();
        let (replies, waiting): (Vec<_>, Vec<_>) = (0..1_000).map(|_| reply()).unzip();
        let elsewhere = thread::spawn(move || {
            for (seq, reply) in (0..).zip(replies) {
                reply.answer(success(seq));
            }
        });
        for (seq, waiting) in (0..).zip(waiting) {
            assert_eq!(waiting.await, Ok(success(seq)));
        }
        elsewhere.join().unwrap();
        // One that nobody waits for any more is in nobody's way.
        drop(reply().1);
        let (one, waits) = reply();
        one.answer(success(7));
        assert_eq!(waits.await, Ok(success(7)));
        // One that nobody answers is a refusal.
        let (unanswered, waits) = reply();
        drop(unanswered);
        assert!(matches!(waits.await, Ok(Outcome::Failure(_))));
    }

    #[tokio::test]
    async fn elsewhere_they_come_by_themselves() {
        let (one, waits) = reply();
        one.answer(success(1));
        assert_eq!(waits.await, Ok(success(1)));
    }
}
