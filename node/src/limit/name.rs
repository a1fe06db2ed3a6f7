//! What is limited, and whose: the words of limits as people write them, `tenant:default commands`. Pure.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::LABEL_BYTES_MAX;

/// What is counted. Each request counts as one thing: a submission is no command, an ephemeral message is a datagram
/// whatever it came over. What is said to the cluster itself counts as nothing but bytes and frames, so that whoever
/// set a limit too low can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitName {
    /// Of what a client says in its session, bodies and payloads on streams of their own left out.
    Bytes,
    /// Whole frames of sessions.
    Frames,
    /// Commands to actors and operations, but for submissions.
    Commands,
    Queries,
    /// Operations that are submitted.
    Submissions,
    /// Subscriptions that are opened, streams of events over HTTP among them.
    Subscriptions,
    /// Ephemeral messages: those over the limit are lost.
    Datagrams,
}

/// What the nodes of a cluster count together: what limits can be set for, and what always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Limit(LimitName),
    /// Passwords that are tried as somebody from where they have not logged in before.
    Passwords,
}

/// For whom a limit holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    Tenant(Tenant),
    /// Each tenant that has none of its own.
    Tenants,
    Principal(Tenant, Arc<str>),
    /// Each principal of the tenant that has none of its own.
    Principals(Tenant),
}

/// A limit that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitId {
    pub scope: Scope,
    pub name: LimitName,
}

/// Whose tokens are counted: a tenant, or a principal of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Party {
    pub(super) tenant: Tenant,
    pub(super) principal: Option<Arc<str>>,
}

/// Which of its limits has refused something. A closed set: it labels a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Connection,
    /// What one node takes of a principal.
    Node,
    /// Over the cluster, as it is set.
    Principal,
    /// The same.
    Tenant,
}

/// Why a text names no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongName {
    #[error("{0:?} is nothing that is limited: use {names}", names = LimitName::all_names())]
    Name(String),
    #[error("{0:?} is no scope: use tenant:NAME, tenant:*, principal:NAME or principal:*")]
    Scope(String),
}

impl LimitName {
    /// Each of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Bytes,
        Self::Frames,
        Self::Commands,
        Self::Queries,
        Self::Submissions,
        Self::Subscriptions,
        Self::Datagrams,
    ];
    pub(super) const COUNT: usize = 7;

    /// As people, rows and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Frames => "frames",
            Self::Commands => "commands",
            Self::Queries => "queries",
            Self::Submissions => "submissions",
            Self::Subscriptions => "subscriptions",
            Self::Datagrams => "datagrams",
        }
    }

    fn all_names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl FromStr for LimitName {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| WrongName::Name(text.to_owned()))
    }
}

impl Scope {
    /// What a text names for somebody who acts in this tenant.
    pub fn parse(text: &str, tenant: &Tenant) -> Result<Self, WrongName> {
        let wrong = || WrongName::Scope(text.to_owned());
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        match (kind, name) {
            ("tenant", "*") => Ok(Self::Tenants),
            ("tenant", name) => Ok(Self::Tenant(Tenant::new(name).map_err(|_| wrong())?)),
            ("principal", "*") => Ok(Self::Principals(tenant.clone())),
            ("principal", name) if (1..=LABEL_BYTES_MAX).contains(&name.len()) => {
                Ok(Self::Principal(tenant.clone(), name.into()))
            }
            _ => Err(wrong()),
        }
    }

    /// The tenant that it is about; `None`: all of them.
    pub const fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Tenant(tenant) | Self::Principal(tenant, _) | Self::Principals(tenant) => {
                Some(tenant)
            }
            Self::Tenants => None,
        }
    }

    /// Whether it bounds tenants as such, which is for those who run the cluster to say.
    pub const fn is_of_tenants(&self) -> bool {
        match self {
            Self::Tenant(_) | Self::Tenants => true,
            Self::Principal(..) | Self::Principals(_) => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(tenant) => write!(f, "tenant:{tenant}"),
            Self::Tenants => f.write_str("tenant:*"),
            Self::Principal(_, name) => write!(f, "principal:{name}"),
            Self::Principals(_) => f.write_str("principal:*"),
        }
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(name) => name.fmt(f),
            Self::Passwords => f.write_str(PASSWORDS),
        }
    }
}

