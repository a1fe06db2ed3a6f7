//! The table `[identity]` of a configuration: whose tokens a node takes beside the operator's.

use serde::{Deserialize, Serialize};

use crate::identity::BUILT_IN;
use crate::identity::jwt::{IssuerConfig, IssuerTable, WrongIssuer};
use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IdentityTable {
    pub(crate) issuers: Vec<IssuerTable>,
}

impl IdentityTable {
    /// Checks every field; `by` names what gave a key its value.
    pub(crate) fn checked(
        &self,
        by: impl Fn(&str) -> String,
    ) -> Result<Vec<IssuerConfig>, CommandFailure> {
        let refuse = |WrongIssuer { at, field, remedy }| {
            let by = by(&format!("identity.issuers[{at}].{field}"));
            CommandFailure::usage(format!("{by}: {remedy}"))
        };
        for (at, table) in self.issuers.iter().enumerate() {
            let wrong = |(field, remedy)| refuse(WrongIssuer { at, field, remedy });
            check(table).map_err(wrong)?;
        }
        IssuerConfig::all(self.issuers.clone()).map_err(refuse)
    }
}

/// What is asked of a table here beyond what it means by itself.
fn check(table: &IssuerTable) -> Result<(), (&'static str, String)> {
    if table.issuer.contains('|') {
        // It stands between issuer and subject in the names of principals.
        return Err((
            "issuer",
            "an issuer with a | in its name cannot be taken".to_owned(),
        ));
    }
    let is_role = |role: &String| BUILT_IN.iter().any(|known| known.name() == role);
    match table.roles.values().find(|role| !is_role(role)) {
        None => Ok(()),
        Some(role) => {
            let remedy = format!("{role:?} is no role; use viewer, operator, developer or admin");
            Err(("roles", remedy))
        }
    }
}
