//! The table `[limits]` of a configuration: what a node takes of one connection and of one principal, whatever is set for
//! the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limit::{LimitName, LocalLimits, LocalRates, Rate};
use crate::operate::failure::CommandFailure;

/// The table as it is written: rates such as `50/s` by what is limited. What is not there has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsTable {
    /// Of each connection.
    pub(crate) connection: BTreeMap<String, String>,
    /// Of all connections and requests of each principal.
    pub(crate) principal: BTreeMap<String, String>,
}

impl LimitsTable {
    /// Checks every field; `by` names what gave a key its value.
    pub(crate) fn checked(
        &self,
        by: impl Fn(&str) -> String,
    ) -> Result<LocalLimits, CommandFailure> {
        let defaults = LocalLimits::default();
        Ok(LocalLimits {
            connection: rates("connection", &self.connection, defaults.connection, &by)?,
            principal: rates("principal", &self.principal, defaults.principal, &by)?,
        })
    }
}

fn rates(
    of: &str,
    written: &BTreeMap<String, String>,
    defaults: LocalRates,
    by: impl Fn(&str) -> String,
) -> Result<LocalRates, CommandFailure> {
    let mut rates = defaults;
    for (name, rate) in written {
        let refuse = |remedy: String| {
            let by = by(&format!("limits.{of}.{name}"));
            CommandFailure::usage(format!("{by}: {remedy}"))
        };
        let name: LimitName = name
            .parse()
            .map_err(|error: crate::limit::WrongName| refuse(error.to_string()))?;
        let rate: Rate = rate
            .parse()
            .map_err(|error: crate::limit::WrongRate| refuse(error.to_string()))?;
        rates = rates.with(name, rate);
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<LocalLimits, CommandFailure> {
        let table: LimitsTable = toml::from_str(text).unwrap();
        table.checked(|key| format!("node.toml: {key}"))
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let limits = checked("connection = { commands = '50/s' }").unwrap();
        let defaults = LocalLimits::default();
        assert_eq!(
            limits.connection.of(LimitName::Commands),
            "50/s".parse().unwrap()
        );
        assert_eq!(
            limits.connection.of(LimitName::Queries),
            defaults.connection.of(LimitName::Queries)
        );
        assert_eq!(limits.principal, defaults.principal);
    }

    #[test]
    fn wrong_values_name_their_key_and_what_to_use() {
        for (text, named, remedy) in [
            (
                "connection = { jumps = '1/s' }",
                "limits.connection.jumps",
                "datagrams",
            ),
            (
                "principal = { bytes = 'much' }",
                "limits.principal.bytes",
                "50/s",
            ),
        ] {
            let message = checked(text).unwrap_err().message;
            assert!(
                message.contains(named) && message.contains(remedy),
                "{message}"
            );
        }
    }
}
