//! The table `[identity]` of a configuration: whose tokens a node takes beside the operator's, how long its own are good, and
//! which programs users log in with.

use serde::{Deserialize, Serialize};

use crate::identity::jwt::{IssuerConfig, IssuerTable, WrongIssuer};
use crate::identity::{BUILT_IN, ClientTable, Clients, IssueConfig, TokensTable, WrongClient};
use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IdentityTable {
    pub(crate) tokens: TokensTable,
    pub(crate) issuers: Vec<IssuerTable>,
    pub(crate) clients: Vec<ClientTable>,
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

    /// Checks what it has of the cluster's own tokens.
    pub(crate) fn issue(&self, by: impl Fn(&str) -> String) -> Result<IssueConfig, CommandFailure> {
        let issuer = self.tokens.issuer.as_deref();
        let clients = Clients::checked(self.clients.clone(), issuer).map_err(|wrong| {
            let WrongClient { at, field, remedy } = wrong;
            let by = by(&format!("identity.clients[{at}].{field}"));
            CommandFailure::usage(format!("{by}: {remedy}"))
        })?;
        let config = self.tokens.checked(clients).map_err(|(key, remedy)| {
            let by = by(&format!("identity.tokens.{key}"));
            CommandFailure::usage(format!("{by}: {remedy}"))
        })?;
        if let Some(issuer) = issuer
            && self.issuers.iter().any(|it| it.issuer == issuer)
        {
            let by = by("identity.tokens.issuer");
            return Err(CommandFailure::usage(format!(
                "{by}: {issuer:?} is one of identity.issuers; use another name for the cluster itself"
            )));
        }
        Ok(config)
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
