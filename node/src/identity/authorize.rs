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

/// The principal that administers the cluster. Its name is that of the operator's token alone.
const ADMINISTRATOR: &str = "admin";

/// Whether the principal may do this to the target in this tenant.
///
/// A principal may do everything within its tenant and nothing outside; roles refine this here. The cluster is
/// nobody's but its administrator's, whatever the tenant.
pub fn authorize(
    principal: &Principal,
    action: Action,
    tenant: &Tenant,
    target: &Target,
) -> Result<(), Failure> {
    let may = match target {
        Target::Cluster => &*principal.name == ADMINISTRATOR,
        Target::Actor(_) | Target::Operation(_) | Target::Operations | Target::Actors => {
            principal.tenant == *tenant
        }
    };
    // Each request comes by here: nothing is written for those that may.
    if may {
        return Ok(());
    }
    let what = match target {
        Target::Cluster => format!("the cluster: only {ADMINISTRATOR} may"),
        Target::Actor(_) | Target::Operation(_) | Target::Operations | Target::Actors => {
            format!("{target} of tenant {tenant}")
        }
    };
    Err(Failure::new(
        ErrorCode::PermissionDenied,
        format!("{} may not {} {what}", principal.name, action.name()),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_cluster_is_its_administrators() {
        let tenant = Tenant::default_tenant();
        for (name, may) in [("admin", true), ("Admin", false), ("somebody", false)] {
            let principal = Principal {
                name: Arc::from(name),
                tenant: Tenant::new("own").unwrap(),
            };
            for action in [Action::Command, Action::Query] {
                let permitted = authorize(&principal, action, &tenant, &Target::Cluster);
                assert_eq!(permitted.is_ok(), may, "{name}");
            }
        }
    }

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
