//! Audit chains and notices over every backend, with many that write at once: rows of the table in `conformance`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use selvedge_cluster::Clock;
use selvedge_cluster::audit::{self, Entry, Outcome};
use selvedge_cluster::bulletin::{Follower, News, announce};
use selvedge_cluster::store::{Store, run};
use selvedge_protocol::ids::Tenant;

const WRITERS: usize = 4;
const CHANGES: usize = 8;

/// Each change is a record and a notice, in one transaction.
async fn change(store: &dyn Store, clock: &Clock, what: &str) {
    let tenant = Tenant::default_tenant();
    let changed = run(store, clock, |mut transaction| {
        let tenant = &tenant;
        async move {
            let entry = Entry {
                at_ms: 1,
                principal: "ann".to_owned(),
                action: "thing.change".to_owned(),
                target: what.to_owned(),
                outcome: Outcome::Done,
                detail: String::new(),
            };
            audit::append(&mut *transaction, tenant, entry).await?;
            announce(&mut *transaction, 1, what.as_bytes()).await?;
            Ok((transaction, ()))
        }
    });
    changed.await.unwrap();
}

pub(super) async fn many_writers_make_one_chain_that_everybody_hears_of(store: Arc<dyn Store>) {
    let clock = Clock::manual(0, 7);
    let mut follower = Follower::begin(Arc::clone(&store), clock.clone())
        .await
        .unwrap();
    let heard = tokio::spawn(async move {
        let mut heard = Vec::new();
        while heard.len() < WRITERS * CHANGES {
            match follower.next().await {
                News::Notices(notices) => heard.extend(notices),
                News::Lost => panic!("nothing was cleared"),
            }
        }
        heard
    });
    let writers = (0..WRITERS).map(|writer| {
        let (store, clock) = (Arc::clone(&store), clock.clone());
        tokio::spawn(async move {
            for number in 0..CHANGES {
                change(&*store, &clock, &format!("{writer} {number}")).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    let heard = tokio::time::timeout(Duration::from_secs(30), heard).await;
    let heard = heard.unwrap().unwrap();
    for writer in 0..WRITERS {
        let of_one = heard.iter().filter_map(|notice| {
            let text = std::str::from_utf8(notice).unwrap();
            text.strip_prefix(&format!("{writer} "))?.parse().ok()
        });
        let numbers: Vec<usize> = of_one.collect();
        assert_eq!(numbers, (0..CHANGES).collect::<Vec<_>>(), "in order, once");
    }
    let tenant = Tenant::default_tenant();
    let verified = audit::verify(&*store, &tenant, None, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(verified.records, u64::try_from(WRITERS * CHANGES).unwrap());
}
