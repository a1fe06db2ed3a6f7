//! What holds for every path: versions, encodings, methods, other origins, request ids.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{BODY_BYTES_MAX, Node, ORIGIN};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_its_version_and_its_request() {
    let node = Node::start().await;
    let versioned = node.ann().header("selvedge-version", "1");
    for http in [node.nobody(), node.ann(), versioned] {
        for path in [
            "/v1/operations",
            "/livez",
            "/nothing",
            "/v1/actors/counter/a",
        ] {
            let answer = http.get(path).await;
            assert_eq!(answer.header("selvedge-version"), "1", "{path}");
            assert_eq!(answer.header("selvedge-request-id").len(), 32, "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let answer = node.nobody().header("traceparent", &parent);
    let answer = answer.get("/v1/operations").await;
    assert_eq!(answer.json()["requestId"], trace);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_compressed_both_ways_within_bounds() {
    let node = Node::start().await;
    let http = node.ann().header("content-type", "application/json");
    let zipped = http.header("content-encoding", "gzip");
    let say = json!({ "command": "say", "body": { "text": "again and ".repeat(200) } });
    let body = gzip(say.to_string().as_bytes());
    let answer = zipped.send(Method::POST, "/v1/actors/room/r/commands", body.into());
    assert_eq!(answer.await.status, StatusCode::OK);
    let plain = http.get("/v1/actors/room/r").await;
    let answer = http
        .header("accept-encoding", "gzip")
        .get("/v1/actors/room/r")
        .await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert!(answer.body.len() < 500, "{}", answer.body.len());
    let mut text = String::new();
    GzDecoder::new(&*answer.body)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain.json());

    let bomb = gzip(&vec![b' '; 100 * BODY_BYTES_MAX]);
    assert!(bomb.len() < BODY_BYTES_MAX);
    let answer = zipped
        .send(Method::POST, "/v1/operations", bomb.into())
        .await;
    assert_eq!(answer.problem(413, "too_large"), "body");
    let answer = zipped
        .send(Method::POST, "/v1/operations", "{}".into())
        .await;
    assert_eq!(answer.problem(400, "malformed"), "body");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_and_options_are_answered_without_a_body() {
    let node = Node::start().await;
    let http = node.ann();
    let path = "/v1/actors/counter/a";
    let get = http.get(path).await;
    let head = http.send(Method::HEAD, path, "".into()).await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    assert_eq!(head.header("etag"), get.header("etag"));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    let options = node.nobody().send(Method::OPTIONS, path, "".into()).await;
    assert_eq!(options.status, StatusCode::NO_CONTENT);
    assert_eq!(options.header("allow"), "GET, HEAD, OPTIONS");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_listed_origins_may_use_it_and_never_with_credentials() {
    let node = Node::start().await;
    let page = node.nobody().header("origin", ORIGIN);
    let asked = page.header("access-control-request-method", "POST");
    let asked = asked.header("access-control-request-headers", "authorization");
    let answer = asked
        .send(Method::OPTIONS, "/v1/operations", "".into())
        .await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("Authorization")
    );
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let answer = node
        .ann()
        .header("origin", ORIGIN)
        .get("/v1/operations")
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), ORIGIN);
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("Link")
    );
    let own = format!("http://{}", node.address);
    let answer = node
        .ann()
        .header("origin", &own)
        .get("/v1/operations")
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    node.stop().await;
}
