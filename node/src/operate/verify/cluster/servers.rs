//! A FoundationDB of our own: its server processes, which are killed and started again.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use selvedge_cluster::Clock;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Duration, sleep};

use crate::operate::failure::CommandFailure;
use crate::operate::free_port;
use crate::operate::verify::child::{START_PATIENCE, log};

/// All servers of the database. They end with this value, and soon after this process, however that ends.
#[derive(Debug)]
pub(in crate::operate::verify) struct Servers {
    programs: Programs,
    /// Where their data and logs are.
    dir: PathBuf,
    cluster_file: PathBuf,
    servers: Vec<Server>,
}

/// What FoundationDB is run with.
#[derive(Debug, Clone)]
pub(in crate::operate::verify) struct Programs {
    server: PathBuf,
    cli: PathBuf,
}

/// One process, or the place of one.
#[derive(Debug)]
struct Server {
    name: String,
    address: SocketAddr,
    /// Keeps the port until it is started for the first time. Afterwards nobody holds it: one who listens there and
    /// says nothing would be another fault than a process that is gone.
    held: Option<TcpListener>,
    running: Option<Child>,
}

impl Programs {
    /// Those in a directory.
    pub(in crate::operate::verify) fn of(dir: &Path) -> Result<Self, CommandFailure> {
        let found = ["fdbserver", "fdbcli"].map(|name| dir.join(name));
        if let Some(missing) = found.iter().find(|path| !path.is_file()) {
            return Err(CommandFailure::usage(format!(
                "--fdb-bin: there is no {}; give the directory that has fdbserver and fdbcli",
                missing.display()
            )));
        }
        let [server, cli] = found;
        Ok(Self { server, cli })
    }
}

impl Servers {
    /// Makes everything that has to be there before they are started.
    pub(super) fn prepare(programs: Programs, dir: &Path) -> Result<Self, CommandFailure> {
        let clock = Clock::system();
        let server = |number: usize| {
            let held = free_port::tcp(&clock, Ipv4Addr::LOCALHOST.into());
            let server = held.and_then(|held| {
                Ok(Server {
                    name: format!("fdbserver-{}", number + 1),
                    address: held.local_addr()?,
                    held: Some(held),
                    running: None,
                })
            });
            server.map_err(|error| CommandFailure::failed(format!("no free port: {error}")))
        };
        let servers: Vec<Server> = (0..SERVERS).map(server).collect::<Result<_, _>>()?;
        // Each is a coordinator, so that most of them are left when one is not there.
        let addresses: Vec<_> = servers.iter().map(|it| it.address.to_string()).collect();
        let cluster_file = dir.join("fdb.cluster");
        let text = format!("verify:verify@{}\n", addresses.join(","));
        std::fs::write(&cluster_file, text)
            .map_err(|error| CommandFailure::file(&cluster_file, &error))?;
        Ok(Self {
            programs,
            dir: dir.to_owned(),
            cluster_file,
            servers,
        })
    }

