//! A node in a process of its own. The process ends with its value, whether it runs or is stopped, and with this
//! process, however that ends.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, timeout};

use crate::operate::failure::CommandFailure;
use crate::operate::tie::Tie;

/// How a node is started.
#[derive(Debug)]
pub(super) struct Program {
    /// What failures call it.
    pub(super) name: String,
    /// Where what it says on standard error is collected.
    pub(super) log: PathBuf,
    /// The flags and subcommand.
    pub(super) arguments: Vec<OsString>,
}

/// A node that is ready.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    _tie: Tie,
    /// Kept open: a node whose reader went away ends.
    _output: BufReader<ChildStdout>,
}

/// What a node says when it is ready, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    pub(super) quic: Option<String>,
    pub(super) token: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
}

/// Why a node does not run.
#[derive(Debug)]
pub(super) enum StartFailure {
    /// It ended before it was ready.
    Ended(Option<ExitStatus>),
    /// Anything else.
    Other(CommandFailure),
}

impl Program {
    /// Starts it and waits until it is ready.
    pub(super) async fn start(&self) -> Result<(Running, Ready), StartFailure> {
        let failed = |error: std::io::Error| self.other(format!("cannot be started: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        for (name, _) in std::env::vars_os() {
            // What configures other nodes is not meant for this one, but for how much is told.
            if name.to_string_lossy().starts_with("SELVEDGE_") && name != LOG_VARIABLE {
                command.env_remove(name);
            }
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(failed)?;
        command
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for us: who would drain the node would take it from those who still talk to it.
            .process_group(0)
            .kill_on_drop(true);
        Tie::prepare(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let tie = Tie::of(&mut child);
        let Some(output) = child.stdout.take() else {
            return Err(self.other("has no standard output"));
        };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        let read = timeout(START_PATIENCE, output.read_line(&mut line)).await;
        match read {
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) => return Err(StartFailure::Ended(child.wait().await.ok())),
            Err(_) => return Err(self.other(format!("was not ready within {START_PATIENCE:?}"))),
        }
        let ready = serde_json::from_str(&line)
            .map_err(|error| self.other(format!("is not ready: {error}: {line}")))?;
        let running = Running {
            child,
            _tie: tie,
            _output: output,
        };
        Ok((running, ready))
    }

    fn other(&self, what: impl std::fmt::Display) -> StartFailure {
        StartFailure::Other(CommandFailure::failed(format!("{} {what}", self.name)))
    }

    /// Its end, with the last lines of its log.
    pub(super) fn unexpected(&self, status: Option<ExitStatus>) -> CommandFailure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n  ");
        let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        CommandFailure::failed(format!(
            "{} ended by itself ({status}):\n  {last}",
            self.name
        ))
    }

    pub(super) fn failure(&self, failure: StartFailure) -> CommandFailure {
        match failure {
            StartFailure::Ended(status) => self.unexpected(status),
            StartFailure::Other(failure) => failure,
        }
    }
}

impl Running {
    /// SIGKILL, which ends a stopped process as well. Does not wait.
    pub(super) fn begin_kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.start_kill();
    }

    /// SIGKILL; afterwards nothing of it is left.
    pub(super) async fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill().await
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) -> std::io::Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        match id.and_then(Pid::from_raw) {
            Some(process) => Ok(kill_process(process, signal)?),
            None => Ok(()),
        }
    }

    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

/// The log of a process that is called so.
pub(super) fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

/// How much nodes say in their logs.
const LOG_VARIABLE: &str = "SELVEDGE_LOG";
/// Lines of the log that tell why it ended.
const LINES_MAX: usize = 20;
/// Longer than a recovery of all that a run can write.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(60);
