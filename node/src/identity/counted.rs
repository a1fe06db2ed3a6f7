//! What is counted of those who are nobody: how logins end, and what is wrong with credentials. Names of both are few and closed,
//! so that no stranger makes up labels of metrics. Pure.

use selvedge_protocol::ErrorCode;

use crate::identity::jwt::{Fault, Refused};

/// What became of a password that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginOutcome {
    Ok,
    /// Or the user may not log in, or there is none.
    Wrong,
    /// Too many were wrong before.
    Throttled,
    /// The node hashes as much as it may.
    Busy,
    /// The store is away.
    Failed,
}

/// What is wrong with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialFault {
    Expired,
    NotYetValid,
    Audience,
    /// Nobody knows who has given it.
    Issuer,
    /// Nobody knows the key that it names.
    UnknownKey,
    Signature,
    Malformed,
    /// What it rests on is over, or it was revoked itself.
    Revoked,
    /// It is of no API key that is good.
    ApiKey,
    /// There are no keys to verify it with.
    Unavailable,
}

impl LoginOutcome {
    /// That of a login that has failed so.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Unauthenticated => Self::Wrong,
            ErrorCode::LimitExceeded => Self::Throttled,
            ErrorCode::Overloaded => Self::Busy,
            _ => Self::Failed,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

impl CredentialFault {
    /// That of a token that is refused so.
    pub(crate) const fn of(refused: Refused) -> Self {
        match refused {
            Refused::Expired => Self::Expired,
            Refused::NotYetValid => Self::NotYetValid,
            Refused::WrongAudience => Self::Audience,
            Refused::UnknownIssuer => Self::Issuer,
            Refused::Unavailable => Self::Unavailable,
            Refused::Invalid(Fault::UnknownKey) => Self::UnknownKey,
            Refused::Invalid(Fault::Signature | Fault::Algorithm) => Self::Signature,
            Refused::Invalid(
                Fault::TooLong
                | Fault::Form
                | Fault::HeaderJson
                | Fault::ClaimsJson
                | Fault::NoAlgorithm
                | Fault::Critical
                | Fault::Type
                | Fault::KeyId
                | Fault::Claim(_),
            ) => Self::Malformed,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Malformed => "malformed",
            Self::Revoked => "revoked",
            Self::ApiKey => "api_key",
            Self::Unavailable => "unavailable",
        }
    }
}
