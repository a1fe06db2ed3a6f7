//! `selvedge worker run`: executes steps by running a local program for each, so that any language can be a
//! worker.
//!
//! The program gets the task on standard input, JSON, the payload in a file, and prints its result. Exit code 0 is success, 75
//! (EX_TEMPFAIL) and an end by a signal ask for another attempt, any other fails the operation. With 75 it may print how long
//! the next attempt shall wait. The processes of a run are a group, which ends with a cancel and with this program, unless that is killed: to have
//! them end even then takes a call between fork and exec, and so unsafe code.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use selvedge_client::{CallError, Task, WorkError, Worker};
use selvedge_protocol::limits::INLINE_BYTES_MAX;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::operate::cli::{WorkerCommand, WorkerRun};
use crate::operate::failure::CommandFailure;
use crate::operate::output::Printer;
use crate::operate::profile::connect;

mod payload;

use payload::PayloadFile;

/// Where the program finds the payload, if the operation has one.
const PAYLOAD_VARIABLE: &str = "SELVEDGE_PAYLOAD_FILE";
/// The exit code of a program that wants another attempt: EX_TEMPFAIL of sysexits.h.
const TRY_AGAIN: i32 = 75;
/// What is kept of the end of standard error, for the message of a failure: some lines.
const ERROR_BYTES_MAX: usize = 2 * 1024;
/// Between SIGTERM and SIGKILL: what winds down in more time is not worth waiting for.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// Longer than that grace, for the program is killed by then.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

pub(crate) async fn run(printer: Printer, command: WorkerCommand) -> Result<(), CommandFailure> {
    match command {
        WorkerCommand::Run(run) => work(printer, run).await,
    }
}

async fn work(printer: Printer, run: WorkerRun) -> Result<(), CommandFailure> {
    let failed = |error: std::io::Error| CommandFailure::failed(format!("signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let client = connect(&run.client).await?;
    let program = Arc::new(Program {
        command: run.command,
        give_up: Notify::new(),
        is_given_up: AtomicBool::new(false),
    });
    let mut builder = Worker::builder(&client)
        .capacity(run.capacity)
        .cancel_grace(CANCEL_GRACE);
    for name in &run.types {
        let program = Arc::clone(&program);
        builder = builder.operation_type(name.as_str(), move |task| {
            let program = Arc::clone(&program);
            async move { program.execute(printer, task).await }
        });
    }
    let worker = builder.build()?;
    printer.warn(&format!(
        "executing {}; Ctrl-C finishes what is running, a second one kills it",
        run.types
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    ));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut running = std::pin::pin!(worker.run_until(async {
        // Dropped is as good as sent.
        let _ = stopped.await;
    }));
    let mut stop = Some(stop);
    let ended: Result<(), CallError> = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        match stop.take() {
            Some(stop) => drop(stop),
            None => program.give_up(),
        }
    };
    client.close().await;
    Ok(ended?)
}

/// What is run for each task.
struct Program {
    command: Vec<String>,
    /// Tells that nothing is worth waiting for any more.
    give_up: Notify,
    is_given_up: AtomicBool,
}

/// What came of a run.
struct Ran {
    status: ExitStatus,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Program {
    async fn execute(&self, printer: Printer, task: Task) -> Result<Box<RawValue>, WorkError> {
        let done = self.run(&task).await;
        let error = done.as_ref().err().map(ToString::to_string);
        let document = json!({
            "operation": task.operation(),
            "type": task.operation_type(),
            "step": task.step(),
            "attempt": task.attempt(),
            "isCancelled": task.is_cancelled(),
            "error": error,
        });
        printer.result(&document, |_| {
            let outcome = match &error {
                _ if task.is_cancelled() => "cancelled".to_owned(),
                None => "done".to_owned(),
                Some(error) => format!("failed: {error}"),
            };
            let attempt = task.attempt();
            format!(
                "{}  {}  attempt {attempt}  {outcome}",
                task.operation(),
                task.step()
            )
        });
        done
    }

    async fn run(&self, task: &Task) -> Result<Box<RawValue>, WorkError> {
        // Kept until the program has ended.
        let payload = tokio::select! {
            payload = PayloadFile::of(task) => payload?,
            () = self.unwanted(task) => return Err(stopped()),
        };
        let payload = payload.as_ref().map(PayloadFile::path);
        let mut child = self.start(payload).map_err(|error| {
            // Nothing is wrong with the operation: the program may be there again, or elsewhere.
            WorkError::retryable(format!("{} cannot be started: {error}", self.name()))
        })?;
        let group = Group::of(&child);
        let ran = tokio::select! {
            ran = talk(&mut child, input(task, payload)) => ran?,
            () = self.unwanted(task) => {
                group.end(&mut child).await;
                return Err(stopped());
            }
        };
        group.forget();
        result(self.name(), &ran)
    }

    fn start(&self, payload: Option<&Path>) -> std::io::Result<Child> {
        let Some((name, arguments)) = self.command.split_first() else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let mut command = Command::new(name);
        match payload {
            Some(path) => command.env(PAYLOAD_VARIABLE, path),
            None => command.env_remove(PAYLOAD_VARIABLE),
        };
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C is for this program, and a cancel for all that its child started.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
        self.give_up.notify_waiters();
    }

    /// Completes when the task is cancelled, or all are given up.
    async fn unwanted(&self, task: &Task) {
        let given_up = self.give_up.notified();
        if self.is_given_up.load(Ordering::SeqCst) {
            return;
        }
        tokio::select! {
            () = task.cancelled() => {}
            () = given_up => {}
        }
    }
}

/// The processes of a run. Dropped before they have ended, they are killed.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Asks them to end, then kills them.
    async fn end(self, child: &mut Child) {
        self.send(Signal::TERM);
        // What it still prints is of no use; its end closes the pipes.
        let _ = tokio::time::timeout(KILL_GRACE, child.wait()).await;
    }

    fn send(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // They may have ended by themselves.
            let _ = kill_process_group(group, signal);
        }
    }

    /// They have ended; their number may be another's.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::KILL);
    }
}

