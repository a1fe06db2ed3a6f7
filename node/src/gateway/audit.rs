//! Queries of the audit trail, on [`Target::Cluster`]: `audit.page` and `audit.verify`, see `wire.md`. A tenant's chain
//! is for who may read it in that tenant, the cluster's for its administrators.
//!
//! [`Target::Cluster`]: selvedge_protocol::Target::Cluster

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use selvedge_cluster::actor::ReplyTo;
use selvedge_cluster::audit::{
    Anchor, AuditRecord, Chain, Found, Outcome as Ended, Part, Search, Trail, Verification,
    VerifyError, hash_text, parse_hash,
};
use selvedge_cluster::store::Order;
use selvedge_protocol::frame::Outcome;
use selvedge_protocol::limits::{
    AUDIT_TEXT_BYTES_MAX, AUDIT_VERIFY_MAX, INLINE_BYTES_MAX, OPERATION_PAGE_DEFAULT,
    OPERATION_PAGE_MAX,
};
use selvedge_protocol::{ErrorCode, Failure, Tenant, time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::gateway::cluster::{json, outcome, parse};
use crate::gateway::{Gateway, failure};
use crate::identity::{Action, Directory, Permission, Resource};

/// The name of the query of records.
pub(super) const PAGE: &str = "audit.page";
/// The name of the query that verifies.
pub(super) const VERIFY: &str = "audit.verify";

/// A query, and what it needs.
#[derive(Debug)]
pub(super) struct Asked {
    of: Of,
    query: Query,
}

/// Whose chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    #[default]
    Tenant,
    Cluster,
}

#[derive(Debug)]
enum Query {
    Page { search: Search, form: Form },
    Verify(Part),
}

/// How records are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Fields,
    /// The bytes that are hashed.
    Stored,
}

impl Asked {
    pub(super) fn parse(name: &str, body: &[u8]) -> Result<Self, Failure> {
        match name {
            PAGE => {
                let body: PageBody = parse(body)?;
                let (of, form) = (body.chain, body.form());
                let search = body.search()?;
                let query = Query::Page { search, form };
                Ok(Self { of, query })
            }
            _ => {
                let VerifyBody {
                    chain,
                    from,
                    expect,
                } = parse(body)?;
                let part = Part {
                    from: from.map(|it| it.anchor("from")).transpose()?,
                    anchor: expect.map(|it| it.anchor("expect")).transpose()?,
                    records_max: AUDIT_VERIFY_MAX,
                };
                Ok(Self {
                    of: chain,
                    query: Query::Verify(part),
                })
            }
        }
    }

    /// What it needs.
    pub(super) const fn permission(&self) -> Permission {
        let action = match self.of {
            Of::Tenant => Action::Read,
            Of::Cluster => Action::Administer,
        };
        Permission::new(Resource::Audit, action)
    }

    /// Answers it, as somebody of this tenant. Never waits.
    pub(super) fn answer(mut self, gateway: &Gateway, tenant: &Tenant, reply: ReplyTo) {
        let chain = match self.of {
            Of::Tenant => Chain::from(tenant),
            Of::Cluster => Chain::Cluster,
        };
        let (gateway, tenant) = (gateway.clone(), tenant.clone());
        tokio::spawn(async move {
            let named = self.query.name(&gateway.directory, &tenant).await;
            let answer = match named {
                Ok(()) => self.query.answer(&gateway.host.trail(), &chain).await,
                Err(refused) => Err(refused),
            };
            let answer: Outcome = outcome(answer);
            reply.answer(answer);
        });
    }
}

impl Query {
    /// Has who is named by a username named as records have it.
    async fn name(&mut self, directory: &Directory, tenant: &Tenant) -> Result<(), Failure> {
        let Self::Page { search, .. } = self else {
            return Ok(());
        };
        let Some(principal) = &search.principal else {
            return Ok(());
        };
        let named = directory.principal_named(tenant, principal).await;
        let named = named.map_err(|error| failure::store(&error))?;
        search.principal = Some(named.ok_or_else(|| failure::no_such_principal("principal"))?);
        Ok(())
    }

