//! The actor kind `policy`: what a tenant changes of the policy of an operation type, durably. Its key is
//! the type, or `*` for every type of the tenant.
//!
//! Clients send it commands as to any actor: `set` merges a patch in, `reset` takes it back, the query
//! `get` shows what is in force. The event `policy.changed` of the same commit is the record of who
//! changed what, and so is the tenant's audit trail. What is committed is handed to the pools, and the other nodes are told to read it. At the
//! start of a node all of it is read before the first operation runs, and again from time to time after that.

use std::time::Duration;

use bytes::Bytes;
use selvedge_client::rfc3339;
use selvedge_cluster::actor::kind::{Stand, Urgency, json};
use selvedge_cluster::actor::{
    AuditEntry, Context, Effects, Incoming, Kind, NewEvent, Origin, Refusal, ScopedAddress,
    stored_state,
};
use selvedge_cluster::store::keys::{Family, Key, KeyRange};
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::{ActorAddress, ActorKey, ActorKind, ErrorCode, Failure, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::processing::breaker::BreakerState;
use crate::processing::patch::PolicyPatch;
use crate::processing::policies::{Committed, Subject};
use crate::processing::pools::Pools;

/// Hosts policies.
#[derive(Debug)]
pub(crate) struct PolicyKind(Pools);

/// An activated policy.
#[derive(Debug, Default)]
pub(crate) struct PolicyState {
    stored: Stored,
    /// Known once it is activated; not stored.
    actor: Option<ScopedAddress>,
}

/// What is stored of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    patch: PolicyPatch,
    changed_by: Option<String>,
    changed_ms: Option<u64>,
}

/// A policy as its users see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(rename = "type")]
    subject: &'a str,
    patch: &'a PolicyPatch,
    /// The whole policy; there is none for `*`, nor for a type that this node does not run.
    effective: Option<PolicyPatch>,
    changed_by: Option<&'a str>,
    changed_at: Option<String>,
    breaker: Option<ShownBreaker>,
}

#[derive(Debug, Serialize)]
struct ShownBreaker {
    state: BreakerState,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// The data of the event of a change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    #[serde(rename = "type")]
    subject: &'a str,
    before: &'a PolicyPatch,
    after: &'a PolicyPatch,
    principal: &'a str,
}

impl PolicyKind {
    pub(crate) const fn new(pools: Pools) -> Self {
        Self(pools)
    }

    /// Changes the patch, and says so in the same commit.
    fn change(
        &self,
        state: &mut PolicyState,
        context: &Context<'_>,
        action: &'static str,
        patch: PolicyPatch,
    ) -> Effects {
        let subject = context.address.key.as_str();
        if patch == state.stored.patch {
            return Effects {
                reply: self.show(context.tenant, subject, &state.stored),
                urgency: Urgency::Never,
                ..Effects::default()
            };
        }
        let data = json::encode(&Changed {
            subject,
            before: &state.stored.patch,
            after: &patch,
            principal: context.principal,
        });
        let audit = vec![AuditEntry {
            action: action.into(),
            target: subject.to_owned(),
            detail: format!(
                r#"{{"before":{},"after":{}}}"#,
                json_text(&state.stored.patch),
                json_text(&patch)
            ),
        }];
        let awake = !patch.is_empty();
        state.stored = Stored {
            patch,
            changed_by: Some(context.principal.to_owned()),
            changed_ms: Some(context.now_ms),
        };
        Effects {
            reply: self.show(context.tenant, subject, &state.stored),
            events: vec![NewEvent {
                kind: "policy.changed".into(),
                data,
            }],
            // Whoever takes its slot next applies it.
            awake: Some(awake),
            audit,
            ..Effects::default()
        }
    }

    fn show(&self, tenant: &Tenant, subject: &str, stored: &Stored) -> Bytes {
        let name = match subject.parse() {
            Ok(Subject::Type(name)) => Some(name),
            Ok(Subject::All) | Err(_) => None,
        };
        let effective = name
            .as_ref()
            .and_then(|name| self.0.policy_with(tenant, name, &stored.patch));
        let breaker = name.and_then(|name| self.0.breaker(tenant, &name));
        json::encode(&Shown {
            subject,
            patch: &stored.patch,
            effective: effective.as_ref().map(PolicyPatch::of),
            changed_by: stored.changed_by.as_deref(),
            changed_at: stored.changed_ms.map(rfc3339),
            breaker: breaker.map(|breaker| ShownBreaker {
                state: breaker.state,
                until: breaker.until_ms.map(rfc3339),
            }),
        })
    }
}

impl Kind for PolicyKind {
    type State = PolicyState;

    const NAME: &'static str = "policy";

    fn apply(
        &self,
        state: &mut PolicyState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        check(context.address)?;
        match (context.origin, command.name) {
            (Origin::Client(_) | Origin::Actor, "set") => {
                let merged = state.stored.patch.merged(command.body);
                let patch = merged.map_err(|wrong| Refusal::invalid(wrong.field, wrong.remedy))?;
                Ok(self.change(state, context, "policy.set", patch))
            }
            (Origin::Client(_) | Origin::Actor, "reset") => {
                let body: Value = json::decode(command.body).unwrap_or_default();
                let is_plain =
                    body.is_null() || body.as_object().is_some_and(|body| body.is_empty());
                if !is_plain {
                    return Err(Refusal::invalid("body", "reset takes nothing: send {}"));
                }
                Ok(self.change(state, context, "policy.reset", PolicyPatch::default()))
            }
            (Origin::Client(_) | Origin::Actor | Origin::Timer | Origin::Node, name) => {
                Err(Refusal::unknown(Self::NAME, name))
            }
        }
    }

