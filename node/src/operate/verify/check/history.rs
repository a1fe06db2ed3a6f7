//! What clients did to one actor and what they were told, with the time of both.

/// What a client asks of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write { value: u64 },
    CompareAndSet { expected: u64, value: u64 },
    Append { item: u64 },
    Add { by: u64 },
}

impl Action {
    /// The number that names this change among all of a run; a read changes nothing.
    pub(crate) const fn tag(self) -> Option<u64> {
        match self {
            Self::Read => None,
            Self::Write { value } | Self::CompareAndSet { value, .. } => Some(value),
            Self::Append { item } => Some(item),
            Self::Add { by } => Some(by),
        }
    }
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    State(View),
    /// The value before the write.
    Previous(u64),
    /// Whether it was set, and the value before.
    Swapped {
        is_met: bool,
        value: u64,
    },
    /// Where the item is in the list, from 1.
    Position(u64),
    /// What the counter has come to.
    Sum(u64),
}

impl Answer {
    /// Whether the actor says that it has changed.
    pub(crate) const fn is_change(&self) -> bool {
        match self {
            Self::State(_) => false,
            Self::Swapped { is_met, .. } => *is_met,
            Self::Previous(_) | Self::Position(_) | Self::Sum(_) => true,
        }
    }
}

/// The state of an actor as it shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Register {
        value: u64,
        appended: u64,
        /// The last items, the latest at the end.
        items: Vec<u64>,
    },
    Counter {
        value: u64,
    },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered {
        answer: Answer,
        at_us: u64,
    },
    /// It has certainly not taken effect.
    Refused,
    /// It may have taken effect, and may still at any later time.
    Unknown,
}

/// One call and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Who called.
    pub(crate) process: u32,
    pub(crate) action: Action,
    /// Monotonic time since the run began.
    pub(crate) called_us: u64,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// Whether it cannot have changed anything.
    pub(crate) fn is_pure(&self) -> bool {
        match (&self.action, &self.outcome) {
            (_, Outcome::Refused) | (Action::Read, _) => true,
            (_, Outcome::Answered { answer, .. }) => !answer.is_change(),
            (_, Outcome::Unknown) => false,
        }
    }

    /// The same with nothing known of its end.
    pub(crate) fn weakened(&self) -> Self {
        Self {
            outcome: Outcome::Unknown,
            ..self.clone()
        }
    }
}

/// A call begins or is answered; the number is its place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Called(usize),
    Answered(usize),
}

/// The moments of a history in order. What nobody can have noticed has none: refused calls, and reads without an
/// answer. Of moments at the same time calls come first, for they may overlap.
pub(crate) fn moments(calls: &[Call]) -> Vec<Moment> {
    let mut moments = Vec::with_capacity(2 * calls.len());
    for (index, call) in calls.iter().enumerate() {
        match &call.outcome {
            Outcome::Refused => {}
            Outcome::Unknown if call.action == Action::Read => {}
            Outcome::Unknown => moments.push((call.called_us, 0, Moment::Called(index))),
            Outcome::Answered { at_us, .. } => {
                moments.push((call.called_us, 0, Moment::Called(index)));
                moments.push((*at_us, 1, Moment::Answered(index)));
            }
        }
    }
    moments.sort_by_key(|&(at_us, order, _)| (at_us, order));
    moments.into_iter().map(|(_, _, moment)| moment).collect()
}
