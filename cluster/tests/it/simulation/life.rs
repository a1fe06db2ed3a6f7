//! The life of one process of a node: it runs, stands still for a while, and ends. What comes from outside of it or
//! goes out waits for it here.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A cheap handle on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Life(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Running,
    Frozen,
    Over,
}

impl Life {
    pub(super) fn state(&self) -> State {
        *self.0.state.lock()
    }

    pub(super) fn freeze(&self) {
        self.become_state(State::Frozen);
    }

    pub(super) fn thaw(&self) {
        self.become_state(State::Running);
    }

    pub(super) fn end(&self) {
        self.become_state(State::Over);
    }

    fn become_state(&self, state: State) {
        {
            let mut now = self.0.state.lock();
            if *now == State::Over {
                return;
            }
            *now = state;
        }
        self.0.changed.notify_waiters();
    }

    /// Waits while it stands still. Answers whether it runs.
    pub(super) async fn goes_on(&self) -> bool {
        loop {
            let changed = self.0.changed.notified();
            match self.state() {
                State::Running => return true,
                State::Over => return false,
                State::Frozen => changed.await,
            }
        }
    }

    /// Completes when it has ended.
    pub(super) async fn over(&self) {
        loop {
            let changed = self.0.changed.notified();
            if self.state() == State::Over {
                return;
            }
            changed.await;
        }
    }
}
