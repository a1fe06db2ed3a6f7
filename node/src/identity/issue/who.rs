//! Finds out whose an access token of the cluster is. The authenticator asks; what it is told rests on the user, its login
//! and its roles, as they are at present: the token is believed about who it is and nothing more.
//!
//! Everything that an answer rests on is registered before it is read, so that a change is seen here or heard of.

use selvedge_cluster::store::{self, Isolation};
use selvedge_protocol::limits::TOKEN_SKEW_MS;
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use uuid::Uuid;

use crate::identity::directory::{Directory, User, is_made, present, read_user};
use crate::identity::issue::rows::{LoginAt, read_family};
use crate::identity::jwt::Claims;
use crate::identity::{Basis, Principal, Standing};

impl Directory {
    /// The principal of verified claims of the cluster itself.
    pub(in crate::identity) async fn principal_of_login(
        &self,
        claims: &Claims,
    ) -> Result<Principal, Failure> {
        let id = |text: &str| Uuid::try_parse(text).ok();
        let login = claims.login.as_deref().and_then(id);
        let (Some(tenant), Some(user), Some(login)) = (&claims.tenant, id(&claims.subject), login)
        else {
            return Err(over());
        };
        let at = LoginAt {
            tenant,
            user,
            login,
        };
        let looking = async {
            match self.standing_of_token(claims).await? {
                Some(standing) => self.look_up_login(&at, &standing).await,
                None => Ok(None),
            }
        };
        let principal = self.in_turn(looking).await?.ok_or_else(over)?;
        Ok(principal.until(claims.expires_ms.saturating_add(TOKEN_SKEW_MS)))
    }

    async fn look_up_login(
        &self,
        at: &LoginAt<'_>,
        standing: &Standing,
    ) -> Result<Option<Principal>, store::Error> {
        let LoginAt {
            tenant,
            user,
            login,
        } = *at;
        let on = [
            Basis::User {
                tenant: tenant.clone(),
                id: user.to_string(),
            },
            Basis::TokenFamily {
                tenant: tenant.clone(),
                id: login.to_string(),
            },
        ];
        let standing = self.standings().extend(standing, on);
        let mut transaction = self.store().begin();
        let found = read_user(&mut *transaction, tenant, user, Isolation::Snapshot).await?;
        let family = read_family(&mut *transaction, at, Isolation::Snapshot).await?;
        let now_ms = self.clock().wall_ms();
        let (Some(user), Some(family)) = (found, family) else {
            return Ok(None);
        };
        let is_over = !user.is_enabled()
            || !family.goes_on(now_ms)
            || family.created_ms < user.logins_from_ms;
        if is_over {
            return Ok(None);
        }
        let standing = self.on_roles(tenant, &user, &standing);
        // Roles of the tenant are read after they were registered.
        let mut transaction = self.store().begin();
        let roles = present(&mut *transaction, tenant, &user.roles).await?;
        let principal = Principal::new(user.principal(), tenant.clone(), roles);
        Ok(Some(principal.resting_on(standing)))
    }

    /// The same, and on the roles that the tenant can change, and on its own name, by which its sessions are closed.
    fn on_roles(&self, tenant: &Tenant, user: &User, standing: &Standing) -> Standing {
        let made = user.roles.iter().filter(|name| is_made(name));
        let roles = made.map(|name| Basis::Role {
            tenant: tenant.clone(),
            name: name.clone(),
        });
        let itself = Basis::Principal {
            tenant: tenant.clone(),
            name: user.principal(),
        };
        self.standings().extend(standing, roles.chain([itself]))
    }
}

/// Said of each login that is over, whatever has ended it.
fn over() -> Failure {
    Failure::field(
        ErrorCode::Unauthenticated,
        "token",
        "the login that the token is of is over; log in again",
    )
}