impl FromStr for Counted {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        match text {
            PASSWORDS => Ok(Self::Passwords),
            name => Ok(Self::Limit(name.parse()?)),
        }
    }
}

impl From<LimitName> for Counted {
    fn from(name: LimitName) -> Self {
        Self::Limit(name)
    }
}

impl fmt::Display for LimitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.scope, self.name)
    }
}

impl Party {
    /// The limits that may hold for it, the first that is set does.
    pub(super) fn scopes(&self) -> [Scope; 2] {
        match &self.principal {
            None => [Scope::Tenant(self.tenant.clone()), Scope::Tenants],
            Some(name) => [
                Scope::Principal(self.tenant.clone(), Arc::clone(name)),
                Scope::Principals(self.tenant.clone()),
            ],
        }
    }

    /// The key of the actor that owns its tokens of these things, within its tenant.
    pub(super) fn key(&self, counted: Counted) -> String {
        match &self.principal {
            None => format!("{counted}/tenant"),
            Some(principal) => format!("{counted}/principal/{principal}"),
        }
    }

    /// What such a key names.
    pub(super) fn of_key(tenant: &Tenant, key: &str) -> Option<(Self, Counted)> {
        let (counted, party) = key.split_once('/')?;
        let principal = match party.split_once('/') {
            None if party == "tenant" => None,
            Some(("principal", principal)) => Some(principal.into()),
            None | Some(_) => return None,
        };
        let tenant = tenant.clone();
        Some((Self { tenant, principal }, counted.parse().ok()?))
    }
}

impl Level {
    /// As metrics and lists have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Node => "node",
            Self::Principal => "principal",
            Self::Tenant => "tenant",
        }
    }
}

/// As keys have it.
const PASSWORDS: &str = "passwords";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read() {
        let tenant = Tenant::new("acme").unwrap();
        for text in [
            "tenant:default",
            "tenant:*",
            "principal:ann",
            "principal:*",
            "principal:https://id.example|a:b/c",
        ] {
            assert_eq!(Scope::parse(text, &tenant).unwrap().to_string(), text);
        }
        for text in [
            "",
            "tenant",
            "tenant:",
            "tenant:A b",
            "principal:",
            "user:ann",
        ] {
            let error = Scope::parse(text, &tenant).unwrap_err();
            assert!(error.to_string().contains("principal:*"), "{error}");
        }
        for name in LimitName::ALL {
            assert_eq!(name.name().parse(), Ok(name));
        }
        let error = "jumps".parse::<LimitName>().unwrap_err();
        assert!(
            error.to_string().contains("subscriptions, datagrams"),
            "{error}"
        );
    }

    #[test]
    fn keys_that_are_none_name_nothing() {
        let tenant = Tenant::default_tenant();
        for key in [
            "",
            "commands",
            "commands/",
            "jumps/tenant",
            "commands/user/ann",
        ] {
            assert_eq!(Party::of_key(&tenant, key), None, "{key}");
        }
        let (party, counted) = Party::of_key(&tenant, "commands/tenant").unwrap();
        assert_eq!(
            (party.principal, counted),
            (None, LimitName::Commands.into())
        );
    }

    #[test]
    fn names_as_long_as_may_be_have_keys() {
        let party = Party {
            tenant: Tenant::default_tenant(),
            principal: Some("p".repeat(LABEL_BYTES_MAX).into()),
        };
        let limits = LimitName::ALL.map(Counted::Limit);
        for counted in limits.into_iter().chain([Counted::Passwords]) {
            let key = party.key(counted);
            assert!(selvedge_protocol::ActorKey::new(key.clone()).is_ok());
            let read = Party::of_key(&party.tenant, &key);
            assert_eq!(read, Some((party.clone(), counted)));
        }
    }
}
