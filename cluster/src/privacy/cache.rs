//! The keys of subjects that a node has in memory: bounded, and told apart from what was fetched before a change was
//! heard of. Pure; the keys' own memory is overwritten when the last who uses one lets it go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::ScopedSubject;
use super::keys::DataKey;

/// Up to so many keys; the oldest goes first.
#[derive(Debug)]
pub(super) struct Cache {
    keys: HashMap<ScopedSubject, Arc<DataKey>>,
    /// In the order in which they came. Those that are not in `keys` any more are passed over.
    order: VecDeque<ScopedSubject>,
    max: usize,
    /// Raised with each change that was heard of: what was fetched before may be old.
    generation: u64,
}

impl Cache {
    pub(super) fn new(max: usize) -> Self {
        Self {
            keys: HashMap::new(),
            order: VecDeque::new(),
            max,
            generation: 0,
        }
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn find(&self, of: &ScopedSubject) -> Option<&Arc<DataKey>> {
        self.keys.get(of)
    }

    /// Takes in a key that was fetched in this generation; one of an earlier is not kept.
    pub(super) fn keep(&mut self, of: &ScopedSubject, key: &Arc<DataKey>, fetched: u64) {
        if fetched != self.generation {
            return;
        }
        if self.keys.insert(of.clone(), Arc::clone(key)).is_none() {
            self.order.push_back(of.clone());
        }
        while self.keys.len() > self.max || self.order.len() > 2 * self.max {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.keys.remove(&oldest);
        }
    }

    pub(super) fn forget(&mut self, of: &ScopedSubject) {
        self.generation += 1;
        self.keys.remove(of);
    }

    /// The key of a subject was seen to be this one, or none: any other goes, and none that is being fetched at the
    /// moment is kept, for it may be from before.
    pub(super) fn seen(&mut self, of: &ScopedSubject, present: Option<&[u8; 16]>) {
        if present.is_none() || self.keys.get(of).map(|key| key.id()) != present {
            self.forget(of);
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.generation += 1;
        self.keys.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use selvedge_protocol::{SubjectId, Tenant};

    use super::super::wrapping::random_key;
    use super::*;

    fn subject(name: &str) -> ScopedSubject {
        ScopedSubject {
            tenant: Tenant::default_tenant(),
            subject: SubjectId::new(name).unwrap(),
        }
    }

    fn key(of: &ScopedSubject) -> Arc<DataKey> {
        Arc::new(DataKey::new([1; 16], of, &random_key()))
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut cache = Cache::new(2);
        let all = ["a", "b", "c"].map(subject);
        for of in &all {
            cache.keep(of, &key(of), 0);
        }
        let found = all.iter().map(|of| cache.find(of).is_some());
        assert_eq!(found.collect::<Vec<_>>(), [false, true, true]);
        for _ in 0..100 {
            cache.keep(&all[1], &key(&all[1]), cache.generation());
            cache.forget(&all[1]);
        }
        assert!(cache.order.len() <= 4);
    }

    #[test]
    fn what_was_fetched_before_a_change_is_not_kept() {
        let mut cache = Cache::new(2);
        let of = subject("a");
        let fetched = cache.generation();
        cache.forget(&of);
        cache.keep(&of, &key(&of), fetched);
        assert!(cache.find(&of).is_none());
        cache.keep(&of, &key(&of), cache.generation());
        assert!(cache.find(&of).is_some());
        cache.seen(&of, Some(&[1; 16]));
        assert!(cache.find(&of).is_some());
        let fetched = cache.generation();
        cache.seen(&of, None);
        assert!(cache.find(&of).is_none());
        cache.keep(&of, &key(&of), fetched);
        assert!(cache.find(&of).is_none());
    }
}
