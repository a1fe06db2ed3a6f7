//! What the maker of an API key may at present: a key never gives more than that. Called where a key is looked up.

use selvedge_cluster::store;
use selvedge_protocol::Tenant;

use crate::identity::directory::Directory;
use crate::identity::directory::roles::{is_made, present};
use crate::identity::directory::user::{USER_PREFIX, user_of};
use crate::identity::{Basis, Principal, Role, Standing};

/// The maker of a key.
#[derive(Debug)]
pub(super) enum Maker {
    /// Nobody whom the directory has: the operator, or a subject of an issuer. What it might is in the key.
    Elsewhere,
    /// A user who is not there any more, or is disabled.
    Gone,
    /// A user, as it is at present.
    User(Principal),
}

impl Maker {
    /// Of these roles, those that it may still give.
    pub(super) fn bound(&self, roles: Vec<Role>) -> Option<Vec<Role>> {
        match self {
            Self::Elsewhere => Some(roles),
            Self::Gone => None,
            Self::User(user) => {
                let is_its = |role: &Role| user.covers(std::slice::from_ref(role));
                Some(roles.into_iter().filter(is_its).collect())
            }
        }
    }
}

impl Directory {
    /// Who made a key, by the name of its principal, and the same standing on this as well.
    pub(super) async fn maker(
        &self,
        tenant: &Tenant,
        created_by: &str,
        standing: &Standing,
    ) -> Result<(Maker, Standing), store::Error> {
        if !created_by.starts_with(USER_PREFIX) {
            return Ok((Maker::Elsewhere, standing.clone()));
        }
        let maker = match user_of(created_by) {
            Some(id) => Some(id),
            // As an earlier version wrote it.
            None => self.id_of_principal(tenant, created_by).await?,
        };
        let Some(id) = maker else {
            return Ok((Maker::Gone, standing.clone()));
        };
        let on_user = Basis::User {
            tenant: tenant.clone(),
            id: id.to_string(),
        };
        let standing = self.standings().extend(standing, [on_user]);
        // Now that a change is heard of.
        let Some(user) = self.user(tenant, id).await?.filter(|it| it.is_enabled()) else {
            return Ok((Maker::Gone, standing));
        };
        let made = user.roles.iter().filter(|name| is_made(name));
        let standing = self.standings().extend(
            &standing,
            made.map(|name| Basis::Role {
                tenant: tenant.clone(),
                name: name.clone(),
            }),
        );
        let roles = present(&mut *self.store().begin(), tenant, &user.roles).await?;
        let principal = Principal::new(user.principal(), tenant.clone(), roles);
        Ok((Maker::User(principal), standing))
    }
}
