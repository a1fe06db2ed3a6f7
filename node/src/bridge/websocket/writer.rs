//! Writes what a client is sent as messages, in the form of its connection. A connection owns one.
//!
//! Frames of one turn share a message in the binary form. An event that many connections of a thread hear is encoded
//! once, and compressed once: only the number of the subscription is put before it, as a block of its own.

use std::cell::RefCell;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::actor::StoredEvent;
use selvedge_protocol::frame::{ClientFrame, Reply, Request, ServerFrame};
use selvedge_protocol::{Failure, Target, codec, json, shared_event, task_payload};

use crate::session::{event, unsendable};

use super::deflate;
use super::form::Form;
use super::frame::{Kind, header, write_close};

/// The messages of one turn.
#[derive(Debug)]
pub(super) struct Writer {
    form: Form,
    is_deflating: bool,
    out: Vec<u8>,
    /// Frames that share the next message; of the binary form alone.
    frames: Vec<u8>,
    /// Queries whose answers are bytes, in JSON as well: at most as many as a session may have.
    pieces: HashSet<u64>,
}

impl Writer {
    pub(super) fn new(form: Form, is_deflating: bool) -> Self {
        Self {
            form,
            is_deflating,
            out: Vec::new(),
            frames: Vec::new(),
            pieces: HashSet::new(),
        }
    }

    /// Notes how the client's frame is to be answered.
    pub(super) fn asked(&mut self, frame: &ClientFrame) {
        if let (Form::Json, ClientFrame::Query(query)) = (self.form, frame)
            && query.name == task_payload::QUERY
            && matches!(query.target, Target::Operation(_))
        {
            self.pieces.insert(query.number);
        }
    }

    /// Appends the frame.
    pub(super) fn frame(&mut self, frame: ServerFrame) -> Result<(), Failure> {
        match self.form {
            Form::Binary => {
                codec::encode(&frame, &mut self.frames).map_err(|error| unsendable(&error))?;
                if self.frames.len() >= MESSAGE_BYTES {
                    self.end_message();
                }
            }
            Form::Json => {
                let mut text = Vec::new();
                let written = match frame {
                    ServerFrame::Reply(reply) if self.is_piece(&reply) => {
                        json::encode_piece(reply, &mut text)
                    }
                    frame => json::encode(&frame, &mut text),
                };
                written.map_err(|error| unsendable(&error))?;
                self.message(&text);
            }
        }
        Ok(())
    }

    fn is_piece(&mut self, reply: &Reply) -> bool {
        match reply.request {
            Request::Query(number) => !self.pieces.is_empty() && self.pieces.remove(&number),
            Request::Command(_) | Request::Subscription(_) => false,
        }
    }

    /// Appends the event.
    pub(super) fn event(&mut self, subscription: u64, stored: &StoredEvent) -> Result<(), Failure> {
        let is_large = stored.data.len() >= DEFLATE_BYTES_MIN;
        let tail = tail(self.form, self.is_deflating && is_large, stored)?;
        let mut head = Vec::new();
        match self.form {
            Form::Binary => shared_event::binary_head(subscription, &tail.plain, &mut head),
            Form::Json => shared_event::json_head(subscription, &mut head),
        }
        match (&tail.deflated, self.form) {
            (Some(deflated), _) => {
                self.end_message();
                let mut stored = Vec::new();
                deflate::store(&head, &mut stored);
                let length = stored.len() + deflated.len();
                header(self.kind(), true, length, &mut self.out);
                self.out.extend_from_slice(&stored);
                self.out.extend_from_slice(deflated);
            }
            (None, Form::Binary) => {
                self.frames.extend_from_slice(&head);
                self.frames.extend_from_slice(&tail.plain);
                if self.frames.len() >= MESSAGE_BYTES {
                    self.end_message();
                }
            }
            (None, Form::Json) => {
                let length = head.len() + tail.plain.len();
                header(Kind::Text, false, length, &mut self.out);
                self.out.extend_from_slice(&head);
                self.out.extend_from_slice(&tail.plain);
            }
        }
        Ok(())
    }

    pub(super) fn ping(&mut self) {
        self.end_message();
        header(Kind::Ping, false, 0, &mut self.out);
    }

    pub(super) fn pong(&mut self, data: &[u8]) {
        self.end_message();
        header(Kind::Pong, false, data.len(), &mut self.out);
        self.out.extend_from_slice(data);
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.end_message();
        write_close(code, reason, &mut self.out);
    }

