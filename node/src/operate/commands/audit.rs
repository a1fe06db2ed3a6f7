//! `selvedge audit`: the audit trail, read from a node and verified by it; and exports, which need none.

mod export;
mod file;

use std::time::Duration;

use selvedge_client::Client;
use selvedge_protocol::Target;
use serde_json::{Map, Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::operate::cli::{Audit, AuditList, AuditVerify, OfChain};
use crate::operate::failure::CommandFailure;
use crate::operate::output::{Printer, table};
use crate::operate::profile::connect;

pub(crate) async fn run(printer: Printer, command: Audit) -> Result<(), CommandFailure> {
    match command {
        Audit::List(flags) => list(printer, *flags).await,
        Audit::Export(flags) => export::run(printer, *flags).await,
        Audit::Verify(flags) => verify(printer, *flags).await,
    }
}

/// A chain at a node.
struct Remote {
    client: Client,
    chain: &'static str,
}

impl Remote {
    async fn of(of: &OfChain) -> Result<Self, CommandFailure> {
        let chain = if of.cluster { "cluster" } else { "tenant" };
        let client = connect(&of.client).await?;
        Ok(Self { client, chain })
    }

    async fn ask(
        &self,
        query: &str,
        mut body: Map<String, Value>,
    ) -> Result<Value, CommandFailure> {
        body.insert("chain".to_owned(), self.chain.into());
        let session = self.client.session();
        let answer = session.query(Target::Cluster, query, Value::Object(body));
        answer.json().await.map_err(CommandFailure::of_flags)
    }

    /// A page and the cursor of the next.
    async fn page(
        &self,
        body: Map<String, Value>,
    ) -> Result<(Vec<Value>, Option<Value>), CommandFailure> {
        let mut page = self.ask("audit.page", body).await?;
        let cursor = page["cursor"].take();
        let Value::Array(items) = page["items"].take() else {
            return Err(not_understood());
        };
        Ok((items, (!cursor.is_null()).then_some(cursor)))
    }
}

async fn list(printer: Printer, flags: AuditList) -> Result<(), CommandFailure> {
    let remote = Remote::of(&flags.of).await?;
    let (mut items, cursor) = collect(&remote, &flags).await?;
    if flags.follow {
        if flags.from.is_none() {
            items.reverse();
        }
        follow(printer, &remote, &flags, items).await?;
    } else {
        let page = json!({ "items": items, "cursor": cursor });
        printer.result(&page, |_| {
            let heading = [
                "NUMBER",
                "TIME",
                "PRINCIPAL",
                "ACTION",
                "TARGET",
                "OUTCOME",
                "DETAIL",
            ];
            let mut rows = vec![heading.map(str::to_owned).to_vec()];
            rows.extend(items.iter().map(row));
            table(&rows)
        });
    }
    remote.client.close().await;
    Ok(())
}

/// As many as are wanted, of as many pages as it takes; and where they end.
async fn collect(
    remote: &Remote,
    flags: &AuditList,
) -> Result<(Vec<Value>, Option<Value>), CommandFailure> {
    let wanted = usize::try_from(flags.limit).unwrap_or(usize::MAX);
    let mut body = filters(flags);
    if let Some(from) = flags.from {
        body.insert("from".to_owned(), from.into());
    }
    let mut all = Vec::new();
    loop {
        let limit = (wanted - all.len()).min(PAGE_LEN);
        body.insert("limit".to_owned(), limit.into());
        let (items, cursor) = remote.page(body.clone()).await?;
        all.extend(items);
        match cursor {
            Some(cursor) if all.len() < wanted => body.insert("cursor".to_owned(), cursor),
            cursor => return Ok((all, cursor)),
        };
    }
}

fn filters(flags: &AuditList) -> Map<String, Value> {
    let fields = [
        ("since", &flags.since),
        ("until", &flags.until),
        ("principal", &flags.principal),
        ("action", &flags.action),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| {
        let value = value.as_deref()?;
        Some((name.to_owned(), value.into()))
    });
    given.collect()
}

/// Prints these, then what comes after them, until it is interrupted.
async fn follow(
    printer: Printer,
    remote: &Remote,
    flags: &AuditList,
    items: Vec<Value>,
) -> Result<(), CommandFailure> {
    let line = |item: &Value| printer.result(item, |item| row(item).join("  "));
    items.iter().for_each(line);
    let last = items.last().and_then(|item| item["number"].as_u64());
    let mut body = filters(flags);
    body.insert("limit".to_owned(), PAGE_LEN.into());
    let from = match last {
        Some(last) => last + 1,
        None => flags.from.unwrap_or_default(),
    };
    // "After this" goes on to hold where there is nothing yet.
    body.insert("cursor".to_owned(), after(from.saturating_sub(1)));
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            interrupted = tokio::signal::ctrl_c() => {
                return interrupted.map_err(|error| CommandFailure::failed(error.to_string()));
            }
        }
        loop {
            let (items, cursor) = remote.page(body.clone()).await?;
            items.iter().for_each(line);
            let last = items.last().and_then(|item| item["number"].as_u64());
            let is_more = cursor.is_some();
            if let Some(next) = cursor.or_else(|| last.map(after)) {
                body.insert("cursor".to_owned(), next);
            }
            if !is_more {
                break;
            }
        }
    }
}

