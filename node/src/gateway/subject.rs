//! Queries and commands about subjects, which clients address as actors of the reserved kind `subject`: their bodies and
//! answers. What they do is [`Subjects`]'; `subject/*` stands for all of the tenant.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use selvedge_cluster::actor::export::{Exported, Part, Place};
use selvedge_cluster::actor::{Host, ReplyTo};
use selvedge_cluster::audit::AuditRecord;
use selvedge_cluster::privacy::{
    Consent, ConsentChange, Erased, Erasure, KeyState, ScopedSubject, SubjectShown, Subjects,
};
use selvedge_cluster::store::record;
use selvedge_protocol::frame::{Outcome, Success};
use selvedge_protocol::limits::{
    CONSENT_NOTE_BYTES_MAX, CONSENT_PURPOSE_BYTES_MAX, CONSENTS_MAX, SUBJECTS_PAGE_MAX,
};
use selvedge_protocol::{ActorAddress, ActorKey, ErrorCode, Failure, SubjectId, Target, time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gateway::{Caller, failure};
use crate::notice::Notice;

/// The kind under which subjects are addressed. No application has actors of it.
pub(crate) const SUBJECT: &str = "subject";
/// All subjects of the tenant.
const ALL: &str = "*";

/// What is asked, and by whom.
#[derive(Debug)]
pub(super) struct Asked {
    key: ActorKey,
    name: String,
    body: Bytes,
    caller: Caller,
}

/// Whether an address is a subject's.
pub(super) fn is_subject(address: &ActorAddress) -> bool {
    address.kind.as_str() == SUBJECT
}

impl Asked {
    pub(super) fn new(address: &ActorAddress, name: &str, body: &Bytes, caller: &Caller) -> Self {
        Self {
            key: address.key.clone(),
            name: name.to_owned(),
            body: body.clone(),
            caller: caller.clone(),
        }
    }

    /// Answers a query. Never waits.
    pub(super) fn query(self, host: &Host, reply: ReplyTo) {
        let host = host.clone();
        tokio::spawn(async move { reply.answer(outcome(self.answer_query(&host).await)) });
    }

    /// Executes a command. Never waits. Each may be repeated, so they need no memory of ids.
    pub(super) fn command(self, host: &Host, reply: ReplyTo) {
        let host = host.clone();
        tokio::spawn(async move { reply.answer(outcome(self.answer_command(&host).await)) });
    }

    async fn answer_query(&self, host: &Host) -> Result<Value, Failure> {
        let subjects = subjects(host)?;
        match (self.name.as_str(), self.key.as_str()) {
            ("list", ALL) => self.list(&subjects).await,
            ("get" | "state", _) => self.get(&subjects).await,
            ("export", _) => self.export(host, &subjects).await,
            (name, _) => Err(self.no_such(name)),
        }
    }

    async fn answer_command(&self, host: &Host) -> Result<Value, Failure> {
        let subjects = subjects(host)?;
        match (self.name.as_str(), self.key.as_str()) {
            ("rewrap", ALL) => self.rewrap(&subjects).await,
            ("erase", _) => self.erase(host, &subjects).await,
            ("consent", _) => self.consent(&subjects).await,
            (name, _) => Err(self.no_such(name)),
        }
    }

    async fn list(&self, subjects: &Subjects) -> Result<Value, Failure> {
        let List { after, limit } = parse(&self.body)?;
        let limit = limit.unwrap_or(50).clamp(1, SUBJECTS_PAGE_MAX);
        let tenant = &self.caller.principal.tenant;
        let listed = subjects.list(tenant, after.as_ref(), limit).await;
        let listed = listed.map_err(|error| failure::store(&error))?;
        let cursor = listed.last().filter(|_| listed.len() == limit);
        let cursor = cursor.map(|last| last.subject.to_string());
        let items: Vec<_> = listed.iter().map(shown).collect();
        Ok(json!({ "items": items, "cursor": cursor }))
    }

    async fn get(&self, subjects: &Subjects) -> Result<Value, Failure> {
        parse::<Nothing>(&self.body)?;
        let of = self.of()?;
        let consents = subjects.consents(&of).await;
        let consents = consents.map_err(|error| failure::store(&error))?;
        let consents: Vec<_> = consents.into_iter().map(told).collect();
        Ok(json!({ "subject": of.subject, "consents": consents }))
    }

    async fn export(&self, host: &Host, subjects: &Subjects) -> Result<Value, Failure> {
        let Export { cursor } = parse(&self.body)?;
        let of = self.of()?;
        let failed = |error| failure::store(&error);
        let (items, next) = match cursor {
            None => {
                let principal = &self.caller.principal.name;
                subjects.note_export(&of, principal).await.map_err(failed)?;
                let consents = subjects.consents(&of).await.map_err(failed)?;
                let consents = consents.into_iter().map(told);
                let items = consents.map(|consent| json!({ "consent": consent }));
                (items.collect(), Some(Cursor::Actors { at: None }))
            }
            Some(Cursor::Actors { at }) => {
                let from = at.map(Place::from);
                let page = host.export(&of, from.as_ref()).await.map_err(failed)?;
                match page.at {
                    None => (Vec::new(), Some(Cursor::Audit { after: 0 })),
                    Some((actor, next)) => {
                        let items = page.items.into_iter();
                        let items = items.map(|item| exported(&actor, item)).collect();
                        let at = Some(At::from(next));
                        (items, Some(Cursor::Actors { at }))
                    }
                }
            }
            Some(Cursor::Audit { after }) => {
                let trail = subjects.trail(&of, Some(after)).await.map_err(failed)?;
                let items = trail.records.iter().map(audited).collect();
                (items, trail.next.map(|after| Cursor::Audit { after }))
            }
        };
        Ok(json!({ "items": items, "cursor": next }))
    }

    async fn rewrap(&self, subjects: &Subjects) -> Result<Value, Failure> {
        let List { after, .. } = parse(&self.body)?;
        let principal = &self.caller.principal;
        let rewrapped = subjects.rewrap(&principal.tenant, &principal.name, after.as_ref());
        let rewrapped = rewrapped.await.map_err(|error| failure::store(&error))?;
        Ok(json!({
            "rewrapped": rewrapped.keys,
            "looked": rewrapped.looked,
            "cursor": rewrapped.next,
        }))
    }

    async fn erase(&self, host: &Host, subjects: &Subjects) -> Result<Value, Failure> {
        let Erase { after } = parse(&self.body)?;
        let of = self.of()?;
        let notice = Notice::Subject {
            tenant: of.tenant.clone(),
            subject: of.subject.clone(),
        };
        let erasure = Erasure {
            of: &of,
            principal: &self.caller.principal.name,
            notice: &record::encode(&notice),
        };
        let erased = subjects.erase(erasure).await;
        let erased = erased.map_err(|error| failure::store(&error))?;
        if erased == Erased::Nothing {
            let message = format!("nothing is stored about a subject {}", of.subject);
            return Err(Failure::field(ErrorCode::NotFound, "subject", message));
        }
        host.subject_erased(&of);
        let swept = subjects.sweep(&of, after.as_ref()).await;
        let swept = swept.map_err(|error| failure::store(&error))?;
        Ok(json!({
            "subject": of.subject,
            "erased": match erased {
                Erased::Now => "now",
                Erased::Before | Erased::Nothing => "before",
            },
            "actors": swept.actors,
            "cursor": swept.next.map(|next| next.to_string()),
        }))
    }

    async fn consent(&self, subjects: &Subjects) -> Result<Value, Failure> {
        let SetConsent {
            purpose,
            granted,
            note,
        } = parse(&self.body)?;
        let of = self.of()?;
        // What ids are made of: it is named on command lines and in paths.
        if purpose.len() > CONSENT_PURPOSE_BYTES_MAX || SubjectId::new(&purpose).is_err() {
            let message = "use 1 to 128 of A-Z, a-z, 0-9, '.', '_', ':' and '-'";
            return Err(Failure::field(ErrorCode::Invalid, "purpose", message));
        }
        if note.len() > CONSENT_NOTE_BYTES_MAX {
            let message = format!("use at most {CONSENT_NOTE_BYTES_MAX} bytes");
            return Err(Failure::field(ErrorCode::Invalid, "note", message));
        }
        let change = ConsentChange {
            purpose,
            granted,
            principal: self.caller.principal.name.to_string(),
            note,
        };
        let set = subjects.set_consent(&of, &change).await;
        match set.map_err(|error| failure::store(&error))? {
            Some(consent) => Ok(told(consent)),
            None => {
                let message = format!("a subject has at most {CONSENTS_MAX} purposes");
                Err(Failure::field(ErrorCode::TooLarge, "purpose", message))
            }
        }
    }

    fn of(&self) -> Result<ScopedSubject, Failure> {
        let subject = SubjectId::new(self.key.as_str());
        let invalid = |error: selvedge_protocol::IdError| {
            Failure::field(ErrorCode::Invalid, "subject", error.to_string())
        };
        Ok(ScopedSubject {
            tenant: self.caller.principal.tenant.clone(),
            subject: subject.map_err(invalid)?,
        })
    }

    fn no_such(&self, name: &str) -> Failure {
        match selvedge_protocol::ActorKind::new(SUBJECT) {
            Ok(kind) => {
                let key = self.key.clone();
                failure::no_such(&Target::Actor(ActorAddress { kind, key }), name)
            }
            Err(error) => Failure::new(ErrorCode::UnknownCommand, error.to_string()),
        }
    }
}

/// What is stored about people needs a key.
fn subjects(host: &Host) -> Result<Subjects, Failure> {
    host.subjects().ok_or_else(|| {
        let message = "this node has no key for personal data; give its nodes privacy.key_file or SELVEDGE_PRIVACY_KEY";
        Failure::new(ErrorCode::Rejected, message)
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    after: Option<SubjectId>,
    limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    cursor: Option<Cursor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    /// The cursor of the page before.
    #[serde(default, deserialize_with = "address")]
    after: Option<ActorAddress>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetConsent {
    purpose: String,
    granted: bool,
    #[serde(default)]
    note: String,
}

/// Where an export is. Clients give it back as it came.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Cursor {
    Actors { at: Option<At> },
    Audit { after: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    actor: ActorAddress,
    part: AtPart,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum AtPart {
    State,
    Events(u64),
    Payload(u32),
    End,
}

impl From<At> for Place {
    fn from(At { actor, part }: At) -> Self {
        let part = match part {
            AtPart::State => Part::State,
            AtPart::Events(after) => Part::Events(after),
            AtPart::Payload(from) => Part::Payload(from),
            AtPart::End => Part::End,
        };
        Self { actor, part }
    }
}

impl From<Place> for At {
    fn from(Place { actor, part }: Place) -> Self {
        let part = match part {
            Part::State => AtPart::State,
            Part::Events(after) => AtPart::Events(after),
            Part::Payload(from) => AtPart::Payload(from),
            Part::End => AtPart::End,
        };
        Self { actor, part }
    }
}

fn address<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<ActorAddress>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let address = text.map(|text| text.parse()).transpose();
    address.map_err(serde::de::Error::custom)
}

fn shown(SubjectShown { subject, key }: &SubjectShown) -> Value {
    match key {
        KeyState::Present {
            created_ms,
            wrapped_by,
        } => json!({
            "subject": subject,
            "state": "present",
            "createdAt": time::format(*created_ms),
            "wrappedBy": wrapped_by,
        }),
        KeyState::Erased { at_ms } => json!({
            "subject": subject,
            "state": "erased",
            "erasedAt": time::format(*at_ms),
        }),
    }
}

fn told(consent: Consent) -> Value {
    json!({
        "purpose": consent.purpose,
        "granted": consent.granted,
        "at": time::format(consent.at_ms),
        "by": consent.by,
        "note": consent.note,
    })
}

fn exported(actor: &ActorAddress, item: Exported) -> Value {
    let raw = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap_or(Value::Null);
    let actor = actor.to_string();
    match item {
        Exported::State {
            seq,
            version,
            state,
        } => json!({ "actor": actor, "state": raw(&state), "seq": seq, "version": version }),
        Exported::Event(event) => json!({
            "actor": actor,
            "event": {
                "seq": event.seq,
                "type": &*event.kind,
                "time": time::format(event.time_ms),
                "data": raw(&event.data),
            },
        }),
        Exported::Payload { chunk, bytes } => json!({
            "actor": actor,
            "payload": { "chunk": chunk, "base64": BASE64_STANDARD.encode(&bytes) },
        }),
    }
}

fn audited(record: &AuditRecord) -> Value {
    let entry = &record.entry;
    json!({
        "audit": {
            "number": record.number,
            "at": time::format(entry.at_ms),
            "principal": entry.principal,
            "action": entry.action,
        },
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    // Nothing is as good as no fields.
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| failure::body(&error))
}

/// Nothing of this has a seq or a version.
fn outcome(answer: Result<Value, Failure>) -> Outcome {
    match answer {
        Ok(value) => Outcome::Success(Success {
            body: Bytes::from(value.to_string()),
            seq: 0,
            version: 0,
        }),
        Err(failure) => Outcome::Failure(failure),
    }
}
