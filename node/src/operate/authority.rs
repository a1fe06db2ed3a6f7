//! The authority of a cluster, and the certificates by which its nodes know each other. `selvedge cluster`
//! makes them for good, `dev` for itself.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use selvedge_cluster::Clock;
use selvedge_cluster::peer::{Identity, PeerFiles, node_domain};
use selvedge_protocol::error::chain;
use selvedge_protocol::time;

/// Why an authority or certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The name of a host cannot be in a certificate.
    #[error("{host:?} is no host name or IP address")]
    Host {
        host: String,
        #[source]
        source: rcgen::Error,
    },
    /// What is in ca.key is no key, or another failure of the library.
    #[error("the certificate cannot be made")]
    Make(#[source] rcgen::Error),
    /// The files of the authority do not belong together.
    #[error("ca.pem and ca.key do not belong together: {0}")]
    Unfit(String),
}

/// Whom a certificate is for.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    /// The node's name.
    pub(crate) name: &'a str,
    /// Also in the certificate.
    pub(crate) hosts: &'a [String],
    pub(crate) days: u32,
}

/// An authority that can sign.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca: PathBuf,
}

impl Authority {
    /// Makes an authority: its certificate and its key, each in a file that is not there yet.
    pub(crate) fn make(ca: &Path, key: &Path, days: u32) -> Result<Self, AuthorityError> {
        let mut params = params();
        in_force(&mut params, days);
        let pair = KeyPair::generate().map_err(AuthorityError::Make)?;
        let certificate = params.self_signed(&pair).map_err(AuthorityError::Make)?;
        write_new(key, Mode::Private, &pair.serialize_pem())?;
        write_new(ca, Mode::Public, &certificate.pem())?;
        Ok(Self {
            issuer: Issuer::new(params, pair),
            ca: ca.to_owned(),
        })
    }

    /// Reads an authority that was made before.
    pub(crate) fn read(ca: &Path, key: &Path) -> Result<Self, AuthorityError> {
        for path in [ca, key] {
            std::fs::metadata(path).map_err(|source| file(path, source))?;
        }
        let text = std::fs::read_to_string(key).map_err(|source| file(key, source))?;
        let pair = KeyPair::from_pem(&text).map_err(AuthorityError::Make)?;
        Ok(Self {
            issuer: Issuer::new(params(), pair),
            ca: ca.to_owned(),
        })
    }

    /// Makes a node's certificate and key, each in a file that is not there yet.
    pub(crate) fn issue(
        &self,
        subject: &Subject<'_>,
        certificate: &Path,
        key: &Path,
    ) -> Result<PeerFiles, AuthorityError> {
        for host in subject.hosts {
            CertificateParams::new(vec![host.clone()]).map_err(|source| AuthorityError::Host {
                host: host.clone(),
                source,
            })?;
        }
        let mut names = vec![node_domain(subject.name)];
        names.extend_from_slice(subject.hosts);
        let mut params = CertificateParams::new(names).map_err(AuthorityError::Make)?;
        params
            .distinguished_name
            .push(DnType::CommonName, subject.name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A node both connects and is connected to.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        in_force(&mut params, subject.days);
        let pair = KeyPair::generate().map_err(AuthorityError::Make)?;
        let signed = params
            .signed_by(&pair, &self.issuer)
            .map_err(AuthorityError::Make)?;
        write_new(key, Mode::Private, &pair.serialize_pem())?;
        if let Err(error) = write_new(certificate, Mode::Public, &signed.pem()) {
            // Made just now, and of no use alone.
            let _ = std::fs::remove_file(key);
            return Err(error);
        }
        let files = PeerFiles {
            ca: self.ca.clone(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        };
        if let Err(error) = Identity::read(&files) {
            for path in [certificate, key] {
                let _ = std::fs::remove_file(path);
            }
            return Err(AuthorityError::Unfit(chain(&error)));
        }
        Ok(files)
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    // It signs nodes, and no other authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Always the same, so that the key alone is enough to sign.
    params
        .distinguished_name
        .push(DnType::CommonName, "Selvedge cluster CA");
    params
}

/// From yesterday, for clocks that are late, on.
pub(super) fn in_force(params: &mut CertificateParams, days: u32) {
    let now_ms = Clock::system().wall_ms();
    let (year, month, day) = date(now_ms.saturating_sub(DAY_MS));
    params.not_before = date_time_ymd(year, month, day);
    let (year, month, day) = date(now_ms.saturating_add(DAY_MS * u64::from(days)));
    params.not_after = date_time_ymd(year, month, day);
}

/// The year, month and day of a time.
fn date(unix_ms: u64) -> (i32, u8, u8) {
    let text = time::format(unix_ms);
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse().ok();
    let year = text.get(0..4).and_then(|part| part.parse().ok());
    (
        year.unwrap_or(1970),
        part(5..7).unwrap_or(1),
        part(8..10).unwrap_or(1),
    )
}

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Private,
    Public,
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: Mode, text: &str) -> Result<(), AuthorityError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mode = match mode {
        Mode::Private => 0o600,
        Mode::Public => 0o644,
    };
    let mut options = std::fs::OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut to| to.write_all(text.as_bytes()).and_then(|()| to.sync_all()));
    written.map_err(|source| file(path, source))
}

fn file(path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File {
        path: path.to_owned(),
        source,
    }
}

pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
