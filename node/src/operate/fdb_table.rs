//! The table `[fdb]` of a configuration: how a node uses the FoundationDB database that `store = "fdb:FILE"` names.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FdbTable {
    /// What tells this cluster's keys from others in the database: all of its nodes have the same. `default` if it is
    /// not given.
    pub(crate) name: Option<String>,
    /// How long a transaction may take.
    pub(crate) timeout_ms: Option<u32>,
    /// What its transactions are called where the database limits or counts by tag.
    pub(crate) tag: Option<String>,
    /// `default` or `batch`.
    pub(crate) priority: Option<String>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tls_ca: Option<PathBuf>,
    /// A directory with `libfdb_c` of other versions.
    pub(crate) external_clients: Option<PathBuf>,
    /// Where FoundationDB's client writes its log.
    pub(crate) trace_dir: Option<PathBuf>,
}

impl FdbTable {
    /// Checks every field; `by` names what gave a key its value.
    pub(crate) fn checked(self, by: impl Fn(&str) -> String) -> Result<Self, CommandFailure> {
        let refuse = |key: &str, remedy: &str| {
            let by = by(&format!("fdb.{key}"));
            Err(CommandFailure::usage(format!("{by}: {remedy}")))
        };
        if self.name.as_ref().is_some_and(|name| !is_name(name)) {
            return refuse("name", "use 1 to 63 of a-z, 0-9 and '-'");
        }
        if self
            .timeout_ms
            .is_some_and(|ms| !(100..=10_000).contains(&ms))
        {
            return refuse("timeout_ms", "use 100 to 10000, which is the default");
        }
        if self
            .tag
            .as_ref()
            .is_some_and(|tag| !(1..=16).contains(&tag.len()))
        {
            return refuse("tag", "use 1 to 16 bytes, which is FoundationDB's limit");
        }
        match self.priority.as_deref() {
            None | Some("default" | "batch") => {}
            Some(_) => return refuse("priority", "use default or batch"),
        }
        let tls = [&self.tls_certificate, &self.tls_key, &self.tls_ca];
        match tls.iter().filter(|file| file.is_some()).count() {
            0 | 3 => Ok(self),
            _ => refuse(
                "tls_certificate",
                "give tls_certificate, tls_key and tls_ca together",
            ),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_name_their_key_and_what_to_use() {
        for (text, said) in [
            ("name = 'A'", "fdb.name: use 1 to 63"),
            ("timeout_ms = 60000", "fdb.timeout_ms: use 100 to 10000"),
            ("tag = ''", "fdb.tag: use 1 to 16"),
            ("priority = 'high'", "fdb.priority: use default or batch"),
            (
                "tls_ca = 'ca.pem'",
                "give tls_certificate, tls_key and tls_ca together",
            ),
        ] {
            let table: FdbTable = toml::from_str(text).unwrap();
            let failure = table.checked(ToOwned::to_owned).unwrap_err();
            assert!(
                failure.message.contains(said),
                "{text}: {}",
                failure.message
            );
        }
        let right = "name = 'blue'\ntimeout_ms = 2000\ntag = 'web'\npriority = 'batch'\n\
                     tls_certificate = 'a'\ntls_key = 'b'\ntls_ca = 'c'\n";
        let table: FdbTable = toml::from_str(right).unwrap();
        assert_eq!(table.clone().checked(ToOwned::to_owned).unwrap(), table);
        assert!(toml::from_str::<FdbTable>("nmae = 'a'").is_err());
    }
}
