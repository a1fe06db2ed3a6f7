//! What the membership of a node tells of the others to those who deal with clients: sessions, which send them there,
//! and ports, which let in the pages that came from there. The membership starts it; nothing here decides of a node.

use std::sync::Arc;

use selvedge_cluster::membership::{NodeRecord, Role, View};
use tokio::sync::watch;

use crate::session::OtherNodes;

/// What keeps the addresses of the others up to date.
pub(crate) struct Tellers {
    quic: watch::Sender<Arc<[String]>>,
    http: watch::Sender<Arc<[String]>>,
    bridges: watch::Sender<Arc<[String]>>,
}

/// No address of any other node.
pub(crate) fn nobody_yet() -> (Tellers, OtherNodes) {
    let nobody = || watch::channel(Arc::from([]));
    let ((quic, over_quic), (http, over_http), (bridges, pages)) = (nobody(), nobody(), nobody());
    let others = OtherNodes {
        quic: over_quic,
        http: over_http,
        bridges: pages,
    };
    let tellers = Tellers {
        quic,
        http,
        bridges,
    };
    (tellers, others)
}

impl Tellers {
    /// Tells what each view of the cluster says, until there are no more.
    pub(crate) async fn tell(self, mut views: watch::Receiver<Arc<View>>) {
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            self.tell_of(&view);
            if views.changed().await.is_err() {
                return;
            }
        }
    }

    fn tell_of(&self, view: &View) {
        let stays = NodeRecord::is_staying;
        let quic = addresses(view, Role::Edge, stays, |it| &it.quic);
        let http = addresses(view, Role::Bridge, stays, |it| &it.http);
        let bridges = addresses(view, Role::Bridge, |_| true, |it| &it.http);
        for (teller, addresses) in [
            (&self.quic, quic),
            (&self.http, http),
            (&self.bridges, bridges),
        ] {
            tell(teller, addresses);
        }
    }
}

/// Those who wait for news are woken by nothing else.
fn tell(teller: &watch::Sender<Arc<[String]>>, addresses: Arc<[String]>) {
    teller.send_if_modified(|known| {
        let is_news = **known != *addresses;
        if is_news {
            *known = addresses;
        }
        is_news
    });
}

/// Of the other nodes of a role that were not removed, as far as they are meant.
fn addresses(
    view: &View,
    role: Role,
    is_meant: impl Fn(&NodeRecord) -> bool,
    of: impl Fn(&NodeRecord) -> &Option<String>,
) -> Arc<[String]> {
    let members = view.members.iter();
    let others = members.filter(|(name, _)| **name != view.name);
    let meant = others.filter(|(_, node)| node.has(role) && is_meant(node));
    meant.filter_map(|(_, node)| of(node).clone()).collect()
}

#[cfg(test)]
mod tests {
    use selvedge_cluster::membership::{NodeState, Versions};

    use super::*;

    fn node(number: u16, state: NodeState) -> NodeRecord {
        NodeRecord {
            incarnation: 1,
            state,
            is_drained: false,
            is_isolated: false,
            weight: 1,
            roles: vec![Role::Edge, Role::Bridge],
            peer: format!("127.0.0.1:{}", 7410 + number),
            quic: Some(format!("127.0.0.1:{}", 7400 + number)),
            http: Some(format!("127.0.0.1:{}", 7480 + number)),
            operations: Vec::new(),
            versions: Versions {
                binary: "0.1.0".to_owned(),
                protocol: 1,
                schema: 1,
            },
        }
    }

    #[test]
    fn clients_are_sent_to_those_that_stay_and_come_from_any_that_was_not_removed() {
        let (tellers, others) = nobody_yet();
        let mut view = View {
            name: "node-0".to_owned(),
            ..View::default()
        };
        let mut drained = node(2, NodeState::Serving);
        drained.is_drained = true;
        let mut isolated = node(3, NodeState::Serving);
        isolated.is_isolated = true;
        let mut without = node(7, NodeState::Serving);
        without.roles = vec![Role::Core];
        let members = [
            node(0, NodeState::Serving),
            node(1, NodeState::Serving),
            drained,
            isolated,
            node(4, NodeState::Leaving),
            node(5, NodeState::Left),
            node(6, NodeState::Dead),
            without,
        ];
        for (number, member) in members.into_iter().enumerate() {
            view.members.insert(format!("node-{number}"), member);
        }
        tellers.tell_of(&view);
        assert_eq!(**others.quic.borrow(), ["127.0.0.1:7401"]);
        assert_eq!(**others.http.borrow(), ["127.0.0.1:7481"]);
        let bridges = [7481, 7482, 7483, 7484, 7485, 7486].map(|port| format!("127.0.0.1:{port}"));
        assert_eq!(**others.bridges.borrow(), bridges);

        view.members.remove("node-6");
        tellers.tell_of(&view);
        assert_eq!(**others.bridges.borrow(), bridges[..5]);
    }
}