fn stopped() -> WorkError {
    WorkError::retryable("the program was stopped")
}

/// Gives the program its input, and takes what it says until it has ended.
async fn talk(child: &mut Child, input: Vec<u8>) -> Result<Ran, WorkError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program need not read its input.
            let _ = stdin.write_all(&input).await;
        }
    };
    let ((), output, errors) = tokio::join!(write, head(stdout), tail(stderr));
    let status = child.wait().await;
    Ok(Ran {
        status: status?,
        output: output?,
        errors,
    })
}

/// The task as the program sees it.
fn input(task: &Task, payload: Option<&Path>) -> Vec<u8> {
    let input = serde_json::from_slice::<Value>(task.input_text()).unwrap_or_default();
    let mut document = json!({
        "operation": task.operation(),
        "type": task.operation_type(),
        "step": task.step(),
        "attempt": task.attempt(),
        "input": input,
        "idempotencyKey": task.idempotency_key(),
    });
    if let Some(path) = payload {
        document["payloadFile"] = path.to_string_lossy().into();
    }
    let mut text = document.to_string().into_bytes();
    text.push(b'\n');
    text
}

/// All that is printed, up to what a result may have, and a byte more that tells of too much.
async fn head(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        let max = INLINE_BYTES_MAX as u64 + 1;
        (&mut from).take(max).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

/// The end of what is printed.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else {
        return bytes;
    };
    let mut chunk = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        bytes.extend_from_slice(&chunk[..count]);
        let surplus = bytes.len().saturating_sub(ERROR_BYTES_MAX);
        bytes.drain(..surplus);
    }
    bytes
}

