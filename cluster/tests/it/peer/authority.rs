//! Authorities and certificates for tests, made on the spot.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use selvedge_cluster::peer::{PeerFiles, node_domain};

/// A cluster's authority.
#[derive(Debug)]
pub(crate) struct Authority {
    algorithm: &'static SignatureAlgorithm,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// How long a certificate is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Now,
    Expired,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::signing_with(&PKCS_ECDSA_P256_SHA256)
    }

    pub(crate) fn signing_with(algorithm: &'static SignatureAlgorithm) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Selvedge cluster CA");
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            algorithm,
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Writes the three files of a node into a directory, in place of what is there.
    pub(crate) fn issue(&self, directory: &Path, node: &str, validity: Validity) -> PeerFiles {
        let mut params = CertificateParams::new(vec![node_domain(node)]).unwrap();
        // Nobody revokes any; those that are made of keys differ in length.
        params.serial_number = Some(SerialNumber::from(1));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate_for(self.algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = PeerFiles {
            ca: directory.join("ca.pem"),
            certificate: directory.join(format!("{node}.pem")),
            key: directory.join(format!("{node}.key")),
        };
        fs::write(&files.ca, &self.certificate).unwrap();
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}
