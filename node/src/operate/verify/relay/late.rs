//! The datagrams that a relay delivers later than at once, in the order of their times.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Direction, Flow, Shared};

/// A datagram on its way.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) due: Instant,
    pub(super) flow: Arc<Flow>,
    pub(super) direction: Direction,
    pub(super) bytes: Box<[u8]>,
}

/// By time, and of the same time by arrival.
#[derive(Debug)]
struct Waiting {
    number: u64,
    late: Late,
}

/// Delivers until the relay is gone.
pub(super) async fn deliver(shared: Arc<Shared>, mut arriving: mpsc::Receiver<Late>) {
    let mut waiting = BinaryHeap::new();
    let mut number = 0;
    loop {
        let next: Option<&Reverse<Waiting>> = waiting.peek();
        let due = next.map(|Reverse(first)| first.late.due);
        let has_room = waiting.len() < WAITING_MAX;
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or_else(|| shared.now())), if due.is_some() => {
                if let Some(Reverse(Waiting { late, .. })) = waiting.pop() {
                    shared.pass(&late.flow, late.direction, &late.bytes).await;
                }
            }
            late = arriving.recv(), if has_room => match late {
                Some(late) => {
                    number += 1;
                    waiting.push(Reverse(Waiting { number, late }));
                }
                None => return,
            }
        }
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (it.late.due, it.number);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

/// At 1,500 bytes each six megabytes; what comes past that is lost, as in a router.
const WAITING_MAX: usize = 4_096;
