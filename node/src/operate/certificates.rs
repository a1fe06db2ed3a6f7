//! Development certificates: a certificate authority and a node certificate under the data directory.
//! Called by `dev` and `demo` only; `start` insists on real ones.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustix::fs::{Access, access};
use selvedge_cluster::Clock;
use selvedge_cluster::peer::{Identity, PeerFiles};
use selvedge_protocol::error::chain;

use crate::operate::authority::{Authority, AuthorityError, DAY_MS, Subject, in_force};
use crate::operate::failure::CommandFailure;
use crate::operate::privacy::ensure_development;
use crate::operate::tls_files::TlsFiles;

/// Where the development files of a data directory are.
#[derive(Debug, Clone)]
pub(crate) struct DevelopmentFiles {
    pub(crate) ca: PathBuf,
    pub(crate) tls: TlsFiles,
    /// What browsers see, which take it for its hash.
    pub(crate) browsers: TlsFiles,
    pub(crate) token: PathBuf,
    /// The key under which those of subjects are wrapped.
    pub(crate) privacy: PathBuf,
}

impl DevelopmentFiles {
    /// The files, made now where they are missing: all of them, or none. `by` names what gave the directory.
    pub(crate) fn ensure(by: &str, data_dir: &Path) -> Result<Self, CommandFailure> {
        let dir = data_dir.join(DIRECTORY);
        usable_dir(by, data_dir)?;
        usable_dir(by, &dir)?;
        let files = Self {
            ca: dir.join("ca.pem"),
            tls: TlsFiles {
                certificate: dir.join("node.pem"),
                key: dir.join("node.key"),
            },
            browsers: TlsFiles {
                certificate: dir.join("browser.pem"),
                key: dir.join("browser.key"),
            },
            token: dir.join("token"),
            privacy: dir.join("privacy.key"),
        };
        // The token is written last: if it is there, the others are complete.
        let generated = match files.token.exists() {
            true => Ok(()),
            false => files.generate(),
        };
        generated
            .and_then(|()| files.renew_browsers(&Clock::system()))
            .and_then(|()| Ok(ensure_development(&files.privacy)?))
            .map_err(|error| {
                CommandFailure::failed(format!("development certificates: {error}"))
            })?;
        Ok(files)
    }

    /// An authority and a certificate among nodes for a development cluster, made now where they are missing.
    /// Its other nodes are given the same files.
    pub(crate) fn ensure_peer(
        by: &str,
        data_dir: &Path,
        name: &str,
    ) -> Result<PeerFiles, CommandFailure> {
        let dir = data_dir.join(DIRECTORY);
        let peers = DevelopmentPeers::ensure(by, data_dir)?;
        peers.ensure_node(name, &dir.join("peer.pem"), &dir.join("peer.key"))
    }

    fn generate(&self) -> Result<(), Box<dyn std::error::Error>> {
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name
            .push(DnType::CommonName, "Selvedge development CA");
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let names = ["localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .to_vec();
        let mut node = CertificateParams::new(names)?;
        node.distinguished_name
            .push(DnType::CommonName, "Selvedge development node");
        let node_key = KeyPair::generate()?;
        let node_certificate = node.signed_by(&node_key, &issuer)?;

        write_private(&self.ca, ca_certificate.pem())?;
        write_private(&self.tls.certificate, node_certificate.pem())?;
        write_private(&self.tls.key, node_key.serialize_pem())?;
        write_private(&self.token, &new_token()?)?;
        Ok(())
    }

    /// Makes the certificate for browsers anew, unless a young one is there: pages that are open know its hash, and
    /// come back to a node that was started again.
    fn renew_browsers(&self, clock: &Clock) -> Result<(), Box<dyn std::error::Error>> {
        let TlsFiles { certificate, key } = &self.browsers;
        if let Ok(made) = std::fs::metadata(certificate).and_then(|file| file.modified()) {
            let made_ms = made.duration_since(UNIX_EPOCH)?.as_millis();
            let now_ms = u128::from(clock.wall_ms());
            let renewal_ms = u128::from(BROWSER_RENEWAL_DAYS * DAY_MS);
            if (made_ms..made_ms + renewal_ms).contains(&now_ms) {
                return Ok(());
            }
            // First, for a key that is not its own would be of no use.
            std::fs::remove_file(certificate)?;
        }
        // Names are not asked where the hash is.
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Selvedge development node");
        in_force(&mut params, BROWSER_DAYS);
        // ECDSA on P-256, as browsers ask.
        let pair = KeyPair::generate()?;
        let signed = params.self_signed(&pair)?;
        write_private(key, pair.serialize_pem())?;
        write_private(certificate, signed.pem())?;
        Ok(())
    }
}

/// How long a certificate for browsers is good: with the day before it, less than the two weeks that they allow.
const BROWSER_DAYS: u32 = 12;
/// At what age one is replaced when a node starts, which then has eight days until the next start.
const BROWSER_RENEWAL_DAYS: u64 = 3;

/// The authority of a development cluster, which signs the certificates of its nodes.
#[derive(Debug)]
pub(crate) struct DevelopmentPeers {
    authority: Authority,
    ca: PathBuf,
}

impl DevelopmentPeers {
    /// The authority of a data directory, made now where it is missing.
    pub(crate) fn ensure(by: &str, data_dir: &Path) -> Result<Self, CommandFailure> {
        let dir = data_dir.join(DIRECTORY);
        usable_dir(by, data_dir)?;
        usable_dir(by, &dir)?;
        let (ca, key) = (dir.join("peer-ca.pem"), dir.join("peer-ca.key"));
        // The certificate is written last: if it is there, the key is as well.
        let authority = match ca.exists() {
            true => Authority::read(&ca, &key),
            false => {
                // Of a start that was cut short.
                let _ = std::fs::remove_file(&key);
                Authority::make(&ca, &key, DEVELOPMENT_DAYS)
            }
        };
        let authority = authority.map_err(|error| unmade(&error))?;
        Ok(Self { authority, ca })
    }

