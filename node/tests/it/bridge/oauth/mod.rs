//! Logging in as a browser and its clients do it: the page, the code, and what comes of it, by plain HTTP.

mod codes;
mod discovery;
mod keys;
mod page;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use selvedge_cluster::Clock;
use selvedge_node::bridge::{BridgeConfig, Origins};
use selvedge_node::identity::{ClientTable, Clients, IssueConfig, TokensTable};
use serde_json::{Value, json};
use url::form_urlencoded::{Serializer, parse};

use super::Node;
use super::client::{Answer, Http, Method, StatusCode};

const ISSUER: &str = "selvedge:test";
const APP: &str = "https://app.example/back?from=us";
const TOOL: &str = "http://127.0.0.1/cb";
const GOOD: &str = "vier Pferde kauen Heu";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A node with two clients, and the user `ann`, who may see everything of her tenant.
struct World {
    node: Node,
}

/// Members of a query or a form.
type Members<'a> = &'a [(&'a str, &'a str)];

fn config() -> IssueConfig {
    let client = |id: &str, uris: &[&str]| ClientTable {
        id: id.to_owned(),
        name: Some(format!("The {id} & co")),
        redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
    };
    let tables = vec![
        client("app", &[APP, "https://app.example/other"]),
        client("tool", &[TOOL]),
    ];
    let table = TokensTable {
        issuer: Some(ISSUER.to_owned()),
        ..TokensTable::default()
    };
    let clients = Clients::checked(tables, Some(ISSUER)).unwrap();
    table.checked(clients).unwrap()
}

impl World {
    async fn start() -> Self {
        Self::at(Clock::system()).await
    }

    async fn at(clock: Clock) -> Self {
        // Pages of clients are let through as such, not because they are listed.
        let configure = |config: &mut BridgeConfig| config.origins = Origins::default();
        let node = Node::of_users(clock, config(), configure).await;
        let ann = json!({ "username": "ann", "roles": ["viewer"], "password": GOOD });
        let made = node.admin().post("/v1/users", &ann).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        Self { node }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.node.address)
    }

    /// What a browser sends with a form of the node's own page.
    fn browser(&self) -> Http {
        let http = self.node.nobody().header("origin", &self.origin());
        http.header("sec-fetch-site", "same-origin")
    }

    async fn page(&self, others: Members<'_>) -> Answer {
        let path = format!("/oauth/authorize?{}", query(others));
        self.node.nobody().get(&path).await
    }

    /// The page, filled in.
    async fn filled(&self, others: Members<'_>, typed: Members<'_>) -> Answer {
        let carried = carried(&self.page(others).await);
        let mut members = request(others);
        members.push(("page", &carried));
        members.extend(typed);
        form(&self.browser(), "/oauth/authorize", &members).await
    }

    /// Where the browser is sent once the user has logged in.
    async fn sent(&self, others: Members<'_>) -> String {
        let answer = self
            .filled(others, &[("username", "ann"), ("password", GOOD)])
            .await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        answer.header("location").to_owned()
    }

    async fn code(&self, others: Members<'_>) -> String {
        of_query(&self.sent(others).await, "code").unwrap()
    }

    /// The answer to a code, exchanged with some members in place of their like.
    async fn exchange(&self, code: &str, others: Members<'_>) -> Answer {
        let members = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", "app"),
            ("redirect_uri", APP),
            ("code_verifier", VERIFIER),
        ];
        form(&self.node.nobody(), "/oauth/token", &with(&members, others)).await
    }

    async fn refresh(&self, tokens: &Value, client: &str) -> Answer {
        let token = tokens["refresh_token"].as_str().unwrap();
        let members = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", client),
        ];
        form(&self.node.nobody(), "/oauth/token", &members).await
    }

    /// Whether a token opens anything.
    async fn opens(&self, token: &Value) -> StatusCode {
        let http = self.node.client(token.as_str().unwrap());
        http.get("/v1/actors?kind=counter").await.status
    }

    /// Waits until it does not.
    async fn is_let_go(&self, token: &Value) {
        let gone = async {
            while self.opens(token).await != StatusCode::UNAUTHORIZED {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(super::PATIENCE, gone).await.unwrap();
    }
}

/// Members with some in place of their like; an empty one is left out.
fn with<'a>(
    members: &[(&'a str, &'a str)],
    others: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let is_other = |name: &str| others.iter().any(|(other, _)| *other == name);
    let kept = members.iter().filter(|(name, _)| !is_other(name));
    let given = others.iter().filter(|(_, value)| !value.is_empty());
    kept.chain(given).copied().collect()
}

/// A good request of the client `app`.
fn request<'a>(others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let members = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", APP),
        ("state", "s&t"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    with(&members, others)
}

fn query(others: Members<'_>) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(request(others)).finish()
}

async fn form(http: &Http, path: &str, members: Members<'_>) -> Answer {
    let mut body = Serializer::new(String::new());
    let body = body.extend_pairs(members).finish();
    let media = "application/x-www-form-urlencoded";
    let http = http.header("content-type", media);
    http.send(Method::POST, path, body.into()).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// What a page carries.
fn carried(page: &Answer) -> String {
    let text = text(page);
    let (_, rest) = text
        .split_once("name=\"page\" value=\"")
        .unwrap_or_else(|| panic!("{} {text}", page.status));
    rest.split_once('"').unwrap().0.to_owned()
}

/// A member of the query of a URL.
fn of_query(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut found = parse(query.as_bytes()).filter(|(known, _)| known == name);
    let first = found.next().map(|(_, value)| value.into_owned());
    assert!(found.next().is_none(), "{name} is there twice in {url}");
    first
}

/// What a token claims, unverified.
fn claims(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The `error` of an answer of this status.
fn error(answer: &Answer, status: u16) -> String {
    let told = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{told}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(
        told["error_description"].as_str().unwrap().len() > 10,
        "{told}"
    );
    told["error"].as_str().unwrap().to_owned()
}
