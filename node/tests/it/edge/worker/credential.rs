//! A worker whose session goes on with another credential.

use selvedge_protocol::ErrorCode;
use selvedge_protocol::frame::{ClientFrame, Hello};

use super::{LONG, World, done, operation, ready, task};
use crate::edge::peer::{VIEWER_TOKEN, hello};

#[tokio::test]
async fn a_worker_that_may_not_work_any_more_loses_its_tasks_at_once() {
    let mut world = World::new(LONG).await;
    world.submit("a").await;
    let (mut worker, welcome) = world.worker_of(None, 1).await;
    let lost = task(&mut worker).await;

    let mut viewer = world.node.connect().await;
    let resumed = Hello {
        token: VIEWER_TOKEN.to_owned(),
        ..hello(Some(welcome.resume_token))
    };
    viewer.send(&[ClientFrame::Hello(resumed)]).await;
    assert!(viewer.welcome().await.resumed);
    let mut other = world.worker(1).await;
    let found = task(&mut other).await;
    assert_eq!((operation(&found), found.attempt), ("a".to_owned(), 2));
    // What it says of the task counts no more, and it gets no other.
    viewer.send(&[done(lost.lease, r#""late""#)]).await;
    viewer.send(&[ready(&["resize"], 1)]).await;
    assert_eq!(viewer.expelled().await.code, ErrorCode::PermissionDenied);
    other.send(&[done(found.lease, r#""in time""#)]).await;
    assert_eq!(world.ended("a").await["result"], "in time");
}
