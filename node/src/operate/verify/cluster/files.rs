//! What the nodes of a cluster of our own are told: certificates, a token and flags.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use selvedge_cluster::peer::PeerFiles;
use selvedge_protocol::error::chain;

use crate::operate::authority::{Authority, Subject};
use crate::operate::certificates::DevelopmentFiles;
use crate::operate::failure::CommandFailure;
use crate::operate::profile::Profile;
use crate::operate::verify::network::{Addresses, Place};

/// The files of a cluster, in its directory.
#[derive(Debug)]
pub(super) struct Files {
    dir: PathBuf,
    storage: PeerFiles,
    nodes: Vec<PeerFiles>,
    /// Of all nodes towards clients: a client goes from one to another.
    ca_file: PathBuf,
    token: String,
}

impl Files {
    /// Makes the authority of the cluster, a certificate for each process, and what all nodes show to clients.
    pub(super) fn make(dir: &Path, nodes: usize) -> Result<Self, CommandFailure> {
        let failed = |error| CommandFailure::failed(format!("certificates: {}", chain(&error)));
        let ca = Authority::make(&dir.join("ca.pem"), &dir.join("ca.key"), DAYS).map_err(failed)?;
        let issue = |name: &str| {
            let subject = Subject {
                name,
                hosts: &[],
                days: DAYS,
            };
            let [certificate, key] = ["pem", "key"].map(|of| dir.join(format!("{name}.{of}")));
            ca.issue(&subject, &certificate, &key).map_err(failed)
        };
        let by = "the directory of the cluster";
        let first = dir.join(node_name(0));
        let shared = DevelopmentFiles::ensure(by, &first)?;
        for number in 1..nodes {
            copy_development(&first, &dir.join(node_name(number)))?;
        }
        let token = std::fs::read_to_string(&shared.token)
            .map_err(|error| CommandFailure::file(&shared.token, &error))?;
        Ok(Self {
            dir: dir.to_owned(),
            storage: issue(STORAGE)?,
            nodes: (0..nodes)
                .map(|number| issue(&node_name(number)))
                .collect::<Result<_, _>>()?,
            ca_file: shared.ca,
            token: token.trim().to_owned(),
        })
    }

    pub(super) fn storage_arguments(&self, peer: SocketAddr) -> Vec<OsString> {
        let mut flags = self.common(STORAGE, &self.storage);
        flags.extend(arguments(&["--roles", "storage"]));
        flags.extend(["--peer".into(), peer.to_string().into()]);
        flags
    }

    pub(super) fn node_arguments(&self, number: usize, place: Place) -> Vec<OsString> {
        let mut flags = self.common(&node_name(number), &self.nodes[number]);
        flags.extend(["--quic".into(), place.quic.to_string().into()]);
        flags.extend(["--peer".into(), place.peer.to_string().into()]);
        flags.extend(arguments(&["--http", "127.0.0.1:0"]));
        flags
    }

    fn common(&self, name: &str, peer: &PeerFiles) -> Vec<OsString> {
        let mut flags = arguments(&["dev", "--output", "json", "--name", name]);
        flags.extend(["--data-dir".into(), self.dir.join(name).into()]);
        flags.extend(["--peer-ca".into(), peer.ca.clone().into()]);
        flags.extend(["--peer-certificate".into(), peer.certificate.clone().into()]);
        flags.extend(["--peer-key".into(), peer.key.clone().into()]);
        flags
    }

    /// How clients reach each of these nodes.
    pub(super) fn profiles(&self, nodes: &[Addresses]) -> Vec<Profile> {
        let profile = |addresses: &Addresses| Profile {
            server: addresses.clients.to_string(),
            ca_file: self.ca_file.clone(),
            token: self.token.clone(),
            url: None,
        };
        nodes.iter().map(profile).collect()
    }
}

/// Where a node finds the storage node.
pub(super) fn stored_at(store: SocketAddr) -> Vec<OsString> {
    let store = format!("node:{STORAGE}@{store}");
    vec!["--store".into(), store.into()]
}

/// Where a node tells others to find it: at its relays.
pub(super) fn advertised(addresses: &Addresses) -> Vec<OsString> {
    let [peers, clients] = [addresses.peers, addresses.clients].map(|it| it.to_string());
    arguments(&["--advertise-peer", &peers, "--advertise-quic", &clients])
}

pub(super) fn arguments(texts: &[&str]) -> Vec<OsString> {
    texts.iter().map(Into::into).collect()
}

pub(super) fn node_name(number: usize) -> String {
    format!("node-{}", number + 1)
}

/// Gives a node the development files of another one, before it would make its own.
fn copy_development(of: &Path, to: &Path) -> Result<(), CommandFailure> {
    let [of, to] = [of, to].map(|dir| dir.join("development"));
    let copied = std::fs::create_dir_all(&to).and_then(|()| {
        for entry in std::fs::read_dir(&of)? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    });
    copied.map_err(|error| CommandFailure::file(&to, &error))
}

/// The storage node.
pub(super) const STORAGE: &str = "storage";
/// Longer than any run.
const DAYS: u32 = 30;
