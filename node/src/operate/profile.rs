//! Where client commands go: flags and variables first, else the profile that `dev` or `demo` left in its
//! data directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use selvedge_client::{Client, ClientBuilder, Failure, Tenant};
use selvedge_protocol::servers;
use serde::{Deserialize, Serialize};

use crate::operate::certificates::write_private;
use crate::operate::cli::ClientFlags;
use crate::operate::failure::CommandFailure;
use crate::operate::origin::{flag_or_variable, in_file, variable};
use crate::operate::output::say;

/// How to reach a node. Holds a secret: readable by its owner only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Profile {
    /// `host:port` of the client port; of several nodes, separated by commas.
    pub(crate) server: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) token: String,
    /// Where it serves HTTP, `http://HOST:PORT`, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
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
                CommandFailure::usage(format!(
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
    let sources = Sources {
        data_dir: &flags.data_dir,
        profile: profile.as_ref(),
    };
    let by_flag = flags.server.as_ref().map(String::as_ref);
    let server = sources.given("server", by_flag, |it| ("server", it.server.as_ref()))?;
    let server = checked_server(server)?;
    let by_flag = flags.ca.as_ref().map(PathBuf::as_ref);
    let ca = sources.given("ca", by_flag, |it| ("caFile", it.ca_file.as_ref()))?;
    let ca = checked_authority(ca)?;
    let by_flag = flags.token.as_ref().map(String::as_ref);
    let token = sources.given("token", by_flag, |it| ("token", it.token.as_ref()))?;
    let mut builder = Client::builder()
        .server(server)
        .ca_file(ca)
        .token(token.1.to_string_lossy())
        .agent(AGENT)
        .on_refusal(say_why());
    if let Some(tenant) = &flags.tenant {
        Tenant::new(tenant.as_str()).map_err(|error| {
            let by = flag_or_variable("tenant", tenant);
            CommandFailure::usage(format!("{by}: {tenant:?} is no tenant: {error}"))
        })?;
        builder = builder.tenant(tenant);
    }
    Ok(builder)
}

/// What says where to go, beside flags and variables.
struct Sources<'a> {
    data_dir: &'a Path,
    profile: Option<&'a Profile>,
}

impl<'a> Sources<'a> {
    /// A value, and the name of what gave it.
    fn given(
        &self,
        key: &str,
        by_flag: Option<&'a OsStr>,
        of_profile: impl Fn(&'a Profile) -> (&'static str, &'a OsStr),
    ) -> Result<(String, &'a OsStr), CommandFailure> {
        if let Some(value) = by_flag {
            return Ok((flag_or_variable(key, value), value));
        }
        if let Some(profile) = self.profile {
            let (key, value) = of_profile(profile);
            return Ok((in_file(&self.data_dir.join(FILE), key), value));
        }
        Err(CommandFailure::usage(format!(
            "no {key}: give --{key} or {}, or --data-dir of a `selvedge dev` node ({} has no profile)",
            variable(key),
            self.data_dir.display(),
        )))
    }
}

/// Addresses by their form; whether anybody is there is found out later.
fn checked_server((by, given): (String, &OsStr)) -> Result<String, CommandFailure> {
    let given = given.to_string_lossy();
    let servers = servers::parse(&given)
        .map_err(|error| CommandFailure::usage(format!("{by}: {given:?}: {error}")))?;
    for server in servers {
        let (host, port) = server.rsplit_once(':').unwrap_or_default();
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(CommandFailure::usage(format!(
                "{by}: {server:?} is not an address: use HOST:PORT, for example localhost:7400; \
                 several are separated by commas"
            )));
        }
    }
    Ok(given.into_owned())
}

fn checked_authority((by, path): (String, &OsStr)) -> Result<&Path, CommandFailure> {
    let path = Path::new(path);
    let first = CertificateDer::pem_file_iter(path).and_then(|mut found| {
        let none = Err(pem::Error::NoItemsFound);
        found.next().unwrap_or(none)
    });
    match first {
        Ok(_) => Ok(path),
        Err(error) => Err(CommandFailure::usage(format!(
            "{by} {}: {error}; give the PEM file of the authority that signs the node's certificate",
            path.display()
        ))),
    }
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
    fn each_of_several_servers_is_checked() {
        let check = |text: &str| checked_server(("--server".to_owned(), text.as_ref()));
        for good in ["localhost:7400", "a:1,b:2, [::1]:3"] {
            assert_eq!(check(good).unwrap(), good);
        }
        let many = (0..17).map(|port| format!("a:{port}")).collect::<Vec<_>>();
        for (wrong, part) in [
            ("a:1,b", "\"b\" is not an address"),
            ("a:1,:2", "HOST:PORT"),
            ("a:1,,b:2", "missing"),
            ("", "missing"),
            (&many.join(","), "at most 16"),
        ] {
            let said = check(wrong).unwrap_err().message;
            assert!(said.contains(part) && said.contains("--server"), "{said}");
        }
    }

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
