//! The table `[audit]` of a configuration: how long the audit trail is kept.

use serde::{Deserialize, Serialize};

use crate::operate::config::within;
use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AuditTable {
    retention_days: Option<u32>,
}

/// The same, checked.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct AuditConfig {
    /// 0: for ever. In a cluster the controller's counts, so it should be the same on all nodes.
    pub(crate) retention_days: u32,
}

impl AuditTable {
    /// Checks every field; `by` names what gave a key its value.
    pub(crate) fn checked(
        &self,
        by: impl Fn(&'static str) -> String,
    ) -> Result<AuditConfig, CommandFailure> {
        let key = "audit.retention_days";
        // Over a year, so that who looks once a year has seen all of it.
        let retention_days = within(&by(key), self.retention_days, 400, 0..=36_500)?;
        Ok(AuditConfig { retention_days })
    }
}
