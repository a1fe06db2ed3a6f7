//! The writes of one transaction before it commits, and what reads see through them.
//!
//! Cleared ranges come first, single keys after: a key that is set or cleared later than a range
//! that covers it is kept apart from the range, and one that was written earlier is dropped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use super::super::Order;
use super::engine::Slice;

/// What happens to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Write {
    Set(Slice),
    Clear,
    /// Adds to what the store has at the moment of the commit.
    Add(i64),
}

impl Write {
    /// The value that a reader sees on top of `base`.
    pub(super) fn over(&self, base: Option<&[u8]>) -> Option<Slice> {
        match self {
            Self::Set(value) => Some(value.clone()),
            Self::Clear => None,
            Self::Add(by) => Some(sum(base, *by)),
        }
    }
}

/// A key that becomes known only at the commit.
#[derive(Debug)]
pub(super) struct Stamped {
    pub(super) prefix: Slice,
    pub(super) suffix: Slice,
    pub(super) value: Slice,
}

/// Everything a transaction writes.
#[derive(Debug, Default)]
pub(super) struct Writes {
    pub(super) keys: BTreeMap<Slice, Write>,
    /// `begin <= key < end`.
    pub(super) cleared: Vec<(Slice, Slice)>,
    pub(super) stamped: Vec<Stamped>,
    pub(super) conflicts: Vec<Slice>,
}

impl Writes {
    pub(super) fn set(&mut self, key: Slice, value: Slice) {
        self.keys.insert(key, Write::Set(value));
    }

    pub(super) fn clear(&mut self, key: Slice) {
        self.keys.insert(key, Write::Clear);
    }

    pub(super) fn clear_range(&mut self, begin: Slice, end: Slice) {
        if begin >= end {
            return;
        }
        let mut covered = self.keys.split_off(&begin);
        self.keys.append(&mut covered.split_off(&end));
        self.cleared.push((begin, end));
    }

    pub(super) fn add(&mut self, key: Slice, by: i64) {
        let is_cleared = self.is_cleared(&key);
        match self.keys.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(if is_cleared {
                    Write::Set(sum(None, by))
                } else {
                    Write::Add(by)
                });
            }
            Entry::Occupied(mut entry) => {
                let write = match entry.get() {
                    Write::Set(value) => Write::Set(sum(Some(value), by)),
                    Write::Clear => Write::Set(sum(None, by)),
                    Write::Add(first) => Write::Add(first.wrapping_add(by)),
                };
                entry.insert(write);
            }
        }
    }

    /// Whether nothing would change and nobody would notice.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.cleared.is_empty()
            && self.stamped.is_empty()
            && self.conflicts.is_empty()
    }

    /// Whether a range that was cleared covers the key.
    pub(super) fn is_cleared(&self, key: &Slice) -> bool {
        self.cleared
            .iter()
            .any(|(begin, end)| begin <= key && key < end)
    }

    /// The pairs of a range as a reader sees them: the store's under this transaction's own.
    pub(super) fn merge<'a, E: 'a>(
        &'a self,
        base: impl Iterator<Item = Result<(Slice, Slice), E>> + 'a,
        (begin, end): (&Slice, &Slice),
        order: Order,
    ) -> impl Iterator<Item = Result<(Slice, Slice), E>> + 'a {
        let mut base = base
            .filter(|pair| !matches!(pair, Ok((key, _)) if self.is_cleared(key)))
            .peekable();
        let mut own = self.own(begin, end, order).peekable();
        std::iter::from_fn(move || {
            loop {
                let first = match (base.peek(), own.peek()) {
                    (Some(Err(_)), _) | (Some(_), None) => return base.next(),
                    (None, None) => return None,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (Some(Ok((theirs, _))), Some((ours, _))) => match order {
                        Order::Ascending => theirs.cmp(ours),
                        Order::Descending => ours.cmp(&theirs),
                    },
                };
                if first.is_lt() {
                    return base.next();
                }
                let under = if first.is_eq() { base.next() } else { None };
                let under = match &under {
                    Some(Ok((_, value))) => Some(&**value),
                    Some(Err(_)) | None => None,
                };
                let Some((key, write)) = own.next() else {
                    continue;
                };
                if let Some(value) = write.over(under) {
                    return Some(Ok((key.clone(), value)));
                }
            }
        })
    }

    fn own<'a>(
        &'a self,
        begin: &Slice,
        end: &Slice,
        order: Order,
    ) -> Box<dyn Iterator<Item = (&'a Slice, &'a Write)> + 'a> {
        if begin >= end {
            return Box::new(std::iter::empty());
        }
        let own = self
            .keys
            .range::<Slice, _>((Bound::Included(begin), Bound::Excluded(end)));
        match order {
            Order::Ascending => Box::new(own),
            Order::Descending => Box::new(own.rev()),
        }
    }
}

/// A little-endian number, zero-extended or cut to 64 bits as FoundationDB does, plus `by`.
pub(super) fn sum(base: Option<&[u8]>, by: i64) -> Slice {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(base.unwrap_or_default()) {
        *to = *from;
    }
    Slice::from(i64::from_le_bytes(bytes).wrapping_add(by).to_le_bytes())
}
