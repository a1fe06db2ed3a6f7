//! Where else in the cluster clients are served: told to them in the Welcome, and given out in turns when they
//! have to move. The membership of the node says what is there; here is only the choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_protocol::limits::LABEL_BYTES_MAX;
use tokio::sync::watch;

/// Addresses of nodes, `host:port`, best first.
pub type Addresses = watch::Receiver<Arc<[String]>>;

/// The other nodes that serve clients.
#[derive(Debug, Clone)]
pub struct OtherNodes {
    /// Where clients can go on over QUIC: nodes that are there, and are to stay.
    pub quic: Addresses,
    /// The same over HTTP.
    pub http: Addresses,
    /// All bridges, those that are away among them: pages that came from one go on here while it is away.
    pub bridges: Addresses,
}

/// For a node that has no others.
pub fn no_other_nodes() -> OtherNodes {
    // What was last sent stays there when the sender goes.
    let nobody = || watch::channel(Arc::from([])).1;
    OtherNodes {
        quic: nobody(),
        http: nobody(),
        bridges: nobody(),
    }
}

/// What the client of one session knows of them.
#[derive(Debug)]
pub(super) struct Told {
    others: Addresses,
    told: Arc<[String]>,
}

impl Told {
    /// `told` is what the client was told last.
    pub(super) const fn new(others: Addresses, told: Arc<[String]>) -> Self {
        Self { others, told }
    }

    /// What the client is to be told, if it is anything new. Costs next to nothing if there was no change.
    pub(super) fn news(&mut self) -> Option<&[String]> {
        if !self.others.has_changed().unwrap_or(false) {
            return None;
        }
        let now = Arc::clone(&self.others.borrow_and_update());
        if now.is_empty() || now == self.told {
            return None;
        }
        self.told = now;
        Some(&self.told)
    }
}

/// The choice among those that are reached in one way.
#[derive(Debug)]
pub(super) struct Elsewhere {
    others: Addresses,
    /// Whose turn it is.
    turn: AtomicUsize,
}

impl Elsewhere {
    /// `first` says whose turn it is first: nodes that drain at the same time begin at different ones.
    pub(super) const fn new(others: Addresses, first: usize) -> Self {
        Self {
            others,
            turn: AtomicUsize::new(first),
        }
    }

    /// All of them, best first.
    pub(super) fn all(&self) -> Arc<[String]> {
        Arc::clone(&self.others.borrow())
    }

    /// A way to hear of changes, for one session.
    pub(super) fn watch(&self) -> Addresses {
        self.others.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.others.borrow().is_empty()
    }

    /// Where the next session goes, so that they spread over all. `None` where there is nobody else.
    pub(super) fn next(&self) -> Option<String> {
        let others = self.all();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let address = others.get(turn.checked_rem(others.len())?)?;
        // No address is longer, and a frame takes no longer one.
        (address.len() <= LABEL_BYTES_MAX).then(|| address.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_spread_over_the_others() {
        let (sender, others) = watch::channel(Arc::from([]));
        let elsewhere = Elsewhere::new(others, 7);
        assert!(elsewhere.is_empty());
        assert_eq!(elsewhere.next(), None);
        sender.send_replace(["a:1", "b:2", "c:3"].map(str::to_owned).into());
        let mut given: Vec<_> = (0..9).filter_map(|_| elsewhere.next()).collect();
        given.sort_unstable();
        assert_eq!(
            given,
            [
                "a:1", "a:1", "a:1", "b:2", "b:2", "b:2", "c:3", "c:3", "c:3"
            ]
        );
        sender.send_replace([String::from("b:2")].into());
        assert_eq!(elsewhere.next().as_deref(), Some("b:2"));
        drop(sender);
        assert_eq!(
            elsewhere.next().as_deref(),
            Some("b:2"),
            "the last word stands"
        );
    }

    #[test]
    fn a_client_is_told_what_is_new_once() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let (sender, others) = watch::channel::<Arc<[String]>>(list(&["a:1"]));
        let mut told = Told::new(others, list(&["a:1"]));
        assert_eq!(told.news(), None);
        sender.send_replace(list(&["a:1"]));
        assert_eq!(told.news(), None, "the same again");
        sender.send_replace(list(&["a:1", "b:2"]));
        assert_eq!(told.news().unwrap(), ["a:1", "b:2"]);
        assert_eq!(told.news(), None);
        sender.send_replace(list(&[]));
        assert_eq!(told.news(), None, "that nobody is there helps nobody");
        drop(sender);
        assert_eq!(told.news(), None);
    }

    #[test]
    fn a_node_alone_has_nobody_else() {
        let elsewhere = Elsewhere::new(no_other_nodes().http, 7);
        assert!(elsewhere.is_empty());
        assert_eq!(elsewhere.next(), None);
    }
}