    fn query(&self, state: &PolicyState, name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        if name != "get" {
            return Err(Refusal::unknown(Self::NAME, name));
        }
        let Some(actor) = &state.actor else {
            return Ok(self.view(state));
        };
        let is_known = match check(&actor.address)? {
            Subject::All => true,
            Subject::Type(name) => self.0.policy_for(&actor.tenant, &name).is_some(),
        };
        if !is_known && state.stored == Stored::default() {
            return Err(Refusal(Failure::new(
                ErrorCode::NotFound,
                format!(
                    "this node runs no operations of type {}, and no policy is set for it",
                    actor.address.key
                ),
            )));
        }
        Ok(self.view(state))
    }

    fn view(&self, state: &PolicyState) -> Bytes {
        state.actor.as_ref().map_or_else(
            || Bytes::from_static(b"null"),
            |actor| self.show(&actor.tenant, actor.address.key.as_str(), &state.stored),
        )
    }

    fn encode(&self, state: &PolicyState) -> Bytes {
        json::encode(&state.stored)
    }

    fn decode(&self, format: u8, bytes: &[u8]) -> Result<PolicyState, String> {
        Ok(PolicyState {
            stored: decode(format, bytes)?,
            actor: None,
        })
    }

    fn committed(&self, actor: &ScopedAddress, state: &mut PolicyState, stand: Stand) {
        state.actor.get_or_insert_with(|| actor.clone());
        // What is decided and not committed yet is told after its commit.
        if let Ok(subject) = check(&actor.address)
            && stand.is_durable
        {
            let patch = &state.stored.patch;
            let version = stand.version;
            self.0
                .commit_patch(&actor.tenant, &subject, Committed { patch, version });
        }
    }
}

/// JSON text of a patch.
fn json_text(patch: &PolicyPatch) -> String {
    serde_json::to_string(patch).unwrap_or_default()
}

/// What the actor of this address is the policy of.
fn check(address: &ActorAddress) -> Result<Subject, Refusal> {
    address.key.as_str().parse().map_err(|error| {
        let remedy = format!("a policy's key is an operation type, or * for all: {error}");
        Refusal::invalid("key", remedy)
    })
}

fn decode(format: u8, bytes: &[u8]) -> Result<Stored, String> {
    if format != PolicyKind::FORMAT {
        return Err(format!("policy of unknown format {format}"));
    }
    json::decode(bytes)
}

/// Policies that one read of the store brings.
const ROWS_PER_READ: usize = 256;

/// Puts all stored policies in force. Reads a few rows for each tenant that has actors; `pause` comes
/// between one tenant and the next.
pub(super) async fn load(pools: &Pools, pause: Option<Duration>) -> Result<(), store::Error> {
    let Ok(kind) = ActorKind::new(PolicyKind::NAME) else {
        return Ok(());
    };
    let mut tenants = KeyRange::family(Family::Catalog);
    loop {
        let first = tenants.read(1, Isolation::Snapshot);
        let rows = pools.store().begin().range(first).await?;
        let Some((key, _)) = rows.first() else {
            return Ok(());
        };
        let Ok(Key::Catalog { tenant, .. }) = Key::decode(key) else {
            return Ok(());
        };
        load_tenant(pools, KeyRange::catalog(&tenant, Some(&kind))).await?;
        tenants.begin = KeyRange::catalog(&tenant, None).end;
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn load_tenant(pools: &Pools, mut range: KeyRange) -> Result<(), store::Error> {
    loop {
        let mut transaction = pools.store().begin();
        let read = range.read(ROWS_PER_READ, Isolation::Snapshot);
        let rows = transaction.range(read).await?;
        for (key, _) in &rows {
            let Ok(Key::Catalog { tenant, address }) = Key::decode(key) else {
                continue;
            };
            load_one(pools, &mut *transaction, &ScopedAddress { tenant, address }).await?;
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS_PER_READ => {
                // The first key after it.
                let mut next = Vec::from(&key[..]);
                next.push(0);
                range.begin = Bytes::from(next);
            }
            Some(_) | None => return Ok(()),
        }
    }
}

/// Puts one stored policy in force. A key that is none says nothing.
pub(super) async fn reload(
    pools: &Pools,
    tenant: Tenant,
    subject: &str,
) -> Result<(), store::Error> {
    let kind = ActorKind::new(PolicyKind::NAME);
    let (Ok(kind), Ok(key)) = (kind, ActorKey::new(subject)) else {
        return Ok(());
    };
    let address = ActorAddress { kind, key };
    let actor = ScopedAddress { tenant, address };
    load_one(pools, &mut *pools.store().begin(), &actor).await
}

async fn load_one(
    pools: &Pools,
    transaction: &mut dyn Transaction,
    actor: &ScopedAddress,
) -> Result<(), store::Error> {
    let stored = stored_state(transaction, &pools.path(actor)).await?;
    let (Some(state), Ok(subject)) = (stored, check(&actor.address)) else {
        return Ok(());
    };
    let version = state.version;
    match decode(state.format, &state.bytes) {
        Ok(stored) => {
            let patch = &stored.patch;
            pools.apply_patch(&actor.tenant, &subject, Committed { patch, version });
        }
        Err(reason) => {
            tracing::error!(policy = %actor.address, reason, "stored policy does not decode");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