    /// The certificate and key of a node, made now where they are missing or of another authority.
    pub(crate) fn ensure_node(
        &self,
        name: &str,
        certificate: &Path,
        key: &Path,
    ) -> Result<PeerFiles, CommandFailure> {
        let files = PeerFiles {
            ca: self.ca.clone(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        if Identity::read(&files).is_ok() {
            return Ok(files);
        }
        for useless in [certificate, key] {
            let _ = std::fs::remove_file(useless);
        }
        let subject = Subject {
            name,
            hosts: &[],
            days: DEVELOPMENT_DAYS,
        };
        let issued = self.authority.issue(&subject, certificate, key);
        issued.map_err(|error| unmade(&error))
    }
}

fn unmade(error: &AuthorityError) -> CommandFailure {
    let error = chain(error);
    CommandFailure::failed(format!("development certificates: {error}"))
}

/// Where the files are, in a data directory.
const DIRECTORY: &str = "development";

/// Nobody looks after the certificates of a development node.
const DEVELOPMENT_DAYS: u32 = 3_650;

/// 192 random bits, in the alphabet of URLs, with a prefix that secret scanners can find.
fn new_token() -> Result<String, aws_lc_rs::error::Unspecified> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random)?;
    let text = random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
    Ok(std::iter::once("selvedge-dev-".to_owned())
        .chain(text.map(String::from))
        .collect())
}

/// Makes a directory that only its owner can read, unless it is there, and sees that it can be written to.
/// `by` names what gave it.
pub(crate) fn usable_dir(by: &str, dir: &Path) -> Result<(), CommandFailure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir);
    let usable = made.and_then(|()| Ok(access(dir, Access::WRITE_OK)?));
    usable.map_err(|error| {
        let remedy = "give a directory that can be made and written to";
        CommandFailure::named(by, dir, &error, remedy)
    })
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: impl AsRef<[u8]>) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_ref())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_certificate_for_browsers_is_kept_while_it_is_young() {
        let dir = tempfile::tempdir().unwrap();
        let made = || {
            let files = DevelopmentFiles::ensure("here", dir.path()).unwrap();
            let read = |path: &Path| std::fs::read_to_string(path).unwrap();
            let TlsFiles { certificate, key } = &files.browsers;
            (read(certificate), read(key), read(&files.tls.certificate))
        };
        let first = made();
        assert_eq!(made(), first);
        let path = dir.path().join("development/browser.pem");
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        // Old, and of a clock that was ahead.
        for other in [modified - 4 * day, modified + 4 * day] {
            File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(other))
                .unwrap();
            let second = made();
            assert_ne!((&second.0, &second.1), (&first.0, &first.1));
            // What other clients see stays.
            assert_eq!(second.2, first.2);
        }
        // Left by a start that was cut short.
        std::fs::remove_file(&path).unwrap();
        made();
    }
}
