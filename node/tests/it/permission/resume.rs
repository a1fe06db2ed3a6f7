//! A session that is resumed has what the credential of its connection gives, whatever the one before had.

use selvedge_protocol::ErrorCode;

use super::{Frame, Node, WAYS, code};

const COMMAND: Frame = Frame::Command("counter/a", "add", r#"{"by":1}"#);
const QUERY: Frame = Frame::Query("counter/a", "get", "{}");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_session_has_what_its_present_credential_gives() {
    let node = Node::start().await;
    for way in WAYS {
        let mut peer = node.connect(way).await;
        let welcome = peer.greet("role/developer", None).await.unwrap();
        peer.ask(COMMAND).await.unwrap();
        // Less than before; the session has not ended.
        let mut less = node.connect(way).await;
        let token = Some(welcome.resume_token.clone());
        let again = less.greet("role/viewer", token).await.unwrap();
        assert!(again.resumed);
        assert_eq!(again.session, welcome.session);
        less.last = peer.last;
        let refused = less.ask(COMMAND).await;
        assert_eq!(code(&refused), "permission_denied", "{way:?}");
        less.ask(QUERY).await.unwrap();
        // And more.
        let mut more = node.connect(way).await;
        let token = Some(welcome.resume_token.clone());
        more.greet("role/developer", token).await.unwrap();
        more.last = less.last;
        more.ask(COMMAND).await.unwrap();
        // It is of no use to anybody else, whatever they may.
        let mut other = node.connect(way).await;
        let token = Some(welcome.resume_token);
        let refused = other.greet("eve@cluster/admin", token).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::PermissionDenied);
        assert_eq!(refused.field.as_deref(), Some("resume"));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_made_again_has_no_more() {
    let node = Node::start().await;
    for way in WAYS {
        let mut peer = node.connect(way).await;
        let welcome = peer.greet("role/developer", None).await.unwrap();
        peer.ask(COMMAND).await.unwrap();
        // Nothing is left of it but its token.
        assert!(node.bridge.sessions.close(welcome.session));
        while node.bridge.sessions.info(welcome.session).is_some() {
            tokio::task::yield_now().await;
        }
        let mut less = node.connect(way).await;
        let token = Some(welcome.resume_token);
        let again = less.greet("role/viewer", token).await.unwrap();
        assert!(again.resumed);
        less.last = peer.last;
        let refused = less.ask(COMMAND).await;
        assert_eq!(code(&refused), "permission_denied", "{way:?}");
    }
    node.stop().await;
}
