//! Actor kinds for tests.

use bytes::Bytes;
use selvedge_cluster::actor::kind::{MESSAGE_REFUSED, RefusedMessage, Stand, json};
use selvedge_cluster::actor::{
    AuditEntry, Context, Effects, Incoming, Kind, Message, NewEvent, Origin, Refusal,
    ScopedAddress, TimerChange, Urgency,
};
use selvedge_protocol::ActorAddress;
use serde::{Deserialize, Serialize};

/// Counts, and does whatever else a test asks for.
pub(crate) struct Tally;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct TallyState {
    pub(crate) sum: u64,
    /// Filler, to make the state large.
    #[serde(default)]
    pub(crate) ballast: String,
    #[serde(default)]
    pub(crate) fired: Vec<String>,
    /// Whether it is at rest between requests.
    #[serde(default)]
    pub(crate) retired: bool,
    /// Not stored: how often the kind was told of a commit or activation.
    #[serde(skip)]
    pub(crate) told: u64,
}

#[derive(Debug, Deserialize)]
struct Send {
    to: String,
    times: usize,
    #[serde(default = "add")]
    name: String,
}

fn add() -> String {
    "add".to_owned()
}

/// So many events at once, of so many bytes each.
#[derive(Debug, Deserialize)]
struct Burst {
    events: usize,
    bytes: usize,
}

#[derive(Debug, Deserialize)]
struct Timer {
    name: String,
    due: u64,
}

fn argument<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::invalid("body", error.to_string()))
}

fn event(sum: u64) -> NewEvent {
    NewEvent {
        kind: "added".into(),
        data: Bytes::from(sum.to_string()),
    }
}

/// Adds, and has it audited; or adds nothing, which cannot be.
fn audited(
    state: &mut TallyState,
    context: &Context<'_>,
    command: &Incoming<'_>,
) -> Result<Effects, Refusal> {
    let urgency = match command.name {
        "audited" => Urgency::Now,
        _ => Urgency::Never,
    };
    state.sum += argument::<u64>(command.body)?;
    Ok(Effects {
        audit: vec![AuditEntry {
            action: "tally.add".into(),
            target: context.address.to_string(),
            detail: state.sum.to_string(),
        }],
        urgency,
        ..Effects::default()
    })
}

fn messages(body: &[u8]) -> Result<Vec<Message>, Refusal> {
    let send: Send = argument(body)?;
    let to: ActorAddress = send
        .to
        .parse()
        .map_err(|_| Refusal::invalid("to", "not an address"))?;
    let message = Message {
        to,
        name: send.name,
        body: Bytes::from_static(b"1"),
    };
    Ok(vec![message; send.times])
}

impl Kind for Tally {
    type State = TallyState;
    const NAME: &'static str = "tally";

    fn apply(
        &self,
        state: &mut TallyState,
        context: &Context<'_>,
        command: &Incoming<'_>,
    ) -> Result<Effects, Refusal> {
        if context.origin == Origin::Timer {
            state.fired.push(command.name.to_owned());
            return Ok(Effects {
                events: vec![event(state.sum)],
                ..Effects::default()
            });
        }
        let mut effects = Effects::default();
        match command.name {
            "add" => {
                state.sum += argument::<u64>(command.body)?;
                effects.events.push(event(state.sum));
            }
            "burst" => {
                let Burst { events, bytes } = argument(command.body)?;
                let data = Bytes::from(format!("{:?}", "x".repeat(bytes)));
                effects.events.extend((0..events).map(|_| NewEvent {
                    kind: "burst".into(),
                    data: data.clone(),
                }));
            }
            "add-soon" => {
                state.sum += argument::<u64>(command.body)?;
                effects.urgency = Urgency::Soon;
            }
            "audited" | "audited-nothing" => effects = audited(state, context, command)?,
            "retire" => state.retired = true,
            "end" => {
                *state = TallyState::default();
                effects.is_end = true;
            }
            "peek" => effects.urgency = Urgency::Never,
            "refuse" => return Err(Refusal::rejected(format!("at {}", state.sum))),
            "panic" => {
                state.sum += 1_000_000;
                panic!("asked to");
            }
            "ballast" => state.ballast = "x".repeat(argument::<usize>(command.body)?),
            "send" => effects.messages = messages(command.body)?,
            "timer" => {
                let timer: Timer = argument(command.body)?;
                effects.timers.push(TimerChange::Set {
                    name: timer.name,
                    due_ms: timer.due,
                    body: Bytes::new(),
                });
            }
            "cancel" => effects.timers.push(TimerChange::Cancel {
                name: argument(command.body)?,
            }),
            "awake" => effects.awake = Some(argument(command.body)?),
            MESSAGE_REFUSED if context.origin == Origin::Node => {
                let refused: RefusedMessage = argument(command.body)?;
                effects.events.push(NewEvent {
                    kind: "refused".into(),
                    data: Bytes::from(format!("{} {} {}", refused.to, refused.name, refused.code)),
                });
            }
            other => return Err(Refusal::unknown(Self::NAME, other)),
        }
        effects.reply = Bytes::from(state.sum.to_string());
        Ok(effects)
    }

    fn query(&self, state: &TallyState, name: &str, _body: &[u8]) -> Result<Bytes, Refusal> {
        match name {
            "sum" => Ok(Bytes::from(state.sum.to_string())),
            "told" => Ok(Bytes::from(state.told.to_string())),
            "panic" => panic!("asked to"),
            other => Err(Refusal::unknown(Self::NAME, other)),
        }
    }

    fn view(&self, state: &TallyState) -> Bytes {
        json::encode(state)
    }

    fn encode(&self, state: &TallyState) -> Bytes {
        json::encode(state)
    }

    fn decode(&self, _format: u8, bytes: &[u8]) -> Result<TallyState, String> {
        json::decode(bytes)
    }

    fn committed(&self, _actor: &ScopedAddress, state: &mut TallyState, _stand: Stand) {
        state.told += 1;
    }

    fn hears_refusals(&self) -> bool {
        true
    }

    fn is_at_rest(&self, state: &TallyState, is_awake: bool) -> bool {
        state.retired && !is_awake
    }
}
