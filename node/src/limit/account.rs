//! Whose use is counted on this node: an account for each tenant and principal that is here, and the table of them. It is
//! bounded, and an account is forgotten only once it is as if it were new: to come back resets nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::limit::lease::Lease;
use crate::limit::meter::Meter;
use crate::limit::name::{Counted, LimitName, Party};
use crate::limit::rules::Rules;

/// The use of one party.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) party: Party,
    /// Of this node alone.
    pub(super) meters: Meters,
    leases: [Lease; LimitName::COUNT],
    passwords: Lease,
}

/// What a node counts by itself, one for each thing.
#[derive(Debug, Default)]
pub(super) struct Meters([Meter; LimitName::COUNT]);

/// All accounts of a sort.
#[derive(Debug)]
pub(super) struct Accounts {
    max: usize,
    table: DashMap<Party, Arc<Account>>,
    /// Kept beside the table, whose own count looks at all of its parts.
    count: AtomicUsize,
}

/// There are as many as may be.
#[derive(Debug)]
pub(super) struct Full;

impl Meters {
    pub(super) const fn of(&self, name: LimitName) -> &Meter {
        &self.0[name as usize]
    }

    fn are_full(&self, now_ns: u64) -> bool {
        self.0.iter().all(|meter| meter.is_full(now_ns))
    }
}

impl Account {
    fn new(party: Party) -> Self {
        Self {
            party,
            meters: Meters::default(),
            leases: std::array::from_fn(|_| Lease::default()),
            passwords: Lease::default(),
        }
    }

    pub(super) const fn lease(&self, name: LimitName) -> &Lease {
        &self.leases[name as usize]
    }

    pub(super) const fn counted(&self, counted: Counted) -> &Lease {
        match counted {
            Counted::Limit(name) => self.lease(name),
            Counted::Passwords => &self.passwords,
        }
    }

    fn set(&self, rules: &Rules) {
        for name in LimitName::ALL {
            self.lease(name).set(rules.of(&self.party, name));
        }
        let passwords = rules.rate(&self.party, Counted::Passwords);
        self.passwords.set(passwords);
    }

    fn is_as_new(&self, now_ns: u64) -> bool {
        let mut leases = self.leases.iter().chain([&self.passwords]);
        self.meters.are_full(now_ns) && leases.all(Lease::is_settled)
    }
}

impl Accounts {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            table: DashMap::new(),
            count: AtomicUsize::new(0),
        }
    }

    /// The account of a party, made if there is none.
    pub(super) fn of(&self, party: &Party, rules: &Rules) -> Result<Arc<Account>, Full> {
        if let Some(account) = self.table.get(party) {
            return Ok(Arc::clone(&account));
        }
        if self.count.load(Ordering::Relaxed) >= self.max {
            return Err(Full);
        }
        match self.table.entry(party.clone()) {
            Entry::Occupied(account) => Ok(Arc::clone(account.get())),
            Entry::Vacant(place) => {
                let account = Arc::new(Account::new(party.clone()));
                // With the place held: rules that change now find the account after that, and set it again.
                account.set(rules);
                place.insert(Arc::clone(&account));
                self.count.fetch_add(1, Ordering::Relaxed);
                Ok(account)
            }
        }
    }

    /// All go by the rules as they are now.
    pub(super) fn set(&self, rules: &Rules) {
        for account in &self.table {
            account.set(rules);
        }
    }

    /// Forgets those that nobody uses and that are as if they were new.
    pub(super) fn sweep(&self, now_ns: u64) {
        self.table.retain(|_, account| {
            let stays = Arc::strong_count(account) > 1 || !account.is_as_new(now_ns);
            if !stays {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use selvedge_protocol::Tenant;

    use super::*;
    use crate::limit::lease::Taken;
    use crate::limit::meter::Pace;
    use crate::limit::name::{LimitId, Scope};
    use crate::limit::rate::Rate;

    fn party(principal: &str) -> Party {
        Party {
            tenant: Tenant::default_tenant(),
            principal: Some(principal.into()),
        }
    }

    #[test]
    fn to_come_back_resets_nothing() {
        let (accounts, rules) = (Accounts::new(10), Rules::default());
        rules.replace(HashMap::from([(
            LimitId {
                scope: Scope::Principals(Tenant::default_tenant()),
                name: LimitName::Commands,
            },
            Rate::per_second(1),
        )]));
        let ann = accounts.of(&party("ann"), &rules).unwrap();
        assert_eq!(ann.lease(LimitName::Commands).take(), Taken::GrantedTend);
        drop(ann);
        accounts.sweep(1 << 40);
        let ann = accounts.of(&party("ann"), &rules).unwrap();
        assert_eq!(ann.lease(LimitName::Commands).take(), Taken::Refused);
        // Paid, it is as new.
        ann.lease(LimitName::Commands).paid(1, 0, 0);
        assert_eq!(ann.lease(LimitName::Commands).to_tell(), None);
        accounts.sweep(1 << 40);
        assert_eq!(accounts.table.len(), 1, "somebody uses it");
        drop(ann);
        accounts.sweep(1 << 40);
        assert_eq!(accounts.table.len(), 0);

        let pace = Pace::of(Rate::per_second(1));
        let bob = accounts.of(&party("bob"), &rules).unwrap();
        bob.meters.of(LimitName::Queries).take(|| 1, pace).unwrap();
        drop(bob);
        accounts.sweep(2);
        assert_eq!(accounts.table.len(), 1);
        accounts.sweep(2_000_000_000);
        assert_eq!(accounts.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn rules_that_change_reach_accounts_that_are_there() {
        let (accounts, rules) = (Accounts::new(10), Rules::default());
        let ann = accounts.of(&party("ann"), &rules).unwrap();
        let lease = ann.lease(LimitName::Queries);
        assert_eq!(lease.take(), Taken::Free);
        rules.replace(HashMap::from([(
            LimitId {
                scope: Scope::Principal(Tenant::default_tenant(), "ann".into()),
                name: LimitName::Queries,
            },
            Rate::per_second(1),
        )]));
        accounts.set(&rules);
        assert_eq!(lease.take(), Taken::GrantedTend);
        assert_eq!(lease.take(), Taken::Refused);
        rules.replace(HashMap::new());
        accounts.set(&rules);
        assert_eq!(lease.take(), Taken::Free);
    }
}
