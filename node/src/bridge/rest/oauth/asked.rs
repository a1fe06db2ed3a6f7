//! What a client asks for when it sends a user to the page (RFC 6749, 4.1.1; RFC 7636; OpenID Connect Core 1.0, 3.1.2.1), and
//! where the answer goes. Pure.
//!
//! Who is not known, or wants users sent to a place that is not theirs, is told so on a page and sent nowhere.

use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{
    OAUTH_NONCE_BYTES_MAX, OAUTH_SCOPE_BYTES_MAX, OAUTH_STATE_BYTES_MAX,
};
use url::form_urlencoded::Serializer;

use crate::bridge::rest::oauth::form::Members;
use crate::identity::{CONSOLE, Challenge, Clients, CodeAsked, IdToken};

/// A request of a client, all of it checked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: String,
    /// What users know the client by.
    pub(super) title: String,
    pub(super) tenant: Tenant,
    challenge: Challenge,
    id_token: IdToken,
    back: Back,
    /// What was asked for as it came, by name.
    pub(super) given: Vec<(&'static str, String)>,
}

/// The way back to the client.
#[derive(Debug, Clone)]
pub(super) struct Back {
    pub(super) redirect_uri: String,
    state: Option<String>,
}

/// A request that is none.
#[derive(Debug)]
pub(super) enum NotAsked {
    /// There is no way back: what to tell whoever has opened the page.
    Nowhere(&'static str),
    /// The client is told an error and a description.
    Back(Back, &'static str, &'static str),
}

/// Whom requests can be from.
pub(super) struct Known<'a, F> {
    pub(super) clients: &'a Clients,
    /// Whether this is the console of this node.
    pub(super) is_console: F,
}

/// What a request has that counts, in the order in which the page has it.
const NAMES: [&str; 8] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "nonce",
    "tenant",
];
const STATE: &str = "state";

impl Asked {
    pub(super) fn parse(
        members: &Members,
        known: &Known<'_, impl Fn(&str) -> bool>,
    ) -> Result<Self, NotAsked> {
        let (client, title, redirect_uri) = whose(members, known)?;
        let state = members.text(STATE);
        let is_fit = |text: &str, bytes_max: usize| {
            text.len() <= bytes_max && !text.contains(char::is_control)
        };
        let is_state_fit = state.is_none_or(|it| is_fit(it, OAUTH_STATE_BYTES_MAX));
        let back = Back {
            redirect_uri,
            state: state.filter(|_| is_state_fit).map(str::to_owned),
        };
        let refuse = |error, what| Err(NotAsked::Back(back.clone(), error, what));
        if members.are_wrong() {
            return refuse(INVALID, "a parameter is given twice, or there are too many");
        }
        if !is_state_fit {
            return refuse(INVALID, "state is too long or has control characters");
        }
        if let Some((error, what)) = unsupported(members) {
            return refuse(error, what);
        }
        if members.text("code_challenge_method") != Some("S256") {
            return refuse(
                INVALID,
                "PKCE is needed: code_challenge_method must be S256",
            );
        }
        let challenge = members.text("code_challenge").and_then(Challenge::parse);
        let Some(challenge) = challenge else {
            return refuse(
                INVALID,
                "PKCE is needed: code_challenge must be a SHA-256 in base64url",
            );
        };
        let nonce = members.text("nonce");
        if nonce.is_some_and(|it| !is_fit(it, OAUTH_NONCE_BYTES_MAX)) {
            return refuse(INVALID, "nonce is too long or has control characters");
        }
        let scope = members.text("scope").unwrap_or_default();
        if !is_fit(scope, OAUTH_SCOPE_BYTES_MAX) {
            return refuse(
                "invalid_scope",
                "scope is too long or has control characters",
            );
        }
        let tenant = members.text("tenant").map(Tenant::new).transpose();
        let Ok(tenant) = tenant else {
            return refuse(INVALID, "tenant is none: use 1 to 63 of a-z, 0-9 and -");
        };
        let id_token = match scope.split(' ').any(|word| word == OPENID) {
            false => IdToken::NotAsked,
            true => IdToken::Asked {
                nonce: nonce.map(str::to_owned),
            },
        };
        let given = NAMES.into_iter().chain([STATE]);
        let given = given.filter_map(|name| Some((name, members.text(name)?.to_owned())));
        Ok(Self {
            tenant: tenant.unwrap_or_else(Tenant::default_tenant),
            given: given.collect(),
            client,
            title,
            challenge,
            id_token,
            back,
        })
    }

