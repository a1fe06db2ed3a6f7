//! What these tests share: a node with a bridge, and a client of HTTP that sends what it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use selvedge_node::bridge::Introspection;
use selvedge_node::identity::{Authenticator, DevelopmentToken, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::bridge;
use crate::permission::people::OfTheTenant;

pub(super) const TOKEN: &str = "the right token";

pub(super) use crate::bridge::PATIENCE;

pub(super) struct Node {
    pub(super) address: SocketAddr,
    node: bridge::Node,
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::with(Introspection::On, "tester").await
    }

    /// `principal`: who has the token. `admin` administers the cluster as well.
    pub(super) async fn with(introspection: Introspection, principal: &str) -> Self {
        let authenticator: Arc<dyn Authenticator> = match principal {
            "admin" => Arc::new(DevelopmentToken::new(principal, Secret::new(TOKEN))),
            _ => Arc::new(OfTheTenant(TOKEN)),
        };
        let node = bridge::Node::with(authenticator, |config| {
            config.graphql_introspection = introspection;
            config.drain = Duration::from_millis(100);
        });
        let node = node.await;
        Self {
            address: node.address,
            node,
        }
    }

    pub(super) async fn stop(self) {
        self.node.stop().await;
    }

    /// Sends a request: the answer.
    pub(super) async fn send(&self, request: Request<'_>) -> Response {
        let mut stream = self.open(&request).await;
        let exchange = stream.response(request.method == "HEAD");
        timeout(PATIENCE, exchange).await.unwrap()
    }

    /// Sends a request, whose answer is read bit by bit.
    pub(super) async fn open(&self, request: &Request<'_>) -> Stream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            request.method, request.path, self.address
        );
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &request.body {
            text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            text.push_str("\r\n");
        }
        // A request that is refused early may not be read to its end.
        let _ = socket.write_all(text.as_bytes()).await;
        Stream(BufReader::new(socket))
    }

    /// Sends a GraphQL request as most clients do: the answer's JSON.
    pub(super) async fn ask(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        self.send(Request::post(&body)).await.json()
    }

    /// The same, whose answer has no errors: its data.
    pub(super) async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.ask(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        answer["data"].take()
    }
}

/// A request of HTTP.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: String,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Option<String>,
}

impl<'a> Request<'a> {
    /// One with credentials and nothing else.
    pub(super) fn new(method: &'a str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: vec![("Authorization", format!("Bearer {TOKEN}"))],
            body: None,
        }
    }

    pub(super) fn post(body: &Value) -> Self {
        Self::new("POST", "/graphql")
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }

    /// A GET with these parameters.
    pub(super) fn get(parameters: &[(&str, &str)]) -> Self {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        Self::new("GET", format!("/graphql?{}", query.finish()))
    }

    #[must_use]
    pub(super) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    #[must_use]
    pub(super) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }
}

/// An answer of HTTP.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code and the field of its first error.
    pub(super) fn error(&self) -> (String, String) {
        let body = self.json();
        let extensions = &body["errors"][0]["extensions"];
        let text = |name: &str| extensions[name].as_str().unwrap_or_default().to_owned();
        (text("code"), text("field"))
    }
}

/// An answer while it comes.
pub(super) struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    pub(super) async fn head(&mut self) -> Response {
        let status = self.line().await;
        let status = status
            .split(' ')
            .nth(1)
            .unwrap_or_else(|| panic!("{status:?} is no status"));
        let mut response = Response {
            status: status.parse().unwrap(),
            headers: Vec::new(),
            body: String::new(),
        };
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                return response;
            };
            response.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The next piece of a body that comes in pieces; empty at its end.
    pub(super) async fn piece(&mut self) -> String {
        let length = self.line().await;
        let length = usize::from_str_radix(&length, 16).unwrap_or_else(|_| panic!("{length:?}"));
        let mut piece = vec![0; length];
        self.0.read_exact(&mut piece).await.unwrap();
        self.line().await;
        String::from_utf8(piece).unwrap()
    }

    async fn response(&mut self, has_no_body: bool) -> Response {
        let mut response = self.head().await;
        if has_no_body {
            return response;
        }
        match response.header("transfer-encoding") {
            Some("chunked") => loop {
                let piece = self.piece().await;
                if piece.is_empty() {
                    return response;
                }
                response.body.push_str(&piece);
            },
            Some(_) | None => {
                let length: usize = response
                    .header("content-length")
                    .map_or(0, |it| it.parse().unwrap());
                let mut body = vec![0; length];
                self.0.read_exact(&mut body).await.unwrap();
                response.body = String::from_utf8(body).unwrap();
                response
            }
        }
    }
}
