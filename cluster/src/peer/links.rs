//! The links of a node to all others: one to each, opened when somebody needs it; and which of them lead nowhere.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::dialer::{Dialer, Target};
use super::link::Link;
use super::silence::Silence;
use crate::Clock;

/// Links by the names of nodes. A cheap handle.
#[derive(Debug, Clone)]
pub struct Links {
    dialer: Dialer,
    clock: Clock,
    /// As many as there are nodes; a link ends with the last who uses it.
    links: Arc<Mutex<HashMap<String, Known>>>,
    /// Links that are open only to see whether they can be.
    probes: Arc<Mutex<Vec<Arc<Link>>>>,
}

#[derive(Debug)]
struct Known {
    address: String,
    /// For as long as somebody has it.
    link: Weak<Link>,
    silence: Silence,
}

impl Links {
    /// Opens nothing yet.
    pub fn new(dialer: Dialer, clock: Clock) -> Self {
        Self {
            dialer,
            clock,
            links: Arc::default(),
            probes: Arc::default(),
        }
    }

    /// The link to a node at an address, which proves to have its name. Needs a tokio runtime.
    pub fn to(&self, name: &str, address: &str) -> Arc<Link> {
        let mut links = self.links.lock();
        if let Some(known) = links.get(name)
            && known.address == address
            && let Some(link) = known.link.upgrade()
        {
            return link;
        }
        links.retain(|_, known| known.link.strong_count() > 0);
        let target = Target {
            address: address.to_owned(),
            name: Some(name.to_owned()),
        };
        let link = Link::open(self.dialer.clone(), target, self.clock.clone());
        let link = Arc::new(link);
        let known = Known {
            address: address.to_owned(),
            link: Arc::downgrade(&link),
            silence: Silence::default(),
        };
        links.insert(name.to_owned(), known);
        link
    }

    /// The nodes that cannot be reached, of those that somebody here needs, and of `doubted` besides, to which
    /// links are kept from now on until they are left out. It compares with what the last call saw, so it is
    /// called about as often as a link should be looked at. Needs a tokio runtime.
    pub fn unreachable(&self, now: Instant, doubted: &[Target]) -> Vec<String> {
        let named = doubted
            .iter()
            .filter_map(|it| Some((it.name.as_ref()?, it)));
        let probes = named.map(|(name, target)| self.to(name, &target.address));
        let probes = probes.collect();
        // Those of before end after these have begun: one that is doubted still is not opened anew.
        let before = std::mem::replace(&mut *self.probes.lock(), probes);
        drop(before);
        let mut links = self.links.lock();
        let mut unreachable = Vec::new();
        for (name, known) in &mut *links {
            let Some(link) = known.link.upgrade() else {
                continue;
            };
            if known.silence.look(now, link.sign()) {
                unreachable.push(name.clone());
            }
        }
        unreachable
    }
}
