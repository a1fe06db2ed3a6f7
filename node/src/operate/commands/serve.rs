//! `selvedge dev` and `selvedge start`: run a node until it is told to stop, then drain it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use selvedge_client::Client;
use selvedge_cluster::membership::Role;
use selvedge_cluster::peer::PeerFiles;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::Application;
use crate::identity::Secret;
use crate::operate::certificates::{DevelopmentFiles, write_private};
use crate::operate::cli::{Dev, NodeFlags, Start};
use crate::operate::commands::dev_cluster;
use crate::operate::config::NodeConfig;
use crate::operate::failure::CommandFailure;
use crate::operate::node::{Node, NodeFiles};
use crate::operate::output::Printer;
use crate::operate::peer;
use crate::operate::profile::Profile;
use crate::operate::storage::StorageNode;
use crate::operate::tls_files::TlsFiles;

/// What `--ready-file` gets. Addresses carry their real ports; `null` is not served by this node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    pub(super) node: String,
    pub(super) quic: Option<String>,
    pub(super) peer: Option<String>,
    pub(super) http: Option<String>,
    pub(super) console: Option<String>,
    /// Only where the token was made for development.
    pub(super) token: Option<String>,
    pub(super) ca_file: Option<String>,
}

/// A development node with a client on it.
#[derive(Debug)]
pub(crate) struct Development {
    pub(crate) node: Node,
    pub(crate) client: Client,
    pub(crate) profile: Profile,
}

impl Development {
    /// Ends the client's session, then drains the node.
    pub(crate) async fn stop(self) {
        self.client.close().await;
        self.node.drain().await;
    }
}

/// Starts a node with development files and leaves a profile for client commands.
pub(crate) async fn start_development(
    flags: &NodeFlags,
    application: Application,
) -> Result<Development, CommandFailure> {
    let config = NodeConfig::load(flags)?;
    let (node, profile) = start_with_development_files(&config, application).await?;
    let client = profile.builder().connect().await?;
    Ok(Development {
        node,
        client,
        profile,
    })
}

async fn start_with_development_files(
    config: &NodeConfig,
    application: Application,
) -> Result<(Node, Profile), CommandFailure> {
    let files = DevelopmentFiles::ensure(&config.origin("data_dir"), &config.data_dir)?;
    let token = read_token("development token", &files.token)?;
    let own = config.tls.edge.as_ref();
    // Whoever gives a certificate of his own has one that browsers know, or gives them another as well.
    let own_browsers = config.tls.browsers.as_ref();
    let browsers = own_browsers.or_else(|| own.is_none().then_some(&files.browsers));
    let files_of_node = NodeFiles {
        tls: shows_certificate(config).then(|| own.unwrap_or(&files.tls).clone()),
        browsers: browsers.cloned(),
        peer: peer::of_development(config)?,
        development_key: Some(files.privacy.clone()),
    };
    let node = Node::start(
        config,
        &files_of_node,
        Secret::new(token.clone()),
        application,
    )
    .await?;
    let profile = Profile {
        server: node
            .quic_address()
            .map_or_else(String::new, |quic| quic.to_string()),
        ca_file: std::path::absolute(&files.ca).unwrap_or(files.ca),
        token,
        url: node
            .console()
            .map(|console| console.trim_end_matches('/').to_owned()),
    };
    profile.save(&config.data_dir)?;
    Ok((node, profile))
}

