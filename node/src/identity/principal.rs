//! Who acts: a principal with what it may and for how long. Authenticators make them, sessions and requests hold them.
//!
//! What it may is counted together once, when it is made, so that authorisation is one look at a bit.

use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::Clock;
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use tokio::time::timeout;

use crate::identity::permission::Permission;
use crate::identity::role::{Grants, Role, Scope};
use crate::identity::standing::Standing;

/// Somebody who has shown who they are, acting in one tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    /// A user, an API key, a node.
    pub name: Arc<str>,
    /// The tenant everything this principal names lies in.
    pub tenant: Tenant,
    roles: Arc<[Role]>,
    grants: Grants,
    reach: Reach,
    /// Unix milliseconds.
    expires_ms: Option<u64>,
    standing: Standing,
}

/// How far a principal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// What its roles give, in its tenant.
    Tenant,
    /// The cluster as well, and what of other tenants its administrators see.
    Cluster,
}

impl Principal {
    /// Somebody with these roles in a tenant.
    pub fn new(name: impl Into<Arc<str>>, tenant: Tenant, roles: impl Into<Arc<[Role]>>) -> Self {
        let roles = roles.into();
        Self {
            name: name.into(),
            tenant,
            grants: Grants::of(&roles),
            roles,
            reach: Reach::Tenant,
            expires_ms: None,
            standing: Standing::default(),
        }
    }

    /// The same as an administrator of the cluster, which no role of a tenant makes of anybody.
    #[must_use]
    pub fn administering_the_cluster(mut self) -> Self {
        self.reach = Reach::Cluster;
        self.grants = self.grants.with_cluster();
        self
    }

    /// The same until a moment, Unix milliseconds.
    #[must_use]
    pub const fn until(mut self, expires_ms: u64) -> Self {
        self.expires_ms = Some(expires_ms);
        self
    }

    /// The same for as long as what it rests on is as it was.
    #[must_use]
    pub fn resting_on(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Whether what is in this tenant is there for it at all.
    pub fn reaches(&self, tenant: &Tenant) -> bool {
        self.sees_all_tenants() || self.tenant == *tenant
    }

    /// Whether it is an administrator of the cluster.
    pub const fn sees_all_tenants(&self) -> bool {
        match self.reach {
            Reach::Tenant => false,
            Reach::Cluster => true,
        }
    }

    /// Of which things it may do this; `None`: of none.
    pub(super) const fn scope(&self, permission: Permission) -> Option<Scope> {
        self.grants.scope(permission)
    }

    /// That its credential has not expired, and that what it rests on is as it was.
    pub fn check_present(&self, clock: &Clock) -> Result<(), Failure> {
        self.standing.check()?;
        match self.expires_ms {
            // Most do not, and need no look at the clock.
            Some(expires_ms) if clock.wall_ms() >= expires_ms => Err(Failure::field(
                ErrorCode::Unauthenticated,
                "token",
                "the credential has expired; come with a new one",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether its credential can come to its end.
    pub(crate) fn may_end(&self) -> bool {
        self.expires_ms.is_some() || self.standing.may_end()
    }

    /// When to look again whether it has expired; `None`: never.
    fn next_look(&self, clock: &Clock) -> Option<Duration> {
        let left_ms = self.expires_ms?.saturating_sub(clock.wall_ms());
        Some(Duration::from_millis(left_ms).min(LOOK_MAX))
    }
}

/// How long the credential of somebody holds: for what goes on after it was shown. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    principal: Option<Principal>,
    clock: Clock,
}

impl Term {
    /// That of a principal; nobody's never ends.
    pub(crate) const fn new(principal: Option<Principal>, clock: Clock) -> Self {
        Self { principal, clock }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> Failure {
        let Some(principal) = &self.principal else {
            return std::future::pending().await;
        };
        loop {
            if let Err(failure) = principal.check_present(&self.clock) {
                return failure;
            }
            match principal.next_look(&self.clock) {
                // Either way the principal is looked at again.
                Some(wait) => drop(timeout(wait, principal.standing.ended()).await),
                None => principal.standing.ended().await,
            }
        }
    }
}

/// A wait is monotonic and an expiry is wall time: where the clock was set on, it is noticed after this at the latest.
const LOOK_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::standing::{Basis, Standings};
    use crate::notice::Heard;

    fn somebody() -> Principal {
        Principal::new("somebody", Tenant::default_tenant(), [Role::VIEWER])
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_when_the_credential_does() {
        let clock = Clock::simulated(1_000_000, 1);
        // Longer than one look.
        let expires_ms = 1_000_000 + 3 * 3_600_000 + 1;
        let principal = somebody().until(expires_ms);
        assert!(principal.check_present(&clock).is_ok());
        let term = Term::new(Some(principal.clone()), clock.clone());
        let failure = term.ended().await;
        assert_eq!(failure.code, ErrorCode::Unauthenticated);
        assert_eq!(clock.wall_ms(), expires_ms);
        assert!(principal.check_present(&clock).is_err());
        assert_eq!(principal.next_look(&clock), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_on_is_noticed() {
        let clock = Clock::simulated(0, 1);
        let term = Term::new(Some(somebody().until(1 << 40)), clock.clone());
        clock.advance(Duration::from_millis(1 << 40));
        let waited = timeout(2 * LOOK_MAX, term.ended()).await;
        assert!(waited.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_expiry_stays() {
        let clock = Clock::simulated(u64::MAX - 1, 1);
        assert!(somebody().check_present(&clock).is_ok());
        assert_eq!(somebody().next_look(&clock), None);
        for principal in [Some(somebody()), None] {
            let term = Term::new(principal, clock.clone());
            let year = Duration::from_secs(365 * 24 * 3_600);
            assert!(timeout(year, term.ended()).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_with_what_the_principal_rests_on() {
        let clock = Clock::simulated(0, 1);
        let standings = Standings::default();
        for expires_ms in [None, Some(1 << 40)] {
            let basis = Basis::User {
                tenant: Tenant::default_tenant(),
                id: "1".to_owned(),
            };
            let mut principal = somebody().resting_on(standings.stand([basis]));
            principal.expires_ms = expires_ms;
            assert!(principal.may_end());
            let term = Term::new(Some(principal), clock.clone());
            let day = Duration::from_secs(24 * 3_600);
            assert!(timeout(day, term.ended()).await.is_err());
            let (ended, ()) = tokio::join!(term.ended(), async { standings.heard(Heard::Lost) });
            assert_eq!(ended.code, ErrorCode::Unavailable);
        }
    }

    #[test]
    fn only_administrators_of_the_cluster_reach_other_tenants() {
        let other = Tenant::new("other").unwrap();
        let admin = Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN]);
        assert!(admin.reaches(&Tenant::default_tenant()));
        assert!(!admin.reaches(&other));
        assert!(admin.administering_the_cluster().reaches(&other));
    }
}
