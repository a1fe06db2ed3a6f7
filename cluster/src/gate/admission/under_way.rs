//! What has begun and not ended, by the prefixes that it is of. Pure.

use std::collections::HashMap;

use super::prefix::{Origin, Prefix};

#[derive(Debug, Default)]
pub(super) struct UnderWay {
    len: usize,
    /// No more entries than twice as many.
    of: HashMap<Prefix, usize>,
}

impl UnderWay {
    pub(super) fn begin(&mut self, origin: Origin) {
        self.len += 1;
        for prefix in [origin.address, origin.network] {
            *self.of.entry(prefix).or_default() += 1;
        }
    }

    /// One that never began is none the less.
    pub(super) fn end(&mut self, origin: Origin) {
        self.len = self.len.saturating_sub(1);
        for prefix in [origin.address, origin.network] {
            if let Some(count) = self.of.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    self.of.remove(&prefix);
                }
            }
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Those of one prefix.
    pub(super) fn of(&self, prefix: Prefix) -> usize {
        self.of.get(&prefix).copied().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn prefixes(&self) -> usize {
        self.of.len()
    }
}
