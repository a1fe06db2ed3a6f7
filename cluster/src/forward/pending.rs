//! What was sent to one other node and is not answered: pure, driven by its outlet.
//!
//! Requests leave in the order in which they came. Those that are unanswered when a stream breaks are sent
//! again on the next one, in the same order and under the same numbers.

use std::collections::BTreeMap;

use selvedge_protocol::codec;
use selvedge_protocol::peer::actors::{ActorRequest, Tell};
use tokio::time::Instant;

use crate::forward::parcel::Parcel;
use crate::forward::wire;

/// A parcel that was not taken. Answered outside of the lock: who asked may well send the next request.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The other node is gone for good.
    Gone(Box<Parcel>),
    /// No frame holds it.
    TooLarge(Box<Parcel>),
}

/// What the cluster says of the other node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Open,
    /// Most others cannot reach it. A connection to it notices that late, and one that works one way only very late.
    CutOff,
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By number, hence in order.
    parcels: BTreeMap<u64, Box<Parcel>>,
    last: u64,
    /// Frames that are not on the stream yet.
    out: Vec<u8>,
    is_connected: bool,
    is_closed: bool,
}

impl Pending {
    /// Takes a parcel in, or hands it back.
    pub(super) fn send(
        &mut self,
        now: Instant,
        plan: u64,
        parcel: Box<Parcel>,
    ) -> Result<(), Unsent> {
        if self.is_closed {
            return Err(Unsent::Gone(parcel));
        }
        self.last += 1;
        if self.is_connected && !put(&mut self.out, self.last, plan, now, &parcel) {
            return Err(Unsent::TooLarge(parcel));
        }
        self.parcels.insert(self.last, parcel);
        Ok(())
    }

    /// Sends what is not stored and may be lost.
    pub(super) fn tell(&mut self, tell: Tell) {
        if self.is_connected && self.out.len() < OUT_BYTES_LOSSY {
            // What no frame holds is lost as well.
            let _ = codec::encode(&ActorRequest::Tell(tell), &mut self.out);
        }
    }

    /// There is a stream: everything goes on it, again. Hands back what no frame holds.
    pub(super) fn connect(&mut self, now: Instant, plan: u64) -> Vec<Box<Parcel>> {
        self.is_connected = true;
        self.out.clear();
        let out = &mut self.out;
        let too_large = self
            .parcels
            .extract_if(.., |id, parcel| !put(out, *id, plan, now, parcel));
        too_large.map(|(_, parcel)| parcel).collect()
    }

    /// The stream is lost.
    pub(super) fn disconnect(&mut self) {
        self.is_connected = false;
        self.out = Vec::new();
    }

    /// What is to be written.
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The parcel that an answer is for; `None`: it was given up, or answered before.
    pub(super) fn answered(&mut self, id: u64) -> Option<Box<Parcel>> {
        self.parcels.remove(&id)
    }

    /// Those whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Box<Parcel>> {
        self.take(|parcel| parcel.until <= now)
    }

    /// Those that may be sent to another node instead: while there is no stream, or it leads nowhere, the ones that
    /// are said to have moved. On any other stream each is answered.
    pub(super) fn moved(
        &mut self,
        reach: Reach,
        has_moved: impl Fn(&Parcel) -> bool,
    ) -> Vec<Box<Parcel>> {
        match (reach, self.is_connected) {
            (Reach::Open, true) => Vec::new(),
            (Reach::Open | Reach::CutOff, _) => self.take(has_moved),
        }
    }

    /// The other node is gone: everything goes elsewhere.
    pub(super) fn close(&mut self) -> Vec<Box<Parcel>> {
        self.is_closed = true;
        self.disconnect();
        self.take(|_| true)
    }

    /// In order.
    fn take(&mut self, which: impl Fn(&Parcel) -> bool) -> Vec<Box<Parcel>> {
        let taken = self.parcels.extract_if(.., |_, parcel| which(parcel));
        taken.map(|(_, parcel)| parcel).collect()
    }
}

/// Appends a frame. `false`: no frame holds it.
fn put(out: &mut Vec<u8>, id: u64, plan: u64, now: Instant, parcel: &Parcel) -> bool {
    let frame = wire::request(id, plan, now, &parcel.request);
    codec::encode(&frame, out).is_ok()
}

/// With so much to be written, messages that may be lost are.
const OUT_BYTES_LOSSY: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
