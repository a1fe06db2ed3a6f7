//! A file that notes what handlers do: a crash test counts its lines.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

/// Appends a line for each execution, or does nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct StepLog(Option<Arc<File>>);

impl StepLog {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Some(Arc::new(file))))
    }

    pub(super) fn note(&self, what: &str) -> std::io::Result<()> {
        match &self.0 {
            // One write of one line: whole lines even from several runners.
            Some(file) => (&**file).write_all(format!("{what}\n").as_bytes()),
            None => Ok(()),
        }
    }
}
