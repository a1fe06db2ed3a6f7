//! The nodes that are measured: an edge before the demo application on an embedded store.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use selvedge_cluster::Clock;
use selvedge_cluster::actor::HostConfig;
use selvedge_cluster::store::embedded::{Embedded, EmbeddedConfig};
use selvedge_cluster::store::migration;
use selvedge_node::app::Place;
use selvedge_node::demo_app;
use selvedge_node::edge::admission::{AdmissionConfig, Rate};
use selvedge_node::edge::{Edge, EdgeConfig, EdgeTls};
use selvedge_node::gateway::Gateway;
use selvedge_node::identity::{DevelopmentToken, ResumeKey, Secret};
use selvedge_node::session::{Inside, SessionConfig, Sessions, no_other_nodes};

use crate::Failed;

const ANY: Rate = Rate {
    per_second: 1_000_000,
    burst: 1_000_000,
};
const ONE: Rate = Rate {
    per_second: 1,
    burst: 1,
};

/// Serves until it is killed. What it does with first packets: as by default, or one thing with all of them.
pub(crate) async fn serve(what: &str, directory: &Path) -> Result<(), Failed> {
    let mut config = EdgeConfig::new((Ipv4Addr::LOCALHOST, 0).into());
    let all = AdmissionConfig {
        loopback: ANY,
        unproven: ANY,
        retries: ANY,
        refusals: ANY,
        ..AdmissionConfig::default()
    };
    match what {
        "default" => {}
        "accept" => config.admission = all,
        "retry" => {
            config.admission = AdmissionConfig {
                unproven: ONE,
                ..all
            }
        }
        "refuse" => {
            config.connections_max = 0;
            config.admission = all;
        }
        // Refuses as many a second as by default, and filters the others.
        "full" => config.connections_max = 0,
        "filter" => {
            config.connections_max = 0;
            config.admission = AdmissionConfig {
                refusals: ONE,
                ..all
            };
        }
        _ => return Err("no such node".into()),
    }
    let store = tempfile::tempdir_in(directory)?;
    let store = Arc::new(Embedded::open(EmbeddedConfig::new(store.path()))?);
    let clock = Clock::system();
    let meta = migration::prepare(&*store, &clock).await?;
    let place = Place {
        host: HostConfig {
            node: "figures".to_owned(),
            idle_ms: 60_000,
            slots: meta.slots,
        },
        index_shards: meta.index_shards,
        store,
        key: meta.session_key,
        clock: clock.clone(),
    };
    let application = demo_app::application()?.start(place).await?;
    let gateway = Gateway::new(&application);
    let inside = Inside {
        service: Arc::new(gateway),
        workers: None,
        authenticator: Arc::new(DevelopmentToken::new("figures", Secret::new("figures"))),
        resume_key: ResumeKey::new(&[0; 32]),
        clock,
        others: no_other_nodes(),
    };
    let sessions = Sessions::start(SessionConfig::new("figures"), inside).await?;
    let tls = EdgeTls {
        certificates: vec![CertificateDer::from(std::fs::read(
            directory.join("certificate"),
        )?)],
        key: PrivateKeyDer::try_from(std::fs::read(directory.join("key"))?)?,
        browsers: None,
    };
    let edge = Edge::bind(config, tls, sessions)?;
    println!("{}", edge.local_addr()?);
    Ok(edge.run(std::future::pending()).await?)
}