pub(crate) async fn dev(
    printer: Printer,
    dev: Dev,
    application: Application,
) -> Result<(), CommandFailure> {
    dev.tied.hold()?;
    let config = NodeConfig::load(&dev.node)?;
    if dev.nodes > 1 {
        // Its nodes build applications of their own; this one was built as far as that can fail.
        drop(application);
        return dev_cluster::run(printer, &config, dev.nodes).await;
    }
    if config.is_storage() {
        return storage(printer, &config, peer::of_development(&config)?).await;
    }
    let (node, profile) = start_with_development_files(&config, application).await?;
    let ready = Ready {
        node: node.name().to_owned(),
        quic: node.quic_address().map(|quic| quic.to_string()),
        peer: node.peer_address().map(|peer| peer.to_string()),
        http: node.http_address().map(|http| http.to_string()),
        console: node.console(),
        token: Some(profile.token.clone()),
        ca_file: Some(profile.ca_file.display().to_string()),
    };
    let hint = format!(
        "try, in another terminal:\n  selvedge actor watch room/42 --data-dir {0}\n  \
         selvedge actor send room/42 say '{{\"text\":\"hello\"}}' --data-dir {0}",
        config.data_dir.display()
    );
    let announced = || {
        announce(printer, &config, &ready)?;
        printer.note(&hint);
        Ok(())
    };
    serve(printer, Serving::Node(Box::new(node)), announced).await
}

pub(crate) async fn start(
    printer: Printer,
    start: Start,
    application: Application,
) -> Result<(), CommandFailure> {
    start.tied.hold()?;
    let config = NodeConfig::load(&start.node)?;
    let peer = peer::required(&config)?;
    if config.is_storage() {
        return storage(printer, &config, peer).await;
    }
    let (tls, token) = credentials(printer, &config)?;
    let tls = shows_certificate(&config).then_some(tls);
    let browsers = config.tls.browsers.clone();
    let files = NodeFiles {
        tls,
        browsers,
        peer,
        development_key: None,
    };
    let node = Node::start(&config, &files, Secret::new(token), application).await?;
    let ready = Ready {
        node: node.name().to_owned(),
        quic: node.quic_address().map(|quic| quic.to_string()),
        peer: node.peer_address().map(|peer| peer.to_string()),
        http: node.http_address().map(|http| http.to_string()),
        console: node.console(),
        token: None,
        ca_file: None,
    };
    let announced = || announce(printer, &config, &ready);
    serve(printer, Serving::Node(Box::new(node)), announced).await
}

/// Whether clients are served, over QUIC or HTTP.
fn shows_certificate(config: &NodeConfig) -> bool {
    config.has(Role::Edge) || config.has(Role::Bridge)
}

/// Runs a storage node.
async fn storage(
    printer: Printer,
    config: &NodeConfig,
    files: Option<PeerFiles>,
) -> Result<(), CommandFailure> {
    let Some(files) = files else {
        return Err(CommandFailure::failed("a storage node has no certificates"));
    };
    warn_of_open(printer, [&files.key]);
    let node = StorageNode::start(config, &files).await?;
    let ready = Ready {
        node: node.name().to_owned(),
        quic: None,
        peer: Some(node.peer_address().to_string()),
        http: None,
        console: None,
        token: None,
        ca_file: None,
    };
    let announced = || announce(printer, config, &ready);
    serve(printer, Serving::Storage(node), announced).await
}

/// What `start` needs beside its configuration: real certificates and a token.
pub(crate) fn credentials(
    printer: Printer,
    config: &NodeConfig,
) -> Result<(TlsFiles, String), CommandFailure> {
    let missing = |field: &str, what: &str| {
        CommandFailure::usage(format!(
            "{field} is not set: `start` needs {what} in its --config file \
             (`selvedge dev` makes development ones)"
        ))
    };
    let by = config.origin("token_file");
    let token = config.token_file.as_deref();
    let token = token.map(|path| read_token(&by, path)).transpose()?;
    let tls = config.tls.edge.clone().ok_or_else(|| {
        missing(
            "[tls] with its certificate and key",
            "the files of real certificates",
        )
    })?;
    let token = token.ok_or_else(|| missing("token_file", "the file of a credential"))?;
    let secrets = config.token_file.iter().chain([&tls.key]);
    warn_of_open(printer, secrets.chain(&config.privacy.key_file));
    Ok((tls, token))
}

/// Warns of secrets that are none.
fn warn_of_open<'a>(printer: Printer, paths: impl IntoIterator<Item = &'a PathBuf>) {
    for path in paths {
        let is_open = |file: std::fs::Metadata| file.permissions().mode() & 0o004 != 0;
        if std::fs::metadata(path).is_ok_and(is_open) {
            printer.warn(&format!(
                "warning: {0} can be read by everybody on this machine: chmod 600 {0}",
                path.display()
            ));
        }
    }
}

