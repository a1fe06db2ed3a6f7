//! What it costs to seal what is stored about people: a value by itself, and commands to actors that are about somebody
//! beside the same ones about nobody.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Context, Effects, Host, HostConfig, Identity, Incoming, Kind,
    Kinds, NewEvent, Origin, Refusal, ReplyTo, ScopedAddress,
};
use selvedge_cluster::privacy::{DataKey, ScopedSubject, SubjectKeys, Unsealing, WrappingKeys};
use selvedge_cluster::store::Store;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::{SubjectId, Tenant};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// Requests in flight, as a full link of a session has.
const IN_FLIGHT: u64 = 128;
/// Requests of one iteration, [`IN_FLIGHT`] at a time.
const REQUESTS: u64 = 6_400;
/// Bytes of a state and of an event.
const BYTES: usize = 200;

/// Keeps what it is told; `PERSONAL`: about the subject that its key is.
struct Note<const PERSONAL: bool>;

impl<const PERSONAL: bool> Kind for Note<PERSONAL> {
    type State = Bytes;
    const NAME: &'static str = if PERSONAL { "personal" } else { "plain" };

    fn apply(
        &self,
        state: &mut Bytes,
        _context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        *state = Bytes::copy_from_slice(command.body);
        Ok(Effects {
            events: vec![NewEvent {
                kind: "told".into(),
                data: state.clone(),
            }],
            ..Effects::default()
        })
    }

    fn view(&self, state: &Bytes) -> Bytes {
        state.clone()
    }

    fn encode(&self, state: &Bytes) -> Bytes {
        state.clone()
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Bytes, String> {
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn subject(&self, actor: &ScopedAddress, _state: &Bytes) -> Option<SubjectId> {
        match PERSONAL {
            true => SubjectId::new(actor.address.key.as_str()).ok(),
            false => None,
        }
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

/// Sends [`REQUESTS`] commands round the actors and waits for their answers.
async fn run(host: &Host, tally: &Arc<Tally>, actors: &[ScopedAddress]) {
    let body = Bytes::from(vec![b'x'; BYTES]);
    let mut next = actors.iter().cycle();
    for _ in 0..REQUESTS / IN_FLIGHT {
        tally.left.store(IN_FLIGHT, Ordering::Release);
        for actor in next.by_ref().take(128) {
            let request = CommandRequest {
                actor: actor.clone(),
                principal: Arc::from("bench"),
                origin: Origin::Node,
                identity: Identity::Natural,
                name: "tell".to_owned(),
                body: body.clone(),
                payload: None,
                if_version: None,
                deadline: None,
            };
            let sink = Arc::clone(tally) as Arc<dyn AnswerSink>;
            host.command(request, ReplyTo::new(sink, 0));
        }
        tally.done.notified().await;
    }
}

fn actors(kind: &str, count: u64) -> Vec<ScopedAddress> {
    let names = (0..count).filter_map(|key| format!("{kind}/{key}").parse().ok());
    names
        .map(|address| ScopedAddress {
            tenant: Tenant::default_tenant(),
            address,
        })
        .collect()
}

fn values(criterion: &mut Criterion) {
    let Ok(subject) = SubjectId::new("p-1") else {
        return;
    };
    let of = ScopedSubject {
        tenant: Tenant::default_tenant(),
        subject,
    };
    let key = DataKey::random(&of);
    let row = [7; 40];
    let mut group = criterion.benchmark_group("privacy");
    for bytes in [200_usize, 4_096] {
        let value = vec![b'x'; bytes];
        let sealed = key.seal(&row, &value);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("seal/{bytes}"), |bencher| {
            bencher.iter(|| key.seal(black_box(&row), black_box(&value)));
        });
        group.bench_function(format!("open/{bytes}"), |bencher| {
            bencher.iter(|| key.open(black_box(&row), black_box(&sealed)));
        });
    }
    group.finish();
}

fn commands(criterion: &mut Criterion) {
    let (Ok(runtime), Ok(directory)) = (Runtime::new(), tempfile::tempdir()) else {
        return;
    };
    let Ok(store) = Embedded::open(EmbeddedConfig::new(directory.path().join("store"))) else {
        return;
    };
    let Ok(wrapping) = WrappingKeys::parse(&WrappingKeys::generate("bench")) else {
        return;
    };
    let keys = SubjectKeys::new(Arc::new(store), Arc::new(wrapping));
    let store: Arc<dyn Store> = Arc::new(Unsealing::new(keys));
    let host = runtime.block_on(Host::start(
        HostConfig {
            node: "bench".to_owned(),
            idle_ms: 60_000,
            slots: 1_024,
        },
        store,
        Clock::system(),
        Kinds::default().with(Note::<false>).with(Note::<true>),
    ));
    let Ok(host) = host else {
        return;
    };
    let tally = Arc::default();
    let mut group = criterion.benchmark_group("privacy");
    group.throughput(Throughput::Elements(REQUESTS));
    group.sample_size(20);
    for count in [1, 1_000] {
        for kind in ["plain", "personal"] {
            let actors = actors(kind, count);
            group.bench_function(format!("command/{kind}/{count}"), |bencher| {
                bencher.iter(|| runtime.block_on(run(&host, &tally, &actors)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, values, commands);
criterion_main!(benches);
