//! The table `[privacy]` of a configuration, and the wrapping keys that a node has by it or by its environment.

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_cluster::privacy::{KeyWrapper, SubjectKeys, Unsealing, WrappingKeys};
use selvedge_cluster::store::Store;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::app::Application;
use crate::operate::certificates::write_private;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;

/// The table as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PrivacyTable {
    /// The keys under which those of subjects are wrapped.
    pub(crate) key_file: Option<PathBuf>,
}

/// The variable that has the same text as the file.
const VARIABLE: &str = "SELVEDGE_PRIVACY_KEY";

/// What wraps keys of subjects on a node: what the application brings, or the keys of the variable, of the
/// configuration or of a development file, in this order. An application that is always about somebody is refused
/// without.
pub(super) fn wrapper(
    config: &NodeConfig,
    application: &Application,
    development: Option<&Path>,
) -> Result<Option<Arc<dyn KeyWrapper>>, CommandFailure> {
    if let Some(wrapper) = application.key_wrapper() {
        return Ok(Some(wrapper));
    }
    let configured = config.privacy.key_file.as_deref();
    let keys = match (by_variable()?, configured, development) {
        (Some(keys), _, _) => Some(keys),
        (None, Some(file), _) => Some(by_file(&config.origin("privacy.key_file"), file)?),
        (None, None, Some(file)) => Some(by_file("development wrapping key", file)?),
        (None, None, None) => None,
    };
    let personal = application.personal_kinds();
    if keys.is_none() && !personal.is_empty() {
        return Err(CommandFailure::usage(format!(
            "{} is not set: the application has personal data ({}) and needs a key to seal it with; write \
             NAME:64-HEXADECIMAL-DIGITS into a file that only the node may read (`openssl rand -hex 32` makes the \
             digits), or give the same in {VARIABLE}",
            config.origin("privacy.key_file"),
            personal.join(", "),
        )));
    }
    Ok(keys.map(|keys| Arc::new(keys) as Arc<dyn KeyWrapper>))
}

/// The store as the application sees it.
pub(super) fn unsealed(
    store: Arc<dyn Store>,
    wrapper: Option<Arc<dyn KeyWrapper>>,
) -> Arc<dyn Store> {
    match wrapper {
        None => {
            tracing::warn!(
                "no key for personal data: users are stored in the clear, and what is about subjects is refused; set \
                 privacy.key_file or SELVEDGE_PRIVACY_KEY"
            );
            store
        }
        Some(wrapper) => Arc::new(Unsealing::new(SubjectKeys::new(store, wrapper))),
    }
}

/// Makes the file of a development node, unless it is there.
pub(super) fn ensure_development(file: &Path) -> std::io::Result<()> {
    match file.exists() {
        true => Ok(()),
        false => write_private(file, WrappingKeys::generate("development").as_str()),
    }
}

fn by_variable() -> Result<Option<WrappingKeys>, CommandFailure> {
    match std::env::var(VARIABLE) {
        Ok(text) => read(VARIABLE, &Zeroizing::new(text)).map(Some),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(CommandFailure::usage(format!(
            "{VARIABLE}: it is no text; write NAME:64-HEXADECIMAL-DIGITS"
        ))),
    }
}

fn by_file(by: &str, file: &Path) -> Result<WrappingKeys, CommandFailure> {
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|error| {
            let remedy = "give a file with NAME:64-HEXADECIMAL-DIGITS that can be read";
            CommandFailure::named(by, file, &error, remedy)
        })?;
    read(&format!("{by} {}", file.display()), &text)
}

fn read(by: &str, text: &str) -> Result<WrappingKeys, CommandFailure> {
    WrappingKeys::parse(text).map_err(|wrong| CommandFailure::usage(format!("{by}: {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_development_key_is_made_once_and_for_its_node_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("privacy.key");
        ensure_development(&file).unwrap();
        let first = std::fs::read_to_string(&file).unwrap();
        ensure_development(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), first);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(by_file("key", &file).unwrap().current(), "development");
    }

    #[test]
    fn a_wrong_file_is_named_and_its_key_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("privacy.key");
        std::fs::write(&file, "k1:0123").unwrap();
        let failure = by_file("node.toml: privacy.key_file", &file).unwrap_err();
        for part in [
            "node.toml: privacy.key_file",
            "privacy.key",
            "entry 1",
            "NAME:KEY",
        ] {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
        assert!(!failure.message.contains("0123"));
    }
}
