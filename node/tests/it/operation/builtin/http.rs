//! The handler `http` against real servers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use selvedge_client::operation::{Operation, OperationStatus};
use selvedge_node::Application;
use selvedge_node::app::Running;
use selvedge_node::processing::builtin::http::{Allowed, HttpConfig, HttpHandler, Resolve, Roots};
use selvedge_node::processing::{BreakerPolicy, Policy, Retry};
use selvedge_protocol::{ErrorCode, time};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::server::{Reply, Server};
use crate::operation::world::*;

/// Names of a test, and how often they were looked up.
#[derive(Clone, Default)]
struct Names {
    known: Arc<HashMap<&'static str, Vec<IpAddr>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn new(known: &[(&'static str, &[&str])]) -> Self {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let known = known.iter().map(|(name, texts)| (*name, parse(texts)));
        Self {
            known: Arc::new(known.collect()),
            asked: Arc::default(),
        }
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.known.get(host).cloned();
        async move { found.ok_or_else(|| std::io::Error::other("no such name")) }.boxed()
    }
}

/// A node that makes calls, and the directory of its store.
struct Caller {
    node: Running,
    _world: World,
}

impl Caller {
    async fn new(config: HttpConfig, names: Names) -> Self {
        let world = World::new();
        let policy = Policy {
            retry: Retry {
                attempts_max: 3,
                initial: Duration::from_millis(1),
                ..Retry::default()
            },
            ..Policy::default()
        };
        let handler = HttpHandler::with_resolver(config, names);
        let builder = Application::builder().operation("http", handler, policy);
        let application = builder.build().unwrap();
        let node = start(application, world.store(), 60_000).await.unwrap();
        Self {
            node,
            _world: world,
        }
    }

    async fn on_loopback() -> Self {
        Self::new(allow(&["127.0.0.1"]), Names::default()).await
    }

    async fn call(&self, id: &str, input: Value) -> Operation {
        let body = json!({ "type": "http", "input": input });
        submit(&self.node, id, body).await.unwrap();
        ended(&self.node, id).await
    }

    async fn get(&self, id: &str, url: &str) -> Operation {
        self.call(id, json!({ "method": "GET", "url": url })).await
    }
}

fn allow(texts: &[&str]) -> HttpConfig {
    HttpConfig {
        allow: texts.iter().map(|text| text.parse().unwrap()).collect(),
        ..HttpConfig::default()
    }
}

/// One whose breakers bear all that a test does to a host.
fn patient() -> HttpConfig {
    HttpConfig {
        breaker: BreakerPolicy {
            failures: 100,
            ..BreakerPolicy::default()
        },
        ..allow(&["127.0.0.1"])
    }
}

fn result(operation: Operation) -> Value {
    assert_eq!(
        operation.status,
        OperationStatus::Succeeded,
        "{operation:?}"
    );
    serde_json::from_str(operation.result.unwrap().get()).unwrap()
}

/// Attempts and code of a failed one.
fn failure(operation: Operation) -> (u32, String) {
    assert_eq!(operation.status, OperationStatus::Failed, "{operation:?}");
    (operation.attempt, operation.error.unwrap().code)
}

fn permanent(code: &str) -> (u32, String) {
    (1, code.to_owned())
}

