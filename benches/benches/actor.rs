//! The path of a request through the host: queries from memory, commands to one and to many actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Context, Effects, Host, HostConfig, Identity, Incoming, Kind,
    Kinds, Origin, QueryRequest, Refusal, ReplyTo, ScopedAddress,
};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_protocol::Tenant;
use selvedge_protocol::frame::{Consistency, Outcome};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Requests in flight, as a full link of a session has.
const IN_FLIGHT: u64 = 128;
/// Requests of one iteration, [`IN_FLIGHT`] at a time.
const REQUESTS: u64 = 12_800;

/// Counts; `RESTS`: is at rest after each command, as a final operation is.
struct Counter<const RESTS: bool>;

impl<const RESTS: bool> Kind for Counter<RESTS> {
    type State = u64;
    const NAME: &'static str = if RESTS { "resting" } else { "counter" };

    fn apply(
        &self,
        state: &mut u64,
        _context: &Context<'_>,
        _command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        *state += 1;
        Ok(Effects::default())
    }

    fn query(&self, _state: &u64, _name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        Ok(Bytes::from_static(b"1"))
    }

    fn is_at_rest(&self, _state: &u64, _is_awake: bool) -> bool {
        RESTS
    }

    fn view(&self, state: &u64) -> Bytes {
        Bytes::from(state.to_string())
    }

    fn encode(&self, state: &u64) -> Bytes {
        Bytes::copy_from_slice(&state.to_le_bytes())
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<u64, String> {
        let bytes = bytes.try_into().map_err(|_| "not eight bytes".to_owned())?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Counts answers and says when there are enough.
#[derive(Default)]
struct Tally {
    left: AtomicU64,
    done: Notify,
}

impl AnswerSink for Tally {
    fn answer(&self, _token: u64, outcome: Outcome) {
        assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

#[derive(Clone, Copy)]
enum What {
    Query,
    Command,
}

struct Driver {
    host: Host,
    tally: Arc<Tally>,
    principal: Arc<str>,
}

impl Driver {
    /// Sends [`REQUESTS`] requests round the actors and waits for their answers.
    async fn run(&self, what: What, actors: &[ScopedAddress]) {
        let mut next = actors.iter().cycle();
        for _ in 0..REQUESTS / IN_FLIGHT {
            self.tally.left.store(IN_FLIGHT, Ordering::Release);
            for actor in next.by_ref().take(128) {
                self.send(what, actor.clone());
            }
            self.tally.done.notified().await;
        }
    }

    fn send(&self, what: What, actor: ScopedAddress) {
        let sink = Arc::clone(&self.tally) as Arc<dyn AnswerSink>;
        let reply = ReplyTo::new(sink, 0);
        match what {
            What::Query => self.host.query(
                QueryRequest {
                    actor,
                    name: "get".to_owned(),
                    body: Bytes::new(),
                    consistency: Consistency::Linearizable,
                    deadline: None,
                },
                reply,
            ),
            What::Command => self.host.command(
                CommandRequest {
                    actor,
                    principal: Arc::clone(&self.principal),
                    origin: Origin::Node,
                    identity: Identity::Natural,
                    name: "add".to_owned(),
                    body: Bytes::new(),
                    payload: None,
                    if_version: None,
                    deadline: None,
                },
                reply,
            ),
        }
    }
}

fn actors(count: u64) -> Vec<ScopedAddress> {
    let names = (0..count).filter_map(|key| format!("counter/{key}").parse().ok());
    names
        .map(|address| ScopedAddress {
            tenant: Tenant::default_tenant(),
            address,
        })
        .collect()
}

/// As many actors as an iteration has requests, which no other round asks.
fn fresh(round: u64) -> Vec<ScopedAddress> {
    let names = (0..REQUESTS).filter_map(|key| format!("resting/{round}-{key}").parse().ok());
    names
        .map(|address| ScopedAddress {
            tenant: Tenant::default_tenant(),
            address,
        })
        .collect()
}

fn bench(criterion: &mut Criterion) {
    let (Ok(runtime), Ok(directory)) = (Runtime::new(), tempfile::tempdir()) else {
        return;
    };
    let config = EmbeddedConfig::new(directory.path().join("store"));
    let Ok(store) = Embedded::open(config) else {
        return;
    };
    let host = runtime.block_on(Host::start(
        HostConfig {
            node: "bench".to_owned(),
            idle_ms: 60_000,
            slots: 1_024,
        },
        Arc::new(store),
        Clock::system(),
        Kinds::default()
            .with(Counter::<false>)
            .with(Counter::<true>),
    ));
    let Ok(host) = host else {
        return;
    };
    let driver = Driver {
        host,
        tally: Arc::default(),
        principal: Arc::from("bench"),
    };
    let mut group = criterion.benchmark_group("actor");
    group.throughput(Throughput::Elements(REQUESTS));
    group.sample_size(10);
    for count in [1, 1_000] {
        let actors = actors(count);
        for (name, what) in [("query", What::Query), ("command", What::Command)] {
            group.bench_function(format!("{name}/{count}"), |bencher| {
                bencher.iter(|| runtime.block_on(driver.run(what, &actors)));
            });
        }
    }
    // Each command finds its actor not activated: an activation, a commit, and the leaving.
    let mut round = 0;
    group.bench_function("first-command", |bencher| {
        bencher.iter_batched(
            || {
                round += 1;
                fresh(round)
            },
            |actors| runtime.block_on(driver.run(What::Command, &actors)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
