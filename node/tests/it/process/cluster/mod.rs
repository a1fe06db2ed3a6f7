//! Clusters as operators run them: a storage node and nodes on it, in processes of their own, with certificates made by
//! the command line. Killed, stopped, restarted, grown and shrunk while clients work.

mod eventual;
pub(crate) mod frozen;
mod gone;
mod growth;
mod lent;
mod limit;
mod ready;
mod restart;
mod roles;
mod room;
mod visits;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use selvedge_client::{Client, OperationId, OperationType, Submit, Target};
use selvedge_protocol::{ActorAddress, Tenant};

use super::kill::Production;
use super::{Access, Node, append, json, run, selvedge};

/// The files of a cluster: certificates, a configuration for clients as `start` wants it, a directory per node.
pub(crate) struct Cluster {
    scratch: tempfile::TempDir,
    pub(crate) production: Production,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let production = Production::new(scratch.path());
        init_ca(&scratch.path().join("ca"));
        for name in ["storage-1", "node-1", "node-2", "node-3"] {
            issue(scratch.path(), name);
        }
        Self {
            scratch,
            production,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The flags of a node's certificates.
    pub(crate) fn known_as(&self, command: &mut Command, name: &str) {
        command.arg("--peer-ca").arg(self.path("ca").join("ca.pem"));
        let certificates = self.path("nodes");
        command
            .arg("--peer-certificate")
            .arg(certificates.join(format!("{name}.pem")));
        command
            .arg("--peer-key")
            .arg(certificates.join(format!("{name}.key")));
    }

    /// The storage node, on a port that others know or a free one.
    pub(crate) fn storage(&self, peer: &str) -> Node {
        let mut command = selvedge();
        command.args(["start", "--output", "json", "--roles", "storage"]);
        command.args(["--name", "storage-1", "--peer", peer]);
        command.arg("--data-dir").arg(self.path("stored"));
        self.known_as(&mut command, "storage-1");
        Node::spawn(command.stderr(append(&self.path("storage.log"))))
    }

    /// A node of this name on a storage node, on free ports, with flags of its own beside the usual ones.
    pub(crate) fn member(&self, storage: &Node, name: &str, flags: &[&str]) -> Member {
        let mut command = selvedge();
        command.args(["start", "--output", "json", "--config"]);
        command.arg(self.production.config());
        command.args(["--http", "127.0.0.1:0", "--name", name, "--data-dir"]);
        command.arg(self.path(name));
        command.args(["--store", &format!("node:storage-1@{}", address(storage))]);
        self.known_as(&mut command, name);
        command.args(flags);
        let arguments = command.get_args().map(ToOwned::to_owned).collect();
        let mut member = Member {
            name: name.to_owned(),
            arguments,
            log: self.path(&format!("{name}.log")),
            quic: "127.0.0.1:0".to_owned(),
            peer: "127.0.0.1:0".to_owned(),
            access: None,
            node: None,
        };
        member.start();
        let node = member.node.as_ref().unwrap();
        let ready = |field: &str| node.ready[field].as_str().map(str::to_owned);
        // Only a node that serves clients has an address for them.
        member.access = ready("quic").map(|_| self.production.access(node));
        member.quic = ready("quic").unwrap_or(member.quic);
        member.peer = ready("peer").unwrap();
        member
    }

    /// Three nodes that own about as much each.
    pub(crate) fn three(&self, storage: &Node) -> Vec<Member> {
        let names = ["node-1", "node-2", "node-3"];
        names.map(|name| self.member(storage, name, &[])).into()
    }
}

/// A node of a cluster, which can be started again as what it was.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    arguments: Vec<OsString>,
    log: PathBuf,
    quic: String,
    peer: String,
    access: Option<Access>,
    node: Option<Node>,
}

impl Member {
    /// Its process, where it runs.
    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    /// Starts it where it was before.
    pub(crate) fn start(&mut self) {
        let mut command = selvedge();
        command.args(&self.arguments);
        command.args(["--quic", &self.quic, "--peer", &self.peer]);
        // What becomes of its membership is in the log.
        command.env("SELVEDGE_LOG", "info");
        command.env("SELVEDGE_IMPORT_LOG", self.steps());
        command.stderr(append(&self.log));
        let node = Node::try_spawn(&mut command)
            .unwrap_or_else(|status| panic!("{}: {status}: {}", self.name, self.log()));
        self.node = Some(node);
    }

    /// How clients reach it.
    pub(crate) fn access(&self) -> &Access {
        self.access.as_ref().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.node.take().unwrap().kill();
    }

    /// SIGTERM: it hands over what it has and ends.
    pub(crate) fn leave(&mut self) {
        let status = self.end("TERM");
        assert_eq!(
            status.code(),
            Some(0),
            "{}: {status}: {}",
            self.name,
            self.log()
        );
    }

    fn end(&mut self, signal: &str) -> ExitStatus {
        self.node.take().unwrap().stop(signal)
    }

    /// Sends a signal that it survives.
    pub(crate) fn signal(&self, signal: &str) {
        self.node.as_ref().unwrap().signal(signal);
    }

    /// Where imports note what they have done, those of all nodes.
    pub(crate) fn steps(&self) -> PathBuf {
        self.log.with_file_name("steps.log")
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// Accesses of nodes that serve clients, to each by itself.
pub(crate) fn accesses(members: &[Member]) -> Vec<Access> {
    members
        .iter()
        .map(|member| member.access().clone())
        .collect()
}

/// The name of the node that owns an actor, as `why` tells of an operation in the same slot.
pub(crate) async fn owner(client: &Client, actor: &Target) -> String {
    let Target::Actor(address) = actor else {
        panic!("{actor}")
    };
    let slot = slot(address);
    let mut names = (0..).map(|number| format!("beside-{slot}-{number}"));
    let same = |name: &String| slot == self::slot(&format!("operation/{name}").parse().unwrap());
    let id = OperationId::new(names.find(same).unwrap()).unwrap();
    submit_for_later(client, &id).await;
    owner_of_operation(client, &id).await
}

fn slot(address: &ActorAddress) -> u16 {
    // As many as a cluster has unless it was told otherwise.
    address.slot(&Tenant::default_tenant(), 1_024)
}

/// An operation that is there and does nothing.
async fn submit_for_later(client: &Client, id: &OperationId) {
    let mut submit = Submit::new(OperationType::new("digest").unwrap()).id(id.clone());
    submit.run_at = Some("2200-01-01T00:00:00Z".to_owned());
    client.session().submit(submit).await.unwrap();
}

async fn owner_of_operation(client: &Client, id: &OperationId) -> String {
    client.session().why(id).await.unwrap().owner.node
}

pub(crate) fn address(storage: &Node) -> &str {
    storage.ready["peer"].as_str().unwrap()
}

pub(crate) fn init_ca(out: &Path) {
    let mut command = selvedge();
    command.args(["cluster", "init-ca", "--output", "json", "--out"]);
    let made = json(&run(command.arg(out)));
    let key = made["keyFile"].as_str().unwrap();
    let mode = fs::metadata(key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{key}");
}

pub(crate) fn issue_command(scratch: &Path, name: &str) -> Command {
    let mut command = selvedge();
    command.args(["cluster", "issue-cert", "--output", "json", "--name", name]);
    command.arg("--ca").arg(scratch.join("ca"));
    command.arg("--out").arg(scratch.join("nodes"));
    command
}

pub(crate) fn issue(scratch: &Path, name: &str) {
    let made = json(&run(issue_command(scratch, name).args([
        "--host",
        "127.0.0.1",
        "--host",
        "db.example",
    ])));
    assert_eq!(made["name"], name);
}
