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

    /// The same for a command whose flags are fields of what it asks for: names the flag.
    pub(crate) fn of_flags(error: CallError) -> Self {
        let flag = error.failure().and_then(|failure| {
            let field = failure.field.as_deref()?;
            (failure.code == ErrorCode::Invalid).then(|| flag_of(field))?
        });
        let mut failure = Self::from(error);
        if let Some(flag) = flag {
            failure.message = format!("{flag}: {}", failure.message);
        }
        failure
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

    /// A file that a flag, variable or field names cannot be used: the name is wrong until the file is right.
    /// `remedy` says what to do.
    pub(crate) fn named(
        name: &str,
        path: &std::path::Path,
        error: &std::io::Error,
        remedy: &str,
    ) -> Self {
        Self::usage(format!("{name} {}: {error}; {remedy}", path.display()))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl From<ConnectError> for CommandFailure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Refused { failure, .. } => exit_for(failure.code),
            ConnectError::NoServer
            | ConnectError::NoAuthority
            | ConnectError::Setting { .. }
            | ConnectError::AuthorityFile { .. }
            | ConnectError::Authority { .. } => Exit::Usage,
            ConnectError::Socket(_)
            | ConnectError::Token { .. }
            | ConnectError::Address { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Certificate { .. }
            | ConnectError::Protocol { .. }
            | ConnectError::Broken { .. }
            | ConnectError::Several(_) => Exit::Unavailable,
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

/// The flag of a field: `--time-zone` of `timeZone`, `--every` of `everyMs`, `--input` of `operation.input.url`.
fn flag_of(field: &str) -> Option<String> {
    let field = field.strip_prefix("operation.").unwrap_or(field);
    let key = field.split(['.', '[']).next().unwrap_or(field);
    let name = match key {
        // Of the whole, or of what is no flag.
        "" | "body" | "id" | "type" | "operation" | "offsetMs" => return None,
        "labels" => "label",
        key => key.strip_suffix("Ms").unwrap_or(key),
    };
    let mut flag = "--".to_owned();
    for letter in name.chars() {
        if letter.is_uppercase() {
            flag.push('-');
        }
        flag.push(letter.to_ascii_lowercase());
    }
    Some(flag)
}

/// The exit code that tells a script what kind of failure it was.
fn exit_for(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::NotFound => Exit::NotFound,
        // An argument is wrong, whoever has found it.
        ErrorCode::Invalid => Exit::Usage,
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
        | ErrorCode::Rejected
        | ErrorCode::UnknownKind
        | ErrorCode::UnknownCommand
        | ErrorCode::TooLarge
        | ErrorCode::OutcomeExpired
        | ErrorCode::Internal => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_told_by_its_flag() {
        for (field, flag) in [
            ("timeZone", Some("--time-zone")),
            ("everyMs", Some("--every")),
            ("labels.a", Some("--label")),
            ("operation.input.steps[2]", Some("--input")),
            ("body", None),
        ] {
            assert_eq!(flag_of(field).as_deref(), flag, "{field}");
        }
        let failure = selvedge_client::Failure::field(ErrorCode::Invalid, "startAt", "use a time");
        let failure = CommandFailure::of_flags(CallError::Failure(failure));
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("--start-at: "), "{failure:?}");
    }
}
