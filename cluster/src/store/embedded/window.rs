//! The commits of the last seconds, and whether a transaction conflicts with them.
//!
//! Owned by the committer. A pure structure: time comes in, nothing goes out but the answer.
//!
//! Point reads, which are nearly all, cost one look-up by hash; two keys of one hash are taken for
//! one, which at worst refuses a transaction that could have gone on. Range reads look at the keys
//! of each newer group, sorted when first asked for.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::time::Duration;

use selvedge_protocol::limits::STORE_TRANSACTION_MS_MAX;
use tokio::time::Instant;

use super::super::{Error, Version};
use super::engine::Slice;
use super::hash::{HashedKey, HashedMap};

/// What a transaction read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) keys: Vec<HashedKey>,
    /// `begin <= key < end`.
    pub(super) ranges: Vec<(Slice, Slice)>,
}

/// The recent commits.
#[derive(Debug)]
pub(super) struct Window {
    last_write: HashedMap<u64, Version>,
    groups: VecDeque<Group>,
    cleared: VecDeque<Cleared>,
    keys: usize,
    oldest: Version,
}

#[derive(Debug)]
struct Group {
    version: Version,
    at: Instant,
    keys: Vec<HashedKey>,
    is_sorted: bool,
}

#[derive(Debug)]
struct Cleared {
    version: Version,
    begin: Slice,
    end: Slice,
}

impl Window {
    /// A window that knows of nothing before `version`.
    pub(super) fn new(version: Version) -> Self {
        Self {
            last_write: HashedMap::default(),
            groups: VecDeque::new(),
            cleared: VecDeque::new(),
            keys: 0,
            oldest: version,
        }
    }

    /// Starts a group; what is written from here on is written at its version.
    pub(super) fn start_group(&mut self, version: Version, now: Instant) {
        self.expire(now);
        self.groups.push_back(Group {
            version,
            at: now,
            keys: Vec::new(),
            is_sorted: true,
        });
    }

    /// Notes a write of the newest group; true if that may have written the key before.
    pub(super) fn write(&mut self, key: HashedKey) -> bool {
        let Some(group) = self.groups.back_mut() else {
            return false;
        };
        let last = self.last_write.insert(key.hash, group.version);
        group.keys.push(key);
        group.is_sorted = false;
        self.keys += 1;
        last == Some(group.version)
    }

    /// Notes a cleared range of the newest group.
    pub(super) fn clear(&mut self, begin: Slice, end: Slice) {
        let Some(group) = self.groups.back() else {
            return;
        };
        let version = group.version;
        self.keys += 1;
        self.cleared.push_back(Cleared {
            version,
            begin,
            end,
        });
    }

    /// Whether what was read at `version` still stands.
    pub(super) fn check(&mut self, version: Version, reads: &Reads) -> Result<(), Error> {
        if version < self.oldest {
            return Err(Error::TooOld);
        }
        let is_changed = reads
            .keys
            .iter()
            .any(|key| self.is_key_changed(version, key))
            || reads
                .ranges
                .iter()
                .any(|(begin, end)| self.is_range_changed(version, begin, end));
        if is_changed {
            return Err(Error::Conflict);
        }
        Ok(())
    }

    /// Transactions that read before this version are too old.
    pub(super) const fn oldest(&self) -> Version {
        self.oldest
    }

    fn is_key_changed(&self, version: Version, key: &HashedKey) -> bool {
        self.last_write
            .get(&key.hash)
            .is_some_and(|written| *written > version)
            || self
                .cleared_since(version)
                .any(|cleared| *cleared.begin <= *key.key && *key.key < *cleared.end)
    }

    fn is_range_changed(&mut self, version: Version, begin: &Slice, end: &Slice) -> bool {
        let overlaps = |cleared: &Cleared| *cleared.begin < **end && **begin < *cleared.end;
        if self.cleared_since(version).any(overlaps) {
            return true;
        }
        let newer = self.groups.iter_mut().rev();
        newer
            .take_while(|group| group.version > version)
            .any(|group| group.contains_between(begin, end))
    }

    fn cleared_since(&self, version: Version) -> impl Iterator<Item = &Cleared> {
        let newer = self.cleared.iter().rev();
        newer.take_while(move |cleared| cleared.version > version)
    }

