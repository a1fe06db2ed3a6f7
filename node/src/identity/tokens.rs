//! The authenticator of a node: knows the operator's own token, the API keys of the cluster, and the tokens of the
//! cluster itself and of the issuers that the configuration trusts.
//!
//! Ports ask it with whatever a client shows. Which of these it is, its bytes say: one that is neither the operator's nor
//! has the form of an API key is an issuer's or nobody's. What was verified is remembered for a while.

use async_trait::async_trait;
use selvedge_cluster::Clock;
use selvedge_protocol::limits::{LABEL_BYTES_MAX, TOKEN_SKEW_MS};
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::identity::api_key::ShownKey;
use crate::identity::counted::CredentialFault;
use crate::identity::directory::KEY_PRINCIPAL;
use crate::identity::issue::Logins;
use crate::identity::jwt::{Claims, IssuerConfig, Issuers, OwnIssuer};
use crate::identity::known::Known;
use crate::identity::role::{BUILT_IN, Role};
use crate::identity::{Authenticator, Basis, DevelopmentToken, Directory, Principal};
use crate::metrics;

/// All of them.
#[derive(Debug)]
pub struct Tokens {
    own: DevelopmentToken,
    /// `None`: there are none.
    issuers: Option<Issuers>,
    /// The name that the cluster itself has among them.
    cluster: Option<String>,
    directory: Directory,
    known: Known,
    clock: Clock,
}

impl Tokens {
    /// Within a tokio runtime, which fetches the issuers' keys.
    pub fn new(
        own: DevelopmentToken,
        issuers: Vec<IssuerConfig>,
        directory: Directory,
        clock: Clock,
    ) -> Self {
        let issuers = (!issuers.is_empty()).then(|| Issuers::new(issuers, None, &clock));
        Self {
            own,
            issuers,
            cluster: None,
            directory,
            known: Known::new(clock.clone()),
            clock,
        }
    }

    /// The same where the cluster issues tokens itself.
    pub fn issued_here(
        own: DevelopmentToken,
        issuers: Vec<IssuerConfig>,
        logins: &Logins,
        clock: Clock,
    ) -> Self {
        let name = logins.issuer().to_owned();
        let directory = logins.directory().clone();
        let cluster = OwnIssuer {
            name: name.clone(),
            directory: directory.clone(),
        };
        Self {
            issuers: Some(Issuers::new(issuers, Some(cluster), &clock)),
            cluster: Some(name),
            ..Self::new(own, Vec::new(), directory, clock)
        }
    }

    /// Whose a credential is that is not the operator's.
    async fn verify(&self, token: &str) -> Result<Principal, Failure> {
        if let Some(shown) = ShownKey::parse(token) {
            let found = self.directory.principal_of_key(&shown).await;
            return found.inspect_err(|failure| count(failure, CredentialFault::ApiKey));
        }
        match &self.issuers {
            Some(issuers) => {
                let verified = issuers.verify(token, self.clock.wall_ms()).await;
                let claims = verified.inspect_err(|refused| {
                    metrics::credential_refused(CredentialFault::of(*refused));
                })?;
                if self.cluster.as_ref() == Some(&claims.issuer) {
                    let found = self.of_cluster(&claims).await;
                    return found.inspect_err(|failure| count(failure, CredentialFault::Revoked));
                }
                let principal = principal(&claims)
                    .inspect_err(|failure| count(failure, CredentialFault::Malformed))?;
                Ok(self.resting_on_itself(principal))
            }
            // It says what is to be done.
            None => {
                let own = self.own.authenticate(token, None).await;
                own.inspect_err(|failure| count(failure, CredentialFault::Malformed))
            }
        }
    }

    /// Whose a token of the cluster is: a user's that has logged in, or that of an API key.
    async fn of_cluster(&self, claims: &Claims) -> Result<Principal, Failure> {
        match claims.subject.starts_with(KEY_PRINCIPAL) {
            true => self.directory.principal_of_key_token(claims).await,
            false => self.directory.principal_of_login(claims).await,
        }
    }

    /// So that its sessions can be closed.
    fn resting_on_itself(&self, principal: Principal) -> Principal {
        let basis = Basis::Principal {
            tenant: principal.tenant.clone(),
            name: principal.name.to_string(),
        };
        let standing = self.directory.standings().stand([basis]);
        principal.resting_on(standing)
    }
}

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        if self.own.is(token) {
            let operator = self.own.authenticate(token, tenant).await?;
            return Ok(self.resting_on_itself(operator));
        }
        let principal = match self.known.find(token) {
            Some(principal) => principal,
            None => {
                let principal = self.verify(token).await?;
                self.known.keep(token, &principal);
                principal
            }
        };
        within(principal, tenant)
    }
}

/// Counts a refusal for who was refused; what cannot be said now is none.
fn count(failure: &Failure, fault: CredentialFault) {
    if failure.code == ErrorCode::Unauthenticated {
        metrics::credential_refused(fault);
    }
}

/// Somebody in the tenant it asks for, which is its own or none.
fn within(principal: Principal, asked: Option<Tenant>) -> Result<Principal, Failure> {
    let tenant = &principal.tenant;
    if asked.is_some_and(|asked| asked != *tenant) {
        let message = format!("the credential is for the tenant {tenant}; name that one, or none");
        return Err(Failure::field(
            ErrorCode::PermissionDenied,
            "tenant",
            message,
        ));
    }
    Ok(principal)
}

/// Who an issuer says somebody is. Its name has the issuer in it, so that no subject of one is taken for that of
/// another, or for the operator.
fn principal(claims: &Claims) -> Result<Principal, Failure> {
    let own = claims.tenant.clone();
    let tenant = own.unwrap_or_else(Tenant::default_tenant);
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
            key_id: None,
        }
    }

    #[test]
    fn a_subject_is_never_the_operator() {
        let principal = principal(&claims()).unwrap();
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
            principal(&Claims {
                subject,
                ..claims()
            })
        };
        assert_eq!(named(LABEL_BYTES_MAX).unwrap().name.len(), LABEL_BYTES_MAX);
        let refused = named(LABEL_BYTES_MAX + 1).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthenticated);
    }

    #[test]
    fn a_token_is_for_its_tenant_alone() {
        let acme = Tenant::new("acme").unwrap();
        let of = |claims: &Claims, asked| within(principal(claims).unwrap(), asked);
        assert_eq!(of(&claims(), Some(acme.clone())).unwrap().tenant, acme);
        let refused = of(&claims(), Some(Tenant::default_tenant())).unwrap_err();
        assert_eq!(refused.code, ErrorCode::PermissionDenied);
        assert_eq!(refused.field.as_deref(), Some("tenant"));
        // One that names none is not for all.
        let unsaid = Claims {
            tenant: None,
            ..claims()
        };
        assert_eq!(of(&unsaid, None).unwrap().tenant, Tenant::default_tenant());
        assert!(of(&unsaid, Some(acme)).is_err());
    }

    #[test]
    fn without_a_role_nothing_is_given() {
        let nobody = Claims {
            roles: Vec::new(),
            ..claims()
        };
        let principal = principal(&nobody).unwrap();
        for resource in Resource::ALL {
            for action in Action::ALL {
                assert!(authorize(&principal, Permission::new(resource, action)).is_err());
            }
        }
    }
}
