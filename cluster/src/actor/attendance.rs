//! Which activations hold data of which subjects in memory, so that they end when a subject is erased.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ractor::{ActorId, ActorRef};

use crate::actor::activation::Message;
use crate::privacy::ScopedSubject;

/// The activations of a host that are about somebody. As many as there are such activations.
#[derive(Debug, Default)]
pub(crate) struct Attendance {
    /// Raised with each erasure, under the lock: what was loaded before may be of before.
    generation: AtomicU64,
    of: Mutex<HashMap<ScopedSubject, Activations>>,
}

type Activations = HashMap<ActorId, ActorRef<Message>>;

/// An activation among them, until this is dropped.
#[derive(Debug)]
pub(crate) struct Attending {
    attendance: Arc<Attendance>,
    of: ScopedSubject,
    id: ActorId,
}

impl Attendance {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Takes in an activation whose state is as it was in this generation. `None`: something was erased since.
    pub(crate) fn join(
        self: &Arc<Self>,
        of: ScopedSubject,
        activation: &ActorRef<Message>,
        generation: u64,
    ) -> Option<Attending> {
        let id = activation.get_id();
        let mut all = self.of.lock();
        if self.generation() != generation {
            return None;
        }
        let activations = all.entry(of.clone()).or_default();
        activations.insert(id, activation.clone());
        drop(all);
        Some(Attending {
            attendance: Arc::clone(self),
            of,
            id,
        })
    }

    /// Ends the activations of a subject.
    pub(crate) fn erased(&self, of: &ScopedSubject) {
        let mut all = self.of.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        let activations = all.remove(of).unwrap_or_default();
        drop(all);
        end(of, activations);
    }

    /// Ends those of all.
    pub(crate) fn lost(&self) {
        let mut all = self.of.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        let all = std::mem::take(&mut *all);
        for (of, activations) in all {
            end(&of, activations);
        }
    }
}

fn end(of: &ScopedSubject, activations: Activations) {
    for activation in activations.into_values() {
        // One that is gone has ended. Not bounded by permits: one for each activation.
        let _ = activation.send_message(Message::Erased(of.clone()));
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        let mut all = self.attendance.of.lock();
        if let Some(activations) = all.get_mut(&self.of) {
            activations.remove(&self.id);
            if activations.is_empty() {
                all.remove(&self.of);
            }
        }
    }
}
