//! What it costs to ask whether somebody is within limits, beside the one check of governor that the goal is measured by.
//! Goals: at most 1.3 times that, and with authorisation at most 1 µs a command.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use governor::{Quota, RateLimiter};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{AnswerSink, HostConfig, Identity, ReplyTo};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::{Store, migration};
use selvedge_node::app::{Place, Running};
use selvedge_node::demo_app;
use selvedge_node::gateway::{Caller, CommandCall, CommandPayload, Gateway, Service};
use selvedge_node::identity::{Permission, Principal, Request, Role, authorize};
use selvedge_node::limit::{Allowance, Bearer, LimitName, LocalLimits, Rate};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{Target, Tenant};

/// A node whose tenant and one principal are limited, at rates that nobody reaches.
struct Node {
    runtime: tokio::runtime::Runtime,
    running: Running,
    _directory: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap_or_else(|error| panic!("{error}"));
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let running = runtime.block_on(async {
            let store = Embedded::open(EmbeddedConfig::new(directory.path()));
            let store: Arc<dyn Store> = Arc::new(store.unwrap_or_else(|error| panic!("{error}")));
            let clock = Clock::system();
            let meta = migration::prepare(&*store, &clock).await;
            let meta = meta.unwrap_or_else(|error| panic!("{error}"));
            let place = Place {
                host: HostConfig {
                    node: "node-1".to_owned(),
                    idle_ms: 60_000,
                    slots: meta.slots,
                },
                index_shards: meta.index_shards,
                store,
                key: meta.session_key,
                clock,
            };
            let application = demo_app::application().unwrap_or_else(|error| panic!("{error}"));
            // More than the benchmark takes: what is measured is who gets in, not who is refused.
            let unreached = Rate::per_second(1_000_000_000);
            let defaults = LocalLimits::default();
            let application = application.local_limits(LocalLimits {
                connection: defaults.connection.with(LimitName::Commands, unreached),
                principal: defaults.principal.with(LimitName::Commands, unreached),
            });
            let running = application.start(place).await;
            running.unwrap_or_else(|error| panic!("{error}"))
        });
        Self {
            runtime,
            running,
            _directory: directory,
        }
    }

    fn set(&self, scope: &str) {
        let admin = Principal::new("admin", Tenant::default_tenant(), [Role::ADMIN]);
        let caller = Caller {
            principal: admin.administering_the_cluster(),
            session: None,
            allowance: Allowance::unlimited(),
        };
        let body = format!(r#"{{"scope":"{scope}","limit":"commands","rate":"1000000000/s"}}"#);
        let call = CommandCall {
            target: Target::Cluster,
            identity: Identity::Natural,
            name: "limit.set".to_owned(),
            body: body.into(),
            payload: CommandPayload::None,
            if_version: None,
            deadline: None,
        };
        let running = &self.running;
        let gateway = Gateway::new(running);
        let (sender, answer) = std::sync::mpsc::sync_channel(1);
        self.runtime.block_on(async {
            let reply = ReplyTo::new(Arc::new(Answer(sender)), 0);
            gateway.command(&caller, call, reply);
        });
        match answer.recv() {
            Ok(Outcome::Success(_)) => {}
            other => panic!("{other:?}"),
        }
    }

    fn allowance(&self, principal: &str) -> Allowance {
        let limits = &self.running.limits;
        let allowance = limits.allowance(
            &Tenant::default_tenant(),
            &principal.into(),
            Bearer::Connection,
        );
        allowance.unwrap_or_else(|error| panic!("{error}"))
    }
}

struct Answer(std::sync::mpsc::SyncSender<Outcome>);

impl AnswerSink for Answer {
    fn answer(&self, _: u64, outcome: Outcome) {
        drop(self.0.send(outcome));
    }
}

fn limits(criterion: &mut Criterion) {
    let most = NonZeroU32::MAX;
    let governor = RateLimiter::direct(Quota::per_second(most));
    criterion.bench_function("governor's own check", |bencher| {
        bencher.iter(|| black_box(&governor).check().is_ok());
    });

    let node = Node::start();
    let local = node.allowance("ann");
    criterion.bench_function("connection and principal, nothing set", |bencher| {
        assert!(local.take(LimitName::Commands).is_ok());
        bencher.iter(|| black_box(&local).take(LimitName::Commands).is_ok());
    });
    node.set("tenant:default");
    criterion.bench_function("and the tenant's limit of the cluster", |bencher| {
        bencher.iter(|| black_box(&local).take(LimitName::Commands).is_ok());
    });
    node.set("principal:ann");
    criterion.bench_function("and the principal's limit of the cluster", |bencher| {
        bencher.iter(|| black_box(&local).take(LimitName::Commands).is_ok());
    });

    let room: Target = match "room/42".parse() {
        Ok(address) => Target::Actor(address),
        Err(error) => panic!("{error}"),
    };
    let ann = Principal::new("ann", Tenant::default_tenant(), [Role::DEVELOPER]);
    criterion.bench_function("authorisation and all limits", |bencher| {
        bencher.iter(|| {
            let permission = Permission::of(Request::Command, black_box(&room));
            authorize(black_box(&ann), permission).is_ok()
                && black_box(&local).take(LimitName::Commands).is_ok()
        });
    });
    criterion.bench_function("an allowance of a request", |bencher| {
        let name: Arc<str> = "ann".into();
        let limits = &node.running.limits;
        let tenant = Tenant::default_tenant();
        bencher.iter(|| {
            limits
                .allowance(&tenant, black_box(&name), Bearer::Request)
                .is_ok()
        });
    });
    node.runtime.block_on(node.running.stop());
}

criterion_group!(benches, limits);
criterion_main!(benches);
