//! `[[identity.clients]]` of a configuration: the programs that users of the cluster log in with by OAuth 2, and where they
//! may have them sent back to.
//!
//! ```toml
//! [[identity.clients]]
//! id = "desk"
//! name = "The desk"                                   # shown where users log in; left out: the id
//! redirect_uris = ["https://desk.example.org/back"]   # or http on a loopback address, of whatever port
//! ```
//!
//! All are public: what they show is the verifier of a code (RFC 7636), and no secret. The bridge asks whether a request is of
//! one of them; nothing here knows a request. Pure.

mod redirect;

use std::sync::Arc;

use selvedge_protocol::limits::{
    CLIENT_TITLE_CHARS_MAX, NAME_BYTES_MAX, OAUTH_CLIENTS_MAX, REDIRECT_URIS_MAX,
};
use serde::{Deserialize, Serialize};

pub use redirect::RedirectUri;
pub(crate) use redirect::form_action;

/// One of these tables as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientTable {
    pub id: String,
    pub name: Option<String>,
    pub redirect_uris: Vec<String>,
}

/// The clients of a cluster, checked. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<[Client]>);

/// A program that users log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    id: String,
    name: Option<String>,
    redirect_uris: Vec<RedirectUri>,
}

/// A field that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("identity.clients[{at}].{field}: {remedy}")]
pub struct WrongClient {
    /// Which table, from 0.
    pub at: usize,
    pub field: &'static str,
    pub remedy: String,
}

/// A field and a remedy.
type Wrong = (&'static str, String);

/// The client that is built in: the console of a node, which is sent back to the node that it came from.
pub const CONSOLE: &str = "console";

impl Clients {
    /// Checks every field of all tables. `issuer` is the name of the cluster in its tokens, where it is configured.
    pub fn checked(tables: Vec<ClientTable>, issuer: Option<&str>) -> Result<Self, WrongClient> {
        let mut clients: Vec<Client> = Vec::new();
        for (at, table) in tables.into_iter().enumerate() {
            let wrong = |(field, remedy)| WrongClient { at, field, remedy };
            if at >= OAUTH_CLIENTS_MAX {
                let remedy = format!("have at most {OAUTH_CLIENTS_MAX} clients");
                return Err(wrong(("id", remedy)));
            }
            let client = Client::checked(table).map_err(wrong)?;
            if clients.iter().any(|known| known.id == client.id) {
                let remedy = format!("{:?} is there twice; make one table of the two", client.id);
                return Err(wrong(("id", remedy)));
            }
            if issuer == Some(&*client.id) {
                // What is for the client would be for the cluster.
                let remedy = "this is the name of the issuer; use another".to_owned();
                return Err(wrong(("id", remedy)));
            }
            clients.push(client);
        }
        Ok(Self(clients.into()))
    }

    pub fn find(&self, id: &str) -> Option<&Client> {
        self.0.iter().find(|client| client.id == id)
    }

    /// Whether pages of this origin are of a client.
    pub fn has_page_of(&self, origin: &str) -> bool {
        let mut all = self.0.iter().flat_map(|client| &client.redirect_uris);
        all.any(|uri| uri.origin() == origin)
    }
}

impl Client {
    fn checked(table: ClientTable) -> Result<Self, Wrong> {
        let ClientTable {
            id,
            name,
            redirect_uris,
        } = table;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=NAME_BYTES_MAX).contains(&id.len()) || !id.bytes().all(is_plain) {
            let remedy = format!("use 1 to {NAME_BYTES_MAX} of a-z, A-Z, 0-9 and ._-");
            return Err(("id", remedy));
        }
        if id == CONSOLE {
            let remedy = "the client of this name is built in; use another name".to_owned();
            return Err(("id", remedy));
        }
        if let Some(name) = &name {
            let is_line = !name.chars().any(char::is_control);
            if !(1..=CLIENT_TITLE_CHARS_MAX).contains(&name.chars().count()) || !is_line {
                let remedy = format!("give 1 to {CLIENT_TITLE_CHARS_MAX} characters in one line");
                return Err(("name", remedy));
            }
        }
        if !(1..=REDIRECT_URIS_MAX).contains(&redirect_uris.len()) {
            let remedy = format!("give 1 to {REDIRECT_URIS_MAX} of them");
            return Err(("redirect_uris", remedy));
        }
        let uris = redirect_uris
            .iter()
            .map(|text| RedirectUri::registered(text));
        let uris: Result<Vec<_>, String> = uris.collect();
        Ok(Self {
            id,
            name,
            redirect_uris: uris.map_err(|remedy| ("redirect_uris", remedy))?,
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What users know it by.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// Whether it may have users sent back to this place.
    pub fn is_at(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known.is(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Clients, WrongClient> {
        #[derive(Deserialize)]
        struct Tables {
            clients: Vec<ClientTable>,
        }
        let tables: Tables = toml::from_str(text).unwrap();
        Clients::checked(tables.clients, Some("acme"))
    }

    #[test]
    fn a_client_is_found_by_its_id_and_its_places() {
        let clients = table(
            "[[clients]]\nid = 'desk'\nname = 'The desk'\nredirect_uris = ['https://desk.example/back', 'http://127.0.0.1/cb']\n\
             [[clients]]\nid = 'tool'\nredirect_uris = ['http://[::1]/cb']\n",
        )
        .unwrap();
        let desk = clients.find("desk").unwrap();
        assert_eq!(
            (desk.title(), clients.find("tool").unwrap().title()),
            ("The desk", "tool")
        );
        assert!(desk.is_at("https://desk.example/back") && desk.is_at("http://127.0.0.1:9/cb"));
        assert!(!desk.is_at("http://[::1]/cb"));
        for none in ["", "DESK", "console", "desk "] {
            assert!(clients.find(none).is_none(), "{none}");
        }
        assert!(clients.has_page_of("https://desk.example"));
        for other in [
            "https://desk.example:8443",
            "http://desk.example",
            "null",
            "",
        ] {
            assert!(!clients.has_page_of(other), "{other}");
        }
    }

    #[test]
    fn wrong_tables_name_their_field() {
        let uris = "redirect_uris = ['https://a.example/']";
        for (text, said) in [
            (format!("id = 'a b'\n{uris}"), "clients[0].id"),
            (format!("id = ''\n{uris}"), "clients[0].id"),
            (format!("id = 'https://a'\n{uris}"), "clients[0].id"),
            (format!("id = 'console'\n{uris}"), "built in"),
            (format!("id = 'acme'\n{uris}"), "the name of the issuer"),
            (format!("id = 'a'\nname = ''\n{uris}"), "clients[0].name"),
            (
                format!("id = 'a'\nname = \"a\\nb\"\n{uris}"),
                "clients[0].name",
            ),
            (
                "id = 'a'\nredirect_uris = []".to_owned(),
                "clients[0].redirect_uris",
            ),
            (
                "id = 'a'\nredirect_uris = ['*']".to_owned(),
                "clients[0].redirect_uris",
            ),
            (
                format!("id = 'a'\n{uris}\n[[clients]]\nid = 'a'\n{uris}"),
                "clients[1].id",
            ),
        ] {
            let refused = table(&format!("[[clients]]\n{text}")).unwrap_err();
            assert!(refused.to_string().contains(said), "{text}: {refused}");
        }
    }
}
