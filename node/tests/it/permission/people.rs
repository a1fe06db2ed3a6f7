//! Authenticators of these tests: tokens that say themselves what their holder may.

use async_trait::async_trait;
use selvedge_node::identity::{
    Authenticator, BUILT_IN, Entry, Holder, Principal, Role, Rule, Scope, TABLE,
};
use selvedge_protocol::{ErrorCode, Failure, Tenant};

/// Lets in whoever has the token, as `tester` who has all of its tenant and nothing of the cluster.
pub(crate) struct OfTheTenant(pub(crate) &'static str);

#[async_trait]
impl Authenticator for OfTheTenant {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        if token != self.0 {
            return Err(unknown());
        }
        let tenant = tenant.unwrap_or_else(Tenant::default_tenant);
        Ok(Principal::new("tester", tenant, [of_the_tenant()]))
    }
}

/// All that is about the tenant and nothing that is about the cluster.
pub(crate) fn of_the_tenant() -> Role {
    let rules = TABLE.iter().filter(|it| it.holder == Holder::Roles);
    Role::new("of-the-tenant", rules.map(rule).collect())
}

/// Lets in whoever has a token of the form `WHAT` or `NAME@WHAT`; without a name it is ann. What there is:
///
/// * `role/ROLE`: has a built-in role;
/// * `only/PERMISSION`, `without/PERMISSION`: has that one alone, or all others;
/// * `own/PERMISSION`: has that one for what is its own;
/// * `cluster/admin`: has all of the tenant and of the cluster;
/// * `until/MS`: the same until then.
pub(crate) struct People;

#[async_trait]
impl Authenticator for People {
    async fn authenticate(
        &self,
        token: &str,
        tenant: Option<Tenant>,
    ) -> Result<Principal, Failure> {
        let (name, what) = token.split_once('@').unwrap_or(("ann", token));
        let tenant = tenant.unwrap_or_else(Tenant::default_tenant);
        let somebody = |roles: Vec<Role>| Principal::new(name, tenant, roles);
        let (how, of) = what.split_once('/').ok_or_else(unknown)?;
        Ok(match how {
            "role" => {
                let role = BUILT_IN.iter().find(|role| role.name() == of);
                somebody(vec![role.unwrap().clone()])
            }
            "cluster" => somebody(vec![Role::ADMIN]).administering_the_cluster(),
            "until" => somebody(vec![Role::ADMIN])
                .administering_the_cluster()
                .until(of.parse().unwrap()),
            "own" => {
                let rule = Rule {
                    scope: Scope::Own,
                    ..rule(entry(of))
                };
                somebody(vec![Role::new("own", vec![rule])])
            }
            "only" => match entry(of).holder {
                Holder::Roles | Holder::Either => {
                    somebody(vec![Role::new("only", vec![rule(entry(of))])])
                }
                // Beside what all administrators of the cluster have.
                Holder::Administrators => somebody(Vec::new()).administering_the_cluster(),
            },
            "without" => {
                let others = TABLE.iter().filter(|it| it.permission.to_string() != of);
                let others = somebody(vec![Role::new("others", others.map(rule).collect())]);
                match entry(of).holder {
                    Holder::Roles => others.administering_the_cluster(),
                    Holder::Administrators | Holder::Either => others,
                }
            }
            _ => return Err(unknown()),
        })
    }
}

fn entry(name: &str) -> &'static Entry {
    let found = TABLE.iter().find(|it| it.permission.to_string() == name);
    found.unwrap_or_else(|| panic!("{name} is in the table"))
}

fn rule(entry: &Entry) -> Rule {
    Rule::any(entry.permission.resource, entry.permission.action)
}

fn unknown() -> Failure {
    Failure::new(
        ErrorCode::Unauthenticated,
        "the token is not valid in this test",
    )
}
