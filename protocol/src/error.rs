//! The errors that cross the wire: a closed set of stable codes, each with "may it be retried".
//!
//! Domain errors are turned into these in one place per crate; internals never are part of a message.

use serde::{Deserialize, Serialize};

use crate::bounded;

/// A stable error code. Ordinals are persisted and on the wire: append only, never reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The bytes or the frame are not of the protocol. Ends the connection.
    Malformed,
    /// The versions offered have none in common with the server's.
    UnsupportedVersion,
    /// No credentials, or not valid ones.
    Unauthenticated,
    /// The principal may not do this.
    PermissionDenied,
    /// The thing named does not exist.
    NotFound,
    /// The thing named exists and is different, or its status does not allow this.
    Conflict,
    /// A field of the request is not valid; `field` names it.
    Invalid,
    /// The actor refused the command by its own rules.
    Rejected,
    /// No code is registered for this kind of actor or type of operation.
    UnknownKind,
    /// The actor's kind has no command or query of this name.
    UnknownCommand,
    /// A frame, payload or state is over its limit.
    TooLarge,
    /// A rate or quota is used up; come back after `retry_after_ms`.
    LimitExceeded,
    /// A queue is full for the moment.
    Overloaded,
    /// The owner or the store cannot be reached, or the node is draining.
    Unavailable,
    /// The deadline passed before the command was decided.
    DeadlineExceeded,
    /// The resume token is unknown or too old: start a new session.
    SessionExpired,
    /// The same session is now served on another connection.
    SessionReplaced,
    /// The repeat came after its outcome was acknowledged or past the retention.
    OutcomeExpired,
    /// A defect of the server, logged there.
    Internal,
}

impl ErrorCode {
    /// Every code, in ordinal order.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::UnsupportedVersion,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::Conflict,
        Self::Invalid,
        Self::Rejected,
        Self::UnknownKind,
        Self::UnknownCommand,
        Self::TooLarge,
        Self::LimitExceeded,
        Self::Overloaded,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::SessionExpired,
        Self::SessionReplaced,
        Self::OutcomeExpired,
        Self::Internal,
    ];

    /// The name that logs, JSON and documents use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
            Self::UnknownKind => "unknown_kind",
            Self::UnknownCommand => "unknown_command",
            Self::TooLarge => "too_large",
            Self::LimitExceeded => "limit_exceeded",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::SessionExpired => "session_expired",
            Self::SessionReplaced => "session_replaced",
            Self::OutcomeExpired => "outcome_expired",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request, with the same command number or id, may be sent again.
    pub const fn may_be_retried(self) -> bool {
        match self {
            Self::LimitExceeded | Self::Overloaded | Self::Unavailable => true,
            Self::Malformed
            | Self::UnsupportedVersion
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::NotFound
            | Self::Conflict
            | Self::Invalid
            | Self::Rejected
            | Self::UnknownKind
            | Self::UnknownCommand
            | Self::TooLarge
            | Self::DeadlineExceeded
            | Self::SessionExpired
            | Self::SessionReplaced
            | Self::OutcomeExpired
            | Self::Internal => false,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure as it crosses the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub code: ErrorCode,
    /// What is wrong and what to do about it, for a person. Sent with at most `MESSAGE_BYTES_MAX` bytes.
    #[serde(
        serialize_with = "bounded::cut_message",
        deserialize_with = "bounded::message"
    )]
    pub message: String,
    /// The field that is wrong, where one is.
    #[serde(
        default,
        serialize_with = "bounded::cut_field",
        deserialize_with = "bounded::field"
    )]
    pub field: Option<String>,
    /// When a retry is worth it, in milliseconds.
    pub retry_after_ms: Option<u32>,
}

impl Failure {
    /// A failure with a message and nothing else.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            retry_after_ms: None,
        }
    }

    /// The same, naming the field that is wrong.
    pub fn field(code: ErrorCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: Some(field.into()),
            retry_after_ms: None,
        }
    }
}

/// An error and everything under it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
