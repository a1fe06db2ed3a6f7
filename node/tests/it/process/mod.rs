//! The `selvedge` binary as a user runs it: real processes, real sockets, a real disk, real signals.

mod demo;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

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

/// Standard output as JSON; fails with everything the command said.
pub(crate) fn json(output: &Output) -> Value {
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

/// A `selvedge dev` process that is ready to serve.
#[derive(Debug)]
pub(crate) struct Dev {
    child: Child,
    pub(crate) data_dir: PathBuf,
    pub(crate) ready: Value,
}

impl Dev {
    /// Starts a node on a data directory and a port, 0 for any.
    pub(crate) fn start(data_dir: &Path, port: u16) -> Self {
        let mut child = selvedge()
            .args([
                "dev",
                "--output",
                "json",
                "--quic",
                &format!("127.0.0.1:{port}"),
            ])
            .args([
                "--http",
                "127.0.0.1:0",
                "--peer",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It prints its addresses when it is ready, so reading them is waiting for it.
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self {
            child,
            data_dir: data_dir.to_owned(),
            ready,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        let address = self.ready["quic"].as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// A client command against this node, with JSON output.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = selvedge();
        command
            .args(arguments)
            .args(["--output", "json", "--data-dir"])
            .arg(&self.data_dir);
        command
    }

    /// The JSON that a client command prints; the command must succeed.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let output = run(&mut self.client(arguments));
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        json(&output)
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        terminate(&self.child);
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
}

/// Waits for a child, or kills it with -9 when the time is over; says which.
pub(crate) fn end_within(mut child: Child, time: Duration) -> Option<ExitStatus> {
    let (sender, ended): (_, Receiver<()>) = channel();
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
