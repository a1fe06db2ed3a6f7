//! Who is let in: nodes with a certificate of the cluster's authority that is in force, and by name where
//! one is expected.

use std::path::Path;

use selvedge_cluster::peer::{ConnectError, Identity, PeerFiles};
use selvedge_cluster::store::remote::OpenError;
use selvedge_cluster::store::{Isolation, Store};

use super::authority::{Authority, Validity};
use super::world::{StorageNode, embedded_in, open, open_patiently};

/// What a node with these files hears that wants the store of `name`.
async fn refused(node: &StorageNode, files: PeerFiles, name: Option<&str>) -> ConnectError {
    match open(files, node.address, name).await {
        Err(OpenError::Connect(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn node() -> StorageNode {
    StorageNode::fresh().await
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused_on_both_ends() {
    let node = node().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Authority::new().issue(elsewhere.path(), "compute", Validity::Now);
    let error = refused(&node, stranger.clone(), None).await;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("authority"), "{error}");

    // One that believes this cluster's authority, and is not of it.
    let disguised = mixed(&stranger, &node.issue("compute"));
    let unfit = Identity::read(&disguised).unwrap_err().to_string();
    assert!(unfit.contains("does not fit"), "{unfit}");
}

/// The certificate of one cluster with the authority of another.
fn mixed(own: &PeerFiles, believed: &PeerFiles) -> PeerFiles {
    PeerFiles {
        ca: believed.ca.clone(),
        ..own.clone()
    }
}

#[tokio::test]
async fn a_node_of_another_name_is_refused() {
    let node = node().await;
    let error = refused(&node, node.issue("compute"), Some("other")).await;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("other"), "{error}");
    // Where no name is expected, any node of the cluster will do.
    let any = open(node.issue("compute"), node.address, None)
        .await
        .unwrap();
    any.health().unwrap();
}

#[tokio::test]
async fn expired_certificates_are_refused_on_both_ends() {
    let node = node().await;
    let directory = node.directory.path();
    let expired = node.authority.issue(directory, "late", Validity::Expired);
    let error = refused(&node, expired, None).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");

    let late = late_node().await;
    let error = refused(&late, late.issue("compute"), None).await;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("expired"), "{error}");
}

/// A storage node whose certificate has expired.
async fn late_node() -> StorageNode {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let files = authority.issue(directory.path(), "storage", Validity::Expired);
    let store = embedded_in(&directory);
    StorageNode::start_with(store, authority, directory, files).await
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let node = node().await;
    let error = super::hostile::without_certificate(&node).await;
    // The alert certificate_required.
    assert!(error.to_string().contains("error 116"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_while_a_node_runs() {
    let node = node().await;
    let before = node.client().await;
    // The whole cluster gets another authority; who is connected stays so.
    let authority = Authority::new();
    let directory = node.directory.path().to_owned();
    authority.issue(&directory, "storage", Validity::Now);
    node.credentials.reload().unwrap();
    before.begin().get(b"a", Isolation::Snapshot).await.unwrap();

    let files = authority.issue(&directory, "compute", Validity::Now);
    open_patiently(&files, node.address).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let old = node
        .authority
        .issue(elsewhere.path(), "compute", Validity::Now);
    let error = refused(&node, old, None).await;
    assert!(matches!(error, ConnectError::Untrusted { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_noticed_and_broken_ones_are_not_used() {
    let node = node().await;
    let followed = tokio::spawn(node.credentials.clone().follow());
    let files = node.issue("compute");
    let key = node.directory.path().join("storage.key");
    std::fs::write(&key, "no key").unwrap();
    node.credentials.reload().unwrap_err();
    open_patiently(&files, node.address).await;

    let authority = Authority::new();
    authority.issue(node.directory.path(), "storage", Validity::Now);
    let files = issue_in(&authority, node.directory.path());
    // As soon as they were noticed.
    open_patiently(&files, node.address).await;
    followed.abort();
}

fn issue_in(authority: &Authority, directory: &Path) -> PeerFiles {
    authority.issue(directory, "compute", Validity::Now)
}
