//! Where else in the cluster clients are served: told to them in the Welcome, and given out in turns when they
//! have to move. The membership of the node says what is there; here is only the choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_protocol::limits::LABEL_BYTES_MAX;
use tokio::sync::watch;

/// The other nodes that serve clients: `host:port` of each, best first.
pub type OtherNodes = watch::Receiver<Arc<[String]>>;

/// For a node that has no others.
pub fn no_other_nodes() -> OtherNodes {
    // What was last sent stays there when the sender goes.
    watch::channel(Arc::from([])).1
}

/// The choice among them.
#[derive(Debug)]
pub(super) struct Elsewhere {
    others: OtherNodes,
    /// Whose turn it is.
    turn: AtomicUsize,
}

impl Elsewhere {
    /// `first` says whose turn it is first: nodes that drain at the same time begin at different ones.
    pub(super) const fn new(others: OtherNodes, first: usize) -> Self {
        Self {
            others,
            turn: AtomicUsize::new(first),
        }
    }

    /// All of them, best first.
    pub(super) fn all(&self) -> Arc<[String]> {
        Arc::clone(&self.others.borrow())
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
    fn a_node_alone_has_nobody_else() {
        let elsewhere = Elsewhere::new(no_other_nodes(), 7);
        assert!(elsewhere.is_empty());
        assert_eq!(elsewhere.next(), None);
    }
}
