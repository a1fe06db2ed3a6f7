//! A node as a child process: started, heard until it is ready, told to end. It is tied to this process, and ends
//! when that does, however that ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use clap::CommandFactory;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, timeout};

use crate::operate::LOG;
use crate::operate::cli::Cli;
use crate::operate::commands::dev_cluster::files::NodeDirectory;
use crate::operate::tie::Tie;

/// A node that can be started again and again.
#[derive(Debug, Clone)]
pub(super) struct Startable {
    /// This very program, as it was when the command began: the file may be replaced meanwhile.
    pub(super) program: PathBuf,
    pub(super) directory: NodeDirectory,
}

/// A process that was ready to serve.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) id: u32,
    pub(super) ready: Ready,
    _tie: Tie,
    /// Kept open: a node whose reader went away ends.
    _output: BufReader<ChildStdout>,
}

/// What a node says when it is ready, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    pub(super) quic: Option<String>,
    pub(super) peer: Option<String>,
    pub(super) http: Option<String>,
    pub(super) console: Option<String>,
}

impl Startable {
    pub(super) fn name(&self) -> &str {
        &self.directory.name
    }

    /// Starts the node and waits until it is ready; the error says what it said last.
    pub(super) async fn start(&self) -> Result<Process, String> {
        let failed = |error: io::Error| format!("cannot be started: {error}");
        let log = open_log(&self.directory.log).map_err(failed)?;
        let mut command = Command::new(&self.program);
        for variable in variables() {
            // The file says what they say, and they would come before it.
            command.env_remove(variable);
        }
        if std::env::var_os(LOG).is_none() {
            command.env(LOG, "info");
        }
        command
            .args(["start", "--output", "json", "--config"])
            .arg(&self.directory.config)
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for us, who end the nodes in order.
            .process_group(0)
            .kill_on_drop(true);
        Tie::prepare(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        let tie = Tie::of(&mut child);
        let (Some(output), Some(id)) = (child.stdout.take(), child.id()) else {
            return Err("has no standard output".to_owned());
        };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        match timeout(START_PATIENCE, output.read_line(&mut line)).await {
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) => {
                let status = child.wait().await.map_err(failed)?;
                return Err(format!("{}{}", told(status), self.last_words()));
            }
            Err(_) => {
                let _ = child.kill().await;
                let words = self.last_words();
                return Err(format!("was not ready within {START_PATIENCE:?}{words}"));
            }
        }
        let ready = serde_json::from_str(&line)
            .map_err(|error| format!("says that it is ready, but not how: {error}: {line}"))?;
        Ok(Process {
            child,
            id,
            ready,
            _tie: tie,
            _output: output,
        })
    }

    /// The last line of the log, which says why a node ended where it had the time.
    pub(super) fn last_words(&self) -> String {
        let end = end_of(&self.directory.log).unwrap_or_default();
        let end = String::from_utf8_lossy(&end);
        let last = end.lines().next_back().unwrap_or_default();
        match last.is_empty() {
            true => String::new(),
            false => format!(": {last}"),
        }
    }
}

impl Process {
    /// Completes when the process has ended; says how.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.child.wait().await {
            Ok(status) => Ended {
                is_in_order: status.success(),
                is_by_itself: status.signal().is_none(),
                how: told(status),
            },
            Err(error) => Ended {
                is_in_order: false,
                is_by_itself: true,
                how: format!("cannot be waited for: {error}"),
            },
        }
    }

    /// Lets the node drain, for so long at most, and waits for its end. The error says what became of it
    /// instead.
    pub(super) async fn stop(mut self, patience: Duration) -> Result<(), String> {
        self.send(Signal::TERM);
        // One that somebody stopped hears of it only then.
        self.send(Signal::CONT);
        match timeout(patience, self.ended()).await {
            Ok(ended) if ended.is_in_order => Ok(()),
            Ok(ended) => Err(ended.how),
            Err(_) => {
                let _ = self.child.kill().await;
                Err(format!("did not end within {patience:?} and was killed"))
            }
        }
    }

    fn send(&self, signal: Signal) {
        // Without an id it has ended.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            let _ = kill_process(id, signal);
        }
    }
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// As if told to.
    pub(super) is_in_order: bool,
    /// Not by a signal, so it had the time to say why.
    pub(super) is_by_itself: bool,
    pub(super) how: String,
}

fn told(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(0)) => "has ended in order".to_owned(),
        (None, Some(code)) => format!("has ended with exit code {code}"),
        (None, None) => "has ended".to_owned(),
    }
}

/// The variables that stand in for flags of `start`.
fn variables() -> Vec<std::ffi::OsString> {
    let cli = Cli::command();
    let start = cli.find_subcommand("start");
    let arguments = start.into_iter().flat_map(clap::Command::get_arguments);
    arguments
        .filter_map(|argument| argument.get_env().map(ToOwned::to_owned))
        .collect()
}

/// What a file ends with, enough for its last line.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LINE_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.take(LINE_BYTES_MAX).read_to_end(&mut end)?;
    Ok(end)
}

/// The log to append to; one that has grown long is put aside, and the one put aside before goes.
fn open_log(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.old"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// Longer than an error is.
const LINE_BYTES_MAX: u64 = 4 * 1024;
/// More than anybody reads of a development node.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longer than a recovery of all that a development store holds.
const START_PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_start_are_kept_from_children() {
        let variables = variables();
        for name in ["SELVEDGE_CONFIG", "SELVEDGE_QUIC", "SELVEDGE_READY_FILE"] {
            assert!(variables.iter().any(|it| it == name), "{variables:?}");
        }
        assert!(!variables.iter().any(|it| it == LOG));
    }

    #[tokio::test]
    async fn a_program_that_ends_at_once_is_told_with_its_last_words() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("node.log");
        std::fs::write(&log, "first\nerror: no\n").unwrap();
        let startable = Startable {
            program: "/bin/false".into(),
            directory: NodeDirectory {
                name: "node-1".into(),
                config: directory.path().join("node.toml"),
                log,
            },
        };
        let said = startable.start().await.unwrap_err();
        assert_eq!(said, "has ended with exit code 1: error: no");
    }
}
