//! Tokens of an issuer that is really there: its keys come over HTTP, by discovery or not, or from a file.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use selvedge_cluster::Clock;
use selvedge_node::identity::jwt::{Claims, IssuerConfig, IssuerTable, Issuers, Refused};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::operation::builtin::server::{Reply, Seen, Server};

const NOW_S: u64 = 2_000_000_000;
const DISCOVERY: &str = "/realm/.well-known/openid-configuration";

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn keys(&self) -> Value {
        let x = encode(self.0.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x }] })
    }

    fn token(&self, issuer: &str) -> String {
        let header = json!({ "alg": "EdDSA", "kid": "1" }).to_string();
        let claims =
            json!({ "iss": issuer, "aud": "a", "sub": "somebody", "exp": NOW_S }).to_string();
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn issuers(issuer: &str, jwks: Option<&str>) -> Issuers {
    let mut table = format!("issuer = {issuer:?}\naudience = 'a'\n");
    if let Some(jwks) = jwks {
        table.push_str(&format!("jwks = {jwks:?}\n"));
    }
    let table: IssuerTable = toml::from_str(&table).unwrap();
    Issuers::new(
        IssuerConfig::all(vec![table]).unwrap(),
        None,
        &Clock::system(),
    )
}

async fn verify(issuers: &Issuers, token: &str) -> Result<Claims, Refused> {
    issuers.verify(token, NOW_S * 1_000).await
}

fn found(body: &Value) -> Reply {
    Reply::status(200, "content-type: application/json\r\n", &body.to_string())
}

/// What comes of a token of an issuer whose server answers like this, told its own base, and what it was asked.
async fn discovered(
    signer: &Signer,
    reply: impl Fn(&str, &Seen) -> Reply + Send + Sync + 'static,
) -> (Result<Claims, Refused>, Vec<Seen>) {
    let server = Server::start(move |seen, _| {
        let host = seen.header("host").unwrap();
        reply(&format!("http://{host}/realm"), seen)
    })
    .await;
    let issuer = server.url("/realm");
    let told = verify(&issuers(&issuer, None), &signer.token(&issuer)).await;
    (told, server.seen())
}

fn paths(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| seen.path.as_str()).collect()
}

#[tokio::test]
async fn keys_are_discovered() {
    let signer = Signer::new();
    let keys = signer.keys();
    let (told, seen) = discovered(&signer, move |issuer, seen| match seen.path.as_str() {
        DISCOVERY => found(&json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") })),
        _ => found(&keys),
    })
    .await;
    assert_eq!(told.unwrap().subject, "somebody");
    assert_eq!(paths(&seen), [DISCOVERY, "/realm/keys"]);
    for seen in seen {
        assert_eq!((seen.method.as_str(), seen.body.as_str()), ("GET", ""));
        assert!(
            seen.header("accept")
                .unwrap()
                .contains("application/jwk-set+json")
        );
        assert_eq!(seen.header("authorization"), None);
    }
}

#[tokio::test]
async fn keys_are_fetched_where_the_configuration_says() {
    let signer = Signer::new();
    let keys = signer.keys();
    let server = Server::start(move |_, _| found(&keys)).await;
    let issuers = issuers("any name", Some(&server.url("/keys")));
    for _ in 0..3 {
        assert!(verify(&issuers, &signer.token("any name")).await.is_ok());
    }
    let other = verify(&issuers, &Signer::new().token("any name")).await;
    assert!(matches!(other.unwrap_err(), Refused::Invalid(_)));
    assert_eq!(paths(&server.seen()), ["/keys"]);
}

#[tokio::test]
async fn a_document_of_another_issuer_is_not_believed() {
    let signer = Signer::new();
    for name in ["https://other.example", "", "http://127.0.0.1/realm"] {
        let (told, seen) = discovered(&signer, move |issuer, _| {
            found(&json!({ "issuer": name, "jwks_uri": format!("{issuer}/keys") }))
        })
        .await;
        assert_eq!(told.unwrap_err(), Refused::Unavailable, "{name}");
        assert_eq!(paths(&seen), [DISCOVERY]);
    }
    let (told, _) = discovered(&signer, |issuer, _| {
        let twice = format!(r#"{{"issuer":"x","issuer":{issuer:?},"jwks_uri":"{issuer}/keys"}}"#);
        Reply::status(200, "", &twice)
    })
    .await;
    assert_eq!(told.unwrap_err(), Refused::Unavailable);
}

#[tokio::test]
async fn a_document_does_not_lead_inside() {
    let signer = Signer::new();
    // Another address of this machine, which nobody has named.
    let inside = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = inside.local_addr().unwrap();
    for place in [
        format!("http://{address}/keys"),
        format!("http://2130706434:{}/keys", address.port()),
        format!("https://{address}/keys"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "/keys".to_owned(),
        String::new(),
    ] {
        let to = place.clone();
        let (told, seen) = discovered(&signer, move |issuer, _| {
            found(&json!({ "issuer": issuer, "jwks_uri": to }))
        })
        .await;
        assert_eq!(told.unwrap_err(), Refused::Unavailable, "{place}");
        assert_eq!(paths(&seen), [DISCOVERY], "{place}");
        assert!(inside.accept().now_or_never().is_none(), "{place}");
    }
}

#[tokio::test]
async fn what_is_no_set_of_keys_is_none() {
    let signer = Signer::new();
    let keys = signer.keys().to_string();
    let replies: [fn(&str) -> Reply; 7] = [
        |_| Reply::redirect(302, "/elsewhere"),
        |keys| Reply::status(500, "", keys),
        |keys| Reply::status(203, "", keys),
        |keys| Reply::status(200, "", &keys[1..]),
        |_| Reply::status(200, "", "\u{0}"),
        |_| {
            Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n\xff\xff\xff\xff\xff".to_vec())
        },
        |_| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[  ".to_vec()),
    ];
    for (at, reply) in replies.into_iter().enumerate() {
        let keys = keys.clone();
        let server = Server::start(move |_, _| reply(&keys)).await;
        let issuers = issuers("name", Some(&server.url("/keys")));
        let told = verify(&issuers, &signer.token("name")).await;
        assert_eq!(told.unwrap_err(), Refused::Unavailable, "{at}");
        assert_eq!(paths(&server.seen()), ["/keys"], "{at}");
    }
}

#[tokio::test]
async fn keys_are_read_from_a_file() {
    let signer = Signer::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    std::fs::write(&path, signer.keys().to_string()).unwrap();
    let jwks = path.to_str().unwrap();
    let token = signer.token("name");
    assert!(verify(&issuers("name", Some(jwks)), &token).await.is_ok());
    let late = issuers("name", Some(jwks));
    std::fs::write(&path, " ".repeat(1 << 20) + &signer.keys().to_string()).unwrap();
    assert_eq!(
        verify(&late, &token).await.unwrap_err(),
        Refused::Unavailable
    );
    let later = issuers("name", Some(jwks));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        verify(&later, &token).await.unwrap_err(),
        Refused::Unavailable
    );
}