/// A node of either sort.
#[derive(Debug)]
enum Serving {
    Node(Box<Node>),
    Storage(StorageNode),
}

impl Serving {
    async fn failed(&mut self) -> CommandFailure {
        match self {
            Self::Node(node) => node.failed().await,
            Self::Storage(node) => node.failed().await,
        }
    }

    /// Completes when it serves.
    fn ready(&self) -> impl Future<Output = ()> + use<> {
        let ready = match self {
            Self::Node(node) => Some(node.ready()),
            // From its start on.
            Self::Storage(_) => None,
        };
        async move {
            if let Some(ready) = ready {
                ready.await;
            }
        }
    }

    async fn drain(self) {
        match self {
            Self::Node(node) => node.drain().await,
            Self::Storage(node) => node.drain().await,
        }
    }
}

/// Until told to stop, then drains. Says that the node is ready as soon as it is.
async fn serve(
    printer: Printer,
    mut node: Serving,
    announced: impl FnOnce() -> Result<(), CommandFailure>,
) -> Result<(), CommandFailure> {
    // Whoever reads that the node is ready may stop it in the next moment.
    let mut stop = pin!(wait_for_stop());
    let is_ready = tokio::select! {
        biased;
        () = node.ready() => true,
        () = &mut stop => false,
        failure = node.failed() => return Err(failure),
    };
    if is_ready {
        announced()?;
        tokio::select! {
            () = stop => {}
            failure = node.failed() => return Err(failure),
        }
    }
    printer.warn("draining");
    node.drain().await;
    Ok(())
}

/// Writes what is ready where the configuration says.
pub(super) fn leave_ready_file(
    config: &NodeConfig,
    ready: &impl Serialize,
) -> Result<(), CommandFailure> {
    let Some(path) = &config.ready_file else {
        return Ok(());
    };
    let text = serde_json::to_string(ready).unwrap_or_default();
    write_private(path, &text).map_err(|error| {
        let remedy = "give a file that can be written";
        CommandFailure::named(&config.origin("ready_file"), path, &error, remedy)
    })
}

/// Says that the node serves: to people, and to the ready file.
fn announce(printer: Printer, config: &NodeConfig, ready: &Ready) -> Result<(), CommandFailure> {
    leave_ready_file(config, ready)?;
    printer.result(ready, |ready| {
        let mut text = match (&ready.quic, &ready.peer) {
            (Some(quic), _) => format!("{} serves clients at {quic} (QUIC)", ready.node),
            (None, Some(peer)) => format!("{} serves other nodes at {peer}", ready.node),
            (None, None) => ready.node.clone(),
        };
        if let Some(console) = &ready.console {
            text.push_str("\nconsole: ");
            text.push_str(console);
        }
        if let Some(token) = &ready.token {
            text.push_str("\ntoken: ");
            text.push_str(token);
        }
        text
    });
    Ok(())
}

pub(super) fn read_token(by: &str, path: &std::path::Path) -> Result<String, CommandFailure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let remedy = "give a file with one token of 16 characters or more";
        CommandFailure::named(by, path, &error, remedy)
    })?;
    let token = text.trim().to_owned();
    // A guessable credential is none: 16 characters are 80 bits even in base 32.
    if token.len() < 16 {
        return Err(CommandFailure::usage(format!(
            "{by} {}: a token has at least 16 characters; this one has {}",
            path.display(),
            token.len()
        )));
    }
    Ok(token)
}

/// Completes at the first SIGINT or SIGTERM from this call on; a second one ends the process at once.
pub(crate) fn wait_for_stop() -> impl Future<Output = ()> {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            tracing::error!("signals cannot be received; stop the process with SIGKILL");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    }
}

/// How long anything in the process may take to end after the drain.
pub(crate) const EXIT_GRACE: Duration = Duration::from_secs(5);
