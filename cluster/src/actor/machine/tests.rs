//! The machine in simulated time, against a model: commands, repeats, failing commits and reloads by
//! seed. Each command id has one effect, answers come after their commit and in order.

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;
use proptest::prelude::*;
use selvedge_protocol::frame::Consistency;
use selvedge_protocol::{SessionId, Tenant};

use super::memory::INLINE_OUTCOMES_MAX;
use super::*;
use crate::actor::hosted::Kinds;
use crate::actor::kind::{Effects, Kind, NewEvent, Refusal, Urgency, json};
use crate::actor::record::EventsRecord;
use crate::actor::request::{AnswerSink, Identity, ReplyTo};
use crate::store::keys::Part;

/// Appends the number it is given, so that each effect can be seen.
struct Journal;

impl Kind for Journal {
    type State = Vec<u64>;
    const NAME: &'static str = "journal";

    fn apply(
        &self,
        state: &mut Vec<u64>,
        _context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        let number: u64 = serde_json::from_slice(command.body).unwrap();
        let urgency = match command.name {
            "refuse" => return Err(Refusal::rejected(state.len().to_string())),
            "panic" => panic!("asked to"),
            "peek" => {
                return Ok(Effects {
                    urgency: Urgency::Never,
                    reply: json::encode(&state.len()),
                    ..Effects::default()
                });
            }
            "end" => {
                state.clear();
                return Ok(Effects {
                    is_end: true,
                    ..Effects::default()
                });
            }
            "soon" => Urgency::Soon,
            _ => Urgency::Now,
        };
        state.push(number);
        Ok(Effects {
            reply: json::encode(&state.len()),
            events: vec![NewEvent {
                kind: "appended".into(),
                data: json::encode(&number),
            }],
            urgency,
            ..Effects::default()
        })
    }

    fn view(&self, state: &Vec<u64>) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &Vec<u64>) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<Vec<u64>, String> {
        json::decode(bytes)
    }
}

#[derive(Default)]
struct Answers(Mutex<Vec<(u64, Outcome)>>);

impl AnswerSink for Answers {
    fn answer(&self, token: u64, outcome: Outcome) {
        self.0.lock().push((token, outcome));
    }
}

/// A store of rows and the machine on top of it.
struct Simulation {
    rows: BTreeMap<Vec<u8>, Bytes>,
    machine: Machine,
    in_flight: Option<Batch>,
    answers: Arc<Answers>,
    tokens: u64,
}

fn name() -> Arc<Name> {
    let actor = ScopedAddress {
        tenant: Tenant::default_tenant(),
        address: "journal/1".parse().unwrap(),
    };
    Arc::new(Name {
        prefix: ActorPrefix::new(1, &actor.tenant, &actor.address),
        actor,
        slot: 1,
        is_public: true,
    })
}

fn load(rows: &BTreeMap<Vec<u8>, Bytes>) -> Machine {
    let (name, kinds) = (name(), Kinds::default().with(Journal));
    let kind = kinds.find("journal").unwrap();
    let mut memory = Memory::default();
    let mut record = rows
        .get(&name.prefix.record())
        .map(|value| ActorRecord::decode(value).unwrap());
    for (key, value) in rows {
        if let Ok(Key::Actor { part, .. }) = Key::decode(key) {
            let is_found = part == Part::Record || record.as_ref().is_some_and(|it| it.has_parts);
            assert!(is_found, "{part:?} would not be looked for");
            match part {
                Part::Session { session } => {
                    memory.load_session(0, session, value).unwrap();
                }
                Part::CommandOutcome { command } => {
                    memory.load_outcome(0, command, value).unwrap();
                }
                Part::Record | Part::State { .. } => {}
            }
        }
    }
    if let Some((session, inline)) = record.as_mut().and_then(|it| it.session.take()) {
        memory.load_inline(0, session, inline);
    }
    let state = match record.as_ref().map(|record| &record.state) {
        Some(StoredState::Here(bytes)) => kind.decode(1, bytes).unwrap(),
        Some(StoredState::Chunks(_)) | None => kind.fresh(),
    };
    Machine::new(Loaded {
        name,
        state,
        record,
        memory,
        expired: Vec::new(),
        retention: None,
        base: 0,
    })
}

