//! Closes all sessions of a principal, on whichever nodes they are: told to all of them by a notice. Its credentials
//! stay as they are; to take those away is another matter.

use selvedge_protocol::limits::LABEL_BYTES_MAX;
use selvedge_protocol::{ErrorCode, Failure};
use serde_json::Value;

use crate::identity::Principal;
use crate::identity::directory::{Change, Directory, one_line};
use crate::notice::Notice;

impl Directory {
    /// Ends what was opened for the principal of this name in the caller's tenant.
    pub async fn close_sessions(&self, by: &Principal, name: &str) -> Result<(), Failure> {
        // What cannot be a name is not repeated in the audit trail either.
        if name.len() > LABEL_BYTES_MAX || one_line(name, LABEL_BYTES_MAX).is_err() {
            let message = "nobody has such a name";
            return Err(Failure::field(ErrorCode::NotFound, "principal", message));
        }
        let now_ms = self.clock().wall_ms();
        self.transact(|mut transaction| async move {
            let change = Change {
                tenant: &by.tenant,
                principal: &by.name,
                action: "session.close-all",
                target: name,
                detail: Value::Null,
                notice: Some(Notice::Closed {
                    tenant: by.tenant.clone(),
                    principal: name.to_owned(),
                }),
            };
            change.leave(&mut *transaction, now_ms).await?;
            Ok((transaction, Ok(())))
        })
        .await
    }
}
