//! Access tokens of API keys (RFC 6749, 4.4): who shows a key gets a token for some minutes, for services that are not to see
//! the key itself. The bridge calls it.
//!
//! The token is the key: it has its rights of the present, and ends with it. It is bound to the secret, so one of a key that was
//! made anew under the same id is another one.

use selvedge_protocol::{ErrorCode, Failure};
use serde_json::json;

use crate::identity::api_key::ShownKey;
use crate::identity::issue::logins::Logins;
use crate::identity::{Role, Secret};

/// What the holder of a key gets.
#[derive(Debug)]
pub struct KeyGrant {
    pub access: Secret,
    pub expires_in_s: u64,
    /// Names of those that the key has at present.
    pub roles: Vec<String>,
}

/// Why a key gives nothing.
#[derive(Debug)]
pub enum KeyNotGranted {
    /// It is none, or not of this id, or not good any more. Nothing else is said.
    Refused,
    Failed(Failure),
}

impl Logins {
    /// Gives a token to who shows an API key by its id and its text.
    pub async fn grant_to_key(&self, id: &str, text: &str) -> Result<KeyGrant, KeyNotGranted> {
        let shown = ShownKey::parse(text).filter(|shown| shown.id == id);
        let shown = shown.ok_or(KeyNotGranted::Refused)?;
        let parts = self.parts();
        let found = parts.directory.principal_of_key(&shown).await;
        let key = found.map_err(|failure| match failure.code {
            ErrorCode::Unauthenticated => KeyNotGranted::Refused,
            _ => KeyNotGranted::Failed(failure),
        })?;
        let signer = self.signer().await.map_err(KeyNotGranted::Failed)?;
        let now_ms = parts.directory.clock().wall_ms();
        let ends_ms = now_ms.saturating_add(parts.config.access_ms);
        let ends_ms = key.expires_ms().map_or(ends_ms, |at| at.min(ends_ms));
        let expires_in_s = ends_ms.saturating_sub(now_ms) / 1_000;
        let now_s = now_ms / 1_000;
        let roles: Vec<_> = key.roles().iter().map(Role::name).collect();
        let claims = json!({
            "iss": parts.issuer,
            "aud": parts.issuer,
            "sub": &*key.name,
            "client_id": shown.id,
            "tenant": shown.tenant.as_str(),
            "roles": roles,
            "sid": shown.mark(),
            "jti": parts.directory.new_id(now_ms),
            "iat": now_s,
            "exp": now_s + expires_in_s,
        });
        Ok(KeyGrant {
            access: Secret::new(signer.sign(&claims)),
            expires_in_s,
            roles: roles.into_iter().map(str::to_owned).collect(),
        })
    }
}
