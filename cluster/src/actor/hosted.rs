//! Kinds and states with their types erased, so that one host runs all of them. The machine and the
//! loader call this; a panic of the application's code passes through, but in queries, and is caught by the machine.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge_protocol::limits::RETENTION_MS;
use selvedge_protocol::{ErrorCode, Failure, SubjectId};

use crate::actor::kind::{Context, Effects, Incoming, Kind, Refusal, Stand};
use crate::actor::request::ScopedAddress;
use crate::store::keys::Key;

/// Kinds to be hosted, by name.
#[derive(Default)]
pub struct Kinds(HashMap<&'static str, Arc<dyn AnyKind>>);

impl Kinds {
    /// Adds a kind. One of the same name is replaced.
    #[must_use]
    pub fn with<K: Kind>(mut self, kind: K) -> Self {
        let kept = kind.retention();
        let kind = Registered {
            // What is shorter would have late repeats of commands applied again.
            kept: kept.map(|kept| kept.max(Duration::from_millis(RETENTION_MS))),
            kind: Arc::new(kind),
        };
        self.0.insert(K::NAME, Arc::new(kind));
        self
    }

    /// The names of kinds that are always about somebody, in order.
    pub fn personal(&self) -> Vec<&'static str> {
        let kinds = self.0.iter().filter(|(_, kind)| kind.is_personal());
        let mut names: Vec<_> = kinds.map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<dyn AnyKind>> {
        self.0.get(name)
    }
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A kind, whatever its state is.
pub(crate) trait AnyKind: Send + Sync {
    fn fresh(&self) -> Box<dyn State>;
    fn decode(&self, format: u8, bytes: &[u8]) -> Result<Box<dyn State>, String>;
    fn is_public(&self) -> bool;
    fn hears_refusals(&self) -> bool;
    fn is_personal(&self) -> bool;
    fn retention(&self) -> Option<Duration>;
}

impl std::fmt::Debug for dyn AnyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyKind")
    }
}

impl dyn State {
    /// Answers a query as it is asked of an actor. A panic of the application's code is a failure.
    pub(crate) fn answer(&self, name: &str, body: &[u8]) -> Result<Bytes, Failure> {
        let answer = catch_unwind(AssertUnwindSafe(|| match name {
            "state" => Ok(self.view()),
            name => self.query(name, body),
        }));
        match answer {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(Refusal(failure))) => Err(failure),
            Err(_) => Err(defect("the query")),
        }
    }
}

/// The state of one actor together with its kind.
pub(crate) trait State: Send + Sync {
    fn apply(&mut self, context: &Context<'_>, command: &Incoming<'_>) -> Result<Effects, Refusal>;
    fn query(&self, name: &str, body: &[u8]) -> Result<Bytes, Refusal>;
    fn view(&self) -> Bytes;
    fn encode(&self) -> Bytes;
    fn format(&self) -> u8;
    fn committed(&mut self, actor: &ScopedAddress, stand: Stand);
    fn is_at_rest(&self, is_awake: bool) -> bool;
    fn subject(&self, actor: &ScopedAddress) -> Option<SubjectId>;
    fn traces(&self, actor: &ScopedAddress) -> Vec<Key>;
    fn erased(&mut self, actor: &ScopedAddress);
    /// It is as one that was never stored.
    fn forget(&mut self);
}

struct Registered<K> {
    kind: Arc<K>,
    kept: Option<Duration>,
}

struct Hosted<K: Kind> {
    kind: Arc<K>,
    state: K::State,
}

impl<K: Kind> AnyKind for Registered<K> {
    fn fresh(&self) -> Box<dyn State> {
        Box::new(Hosted {
            kind: Arc::clone(&self.kind),
            state: K::State::default(),
        })
    }

    fn decode(&self, format: u8, bytes: &[u8]) -> Result<Box<dyn State>, String> {
        let state = self.kind.decode(format, bytes)?;
        let kind = Arc::clone(&self.kind);
        Ok(Box::new(Hosted { kind, state }))
    }

    fn is_public(&self) -> bool {
        self.kind.is_public()
    }

    fn hears_refusals(&self) -> bool {
        self.kind.hears_refusals()
    }

    fn is_personal(&self) -> bool {
        K::PERSONAL
    }

    fn retention(&self) -> Option<Duration> {
        self.kept
    }
}

impl<K: Kind> State for Hosted<K> {
    fn apply(&mut self, context: &Context<'_>, command: &Incoming<'_>) -> Result<Effects, Refusal> {
        self.kind.apply(&mut self.state, context, command)
    }

    fn query(&self, name: &str, body: &[u8]) -> Result<Bytes, Refusal> {
        self.kind.query(&self.state, name, body)
    }

    fn view(&self) -> Bytes {
        self.kind.view(&self.state)
    }

    fn encode(&self) -> Bytes {
        self.kind.encode(&self.state)
    }

    fn format(&self) -> u8 {
        K::FORMAT
    }

    fn committed(&mut self, actor: &ScopedAddress, stand: Stand) {
        self.kind.committed(actor, &mut self.state, stand);
    }

    fn is_at_rest(&self, is_awake: bool) -> bool {
        self.kind.is_at_rest(&self.state, is_awake)
    }

    fn subject(&self, actor: &ScopedAddress) -> Option<SubjectId> {
        self.kind.subject(actor, &self.state)
    }

    fn traces(&self, actor: &ScopedAddress) -> Vec<Key> {
        self.kind.traces(actor, &self.state)
    }

    fn erased(&mut self, actor: &ScopedAddress) {
        self.kind.erased(actor, &mut self.state);
    }

    fn forget(&mut self) {
        self.state = K::State::default();
    }
}

/// What the caller is told after a panic.
pub(crate) fn defect(what: &str) -> Failure {
    let message = format!("{what} failed by a defect of the actor's code; see the node's log");
    Failure::new(ErrorCode::Internal, message)
}
