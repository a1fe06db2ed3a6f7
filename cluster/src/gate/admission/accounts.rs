//! What prefixes owe, in bounded memory. Pure.
//!
//! A table of fixed size, in sets of eight. An account that owes nothing is as good as none, so its place is free; a
//! handshake of a prefix with a hundred a second is paid back after ten milliseconds. Where a whole set owes something,
//! whoever is new takes the place *and the debt* of the one that owes least. So nobody ever owes less than they spent,
//! whatever others do to fill the table: who is pushed out comes back with no less. And nobody owes much more: what
//! one takes over is the least of eight, and prefixes that were invented owe one handshake each.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::prefix::Prefix;

#[derive(Debug)]
pub(super) struct Accounts {
    /// Sets of [`WAYS`] each; their number is a power of two.
    accounts: Box<[Account]>,
    /// Who does not know it cannot choose prefixes that share a set.
    seed: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// The keyed hash of a prefix. Two with the same one would share a debt: one pair among 2^32 prefixes.
    of: u64,
    /// When all is paid back.
    due_ns: u64,
}

/// One cache line and a half, and enough that a table which is half full has few sets that are.
const WAYS: usize = 8;

impl Accounts {
    /// Room for so many, and some more.
    pub(super) fn new(len: usize, seed: u64) -> Self {
        let len = len.max(WAYS).next_power_of_two();
        Self {
            accounts: vec![Account::default(); len].into_boxed_slice(),
            seed,
        }
    }

    /// What a prefix owes.
    pub(super) fn debt_ns(&self, prefix: Prefix, now_ns: u64) -> u64 {
        let (place, _) = self.find(prefix);
        self.accounts[place].due_ns.saturating_sub(now_ns)
    }

    /// It owes so much more.
    pub(super) fn spend(&mut self, prefix: Prefix, now_ns: u64, more_ns: u64) {
        let (place, of) = self.find(prefix);
        let due_ns = self.accounts[place].due_ns.max(now_ns);
        self.accounts[place] = Account {
            of,
            due_ns: due_ns.saturating_add(more_ns),
        };
    }

    /// Accounts that owe something.
    pub(super) fn indebted(&self, now_ns: u64) -> usize {
        let accounts = self.accounts.iter();
        accounts.filter(|account| account.due_ns > now_ns).count()
    }

    /// The place of a prefix, or the one that it would take; and its key.
    fn find(&self, prefix: Prefix) -> (usize, u64) {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        prefix.hash(&mut hasher);
        let of = hasher.finish();
        let sets = self.accounts.len() / WAYS;
        // The low bits; sets are no more than memory has bytes.
        let first = usize::try_from(of & (sets as u64 - 1)).unwrap_or(0) * WAYS;
        let mut place = first;
        for each in first..first + WAYS {
            if self.accounts[each].of == of {
                return (each, of);
            }
            if self.accounts[each].due_ns < self.accounts[place].due_ns {
                place = each;
            }
        }
        (place, of)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::gate::admission::prefix::Origin;

    fn prefix(number: u32) -> Prefix {
        Origin::of(IpAddr::V4(Ipv4Addr::from(number))).address
    }

    #[test]
    fn debts_are_paid_back_with_time() {
        let mut accounts = Accounts::new(64, 1);
        accounts.spend(prefix(1), 100, 50);
        accounts.spend(prefix(1), 100, 50);
        assert_eq!(accounts.debt_ns(prefix(1), 100), 100);
        assert_eq!(accounts.debt_ns(prefix(1), 150), 50);
        assert_eq!(accounts.debt_ns(prefix(1), 1_000), 0);
        assert_eq!(accounts.indebted(150), 1);
        assert_eq!(accounts.indebted(1_000), 0);
    }

    #[test]
    fn a_full_table_forgets_no_debt() {
        let mut accounts = Accounts::new(64, 1);
        for _ in 0..100 {
            accounts.spend(prefix(1), 0, 10);
        }
        // A thousand times as many as there is room for.
        for number in 2..64_000 {
            accounts.spend(prefix(number), 0, 1);
            assert!(accounts.debt_ns(prefix(1), 0) >= 1_000);
            assert!(accounts.debt_ns(prefix(number), 0) >= 1);
        }
        assert_eq!(accounts.indebted(0), 64);
    }

    #[test]
    fn who_is_new_to_a_full_table_owes_about_what_the_others_do() {
        let mut accounts = Accounts::new(1_024, 1);
        // Ten places' worth of one handshake each.
        for number in 0..10_240 {
            accounts.spend(prefix(number), 0, 1);
        }
        let debts = (20_000..21_000).map(|number| accounts.debt_ns(prefix(number), 0));
        assert!(
            debts.max().unwrap() <= 20,
            "ten each, were they evenly spread"
        );
    }
}
