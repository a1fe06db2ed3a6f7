//! What the attempt of another node's operation has in place of that operation: a line to its owner.
//!
//! The attempt's reporter writes into it; the guest reads the owner's frames and hands their answers over. It
//! keeps nothing past the attempt.

use parking_lot::Mutex;
use selvedge_protocol::peer::processing::{Note, ProcessingAnswer, Report};
use tokio::sync::{mpsc, oneshot};

use crate::operation::Done;
use crate::processing::elsewhere::wire;
use crate::processing::handler::{Cause, HandlerError};

/// Reports one after the other, each heard before the next.
pub(in crate::processing) struct Line {
    /// Frames to be written; `None` once nothing more is said.
    out: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// Reports so far.
    count: u64,
    waiting: Option<(u64, oneshot::Sender<bool>)>,
    is_cut: bool,
}

impl Line {
    /// A line, and the frames that go out on it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (out, frames) = mpsc::channel(OUT_MAX);
        let line = Self {
            out: Mutex::new(Some(out)),
            asked: Mutex::default(),
        };
        (line, frames)
    }

    /// Makes durable what was done; when it returns `Ok`, it is.
    pub(in crate::processing) async fn report(&self, done: &Done) -> Result<(), HandlerError> {
        let (sender, heard) = oneshot::channel();
        let number = {
            let mut asked = self.asked.lock();
            if asked.is_cut {
                return Err(lost());
            }
            asked.count += 1;
            asked.waiting = Some((asked.count, sender));
            asked.count
        };
        let done = wire::done(done);
        let report = Report { number, done };
        let said = ProcessingAnswer::Report(report.clone());
        self.say(wire::done_frame(&said, &report.done)?).await;
        match heard.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(lost()),
        }
    }

    /// Notes that the attempt goes on. May be lost without harm.
    pub(in crate::processing) fn note(&self, progress: Option<String>) {
        let note = ProcessingAnswer::Note(Note { progress });
        if let (Ok(frame), Some(out)) = (wire::frame(&note), self.out()) {
            let _ = out.try_send(frame);
        }
    }

    /// Says something else.
    pub(super) async fn say(&self, frame: Vec<u8>) {
        if let Some(out) = self.out() {
            // Nobody writes any more: the line is about to be cut.
            let _ = out.send(frame).await;
        }
    }

    /// The owner has answered a report.
    pub(super) fn heard(&self, number: u64, is_durable: bool) {
        let mut asked = self.asked.lock();
        if let Some((_, waiting)) = asked.waiting.take_if(|(of, _)| *of == number) {
            // Whoever made it has been dropped.
            let _ = waiting.send(is_durable);
        }
    }

    /// The owner is gone: nothing is heard any more.
    pub(super) fn cut(&self) {
        let mut asked = self.asked.lock();
        asked.is_cut = true;
        asked.waiting = None;
        drop(asked);
        self.hang_up();
    }

    /// Says nothing more: what was said is the last.
    pub(super) fn hang_up(&self) {
        self.out.lock().take();
    }

    fn out(&self) -> Option<mpsc::Sender<Vec<u8>>> {
        self.out.lock().clone()
    }
}

fn lost() -> HandlerError {
    HandlerError::new("lost", "the operation went on elsewhere", Cause::Lost)
}

/// Frames that wait to be written: a report, an end, and some notes.
const OUT_MAX: usize = 16;
