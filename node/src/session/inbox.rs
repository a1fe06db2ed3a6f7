//! Where the answers to a session's requests arrive: collected, so that a busy session takes many at
//! a time. Bounded by the requests a session may have in flight.

use parking_lot::Mutex;
use ractor::ActorRef;
use selvedge_cluster::actor::AnswerSink;
use selvedge_protocol::frame::{Outcome, Request};

use crate::session::message::Message;

/// Takes answers for one session.
pub(super) struct Inbox {
    session: ActorRef<Message>,
    answers: Mutex<Vec<(Request, Outcome)>>,
}

impl Inbox {
    pub(super) const fn new(session: ActorRef<Message>) -> Self {
        Self {
            session,
            answers: Mutex::new(Vec::new()),
        }
    }

    /// All that have arrived.
    pub(super) fn take(&self) -> Vec<(Request, Outcome)> {
        std::mem::take(&mut *self.answers.lock())
    }
}

impl AnswerSink for Inbox {
    fn answer(&self, token: u64, outcome: Outcome) {
        let is_first = {
            let mut answers = self.answers.lock();
            answers.push((request(token), outcome));
            answers.len() == 1
        };
        // One wake at most is in the mailbox: whoever takes the answers takes all of them. A session
        // that has ended needs no answer, the actors hold it.
        if is_first && self.session.send_message(Message::Answers).is_err() {
            self.take();
        }
    }
}

/// The token of a request: its number, and in the lowest bit what it is.
///
/// Numbers past 2^63 lose their highest bit. Nobody counts so far, and who pretends to gets no answer.
pub(super) const fn token(request: Request) -> u64 {
    match request {
        Request::Command(number) => number << 1,
        Request::Query(number) | Request::Subscription(number) => (number << 1) | 1,
    }
}

const fn request(token: u64) -> Request {
    if token & 1 == 0 {
        Request::Command(token >> 1)
    } else {
        Request::Query(token >> 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_tell_requests_apart() {
        for number in [1, 2, 1 << 40] {
            for asked in [Request::Command(number), Request::Query(number)] {
                assert_eq!(request(token(asked)), asked);
            }
        }
    }
}
