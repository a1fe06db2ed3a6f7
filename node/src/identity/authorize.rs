//! Whether a principal may do something: the one function that everything asks.

use selvedge_protocol::{ErrorCode, Failure, Target, Tenant};

use crate::identity::Principal;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Command,
    Query,
    Subscribe,
    /// An ephemeral message to subscribers.
    Tell,
    /// Execute steps.
    Work,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
            Self::Subscribe => "subscribe to",
            Self::Tell => "send messages to subscribers of",
            Self::Work => "execute steps of",
        }
    }
}

/// Whether the principal may do this to the target in this tenant.
///
/// A principal may do everything within its tenant and nothing outside; roles refine this here.
pub fn authorize(
    principal: &Principal,
    action: Action,
    tenant: &Tenant,
    target: &Target,
) -> Result<(), Failure> {
    if principal.tenant == *tenant {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::PermissionDenied,
        format!(
            "{} may not {} {target} of tenant {tenant}",
            principal.name,
            action.name()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_principal_is_kept_to_its_tenant() {
        let own = Tenant::new("own").unwrap();
        let other = Tenant::new("other").unwrap();
        let principal = Principal {
            name: Arc::from("somebody"),
            tenant: own.clone(),
        };
        for action in [
            Action::Command,
            Action::Query,
            Action::Subscribe,
            Action::Tell,
            Action::Work,
        ] {
            assert!(authorize(&principal, action, &own, &Target::Actors).is_ok());
            let failure = authorize(&principal, action, &other, &Target::Actors).unwrap_err();
            assert_eq!(failure.code, ErrorCode::PermissionDenied);
        }
    }
}
