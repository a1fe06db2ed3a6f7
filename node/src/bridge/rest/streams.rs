//! How many streams of events there are: in all, and of each principal. Handlers take a place before they subscribe.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_protocol::limits::{EVENT_STREAMS_MAX, EVENT_STREAMS_PRINCIPAL_MAX};
use selvedge_protocol::{ErrorCode, Failure, Tenant};

use crate::identity::Principal;

/// All streams of a bridge. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    all: usize,
    of: HashMap<(Tenant, Arc<str>), usize>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Streams,
    of: (Tenant, Arc<str>),
}

impl Streams {
    /// A place for one more stream of this principal.
    pub(crate) fn take(&self, principal: &Principal) -> Result<Place, Failure> {
        let mut places = self.0.lock();
        if places.all >= EVENT_STREAMS_MAX {
            return Err(Failure::new(
                ErrorCode::Overloaded,
                "the node serves as many streams as it may; ask another, or again later",
            ));
        }
        let of = (principal.tenant.clone(), Arc::clone(&principal.name));
        let own = places.of.entry(of.clone()).or_insert(0);
        if *own >= EVENT_STREAMS_PRINCIPAL_MAX {
            let message = format!(
                "{} has {EVENT_STREAMS_PRINCIPAL_MAX} streams here, which is as many as may be; end some, or use a \
                 session",
                principal.name
            );
            return Err(Failure::new(ErrorCode::LimitExceeded, message));
        }
        *own += 1;
        places.all += 1;
        Ok(Place {
            streams: self.clone(),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.streams.0.lock();
        places.all -= 1;
        if let Some(own) = places.of.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                places.of.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;

    #[test]
    fn a_principal_has_its_share_and_gives_it_back() {
        let principal = |name: &str| Principal::new(name, Tenant::default_tenant(), [Role::VIEWER]);
        let streams = Streams::default();
        let (ann, ben) = (principal("ann"), principal("ben"));
        let mut places: Vec<_> = (0..EVENT_STREAMS_PRINCIPAL_MAX)
            .map(|_| streams.take(&ann).unwrap())
            .collect();
        let refused = streams.take(&ann).unwrap_err();
        assert_eq!(refused.code, ErrorCode::LimitExceeded);
        assert!(streams.take(&ben).is_ok());
        places.pop();
        assert!(streams.take(&ann).is_ok());
        drop(places);
        assert_eq!(streams.0.lock().all, 0);
        assert!(streams.0.lock().of.is_empty());
    }
}
