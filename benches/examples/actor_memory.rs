//! What an idle activated actor costs in memory, above its state of eight bytes.
//!
//! `cargo run --release -p selvedge-benches --example actor_memory -- DIR`: activates actors that were
//! never committed in a first run, and stored ones that remember a command in each further run.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::{
    AnswerSink, CommandRequest, Context, Effects, Host, HostConfig, Identity, Incoming, Kind,
    Kinds, Origin, QueryRequest, Refusal, ReplyTo, ScopedAddress,
};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_protocol::frame::{Consistency, Outcome};
use selvedge_protocol::{SessionId, Tenant};
use tokio::sync::Semaphore;

/// Enough that what the store and the runtime take besides disappears in the mean.
const ACTORS: u32 = 100_000;
/// Requests in flight: few enough for the mailboxes' bounds.
const IN_FLIGHT: usize = 256;

struct Counter;

impl Kind for Counter {
    type State = u64;
    const NAME: &'static str = "counter";

    fn apply(
        &self,
        state: &mut u64,
        _context: &Context<'_>,
        _command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        *state += 1;
        Ok(Effects::default())
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

/// Gives a place in flight back with each answer.
struct Places(Semaphore);

impl AnswerSink for Places {
    fn answer(&self, _token: u64, outcome: Outcome) {
        assert!(matches!(outcome, Outcome::Success(_)), "{outcome:?}");
        self.0.add_permits(1);
    }
}

impl Places {
    /// Sends a request to each actor and waits for all answers.
    async fn each(
        self: &Arc<Self>,
        mut send: impl FnMut(ScopedAddress, ReplyTo),
    ) -> Result<(), Box<dyn Error>> {
        for key in 0..ACTORS {
            self.0.acquire().await?.forget();
            let actor = ScopedAddress {
                tenant: Tenant::default_tenant(),
                address: format!("counter/{key}").parse()?,
            };
            let sink = Arc::clone(self) as Arc<dyn AnswerSink>;
            send(actor, ReplyTo::new(sink, 0));
        }
        drop(self.0.acquire_many(u32::try_from(IN_FLIGHT)?).await?);
        Ok(())
    }
}

fn query(actor: ScopedAddress) -> QueryRequest {
    QueryRequest {
        actor,
        name: "state".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline: None,
    }
}

fn command(actor: ScopedAddress, principal: &Arc<str>) -> CommandRequest {
    CommandRequest {
        actor,
        principal: Arc::clone(principal),
        origin: Origin::Client(None),
        identity: Identity::Session {
            session: SessionId::from_u128(1),
            number: 1,
            acknowledged: 0,
        },
        name: "add".to_owned(),
        body: Bytes::new(),
        payload: None,
        if_version: None,
        deadline: None,
    }
}

/// Resident memory of this process, bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<u64>()? * 1_024)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("give a directory")?;
    let store = Embedded::open(EmbeddedConfig::new(directory))?;
    let config = HostConfig {
        node: "bench".to_owned(),
        idle_ms: 600_000,
        slots: 1_024,
    };
    let kinds = Kinds::default().with(Counter);
    let host = Host::start(config, Arc::new(store), Clock::system(), kinds).await?;
    let places = Arc::new(Places(Semaphore::new(IN_FLIGHT)));
    let before = resident()?;
    places
        .each(|actor, reply| host.query(query(actor), reply))
        .await?;
    let after = resident()?;
    println!(
        "{ACTORS} actors: {} bytes each",
        after.saturating_sub(before) / u64::from(ACTORS)
    );
    let principal = Arc::from("bench");
    places
        .each(|actor, reply| host.command(command(actor, &principal), reply))
        .await?;
    host.stop().await;
    Ok(())
}
