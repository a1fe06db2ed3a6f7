//! A cheap handle on the chains of a store: appends what has no commit of its own, searches, verifies, and clears what
//! is old. Called by nodes and by commands that have a store; what may be asked by whom is theirs to know.

use std::sync::Arc;

use selvedge_protocol::limits::{AUDIT_CLOCKS_MS, AUDIT_PAGE_MAX, AUDIT_SCAN_MAX};

use super::{
    AuditRecord, Chain, Entry, Outcome, Part, Verification, VerifyError, append, chains, page,
    trim, verify,
};
use crate::Clock;
use crate::store::{self, Order, Store, run_repeatable};

/// The chains of a store.
#[derive(Debug, Clone)]
pub struct Trail {
    store: Arc<dyn Store>,
    clock: Clock,
}

/// What records are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Only those after this number, or before it in descending order.
    pub from: Option<u64>,
    pub order: Order,
    /// Unix milliseconds, inclusive.
    pub since_ms: Option<u64>,
    /// Unix milliseconds, exclusive.
    pub until_ms: Option<u64>,
    pub principal: Option<String>,
    /// The whole of an action, or a resource of all whose actions: `user.create`, `user`.
    pub action: Option<String>,
    pub limit: usize,
}

/// What was found, in the order that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub records: Vec<AuditRecord>,
    /// From where to search on, also when nothing was found so far. `None`: there are no more.
    pub next: Option<u64>,
}

impl Trail {
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The time of a record that is made now, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Appends in a transaction of its own: for what nothing else is committed of. Where nobody knows whether it was,
    /// it is appended again: a record too many is better than none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn record(&self, chain: &Chain, entry: &Entry) -> Result<(), store::Error> {
        let (_, _) = run_repeatable(&*self.store, &self.clock, |mut transaction| async move {
            append(&mut *transaction, chain, entry.clone()).await?;
            Ok((transaction, ()))
        })
        .await?;
        Ok(())
    }

    /// Records of a chain. Reads up to [`AUDIT_SCAN_MAX`] of them to find some.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn search(&self, chain: &Chain, search: &Search) -> Result<Found, store::Error> {
        let mut found = Found {
            records: Vec::new(),
            next: search.from,
        };
        for _ in 0..AUDIT_SCAN_MAX / AUDIT_PAGE_MAX {
            let mut transaction = self.store.begin();
            let next = found.next;
            let read = page(&mut *transaction, chain, next, search.order, AUDIT_PAGE_MAX).await?;
            let is_last = read.len() < AUDIT_PAGE_MAX;
            for record in read {
                if search.is_over(&record.entry) {
                    found.next = None;
                    return Ok(found);
                }
                if search.wants(&record.entry) {
                    if found.records.len() == search.limit {
                        // It is the first of what is left.
                        return Ok(found);
                    }
                    found.next = Some(record.number);
                    found.records.push(record);
                } else {
                    found.next = Some(record.number);
                }
            }
            if is_last {
                found.next = None;
                return Ok(found);
            }
        }
        Ok(found)
    }

    /// Verifies a part of a chain.
    ///
    /// # Errors
    /// That the chain is not whole, or not readable.
    pub async fn verify(&self, chain: &Chain, part: Part) -> Result<Verification, VerifyError> {
        verify(&*self.store, chain, part).await
    }

    /// Clears all records of all chains from before a moment, up to the first that is not, and says so in each chain.
    /// Answers how many. The last of a chain stays.
    ///
    /// # Errors
    /// Those of the store. What was cleared until then stays so.
    pub async fn retain(&self, retention: Retention) -> Result<u64, store::Error> {
        let mut cleared = 0;
        let mut after = None;
        loop {
            let mut transaction = self.store.begin();
            let some = chains(&mut *transaction, after.as_ref(), CHAINS_PER_READ).await?;
            drop(transaction);
            for chain in &some {
                loop {
                    let now = self.clear(chain, retention).await?;
                    cleared += now;
                    // What is cleared last leaves less than a page.
                    if now < AUDIT_PAGE {
                        break;
                    }
                }
            }
            if some.len() < CHAINS_PER_READ {
                return Ok(cleared);
            }
            after = some.into_iter().next_back();
        }
    }

    /// One page of it.
    async fn clear(&self, chain: &Chain, retention: Retention) -> Result<u64, store::Error> {
        let (cleared, _) =
            run_repeatable(&*self.store, &self.clock, |mut transaction| async move {
                let oldest = page(
                    &mut *transaction,
                    chain,
                    None,
                    Order::Ascending,
                    AUDIT_PAGE_MAX,
                );
                let oldest = oldest.await?;
                let mut old = oldest.iter();
                let last = old
                    .by_ref()
                    .take_while(|it| it.entry.at_ms < retention.before_ms)
                    .last();
                let Some(last) = last.map(|it| it.number) else {
                    return Ok((transaction, 0));
                };
                let cleared = trim(&mut *transaction, chain, last + 1).await?;
                if cleared > 0 {
                    let up_to = oldest.first().map_or(0, |it| it.number) + cleared - 1;
                    let entry =
                        retention.entry(self.clock.wall_ms(), chain, Cleared { cleared, up_to });
                    append(&mut *transaction, chain, entry).await?;
                }
                Ok((transaction, cleared))
            })
            .await?;
        Ok(cleared)
    }
}

impl Search {
    fn wants(&self, entry: &Entry) -> bool {
        let is_of = |action: &String| {
            let rest = entry.action.strip_prefix(action.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.since_ms.is_none_or(|since| entry.at_ms >= since)
            && self.until_ms.is_none_or(|until| entry.at_ms < until)
            && self
                .principal
                .as_ref()
                .is_none_or(|it| *it == entry.principal)
            && self.action.as_ref().is_none_or(is_of)
    }

    /// Whether nothing that is wanted comes after this one, for its time. Records are in the order of their commits,
    /// and the clocks of nodes differ a little.
    fn is_over(&self, entry: &Entry) -> bool {
        match self.order {
            Order::Ascending => {
                let until = self
                    .until_ms
                    .map(|until| until.saturating_add(AUDIT_CLOCKS_MS));
                until.is_some_and(|until| entry.at_ms > until)
            }
            Order::Descending => {
                let since = self
                    .since_ms
                    .map(|since| since.saturating_sub(AUDIT_CLOCKS_MS));
                since.is_some_and(|since| entry.at_ms < since)
            }
        }
    }
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Unix milliseconds: what is older goes.
    pub before_ms: u64,
    /// By which rule.
    pub days: u32,
}

struct Cleared {
    cleared: u64,
    up_to: u64,
}

impl Retention {
    fn entry(self, at_ms: u64, chain: &Chain, Cleared { cleared, up_to }: Cleared) -> Entry {
        let days = self.days;
        Entry {
            at_ms,
            principal: NODE.to_owned(),
            action: "audit.trim".to_owned(),
            target: chain.to_string(),
            outcome: Outcome::Done,
            detail: format!(r#"{{"cleared":{cleared},"upTo":{up_to},"retentionDays":{days}}}"#),
        }
    }
}

/// The principal of what nobody asked for.
const NODE: &str = "selvedge";
/// [`AUDIT_PAGE_MAX`] as numbers of records are.
const AUDIT_PAGE: u64 = AUDIT_PAGE_MAX as u64;
/// A few kilobytes.
const CHAINS_PER_READ: usize = 256;

#[cfg(test)]
mod tests;