fn in_vain(code: &str) -> (u32, String) {
    (3, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_its_answer_as_result() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/bytes" => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe".to_vec()),
        "/chunks" => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            Reply::Raw(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").into_bytes())
        }
        "/gone" => Reply::status(410, "", "it is gone"),
        _ => Reply::status(201, "x-one: 1\r\nx-two: a\r\nx-two: b\r\n", "made"),
    })
    .await;
    let caller = Caller::on_loopback().await;
    let input = json!({
        "method": "POST", "url": server.url("/things?a=b"), "headers": { "X-Mine": "yes" },
        "body": { "n": 1 },
    });
    let made = result(caller.call("one", input).await);
    assert_eq!(
        (&made["status"], &made["body"]),
        (&json!(201), &json!("made"))
    );
    assert_eq!(made["headers"]["x-one"], "1");
    assert_eq!(made["headers"]["x-two"], "a, b");
    assert_eq!(made["url"], server.url("/things?a=b"));
    assert_eq!(made.get("bodyEncoding"), None);
    let seen = &server.seen()[0];
    let method_and_path = (seen.method.as_str(), seen.path.as_str());
    assert_eq!(method_and_path, ("POST", "/things?a=b"));
    assert_eq!(seen.body, r#"{"n":1}"#);
    assert_eq!(seen.header("host").unwrap(), server.address.to_string());
    assert_eq!(seen.header("x-mine"), Some("yes"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("idempotency-key"), Some("default/one/http"));

    let bytes = result(caller.get("two", &server.url("/bytes")).await);
    assert_eq!(bytes["body"], "//4=");
    assert_eq!(bytes["bodyEncoding"], "base64");
    let chunks = result(caller.get("three", &server.url("/chunks")).await);
    assert_eq!(chunks["body"], "abcde");

    let gone = caller.get("four", &server.url("/gone")).await;
    let message = &gone.error.as_ref().unwrap().message;
    assert!(
        message.contains("410") && message.ends_with(": it is gone"),
        "{message}"
    );
    assert_eq!(failure(gone), permanent("http_status"));
    let input = json!({ "method": "GET", "url": server.url("/gone"), "expect": [404, 410] });
    assert_eq!(result(caller.call("five", input).await)["status"], 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_share_a_key_and_stop_at_a_success() {
    let server = Server::start(|_, before| match before {
        0 => Reply::status(503, "retry-after: 0\r\n", ""),
        // No answer at all.
        1 => Reply::Raw(Vec::new()),
        _ => Reply::status(200, "", "done"),
    })
    .await;
    let caller = Caller::on_loopback().await;
    let done = caller.get("one", &server.url("/")).await;
    assert_eq!(done.attempt, 3);
    assert_eq!(result(done)["body"], "done");
    let seen = server.seen();
    let keys: Vec<_> = seen
        .iter()
        .map(|seen| seen.header("idempotency-key"))
        .collect();
    assert_eq!(keys, [Some("default/one/http"); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_called_again_when_it_says_and_no_sooner() {
    // What the node's clock says; the host's may be hours ahead.
    const NOW_MS: u64 = 1_700_000_000_000; // Tue, 14 Nov 2023 22:13:20 GMT
    const HOUR_MS: u64 = 3_600_000;
    let server = Server::start(|seen, _| {
        let headers = match &*seen.path {
            "/seconds" => "retry-after: 3600",
            "/date" => "retry-after: Tue, 14 Nov 2023 23:13:20 GMT",
            "/ahead" => {
                "date: Wed, 15 Nov 2023 04:13:20 GMT\r\n\
                 retry-after: Wed, 15 Nov 2023 05:13:20 GMT"
            }
            "/never" => "retry-after: 99999999999",
            "/past" => "retry-after: Tue, 14 Nov 2023 21:13:20 GMT",
            _ => "retry-after: soon",
        };
        let status = if seen.path == "/seconds" { 429 } else { 503 };
        Reply::status(status, &format!("{headers}\r\n"), "")
    })
    .await;
    let world = World::timed();
    let handler = HttpHandler::with_resolver(patient(), Names::default());
    let builder = Application::builder().operation("http", handler, world.policy.clone());
    let application = builder.build().unwrap();
    let node = start_at(application, world.store(), 60_000, world.clock.clone());
    let node = node.await.unwrap();
    for (path, wait_ms) in [
        ("/seconds", HOUR_MS),
        ("/date", HOUR_MS),
        ("/ahead", HOUR_MS),
        // A day is as long as anybody may put it off.
        ("/never", 24 * HOUR_MS),
        // The backoff, of a millisecond here, is all that is left then.
        ("/past", 1),
        ("/garbage", 1),
    ] {
        let input = json!({ "method": "GET", "url": server.url(path) });
        let body = json!({ "type": "http", "input": input });
        submit(&node, &path[1..], body).await.unwrap();
        let mut events = watch(&node, &path[1..]).await;
        let (_, failed) = until(&mut events, "step.failed").await;
        let next = time::parse(failed["nextAttemptAt"].as_str().unwrap()).unwrap();
        let late_ms = (NOW_MS + wait_ms).checked_sub(next);
        assert!(late_ms.is_some_and(|ms| ms <= 1), "{path}: {failed}");
        if wait_ms >= HOUR_MS {
            let why = why(&node, &path[1..]).await;
            assert_eq!(why.next_attempt_at, Some(time::format(NOW_MS + wait_ms)));
            let seen = server.seen();
            assert_eq!(seen.iter().filter(|seen| seen.path == path).count(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_failures_are_worth_another_attempt() {
    let server = Server::start(|seen, _| {
        let status = seen.path[1..].parse().unwrap();
        Reply::status(status, "", "")
    })
    .await;
    let caller = Caller::new(patient(), Names::default()).await;
    for status in [408, 425, 429, 500, 503, 599] {
        let url = server.url(&format!("/{status}"));
        let failed = caller.get(&format!("r{status}"), &url).await;
        assert_eq!(failure(failed), in_vain("http_status"), "{status}");
    }
    for status in [300, 304, 400, 401, 404, 409] {
        let url = server.url(&format!("/{status}"));
        let failed = caller.get(&format!("p{status}"), &url).await;
        assert_eq!(failure(failed), permanent("http_status"), "{status}");
    }
    let closed = Server::start(|_, _| Reply::Raw(Vec::new())).await.url("/");
    let failed = caller.get("closed", &closed).await;
    assert_eq!(failure(failed), in_vain("connection_failed"));
    let failed = caller.get("unknown", "http://nowhere.test/").await;
    assert_eq!(failure(failed), in_vain("connection_failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_within_bounds() {
    let other = Server::start(|_, _| Reply::status(200, "", "elsewhere")).await;
    let there = other.url("/there");
    let server = Server::start(move |seen, _| match seen.path.as_str() {
        "/303" => Reply::redirect(303, "/end"),
        "/307" => Reply::redirect(307, "end#part"),
        "/away" => Reply::redirect(308, &there),
        "/loop" => Reply::redirect(302, "/loop"),
        "/private" => Reply::redirect(302, "http://10.0.0.1/"),
        "/file" => Reply::redirect(302, "file:///etc/passwd"),
        "/nowhere" => Reply::status(302, "", ""),
        _ => Reply::status(200, "", "end"),
    })
    .await;
    let caller = Caller::on_loopback().await;
    let post = |path: &str| {
        json!({
            "method": "POST", "url": server.url(path), "body": "text",
            "headers": { "Authorization": "secret", "X-Api-Key": "secret" },
        })
    };
    let got = result(caller.call("see", post("/303")).await);
    assert_eq!(got["url"], server.url("/end"));
    let kept = result(caller.call("keep", post("/307")).await);
    assert_eq!(kept["url"], server.url("/end"));
    let seen = server.seen();
    let sent: Vec<_> = seen
        .iter()
        .map(|seen| (&*seen.method, &*seen.path, &*seen.body))
        .collect();
    let expected = [
        ("POST", "/303", "text"),
        ("GET", "/end", ""),
        ("POST", "/307", "text"),
        ("POST", "/end", "text"),
    ];
    assert_eq!(sent, expected);
    assert_eq!(seen[3].header("authorization"), Some("secret"));

    let away = result(caller.call("away", post("/away")).await);
    assert_eq!(away["body"], "elsewhere");
    let seen = &other.seen()[0];
    assert_eq!((&*seen.method, &*seen.body), ("POST", "text"));
    let secrets = (seen.header("authorization"), seen.header("x-api-key"));
    assert_eq!(secrets, (None, None));
    assert_eq!(seen.header("host").unwrap(), other.address.to_string());
    assert_eq!(seen.header("idempotency-key"), Some("default/away/http"));

    for (path, code) in [
        ("/private", "address_refused"),
        ("/file", "redirect_refused"),
        ("/nowhere", "http_status"),
        ("/loop", "too_many_redirects"),
    ] {
        let failed = caller.get(&path[1..], &server.url(path)).await;
        assert_eq!(failure(failed), permanent(code), "{path}");
    }
    let loops = server
        .seen()
        .into_iter()
        .filter(|seen| seen.path == "/loop");
    assert_eq!(loops.count(), 6);
    let mut input = post("/303");
    input["maxRedirects"] = json!(0);
    input["expect"] = json!([303]);
    assert_eq!(result(caller.call("none", input).await)["status"], 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_endless_answers_are_cut() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/silent" => Reply::Stuck(Vec::new()),
        "/stuck" => Reply::Stuck(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nabc".to_vec()),
        "/long" => Reply::Stuck(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n".to_vec()),
        "/endless" => Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\nx".to_vec()),
        "/head" => Reply::Endless(b"HTTP/1.1 200 OK\r\nx: yyyy".to_vec()),
        "/noise" => Reply::Endless(b"noise".to_vec()),
        "/exact" => Reply::status(200, "", "12345678"),
        path => unreachable!("{path}"),
    })
    .await;
    let caller = Caller::new(patient(), Names::default()).await;
    let call = |path: &'static str, timeout_ms: u64| {
        let input = json!({
            "method": "GET", "url": server.url(path), "timeoutMs": timeout_ms, "maxResponseBytes": 8,
        });
        caller.call(&path[1..], input)
    };
    let large = permanent("response_too_large");
    assert_eq!(failure(call("/silent", 50).await), in_vain("timeout"));
    assert_eq!(failure(call("/stuck", 50).await), in_vain("timeout"));
    assert_eq!(failure(call("/long", 60_000).await), large);
    assert_eq!(failure(call("/endless", 60_000).await), large);
    assert_eq!(
        failure(call("/head", 60_000).await),
        in_vain("connection_failed")
    );
    assert_eq!(
        failure(call("/noise", 60_000).await),
        in_vain("connection_failed")
    );
    assert_eq!(result(call("/exact", 60_000).await)["body"], "12345678");
    let whole = caller.get("whole", &server.url("/endless")).await;
    assert_eq!(failure(whole), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_whatever_leads_there() {
    let server = Server::start(|_, _| Reply::status(200, "", "")).await;
    let port = server.address.port();
    let names = Names::new(&[
        ("internal.test", &["127.0.0.1"]),
        ("metadata.test", &["169.254.169.254", "fd00::1"]),
        ("mapped.test", &["::ffff:127.0.0.1"]),
        ("mixed.test", &["10.0.0.1", "127.0.0.1"]),
    ]);
    let strict = Caller::new(HttpConfig::default(), names.clone()).await;
    let hosts = [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
        "internal.test",
        "INTERNAL.test",
        "metadata.test",
        "mapped.test",
        "mixed.test",
    ];
    for (number, host) in hosts.into_iter().enumerate() {
        let url = format!("http://{host}:{port}/");
        let failed = strict.get(&format!("op{number}"), &url).await;
        assert_eq!(failure(failed), permanent("address_refused"), "{host}");
    }
    assert!(server.seen().is_empty());

    // Of mixed addresses only the allowed one is called, after one look-up.
    let network = Caller::new(allow(&["127.0.0.0/8"]), names.clone()).await;
    let before = names.asked.load(Ordering::SeqCst);
    result(
        network
            .get("mixed", &format!("http://mixed.test:{port}/"))
            .await,
    );
    assert_eq!(names.asked.load(Ordering::SeqCst), before + 1);
    result(
        network
            .get("mapped", &format!("http://mapped.test:{port}/"))
            .await,
    );

    let named = Caller::new(allow(&["internal.test"]), names).await;
    result(
        named
            .get("named", &format!("http://internal.test:{port}/"))
            .await,
    );
    let literal = named.get("literal", &server.url("/")).await;
    assert_eq!(failure(literal), permanent("address_refused"));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_names_are_checked_as_well() {
    let server = Server::start(|_, _| Reply::status(200, "", "")).await;
    let world = World::new();
    let handler = HttpHandler::new(HttpConfig::default());
    let builder = Application::builder().operation("http", handler, Policy::default());
    let node = start(builder.build().unwrap(), world.store(), 60_000);
    let node = node.await.unwrap();
    let url = format!("http://localhost:{}/", server.address.port());
    let input = json!({ "method": "GET", "url": url });
    submit(&node, "one", json!({ "type": "http", "input": input }))
        .await
        .unwrap();
    let failed = ended(&node, "one").await;
    assert_eq!(failure(failed), permanent("address_refused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fails_is_left_alone_and_others_are_not() {
    let server = Server::start(|seen, _| match seen.header("host") {
        Some(host) if host.starts_with("bad.") => Reply::status(500, "", ""),
        _ => Reply::status(200, "", ""),
    })
    .await;
    let port = server.address.port();
    let config = HttpConfig {
        breaker: BreakerPolicy {
            failures: 2,
            open: Duration::from_secs(3_600),
            ..BreakerPolicy::default()
        },
        ..allow(&["127.0.0.1"])
    };
    let names = Names::new(&[("bad.test", &["127.0.0.1"]), ("good.test", &["127.0.0.1"])]);
    let caller = Caller::new(config, names).await;
    let failed = caller.get("bad", &format!("http://bad.test:{port}/")).await;
    assert_eq!(failure(failed), in_vain("breaker_open"));
    assert_eq!(server.seen().len(), 2);
    let failed = caller
        .get("again", &format!("http://bad.test:{port}/"))
        .await;
    assert_eq!(failure(failed), in_vain("breaker_open"));
    assert_eq!(server.seen().len(), 2);
    result(
        caller
            .get("good", &format!("http://good.test:{port}/"))
            .await,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_checked_and_never_left() {
    let made = rcgen::generate_simple_self_signed(["safe.test".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let plain = Server::start(|_, _| Reply::status(200, "", "plain")).await;
    let down = plain.url("/");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Server::with_tls(Some(acceptor), move |seen, _| match &*seen.path {
        "/down" => Reply::redirect(302, &down),
        _ => Reply::status(200, "", "safe"),
    })
    .await;
    let port = server.address.port();
    let names = Names::new(&[
        ("safe.test", &["127.0.0.1"]),
        ("other.test", &["127.0.0.1"]),
    ]);
    let trusting = HttpConfig {
        roots: Roots::Only(vec![certificate]),
        ..allow(&["127.0.0.1"])
    };
    let caller = Caller::new(trusting, names.clone()).await;
    let safe = caller
        .get("safe", &format!("https://safe.test:{port}/"))
        .await;
    assert_eq!(result(safe)["body"], "safe");
    let down = caller
        .get("down", &format!("https://safe.test:{port}/down"))
        .await;
    assert_eq!(failure(down), permanent("redirect_refused"));
    let other = caller
        .get("other", &format!("https://other.test:{port}/"))
        .await;
    assert_eq!(failure(other), in_vain("connection_failed"));
    assert!(plain.seen().is_empty());

    let strange = Caller::new(allow(&["127.0.0.1"]), names).await;
    let refused = strange
        .get("one", &format!("https://safe.test:{port}/"))
        .await;
    assert_eq!(failure(refused), in_vain("connection_failed"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_input_makes_no_operation() {
    let caller = Caller::on_loopback().await;
    for (input, field) in [
        (
            json!({ "method": "GET", "url": "gopher://a/" }),
            "input.url",
        ),
        (
            json!({ "method": "GET", "url": "http://a", "headers": { "Host": "b" } }),
            "input.headers.Host",
        ),
        (json!({ "method": "GET" }), "input"),
        (
            json!({ "method": "GET", "url": "http://a", "retries": 1 }),
            "input.retries",
        ),
    ] {
        let body = json!({ "type": "http", "input": input });
        let refused = submit(&caller.node, "one", body).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid);
        assert_eq!(refused.field.as_deref(), Some(field));
    }
    assert_eq!(code(get(&caller.node, "one").await), ErrorCode::NotFound);
    assert!("http://a/".parse::<Allowed>().is_err());
}
