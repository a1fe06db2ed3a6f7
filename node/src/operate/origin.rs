//! Where a value was given: by a flag, by the variable that stands in for it, or in a file. Errors name it,
//! so that a person knows what to change.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where the values of a configuration were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins {
    file: Option<PathBuf>,
    /// By key, the name of the flag or variable.
    named: BTreeMap<&'static str, String>,
}

impl Origins {
    pub(crate) const fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            named: BTreeMap::new(),
        }
    }

    /// Takes the value of a flag or variable if there is one, else that of the file, and notes which.
    pub(crate) fn pick<T: AsRef<OsStr>>(
        &mut self,
        key: &'static str,
        by_flag: Option<T>,
        by_file: Option<T>,
    ) -> Option<T> {
        if let Some(value) = &by_flag {
            self.named.insert(key, flag_or_variable(key, value));
        }
        by_flag.or(by_file)
    }

    /// The name of what gave a key its value: `--quic`, `SELVEDGE_QUIC`, or `FILE: quic`.
    pub(crate) fn of(&self, key: &str) -> String {
        match (self.named.get(key), &self.file) {
            (Some(name), _) => name.clone(),
            (None, Some(file)) => in_file(file, key),
            (None, None) => flag(key),
        }
    }
}

/// The name of what gave this value: the flag of a key, or the variable that says the same.
pub(crate) fn flag_or_variable(key: &str, value: impl AsRef<OsStr>) -> String {
    let variable = variable(key);
    match std::env::var_os(&variable) {
        Some(set) if set == *value.as_ref() => variable,
        Some(_) | None => flag(key),
    }
}

/// The variable that stands in for the flag of a key.
pub(crate) fn variable(key: &str) -> String {
    format!("SELVEDGE_{}", without_table(key).to_uppercase())
}

/// A key of a file.
pub(crate) fn in_file(file: &Path, key: &str) -> String {
    format!("{}: {key}", file.display())
}

fn flag(key: &str) -> String {
    format!("--{}", without_table(key).replace('_', "-"))
}

/// Flags and variables have no tables: `--peer-ca` is `tls.peer_ca` of a file.
fn without_table(key: &str) -> &str {
    key.strip_prefix("tls.").unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_named_by_what_gave_it() {
        let mut origins = Origins::new(Some("node.toml".into()));
        assert_eq!(origins.pick("data_dir", Some("a"), Some("b")), Some("a"));
        assert_eq!(origins.pick("quic", None, Some("c")), Some("c"));
        assert_eq!(origins.of("data_dir"), "--data-dir");
        assert_eq!(origins.of("quic"), "node.toml: quic");
        assert_eq!(Origins::default().of("data_dir"), "--data-dir");
        assert_eq!(variable("data_dir"), "SELVEDGE_DATA_DIR");
        assert_eq!(variable("tls.peer_ca"), "SELVEDGE_PEER_CA");
        assert_eq!(origins.of("tls.peer_ca"), "node.toml: tls.peer_ca");
    }
}
