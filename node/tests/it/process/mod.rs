//! The `selvedge` binary as a user runs it: real processes, real sockets, a real disk, real signals.

mod audit;
mod backup;
mod cluster;
mod cluster_nodes;
mod demo;
mod dev_cluster;
mod disk;
mod examples;
mod forms;
#[cfg(feature = "fdb-client")]
mod foundationdb;
mod issuers;
mod keys;
mod kill;
mod metrics;
mod person;
mod policy;
mod privacy;
mod schedules;
mod session;
mod storage;
mod tokens;
mod traffic;
mod users;
mod verbs;
mod verify;
mod worker;
mod wrong;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use selvedge_client::Client;
use serde_json::Value;

/// How long anything here may take before it counts as hung. Never a measure of speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary with no variable of the caller's that could change what it does.
pub(crate) fn selvedge() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SELVEDGE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

/// Runs a command that has to fail with this exit code; returns what it says.
pub(crate) fn fail(command: &mut Command, code: i32) -> String {
    let output = run(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    said
}

/// Standard output as JSON; fails with everything the command said.
pub(crate) fn json(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        text(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "no JSON ({error}): {} {}",
            text(&output.stdout),
            text(&output.stderr)
        )
    })
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where a node is and what opens it.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) server: String,
    pub(crate) ca: PathBuf,
    pub(crate) token: String,
}

impl Access {
    /// A client command against the node, with JSON output.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = selvedge();
        command
            .args(arguments)
            .args(["--output", "json", "--server", &self.server]);
        command
            .arg("--ca")
            .arg(&self.ca)
            .args(["--token", &self.token]);
        command
    }

    /// The JSON that a client command prints; the command must succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        json(&run(&mut self.client(arguments)))
    }

    /// A client in this process.
    pub(crate) async fn connect(&self) -> Client {
        let builder = Client::builder()
            .server(&self.server)
            .ca_file(&self.ca)
            .token(&self.token);
        builder.connect_timeout(PATIENCE).connect().await.unwrap()
    }
}

/// A node in a process of its own that is ready to serve. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    /// Kept open: a node whose reader went away ends.
    _output: BufReader<ChildStdout>,
    pub(crate) ready: Value,
}

impl Node {
    /// Starts a node and waits until it says, on standard output, that it is ready.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::try_spawn(command).unwrap_or_else(|status| panic!("{command:?}: {status}"))
    }

    /// The same for a node that may end instead.
    pub(crate) fn try_spawn(command: &mut Command) -> Result<Self, ExitStatus> {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        if output.read_line(&mut line).unwrap() == 0 {
            return Err(child.wait().unwrap());
        }
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Ok(Self {
            child,
            _output: output,
            ready,
        })
    }

    pub(crate) fn dev(data_dir: &Path) -> Self {
        Self::spawn(&mut dev(data_dir))
    }

    /// How to reach a node that made its own development files.
    pub(crate) fn access(&self) -> Access {
        let field = |name: &str| self.ready[name].as_str().unwrap().to_owned();
        Access {
            server: field("quic"),
            ca: field("caFile").into(),
            token: field("token"),
        }
    }

    /// Sends a signal that it survives.
    pub(crate) fn signal(&self, signal: &str) {
        send_signal(&self.child, signal);
    }

    /// The id of the process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, and says how the process ended.
    pub(crate) fn stop(mut self, signal: &str) -> ExitStatus {
        send_signal(&self.child, signal);
        self.child.wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `selvedge dev` on a free port, with its errors and warnings in a file beside the data directory.
pub(crate) fn dev(data_dir: &Path) -> Command {
    dev_at("127.0.0.1:0", data_dir)
}

/// The same at an address.
pub(crate) fn dev_at(quic: &str, data_dir: &Path) -> Command {
    let mut command = selvedge();
    command.args(["dev", "--output", "json", "--quic", quic]);
    command
        .args([
            "--http",
            "127.0.0.1:0",
            "--peer",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data_dir);
    command.stderr(append(&data_dir.with_extension("log")));
    command
}

/// What a node answers over HTTP, its head before its body.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A file to collect what several processes say.
pub(crate) fn append(path: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

/// A process that ends with the test, however that ends.
#[derive(Debug)]
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn send_signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", signal, &id])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits for a child with piped standard output, or kills it with -9 when the time is over; says which.
pub(crate) fn end_within(mut child: Child, time: Duration) -> Option<ExitStatus> {
    let (sender, ended) = channel::<()>();
    let mut output = child.stdout.take().unwrap();
    // Its standard output ends with it, however it ends.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut output, &mut std::io::sink());
        drop(sender);
    });
    match ended.recv_timeout(time) {
        Err(RecvTimeoutError::Disconnected) | Ok(()) => Some(child.wait().unwrap()),
        Err(RecvTimeoutError::Timeout) => {
            child.kill().unwrap();
            child.wait().unwrap();
            None
        }
    }
}

/// xorshift64 (Marsaglia 2003): the same moments and numbers in every run.
#[derive(Debug)]
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    /// A moment before `end`.
    pub(crate) fn before(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.number(u64::try_from(end.as_micros()).unwrap()))
    }

    /// A number below `end`.
    pub(crate) fn number(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
