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
    let mut client = run.connect().await?;
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
        let job = follow(&run, &mut client, &choices, &task).await?;
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
async fn follow(
    run: &Run,
    client: &mut Client,
    choices: &Choices,
    task: &Task,
) -> Result<Job, CommandFailure> {
    let mut submits = vec![seen(&insist(run, client, task).await?)];
    if choices.below(3) == 0 {
        submits.push(seen(&insist(run, client, task).await?));
    }
    let mut events = Vec::new();
    let ended = timeout(END_PATIENCE, watch(run, client, &task.id, &mut events)).await;
    let mut end = None;
    if let Ok(watched) = ended {
        watched?;
        let operation = look(run, client, &task.id).await?;
        if operation.status.is_final() {
            end = Some(last(&operation));
        }
        if choices.below(2) == 0 {
            submits.push(seen(&insist(run, client, task).await?));
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
async fn insist(run: &Run, client: &mut Client, task: &Task) -> Result<Operation, CommandFailure> {
    let mut tries = TRIES_MAX;
    loop {
        match client.session().submit(task.submit.clone()).await {
            Ok(operation) => return Ok(operation),
            Err(error) => go_on(run, client, error, &mut tries).await?,
        }
    }
}

async fn look(
    run: &Run,
    client: &mut Client,
    id: &OperationId,
) -> Result<Operation, CommandFailure> {
    let mut tries = TRIES_MAX;
    loop {
        match client.session().operation(id).await {
            Ok(operation) => return Ok(operation),
            Err(error) => go_on(run, client, error, &mut tries).await?,
        }
    }
}

/// Collects the events up to the final one.
async fn watch(
    run: &Run,
    client: &mut Client,
    id: &OperationId,
    events: &mut Vec<JobEvent>,
) -> Result<(), CommandFailure> {
    let mut tries = TRIES_MAX;
    loop {
        let heard = events.last().map_or(0, |event| event.seq);
        match watch_on(client.session(), id, heard, events).await {
            Ok(()) => return Ok(()),
            Err(error) => go_on(run, client, error, &mut tries).await?,
        }
    }
}

async fn watch_on(
    session: &Session,
    id: &OperationId,
    heard: u64,
    events: &mut Vec<JobEvent>,
) -> Result<(), CallError> {
    let mut watch = session.watch(id, Since::After(heard)).await?;
    while let Some(event) = watch.next().await {
        events.push(told(&event?));
    }
    Ok(())
}

/// Whether it is worth another try after an error, which it is where only the way to the node was broken: gets
/// another session if this one is lost.
async fn go_on(
    run: &Run,
    client: &mut Client,
    error: CallError,
    tries: &mut u32,
) -> Result<(), CommandFailure> {
    let is_passing = match &error {
        CallError::Closed => {
            *client = run.connect().await?;
            true
        }
        CallError::OutcomeUnknown | CallError::Timeout => true,
        CallError::Failure(failure) => failure.code.may_be_retried(),
        CallError::Payload(_) | CallError::Json(_) | CallError::Id(_) => false,
    };
    if !is_passing || *tries == 0 {
        return Err(error.into());
    }
    *tries -= 1;
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
/// Errors of one request that may pass. Each has been waited out by the session already.
const TRIES_MAX: u32 = 10;
/// From the submit to the end, restarts included: the work itself takes milliseconds.
const END_PATIENCE: Duration = Duration::from_secs(60);
