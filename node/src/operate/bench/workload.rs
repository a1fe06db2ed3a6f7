//! The workloads of `selvedge bench`, each one request at a time as a client would do it.

use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_client::{Client, OperationStatus, Session, Submit};
use selvedge_cluster::Clock;
use selvedge_protocol::{
    ActorAddress, ActorKey, ActorKind, OperationId, OperationType, Target as Address,
};

use crate::operate::bench::{Load, Measured, Target, log_line};
use crate::operate::cli::{Bench, Workload};
use crate::operate::failure::CommandFailure;

pub(super) async fn run(
    target: &Target,
    bench: &Bench,
    load: &Load,
    log: Option<Arc<Mutex<File>>>,
) -> Result<Measured, CommandFailure> {
    match bench.workload {
        Workload::Ops => operations(&target.client, load, log).await,
        Workload::Commands => {
            let targets = counters(bench.actors)?;
            let session = target.client.session().clone();
            Ok(load
                .offer(move |number| {
                    let (session, target) = (session.clone(), targets.pick(number));
                    async move {
                        session
                            .command(target, "add", r#"{"by":1}"#)
                            .send()
                            .await
                            .is_ok()
                    }
                })
                .await)
        }
        Workload::Queries => {
            let targets = counters(bench.actors)?;
            let session = target.client.session().clone();
            Ok(load
                .offer(move |number| {
                    let (session, target) = (session.clone(), targets.pick(number));
                    async move { session.query(target, "get", "{}").send().await.is_ok() }
                })
                .await)
        }
        Workload::Sessions => sessions(target, bench, load).await,
        Workload::Commits => unreachable!("commits need no node"),
    }
}

/// One-step operations with ids of this run, so that each is new.
async fn operations(
    client: &Client,
    load: &Load,
    log: Option<Arc<Mutex<File>>>,
) -> Result<Measured, CommandFailure> {
    let run = format!("bench-{:016x}", Clock::system().random());
    let run: Arc<str> = Arc::from(run);
    let operation_type =
        OperationType::new("digest").map_err(|error| CommandFailure::failed(error.to_string()))?;
    let session = client.session().clone();
    let measured = load
        .offer(move |number| {
            let (session, log) = (session.clone(), log.clone());
            let (run, operation_type) = (run.clone(), operation_type.clone());
            async move { operation(&session, operation_type, format!("{run}-{number}"), log).await }
        })
        .await;
    Ok(measured)
}

async fn operation(
    session: &Session,
    operation_type: OperationType,
    id: String,
    log: Option<Arc<Mutex<File>>>,
) -> bool {
    let Ok(id) = OperationId::new(id) else {
        return false;
    };
    let submit = Submit::new(operation_type).id(id);
    let Ok(operation) = session.submit_and_wait(submit).await else {
        return false;
    };
    if let Some(log) = log {
        log_line(&log, operation.id.as_str());
    }
    operation.status == OperationStatus::Succeeded
}

/// Opens sessions and keeps them until the time is over.
async fn sessions(target: &Target, bench: &Bench, load: &Load) -> Result<Measured, CommandFailure> {
    let builder = target.builder.clone();
    let kept: Arc<Mutex<Vec<Client>>> = Arc::default();
    let keep = kept.clone();
    let limit = usize::try_from(bench.actors).unwrap_or(usize::MAX);
    let measured = load
        .offer(move |_| {
            let (builder, keep) = (builder.clone(), keep.clone());
            async move {
                let Ok(opened) = builder.connect().await else {
                    return false;
                };
                let replaced = {
                    let mut kept = keep.lock();
                    kept.push(opened);
                    // Past the wanted number the oldest makes room.
                    (kept.len() > limit).then(|| kept.remove(0))
                };
                if let Some(oldest) = replaced {
                    oldest.close().await;
                }
                true
            }
        })
        .await;
    let kept = std::mem::take(&mut *kept.lock());
    for client in kept {
        client.close().await;
    }
    Ok(measured)
}

/// The counters that commands and queries are spread over.
#[derive(Debug, Clone)]
struct Targets(Arc<[Address]>);

impl Targets {
    fn pick(&self, number: u64) -> Address {
        let count = self.0.len() as u64;
        self.0[usize::try_from(number % count).unwrap_or(0)].clone()
    }
}

fn counters(count: u32) -> Result<Targets, CommandFailure> {
    let invalid = |error: selvedge_protocol::IdError| CommandFailure::failed(error.to_string());
    let kind = ActorKind::new("counter").map_err(invalid)?;
    (0..count)
        .map(|n| {
            let key = ActorKey::new(format!("bench-{n}")).map_err(invalid)?;
            Ok(Address::Actor(ActorAddress {
                kind: kind.clone(),
                key,
            }))
        })
        .collect::<Result<Vec<_>, _>>()
        .map(|targets| Targets(targets.into()))
}
