//! `selvedge token`: logins with a password and what comes of them, asked of a node by HTTP, since who logs in is nobody yet.
//! Secrets come from files, never from the command line, which others see.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use selvedge_protocol::error::chain;
use selvedge_protocol::limits::TOKEN_BYTES_MAX;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::identity::check_origin;
use crate::operate::cli::{Token, WebFlags};
use crate::operate::commands::directory::word;
use crate::operate::commands::user::secret;
use crate::operate::failure::{CommandFailure, Exit};
use crate::operate::origin::flag_or_variable;
use crate::operate::output::Printer;
use crate::operate::profile::Profile;
use crate::processing::builtin::http::{Allowed, Fetch, Posted, Roots};

pub(crate) async fn token(printer: Printer, token: Token) -> Result<(), CommandFailure> {
    match token {
        Token::Login {
            username,
            password_file,
            client,
            tenant,
            web,
        } => {
            let password = secret("--password-file", "password", &password_file)?;
            let body = json!({
                "username": username, "password": *password, "client": client, "tenant": tenant,
            });
            let granted = Web::of(&web)?.json("/v1/login", &body).await?;
            let shown = json!({
                "accessToken": granted["accessToken"],
                "expiresIn": granted["expiresIn"],
                "refreshToken": granted["refreshToken"],
                "user": granted["user"],
                "login": granted["login"],
            });
            printer.result(&shown, printed);
        }
        Token::Refresh {
            token_file,
            client,
            web,
        } => {
            let shown = read(&token_file)?;
            let members = [
                ("grant_type", "refresh_token"),
                ("refresh_token", &**shown),
                ("client_id", &client),
            ];
            let granted = Web::of(&web)?.form("/oauth/token", &members, None).await?;
            let shown = json!({
                "accessToken": granted["access_token"],
                "expiresIn": granted["expires_in"],
                "refreshToken": granted["refresh_token"],
            });
            printer.result(&shown, printed);
        }
        Token::Revoke { token_file, web } => {
            let shown = read(&token_file)?;
            let members = [("token", &**shown)];
            Web::of(&web)?.form("/oauth/revoke", &members, None).await?;
            printer.result(&json!({ "revoked": true }), |_| {
                "it is good for nothing any more".to_owned()
            });
        }
        Token::Inspect {
            token_file,
            token,
            web,
        } => {
            let shown = read(&token_file)?;
            let by = match token {
                Some(token) => Zeroizing::new(token),
                None => of_profile(&web.data_dir)?,
            };
            let members = [("token", &**shown)];
            let web = Web::of(&web)?;
            let found = web.form("/oauth/introspect", &members, Some(&by)).await?;
            printer.result(&found, inspected);
        }
    }
    Ok(())
}

/// A node's HTTP.
struct Web {
    /// An origin.
    url: String,
    fetch: Fetch,
}

impl Web {
    fn of(flags: &WebFlags) -> Result<Self, CommandFailure> {
        let (by, url, own_ca) = match &flags.url {
            Some(url) => (flag_or_variable("url", url), url.clone(), None),
            None => {
                let found = Profile::load(&flags.data_dir)?
                    .and_then(|profile| Some((profile.url?, profile.ca_file)));
                let (url, ca) = found.ok_or_else(|| {
                    CommandFailure::usage(format!(
                        "no url: give --url or SELVEDGE_URL, or --data-dir of a `selvedge dev` node ({} has no profile that says it)",
                        flags.data_dir.display()
                    ))
                })?;
                ("the profile".to_owned(), url, Some(ca))
            }
        };
        check_origin(&url).map_err(|remedy| CommandFailure::usage(format!("{by}: {remedy}")))?;
        let roots = match flags.ca.as_ref().or(own_ca.as_ref()) {
            None => Roots::System,
            Some(path) => Roots::Only(authority(path)?),
        };
        let host = Url::parse(&url).ok().and_then(|url| allowed(&url));
        let host = host.ok_or_else(|| CommandFailure::usage(format!("{by}: it names no host")))?;
        Ok(Self {
            url,
            fetch: Fetch::trusting(host, roots),
        })
    }

    async fn json(&self, path: &str, body: &Value) -> Result<Value, CommandFailure> {
        self.post(path, "application/json", body.to_string(), None)
            .await
    }

