//! What a node shows to other nodes, and whom it believes: read from three files, and checked to fit
//! together. Opens no socket.

use std::fmt;
use std::path::{Path, PathBuf};

use quinn::Connection;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;

use super::tls;

/// Where a node's identity lies, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFiles {
    /// The cluster's authority.
    pub ca: PathBuf,
    /// The node's certificate, then those that lead to the authority.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// Why files are not a node's identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The authority's file cannot be used.
    #[error("the cluster's authority {path} cannot be used")]
    Authority {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    /// What is in it is no certificate of an authority.
    #[error("the cluster's authority {path} cannot be used")]
    Root {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    /// The certificate's file cannot be used.
    #[error("the certificate {path} cannot be used")]
    Certificate {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    /// The key's file cannot be used.
    #[error("the key {path} cannot be used")]
    Key {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    /// The three do not fit together.
    #[error("the certificate {path} does not fit: give a certificate of the authority and its key")]
    Unfit {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// A node's certificate and key, and its cluster's authority.
pub struct Identity {
    pub(super) roots: RootCertStore,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the files, and sees that key, certificate and authority fit together. Whether the certificate is
    /// in force is for the other end to judge, whose clock may be better.
    pub fn read(files: &PeerFiles) -> Result<Self, IdentityError> {
        let identity = Self {
            roots: authority(&files.ca)?,
            chain: chain(&files.certificate)?,
            key: PrivateKeyDer::from_pem_file(&files.key).map_err(|source| IdentityError::Key {
                path: files.key.clone(),
                source,
            })?,
        };
        tls::check(&identity).map_err(|source| IdentityError::Unfit {
            path: files.certificate.clone(),
            source,
        })?;
        Ok(identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// The DNS name of a node in its certificate. It is never looked up.
pub fn node_domain(node: &str) -> String {
    format!("{node}{DOMAIN}")
}

/// The node that the other end of a connection is, by its certificate. `None`: it names none, or several.
pub(super) fn node_of(connection: &Connection) -> Option<String> {
    let shown = connection.peer_identity()?;
    let chain = shown.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let certificate = EndEntityCert::try_from(chain.first()?).ok()?;
    let mut nodes = certificate
        .valid_dns_names()
        .filter_map(|name| name.strip_suffix(DOMAIN));
    let node = nodes.next().filter(|node| *node != "*")?;
    nodes.next().is_none().then(|| node.to_owned())
}

const DOMAIN: &str = ".selvedge.internal";

fn authority(path: &Path) -> Result<RootCertStore, IdentityError> {
    let unusable = |source| IdentityError::Authority {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unusable)? {
        let added = roots.add(certificate.map_err(unusable)?);
        added.map_err(|source| IdentityError::Root {
            path: path.to_owned(),
            source,
        })?;
    }
    if roots.is_empty() {
        return Err(unusable(pem::Error::NoItemsFound));
    }
    Ok(roots)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let unusable = |source| IdentityError::Certificate {
        path: path.to_owned(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unusable)?;
    match chain.is_empty() {
        true => Err(unusable(pem::Error::NoItemsFound)),
        false => Ok(chain),
    }
}
