//! The payload of a task as a file, for a program that cannot ask for it in pieces.

use std::io::Write;
use std::path::Path;

use selvedge_client::{Task, WorkError};
use tempfile::NamedTempFile;

/// A file of the user's own, in the directory for temporary files. Dropped, it is deleted.
pub(super) struct PayloadFile(NamedTempFile);

impl PayloadFile {
    /// Reads the payload of the task, if it has one.
    pub(super) async fn of(task: &Task) -> Result<Option<Self>, WorkError> {
        let Some(mut payload) = task.payload() else {
            return Ok(None);
        };
        let mut file = tempfile::Builder::new()
            .prefix("selvedge-payload-")
            .tempfile()?;
        while let Some(bytes) = payload.next().await? {
            file = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file))
                .await??;
        }
        Ok(Some(Self(file)))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}
