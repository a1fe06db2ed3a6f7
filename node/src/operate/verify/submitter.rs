//! Submits operations, some more than once, and follows each to its end: digests, whose result is known, and sagas
//! that append to an actor, whose list shows how often each step was done.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_client::{
    CallError, Client, Operation, OperationEvent, OperationId, OperationType, Session, Since,
    StepStatus, Submit,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Duration, timeout};

use crate::operate::failure::CommandFailure;
use crate::operate::verify::check::effects::{Fate, Intent};
use crate::operate::verify::check::operations::{Ended, Job, JobEvent, Seen};
use crate::operate::verify::run::{Choices, Run};

/// What a submitter has seen.
#[derive(Debug, Default)]
pub(super) struct Submitted {
    pub(super) jobs: Vec<Job>,
    /// What its sagas have appended.
    pub(super) intents: Vec<Intent>,
}

/// An operation to be submitted, and what it should come to.
struct Task {
    submit: Submit,
    id: OperationId,
    steps: Vec<String>,
    expected: Value,
    tags: Vec<u64>,
}

/// Submits one operation after the other until the run is over.
pub(super) async fn submit(run: Arc<Run>, number: u64) -> Result<Submitted, CommandFailure> {
    let choices = run.choices(SUBMITTERS + number);
    let client = run.connect().await?;
    let mut submitted = Submitted::default();
    for count in 0..JOBS_MAX {
        if run.is_over() {
            break;
        }
        let id = OperationId::new(format!("{}-{number}-{count}", run.name))
            .map_err(|error| CommandFailure::failed(error.to_string()))?;
        let task = match choices.below(2) {
            0 => digest(&choices, id),
            _ => saga(&run, id),
        }?;
        let job = follow(&client, &choices, &task).await?;
        let is_done = job
            .end
            .as_ref()
            .is_some_and(|end| end.status == "succeeded");
        let fate = match is_done {
            true => Fate::Acknowledged { seq: None },
            false => Fate::Unknown,
        };
        let intents = task.tags.iter().map(|&tag| Intent { tag, fate });
        submitted.intents.extend(intents);
        submitted.jobs.push(job);
    }
    client.close().await;
    Ok(submitted)
}

fn digest(choices: &Choices, id: OperationId) -> Result<Task, CommandFailure> {
    let length = choices.index(PAYLOAD_BYTES_MAX);
    let payload: Vec<u8> = (0..length)
        .map(|_| choices.below(256).to_le_bytes()[0])
        .collect();
    let sha256 = Sha256::digest(&payload)
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
    let expected = json!({
        "sha256": sha256, "blake3": blake3::hash(&payload).to_hex().as_str(), "bytes": length,
    });
    let submit = Submit::new(operation_type("digest")?).id(id.clone());
    Ok(Task {
        submit: submit.payload(Bytes::from(payload)),
        id,
        steps: vec!["digest".to_owned()],
        expected,
        tags: Vec::new(),
    })
}

fn saga(run: &Run, id: OperationId) -> Result<Task, CommandFailure> {
    let tags = vec![run.tag(), run.tag()];
    let append = |tag: &u64| json!({ "command": { "actor": run.sent.name, "name": "append", "body": { "item": tag } } });
    let steps: Vec<_> = tags
        .iter()
        .map(|tag| json!({ "name": format!("append-{tag}"), "run": append(tag) }))
        .collect();
    let names: Vec<_> = tags.iter().map(|tag| format!("append-{tag}")).collect();
    let results: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (name.clone(), Value::Null))
        .collect();
    let submit = Submit::new(operation_type("saga")?).id(id.clone());
    Ok(Task {
        submit: submit.input(&json!({ "steps": steps }))?,
        id,
        steps: names,
        expected: json!({ "steps": results }),
        tags,
    })
}

fn operation_type(name: &str) -> Result<OperationType, CommandFailure> {
    OperationType::new(name).map_err(|error| CommandFailure::failed(error.to_string()))
}

/// Submits an operation, by chance twice, waits for its end and submits it once more.
async fn follow(client: &Client, choices: &Choices, task: &Task) -> Result<Job, CommandFailure> {
    let session = client.session();
    let mut submits = vec![seen(&insist(session, task).await?)];
    if choices.below(3) == 0 {
        submits.push(seen(&insist(session, task).await?));
    }
    let mut events = Vec::new();
    let ended = timeout(END_PATIENCE, watch(session, &task.id, &mut events)).await;
    let mut end = None;
    if let Ok(watched) = ended {
        watched?;
        let operation = session.operation(&task.id).await?;
        if operation.status.is_final() {
            end = Some(last(&operation));
        }
        if choices.below(2) == 0 {
            submits.push(seen(&insist(session, task).await?));
        }
    }
    Ok(Job {
        id: task.id.to_string(),
        steps: task.steps.clone(),
        expected: task.expected.to_string(),
        submits,
        end,
        events,
    })
}

/// Submits until it is known to be accepted: with its id that is safe.
async fn insist(session: &Session, task: &Task) -> Result<Operation, CallError> {
    let mut tries = TRIES_MAX;
    loop {
        match session.submit(task.submit.clone()).await {
            Err(CallError::OutcomeUnknown) if tries > 0 => tries -= 1,
            other => return other,
        }
    }
}

/// Collects the events up to the final one.
async fn watch(
    session: &Session,
    id: &OperationId,
    events: &mut Vec<JobEvent>,
) -> Result<(), CallError> {
    let mut watch = session.watch(id, Since::After(0)).await?;
    while let Some(event) = watch.next().await {
        events.push(told(&event?));
    }
    Ok(())
}

fn told(event: &OperationEvent) -> JobEvent {
    let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let step = (event.event_type == "step.finished").then(|| data["step"].as_str());
    JobEvent {
        seq: event.seq,
        kind: event.event_type.clone(),
        step: step.flatten().map(str::to_owned),
        is_final: event.final_status().is_some(),
    }
}

fn seen(operation: &Operation) -> Seen {
    Seen {
        created_at: operation.created_at.clone(),
        result: result(operation),
    }
}

/// As JSON text whose fields are in order.
fn result(operation: &Operation) -> Option<String> {
    operation.result.as_ref()?;
    operation
        .result_as::<Value>()
        .ok()
        .map(|value| value.to_string())
}

fn last(operation: &Operation) -> Ended {
    let done = operation
        .steps
        .iter()
        .filter(|step| step.status == StepStatus::Succeeded);
    Ended {
        status: operation.status.name().to_owned(),
        seen: seen(operation),
        steps: done.map(|step| step.name.clone()).collect(),
    }
}

/// Keeps the decisions of submitters apart from those of clients.
const SUBMITTERS: u64 = 1 << 32;
/// Operations of one submitter: what is kept of them stays under some hundred megabytes.
const JOBS_MAX: u64 = 50_000;
/// Small: the bytes are not what is verified.
const PAYLOAD_BYTES_MAX: usize = 2_048;
/// Unknown outcomes in a row.
const TRIES_MAX: u32 = 10;
/// From the submit to the end, restarts included: the work itself takes milliseconds.
const END_PATIENCE: Duration = Duration::from_secs(60);