impl Simulation {
    fn new() -> Self {
        let rows = BTreeMap::new();
        Self {
            machine: load(&rows),
            rows,
            in_flight: None,
            answers: Arc::default(),
            tokens: 0,
        }
    }

    fn now() -> Moment {
        Moment {
            wall_ms: 1_000,
            instant: Instant::now(),
        }
    }

    fn caller(&mut self) -> Caller {
        self.tokens += 1;
        let sink = Arc::clone(&self.answers) as Arc<dyn AnswerSink>;
        Caller::new(ReplyTo::new(sink, self.tokens), None)
    }

    fn send(&mut self, name: &str, body: u64, identity: Identity) -> u64 {
        self.send_if(None, name, body, identity)
    }

    fn send_if(
        &mut self,
        if_version: Option<u64>,
        name: &str,
        body: u64,
        identity: Identity,
    ) -> u64 {
        let caller = self.caller();
        let request = CommandRequest {
            actor: self.machine.name.actor.clone(),
            principal: Arc::from("tester"),
            origin: Origin::Node,
            identity,
            name: name.to_owned(),
            body: json::encode(&body),
            payload: None,
            if_version,
            deadline: None,
        };
        let offered = self
            .machine
            .offer(Self::now(), Work::Command(request), caller);
        match offered {
            Ok(Progress::Done) => {}
            Ok(Progress::LookUp(what)) => self.look_up(what),
            Err(Broken) => self.crash(),
        }
        self.tokens
    }

    fn look_up(&mut self, mut what: LookUp) {
        loop {
            let key = what.key(&self.machine.name.prefix);
            self.machine.learn(&what, self.rows.get(&key)).unwrap();
            match self.machine.resume(Self::now()) {
                Ok(Progress::LookUp(next)) => what = next,
                Ok(Progress::Done) => return,
                Err(Broken) => return self.crash(),
            }
        }
    }

    fn start_commit(&mut self) {
        if let Some(batch) = self.machine.start_commit().unwrap() {
            self.in_flight = Some(batch);
        }
    }

    /// Makes the commit in flight durable.
    fn write(&mut self) -> bool {
        let Some(batch) = self.in_flight.take() else {
            return false;
        };
        for range in &batch.clear {
            self.rows
                .retain(|key, _| *key < range.begin || *key >= range.end);
        }
        for write in batch.writes {
            match write.value {
                Some(value) => self.rows.insert(write.key, value),
                None => self.rows.remove(&write.key),
            };
        }
        true
    }

    fn finish_commit(&mut self) {
        if !self.write() {
            return;
        }
        let finished = self.machine.commit_finished(0);
        for (caller, outcome) in finished.answers {
            caller.answer(outcome);
        }
        match self.machine.resume(Self::now()) {
            Ok(Progress::Done) => {}
            Ok(Progress::LookUp(what)) => self.look_up(what),
            Err(Broken) => self.crash(),
        }
    }

    /// The activation ends, with its commit in flight undone, and the next one loads.
    fn crash(&mut self) {
        self.in_flight = None;
        std::mem::replace(&mut self.machine, load(&self.rows)).part();
    }

    fn settle(&mut self) {
        while self.in_flight.is_some() || self.machine.wish() != Wish::Nothing {
            self.start_commit();
            self.finish_commit();
        }
    }

    fn state(&self) -> Vec<u64> {
        json::decode(&self.machine.state.encode()).unwrap()
    }

    fn answer(&self, token: u64) -> Option<Outcome> {
        let answers = self.answers.0.lock();
        let found = answers.iter().find(|(given, _)| *given == token);
        found.map(|(_, outcome)| outcome.clone())
    }
}

fn numbered(number: u64) -> Identity {
    Identity::Session {
        session: SessionId::from_u128(1),
        number,
        acknowledged: 0,
    }
}

