//! A node of our own, in a process of its own, that is killed and started again on the same directory and port.

use std::fs::File;
use std::net::UdpSocket;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use selvedge_client::ClientBuilder;
use selvedge_cluster::Clock;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, timeout};

use crate::operate::failure::CommandFailure;
use crate::operate::profile::Profile;

/// The node. Its process ends with this value.
#[derive(Debug)]
pub(super) struct OwnNode {
    dir: TempDir,
    profile: Profile,
    process: Process,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Kept open: a node whose reader went away ends.
    _output: BufReader<ChildStdout>,
}

/// What a node says when it is ready, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    quic: String,
    token: String,
    ca_file: PathBuf,
}

impl OwnNode {
    /// Starts a node in a new directory.
    pub(super) async fn start() -> Result<Self, CommandFailure> {
        let dir = tempfile::Builder::new()
            .prefix("selvedge-verify-")
            .tempdir()
            .map_err(|error| CommandFailure::file(&std::env::temp_dir(), &error))?;
        let address = free_address(&Clock::system());
        let (process, ready) = spawn(dir.path(), &address).await?;
        let profile = Profile {
            server: ready.quic,
            ca_file: ready.ca_file,
            token: ready.token,
        };
        Ok(Self {
            dir,
            profile,
            process,
        })
    }

    pub(super) fn builder(&self) -> ClientBuilder {
        self.profile.builder()
    }

    /// SIGKILL, and a new process in its place.
    pub(super) async fn kill_and_restart(&mut self) -> Result<(), CommandFailure> {
        kill(&mut self.process.child).await?;
        let (process, _) = spawn(self.dir.path(), &self.profile.server).await?;
        self.process = process;
        Ok(())
    }

    /// Completes when the node ends by itself, which it should not.
    pub(super) async fn ended(&mut self) -> CommandFailure {
        let status = self.process.child.wait().await;
        unexpected(self.dir.path(), status.ok())
    }

    /// Ends the node. Returns where its data and log are, if they are to be kept.
    pub(super) async fn stop(mut self, is_kept: bool) -> Option<PathBuf> {
        // It is waited for as well: nothing is left running, and nothing writes to the directory any more.
        let _ = kill(&mut self.process.child).await;
        is_kept.then(|| self.dir.keep())
    }
}

/// A free address whose port the system gives to nobody who does not ask for it: while the node is down, a client
/// that connects anew could else get it.
fn free_address(clock: &Clock) -> String {
    let mut ports = (0..PORT_TRIES).map(|_| PORTS.start + clock.random() % PORTS_COUNT);
    let is_free = |port: &u64| {
        let address = format!("127.0.0.1:{port}");
        UdpSocket::bind(address).is_ok()
    };
    // Where none is found the system shall choose.
    let port = ports.find(is_free).unwrap_or(0);
    format!("127.0.0.1:{port}")
}

async fn kill(child: &mut Child) -> Result<(), CommandFailure> {
    child
        .kill()
        .await
        .map_err(|error| CommandFailure::failed(format!("the node cannot be killed: {error}")))
}

async fn spawn(dir: &Path, quic: &str) -> Result<(Process, Ready), CommandFailure> {
    let failed = |error: std::io::Error| {
        CommandFailure::failed(format!("a node cannot be started: {error}"))
    };
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    for (name, _) in std::env::vars_os() {
        // What configures other nodes is not meant for this one.
        if name.to_string_lossy().starts_with("SELVEDGE_") {
            command.env_remove(name);
        }
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join(LOG))
        .map_err(failed)?;
    command
        .args(["dev", "--output", "json", "--quic", quic])
        .args([
            "--http",
            "127.0.0.1:0",
            "--peer",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(dir.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C is for us: who would drain the node would take it from those who still talk to it.
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let Some(output) = child.stdout.take() else {
        return Err(CommandFailure::failed("the node has no standard output"));
    };
    let mut output = BufReader::new(output);
    let mut line = String::new();
    let read = timeout(START_PATIENCE, output.read_line(&mut line)).await;
    match read {
        Ok(Ok(read)) if read > 0 => {}
        Ok(_) => return Err(unexpected(dir, child.wait().await.ok())),
        Err(_) => {
            let message = format!("the node was not ready within {START_PATIENCE:?}");
            return Err(CommandFailure::failed(message));
        }
    }
    let ready = serde_json::from_str(&line).map_err(|error| {
        CommandFailure::failed(format!("the node is not ready: {error}: {line}"))
    })?;
    let process = Process {
        child,
        _output: output,
    };
    Ok((process, ready))
}

/// With the last lines of its log, for the directory goes.
fn unexpected(dir: &Path, status: Option<ExitStatus>) -> CommandFailure {
    let log = std::fs::read_to_string(dir.join(LOG)).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n  ");
    let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
    CommandFailure::failed(format!("the node ended by itself ({status}):\n  {last}"))
}

/// Below those that Linux and the IANA give out for a moment (from 32,768).
const PORTS: Range<u64> = 20_000..32_000;
const PORTS_COUNT: u64 = PORTS.end - PORTS.start;
/// Ports that are tried: most are free.
const PORT_TRIES: u32 = 64;
/// Beside the data.
const LOG: &str = "node.log";
/// Lines of the log that tell why it ended.
const LINES_MAX: usize = 20;
/// Longer than a recovery of all that a run can write.
const START_PATIENCE: Duration = Duration::from_secs(60);
