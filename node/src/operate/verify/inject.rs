//! Makes the faults of a plan happen, and undoes each in its time.

use rustix::process::Signal;
use selvedge_cluster::Clock;
use tokio::time::sleep_until;

use crate::operate::failure::CommandFailure;
use crate::operate::verify::check::{Check, Violation};
use crate::operate::verify::cluster::Cluster;
use crate::operate::verify::report::{Fault, FaultKind};
use crate::operate::verify::run::Run;
use crate::operate::verify::schedule::{Cut, Planned, What};

/// A fault that is over.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) fault: Fault,
    /// What a node did wrong meanwhile.
    pub(super) violation: Option<Violation>,
}

/// Waits for a fault's moment, makes it happen and undoes it. Dropped before that it leaves it as it is:
/// `Cluster::heal` undoes everything.
pub(super) async fn inject(
    cluster: &Cluster,
    run: &Run,
    planned: &Planned,
) -> Result<Injected, CommandFailure> {
    sleep_until(run.began + planned.begin).await;
    let act = Act {
        cluster,
        run,
        planned,
    };
    match planned.what {
        What::Kill { node } => act.kill(node).await,
        What::Stop { node } => act.stop(node).await,
        What::Partition { node, cut } => act.partition(node, cut).await,
        What::StorageKill => act.kill_storage().await,
        What::ServerKill { server } => act.kill_server(server).await,
        What::Drain { node } => act.drain(node).await,
        What::Join => act.join().await,
    }
}

struct Act<'a> {
    cluster: &'a Cluster,
    run: &'a Run,
    planned: &'a Planned,
}

impl Act<'_> {
    async fn kill(self, node: usize) -> Result<Injected, CommandFailure> {
        let mut member = self.cluster.member(node).await;
        let begun_us = self.run.now_us();
        member.kill().await?;
        self.wait_for_end().await;
        member.start(&Clock::system()).await?;
        Ok(self.over(FaultKind::Kill, member.name().to_owned(), begun_us))
    }

    async fn stop(self, node: usize) -> Result<Injected, CommandFailure> {
        let member = self.cluster.member(node).await;
        let begun_us = self.run.now_us();
        member.signal(Signal::STOP)?;
        self.wait_for_end().await;
        member.signal(Signal::CONT)?;
        Ok(self.over(FaultKind::Stop, member.name().to_owned(), begun_us))
    }

    async fn partition(self, node: usize, cut: Cut) -> Result<Injected, CommandFailure> {
        let begun_us = self.run.now_us();
        let network = self.cluster.network();
        let network = network.ok_or_else(|| CommandFailure::failed("there is no network"))?;
        network.cut(node, cut);
        self.wait_for_end().await;
        network.heal(node, cut);
        let kind = FaultKind::Partition {
            from: cut.from,
            way: cut.way,
        };
        Ok(self.over(kind, self.cluster.name(node), begun_us))
    }

    async fn kill_storage(self) -> Result<Injected, CommandFailure> {
        let storage = self.cluster.storage().await;
        let mut storage =
            storage.ok_or_else(|| CommandFailure::failed("there is no storage node"))?;
        let begun_us = self.run.now_us();
        storage.kill().await?;
        self.wait_for_end().await;
        storage.start(&Clock::system()).await?;
        Ok(self.over(FaultKind::StorageKill, storage.name().to_owned(), begun_us))
    }

    async fn kill_server(self, server: usize) -> Result<Injected, CommandFailure> {
        // Held until it is part of the database again, so that one at a time is down.
        let servers = self.cluster.servers().await;
        let mut servers =
            servers.ok_or_else(|| CommandFailure::failed("there is no FoundationDB of its own"))?;
        let begun_us = self.run.now_us();
        servers.kill(server).await?;
        self.wait_for_end().await;
        servers.start(server, &Clock::system()).await?;
        let whom = servers.name(server).to_owned();
        Ok(self.over(FaultKind::StorageKill, whom, begun_us))
    }

    async fn drain(self, node: usize) -> Result<Injected, CommandFailure> {
        let mut member = self.cluster.member(node).await;
        let begun_us = self.run.now_us();
        let wrong = member.drain().await?;
        self.wait_for_end().await;
        member.start(&Clock::system()).await?;
        let injected = self.over(FaultKind::Drain, member.name().to_owned(), begun_us);
        Ok(injected.with(wrong))
    }

    async fn join(self) -> Result<Injected, CommandFailure> {
        let mut member = self.cluster.spare().await;
        let begun_us = self.run.now_us();
        member.start(&Clock::system()).await?;
        self.wait_for_end().await;
        let wrong = member.drain().await?;
        let injected = self.over(FaultKind::Join, member.name().to_owned(), begun_us);
        Ok(injected.with(wrong))
    }

    async fn wait_for_end(&self) {
        sleep_until(self.run.began + self.planned.end).await;
    }

    fn over(&self, kind: FaultKind, whom: String, begun_us: u64) -> Injected {
        let (at_ms, until_ms) = (begun_us / 1_000, self.run.now_us() / 1_000);
        Injected {
            fault: Fault::new(kind, whom, at_ms..until_ms),
            violation: None,
        }
    }
}

impl Injected {
    fn with(mut self, wrong: Option<String>) -> Self {
        let whom = &self.fault.whom;
        let violation = |wrong| Violation::new(Check::Departure, whom, format!("{whom} {wrong}"));
        self.violation = wrong.map(violation);
        self
    }
}