    /// Starts all of them, and makes a new database of two copies.
    pub(super) async fn create(&mut self) -> Result<(), CommandFailure> {
        for number in 0..SERVERS {
            self.spawn(number)?;
        }
        let output = self.ask("configure new double memory").await?;
        match output.status.success() {
            true => Ok(()),
            false => Err(CommandFailure::failed(format!(
                "FoundationDB makes no database: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }

    pub(super) fn cluster_file(&self) -> &Path {
        &self.cluster_file
    }

    pub(in crate::operate::verify) fn name(&self, number: usize) -> &str {
        &self.servers[number].name
    }

    /// SIGKILL. Nothing of it is left afterwards.
    pub(in crate::operate::verify) async fn kill(
        &mut self,
        number: usize,
    ) -> Result<(), CommandFailure> {
        let server = &mut self.servers[number];
        match server.running.take() {
            None => Ok(()),
            Some(mut running) => {
                let killed = running.kill().await;
                killed.map_err(|error| server.failure(&format!("cannot be killed: {error}")))
            }
        }
    }

    /// Starts one again, and waits until the database answers and it is part of it.
    pub(in crate::operate::verify) async fn start(
        &mut self,
        number: usize,
        clock: &Clock,
    ) -> Result<(), CommandFailure> {
        self.spawn(number)?;
        let begun = clock.monotonic();
        while !self.has_joined(number).await? {
            if let Some(failure) = self.ended() {
                return Err(failure);
            }
            if clock.monotonic() - begun > START_PATIENCE {
                let what = format!("was not part of its database within {START_PATIENCE:?}");
                return Err(self.servers[number].failure(&what));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Starts all that do not run.
    pub(super) async fn start_missing(&mut self, clock: &Clock) -> Result<(), CommandFailure> {
        for number in 0..SERVERS {
            if self.servers[number].running.is_none() {
                self.start(number, clock).await?;
            }
        }
        Ok(())
    }

    /// SIGKILL of all, without waiting.
    pub(super) fn begin_kill(&mut self) {
        let running = self.servers.iter_mut().filter_map(|it| it.running.as_mut());
        // One may have ended by itself.
        running.for_each(|child| drop(child.start_kill()));
    }

    /// SIGKILL of all. Nothing of them is left afterwards.
    pub(super) async fn kill_all(&mut self) -> Result<(), CommandFailure> {
        for number in 0..SERVERS {
            self.kill(number).await?;
        }
        Ok(())
    }

    /// The end of one that nobody has ended.
    pub(super) fn ended(&mut self) -> Option<CommandFailure> {
        self.servers.iter_mut().find_map(|server| {
            let status = server.running.as_mut()?.try_wait().ok()??;
            Some(server.failure(&format!("ended by itself ({status}); see its log")))
        })
    }

    fn spawn(&mut self, number: usize) -> Result<(), CommandFailure> {
        let server = &mut self.servers[number];
        server.held = None;
        let data = self.dir.join(&server.name);
        let log = log(&self.dir, &server.name);
        let said = std::fs::create_dir_all(&data)
            .and_then(|()| File::options().create(true).append(true).open(&log))
            .map_err(|error| CommandFailure::file(&log, &error))?;
        let mut command = Command::new(&self.programs.server);
        command.arg("-C").arg(&self.cluster_file);
        command.args(["-p", &server.address.to_string()]);
        // Each is a machine of its own, so that copies are on different ones.
        command.args(["-i", &server.name]);
        command.arg("-d").arg(&data).arg("-L").arg(&data);
        // It ends when its parent does, within a second.
        command.args(["--parentpid", &std::process::id().to_string()]);
        command.args(MODEST);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            // Ctrl-C is for us.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn();
        let child =
            child.map_err(|error| server.failure(&format!("cannot be started: {error}")))?;
        server.running = Some(child);
        Ok(())
    }

    async fn has_joined(&self, number: usize) -> Result<bool, CommandFailure> {
        let output = self.ask("status json").await?;
        let status = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Ok(is_joined(&status, &self.servers[number].address))
    }

    /// Runs a command of `fdbcli`, which waits for the database.
    async fn ask(&self, command: &str) -> Result<Output, CommandFailure> {
        let mut cli = Command::new(&self.programs.cli);
        let patience = START_PATIENCE.as_secs().to_string();
        cli.arg("-C").arg(&self.cluster_file);
        cli.args(["--timeout", &patience, "--exec", command]);
        cli.stdin(Stdio::null()).kill_on_drop(true);
        let asked = cli.output().await;
        asked.map_err(|error| CommandFailure::failed(format!("fdbcli cannot be run: {error}")))
    }
}

impl Server {
    fn failure(&self, what: &str) -> CommandFailure {
        CommandFailure::failed(format!("{} {what}", self.name))
    }
}

/// Whether a status says that the database answers, and that a server is part of it.
fn is_joined(status: &Value, address: &SocketAddr) -> bool {
    let answers = status.pointer("/client/database_status/available");
    let processes = status.pointer("/cluster/processes");
    let address = Value::from(address.to_string());
    let is_there = processes
        .and_then(Value::as_object)
        .is_some_and(|processes| {
            processes
                .values()
                .any(|it| it.get("address") == Some(&address))
        });
    answers == Some(&Value::Bool(true)) && is_there
}

/// As few as have two copies of everything and most of the coordinators when one of them is not there.
pub(in crate::operate::verify) const SERVERS: usize = 3;
/// Bounds of their memory that small machines have room for, and no asynchronous files, which containers may lack.
const MODEST: [&str; 5] = [
    "--knob_disable_posix_kernel_aio=1",
    "-m",
    "3GiB",
    "--cache-memory",
    "256MiB",
];
/// Between two looks at the status: a look costs a process.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_back_when_the_database_answers_and_has_it() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4500));
        let status = |available: bool, address: &str| {
            json!({
                "client": { "database_status": { "available": available } },
                "cluster": { "processes": { "f00": { "address": address } } },
            })
        };
        assert!(is_joined(&status(true, "127.0.0.1:4500"), &address));
        assert!(!is_joined(&status(false, "127.0.0.1:4500"), &address));
        assert!(!is_joined(&status(true, "127.0.0.1:4501"), &address));
        assert!(!is_joined(&Value::Null, &address));
    }

    #[test]
    fn a_directory_without_the_programs_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Programs::of(dir.path()).unwrap_err();
        assert!(failure.message.contains("there is no"));
        assert!(failure.message.contains("fdbserver and fdbcli"));
    }
}
