//! Queries and commands about subjects, which clients address as actors of the reserved kind `subject`: their bodies and
//! answers. What they do is [`Subjects`]'; `subject/*` stands for all of the tenant.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use selvedge_cluster::actor::export::{Exported, Part, Place};
use selvedge_cluster::actor::{Host, ReplyTo};
use selvedge_cluster::audit::AuditRecord;
use selvedge_cluster::privacy::{
    Consent, ConsentChange, Erased, Erasure, KeyState, Rewrapped, ScopedSubject, SubjectShown,
    Subjects,
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
use uuid::Uuid;

use crate::gateway::directory::api_key;
use crate::gateway::users::{login_shown, user_shown};
use crate::gateway::{Caller, Gateway, failure};
use crate::identity::{Directory, SealedUsers, user_of};
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
    pub(super) fn query(self, gateway: &Gateway, reply: ReplyTo) {
        let gateway = gateway.clone();
        tokio::spawn(async move { reply.answer(outcome(self.answer_query(&gateway).await)) });
    }

    /// Executes a command. Never waits. Each may be repeated, so they need no memory of ids.
    pub(super) fn command(self, gateway: &Gateway, reply: ReplyTo) {
        let gateway = gateway.clone();
        tokio::spawn(async move { reply.answer(outcome(self.answer_command(&gateway).await)) });
    }

    async fn answer_query(&self, gateway: &Gateway) -> Result<Value, Failure> {
        let subjects = subjects(&gateway.host)?;
        match (self.name.as_str(), self.key.as_str()) {
            ("list", ALL) => self.list(&subjects).await,
            ("get" | "state", _) => {
                let of = self.of(&gateway.directory).await?;
                self.get(&subjects, of).await
            }
            ("export", _) => {
                let of = self.of(&gateway.directory).await?;
                self.export(gateway, &subjects, of).await
            }
            (name, _) => Err(self.no_such(name)),
        }
    }

    async fn answer_command(&self, gateway: &Gateway) -> Result<Value, Failure> {
        let subjects = subjects(&gateway.host)?;
        match (self.name.as_str(), self.key.as_str()) {
            ("rewrap", ALL) => self.rewrap(&gateway.directory, &subjects).await,
            ("erase", _) => {
                let of = self.of(&gateway.directory).await?;
                self.erase(gateway, &subjects, of).await
            }
            ("consent", _) => {
                let of = self.of(&gateway.directory).await?;
                self.consent(&subjects, of).await
            }
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

    async fn get(&self, subjects: &Subjects, of: ScopedSubject) -> Result<Value, Failure> {
        parse::<Nothing>(&self.body)?;
        let consents = subjects.consents(&of).await;
        let consents = consents.map_err(|error| failure::store(&error))?;
        let consents: Vec<_> = consents.into_iter().map(told).collect();
        Ok(json!({ "subject": of.subject, "consents": consents }))
    }

    async fn export(
        &self,
        gateway: &Gateway,
        subjects: &Subjects,
        of: ScopedSubject,
    ) -> Result<Value, Failure> {
        let Export { cursor } = parse(&self.body)?;
        let failed = |error| failure::store(&error);
        let (items, next) = match cursor {
            None => {
                let principal = &self.caller.principal.name;
                subjects.note_export(&of, principal).await.map_err(failed)?;
                let consents = subjects.consents(&of).await.map_err(failed)?;
                let consents = consents.into_iter().map(told);
                let items = consents.map(|consent| json!({ "consent": consent }));
                let mut items: Vec<_> = items.collect();
                items.extend(of_user(&gateway.directory, &of).await?);
                (items, Some(Cursor::Actors { at: None }))
            }
            Some(Cursor::Actors { at }) => {
                let from = at.map(Place::from);
                let page = gateway.host.export(&of, from.as_ref());
                let page = page.await.map_err(failed)?;
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

    /// The keys first; past the last of them, users that were stored before users were sealed.
    async fn rewrap(&self, directory: &Directory, subjects: &Subjects) -> Result<Value, Failure> {
        let Rewrap { after } = parse(&self.body)?;
        let principal = &self.caller.principal;
        if let Some(user) = after.as_deref().and_then(|it| it.strip_prefix(USERS)) {
            let after = Uuid::try_parse(user).map_err(|_| no_cursor())?;
            let users = directory.seal_users(&principal.tenant, Some(after)).await?;
            return Ok(rewrapped(None, &users));
        }
        let after = after.map(SubjectId::new).transpose();
        let after = after.map_err(|_| no_cursor())?;
        let keys = subjects.rewrap(&principal.tenant, &principal.name, after.as_ref());
        let keys = keys.await.map_err(|error| failure::store(&error))?;
        let users = match keys.next {
            Some(_) => SealedUsers::default(),
            None => directory.seal_users(&principal.tenant, None).await?,
        };
        Ok(rewrapped(Some(keys), &users))
    }

    async fn erase(
        &self,
        gateway: &Gateway,
        subjects: &Subjects,
        of: ScopedSubject,
    ) -> Result<Value, Failure> {
        let Erase { after } = parse(&self.body)?;
        let erased = match (user_of(of.subject.as_str()), &after) {
            (Some(id), None) => {
                let by = &self.caller.principal;
                gateway.directory.erase_user(by, id).await?
            }
            // The pages that follow are about its actors.
            (Some(_), Some(_)) | (None, _) => self.destroy(subjects, &of).await?,
        };
        if erased == Erased::Nothing {
            let message = format!("nothing is stored about a subject {}", of.subject);
            return Err(Failure::field(ErrorCode::NotFound, "subject", message));
        }
        gateway.host.subject_erased(&of);
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

    async fn destroy(&self, subjects: &Subjects, of: &ScopedSubject) -> Result<Erased, Failure> {
        let notice = Notice::Subject {
            tenant: of.tenant.clone(),
            subject: of.subject.clone(),
        };
        let erasure = Erasure {
            of,
            principal: &self.caller.principal.name,
            notice: &record::encode(&notice),
        };
        let erased = subjects.erase(erasure).await;
        erased.map_err(|error| failure::store(&error))
    }

    async fn consent(&self, subjects: &Subjects, of: ScopedSubject) -> Result<Value, Failure> {
        let SetConsent {
            purpose,
            granted,
            note,
        } = parse(&self.body)?;
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

    /// Who it is about: a user may be named by its username.
    async fn of(&self, directory: &Directory) -> Result<ScopedSubject, Failure> {
        let tenant = &self.caller.principal.tenant;
        let named = directory.principal_named(tenant, self.key.as_str()).await;
        let named = named.map_err(|error| failure::store(&error))?;
        // An application may have given somebody such an id itself.
        let subject = SubjectId::new(named.as_deref().unwrap_or(self.key.as_str()));
        let invalid = |error: selvedge_protocol::IdError| {
            Failure::field(ErrorCode::Invalid, "subject", error.to_string())
        };
        Ok(ScopedSubject {
            tenant: tenant.clone(),
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

/// What is stored of a subject that is a user: itself, its logins, and the API keys that it has made.
async fn of_user(directory: &Directory, of: &ScopedSubject) -> Result<Vec<Value>, Failure> {
    let Some(id) = user_of(of.subject.as_str()) else {
        return Ok(Vec::new());
    };
    let found = directory.user(&of.tenant, id).await;
    let Some(user) = found.map_err(|error| failure::store(&error))? else {
        return Ok(Vec::new());
    };
    let logins = directory.logins(&of.tenant, &user).await?;
    let keys = directory.api_keys_of(&of.tenant, &user).await?;
    let mut items = vec![json!({ "user": user_shown(&user) })];
    items.extend(logins.iter().map(|it| json!({ "login": login_shown(it) })));
    items.extend(keys.iter().map(|it| json!({ "apiKey": api_key(it) })));
    Ok(items)
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

/// What was done by a page of `rewrap`, and where the next one begins.
fn rewrapped(keys: Option<Rewrapped>, users: &SealedUsers) -> Value {
    let (rewrapped, looked, subject) =
        keys.map_or((0, 0, None), |it| (it.keys, it.looked, it.next));
    let user = users.next.map(|id| format!("{USERS}{id}"));
    json!({
        "rewrapped": rewrapped,
        "looked": looked,
        "sealedUsers": users.sealed,
        "cursor": subject.map(|it| it.to_string()).or(user),
    })
}

fn no_cursor() -> Failure {
    let message = "give the cursor of the page before, or none";
    Failure::field(ErrorCode::Invalid, "after", message)
}

/// What the cursors of `rewrap` begin with that are about users, as no subject does.
const USERS: &str = "+";

/// A page of `rewrap`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rewrap {
    after: Option<String>,
}

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