    async fn form(
        &self,
        path: &str,
        members: &[(&str, &str)],
        by: Option<&str>,
    ) -> Result<Value, CommandFailure> {
        let body = Serializer::new(String::new())
            .extend_pairs(members)
            .finish();
        let media = "application/x-www-form-urlencoded";
        self.post(path, media, body, by).await
    }

    async fn post(
        &self,
        path: &str,
        media: &'static str,
        body: String,
        by: Option<&str>,
    ) -> Result<Value, CommandFailure> {
        let url = Url::parse(&format!("{}{path}", self.url))
            .map_err(|error| CommandFailure::failed(error.to_string()))?;
        let is_plain = |token: &str| token.bytes().all(|byte| byte.is_ascii_graphic());
        if !by.is_none_or(is_plain) {
            let message = "--token: it has characters that no token has";
            return Err(CommandFailure::usage(message));
        }
        let posted = Posted {
            url,
            media,
            body,
            bearer: by.map(str::to_owned),
        };
        let answered = self.fetch.post(posted, TIME_MAX, 4 * TOKEN_BYTES_MAX).await;
        let (status, text) = answered.map_err(|error| {
            let message = format!("{}: {}", self.url, chain(&error));
            CommandFailure::new(Exit::Unavailable, message)
        })?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        match status {
            200..300 => Ok(body),
            _ => Err(refused(status, &body)),
        }
    }
}

/// What a node says of why not, in either of its forms.
fn refused(status: u16, body: &Value) -> CommandFailure {
    let said = ["detail", "error_description"];
    let said = said.iter().find_map(|name| body[name].as_str());
    let message = said.map_or_else(|| format!("the node answered {status}"), str::to_owned);
    let exit = match status {
        503 | 504 => Exit::Unavailable,
        400 if body["error"] == "invalid_grant" => Exit::Refused,
        400 | 413 | 422 => Exit::Usage,
        401 | 403 | 429 => Exit::Refused,
        _ => Exit::Failed,
    };
    CommandFailure::new(exit, message)
}

fn authority(path: &Path) -> Result<Vec<CertificateDer<'static>>, CommandFailure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<_, _>>);
    let read: Vec<_> = read.map_err(|error| {
        let by = flag_or_variable("ca", path);
        CommandFailure::usage(format!(
            "{by} {}: {error}; give the PEM file of the authority that signs the node's certificate",
            path.display()
        ))
    })?;
    Ok(read)
}

/// The host that somebody has named may be a private one.
fn allowed(url: &Url) -> Option<Allowed> {
    Some(match url.host()? {
        Host::Domain(name) => Allowed::Host(name.to_owned()),
        Host::Ipv4(address) => Allowed::Network {
            base: address.into(),
            prefix_bits: 32,
        },
        Host::Ipv6(address) => Allowed::Network {
            base: address.into(),
            prefix_bits: 128,
        },
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, CommandFailure> {
    secret("--token-file", "token", path)
}

fn of_profile(data_dir: &Path) -> Result<Zeroizing<String>, CommandFailure> {
    let profile = Profile::load(data_dir)?;
    let token = profile.map(|profile| profile.token).ok_or_else(|| {
        CommandFailure::usage("no token: give --token or SELVEDGE_TOKEN of who may see users")
    })?;
    Ok(Zeroizing::new(token))
}

fn printed(granted: &Value) -> String {
    format!(
        "{}\n\nIt is good for {} s. The refresh token is printed by --output json.",
        word(&granted["accessToken"]),
        word(&granted["expiresIn"])
    )
}

fn inspected(found: &Value) -> String {
    if found["active"] != true {
        return "it is good for nothing".to_owned();
    }
    let expires = found["exp"].as_u64();
    let expires = expires.map(|at| selvedge_protocol::time::format(at.saturating_mul(1_000)));
    let expires = expires.unwrap_or_else(|| "-".to_owned());
    format!(
        "{} in {}, roles: {}, until {expires}",
        word(&found["sub"]),
        word(&found["tenant"]),
        word(&found["scope"])
    )
}

/// A password is hashed in a second, and may wait for others.
const TIME_MAX: Duration = Duration::from_secs(30);
