//! Why a token is refused: what its client is told, and what the log has.
//!
//! A client is told what helps it to come by a token that is good, and of one that is not signed nothing more.

use selvedge_protocol::{ErrorCode, Failure};

/// A token that is not taken. Its text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none, or not signed by a key of its issuer, or a claim is not as it must be.
    #[error("the token is not valid here; ask its issuer for a new one")]
    Invalid(Fault),
    #[error("the token has expired; ask its issuer for a new one")]
    Expired,
    /// By `nbf` or `iat`.
    #[error(
        "the token is not valid yet; use it later, or mend the clock of its issuer or of this node"
    )]
    NotYetValid,
    #[error("the token is for another audience; ask its issuer for one for this service")]
    WrongAudience,
    #[error("the token is of an issuer that is not known here; ask one that is")]
    UnknownIssuer,
    /// There are no keys to verify it with.
    #[error("the keys of the token's issuer cannot be had at present; try again")]
    Unavailable,
}

/// What is wrong with a token, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it is longer than tokens are taken")]
    TooLong,
    /// Not three parts of base64 without padding.
    #[error("it is no signed token in compact form")]
    Form,
    #[error("its header is not JSON as it is taken")]
    HeaderJson,
    #[error("its claims are not JSON as they are taken")]
    ClaimsJson,
    #[error("its header names no algorithm")]
    NoAlgorithm,
    #[error("its header demands what is not understood here (crit)")]
    Critical,
    #[error("it is of another type (typ)")]
    Type,
    #[error("the id of its key is no text, or too long (kid)")]
    KeyId,
    /// Nor is there one key alone, for a token that names none.
    #[error("its issuer publishes no such key (kid)")]
    UnknownKey,
    #[error("its algorithm is not the one of its key (alg)")]
    Algorithm,
    #[error("its signature is not of its key")]
    Signature,
    /// A claim that is missing, or not of its form.
    #[error("the claim {0} is missing or not as it must be")]
    Claim(&'static str),
}

impl Refused {
    /// What is wrong, for the log.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Invalid(fault) => fault.to_string(),
            Self::Expired
            | Self::NotYetValid
            | Self::WrongAudience
            | Self::UnknownIssuer
            | Self::Unavailable => self.to_string(),
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Unavailable => ErrorCode::Unavailable,
            Refused::Invalid(_)
            | Refused::Expired
            | Refused::NotYetValid
            | Refused::WrongAudience
            | Refused::UnknownIssuer => ErrorCode::Unauthenticated,
        };
        Self::field(code, "token", refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_not_told_which_check_a_forged_token_failed() {
        let said = |fault| Failure::from(Refused::Invalid(fault));
        for fault in [
            Fault::Signature,
            Fault::Algorithm,
            Fault::UnknownKey,
            Fault::Form,
            Fault::Claim("sub"),
        ] {
            assert_eq!(said(fault), said(Fault::TooLong));
            assert_ne!(Refused::Invalid(fault).reason(), said(fault).message);
        }
    }

    #[test]
    fn only_missing_keys_are_worth_another_try() {
        assert!(Failure::from(Refused::Unavailable).code.may_be_retried());
        assert!(!Failure::from(Refused::Expired).code.may_be_retried());
        assert!(!Failure::from(Refused::UnknownIssuer).code.may_be_retried());
    }
}
