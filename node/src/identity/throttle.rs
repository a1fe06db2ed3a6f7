//! How failed logins slow down those that come after them: pure, with time as an argument. The directory asks it before a
//! password is looked at.
//!
//! ```text
//! from where the user has logged in before    one bucket of both
//! from elsewhere                              one of both, one of the user for all elsewhere, one of the place
//! ```
//!
//! A bucket lets some failures pass and then asks for a wait that doubles. So whoever guesses from elsewhere slows down
//! others from elsewhere, and never the user at home. What it knows is of this node alone. Past some failures of a user from
//! elsewhere the nodes count together as well, so that n nodes are no n times as many guesses: see `Limits::try_password`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{LOGIN_BUCKETS_MAX, LOGIN_TRIES_NODE};

/// Where somebody logs in from: the network that an address is in, as wide as one subscriber or office has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place(u128, u8);

impl Place {
    /// A /24 of IPv4, a /48 of IPv6.
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u128::from(u32::from(address) >> 8), 4),
            IpAddr::V6(address) => Self(u128::from(address) >> 80, 6),
        }
    }

    /// As bytes, to be hashed.
    pub(super) fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [self.1; 17];
        bytes[..16].copy_from_slice(&self.0.to_be_bytes());
        bytes
    }
}

/// A login that is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) tenant: &'a Tenant,
    /// In the form in which names are looked up. It may be nobody's.
    pub(super) username: &'a str,
    pub(super) place: Place,
    pub(super) familiarity: Familiarity,
}

/// Whether the user has logged in from there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Familiarity {
    Known,
    Unknown,
}

/// That a login is to be tried later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins have failed; try again in {} s", .ms.div_ceil(1_000))]
pub(super) struct Wait {
    pub(super) ms: u64,
}

/// The failures of the last hour, as this node has seen them.
#[derive(Debug)]
pub(super) struct Throttle<S = RandomState> {
    buckets: HashMap<u64, Bucket>,
    /// Names are kept as hashes that nobody outside can foresee: they may be of any length, and somebody's password.
    hasher: S,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    failures: u32,
    last_ms: u64,
}

/// What of an attempt is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Home,
    Both,
    User,
    Place,
}

/// How a sort of bucket goes.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Failures without a wait.
    free: u32,
    /// The longest wait.
    longest_ms: u64,
}

impl Of {
    const fn pace(self) -> Pace {
        match self {
            // Who is at home mistypes; who guesses from there gets some hundred guesses a day.
            Self::Home => Pace {
                free: 8,
                longest_ms: 5 * 60_000,
            },
            Self::Both => Pace {
                free: 4,
                longest_ms: 15 * 60_000,
            },
            // Many places guess at one user: as many as all nodes let pass together.
            Self::User => Pace {
                free: 20,
                longest_ms: 60_000,
            },
            // One place guesses at many users; an office has many that mistype.
            Self::Place => Pace {
                free: 50,
                longest_ms: 60_000,
            },
        }
    }
}

impl Bucket {
    fn wait_ms(self, pace: Pace, now_ms: u64) -> u64 {
        let over = self.failures.saturating_sub(pace.free);
        if over == 0 {
            return 0;
        }
        let wait_ms = FIRST_MS.checked_shl(over - 1).unwrap_or(u64::MAX);
        let until_ms = self.last_ms.saturating_add(wait_ms.min(pace.longest_ms));
        // A clock that was set back must keep nobody out for longer.
        until_ms.saturating_sub(now_ms).min(pace.longest_ms)
    }

    const fn is_forgotten(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= FORGOTTEN_MS
    }
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self::with_hasher(RandomState::new())
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: BuildHasher> Throttle<S> {
    fn with_hasher(hasher: S) -> Self {
        Self {
            buckets: HashMap::new(),
            hasher,
        }
    }

    /// Whether a login may be tried now. It counts as failed until [`Throttle::succeeded`] says otherwise, so that many at
    /// once are no way around.
    pub(super) fn begin(&mut self, attempt: Attempt<'_>, now_ms: u64) -> Result<(), Wait> {
        let counted = self.counted(attempt);
        let waits = counted.iter().filter_map(|(of, key)| {
            let bucket = self.buckets.get(key)?;
            Some(bucket.wait_ms(of.pace(), now_ms))
        });
        match waits.max() {
            Some(ms) if ms > 0 => return Err(Wait { ms }),
            Some(_) | None => {}
        }
        for (_, key) in counted {
            self.make_room(now_ms);
            let bucket = self.buckets.entry(key).or_insert(Bucket {
                failures: 0,
                last_ms: now_ms,
            });
            if bucket.is_forgotten(now_ms) {
                bucket.failures = 0;
            }
            bucket.failures = bucket.failures.saturating_add(1);
            bucket.last_ms = now_ms;
        }
        Ok(())
    }

    /// Whether somebody is guessed at from elsewhere, as far as this node has seen: then what other nodes have seen counts too.
    pub(super) fn is_guessed_at(&self, attempt: Attempt<'_>, now_ms: u64) -> bool {
        let counted = self.counted(attempt).into_iter();
        let mut of_user = counted.filter(|(of, _)| *of == Of::User);
        of_user.any(|(_, key)| {
            let bucket = self.buckets.get(&key);
            bucket.is_some_and(|it| !it.is_forgotten(now_ms) && it.failures >= LOGIN_TRIES_NODE)
        })
    }

    /// The login was good: its own failures are forgiven, and it counts for nothing in what it shares with others.
    pub(super) fn succeeded(&mut self, attempt: Attempt<'_>) {
        for (of, key) in self.counted(attempt) {
            match of {
                Of::Home | Of::Both => drop(self.buckets.remove(&key)),
                Of::User | Of::Place => {
                    if let Some(bucket) = self.buckets.get_mut(&key) {
                        bucket.failures = bucket.failures.saturating_sub(1);
                    }
                }
            }
        }
    }

    fn counted(&self, attempt: Attempt<'_>) -> Vec<(Of, u64)> {
        let counted = match attempt.familiarity {
            Familiarity::Known => [Of::Home].as_slice(),
            Familiarity::Unknown => &[Of::Both, Of::User, Of::Place],
        };
        let (tenant, user, place) = (attempt.tenant, attempt.username, attempt.place);
        let key = |of: &Of| match of {
            Of::Home | Of::Both => self.hasher.hash_one((of, tenant, user, place)),
            Of::User => self.hasher.hash_one((of, tenant, user)),
            Of::Place => self.hasher.hash_one((of, place)),
        };
        counted.iter().map(|of| (*of, key(of))).collect()
    }

    /// Room for one more. When nothing is forgotten, the half that is quiet for longest is: who is guessed at, and who
    /// guesses, is in the other one.
    fn make_room(&mut self, now_ms: u64) {
        if self.buckets.len() < LOGIN_BUCKETS_MAX {
            return;
        }
        self.buckets
            .retain(|_, bucket| !bucket.is_forgotten(now_ms));
        if self.buckets.len() < LOGIN_BUCKETS_MAX {
            return;
        }
        let mut times: Vec<u64> = self.buckets.values().map(|it| it.last_ms).collect();
        let middle = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(middle);
        let middle = *middle;
        self.buckets.retain(|_, bucket| bucket.last_ms > middle);
    }
}

/// The first wait.
const FIRST_MS: u64 = 1_000;
/// After so long without a failure there were none: longer than the longest wait.
const FORGOTTEN_MS: u64 = 60 * 60 * 1_000;

#[cfg(test)]
mod tests;
