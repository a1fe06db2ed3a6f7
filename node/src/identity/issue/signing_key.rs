//! A key under which the cluster signs its tokens: the record in the store, and the key when it is opened to sign.
//!
//! ```text
//! made ─ published ──► signs ──── SIGNING_KEY_MS ────► verifies what it has signed ──► is removed
//! ```

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use selvedge_cluster::store::record::Record;
use selvedge_protocol::limits::{ACCESS_TOKEN_MS_MAX, SIGNING_KEY_MS, TOKEN_SKEW_MS};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::identity::issue::secrets::Secrets;

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SigningKey {
    /// The thumbprint of the public half (RFC 7638): what tokens name it by.
    pub(super) id: String,
    public: [u8; 32],
    /// The private half in PKCS #8, sealed for this id.
    sealed: Vec<u8>,
    pub(super) created_ms: u64,
    pub(super) signs_from_ms: u64,
    pub(super) signs_until_ms: u64,
}

impl Record for SigningKey {
    const FORMAT: u8 = 1;
}

/// A key that signs.
pub(super) struct Signer {
    id: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A new key. `None` where the system makes none, of which its log says more.
    pub(super) fn make(secrets: &Secrets, now_ms: u64, signs_from_ms: u64) -> Option<Self> {
        let pair = Ed25519KeyPair::generate().ok()?;
        let private = pair.to_pkcs8v1().ok()?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        let id = thumbprint(&public);
        Some(Self {
            sealed: secrets.seal(&purpose(&id), private.as_ref()),
            id,
            public,
            created_ms: now_ms,
            signs_from_ms,
            signs_until_ms: signs_from_ms.saturating_add(SIGNING_KEY_MS),
        })
    }

    /// Ready to sign. `None`: it was sealed by another cluster, or somebody has changed it.
    pub(super) fn open(&self, secrets: &Secrets) -> Option<Signer> {
        let private = Zeroizing::new(secrets.open(&purpose(&self.id), &self.sealed)?);
        let pair = Ed25519KeyPair::from_pkcs8(&private).ok()?;
        let is_same =
            pair.public_key().as_ref() == self.public && thumbprint(&self.public) == self.id;
        is_same.then(|| Signer {
            id: self.id.clone(),
            pair,
        })
    }

    /// When nothing can be good any more that it has signed.
    pub(super) const fn ends_ms(&self) -> u64 {
        self.signs_until_ms
            .saturating_add(ACCESS_TOKEN_MS_MAX + 2 * TOKEN_SKEW_MS)
    }

    /// Its public half, as it is published (RFC 8037).
    pub(super) fn jwk(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.public),
            "kid": self.id, "use": "sig", "alg": "EdDSA",
        })
    }
}

impl Signer {
    /// An access token with these claims (RFC 9068).
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_as("at+jwt", claims)
    }

    /// An id token with these claims (OpenID Connect Core 1.0, 2).
    pub(super) fn sign_id_token(&self, claims: &Value) -> String {
        self.sign_as("JWT", claims)
    }

    fn sign_as(&self, sort: &str, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "typ": sort, "kid": self.id });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

fn purpose(id: &str) -> String {
    format!("signing key {id}")
}

/// Members in the order of their names, without spaces (RFC 7638, 3).
fn thumbprint(public: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use selvedge_cluster::store::record::golden;

    use super::*;

    #[test]
    fn its_record_is_what_it_was() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let key = SigningKey {
            id: "an-id".to_owned(),
            public: [7; 32],
            sealed: vec![1, 2, 3],
            created_ms: 1,
            signs_from_ms: 2,
            signs_until_ms: 3,
        };
        assert_eq!(golden::check(&directory, "signing-key", &key), []);
    }

    #[test]
    fn it_is_named_by_its_thumbprint() {
        // RFC 8037, A.3.
        let x = URL_SAFE_NO_PAD
            .decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .unwrap();
        let public = <[u8; 32]>::try_from(x).unwrap();
        assert_eq!(
            thumbprint(&public),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn it_opens_in_its_cluster_and_as_it_was_alone() {
        let secrets = Secrets::of_cluster(&[1; 32]);
        let key = SigningKey::make(&secrets, 10, 20).unwrap();
        assert!(key.open(&secrets).is_some());
        assert!(key.open(&Secrets::of_cluster(&[2; 32])).is_none());
        let other = SigningKey::make(&secrets, 10, 20).unwrap();
        // Somebody who writes rows puts no key of another name in its place.
        for swapped in [
            SigningKey {
                id: other.id.clone(),
                ..key.clone()
            },
            SigningKey {
                public: other.public,
                ..key.clone()
            },
            SigningKey {
                sealed: other.sealed,
                ..key.clone()
            },
        ] {
            assert!(swapped.open(&secrets).is_none());
        }
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }
}
