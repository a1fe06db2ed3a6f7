//! What is at work for an actor outside of it, and reports to it: whoever hands the actor's slot over lets it come
//! to its end first, for a moment. The application begins it, through the host.

use std::fmt;
use std::sync::Arc;

use crate::actor::core::Core;
use crate::actor::request::ScopedAddress;
use crate::slot::Slot;

/// Work of an actor, for as long as this lives.
pub struct Work {
    core: Arc<Core>,
    slot: u16,
}

impl Work {
    /// `None`: the slot is not here, or is about to go.
    pub(super) fn begin(core: &Arc<Core>, actor: &ScopedAddress) -> Option<Self> {
        let slot = core.slot_of(actor);
        slot.begin_work().then(|| Self {
            core: Arc::clone(core),
            slot: slot.number,
        })
    }

    fn slot(&self) -> &Slot {
        &self.core.slots[usize::from(self.slot)]
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.slot().end_work();
        self.core.load.emptied();
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work(slot {})", self.slot)
    }
}
