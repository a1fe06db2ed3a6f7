//! Whose personal data an actor holds. Part of the machine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_protocol::ActorAddress;
use selvedge_protocol::limits::SUBJECT_TRACES_MAX;
use tracing::error;

use crate::actor::machine::{Broken, Machine};
use crate::privacy::ScopedSubject;
use crate::store::keys::Key;

/// A commit of somebody's data: its values are to be sealed.
#[derive(Debug)]
pub(crate) struct Personal {
    pub(crate) of: ScopedSubject,
    /// The actor, under which it is found.
    pub(crate) address: ActorAddress,
    pub(crate) index: Index,
}

/// What the commit does to the row by which the subject's things are found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Index {
    /// It is there.
    Stands,
    /// It is to be there, and to name these rows as ones of the actor.
    Set(Vec<Vec<u8>>),
    /// The actor ends.
    Clear,
}

impl Machine {
    /// Whom the actor is about, if it is about anybody.
    pub(crate) fn subject(&mut self) -> Result<Option<ScopedSubject>, Broken> {
        let (state, actor) = (&self.state, &self.name.actor);
        let asked = catch_unwind(AssertUnwindSafe(|| state.subject(actor))).map_err(|_| Broken)?;
        if self.subject.is_some() && self.subject != asked {
            // What is stored lies under the key of another one.
            error!(actor = %actor.address, "the subject of an actor has changed, which it never may");
            return Err(Broken);
        }
        self.subject = asked;
        Ok(self.scoped_subject())
    }

    /// The kind is told that the subject was erased.
    pub(crate) fn erased(&mut self) {
        let (state, actor) = (&mut self.state, &self.name.actor);
        // The activation ends, whatever the kind says.
        let _ = catch_unwind(AssertUnwindSafe(|| state.erased(actor)));
    }

    pub(super) fn personal(&mut self) -> Result<Option<Personal>, Broken> {
        let Some(of) = self.subject()? else {
            return Ok(None);
        };
        let index = match self.is_indexed {
            true => Index::Stands,
            false => Index::Set(self.traces()?),
        };
        // A commit that fails ends the activation.
        self.is_indexed = true;
        Ok(Some(self.of_subject(of, index)))
    }

    /// The same for the commit that ends the actor, whose state is the one of nobody already.
    pub(super) fn personal_end(&self) -> Option<Personal> {
        let of = self.scoped_subject()?;
        Some(self.of_subject(of, Index::Clear))
    }

    fn of_subject(&self, of: ScopedSubject, index: Index) -> Personal {
        Personal {
            of,
            address: self.name.actor.address.clone(),
            index,
        }
    }

    fn scoped_subject(&self) -> Option<ScopedSubject> {
        let subject = self.subject.clone()?;
        Some(ScopedSubject {
            tenant: self.name.actor.tenant.clone(),
            subject,
        })
    }

    fn traces(&self) -> Result<Vec<Vec<u8>>, Broken> {
        let (state, actor) = (&self.state, &self.name.actor);
        let traces = catch_unwind(AssertUnwindSafe(|| state.traces(actor))).map_err(|_| Broken)?;
        if traces.len() > SUBJECT_TRACES_MAX {
            error!(actor = %actor.address, traces = traces.len(), "an actor has too many traces");
            return Err(Broken);
        }
        Ok(traces.iter().map(Key::encode).collect())
    }
}
