//! Turns credentials into a principal. Sessions call it once per Hello.

use std::sync::Arc;

use async_trait::async_trait;
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::identity::{Principal, Role, Secret};

/// A way to find out who somebody is.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The principal of a token, in the tenant it asks for or else its own. The failure says nothing
    /// about why a token is not valid. Bounds its own waits: the client waits for it.
    async fn authenticate(&self, token: &str, tenant: Option<Tenant>)
    -> Result<Principal, Failure>;
}

/// One token for one principal, that may do everything in every tenant: for development only.
#[derive(Debug)]
pub struct DevelopmentToken {
    name: Arc<str>,
    roles: Arc<[Role]>,
    token: Secret,
}

impl DevelopmentToken {
    /// Whoever has `token` is `name`.
    pub fn new(name: &str, token: Secret) -> Self {
        Self {
            name: Arc::from(name),
            roles: Arc::from([Role::ADMIN]),
            token,
        }
    }

    /// Whether it is this token.
    pub(super) fn is(&self, token: &str) -> bool {
        self.token.is(token)
    }
}

#[async_trait]
impl Authenticator for DevelopmentToken {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        if !self.is(token) {
            return Err(Failure::field(
                ErrorCode::Unauthenticated,
                "token",
                "the token is not valid here; use the one this node printed or wrote at its start",
            ));
        }
        let tenant = tenant.unwrap_or_else(Tenant::default_tenant);
        let name = Arc::clone(&self.name);
        let principal = Principal::new(name, tenant, Arc::clone(&self.roles));
        Ok(principal.administering_the_cluster())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn knows_its_token_and_no_other() {
        let authenticator = DevelopmentToken::new("developer", Secret::new("right"));
        let principal = authenticator.authenticate("right", None).await.unwrap();
        assert_eq!(&*principal.name, "developer");
        assert_eq!(principal.tenant, Tenant::default_tenant());

        let tenant = Tenant::new("acme").unwrap();
        let principal = authenticator
            .authenticate("right", Some(tenant.clone()))
            .await
            .unwrap();
        assert_eq!(principal.tenant, tenant);

        for wrong in ["", "righ", "right ", "Right"] {
            let failure = authenticator.authenticate(wrong, None).await.unwrap_err();
            assert_eq!(failure.code, ErrorCode::Unauthenticated);
            assert!(wrong.is_empty() || !failure.message.contains(wrong));
        }
    }
}
