//! What can be permitted: each pair of a resource and an action, in one table, and which of them a request needs.
//!
//! Everything that authorises asks by these pairs; documents are made of the table. Pure: nothing here knows who asks.
//! What is not in the table nobody may.

use std::fmt;

use selvedge_cluster::actor::Kind;
use selvedge_protocol::{ActorKind, Target, task_payload};

use crate::gateway::SUBJECT;
use crate::operation::{OperationKind, ScheduleKind};
use crate::processing::PolicyKind;

/// What something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    Operation,
    /// Actors of the application's kinds.
    Actor,
    Schedule,
    Policy,
    Session,
    Cluster,
    Config,
    Audit,
    /// Rates, of principals and of tenants.
    Limit,
    /// Roles that the tenant makes.
    Role,
    ApiKey,
    /// Who logs in with a password of this cluster, and their logins.
    User,
    /// Persons that data is about.
    Subject,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Read,
    Write,
    /// Send ephemeral messages.
    Tell,
    /// Execute steps.
    Work,
    Administer,
}

/// A pair of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission {
    pub resource: Resource,
    pub action: Action,
}

/// Who can have a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Who has a role with it. It is about the principal's own tenant.
    Roles,
    /// Administrators of the cluster. No role of a tenant gives it, not even by a wildcard: it reaches all tenants.
    Administrators,
    /// Both.
    Either,
}

/// Whether the gateway knows the owner of such a thing without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Known,
    /// A rule for one's own things gives nothing.
    Unknown,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub permission: Permission,
    pub holder: Holder,
    pub owner: Owner,
    /// What one may do with it, as a sentence goes on after "may".
    pub meaning: &'static str,
}

/// Every permission that there is.
pub const TABLE: &[Entry] = {
    use Action::{Administer, Read, Tell, Work, Write};
    use Resource::{
        Actor, ApiKey, Audit, Cluster, Config, Limit, Operation, Policy, Role, Schedule, Session,
        Subject, User,
    };
    &[
        entry(Operation, Read, "read, list and watch operations"),
        entry(
            Operation,
            Write,
            "submit operations, and cancel, pause, resume, retry and signal them",
        ),
        entry(Operation, Work, "execute steps of operations as a worker"),
        entry(Actor, Read, "query, list and watch actors"),
        entry(Actor, Write, "send commands to actors"),
        entry(
            Actor,
            Tell,
            "send ephemeral messages to who watches an actor",
        ),
        entry(Schedule, Read, "read, list and watch schedules"),
        entry(
            Schedule,
            Write,
            "create, change, trigger and delete schedules, which submit operations",
        ),
        entry(Policy, Read, "read, list and watch policies"),
        entry(Policy, Write, "set and reset policies"),
        Entry {
            owner: Owner::Known,
            ..entry(Session, Read, "list sessions")
        },
        Entry {
            owner: Owner::Known,
            ..entry(Session, Write, "close sessions")
        },
        Entry {
            holder: Holder::Either,
            ..entry(Cluster, Read, "see the nodes of the cluster and its plan")
        },
        Entry {
            holder: Holder::Administrators,
            ..entry(
                Cluster,
                Administer,
                "drain, undrain and remove nodes of the cluster",
            )
        },
        Entry {
            holder: Holder::Administrators,
            ..entry(Config, Read, "see the configuration of nodes")
        },
        entry(Audit, Read, "read and verify the audit trail of the tenant"),
        Entry {
            holder: Holder::Administrators,
            ..entry(
                Audit,
                Administer,
                "read and verify the audit trail of the cluster",
            )
        },
        Entry {
            holder: Holder::Either,
            ..entry(Limit, Read, "see limits and whom they refuse")
        },
        Entry {
            holder: Holder::Either,
            ..entry(Limit, Write, "set limits of principals")
        },
        Entry {
            holder: Holder::Administrators,
            ..entry(Limit, Administer, "set limits of tenants")
        },
        entry(Role, Read, "see roles"),
        entry(Role, Write, "make, change and remove roles"),
        Entry {
            owner: Owner::Known,
            ..entry(ApiKey, Read, "list API keys")
        },
        Entry {
            owner: Owner::Known,
            ..entry(ApiKey, Write, "make, revoke and remove API keys")
        },
        Entry {
            owner: Owner::Known,
            ..entry(User, Read, "see users and their logins")
        },
        Entry {
            owner: Owner::Known,
            ..entry(
                User,
                Write,
                "make, change and remove users, set their passwords and end their logins",
            )
        },
        entry(
            Subject,
            Read,
            "list subjects and their consents, and export what is stored about one",
        ),
        entry(
            Subject,
            Write,
            "erase subjects, record their consents and wrap their keys anew",
        ),
    ]
};

