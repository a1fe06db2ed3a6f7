//! `selvedge cluster`: the authority of a cluster and the certificates of its nodes, which needs no node; the
//! rest asks one, see [`cluster_nodes`].

use std::io;
use std::path::{Path, PathBuf};

use selvedge_protocol::error::chain;
use serde::Serialize;

use crate::operate::authority::{Authority, AuthorityError, Subject};
use crate::operate::certificates::usable_dir;
use crate::operate::cli::{Cluster, InitCa, IssueCert};
use crate::operate::commands::cluster_nodes;
use crate::operate::config::node_name;
use crate::operate::failure::CommandFailure;
use crate::operate::output::Printer;

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    ca_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_file: Option<PathBuf>,
    key_file: PathBuf,
}

pub(crate) async fn run(printer: Printer, cluster: Cluster) -> Result<(), CommandFailure> {
    match cluster {
        Cluster::InitCa(init) => init_ca(printer, &init),
        Cluster::IssueCert(issue) => issue_cert(printer, issue),
        Cluster::Status { client } => cluster_nodes::status(printer, &client).await,
        Cluster::Plan { client } => cluster_nodes::plan(printer, &client).await,
        Cluster::Drain(drain) => cluster_nodes::drain(printer, drain).await,
        Cluster::Undrain { node, client } => cluster_nodes::undrain(printer, &client, node).await,
        Cluster::Remove { node, client } => cluster_nodes::remove(printer, &client, node).await,
        Cluster::Why { node, client } => cluster_nodes::why(printer, &client, node).await,
    }
}

fn init_ca(printer: Printer, init: &InitCa) -> Result<(), CommandFailure> {
    let (ca, key) = authority_files(&init.out);
    not_there("--out", &[&ca, &key])?;
    usable_dir("--out", &init.out)?;
    Authority::make(&ca, &key, init.days).map_err(|error| failed("--out", &error))?;
    let made = Made {
        name: None,
        ca_file: ca,
        certificate_file: None,
        key_file: key,
    };
    printer.result(&made, |made| {
        format!(
            "authority:   {} (for every node)\nprivate key: {} (for none: keep it safe)",
            made.ca_file.display(),
            made.key_file.display()
        )
    });
    Ok(())
}

fn issue_cert(printer: Printer, issue: IssueCert) -> Result<(), CommandFailure> {
    let name = node_name("--name", issue.name)?;
    let (ca, ca_key) = authority_files(&issue.ca);
    let certificate = issue.out.join(format!("{name}.pem"));
    let key = issue.out.join(format!("{name}.key"));
    let authority = Authority::read(&ca, &ca_key).map_err(|error| {
        let mut failure = failed("--ca", &error);
        failure
            .message
            .push_str("; give a directory of `selvedge cluster init-ca`");
        failure
    })?;
    not_there("--out", &[&certificate, &key])?;
    usable_dir("--out", &issue.out)?;
    let subject = Subject {
        name: &name,
        hosts: &issue.hosts,
        days: issue.days,
    };
    let files = authority
        .issue(&subject, &certificate, &key)
        .map_err(|error| match &error {
            AuthorityError::Host { .. } => failed("--host", &error),
            AuthorityError::Unfit(_) | AuthorityError::Make(_) => failed("--ca", &error),
            AuthorityError::File { .. } => failed("--out", &error),
        })?;
    let made = Made {
        name: Some(name),
        ca_file: files.ca,
        certificate_file: Some(files.certificate),
        key_file: files.key,
    };
    printer.result(&made, |made| {
        let certificate = made
            .certificate_file
            .as_deref()
            .unwrap_or_else(|| Path::new(""));
        format!(
            "peer_ca:          {}\npeer_certificate: {}\npeer_key:         {}",
            made.ca_file.display(),
            certificate.display(),
            made.key_file.display()
        )
    });
    Ok(())
}

fn authority_files(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("ca.pem"), directory.join("ca.key"))
}

/// Looked at first, so that nothing is made by halves.
fn not_there(by: &str, paths: &[&Path]) -> Result<(), CommandFailure> {
    match paths.iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(CommandFailure::named(
            by,
            path,
            &io::ErrorKind::AlreadyExists.into(),
            "move it away, or give another directory",
        )),
    }
}

fn failed(by: &str, error: &AuthorityError) -> CommandFailure {
    CommandFailure::usage(format!("{by}: {}", chain(error)))
}
