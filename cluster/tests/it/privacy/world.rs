//! What the tests of personal data share: a kind that is about somebody, stores with keys, and the bytes on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_cluster::Clock;
use selvedge_cluster::actor::kind::json;
use selvedge_cluster::actor::{
    CommandRequest, Context, Effects, Host, HostConfig, Identity, Incoming, Kind, Kinds, Message,
    NewEvent, Origin, QueryRequest, Refusal, ScopedAddress, TimerChange,
};
use selvedge_cluster::privacy::{
    Erased, Erasure, ScopedSubject, SubjectKeys, Unsealing, WrappingKeys, erase, sweep,
};
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::keys::{ActorPath, Key};
use selvedge_cluster::store::{self, Isolation, Order, Range, Store};
use selvedge_protocol::frame::{Consistency, Outcome};
use selvedge_protocol::{ActorAddress, CommandId, SubjectId, Tenant};
use serde::{Deserialize, Serialize};

use crate::actor::world::reply;

/// What is looked for in all that is left.
pub(super) const MARK: &str = "MARKER-of-what-is-said";
pub(super) const SLOTS: u16 = 16;

/// The kind `diary`, of whoever its key says: all that is told it, it tells everybody.
#[derive(Debug, Default)]
pub(super) struct Diary {
    /// How long one is kept that nobody writes.
    pub(super) kept: Option<Duration>,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Pages {
    pub(super) pages: Vec<String>,
}

impl Kind for Diary {
    type State = Pages;

    const NAME: &'static str = "diary";
    const PERSONAL: bool = true;

    fn apply(
        &self,
        state: &mut Pages,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        if command.name == "end" {
            *state = Pages::default();
            return Ok(Effects {
                is_end: true,
                ..Effects::default()
            });
        }
        if command.name == "attach" {
            let actor = ActorPath {
                slot: context.address.slot(context.tenant, SLOTS),
                tenant: context.tenant.clone(),
                address: context.address.clone(),
            };
            let bytes = Bytes::copy_from_slice(command.body);
            return Ok(Effects {
                rows: vec![(Key::Payload { actor, chunk: 0 }, Some(bytes))],
                ..Effects::default()
            });
        }
        let text = String::from_utf8_lossy(command.body).into_owned();
        if command.name == "fill" {
            // More than an event may have.
            state.pages.push(text);
            return Ok(Effects::default());
        }
        state.pages.push(text.clone());
        let data = json::encode(&text);
        let mut effects = Effects {
            reply: data.clone(),
            events: vec![NewEvent {
                kind: "written".into(),
                data: data.clone(),
            }],
            ..Effects::default()
        };
        match command.name {
            "write" => {}
            "remind" => effects.timers.push(TimerChange::Set {
                name: "later".to_owned(),
                due_ms: context.now_ms + 1_000_000_000,
                body: data,
            }),
            // To nobody that there is: it stays in the outbox.
            "tell" => effects.messages.push(Message {
                to: "stranger/a".parse().unwrap(),
                name: "hear".to_owned(),
                body: data,
            }),
            "awake" => effects.awake = Some(true),
            other => return Err(Refusal::unknown(Self::NAME, other)),
        }
        Ok(effects)
    }

    fn view(&self, state: &Pages) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &Pages) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Pages, String> {
        json::decode(bytes)
    }

    fn retention(&self) -> Option<Duration> {
        self.kept
    }

    fn subject(&self, actor: &ScopedAddress, _state: &Pages) -> Option<SubjectId> {
        let (subject, _) = actor.address.key.as_str().split_once('/')?;
        SubjectId::new(subject).ok()
    }
}

/// A store on disk, and nodes on it.
pub(super) struct World {
    pub(super) inner: Arc<dyn Store>,
    embedded: Arc<Embedded>,
    pub(super) clock: Clock,
    directory: tempfile::TempDir,
    wrapping: String,
}

/// A node: what it knows of keys is its own.
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) keys: SubjectKeys,
}