    async fn answer(self, trail: &Trail, chain: &Chain) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Page { search, form } => {
                let found = trail.search(chain, &search).await;
                let found = found.map_err(|error| failure::store(&error))?;
                page(found, search.order, form)
            }
            Self::Verify(part) => match trail.verify(chain, part).await {
                Ok(verification) => json(&VerifiedShown::of(verification)),
                Err(VerifyError::Store(error)) => Err(failure::store(&error)),
                Err(damaged @ VerifyError::Damaged { number, .. }) => {
                    tracing::error!(%chain, %damaged, "the audit trail is damaged");
                    json(&VerifiedShown {
                        result: "damaged",
                        number: Some(number),
                        message: Some(damaged.to_string()),
                        ..VerifiedShown::default()
                    })
                }
            },
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageBody {
    #[serde(default)]
    chain: Of,
    /// From this number on, ascending. Without it the newest come first.
    from: Option<u64>,
    since: Option<String>,
    until: Option<String>,
    principal: Option<String>,
    action: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    /// Only the bytes that are hashed.
    #[serde(default)]
    stored: bool,
}

impl PageBody {
    const fn form(&self) -> Form {
        match self.stored {
            true => Form::Stored,
            false => Form::Fields,
        }
    }

    fn search(self) -> Result<Search, Failure> {
        let (order, from) = match (&self.cursor, self.from) {
            (Some(cursor), _) => position(cursor)?,
            // Those after the one before it.
            (None, Some(from)) => (Order::Ascending, from.checked_sub(1)),
            (None, None) => (Order::Descending, None),
        };
        let limit = self.limit.unwrap_or(OPERATION_PAGE_DEFAULT);
        if !(1..=OPERATION_PAGE_MAX).contains(&limit) {
            let message = format!("a page has 1 to {OPERATION_PAGE_MAX} records");
            return Err(Failure::field(ErrorCode::Invalid, "limit", message));
        }
        Ok(Search {
            from,
            order,
            since_ms: moment("since", self.since.as_deref())?,
            until_ms: moment("until", self.until.as_deref())?,
            principal: short("principal", self.principal)?,
            action: short("action", self.action)?,
            limit,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyBody {
    #[serde(default)]
    chain: Of,
    /// Where the part before ended.
    from: Option<Known>,
    /// A record of which the hash is known from elsewhere.
    expect: Option<Known>,
}

/// A record and its hash, in hex.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Known {
    number: u64,
    hash: String,
}

impl Known {
    fn anchor(&self, field: &str) -> Result<Anchor, Failure> {
        match parse_hash(&self.hash) {
            Some(hash) => Ok(Anchor {
                number: self.number,
                hash,
            }),
            None => Err(Failure::field(
                ErrorCode::Invalid,
                field,
                "give the number of a record and its hash, 64 hexadecimal digits",
            )),
        }
    }
}

impl From<Anchor> for Known {
    fn from(Anchor { number, hash }: Anchor) -> Self {
        Self {
            number,
            hash: hash_text(&hash),
        }
    }
}

/// As many of the records as an answer has room for.
fn page(found: Found, order: Order, form: Form) -> Result<Vec<u8>, Failure> {
    let Found { records, mut next } = found;
    let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
    for record in &records {
        let item = match form {
            Form::Fields => raw(&Shown::of(record))?,
            Form::Stored => raw(&StoredShown::of(record))?,
        };
        bytes += item.get().len() + 1;
        if bytes > PAGE_BYTES_MAX && !items.is_empty() {
            next = last;
            break;
        }
        last = Some(record.number);
        items.push(item);
    }
    let cursor = next.map(|next| match order {
        Order::Ascending => format!("a{next}"),
        Order::Descending => format!("d{next}"),
    });
    json(&Page { items, cursor })
}

#[derive(Debug, Serialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    /// `null`: there are no more.
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    number: u64,
    time: String,
    principal: &'a str,
    action: &'a str,
    target: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<RawValue>>,
    previous: String,
    hash: String,
}

impl<'a> Shown<'a> {
    fn of(record: &'a AuditRecord) -> Self {
        let entry = &record.entry;
        let (outcome, code) = match &entry.outcome {
            Ended::Done => ("done", None),
            Ended::Refused { code } => ("refused", Some(code.as_str())),
        };
        Self {
            number: record.number,
            time: time::format(entry.at_ms),
            principal: &entry.principal,
            action: &entry.action,
            target: &entry.target,
            outcome,
            code,
            // What is no JSON was not written by us.
            detail: RawValue::from_string(entry.detail.clone()).ok(),
            previous: hash_text(&record.previous),
            hash: hash_text(&record.hash),
        }
    }
}

#[derive(Debug, Serialize)]
struct StoredShown {
    number: u64,
    /// Base64.
    record: String,
}

impl StoredShown {
    fn of(record: &AuditRecord) -> Self {
        Self {
            number: record.number,
            record: BASE64_STANDARD.encode(&record.stored),
        }
    }
}

/// A record as lists and exports have it.
pub(crate) fn shown(record: &AuditRecord) -> serde_json::Value {
    serde_json::to_value(Shown::of(record)).unwrap_or_default()
}

#[derive(Debug, Default, Serialize)]
struct VerifiedShown {
    /// `whole`, `partial` or `damaged`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    /// Of a whole chain that has records: its last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Known>,
    /// How far a part came: `from` of the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Known>,
    /// Which record is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl VerifiedShown {
    fn of(verification: Verification) -> Self {
        match verification {
            Verification::Whole(verified) => Self {
                result: "whole",
                records: Some(verified.records),
                first: Some(verified.first),
                head: verified.head.map(Known::from),
                ..Self::default()
            },
            Verification::Until { at, first, last } => Self {
                result: "partial",
                first: Some(first),
                last: Some(last),
                at: Some(at.into()),
                ..Self::default()
            },
        }
    }
}

/// What [`page`] has made a cursor of.
fn position(cursor: &str) -> Result<(Order, Option<u64>), Failure> {
    let order = match cursor.as_bytes().first() {
        Some(b'a') => Some(Order::Ascending),
        Some(b'd') => Some(Order::Descending),
        Some(_) | None => None,
    };
    let number = cursor.get(1..).and_then(|number| number.parse().ok());
    match (order, number) {
        (Some(order), Some(number)) => Ok((order, Some(number))),
        _ => Err(Failure::field(
            ErrorCode::Invalid,
            "cursor",
            "give the cursor of the page before, or none",
        )),
    }
}

fn moment(field: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else {
        return Ok(None);
    };
    match time::parse(text) {
        Some(ms) => Ok(Some(ms)),
        None => Err(Failure::field(
            ErrorCode::Invalid,
            field,
            "give an RFC 3339 time, for example 2026-01-31T12:00:00Z",
        )),
    }
}

fn short(field: &str, text: Option<String>) -> Result<Option<String>, Failure> {
    match text {
        Some(text) if text.len() > AUDIT_TEXT_BYTES_MAX => Err(Failure::field(
            ErrorCode::Invalid,
            field,
            format!("no record has one of over {AUDIT_TEXT_BYTES_MAX} bytes"),
        )),
        text => Ok(text),
    }
}

fn raw(value: &impl Serialize) -> Result<Box<RawValue>, Failure> {
    serde_json::value::to_raw_value(value).map_err(|error| {
        tracing::error!(%error, "an audit record is no JSON");
        let message = "the answer cannot be made; the node's log says more";
        Failure::new(ErrorCode::Internal, message)
    })
}

/// Room for the frame around it, within [`INLINE_BYTES_MAX`]. One record of the largest size fits.
const PAGE_BYTES_MAX: usize = INLINE_BYTES_MAX - 1_024;
