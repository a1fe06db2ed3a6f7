//! How a command of the command line fails: a message for a person, and an exit code for a script.

use std::process::ExitCode;

use selvedge_client::{CallError, ConnectError};
use selvedge_protocol::ErrorCode;
use selvedge_protocol::error::chain;

/// The exit codes of DESIGN 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Unavailable = 5,
}

/// Why a command did not do what it was asked, and what to do about it.
#[derive(Debug)]
pub(crate) struct CommandFailure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl CommandFailure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// The command did not do its work.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command was called wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file could not be used: names it.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(format!("{}: {error}", path.display()))
    }

    /// A file that a flag or field names could not be used; `remedy` says what to do.
    pub(crate) fn named(
        name: &str,
        path: &std::path::Path,
        error: &std::io::Error,
        remedy: &str,
    ) -> Self {
        Self::failed(format!("{name} {}: {error}; {remedy}", path.display()))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl From<ConnectError> for CommandFailure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Refused { failure, .. } => exit_for(failure.code),
            ConnectError::NoServer | ConnectError::NoAuthority | ConnectError::Setting { .. } => {
                Exit::Usage
            }
            ConnectError::AuthorityFile { .. } | ConnectError::Authority { .. } => Exit::Failed,
            ConnectError::Socket(_)
            | ConnectError::Address { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Certificate { .. }
            | ConnectError::Protocol { .. }
            | ConnectError::Broken { .. } => Exit::Unavailable,
        };
        Self::new(exit, chain(&error))
    }
}

impl From<CallError> for CommandFailure {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::Failure(failure) => {
                let field = failure.field.as_ref().map(|f| format!(" (field {f})"));
                Self::new(
                    exit_for(failure.code),
                    format!(
                        "{}: {}{}",
                        failure.code,
                        failure.message,
                        field.unwrap_or_default()
                    ),
                )
            }
            CallError::OutcomeUnknown | CallError::Closed | CallError::Timeout => {
                Self::new(Exit::Unavailable, chain(&error))
            }
            CallError::Payload(_) | CallError::Json(_) | CallError::Id(_) => {
                Self::failed(chain(&error))
            }
        }
    }
}

/// The exit code that tells a script what kind of failure it was.
fn exit_for(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::NotFound => Exit::NotFound,
        ErrorCode::Unauthenticated
        | ErrorCode::PermissionDenied
        | ErrorCode::LimitExceeded
        | ErrorCode::SessionExpired
        | ErrorCode::SessionReplaced => Exit::Refused,
        ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::DeadlineExceeded => {
            Exit::Unavailable
        }
        ErrorCode::Malformed
        | ErrorCode::UnsupportedVersion
        | ErrorCode::Conflict
        | ErrorCode::Invalid
        | ErrorCode::Rejected
        | ErrorCode::UnknownKind
        | ErrorCode::UnknownCommand
        | ErrorCode::TooLarge
        | ErrorCode::OutcomeExpired
        | ErrorCode::Internal => Exit::Failed,
    }
}