impl World {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Arc::new(open(directory.path()));
        Self {
            inner: embedded.clone(),
            embedded,
            clock: Clock::manual(1_000_000, 1),
            directory,
            wrapping: WrappingKeys::generate("k1").to_string(),
        }
    }

    pub(super) fn keys(&self) -> SubjectKeys {
        let wrapping = WrappingKeys::parse(&self.wrapping).unwrap();
        SubjectKeys::new(Arc::clone(&self.inner), Arc::new(wrapping))
    }

    /// A node that has all actors.
    pub(super) async fn node(&self, name: &str) -> Node {
        let keys = self.keys();
        let store = Arc::new(Unsealing::new(keys.clone()));
        let host = self.host(name, store).await;
        Node { host, keys }
    }

    /// The same, whose diaries are kept for so long.
    pub(super) async fn keeping(&self, kept: Duration) -> Node {
        let keys = self.keys();
        let store = Arc::new(Unsealing::new(keys.clone()));
        let diary = Diary { kept: Some(kept) };
        let host = self.start("node-1", store, diary).await;
        Node { host, keys }
    }

    pub(super) async fn host(&self, name: &str, store: Arc<dyn Store>) -> Host {
        self.start(name, store, Diary::default()).await
    }

    async fn start(&self, name: &str, store: Arc<dyn Store>, diary: Diary) -> Host {
        let config = HostConfig {
            node: name.to_owned(),
            idle_ms: 60_000,
            slots: SLOTS,
        };
        let kinds = Kinds::default().with(diary);
        Host::start(config, store, self.clock.clone(), kinds)
            .await
            .unwrap()
    }

    /// Every byte of every file, after the store was closed.
    pub(super) fn bytes_on_disk(self) -> Vec<u8> {
        self.embedded.close();
        files(self.directory.path())
    }
}

impl Node {
    pub(super) async fn erase(&self, clock: &Clock, of: &ScopedSubject) -> Erased {
        let erasure = Erasure {
            of,
            principal: "tester",
            notice: b"erased",
        };
        erase(&self.keys, clock, erasure).await.unwrap()
    }

    pub(super) async fn sweep(&self, clock: &Clock, of: &ScopedSubject) {
        let mut after: Option<ActorAddress> = None;
        loop {
            let of = (of, SLOTS);
            let swept = sweep(&self.keys, clock, of, after.as_ref()).await.unwrap();
            match swept.next {
                Some(next) => after = Some(next),
                None => return,
            }
        }
    }

    /// Tells it until it is done: what was under way when its subject was erased is to be sent again.
    pub(super) async fn insist(&self, key: &str, name: &str, text: &str) {
        for _ in 0..100 {
            match self.tell(key, name, text).await {
                Outcome::Success(_) => return,
                Outcome::Failure(failure) if failure.code.may_be_retried() => {}
                Outcome::Failure(failure) => panic!("{failure}"),
            }
        }
        panic!("{key} does not answer");
    }

    pub(super) async fn tell(&self, key: &str, name: &str, text: &str) -> Outcome {
        self.host
            .ask(command(key, name, text, Identity::Natural))
            .await
    }

    /// The pages of a diary, as its owner has them.
    pub(super) async fn pages(&self, key: &str) -> Vec<String> {
        pages_of(&self.host, key, Consistency::Linearizable).await
    }
}

pub(super) async fn pages_of(host: &Host, key: &str, consistency: Consistency) -> Vec<String> {
    for _ in 0..100 {
        let (reply, answer) = reply();
        let request = QueryRequest {
            actor: diary(key),
            name: "state".to_owned(),
            body: Bytes::new(),
            consistency,
            deadline: None,
        };
        host.query(request, reply);
        match answer.await.unwrap() {
            Outcome::Success(success) => {
                return json::decode::<Pages>(&success.body).unwrap().pages;
            }
            Outcome::Failure(failure) if failure.code.may_be_retried() => {}
            Outcome::Failure(failure) => panic!("{failure}"),
        }
    }
    panic!("{key} does not answer");
}

pub(super) fn command(key: &str, name: &str, text: &str, identity: Identity) -> CommandRequest {
    CommandRequest {
        actor: diary(key),
        principal: Arc::from("tester"),
        origin: Origin::Client(None),
        identity,
        name: name.to_owned(),
        body: Bytes::from(text.to_owned()),
        payload: None,
        if_version: None,
        deadline: None,
    }
}

pub(super) fn id(text: &str) -> Identity {
    Identity::Id(CommandId::from_text(text))
}

pub(super) fn diary(key: &str) -> ScopedAddress {
    ScopedAddress {
        tenant: Tenant::default_tenant(),
        address: format!("diary/{key}").parse().unwrap(),
    }
}

pub(super) fn subject(name: &str) -> ScopedSubject {
    ScopedSubject {
        tenant: Tenant::default_tenant(),
        subject: SubjectId::new(name).unwrap(),
    }
}

pub(super) fn said(number: usize, of: &str) -> String {
    format!("{MARK} {of} {number}")
}

/// Everything in a store, as it is stored.
pub(super) async fn rows(store: &dyn Store) -> store::Pairs {
    let all = Range {
        begin: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
        order: Order::Ascending,
        limit: 100_000,
        isolation: Isolation::Snapshot,
    };
    store.begin().range(all).await.unwrap()
}

pub(super) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn open(directory: &Path) -> Embedded {
    Embedded::open(EmbeddedConfig::new(directory.join("store"))).unwrap()
}

fn files(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.extend(std::fs::read(path).unwrap()),
        }
    }
    all
}
