//! Roles: what principals of a tenant may, as data. Those that are built in, and the sum of several.
//!
//! A role only ever gives. So does a further one: what no role gives is refused.

use std::borrow::Cow;

use crate::identity::permission::{Action, Holder, Owner, Permission, Resource, TABLE};

/// A name and its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    name: Cow<'static, str>,
    rules: Cow<'static, [Rule]>,
}

/// Gives all permissions that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `None`: all, `*`.
    pub resource: Option<Resource>,
    /// `None`: all, `*`.
    pub action: Option<Action>,
    pub scope: Scope,
}

/// Of which things.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// What the principal has made itself.
    Own,
    /// Whose ever.
    Any,
}

/// The roles that every tenant has.
pub static BUILT_IN: [Role; 4] = [Role::VIEWER, Role::OPERATOR, Role::DEVELOPER, Role::ADMIN];

impl Role {
    /// Reads what is the tenant's. Like all that are built in, it lets a user see to itself.
    pub const VIEWER: Self = Self::built_in("viewer", {
        use Resource::{Actor, Operation, Policy, Schedule, Session, User};
        &[
            Rule::any(Operation, Action::Read),
            Rule::any(Actor, Action::Read),
            Rule::any(Schedule, Action::Read),
            Rule::any(Policy, Action::Read),
            Rule::any(Session, Action::Read),
            Rule::own(User, Action::Read),
            Rule::own(User, Action::Write),
        ]
    });

    /// Keeps things going: a viewer that sees to operations, schedules, policies and sessions.
    pub const OPERATOR: Self = Self::built_in("operator", {
        use Resource::{Actor, Cluster, Limit, Operation, Policy, Schedule, Session, User};
        &[
            Rule::any(Limit, Action::Read),
            Rule::any(Operation, Action::Read),
            Rule::any(Operation, Action::Write),
            Rule::any(Actor, Action::Read),
            Rule::any(Schedule, Action::Read),
            Rule::any(Schedule, Action::Write),
            Rule::any(Policy, Action::Read),
            Rule::any(Policy, Action::Write),
            Rule::any(Session, Action::Read),
            Rule::any(Session, Action::Write),
            Rule::any(Cluster, Action::Read),
            Rule::own(User, Action::Read),
            Rule::own(User, Action::Write),
        ]
    });

    /// Builds on it: a viewer that uses actors, operations and schedules, and has workers.
    pub const DEVELOPER: Self = Self::built_in("developer", {
        use Resource::{Actor, Operation, Policy, Schedule, Session, User};
        &[
            Rule::any(Operation, Action::Read),
            Rule::any(Operation, Action::Write),
            Rule::any(Operation, Action::Work),
            Rule::any(Actor, Action::Read),
            Rule::any(Actor, Action::Write),
            Rule::any(Actor, Action::Tell),
            Rule::any(Schedule, Action::Read),
            Rule::any(Schedule, Action::Write),
            Rule::any(Policy, Action::Read),
            Rule::any(Session, Action::Read),
            Rule::own(User, Action::Read),
            Rule::own(User, Action::Write),
        ]
    });

    /// All of its tenant.
    pub const ADMIN: Self = Self::built_in(
        "admin",
        &[Rule {
            resource: None,
            action: None,
            scope: Scope::Any,
        }],
    );

    const fn built_in(name: &'static str, rules: &'static [Rule]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            rules: Cow::Borrowed(rules),
        }
    }

    /// A role of somebody's own.
    pub fn new(name: impl Into<String>, rules: Vec<Rule>) -> Self {
        Self {
            name: Cow::Owned(name.into()),
            rules: Cow::Owned(rules),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// This of all such things.
    pub const fn any(resource: Resource, action: Action) -> Self {
        Self {
            resource: Some(resource),
            action: Some(action),
            scope: Scope::Any,
        }
    }

    /// The same of what is one's own.
    pub const fn own(resource: Resource, action: Action) -> Self {
        Self {
            scope: Scope::Own,
            ..Self::any(resource, action)
        }
    }

    pub(super) fn matches(self, permission: Permission) -> bool {
        self.resource.is_none_or(|it| it == permission.resource)
            && self.action.is_none_or(|it| it == permission.action)
    }
}

/// The sum of roles: a set of permissions for each scope, so that a question is one look at a bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grants {
    any: u128,
    own: u128,
}

impl Grants {
    /// What these roles give together.
    pub(super) fn of(roles: &[Role]) -> Self {
        let mut grants = Self::default();
        for rule in roles.iter().flat_map(|role| role.rules.iter()) {
            for entry in TABLE.iter().filter(|it| rule.matches(it.permission)) {
                let bit = entry.permission.bit();
                match (entry.holder, rule.scope, entry.owner) {
                    (Holder::Administrators, _, _) | (_, Scope::Own, Owner::Unknown) => {}
                    (Holder::Roles | Holder::Either, Scope::Any, _) => grants.any |= bit,
                    (Holder::Roles | Holder::Either, Scope::Own, Owner::Known) => grants.own |= bit,
                }
            }
        }
        grants
    }

    /// The same with what administrators of the cluster have.
    #[must_use]
    pub(super) fn with_cluster(mut self) -> Self {
        for entry in TABLE {
            match entry.holder {
                Holder::Administrators | Holder::Either => self.any |= entry.permission.bit(),
                Holder::Roles => {}
            }
        }
        self
    }

    /// Whether all that the others give is among these.
    pub(super) const fn cover(self, others: Self) -> bool {
        others.any & !self.any == 0 && others.own & !(self.any | self.own) == 0
    }

