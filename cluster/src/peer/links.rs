//! The links of a node to all others: one to each, opened when somebody needs it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::dialer::{Dialer, Target};
use super::link::Link;
use crate::Clock;

/// Links by the names of nodes. A cheap handle.
#[derive(Debug, Clone)]
pub struct Links {
    dialer: Dialer,
    clock: Clock,
    /// As many as there are nodes; a link ends with the last who uses it.
    links: Arc<Mutex<HashMap<String, Known>>>,
}

/// The address, and the link for as long as somebody has it.
type Known = (String, Weak<Link>);

impl Links {
    /// Opens nothing yet.
    pub fn new(dialer: Dialer, clock: Clock) -> Self {
        Self {
            dialer,
            clock,
            links: Arc::default(),
        }
    }

    /// The link to a node at an address, which proves to have its name. Needs a tokio runtime.
    pub fn to(&self, name: &str, address: &str) -> Arc<Link> {
        let mut links = self.links.lock();
        if let Some((known, link)) = links.get(name)
            && known == address
            && let Some(link) = link.upgrade()
        {
            return link;
        }
        links.retain(|_, (_, link)| link.strong_count() > 0);
        let target = Target {
            address: address.to_owned(),
            name: Some(name.to_owned()),
        };
        let link = Link::open(self.dialer.clone(), target, self.clock.clone());
        let link = Arc::new(link);
        let entry = (address.to_owned(), Arc::downgrade(&link));
        links.insert(name.to_owned(), entry);
        link
    }
}
