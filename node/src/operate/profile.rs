//! Where client commands go: flags and variables first, else the profile that `dev` or `demo` left in its
//! data directory.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use selvedge_client::{Client, ClientBuilder, Failure};
use serde::{Deserialize, Serialize};

use crate::operate::certificates::write_private;
use crate::operate::cli::ClientFlags;
use crate::operate::failure::CommandFailure;
use crate::operate::output::say;

/// How to reach a node. Holds a secret: readable by its owner only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Profile {
    /// `host:port` of the client port.
    pub(crate) server: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) token: String,
}

impl Profile {
    /// A client of the node, not connected yet.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder()
            .server(&self.server)
            .ca_file(&self.ca_file)
            .token(&self.token)
            .agent(AGENT)
            .on_refusal(say_why())
    }

    /// Leaves the profile in a data directory.
    pub(crate) fn save(&self, data_dir: &Path) -> Result<(), CommandFailure> {
        let path = data_dir.join(FILE);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        write_private(&path, &text).map_err(|error| CommandFailure::file(&path, &error))
    }

    /// The profile of a data directory; `None` where there is none.
    pub(crate) fn load(data_dir: &Path) -> Result<Option<Self>, CommandFailure> {
        let path = data_dir.join(FILE);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CommandFailure::file(&path, &error)),
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
                CommandFailure::failed(format!(
                    "{} is not a profile ({error}): run `selvedge dev` again on this data \
                         directory, or give --server, --ca and --token",
                    path.display()
                ))
            }),
        }
    }
}

/// Whether the flags or a profile say where to go.
pub(crate) fn is_known(flags: &ClientFlags) -> bool {
    flags.server.is_some() || matches!(Profile::load(&flags.data_dir), Ok(Some(_)))
}

/// Connects where the flags, variables or the profile say.
pub(crate) async fn connect(flags: &ClientFlags) -> Result<Client, CommandFailure> {
    Ok(builder(flags)?.connect().await?)
}

/// Where the flags, variables or the profile say, not connected yet.
pub(crate) fn builder(flags: &ClientFlags) -> Result<ClientBuilder, CommandFailure> {
    let profile = Profile::load(&flags.data_dir)?;
    let missing = |what: &str| {
        CommandFailure::usage(format!(
            "no {what}: give --{what} or SELVEDGE_{}, or --data-dir of a `selvedge dev` node \
             ({} has no profile)",
            what.to_uppercase(),
            flags.data_dir.display(),
        ))
    };
    let profile = profile.as_ref();
    let server = flags.server.as_ref().or_else(|| profile.map(|p| &p.server));
    let ca = flags.ca.as_ref().or_else(|| profile.map(|p| &p.ca_file));
    let token = flags.token.as_ref().or_else(|| profile.map(|p| &p.token));
    let server = server.ok_or_else(|| missing("server"))?;
    let mut builder = Client::builder()
        .server(server)
        .ca_file(ca.ok_or_else(|| missing("ca"))?)
        .token(token.ok_or_else(|| missing("token"))?)
        .agent(AGENT)
        .on_refusal(say_why());
    if let Some(tenant) = &flags.tenant {
        builder = builder.tenant(tenant);
    }
    Ok(builder)
}

/// Says on standard error why a call is not answered yet, once for each reason.
fn say_why() -> impl Fn(&Failure) + Send + Sync + 'static {
    let said = Mutex::new(Vec::new());
    move |failure| {
        let mut said = said.lock();
        if said.len() < REASONS_MAX && !said.contains(&failure.message) {
            say(&format!(
                "still waiting: {}; retrying for up to 30 s",
                failure.message
            ));
            said.push(failure.message.clone());
        }
    }
}

/// More reasons than a person reads.
const REASONS_MAX: usize = 8;

/// What this program is called in a node's logs.
const AGENT: &str = concat!("selvedge-cli/", env!("CARGO_PKG_VERSION"));

const FILE: &str = "profile.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_garbled_profile_is_named_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "garbage").unwrap();
        let said = Profile::load(dir.path()).unwrap_err().message;
        for part in [FILE, "selvedge dev"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
