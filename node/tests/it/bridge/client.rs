//! A client that sends just what a test says, a connection a request.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
pub(crate) use hyper::{Method, StatusCode};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::PATIENCE;

#[derive(Debug, Clone)]
pub(crate) struct Http {
    address: SocketAddr,
    headers: HeaderMap,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&address.to_string()).unwrap();
        headers.insert("host", host);
        Self { address, headers }
    }

    /// The same with a header, in place of one of its name.
    pub(crate) fn header(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        changed.headers.insert(name, value);
        changed
    }

    /// The same with one more header.
    pub(crate) fn more(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_str(value).unwrap();
        changed.headers.append(name, value);
        changed
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Bytes::new()).await
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let json = self.header("content-type", "application/json");
        json.send(Method::POST, path, body.to_string().into()).await
    }

    /// Puts JSON.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        let json = self.header("content-type", "application/json");
        json.send(Method::PUT, path, body.to_string().into()).await
    }

    /// Posts nothing.
    pub(crate) async fn tell(&self, path: &str) -> Answer {
        self.send(Method::POST, path, Bytes::new()).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes) -> Answer {
        let answered = async {
            let response = self.open(method, path, body).await;
            let (head, body) = response.into_parts();
            Answer {
                status: head.status,
                headers: head.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap()
    }

    /// The answer, its body yet to come.
    async fn open(&self, method: Method, path: &str, body: Bytes) -> Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        sender.send_request(request).await.unwrap()
    }

    /// The events at a path.
    pub(crate) async fn events(&self, path: &str) -> Events {
        let opened = self.open(Method::GET, path, Bytes::new());
        let response = tokio::time::timeout(PATIENCE, opened).await.unwrap();
        let (head, body) = response.into_parts();
        assert_eq!(head.status, StatusCode::OK);
        let media = head.headers["content-type"].to_str().unwrap();
        assert_eq!(media.split(';').next(), Some("text/event-stream"));
        Events {
            body,
            text: String::new(),
            ready: VecDeque::new(),
        }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", self.status, self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// That it is a problem of this status and code; its field, if it names one.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!(self.status.as_u16(), status, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("urn:selvedge:error:{code}"));
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
        assert_eq!(problem["requestId"], self.header("selvedge-request-id"));
        problem["field"].clone()
    }
}

/// An event, as a browser has it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    text: String,
    ready: VecDeque<Event>,
}

impl Events {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        self.within(PATIENCE).await.expect("an event or the end")
    }

    /// The same, or that nothing came within this time.
    pub(crate) async fn within(&mut self, time: Duration) -> Option<Option<Event>> {
        tokio::time::timeout(time, self.wait()).await.ok()
    }

    async fn wait(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let frame = self.body.frame().await?.ok()?;
            let bytes = frame.into_data().ok()?;
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.ready.extend(parse(block));
                let rest = rest.to_owned();
                self.text = rest;
            }
        }
    }
}

/// A block of lines; comments and the time to come back are none.
fn parse(block: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut data = String::new();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("event", name)) => name.clone_into(&mut event.event),
            Some(("data", text)) => data.push_str(text),
            Some(("retry", _)) | None => {}
            Some(("", _)) => {}
            Some(other) => panic!("no line of an event: {other:?}"),
        }
    }
    if data.is_empty() {
        return None;
    }
    event.data = serde_json::from_str(&data).unwrap();
    Some(event)
}
