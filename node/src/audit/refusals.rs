//! Refusals for want of permission, counted in bounded memory until they are recorded: however many there are, they are
//! one record a minute for each principal, permission and code. What authorises notes them, the keeper records them.
//!
//! A flood of refusals costs a look-up each. What was not recorded yet when a node dies is lost, a minute of it at most.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::audit::{Chain, Entry, Outcome};
use selvedge_protocol::limits::{REFUSALS_MAX, REFUSALS_MS};
use selvedge_protocol::{ErrorCode, Failure, time};

use crate::identity::{Permission, Principal};
use crate::metrics;

/// Where refusals are noted. Cheap to clone.
#[derive(Clone)]
pub struct Refusals(Arc<Inner>);

struct Inner {
    counts: Mutex<Counts>,
    clock: Clock,
}

/// Somebody was refused something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// In whose chain it is recorded.
    pub chain: Chain,
    /// A principal, or what is known of one: the prefix of an address.
    pub principal: Arc<str>,
    /// What was asked for, from a closed set: never what a client has said.
    pub what: What,
    pub code: ErrorCode,
}

/// What somebody wanted to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    Permission(Permission),
    /// Another action, by its name in the trail: `user.login`.
    Action(&'static str),
}

impl Refusals {
    pub fn new(clock: Clock) -> Self {
        let counts = Mutex::new(Counts::default());
        Self(Arc::new(Inner { counts, clock }))
    }

    /// Counts a refusal.
    pub fn note(&self, refusal: Refusal) {
        metrics::refused(refusal.code);
        let now_ms = self.0.clock.wall_ms();
        self.0.counts.lock().note(now_ms, refusal);
    }

    /// Counts that a principal may not do something.
    pub fn note_denied(&self, principal: &Principal, permission: Permission) {
        self.note(Refusal {
            chain: Chain::from(&principal.tenant),
            principal: Arc::clone(&principal.name),
            what: What::Permission(permission),
            code: ErrorCode::PermissionDenied,
        });
    }

    /// Counts that somebody came, or stayed, with a credential that has expired. One that only has to be judged anew, since
    /// something of it has changed, is refused nothing yet.
    pub fn note_ended(&self, principal: &Principal, failure: &Failure) {
        if failure.code != ErrorCode::Unauthenticated {
            return;
        }
        self.note(Refusal {
            chain: Chain::from(&principal.tenant),
            principal: Arc::clone(&principal.name),
            what: What::Action("session.open"),
            code: ErrorCode::Unauthenticated,
        });
    }

    /// What has been counted for a minute.
    pub(super) fn due(&self) -> Vec<Counted> {
        let now_ms = self.0.clock.wall_ms();
        self.0.counts.lock().due(now_ms)
    }

    /// All that is counted, at the end.
    pub(super) fn all(&self) -> Vec<Counted> {
        self.0.counts.lock().due(u64::MAX)
    }

    /// What could not be recorded goes on being counted.
    pub(super) fn give_back(&self, counted: Counted) {
        self.0.counts.lock().add(counted);
    }
}

/// Refusals of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    refusal: Refusal,
    count: u64,
    first_ms: u64,
    last_ms: u64,
}

impl Counted {
    pub(super) fn chain(&self) -> &Chain {
        &self.refusal.chain
    }

    /// The record of it.
    pub(super) fn entry(&self) -> Entry {
        let Self {
            refusal,
            count,
            first_ms,
            last_ms,
        } = self;
        let (since, until) = (time::format(*first_ms), time::format(*last_ms));
        Entry {
            at_ms: *last_ms,
            principal: refusal.principal.to_string(),
            action: refusal.what.to_string(),
            target: String::new(),
            outcome: Outcome::Refused {
                code: refusal.code.name().to_owned(),
            },
            detail: format!(r#"{{"count":{count},"since":"{since}","until":"{until}"}}"#),
        }
    }
}

/// The machine: time is an argument.
#[derive(Debug, Default)]
struct Counts(HashMap<Refusal, Span>);

#[derive(Debug, Clone, Copy)]
struct Span {
    count: u64,
    first_ms: u64,
    last_ms: u64,
}

impl Counts {
    fn note(&mut self, now_ms: u64, refusal: Refusal) {
        self.add(Counted {
            refusal,
            count: 1,
            first_ms: now_ms,
            last_ms: now_ms,
        });
    }

    fn add(&mut self, counted: Counted) {
        let Counted {
            refusal,
            count,
            first_ms,
            last_ms,
        } = counted;
        let refusal = match self.0.len() < REFUSALS_MAX || self.0.contains_key(&refusal) {
            true => refusal,
            // Who comes with ever new names is one of many to everybody.
            false => anybody(refusal.code),
        };
        let span = self.0.entry(refusal).or_insert(Span {
            count: 0,
            first_ms,
            last_ms,
        });
        span.count = span.count.saturating_add(count);
        span.first_ms = span.first_ms.min(first_ms);
        span.last_ms = span.last_ms.max(last_ms);
    }

    /// Takes out what was begun a minute ago.
    fn due(&mut self, now_ms: u64) -> Vec<Counted> {
        let is_due = |span: &Span| now_ms.saturating_sub(span.first_ms) >= REFUSALS_MS;
        let due = self.0.extract_if(|_, span| is_due(span));
        let mut due: Vec<_> = due
            .map(|(refusal, span)| Counted {
                refusal,
                count: span.count,
                first_ms: span.first_ms,
                last_ms: span.last_ms,
            })
            .collect();
        due.sort_by_key(|it| (it.first_ms, it.last_ms));
        due
    }
}

/// What is over the bound is in the chain of the cluster, of nobody in particular.
fn anybody(code: ErrorCode) -> Refusal {
    Refusal {
        chain: Chain::Cluster,
        principal: Arc::from(ANYBODY),
        what: What::Action("any.any"),
        code,
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permission(permission) => {
                f.write_str(permission.resource.name())?;
                f.write_char('.')?;
                f.write_str(permission.action.name())
            }
            Self::Action(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals")
    }
}

/// No principal has this name.
const ANYBODY: &str = "*";

#[cfg(test)]
mod tests;