/// What a program that has ended says.
fn result(name: &str, ran: &Ran) -> Result<Box<RawValue>, WorkError> {
    let said = String::from_utf8_lossy(&ran.errors);
    let said = match said.trim() {
        "" => String::new(),
        said => format!(": {said}"),
    };
    match (ran.status.code(), ran.status.signal()) {
        (Some(0), _) if ran.output.len() > INLINE_BYTES_MAX => Err(WorkError::permanent(format!(
            "{name} printed more than {INLINE_BYTES_MAX} bytes; store the result elsewhere and print \
             where"
        ))),
        (Some(0), _) => Ok(value(&ran.output)?),
        (Some(TRY_AGAIN), _) => {
            let error = WorkError::retryable(format!("{name} asks for another attempt{said}"));
            Err(match retry_after(&ran.output) {
                Some(wait) => error.retry_after(wait),
                None => error,
            })
        }
        (Some(code), _) => Err(WorkError::permanent(format!(
            "{name} ended with exit code {code}{said}"
        ))),
        (None, signal) => Err(WorkError::retryable(format!(
            "{name} was ended by signal {}{said}",
            signal.unwrap_or_default()
        ))),
    }
}

/// How long the next attempt shall wait, if that was printed.
fn retry_after(output: &[u8]) -> Option<Duration> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Printed {
        retry_after_ms: u64,
    }
    let printed: Printed = serde_json::from_slice(output).ok()?;
    Some(Duration::from_millis(printed.retry_after_ms))
}

/// What was printed: as it is if it is JSON, else as text; nothing is null.
fn value(output: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let text = String::from_utf8_lossy(output);
    match text.trim() {
        "" => RawValue::from_string("null".to_owned()),
        text => RawValue::from_string(text.to_owned())
            .or_else(|_| serde_json::value::to_raw_value(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(raw_status: i32, output: &str, errors: &str) -> Result<String, String> {
        let ran = Ran {
            status: ExitStatus::from_raw(raw_status),
            output: output.as_bytes().to_vec(),
            errors: errors.as_bytes().to_vec(),
        };
        result("program", &ran)
            .map(|value| value.get().to_owned())
            .map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn what_a_program_prints_is_its_result() {
        for (printed, result) in [
            ("{\"a\": 1}\n", "{\"a\": 1}"),
            ("two words\n", "\"two words\""),
            ("", "null"),
            ("{ broken", "\"{ broken\""),
        ] {
            assert_eq!(ran(0, printed, ""), Ok(result.to_owned()));
        }
        let long = ran(0, &"x".repeat(INLINE_BYTES_MAX + 1), "").unwrap_err();
        assert!(long.contains("is_retryable: false"), "{long}");
    }

    #[test]
    fn how_a_program_ends_says_whether_to_try_again() {
        let code = |code: i32| code << 8;
        let cases = [
            (code(TRY_AGAIN), true, "busy"),
            (code(1), false, "exit code 1: busy"),
            (9, true, "signal 9: busy"),
        ];
        for (status, is_retryable, message) in cases {
            let error = ran(status, "", "busy\n").unwrap_err();
            assert!(
                error.contains(&format!("is_retryable: {is_retryable}")),
                "{error}"
            );
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_program_may_say_when_to_try_again() {
        for (printed, said) in [
            ("{\"retryAfterMs\": 1500}\n", "Some(1.5s)"),
            ("{\"retryAfterMs\": -1}", "None"),
            ("later", "None"),
            ("", "None"),
        ] {
            let error = ran(TRY_AGAIN << 8, printed, "").unwrap_err();
            assert!(error.contains(&format!("retry_after: {said}")), "{error}");
        }
    }

    #[tokio::test]
    async fn of_errors_the_end_is_kept() {
        let text = vec![b'a'; 10 * ERROR_BYTES_MAX];
        let text = [&text[..], b"the end"].concat();
        let kept = tail(Some(&text[..])).await;
        assert_eq!(kept.len(), ERROR_BYTES_MAX);
        assert!(kept.ends_with(b"the end"));
    }
}
