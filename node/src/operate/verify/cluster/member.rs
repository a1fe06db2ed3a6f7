//! One node of a cluster of our own: its process, while it has one, and its ports, while it has none.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use rustix::process::Signal;
use selvedge_cluster::Clock;
use tokio::time::{Duration, sleep, timeout};

use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::free_port;
use crate::operate::verify::child::{Program, Ready, Running, START_PATIENCE, StartFailure};

/// A node that runs or does not.
#[derive(Debug)]
pub(in crate::operate::verify) struct Member {
    name: String,
    program: Program,
    addresses: Vec<Address>,
    running: Option<Running>,
}

/// An address of a node: the same at each start. While the node is down the port is held, so that nobody else gets it.
#[derive(Debug)]
pub(super) struct Address {
    address: SocketAddr,
    held: Option<UdpSocket>,
}

impl Member {
    pub(super) const fn new(name: String, program: Program, addresses: Vec<Address>) -> Self {
        Self {
            name,
            program,
            addresses,
            running: None,
        }
    }

    pub(in crate::operate::verify) fn name(&self) -> &str {
        &self.name
    }

    /// Starts its process and waits until it is ready. A node that cannot reach the store gives up; it is started
    /// again, as whoever looks after it would.
    pub(in crate::operate::verify) async fn start(
        &mut self,
        clock: &Clock,
    ) -> Result<Ready, CommandFailure> {
        let begun = clock.monotonic();
        loop {
            for address in &mut self.addresses {
                address.held = None;
            }
            match self.program.start().await {
                Ok((running, ready)) => {
                    self.running = Some(running);
                    return Ok(ready);
                }
                Err(StartFailure::Ended(Some(status)))
                    if status.code() == Some(Exit::Unavailable as i32)
                        && clock.monotonic() - begun < START_PATIENCE =>
                {
                    sleep(START_PAUSE).await;
                }
                Err(failure) => return Err(self.program.failure(failure)),
            }
        }
    }

    /// Lets it go on if it is stopped, and starts it if it does not run.
    pub(super) async fn heal(&mut self, clock: &Clock) -> Result<(), CommandFailure> {
        self.signal(Signal::CONT)?;
        match self.running {
            Some(_) => Ok(()),
            None => self.start(clock).await.map(drop),
        }
    }

    /// SIGKILL. Nothing of it is left afterwards.
    pub(in crate::operate::verify) async fn kill(&mut self) -> Result<(), CommandFailure> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        let killed = running.kill().await;
        self.hold();
        killed.map_err(|error| self.failure(format!("cannot be killed: {error}")))
    }

    /// SIGKILL without waiting.
    pub(super) fn begin_kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.begin_kill();
        }
    }

    /// Sends a signal to its process, if it has one.
    pub(in crate::operate::verify) fn signal(&self, signal: Signal) -> Result<(), CommandFailure> {
        let sent = self.running.as_ref().map(|running| running.signal(signal));
        sent.unwrap_or(Ok(()))
            .map_err(|error| self.failure(format!("takes no signal: {error}")))
    }

    /// SIGTERM, and its end: what is wrong with it, if anything is.
    pub(in crate::operate::verify) async fn drain(
        &mut self,
    ) -> Result<Option<String>, CommandFailure> {
        let Some(mut running) = self.running.take() else {
            return Ok(None);
        };
        let wrong = match running.signal(Signal::TERM) {
            Err(error) => Some(format!("takes no signal: {error}")),
            Ok(()) => match timeout(DRAIN_MAX, running.wait()).await {
                Ok(Ok(status)) if status.success() => None,
                Ok(Ok(status)) => Some(format!("was told to stop and ended with {status}")),
                Ok(Err(error)) => Some(format!("cannot be waited for: {error}")),
                Err(_) => Some(format!(
                    "was told to stop and still runs after {DRAIN_MAX:?}"
                )),
            },
        };
        let ended = running.kill().await;
        self.hold();
        ended.map_err(|error| self.failure(format!("cannot be killed: {error}")))?;
        Ok(wrong)
    }

    /// Whether it has ended though nobody has ended it.
    pub(super) fn ended(&mut self) -> Option<CommandFailure> {
        let status = self.running.as_mut()?.has_ended()?;
        Some(self.program.unexpected(Some(status)))
    }

    fn hold(&mut self) {
        for address in &mut self.addresses {
            // Where somebody has been quicker the next start will tell.
            address.held = UdpSocket::bind(address.address).ok();
        }
    }

    fn failure(&self, what: String) -> CommandFailure {
        CommandFailure::failed(format!("{} {what}", self.name))
    }
}

impl Address {
    /// A free one whose port the system gives to nobody who does not ask for it: while the node is down, a client
    /// that connects anew could else get it.
    pub(super) fn free(clock: &Clock) -> Result<Self, CommandFailure> {
        let held = free_port::udp(clock, Ipv4Addr::LOCALHOST.into());
        let found = held.and_then(|held| {
            let address = held.local_addr()?;
            let held = Some(held);
            Ok(Self { address, held })
        });
        found.map_err(|error| CommandFailure::failed(format!("no free port: {error}")))
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

/// Between two starts of a node that finds no store.
const START_PAUSE: Duration = Duration::from_millis(200);
/// Longer than a node's own deadline for a drain (30 s) and for what comes after it.
const DRAIN_MAX: Duration = Duration::from_secs(45);