#[test]
fn nothing_is_answered_before_its_commit() {
    let mut simulation = Simulation::new();
    let token = simulation.send("append", 1, numbered(1));
    let repeat = simulation.send("append", 1, numbered(1));
    let peek = simulation.send("peek", 0, Identity::Natural);
    simulation.start_commit();
    for token in [token, repeat, peek] {
        assert_eq!(simulation.answer(token), None);
    }
    simulation.finish_commit();
    assert_eq!(simulation.answer(token), simulation.answer(repeat));
    assert!(simulation.answer(peek).is_some());
    assert_eq!(simulation.state(), [1]);
}

#[test]
fn what_arrives_during_a_commit_shares_the_next() {
    let mut simulation = Simulation::new();
    simulation.send("append", 0, Identity::Natural);
    simulation.start_commit();
    let tokens: Vec<u64> = (1..=100)
        .map(|number| simulation.send("append", number, Identity::Natural))
        .collect();
    assert!(simulation.machine.start_commit().unwrap().is_none());
    simulation.finish_commit();
    simulation.start_commit();
    simulation.finish_commit();
    for token in tokens {
        match simulation.answer(token) {
            Some(Outcome::Success(success)) => assert_eq!(success.version, 2),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_condition_holds_in_the_very_commit() {
    let mut simulation = Simulation::new();
    let first = simulation.send_if(Some(0), "append", 1, numbered(1));
    // Decided before the commit of the first, and answered after it.
    let second = simulation.send_if(Some(0), "append", 2, numbered(2));
    assert_eq!(simulation.answer(second), None);
    simulation.settle();
    assert!(matches!(
        simulation.answer(first),
        Some(Outcome::Success(_))
    ));
    match simulation.answer(second) {
        Some(Outcome::Failure(failure)) => {
            assert_eq!(failure.code, ErrorCode::Conflict);
            assert_eq!(failure.field.as_deref(), Some(if_version::FIELD));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(simulation.state(), [1]);
    // While a commit is under way the version is what it will be.
    simulation.send("append", 3, numbered(3));
    simulation.start_commit();
    let early = simulation.send_if(Some(1), "append", 4, numbered(4));
    let right = simulation.send_if(Some(2), "append", 5, numbered(5));
    simulation.finish_commit();
    simulation.settle();
    assert!(matches!(
        simulation.answer(early),
        Some(Outcome::Failure(_))
    ));
    assert!(matches!(
        simulation.answer(right),
        Some(Outcome::Success(_))
    ));
    assert_eq!(simulation.state(), [1, 3, 5]);
    // The repeat of what had its effect gets the outcome of that.
    let repeat = simulation.send_if(Some(2), "append", 5, numbered(5));
    assert_eq!(simulation.answer(repeat), simulation.answer(right));
    // One that was refused may come again on another condition.
    let again = simulation.send_if(Some(3), "append", 4, numbered(4));
    simulation.settle();
    assert!(matches!(
        simulation.answer(again),
        Some(Outcome::Success(_))
    ));
}

#[test]
fn an_end_leaves_nothing_and_what_comes_meanwhile_begins_anew() {
    for is_in_flight in [false, true] {
        let mut simulation = Simulation::new();
        simulation.send("append", 1, numbered(1));
        simulation.settle();
        simulation.send("append", 2, numbered(2));
        if is_in_flight {
            simulation.start_commit();
        }
        let end = simulation.send("end", 0, Identity::Natural);
        let later = simulation.send("append", 3, numbered(3));
        simulation.start_commit();
        simulation.finish_commit();
        if is_in_flight {
            assert_eq!(simulation.answer(end), None);
            simulation.start_commit();
            simulation.finish_commit();
        }
        assert!(simulation.answer(end).is_some());
        assert_eq!(simulation.rows.len(), 0, "{:?}", simulation.rows);
        assert_eq!(simulation.answer(later), None);
        simulation.settle();
        assert_eq!(simulation.state(), [3]);
        match simulation.answer(later) {
            Some(Outcome::Success(success)) => {
                assert_eq!((success.seq, success.version), (1, 1));
            }
            other => panic!("{other:?}"),
        }
        simulation.crash();
        assert_eq!(simulation.state(), [3]);
    }
}

#[test]
fn an_end_that_is_not_committed_changes_nothing() {
    let mut simulation = Simulation::new();
    simulation.send("append", 1, numbered(1));
    simulation.settle();
    simulation.send("end", 0, Identity::Natural);
    simulation.start_commit();
    simulation.crash();
    assert_eq!(simulation.state(), [1]);
}

#[test]
fn soon_waits_for_company_and_a_query_hurries_it() {
    let mut simulation = Simulation::new();
    simulation.send("soon", 1, Identity::Natural);
    assert_eq!(simulation.machine.wish(), Wish::Soon);
    let caller = simulation.caller();
    let request = QueryRequest {
        actor: simulation.machine.name.actor.clone(),
        name: "state".to_owned(),
        body: Bytes::new(),
        consistency: Consistency::Linearizable,
        deadline: None,
    };
    simulation
        .machine
        .query(Simulation::now(), &request, caller);
    assert_eq!(simulation.machine.wish(), Wish::Now);
}

#[test]
fn a_batch_is_bounded_and_the_rest_waits() {
    let mut simulation = Simulation::new();
    for number in 0..3_000 {
        simulation.send("append", number, Identity::Natural);
    }
    assert_eq!(simulation.state().len(), ACTOR_BATCH_MAX);
    simulation.settle();
    assert_eq!(simulation.state(), (0..3_000).collect::<Vec<u64>>());
    let given: Vec<u64> = simulation.answers.0.lock().iter().map(|it| it.0).collect();
    assert!(given.is_sorted(), "answers left out of order");
}

#[test]
fn a_panic_leaves_no_trace_and_answers_internal() {
    let mut simulation = Simulation::new();
    simulation.send("append", 1, numbered(1));
    simulation.settle();
    let token = simulation.send("panic", 2, numbered(2));
    match simulation.answer(token) {
        Some(Outcome::Failure(failure)) => assert_eq!(failure.code, ErrorCode::Internal),
        other => panic!("{other:?}"),
    }
    assert_eq!(simulation.state(), [1]);
}

#[test]
fn many_sessions_are_let_go_and_looked_up() {
    let mut simulation = Simulation::new();
    let identity = |session| Identity::Session {
        session: SessionId::from_u128(session),
        number: 1,
        acknowledged: 0,
    };
    for session in 0..1_000 {
        simulation.send("append", 1, identity(session));
        simulation.settle();
    }
    for session in 0..1_000 {
        let token = simulation.send("append", 1, identity(session));
        assert!(matches!(
            simulation.answer(token),
            Some(Outcome::Success(_))
        ));
    }
    assert_eq!(simulation.state().len(), 1_000);
}

#[test]
fn the_session_heard_last_is_within_the_record_while_it_is_small() {
    let mut simulation = Simulation::new();
    let mut send = |session, number| {
        let identity = Identity::Session {
            session: SessionId::from_u128(session),
            number,
            acknowledged: 0,
        };
        simulation.send("append", number, identity);
        simulation.settle();
        let record = simulation.rows.get(&name().prefix.record()).unwrap();
        let inline = ActorRecord::decode(record).unwrap().session;
        let has_row = |session| {
            let key = name().prefix.session(SessionId::from_u128(session));
            simulation.rows.contains_key(&key)
        };
        let inline = inline.map(|(session, _)| session);
        (inline, has_row(1), has_row(2))
    };
    let session = |number| Some(SessionId::from_u128(number));
    assert_eq!(send(1, 1), (session(1), false, false));
    assert_eq!(send(1, 2), (session(1), false, false));
    assert_eq!(send(2, 1), (session(2), true, false));
    for number in 2..=INLINE_OUTCOMES_MAX as u64 {
        send(2, number);
    }
    assert_eq!(send(2, 100), (None, true, true));
    assert_eq!(send(1, 3), (session(1), true, true));
}

#[test]
fn large_outcomes_are_stored_apart_and_found() {
    let mut memory = Memory::default();
    let (prefix, mut rows) = (name().prefix.clone(), Vec::new());
    let outcome = Outcome::Success(Success {
        body: Bytes::from(vec![b'1'; 10_000]),
        seq: 1,
        version: 1,
    });
    for number in 1..=3 {
        let new = New {
            identity: &numbered(number),
            outcome: &outcome,
            now_ms: 0,
            version: 1,
        };
        memory.keep(new, &prefix, &mut rows);
    }
    assert_eq!(rows.len(), 2);
    let Recall::Unclear(what) = memory.recall(&numbered(3), 1) else {
        panic!("the third outcome does not fit");
    };
    assert_eq!(what.key(&prefix), rows[1].key);
    memory.learn(&what, rows[1].value.as_ref()).unwrap();
    assert!(matches!(memory.recall(&numbered(3), 1), Recall::Known(known) if known == outcome));
}

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A command, new or repeated.
    Send {
        id: u64,
        refuse: bool,
        by_id: bool,
    },
    Start,
    Finish,
    Crash,
    /// A crash after the commit in flight became durable, before anybody heard of it.
    CrashCommitted,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..40_u64, any::<bool>(), any::<bool>())
            .prop_map(|(id, refuse, by_id)| Step::Send { id, refuse, by_id }),
        3 => Just(Step::Start),
        3 => Just(Step::Finish),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashCommitted),
    ]
}

proptest! {
    #[test]
    fn each_id_has_one_effect_whatever_fails(steps in prop::collection::vec(step(), 1..200)) {
        let mut simulation = Simulation::new();
        let mut sent: HashMap<u64, Vec<u64>> = HashMap::new();
        // What an id asks for never changes, as for a client that repeats itself.
        let mut wishes: HashMap<u64, (bool, bool)> = HashMap::new();
        for step in steps {
            match step {
                Step::Send { id, refuse, by_id } => {
                    let (refuse, by_id) = *wishes.entry(id).or_insert((refuse, by_id));
                    let identity = if by_id {
                        Identity::Id(selvedge_protocol::CommandId::from_u128(u128::from(id)))
                    } else {
                        // Three sessions take turns.
                        Identity::Session {
                            session: SessionId::from_u128(u128::from(id % 3)),
                            number: id,
                            acknowledged: 0,
                        }
                    };
                    let name = if refuse { "refuse" } else { "append" };
                    let token = simulation.send(name, id, identity);
                    sent.entry(id).or_default().push(token);
                }
                Step::Start => simulation.start_commit(),
                Step::Finish => simulation.finish_commit(),
                Step::Crash => simulation.crash(),
                Step::CrashCommitted => {
                    simulation.write();
                    simulation.crash();
                }
            }
        }
        simulation.settle();
        let state = simulation.state();
        for (id, tokens) in sent {
            let effects = state.iter().filter(|number| **number == id).count();
            prop_assert!(effects <= 1, "{} took effect {} times", id, effects);
            let finals: Vec<Outcome> = tokens
                .iter()
                .filter_map(|token| simulation.answer(*token))
                .filter(|outcome| match outcome {
                    Outcome::Success(_) => true,
                    Outcome::Failure(failure) => !failure.code.may_be_retried(),
                })
                .collect();
            prop_assert!(finals.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", finals);
            for outcome in finals {
                if let Outcome::Success(_) = outcome {
                    prop_assert_eq!(effects, 1, "answered, but without effect");
                }
            }
        }
        // The store says what memory says, and events have no gap.
        let seqs: Vec<u64> = simulation
            .rows
            .iter()
            .filter_map(|(key, value)| match Key::decode(key) {
                Ok(Key::Event { seq: last, .. }) => {
                    let EventsRecord(events) = EventsRecord::decode(value).unwrap();
                    Some(last + 1 - events.len() as u64..=last)
                }
                Ok(_) | Err(_) => None,
            })
            .flatten()
            .collect();
        prop_assert_eq!(&seqs, &(1..=state.len() as u64).collect::<Vec<u64>>());
        simulation.crash();
        prop_assert_eq!(simulation.state(), state);
    }
}