    fn expire(&mut self, now: Instant) {
        while let Some(group) = self.groups.front() {
            let age = now.saturating_duration_since(group.at);
            if age <= WINDOW && self.keys <= KEYS_MAX && self.groups.len() <= GROUPS_MAX {
                break;
            }
            let Some(group) = self.groups.pop_front() else {
                break;
            };
            self.forget(&group);
        }
    }

    fn forget(&mut self, group: &Group) {
        self.oldest = group.version;
        self.keys -= group.keys.len();
        for key in &group.keys {
            if let Entry::Occupied(last) = self.last_write.entry(key.hash)
                && *last.get() == group.version
            {
                last.remove();
            }
        }
        while let Some(cleared) = self.cleared.front()
            && cleared.version <= group.version
        {
            self.cleared.pop_front();
            self.keys -= 1;
        }
    }
}

impl Group {
    fn contains_between(&mut self, begin: &Slice, end: &Slice) -> bool {
        if !self.is_sorted {
            self.keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            self.is_sorted = true;
        }
        let at = self.keys.partition_point(|key| key.key < *begin);
        self.keys.get(at).is_some_and(|key| key.key < *end)
    }
}

const WINDOW: Duration = Duration::from_millis(STORE_TRANSACTION_MS_MAX);
/// 40,000 keys a second for five seconds is 200,000; past this, transactions get too old earlier.
const KEYS_MAX: usize = 262_144;
/// Five seconds of a lone committer on a fast disk.
const GROUPS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> HashedKey {
        HashedKey::new(Slice::from(text))
    }

    fn reads(keys: &[&str], ranges: &[(&str, &str)]) -> Reads {
        Reads {
            keys: keys.iter().map(|text| key(text)).collect(),
            ranges: ranges
                .iter()
                .map(|(begin, end)| (Slice::from(*begin), Slice::from(*end)))
                .collect(),
        }
    }

    #[test]
    fn a_read_conflicts_with_later_writes_only() {
        let mut window = Window::new(10);
        window.start_group(11, Instant::now());
        window.write(key("b"));
        assert!(window.check(10, &reads(&["a"], &[])).is_ok());
        assert!(matches!(
            window.check(10, &reads(&["b"], &[])),
            Err(Error::Conflict)
        ));
        assert!(window.check(11, &reads(&["b"], &[("a", "c")])).is_ok());
        assert!(matches!(
            window.check(10, &reads(&[], &[("a", "c")])),
            Err(Error::Conflict)
        ));
        assert!(window.check(10, &reads(&[], &[("a", "b")])).is_ok());
        assert!(matches!(
            window.check(10, &reads(&[], &[("b", "b\0")])),
            Err(Error::Conflict)
        ));
    }

    #[test]
    fn a_cleared_range_conflicts_with_keys_and_ranges_in_it() {
        let mut window = Window::new(0);
        window.start_group(1, Instant::now());
        window.clear(Slice::from("b"), Slice::from("d"));
        for (keys, ranges, is_ok) in [
            (&["b"][..], &[][..], false),
            (&["d"], &[], true),
            (&[], &[("a", "b")], true),
            (&[], &[("a", "b\0")], false),
            (&[], &[("d", "e")], true),
        ] {
            assert_eq!(window.check(0, &reads(keys, ranges)).is_ok(), is_ok);
        }
    }

    #[test]
    fn old_commits_are_forgotten_and_older_readers_refused() {
        let start = Instant::now();
        let mut window = Window::new(0);
        window.start_group(1, start);
        window.write(key("a"));
        window.clear(Slice::from("b"), Slice::from("c"));
        window.start_group(2, start + WINDOW + Duration::from_millis(1));
        window.write(key("c"));
        assert!(matches!(
            window.check(0, &reads(&[], &[])),
            Err(Error::TooOld)
        ));
        assert!(window.check(1, &reads(&["a", "b"], &[("a", "c")])).is_ok());
        assert_eq!((window.keys, window.last_write.len()), (1, 1));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let now = Instant::now();
        let mut window = Window::new(0);
        for version in 1..=300 {
            window.start_group(version, now);
            for number in 0..1_000 {
                window.write(key(&format!("{version} {number}")));
            }
        }
        assert!(window.keys <= KEYS_MAX + 1_000);
        assert!(window.last_write.len() <= window.keys);
        assert!(window.oldest() > 0);
    }
}
