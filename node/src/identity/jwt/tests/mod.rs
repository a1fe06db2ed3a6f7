//! The whole of it: signed tokens, against issuers whose keys and time are the test's.

mod attacks;
mod claims;
mod keys;
mod published;
mod rotation;
mod signer;
mod table;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use selvedge_cluster::Clock;
use serde_json::{Value, json};

use crate::identity::jwt::claims::{Rules, TenantRule};
use crate::identity::jwt::key_set::KeySet;
use crate::identity::jwt::keys::Published;
use crate::identity::jwt::source::{Source, SourceError};
use crate::identity::jwt::tests::signer::Signer;
use crate::identity::jwt::{Claims, Issuers, Refused};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "selvedge";
/// Some moment in 2033.
const NOW_S: u64 = 2_000_000_000;

/// An issuer whose keys the test publishes.
#[derive(Clone)]
struct Desk(Arc<Mutex<Shown>>);

struct Shown {
    /// `None`: it cannot be reached.
    document: Option<String>,
    age_ms: Option<u64>,
    /// It takes the question and never answers.
    hangs: bool,
    fetches: usize,
}

impl Desk {
    fn new(keys: &[Value]) -> Self {
        Self(Arc::new(Mutex::new(Shown {
            document: Some(json!({ "keys": keys }).to_string()),
            age_ms: None,
            hangs: false,
            fetches: 0,
        })))
    }

    fn publish(&self, keys: &[Value]) {
        self.0.lock().document = Some(json!({ "keys": keys }).to_string());
    }

    fn close(&self) {
        self.0.lock().document = None;
    }

    fn fetches(&self) -> usize {
        self.0.lock().fetches
    }
}

#[async_trait]
impl Source for Desk {
    async fn fetch(&self) -> Result<Published, SourceError> {
        let (document, age_ms, hangs) = {
            let mut shown = self.0.lock();
            shown.fetches += 1;
            (shown.document.clone(), shown.age_ms, shown.hangs)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let gone = || SourceError::File(std::io::ErrorKind::NotFound.into());
        let document = document.ok_or_else(gone)?;
        Ok(Published {
            keys: KeySet::parse(document.as_bytes())?,
            age_ms,
        })
    }
}

fn rules() -> Rules {
    Rules {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        tenant: TenantRule::Unsaid,
        roles: None,
    }
}

/// What trusts the issuer of a desk.
fn issuers(desk: &Desk) -> Issuers {
    let source: Box<dyn Source> = Box::new(desk.clone());
    Issuers::with_sources([(rules(), source)], &Clock::manual(0, 1))
}

/// Claims that are good for a minute more.
fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "somebody", "aud": AUDIENCE, "exp": NOW_S + 60, "iat": NOW_S })
}

/// The good claims with one changed; `null` leaves it out.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    let members = claims.as_object_mut().unwrap();
    match value.is_null() {
        true => drop(members.remove(name)),
        false => drop(members.insert(name.to_owned(), value)),
    }
    claims
}

/// What comes of a token now.
async fn verify(issuers: &Issuers, token: &str) -> Result<Claims, Refused> {
    issuers.verify(token, NOW_S * 1_000).await
}

/// An issuer with one key, called `1`.
fn one_key(algorithm: &str) -> (Signer, Desk, Issuers) {
    let signer = Signer::new(algorithm);
    let desk = Desk::new(&[signer.jwk("1")]);
    let issuers = issuers(&desk);
    (signer, desk, issuers)
}
