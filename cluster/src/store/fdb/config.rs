//! What the store on FoundationDB is told, and the cluster file: parsed before anything is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use selvedge_protocol::limits::{
    STORE_COMMIT_MS_MAX, STORE_OPEN_MS_MAX, STORE_SLOW_MS, STORE_TRANSACTION_BYTES_MAX,
};

use super::super::keys;
use super::database::{REASON_MAX, SILENCE_MAX};
use crate::Clock;

/// Where the database is, and how it is used.
#[derive(Debug, Clone)]
pub struct FdbConfig {
    pub cluster_file: ClusterFile,
    /// All keys begin with it; never empty.
    pub prefix: Vec<u8>,
    pub network: NetworkConfig,
    /// How long a transaction may take, its commit included. Past it a read has failed, and a commit is unknown.
    pub timeout: Duration,
    /// More bytes than these, with the keys that a transaction conflicts on, are not committed.
    pub size_max: usize,
    /// What transactions are called where FoundationDB limits or counts them by tag; at most 16 bytes.
    pub tag: Option<String>,
    pub priority: Priority,
    /// A commit that takes longer is told in the log.
    pub slow: Duration,
    /// How long to wait for the database at the start.
    pub patience: Duration,
    pub clock: Clock,
}

impl FdbConfig {
    /// The defaults, for a prefix that is a name.
    pub fn new(cluster_file: ClusterFile, name: &str, clock: Clock) -> Self {
        Self {
            cluster_file,
            prefix: keys::cluster_prefix(name),
            network: NetworkConfig::default(),
            // Long enough for FoundationDB to say itself that a transaction is too old, which it does after five seconds.
            timeout: Duration::from_millis(STORE_COMMIT_MS_MAX),
            size_max: STORE_TRANSACTION_BYTES_MAX,
            tag: None,
            priority: Priority::Default,
            slow: Duration::from_millis(STORE_SLOW_MS),
            // Long enough to be told why it does not answer, too.
            patience: Duration::from_millis(STORE_OPEN_MS_MAX).max(2 * SILENCE_MAX + REASON_MAX),
            clock,
        }
    }
}

/// Who goes first when the database is busy, as FoundationDB decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    #[default]
    Default,
    /// Behind all others: for what may wait.
    Batch,
}

/// Of the client as a whole: one a process. Those of the first store that is opened hold for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    pub tls: Option<Tls>,
    /// A directory with `libfdb_c` of other versions, for databases that run those.
    pub external_clients: Option<PathBuf>,
    /// Where FoundationDB's client writes its own log.
    pub trace: Option<PathBuf>,
}

/// Files in PEM form, for databases that speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who may have signed the certificates of the servers.
    pub ca: PathBuf,
}

/// A FoundationDB cluster file that was read: `DESCRIPTION:ID@ADDRESS,ADDRESS…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFile {
    path: PathBuf,
    coordinators: Vec<String>,
}

/// Why a file is no cluster file.
#[derive(Debug, thiserror::Error)]
pub enum ClusterFileError {
    #[error(
        "the FoundationDB cluster file {} cannot be read; give the path of the fdb.cluster that your database's servers \
         use, often /etc/foundationdb/fdb.cluster",
        .path.display()
    )]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{} is no FoundationDB cluster file: {reason}; it has one line, DESCRIPTION:ID@IP:PORT,IP:PORT, which \
         your database's servers have too",
        .path.display()
    )]
    Malformed { path: PathBuf, reason: String },
}

impl ClusterFile {
    /// Reads the file. It is small, and read once.
    pub fn read(path: &Path) -> Result<Self, ClusterFileError> {
        let text = std::fs::read(path).map_err(|source| ClusterFileError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        match parse(&String::from_utf8_lossy(&text)) {
            Ok(coordinators) => Ok(Self {
                path: path.to_owned(),
                coordinators,
            }),
            Err(reason) => Err(ClusterFileError::Malformed {
                path: path.to_owned(),
                reason,
            }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The addresses of the servers that know where the others are.
    pub fn coordinators(&self) -> &[String] {
        &self.coordinators
    }
}

fn parse(text: &str) -> Result<Vec<String>, String> {
    let uncommented = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    let mut lines = uncommented.map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next().ok_or("it is empty")?;
    if lines.next().is_some() {
        return Err("it has more than one line".to_owned());
    }
    let (name, addresses) = line.split_once('@').ok_or("there is no @ in it")?;
    let (description, id) = name.split_once(':').ok_or("there is no : before its @")?;
    let is_word = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !text.is_empty() && text.bytes().all(is_part)
    };
    if !is_word(description) || !is_word(id) {
        return Err(format!("{name:?} is not two words with a : between them"));
    }
    let addresses = addresses.split(',').map(str::trim);
    addresses.map(address).collect()
}

/// An address of a coordinator: of a host by number or name, perhaps with `:tls`.
fn address(text: &str) -> Result<String, String> {
    let plain = text.strip_suffix("(fromHostname)").unwrap_or(text);
    let plain = plain.strip_suffix(":tls").unwrap_or(plain);
    let is_number = plain.parse::<SocketAddr>().is_ok();
    let is_name = plain.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([':', ' ']) && port.parse::<u16>().is_ok()
    });
    match is_number || is_name {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no address with a port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_files_are_read() {
        let text =
            "# made by hand\n\n k1:abc_9@10.0.0.1:4500, [::1]:4501:tls,db.example.com:4500 \n";
        let found = parse(text).unwrap();
        assert_eq!(
            found,
            ["10.0.0.1:4500", "[::1]:4501:tls", "db.example.com:4500"]
        );
    }

    #[test]
    fn what_is_no_cluster_file_says_why() {
        for (text, reason) in [
            ("", "it is empty"),
            ("# only this", "it is empty"),
            (
                "a:b@127.0.0.1:1\nc:d@127.0.0.1:2",
                "it has more than one line",
            ),
            ("a:b", "there is no @ in it"),
            ("ab@127.0.0.1:1", "there is no : before its @"),
            (
                "a b:c@127.0.0.1:1",
                "\"a b:c\" is not two words with a : between them",
            ),
            ("a:b@", "\"\" is no address with a port"),
            ("a:b@127.0.0.1", "\"127.0.0.1\" is no address with a port"),
            (
                "a:b@127.0.0.1:70000",
                "\"127.0.0.1:70000\" is no address with a port",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), reason, "{text:?}");
        }
    }
}
