//! Which connection two nodes use with each other, as one end decides it: pure. The pair's state drives it.
//!
//! A connection carries requests only once both ends have agreed on it, so one that is given up before has
//! carried none:
//!
//! ```text
//! dials, and asks ──────────────► promises, unless it asks itself and comes first
//! uses it from now on ◄── yes ──
//!                  ── taken ────► uses it from now on, in place of what it had
//! ```
//!
//! An end that has promised asks for nothing itself until it hears more, and an end that asks promises nothing unless
//! the other comes first: so of two that dial at once one gives way. Only who has no connection dials. So a node that
//! asks although there is one has lost it, or is another process: its new connection is the one to use as soon as
//! it has taken it, however alive the old one looks.

/// A connection, by a number that no other open one has.
pub(super) type Id = usize;

/// What one end does about a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rest,
    /// It dials.
    Dialling,
    /// The other end is there, and was asked whether it takes this one.
    Asking(Id),
    /// The other end dialled this one, and may take it.
    Promised(Id),
}

/// What the other end hears that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Promise,
    /// A connection that this end has dialled is about to be agreed on.
    Refuse,
}

/// One end of a pair.
#[derive(Debug)]
pub(super) struct Agreement {
    /// Comes first where both ask.
    is_first: bool,
    stage: Stage,
    used: Option<Id>,
    /// The other node has another address now than where the used connection leads.
    is_outdated: bool,
}

impl Agreement {
    /// Between two nodes, of which the smaller name comes first.
    pub(super) fn new(own: &str, other: &str) -> Self {
        Self {
            is_first: own < other,
            stage: Stage::Rest,
            used: None,
            is_outdated: false,
        }
    }

    /// Begins to dial. Answers whether it may.
    pub(super) fn dial(&mut self) -> bool {
        let may = self.may_dial();
        if may {
            self.stage = Stage::Dialling;
        }
        may
    }

    /// A connection was dialled: the other end is asked. Answers whether it is wanted still.
    pub(super) fn ask(&mut self, id: Id) -> bool {
        let is_wanted = self.stage == Stage::Dialling;
        if is_wanted {
            self.stage = Stage::Asking(id);
        }
        is_wanted
    }

    /// The other end has promised: this end takes the connection and says so, if it wants it still.
    pub(super) fn take(&mut self, id: Id) -> bool {
        let is_wanted = self.stage == Stage::Asking(id);
        if is_wanted {
            self.use_now(id);
        }
        is_wanted
    }

    /// What this end dialled has come to nothing.
    pub(super) fn give_up(&mut self) {
        if self.is_dialling() {
            self.stage = Stage::Rest;
        }
    }

    /// The other end asks whether this one takes a connection that it has dialled.
    pub(super) fn asked(&mut self, id: Id) -> Verdict {
        if matches!(self.stage, Stage::Asking(_)) && self.is_first {
            return Verdict::Refuse;
        }
        self.stage = Stage::Promised(id);
        Verdict::Promise
    }

    /// The other end has taken what it was promised. Answers whether this is still so.
    pub(super) fn taken(&mut self, id: Id) -> bool {
        let is_promised = self.stage == Stage::Promised(id);
        if is_promised {
            self.use_now(id);
        }
        is_promised
    }

    /// A connection has ended, or the other end uses it no more. Answers whether it was the one in use.
    pub(super) fn ended(&mut self, id: Id) -> bool {
        if self.stage == Stage::Promised(id) {
            self.stage = Stage::Rest;
        }
        let was_used = self.used == Some(id);
        if was_used {
            self.used = None;
        }
        was_used
    }

    /// The other node is no longer where the used connection leads, or the one that is being dialled.
    pub(super) fn outdate(&mut self) {
        self.is_outdated = true;
        if self.stage == Stage::Dialling {
            self.stage = Stage::Rest;
        }
    }

    /// Whether a connection is missing, and nothing is done about it.
    pub(super) fn may_dial(&self) -> bool {
        self.stage == Stage::Rest && (self.used.is_none() || self.is_outdated)
    }

    /// Whether what this end has begun is still wanted.
    pub(super) const fn is_dialling(&self) -> bool {
        matches!(self.stage, Stage::Dialling | Stage::Asking(_))
    }

    fn use_now(&mut self, id: Id) {
        self.stage = Stage::Rest;
        self.used = Some(id);
        self.is_outdated = false;
    }

    #[cfg(test)]
    const fn used(&self) -> Option<Id> {
        self.used
    }
}

#[cfg(test)]
mod tests;
