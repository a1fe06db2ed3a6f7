//! What each change of the directory leaves in its commit: the audit record, and the notice by which nodes hear of it.

use selvedge_cluster::audit::{self, Entry, Outcome};
use selvedge_cluster::store::{self, Transaction};
use selvedge_protocol::Tenant;
use serde_json::Value;

use crate::notice::Notice;

/// A change that was decided.
#[derive(Debug)]
pub(in crate::identity) struct Change<'a> {
    /// In whose chain of audit records it is told.
    pub(in crate::identity) tenant: &'a Tenant,
    /// The name of who made it.
    pub(in crate::identity) principal: &'a str,
    /// A resource and what was done to it: `api-key.create`.
    pub(in crate::identity) action: &'static str,
    pub(in crate::identity) target: &'a str,
    /// Before and after, never a secret.
    pub(in crate::identity) detail: Value,
    /// `None`: nobody has a copy of it.
    pub(in crate::identity) notice: Option<Notice>,
}

impl Change<'_> {
    /// Writes its traces; to be called in the transaction that writes the change.
    pub(in crate::identity) async fn leave(
        &self,
        transaction: &mut dyn Transaction,
        now_ms: u64,
    ) -> Result<(), store::Error> {
        let entry = Entry {
            at_ms: now_ms,
            principal: self.principal.to_owned(),
            action: self.action.to_owned(),
            target: self.target.to_owned(),
            outcome: Outcome::Done,
            detail: match &self.detail {
                Value::Null => String::new(),
                detail => detail.to_string(),
            },
        };
        audit::append(transaction, self.tenant, entry).await?;
        match &self.notice {
            Some(notice) => notice.announce(transaction, now_ms).await,
            None => Ok(()),
        }
    }
}
