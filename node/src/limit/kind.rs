//! The actor kind `limit`: the owner of the tokens of one limit of one party, over the whole cluster. Nodes ask it to take
//! from its bucket what they owe. Nothing of it is stored: where it is activated it begins with an empty bucket.

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::kind::{Stand, json};
use selvedge_cluster::actor::{Context, Effects, Incoming, Kind, Refusal, ScopedAddress};
use serde::{Deserialize, Serialize};

use crate::limit::bucket::Bucket;
use crate::limit::name::Party;
use crate::limit::rules::Rules;
use crate::limit::ticks::Ticks;

/// Hosts the owners of limits.
#[derive(Debug)]
pub(crate) struct LimitKind {
    rules: Rules,
    ticks: Ticks,
}

/// An activated owner.
#[derive(Debug, Default)]
pub(crate) struct Owner {
    /// Known once it is activated.
    actor: Option<ScopedAddress>,
    /// Made at the first question. A question is a query, so that it is proven before it is answered.
    bucket: Mutex<Option<Bucket>>,
}

/// What a node asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Take {
    /// What it owes.
    pub(super) owed: u64,
}

/// What it is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Took {
    /// So much of it is paid.
    pub(super) tokens: u64,
    /// When it is worth telling the rest.
    pub(super) next_us: u64,
}

impl LimitKind {
    /// The query of [`Take`].
    pub(super) const TAKE: &str = "take";

    pub(crate) fn new(rules: Rules, clock: &Clock) -> Self {
        Self {
            rules,
            ticks: Ticks::new(clock),
        }
    }

    fn take(&self, owner: &Owner, wish: &Take) -> Result<Took, Refusal> {
        let party = owner.actor.as_ref().and_then(|actor| {
            let key = actor.address.key.as_str();
            Party::of_key(&actor.tenant, key)
        });
        let rate = party.and_then(|(party, counted)| self.rules.rate(&party, counted));
        let Some(rate) = rate else {
            // It was taken away, of which the node that asks will hear; or set, of which this one will.
            return Err(Refusal::rejected("no such limit is in force here"));
        };
        let now_ns = self.ticks.now_ns();
        let mut bucket = owner.bucket.lock();
        let bucket = bucket.get_or_insert_with(|| Bucket::empty(rate, now_ns));
        bucket.change(rate, now_ns);
        let charged = bucket.charge(now_ns, wish.owed);
        Ok(Took {
            tokens: charged.tokens,
            next_us: charged.next_ns.div_ceil(1_000),
        })
    }
}

impl Kind for LimitKind {
    type State = Owner;

    const NAME: &'static str = "limit";

    fn apply(
        &self,
        _: &mut Owner,
        _: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        Err(Refusal::unknown(Self::NAME, command.name))
    }

    fn query(&self, owner: &Owner, name: &str, body: &[u8]) -> Result<Bytes, Refusal> {
        if name != Self::TAKE {
            return Err(Refusal::unknown(Self::NAME, name));
        }
        let wish: Take = json::decode(body).map_err(|error| Refusal::invalid("body", error))?;
        Ok(json::encode(&self.take(owner, &wish)?))
    }

    fn view(&self, _: &Owner) -> Bytes {
        Bytes::from_static(b"null")
    }

    fn encode(&self, _: &Owner) -> Bytes {
        Bytes::from_static(b"null")
    }

    fn decode(&self, _: u8, _: &[u8]) -> Result<Owner, String> {
        Ok(Owner::default())
    }

    fn committed(&self, actor: &ScopedAddress, owner: &mut Owner, _: Stand) {
        owner.actor.get_or_insert_with(|| actor.clone());
    }

    fn is_public(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use selvedge_protocol::Tenant;

    use super::*;
    use crate::limit::name::{LimitId, LimitName, Scope};
    use crate::limit::rate::Rate;

    fn owner(key: &str) -> Owner {
        let address = format!("limit/{key}").parse().unwrap();
        let tenant = Tenant::default_tenant();
        Owner {
            actor: Some(ScopedAddress { tenant, address }),
            bucket: Mutex::new(None),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_empty_and_goes_by_the_limit_in_force() {
        let rules = Rules::default();
        let clock = Clock::simulated(0, 1);
        let kind = LimitKind::new(rules.clone(), &clock);
        let owner = owner("commands/tenant");
        let wish = Take { owed: 20 };
        assert!(kind.take(&owner, &wish).is_err());
        let id = LimitId {
            scope: Scope::Tenants,
            name: LimitName::Commands,
        };
        rules.replace(HashMap::from([(id.clone(), Rate::per_second(50))]));
        assert_eq!(kind.take(&owner, &wish).unwrap().tokens, 0);
        tokio::time::advance(Duration::from_millis(100)).await;
        let took = kind.take(&owner, &wish).unwrap();
        assert_eq!((took.tokens, took.next_us), (5, 60_000));
        rules.replace(HashMap::from([(id, Rate::per_second(100))]));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(kind.take(&owner, &wish).unwrap().tokens, 5);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(kind.take(&owner, &wish).unwrap().tokens, 10);
        let asked = kind.query(&owner, LimitKind::TAKE, br#"{"owed":1}"#);
        assert_eq!(asked.unwrap(), r#"{"tokens":0,"nextUs":10000}"#);
    }

    #[test]
    fn an_owner_of_nothing_gives_nothing() {
        let kind = LimitKind::new(Rules::default(), &Clock::system());
        let asked = kind.query(&owner("none"), LimitKind::TAKE, br#"{"owed":1}"#);
        assert!(asked.is_err());
        assert!(kind.query(&Owner::default(), "state", b"").is_err());
    }
}