    /// What the code is to be for.
    pub(super) fn code(&self) -> CodeAsked {
        CodeAsked {
            redirect_uri: self.back.redirect_uri.clone(),
            challenge: self.challenge,
            id_token: self.id_token.clone(),
        }
    }

    pub(super) const fn back(&self) -> &Back {
        &self.back
    }

    /// All of it in one text, in which no two requests are the same.
    pub(super) fn whole(&self) -> Vec<u8> {
        // Texts and lists have one form each in JSON.
        serde_json::to_vec(&self.given).unwrap_or_default()
    }
}

/// The client, what users know it by, and where it wants them sent back to.
fn whose(
    members: &Members,
    known: &Known<'_, impl Fn(&str) -> bool>,
) -> Result<(String, String, String), NotAsked> {
    let id = members.text("client_id");
    let id = id.ok_or(NotAsked::Nowhere(NO_CLIENT))?;
    let uri = members.text("redirect_uri");
    let uri = uri.ok_or(NotAsked::Nowhere(NO_PLACE))?;
    let (title, is_theirs) = match id {
        CONSOLE => (CONSOLE_TITLE, (known.is_console)(uri)),
        id => {
            let client = known.clients.find(id);
            let client = client.ok_or(NotAsked::Nowhere(NO_CLIENT))?;
            (client.title(), client.is_at(uri))
        }
    };
    match is_theirs {
        true => Ok((id.to_owned(), title.to_owned(), uri.to_owned())),
        false => Err(NotAsked::Nowhere(NO_PLACE)),
    }
}

/// What of a request is not done here.
fn unsupported(members: &Members) -> Option<(&'static str, &'static str)> {
    if members.text("request").is_some() {
        return Some(("request_not_supported", "requests are not taken as a token"));
    }
    if members.text("request_uri").is_some() {
        return Some((
            "request_uri_not_supported",
            "requests are fetched from nowhere",
        ));
    }
    match members.text("response_type") {
        None => return Some((INVALID, "response_type is missing")),
        Some("code") => {}
        Some(_) => return Some(("unsupported_response_type", "response_type must be code")),
    }
    if members
        .text("response_mode")
        .is_some_and(|it| it != "query")
    {
        return Some((INVALID, "response_mode must be query"));
    }
    let prompts = members.text("prompt").unwrap_or_default();
    let is_silent = prompts.split(' ').any(|prompt| prompt == "none");
    is_silent.then_some((
        "login_required",
        "nobody is logged in here without the page",
    ))
}

impl Back {
    /// Where the client gets its code, from this issuer (RFC 9207).
    pub(super) fn with_code(&self, code: &str, issuer: &str) -> String {
        self.with(&[("code", code)], issuer)
    }

    /// Where the client is told that it gets none.
    pub(super) fn with_error(&self, error: &str, description: &str, issuer: &str) -> String {
        let told = [("error", error), ("error_description", description)];
        self.with(&told, issuer)
    }

    fn with(&self, members: &[(&str, &str)], issuer: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(members);
        if let Some(state) = &self.state {
            query.append_pair(STATE, state);
        }
        query.append_pair("iss", issuer);
        let joint = match self.redirect_uri.contains('?') {
            true => '&',
            false => '?',
        };
        format!("{}{joint}{}", self.redirect_uri, query.finish())
    }
}

pub(super) const OPENID: &str = "openid";
const INVALID: &str = "invalid_request";
const CONSOLE_TITLE: &str = "the Selvedge console";
const NO_CLIENT: &str = "No such client is known here. Go back to where you came from, and tell its people that their client_id is not registered.";
const NO_PLACE: &str = "The client may not have you sent back to where it asks for. Go back to where you came from, and tell its people that their redirect_uri is not registered.";

#[cfg(test)]
mod tests;