/// The cursor of what comes after a record.
fn after(number: u64) -> Value {
    format!("a{number}").into()
}

fn row(item: &Value) -> Vec<String> {
    let text = |name: &str| item[name].as_str().unwrap_or("-").to_owned();
    let outcome = match item["code"].as_str() {
        Some(code) => format!("{}: {code}", text("outcome")),
        None => text("outcome"),
    };
    let detail = match &item["detail"] {
        Value::Null => String::new(),
        detail => detail.to_string(),
    };
    vec![
        item["number"].to_string(),
        text("time"),
        text("principal"),
        text("action"),
        text("target"),
        outcome,
        detail,
    ]
}

async fn verify(printer: Printer, flags: AuditVerify) -> Result<(), CommandFailure> {
    let result = match &flags.file {
        Some(path) => file::verify(printer, path, flags.expect)?,
        None => {
            let remote = Remote::of(&flags.of).await?;
            let result = verify_remote(printer, &remote, flags.expect).await?;
            remote.client.close().await;
            result
        }
    };
    printer.result(&result, describe);
    match result["result"].as_str() {
        Some("whole") => Ok(()),
        _ => Err(CommandFailure::failed(match result["message"].as_str() {
            Some(message) => message.to_owned(),
            None => "the node's answer is not understood: use a selvedge of its version".to_owned(),
        })),
    }
}

/// Part by part, so that none takes long.
async fn verify_remote(
    printer: Printer,
    remote: &Remote,
    expect: Option<(u64, String)>,
) -> Result<Value, CommandFailure> {
    let mut body = Map::new();
    if let Some((number, hash)) = expect {
        body.insert(
            "expect".to_owned(),
            json!({ "number": number, "hash": hash }),
        );
    }
    let mut counter = printer.counter("records verified");
    let result = loop {
        let mut part = remote.ask("audit.verify", body.clone()).await?;
        if part["result"] != "partial" {
            break part;
        }
        let (at, first) = (part["at"]["number"].as_u64(), part["first"].as_u64());
        let (Some(at), Some(first)) = (at, first) else {
            return Err(not_understood());
        };
        counter.at((at + 1).saturating_sub(first));
        body.insert("from".to_owned(), part["at"].take());
    };
    counter.finish();
    Ok(result)
}

fn describe(result: &Value) -> String {
    let records = result["records"].as_u64().unwrap_or_default();
    if result["result"] != "whole" {
        return format!("damaged at record {}", result["number"]);
    }
    let head = &result["head"];
    match head["hash"].as_str() {
        None => "whole: there are no records".to_owned(),
        Some(hash) => {
            let (first, last) = (&result["first"], &head["number"]);
            format!(
                "whole: {records} records, the first is {first}\nhead: {last}:{hash}\n\
                 keep the head elsewhere, and verify with --expect {last}:{hash} from then on"
            )
        }
    }
}

fn not_understood() -> CommandFailure {
    CommandFailure::failed("the node's answer is not understood: use a selvedge of its version")
}

/// Records of one request.
const PAGE_LEN: usize = 500;
/// As often as a person looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
