//! What can be done with subjects on a node, in one handle: what gateways call.

use selvedge_protocol::limits::AUDIT_PAGE_MAX;
use selvedge_protocol::{ActorAddress, SubjectId, Tenant};

use super::{
    Consent, ConsentChange, Erased, Erasure, Rewrapped, ScopedSubject, SubjectKeys, SubjectShown,
    Swept, consents, erase, rewrap, set_consent, subjects, sweep,
};
use crate::audit::{self, AuditRecord, Entry, Outcome};
use crate::clock::Clock;
use crate::store::{self, Order, run};

/// The subjects of a cluster, from a node that has wrapping keys. A cheap handle.
#[derive(Debug, Clone)]
pub struct Subjects {
    keys: SubjectKeys,
    clock: Clock,
    slots: u16,
}

/// Audit records that are about a subject, of those that were looked at.
#[derive(Debug)]
pub struct Trail {
    pub records: Vec<AuditRecord>,
    /// After which to go on; `None`: there are no more.
    pub next: Option<u64>,
}

impl Subjects {
    pub(crate) const fn new(keys: SubjectKeys, clock: Clock, slots: u16) -> Self {
        Self { keys, clock, slots }
    }

    /// See [`erase`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn erase(&self, erasure: Erasure<'_>) -> Result<Erased, store::Error> {
        erase(&self.keys, &self.clock, erasure).await
    }

    /// See [`sweep`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(
        &self,
        of: &ScopedSubject,
        after: Option<&ActorAddress>,
    ) -> Result<Swept, store::Error> {
        sweep(&self.keys, &self.clock, (of, self.slots), after).await
    }

    /// See [`subjects`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(
        &self,
        tenant: &Tenant,
        after: Option<&SubjectId>,
        limit: usize,
    ) -> Result<Vec<SubjectShown>, store::Error> {
        subjects(&**self.keys.store(), tenant, after, limit).await
    }

    /// See [`rewrap`].
    ///
    /// # Errors
    /// Those of the store, and of who wraps.
    pub async fn rewrap(
        &self,
        tenant: &Tenant,
        principal: &str,
        after: Option<&SubjectId>,
    ) -> Result<Rewrapped, store::Error> {
        rewrap(&self.keys, &self.clock, (tenant, principal), after).await
    }

    /// See [`consents`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn consents(&self, of: &ScopedSubject) -> Result<Vec<Consent>, store::Error> {
        consents(&**self.keys.store(), of).await
    }

    /// See [`set_consent`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_consent(
        &self,
        of: &ScopedSubject,
        change: &ConsentChange,
    ) -> Result<Option<Consent>, store::Error> {
        set_consent(&**self.keys.store(), &self.clock, of, change).await
    }

    /// Notes in the audit trail that somebody has taken what is stored about a subject.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note_export(
        &self,
        of: &ScopedSubject,
        principal: &str,
    ) -> Result<(), store::Error> {
        let clock = &self.clock;
        run(&**self.keys.store(), clock, |mut transaction| async move {
            let entry = Entry {
                at_ms: clock.wall_ms(),
                principal: principal.to_owned(),
                action: "subject.export".to_owned(),
                target: of.subject.to_string(),
                outcome: Outcome::Done,
                detail: String::new(),
            };
            audit::append(&mut *transaction, &of.tenant, entry).await?;
            Ok((transaction, ()))
        })
        .await
        .map(drop)
    }

    /// The audit records about a subject, and of what it did itself as a principal, among the next ones after a number.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn trail(
        &self,
        of: &ScopedSubject,
        after: Option<u64>,
    ) -> Result<Trail, store::Error> {
        let mut transaction = self.keys.store().begin();
        let chain = (&of.tenant).into();
        let page = audit::page(
            &mut *transaction,
            &chain,
            after,
            Order::Ascending,
            AUDIT_PAGE_MAX,
        );
        let mut records = page.await?;
        let last = records.last().map(|record| record.number);
        let next = last.filter(|_| records.len() == AUDIT_PAGE_MAX);
        records.retain(|record| {
            let Entry {
                action,
                target,
                principal,
                ..
            } = &record.entry;
            let is_about = action.starts_with("subject.") && *target == of.subject.as_str();
            // A user is its own subject: what it did is about it as well.
            is_about || *principal == of.subject.as_str()
        });
        Ok(Trail { records, next })
    }
}