const fn entry(resource: Resource, action: Action, meaning: &'static str) -> Entry {
    Entry {
        permission: Permission::new(resource, action),
        holder: Holder::Roles,
        owner: Owner::Unknown,
        meaning,
    }
}

/// What a client asks of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    Command,
    /// A query of this name.
    Query(&'a str),
    Subscribe,
    /// An ephemeral message.
    Tell,
}

impl Permission {
    pub const fn new(resource: Resource, action: Action) -> Self {
        Self { resource, action }
    }

    /// What a request needs. A list of actors is asked for by [`Permission::to_list`].
    pub fn of(request: Request<'_>, target: &Target) -> Self {
        let action = match request {
            Request::Command => Action::Write,
            Request::Query(_) | Request::Subscribe => Action::Read,
            // Whatever the kind: it changes nothing of what is told about.
            Request::Tell => return Self::new(Resource::Actor, Action::Tell),
        };
        match target {
            Target::Actor(address) => Self::new(Resource::of_kind(&address.kind), action),
            // Of the task that a worker has; nobody else reads payloads.
            Target::Operation(_) if request == Request::Query(task_payload::QUERY) => {
                Self::new(Resource::Operation, Action::Work)
            }
            Target::Operation(_) | Target::Operations => Self::new(Resource::Operation, action),
            Target::Actors => Self::new(Resource::Actor, action),
            Target::Cluster if request == Request::Command => {
                Self::new(Resource::Cluster, Action::Administer)
            }
            Target::Cluster => Self::new(Resource::Cluster, action),
        }
    }

    /// What a request about who is known needs, by its name; `None`: it is about the nodes.
    pub fn in_directory(name: &str) -> Option<Self> {
        Some(match name {
            "role.list" | "role.get" => Self::new(Resource::Role, Action::Read),
            "role.set" | "role.remove" => Self::new(Resource::Role, Action::Write),
            "api-key.list" | "api-key.get" => Self::new(Resource::ApiKey, Action::Read),
            "api-key.create" | "api-key.revoke" | "api-key.remove" => {
                Self::new(Resource::ApiKey, Action::Write)
            }
            "user.list" | "user.get" | "login.list" => Self::new(Resource::User, Action::Read),
            "user.create" | "user.set" | "user.set-password" | "user.remove" | "login.end" => {
                Self::new(Resource::User, Action::Write)
            }
            "session.close-all" => Self::new(Resource::Session, Action::Write),
            _ => return None,
        })
    }

    /// What it needs to list the actors of a kind.
    pub fn to_list(kind: &ActorKind) -> Self {
        Self::new(Resource::of_kind(kind), Action::Read)
    }

    /// Its row in the table; `None`: there is no such permission.
    pub fn entry(self) -> Option<&'static Entry> {
        TABLE.iter().find(|entry| entry.permission == self)
    }

    /// The bit that stands for it in a set.
    pub(super) const fn bit(self) -> u128 {
        1 << (self.resource as usize * Action::ALL.len() + self.action as usize)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource.name(), self.action.name())
    }
}

impl Resource {
    /// Each of them.
    pub const ALL: [Self; 13] = [
        Self::Operation,
        Self::Actor,
        Self::Schedule,
        Self::Policy,
        Self::Session,
        Self::Cluster,
        Self::Config,
        Self::Audit,
        Self::Limit,
        Self::Role,
        Self::ApiKey,
        Self::User,
        Self::Subject,
    ];