    /// All that was appended. Empty, the writer holds no memory.
    pub(super) fn take(&mut self) -> Bytes {
        self.end_message();
        Bytes::from(std::mem::take(&mut self.out))
    }

    /// Bytes that were appended.
    pub(super) fn len(&self) -> usize {
        self.out.len() + self.frames.len()
    }

    fn kind(&self) -> Kind {
        match self.form {
            Form::Binary => Kind::Binary,
            Form::Json => Kind::Text,
        }
    }

    fn end_message(&mut self) {
        if !self.frames.is_empty() {
            let frames = std::mem::take(&mut self.frames);
            self.message(&frames);
        }
    }

    fn message(&mut self, data: &[u8]) {
        if self.is_deflating && data.len() >= DEFLATE_BYTES_MIN {
            let mut deflated = Vec::new();
            deflate::deflate(data, &mut deflated);
            header(self.kind(), true, deflated.len(), &mut self.out);
            self.out.extend_from_slice(&deflated);
        } else {
            header(self.kind(), false, data.len(), &mut self.out);
            self.out.extend_from_slice(data);
        }
    }
}

/// A message of several frames ends here: with the largest frame on top it keeps to the limit.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Below, compression costs more than the bytes it spares.
const DEFLATE_BYTES_MIN: usize = 1024;

/// What follows the subscription of an event.
#[derive(Debug, Clone)]
struct Tail {
    plain: Bytes,
    deflated: Option<Bytes>,
}

/// Events that were encoded last, and how.
struct Encoded {
    event: StoredEvent,
    form: Form,
    is_deflated: bool,
    tail: Tail,
}

thread_local! {
    static ENCODED: RefCell<VecDeque<Encoded>> = const { RefCell::new(VecDeque::new()) };
}

/// Encoded events that a thread keeps, each at most about 250 KiB: subscribers of one actor hear of it within moments.
const ENCODED_MAX: usize = 32;

fn tail(form: Form, is_deflated: bool, stored: &StoredEvent) -> Result<Tail, Failure> {
    ENCODED.with_borrow_mut(|encoded| {
        let known = encoded.iter().rev().find(|known| {
            (known.form, known.is_deflated) == (form, is_deflated) && is_same(&known.event, stored)
        });
        if let Some(known) = known {
            return Ok(known.tail.clone());
        }
        let event = event(0, stored)?;
        let plain = match form {
            Form::Binary => shared_event::binary_tail(event)?,
            Form::Json => shared_event::json_tail(event)?,
        };
        let deflated = is_deflated.then(|| {
            let mut out = Vec::new();
            deflate::deflate(&plain, &mut out);
            Bytes::from(out)
        });
        let tail = Tail {
            plain: Bytes::from(plain),
            deflated,
        };
        if encoded.len() == ENCODED_MAX {
            encoded.pop_front();
        }
        encoded.push_back(Encoded {
            event: stored.clone(),
            form,
            is_deflated,
            tail: tail.clone(),
        });
        Ok(tail)
    })
}

/// Whether both are copies of one event. What is kept holds its memory, so no other event can have come to lie there.
fn is_same(one: &StoredEvent, other: &StoredEvent) -> bool {
    one.seq == other.seq
        && one.time_ms == other.time_ms
        && Arc::ptr_eq(&one.kind, &other.kind)
        && one.data.as_ptr() == other.data.as_ptr()
        && one.data.len() == other.data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(seq: u64, data: &'static str) -> StoredEvent {
        StoredEvent {
            seq,
            kind: "said".into(),
            time_ms: 5,
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn an_event_is_encoded_once_for_all_who_hear_it() {
        let one = stored(1, "{}");
        let first = tail(Form::Json, false, &one).unwrap();
        let again = tail(Form::Json, false, &one.clone()).unwrap();
        assert_eq!(first.plain.as_ptr(), again.plain.as_ptr());
        // Another form, another event and one that is equal and not the same are encoded by themselves.
        for (form, event) in [
            (Form::Binary, one.clone()),
            (Form::Json, stored(2, "{}")),
            (Form::Json, stored(1, "{}")),
        ] {
            let other = tail(form, false, &event).unwrap();
            assert_ne!(first.plain.as_ptr(), other.plain.as_ptr());
        }
    }

    #[test]
    fn what_a_thread_keeps_is_bounded() {
        for seq in 0..10 * ENCODED_MAX as u64 {
            tail(Form::Json, false, &stored(seq, "{}")).unwrap();
        }
        ENCODED.with_borrow(|encoded| assert_eq!(encoded.len(), ENCODED_MAX));
    }
}
