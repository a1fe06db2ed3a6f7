//! TLS between nodes: version 1.3 only, certificates of the cluster's authority on both ends. A node is
//! known by that authority, and by its name where one is expected; never by its address.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use selvedge_protocol::peer::ALPN;

use super::identity::Identity;

/// Whom a node that connects expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Any node of the cluster.
    Member,
    /// The node of the name that is asked for.
    Named,
}

/// Whether both ends can be made with this identity, and its certificate is the authority's.
pub(super) fn check(identity: &Identity) -> Result<(), Error> {
    server(identity)?;
    client(identity, Expected::Member)?;
    let Some((first, others)) = identity.chain.split_first() else {
        return Err(Error::NoCertificatesPresented);
    };
    let certificate = ParsedCertificate::try_from(first)?;
    let algorithms = provider().signature_verification_algorithms.all;
    // As of its own beginning or end it may not be in force, which is not asked here.
    let now = UnixTime::now();
    match verify_server_cert_signed_by_trust_anchor(
        &certificate,
        &identity.roots,
        others,
        now,
        algorithms,
    ) {
        Err(Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => Ok(()),
        checked => checked,
    }
}

/// What a node that listens is made of.
pub(super) fn server(identity: &Identity) -> Result<QuicServerConfig, Error> {
    let roots = Arc::new(identity.roots.clone());
    let members = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(members)
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Each connection shows its certificates anew, so that those which were replaced count for nothing.
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
}

/// What a node that connects is made of.
pub(super) fn client(identity: &Identity, expected: Expected) -> Result<QuicClientConfig, Error> {
    let verifier = Members {
        roots: identity.roots.clone(),
        provider: provider(),
        expected,
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|error| Error::General(error.to_string()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Believes the cluster's authority.
#[derive(Debug)]
struct Members {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
    expected: Expected,
}

impl ServerCertVerifier for Members {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        match self.expected {
            Expected::Member => {}
            Expected::Named => verify_server_name(&certificate, server_name)?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