    /// Of which things it is given; `None`: not at all.
    pub(super) const fn scope(self, permission: Permission) -> Option<Scope> {
        let bit = permission.bit();
        if self.any & bit != 0 {
            Some(Scope::Any)
        } else if self.own & bit != 0 {
            Some(Scope::Own)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each pair that exists and what the built-in roles may of it: V(iewer), O(perator), D(eveloper), A(dmin); and
    /// C, an administrator of the cluster without any role. A small letter may it of what is its own.
    const EXPECTED: &[(&str, &str)] = &[
        ("operation:read", "VODA"),
        ("operation:write", "ODA"),
        ("operation:work", "DA"),
        ("actor:read", "VODA"),
        ("actor:write", "DA"),
        ("actor:tell", "DA"),
        ("schedule:read", "VODA"),
        ("schedule:write", "ODA"),
        ("policy:read", "VODA"),
        ("policy:write", "OA"),
        ("session:read", "VODA"),
        ("session:write", "OA"),
        ("cluster:read", "OAC"),
        ("cluster:administer", "C"),
        ("config:read", "C"),
        ("audit:read", "A"),
        ("audit:administer", "C"),
        ("limit:read", "OAC"),
        ("limit:write", "AC"),
        ("limit:administer", "C"),
        ("role:read", "A"),
        ("role:write", "A"),
        ("api-key:read", "A"),
        ("api-key:write", "A"),
        ("user:read", "vodA"),
        ("user:write", "vodA"),
        ("subject:read", "A"),
        ("subject:write", "A"),
    ];

    fn pairs() -> impl Iterator<Item = Permission> {
        let resources = Resource::ALL.into_iter();
        resources.flat_map(|resource| Action::ALL.map(|action| Permission::new(resource, action)))
    }

    #[test]
    fn the_built_in_roles_may_what_is_written_here_and_nothing_else() {
        let holders = [
            ('V', Grants::of(&[Role::VIEWER])),
            ('O', Grants::of(&[Role::OPERATOR])),
            ('D', Grants::of(&[Role::DEVELOPER])),
            ('A', Grants::of(&[Role::ADMIN])),
            ('C', Grants::default().with_cluster()),
        ];
        for permission in pairs() {
            let name = permission.to_string();
            let expected = EXPECTED.iter().find(|(of, _)| *of == name);
            assert_eq!(expected.is_some(), permission.entry().is_some(), "{name}");
            let holding = expected.map_or("", |(_, holding)| *holding);
            for (letter, grants) in holders {
                let scope = grants.scope(permission);
                let own = holding.contains(letter.to_ascii_lowercase());
                let own = own.then_some(Scope::Own);
                let expected = holding.contains(letter).then_some(Scope::Any).or(own);
                assert_eq!(scope, expected, "{name} {letter}");
            }
        }
        assert_eq!(EXPECTED.len(), TABLE.len());
    }

    #[test]
    fn one_s_own_are_given_only_where_the_owner_is_known() {
        let all_own = Rule {
            resource: None,
            action: None,
            scope: Scope::Own,
        };
        let grants = Grants::of(&[Role::new("own", vec![all_own])]);
        for permission in pairs() {
            let is_owned = matches!(
                permission.resource,
                Resource::Session | Resource::ApiKey | Resource::User
            ) && permission.entry().is_some();
            let expected = is_owned.then_some(Scope::Own);
            assert_eq!(grants.scope(permission), expected, "{permission}");
        }
        // A wider rule counts, in whichever order they come.
        let roles = [Role::new("own", vec![all_own]), Role::VIEWER];
        let read = Permission::new(Resource::Session, Action::Read);
        assert_eq!(Grants::of(&roles).scope(read), Some(Scope::Any));
    }

    fn some_rule() -> impl Strategy<Value = Rule> {
        let resource = proptest::option::of(proptest::sample::select(&Resource::ALL[..]));
        let action = proptest::option::of(proptest::sample::select(&Action::ALL[..]));
        let scope = prop_oneof![Just(Scope::Any), Just(Scope::Own)];
        (resource, action, scope).prop_map(|(resource, action, scope)| Rule {
            resource,
            action,
            scope,
        })
    }

    fn some_role() -> impl Strategy<Value = Role> {
        prop_oneof![
            proptest::sample::select(&BUILT_IN[..]),
            proptest::collection::vec(some_rule(), 0..4).prop_map(|rules| Role::new("some", rules)),
        ]
    }

    proptest! {
        #[test]
        fn a_further_role_never_takes_away(
            mut roles in proptest::collection::vec(some_role(), 0..4),
            more in some_role(),
            at in any::<proptest::sample::Index>(),
        ) {
            let before = Grants::of(&roles);
            roles.insert(at.index(roles.len() + 1), more);
            let after = Grants::of(&roles);
            for permission in pairs() {
                // No scope is less than one's own, which is less than any.
                prop_assert!(after.scope(permission) >= before.scope(permission), "{}", permission);
            }
        }

        #[test]
        fn what_is_covered_gives_nothing_more(
            roles in proptest::collection::vec(some_role(), 0..4),
            others in proptest::collection::vec(some_role(), 0..4),
        ) {
            let (own, other) = (Grants::of(&roles), Grants::of(&others));
            let is_more = pairs().any(|it| other.scope(it) > own.scope(it));
            prop_assert_eq!(own.cover(other), !is_more);
            let both: Vec<_> = roles.iter().chain(&others).cloned().collect();
            prop_assert!(Grants::of(&both).cover(other));
        }

        #[test]
        fn no_role_reaches_beyond_its_tenant_or_the_table(
            roles in proptest::collection::vec(some_role(), 0..5),
        ) {
            let grants = Grants::of(&roles);
            for permission in pairs() {
                let holder = permission.entry().map(|entry| entry.holder);
                if matches!(holder, None | Some(Holder::Administrators)) {
                    prop_assert_eq!(grants.scope(permission), None, "{}", permission);
                }
            }
        }
    }
}