    /// The name in rules and refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Actor => "actor",
            Self::Schedule => "schedule",
            Self::Policy => "policy",
            Self::Session => "session",
            Self::Cluster => "cluster",
            Self::Config => "config",
            Self::Audit => "audit",
            Self::Limit => "limit",
            Self::Role => "role",
            Self::ApiKey => "api-key",
            Self::User => "user",
            Self::Subject => "subject",
        }
    }

    /// What an actor of this kind is: those of our own kinds are more than the application's.
    fn of_kind(kind: &ActorKind) -> Self {
        match kind.as_str() {
            OperationKind::NAME => Self::Operation,
            ScheduleKind::NAME => Self::Schedule,
            PolicyKind::NAME => Self::Policy,
            SUBJECT => Self::Subject,
            _ => Self::Actor,
        }
    }
}

impl Action {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::Tell,
        Self::Work,
        Self::Administer,
    ];

    /// The name in rules and refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Tell => "tell",
            Self::Work => "work",
            Self::Administer => "administer",
        }
    }
}

// A set has room for each pair.
const _: () = assert!(Resource::ALL.len() * Action::ALL.len() <= 128);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use selvedge_protocol::OperationId;

    use super::*;

    #[test]
    fn each_pair_is_in_the_table_once_and_has_a_bit_of_its_own() {
        let pairs: HashSet<_> = TABLE.iter().map(|entry| entry.permission).collect();
        assert_eq!(pairs.len(), TABLE.len());
        let all = Resource::ALL
            .into_iter()
            .flat_map(|resource| Action::ALL.map(|action| Permission::new(resource, action)));
        let bits: HashSet<_> = all.map(Permission::bit).collect();
        assert_eq!(bits.len(), Resource::ALL.len() * Action::ALL.len());
    }

    #[test]
    fn a_request_needs_what_its_target_is() {
        let actor = |text: &str| Target::Actor(text.parse().unwrap());
        let operation = Target::Operation(OperationId::new("a").unwrap());
        let query = Request::Query("get");
        let cases = [
            (Request::Command, actor("counter/a"), "actor:write"),
            (query, actor("counter/a"), "actor:read"),
            (Request::Query("payload"), actor("counter/a"), "actor:read"),
            (Request::Subscribe, actor("counter/a"), "actor:read"),
            (Request::Tell, actor("counter/a"), "actor:tell"),
            (Request::Command, actor("schedule/a"), "schedule:write"),
            (query, actor("schedule/a"), "schedule:read"),
            (Request::Subscribe, actor("schedule/a"), "schedule:read"),
            (Request::Tell, actor("schedule/a"), "actor:tell"),
            (Request::Command, actor("policy/*"), "policy:write"),
            (query, actor("policy/*"), "policy:read"),
            (Request::Subscribe, actor("policy/*"), "policy:read"),
            (Request::Command, actor("subject/a"), "subject:write"),
            (query, actor("subject/a"), "subject:read"),
            (Request::Command, actor("operation/a"), "operation:write"),
            (query, actor("operation/a"), "operation:read"),
            (Request::Command, actor("schedules/a"), "actor:write"),
            (Request::Command, operation.clone(), "operation:write"),
            (query, operation.clone(), "operation:read"),
            (
                Request::Query("payload"),
                operation.clone(),
                "operation:work",
            ),
            (Request::Subscribe, operation, "operation:read"),
            (Request::Query("list"), Target::Operations, "operation:read"),
            (Request::Command, Target::Operations, "operation:write"),
            (Request::Command, Target::Actors, "actor:write"),
            (query, Target::Actors, "actor:read"),
            (Request::Command, Target::Cluster, "cluster:administer"),
            (query, Target::Cluster, "cluster:read"),
            (Request::Subscribe, Target::Cluster, "cluster:read"),
        ];
        for (request, target, needs) in cases {
            let permission = Permission::of(request, &target);
            assert_eq!(permission.to_string(), needs, "{request:?} {target:?}");
            assert!(permission.entry().is_some(), "{permission}");
        }
        for (kind, needs) in [
            ("counter", "actor:read"),
            ("operation", "operation:read"),
            ("policy", "policy:read"),
            ("schedule", "schedule:read"),
        ] {
            let permission = Permission::to_list(&ActorKind::new(kind).unwrap());
            assert_eq!(permission.to_string(), needs);
        }
    }
}
