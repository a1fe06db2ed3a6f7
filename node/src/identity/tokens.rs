//! The authenticator of a node: knows the operator's own token, and those of the issuers that the configuration trusts.
//!
//! Ports ask it with whatever a client shows. Which of the two a token is, its bytes say: one that is not the operator's
//! is an issuer's or nobody's.

use async_trait::async_trait;
use selvedge_cluster::Clock;
use selvedge_protocol::limits::{LABEL_BYTES_MAX, TOKEN_SKEW_MS};
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::identity::jwt::{Claims, IssuerConfig, Issuers};
use crate::identity::role::{BUILT_IN, Role};
use crate::identity::{Authenticator, DevelopmentToken, Principal};

/// Both.
#[derive(Debug)]
pub struct Tokens {
    own: DevelopmentToken,
    /// `None`: there are none.
    issuers: Option<Issuers>,
    clock: Clock,
}

impl Tokens {
    /// Within a tokio runtime, which fetches the issuers' keys.
    pub fn new(own: DevelopmentToken, issuers: Vec<IssuerConfig>, clock: Clock) -> Self {
        let issuers = (!issuers.is_empty()).then(|| Issuers::new(issuers, None, &clock));
        Self {
            own,
            issuers,
            clock,
        }
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        match &self.issuers {
            Some(issuers) if !self.own.is(token) => {
                let claims = issuers.verify(token, self.clock.wall_ms()).await?;
                principal(&claims, tenant)
            }
            Some(_) | None => self.own.authenticate(token, tenant).await,
        }
    }
}

/// Who an issuer says somebody is, in the tenant it asks for. Its name has the issuer in it, so that no subject of one
/// is taken for that of another, or for the operator.
fn principal(claims: &Claims, asked: Option<Tenant>) -> Result<Principal, Failure> {
    let own = claims.tenant.clone();
    let tenant = own.unwrap_or_else(Tenant::default_tenant);
    if asked.is_some_and(|asked| asked != tenant) {
        let message = format!("the token is for the tenant {tenant}; name that one, or none");
        return Err(Failure::field(
            ErrorCode::PermissionDenied,
            "tenant",
            message,
        ));
    }
    // The configuration maps to roles that there are.
    let is_claimed = |role: &&Role| claims.roles.iter().any(|name| name == role.name());
    let roles: Vec<Role> = BUILT_IN.iter().filter(is_claimed).cloned().collect();
    let name = format!("{}|{}", claims.issuer, claims.subject);
    if name.len() > LABEL_BYTES_MAX {
        // Nodes tell each other who sends a command, within this.
        let message = format!(
            "the names of the token's issuer and subject are over {LABEL_BYTES_MAX} bytes with the | between them"
        );
        return Err(Failure::field(ErrorCode::Unauthenticated, "token", message));
    }
    // As long as verification takes it.
    let expires_ms = claims.expires_ms.saturating_add(TOKEN_SKEW_MS);
    Ok(Principal::new(name, tenant, roles).until(expires_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Action, Permission, Resource, authorize};

    fn claims() -> Claims {
        Claims {
            issuer: "https://login.example".to_owned(),
            subject: "admin".to_owned(),
            tenant: Some(Tenant::new("acme").unwrap()),
            roles: vec!["operator".to_owned(), "viewer".to_owned()],
            expires_ms: 1_000_000,
            token_id: None,
            login: None,
        }
    }

    #[test]
    fn a_subject_is_never_the_operator() {
        let principal = principal(&claims(), None).unwrap();
        assert_eq!(&*principal.name, "https://login.example|admin");
        assert!(!principal.sees_all_tenants());
        let drain = Permission::new(Resource::Cluster, Action::Administer);
        assert!(authorize(&principal, drain).is_err());
        let write = Permission::new(Resource::Operation, Action::Write);
        assert!(authorize(&principal, write).is_ok());
    }

    #[test]
    fn a_name_is_no_longer_than_nodes_tell_each_other() {
        let named = |bytes: usize| {
            let subject = "s".repeat(bytes - "https://login.example|".len());
            principal(
                &Claims {
                    subject,
                    ..claims()
                },
                None,
            )
        };
        assert_eq!(named(LABEL_BYTES_MAX).unwrap().name.len(), LABEL_BYTES_MAX);
        let refused = named(LABEL_BYTES_MAX + 1).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated);
    }

    #[test]
    fn a_token_is_for_its_tenant_alone() {
        let acme = Tenant::new("acme").unwrap();
        assert_eq!(
            principal(&claims(), Some(acme.clone())).unwrap().tenant,
            acme
        );
        let refused = principal(&claims(), Some(Tenant::default_tenant())).unwrap_err();
        assert_eq!(refused.code, ErrorCode::PermissionDenied);
        assert_eq!(refused.field.as_deref(), Some("tenant"));
        // One that names none is not for all.
        let unsaid = Claims {
            tenant: None,
            ..claims()
        };
        assert_eq!(
            principal(&unsaid, None).unwrap().tenant,
            Tenant::default_tenant()
        );
        assert!(principal(&unsaid, Some(acme)).is_err());
    }

    #[test]
    fn without_a_role_nothing_is_given() {
        let nobody = Claims {
            roles: Vec::new(),
            ..claims()
        };
        let principal = principal(&nobody, None).unwrap();
        for resource in Resource::ALL {
            for action in Action::ALL {
                assert!(authorize(&principal, Permission::new(resource, action)).is_err());
            }
        }
    }
}
