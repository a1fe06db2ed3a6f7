//! Whether a principal may do something: the one function that everything asks. What is not given is refused.

use selvedge_protocol::{ErrorCode, Failure};

use crate::identity::Principal;
use crate::identity::permission::{Holder, Permission};
use crate::identity::role::{BUILT_IN, Grants, Role, Scope};

/// Whether the principal may do this to any such thing of its tenant.
pub fn authorize(principal: &Principal, permission: Permission) -> Result<(), Failure> {
    match scope(principal, permission)? {
        Scope::Any => Ok(()),
        Scope::Own => Err(refusal(principal, permission)),
    }
}

/// Of which things of its tenant the principal may do this.
pub fn scope(principal: &Principal, permission: Permission) -> Result<Scope, Failure> {
    // Each request comes by here: nothing is written for those that may.
    match principal.scope(permission) {
        Some(scope) => Ok(scope),
        None => Err(refusal(principal, permission)),
    }
}

#[cold]
fn refusal(principal: &Principal, permission: Permission) -> Failure {
    let entry = permission.entry();
    let meaning = entry.map_or("do what nobody may", |entry| entry.meaning);
    let given = BUILT_IN.iter().filter(|role| {
        let grants = Grants::of(std::slice::from_ref(*role));
        grants.scope(permission) == Some(Scope::Any)
    });
    let given = listed(given, " or ");
    let who = match entry.map(|entry| entry.holder) {
        None => "no role has it".to_owned(),
        Some(Holder::Administrators) => "only administrators of the cluster have it".to_owned(),
        Some(Holder::Roles) => format!("the role {given} has it"),
        Some(Holder::Either) => {
            format!("the role {given} has it, and administrators of the cluster do")
        }
    };
    let name = &principal.name;
    let tenant = &principal.tenant;
    let has = match principal.roles() {
        [] => "no role".to_owned(),
        roles => format!("the role {}", listed(roles.iter(), " and ")),
    };
    Failure::new(
        ErrorCode::PermissionDenied,
        format!(
            "{name}, with {has} in tenant {tenant}, may not {meaning}; that is {permission}, and {who}"
        ),
    )
}

/// Names of roles with the last word between them.
fn listed<'a>(roles: impl Iterator<Item = &'a Role>, between: &str) -> String {
    let names: Vec<_> = roles.map(Role::name).collect();
    names.join(between)
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::Tenant;

    use super::*;
    use crate::identity::permission::{Action, Resource, TABLE};
    use crate::identity::role::Rule;

    fn somebody(roles: &[Role]) -> Principal {
        Principal::new("ann", Tenant::default_tenant(), roles)
    }

    #[test]
    fn a_refusal_says_who_may_not_do_what_and_who_may() {
        let write = Permission::new(Resource::Actor, Action::Write);
        let failure = authorize(&somebody(&[Role::VIEWER]), write).unwrap_err();
        assert_eq!(failure.code, ErrorCode::PermissionDenied);
        assert_eq!(
            failure.message,
            "ann, with the role viewer in tenant default, may not send commands to actors; that is actor:write, and \
             the role developer or admin has it"
        );
        let drain = Permission::new(Resource::Cluster, Action::Administer);
        let failure = authorize(&somebody(&[Role::OPERATOR, Role::ADMIN]), drain).unwrap_err();
        assert_eq!(
            failure.message,
            "ann, with the role operator and admin in tenant default, may not drain, undrain and remove nodes of the \
             cluster; that is cluster:administer, and only administrators of the cluster have it"
        );
        let read = Permission::new(Resource::Cluster, Action::Read);
        let failure = authorize(&somebody(&[]), read).unwrap_err();
        assert_eq!(
            failure.message,
            "ann, with no role in tenant default, may not see the nodes of the cluster and its plan; that is \
             cluster:read, and the role operator or admin has it, and administrators of the cluster do"
        );
    }

    #[test]
    fn nobody_may_what_is_not_in_the_table() {
        let all = somebody(&[Role::ADMIN]).administering_the_cluster();
        for entry in TABLE {
            assert!(
                authorize(&all, entry.permission).is_ok(),
                "{}",
                entry.permission
            );
            assert!(authorize(&somebody(&[]), entry.permission).is_err());
        }
        let none = Permission::new(Resource::Config, Action::Tell);
        assert!(authorize(&all, none).is_err());
    }

    #[test]
    fn one_s_own_is_not_all() {
        let read = Permission::new(Resource::Session, Action::Read);
        let rule = Rule {
            scope: Scope::Own,
            ..Rule::any(Resource::Session, Action::Read)
        };
        let principal = somebody(&[Role::new("self", vec![rule])]);
        assert_eq!(scope(&principal, read).unwrap(), Scope::Own);
        assert!(authorize(&principal, read).is_err());
    }
}
