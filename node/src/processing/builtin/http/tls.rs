//! TLS of outgoing calls: whom they trust, and the handshake.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

/// Whose certificates are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the system, kept up by its updates.
    #[default]
    System,
    /// Only these.
    Only(Vec<CertificateDer<'static>>),
}

/// Connects with TLS. The roots are read at the first call: a node that makes none needs none.
pub(super) struct Tls {
    roots: Roots,
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub(super) fn new(roots: Roots) -> Self {
        Self {
            roots,
            connector: OnceCell::new(),
        }
    }

    /// TLS with the host of `url`, over a connection to it.
    pub(super) async fn connect(
        &self,
        url: &Url,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match url.host() {
            Some(Host::Domain(name)) => {
                ServerName::try_from(name.to_owned()).map_err(io::Error::other)?
            }
            Some(Host::Ipv4(address)) => ServerName::IpAddress(address.into()),
            Some(Host::Ipv6(address)) => ServerName::IpAddress(address.into()),
            None => return Err(io::Error::other("the URL names no host")),
        };
        let connector = self.connector.get_or_try_init(|| self.connector()).await?;
        connector.connect(name, stream).await
    }

    async fn connector(&self) -> io::Result<TlsConnector> {
        let roots = self.roots.clone();
        // It reads files.
        let config = tokio::task::spawn_blocking(move || config(roots));
        let config = config.await?.map_err(io::Error::other)?;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn config(roots: Roots) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match roots {
        Roots::System => builder.with_platform_verifier()?,
        Roots::Only(certificates) => {
            let mut store = RootCertStore::empty();
            for certificate in certificates {
                store.add(certificate)?;
            }
            builder.with_root_certificates(store)
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
