//! Authorizations of clients (RFC 6749, 4.1): who shows a password at the page gets a code, and the client that it is for the
//! tokens. The bridge calls it.
//!
//! The login begins with its code, in a state that only the code and its verifier open. One whose code is not exchanged ends by
//! itself, and a code that is shown again ends what came of it, by the rules of [`family`](super::family).

use parking_lot::Mutex;
use selvedge_cluster::store::{self, Isolation};
use selvedge_protocol::Failure;
use selvedge_protocol::limits::CODE_MS_MAX;
use serde_json::json;

use crate::gateway::failure;
use crate::identity::Secret;
use crate::identity::issue::family::{Awaited, Family, ForIdToken, Redeemer};
use crate::identity::issue::logins::{ClientName, Grant, Login, Logins, NotRefreshed};
use crate::identity::issue::pkce::Challenge;
use crate::identity::issue::refresh::{RefreshToken, SecretHash};
use crate::identity::issue::rows::{Begun, LoginAt, read_family, redeem};
use crate::identity::throttle::Place;

/// What a client has asked for when it sent a user to the page.
#[derive(Debug, Clone)]
pub struct CodeAsked {
    pub redirect_uri: String,
    pub challenge: Challenge,
    pub id_token: IdToken,
}

/// Whether a client wants to be told who the user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdToken {
    NotAsked,
    Asked { nonce: Option<String> },
}

/// A code that a client shows.
pub struct CodeShown {
    pub code: String,
    pub verifier: String,
    pub client: ClientName,
    pub redirect_uri: String,
}

impl Logins {
    /// Lets somebody in who has the password, as far as a code for the client.
    ///
    /// # Errors
    /// As [`Logins::log_in`].
    pub async fn authorize(&self, login: Login, asked: CodeAsked) -> Result<Secret, Failure> {
        let user = self.check(&login).await?;
        let parts = self.parts();
        let clock = parts.directory.clock();
        let now_ms = clock.wall_ms();
        let id = parts.directory.new_id(now_ms);
        let code = RefreshToken::code(login.tenant.clone(), user.id, id, clock);
        let client = login.client.as_str().to_owned();
        let family = Family::begin(&code, client, parts.config.lasts, now_ms);
        let family = family.awaiting(Awaited {
            until_ms: now_ms.saturating_add(CODE_MS_MAX),
            challenge: asked.challenge.0,
            redirect_uri: asked.redirect_uri,
            id_token: match asked.id_token {
                IdToken::NotAsked => None,
                IdToken::Asked { nonce } => Some(ForIdToken { nonce }),
            },
        });
        let place = Place::of(login.address);
        self.begin(&login.tenant, &user, family, place).await?;
        Ok(Secret::new(code.text(&parts.secrets).as_str()))
    }

    /// Gives the first tokens of a login to who shows its code and what its challenge was made of.
    pub async fn redeem(&self, shown: CodeShown) -> Result<Grant, NotRefreshed> {
        let parts = self.parts();
        let code = RefreshToken::read_code(&shown.code, &parts.secrets);
        let challenge = Challenge::of_verifier(&shown.verifier);
        let (Some(code), Some(challenge)) = (code, challenge) else {
            return Err(NotRefreshed::Refused);
        };
        let first = code.next(&parts.secrets);
        let now_ms = parts.directory.clock().wall_ms();
        let by = Redeemer {
            client: shown.client.as_str(),
            redirect_uri: &shown.redirect_uri,
            challenge: challenge.0,
        };
        let (code, by, next_hash) = (&code, &by, first.hash());
        let seen = &Mutex::new(None);
        let done = store::run(
            parts.directory.store(),
            parts.directory.clock(),
            |mut transaction| async move {
                let begun = redeem(&mut *transaction, code, by, next_hash, now_ms).await?;
                seen.lock().clone_from(&begun);
                Ok((transaction, begun))
            },
        );
        let begun = match done.await {
            Ok((begun, _)) => begun,
            // It is not to be done again: that would be the second time that the code is shown.
            Err(store::Error::CommitUnknown) => {
                let was_taken = self.was_taken(code, next_hash).await;
                let was_taken = was_taken.map_err(NotRefreshed::Failed)?;
                let begun = seen.lock().take();
                match was_taken {
                    true => begun,
                    false => {
                        let unknown = failure::store(&store::Error::CommitUnknown);
                        return Err(NotRefreshed::Failed(unknown));
                    }
                }
            }
            Err(error) => return Err(NotRefreshed::Failed(failure::store(&error))),
        };
        let begun = begun.ok_or(NotRefreshed::Refused)?;
        let granted = self.grant(&begun.user, &shown.client, &first).await;
        let mut granted = granted.map_err(NotRefreshed::Failed)?;
        let id_token = self.id_token(&begun, &shown.client, &first).await;
        granted.id_token = id_token.map_err(NotRefreshed::Failed)?;
        Ok(granted)
    }

    /// Whether the tokens of this hash are the first ones of the login that a code is of.
    async fn was_taken(&self, code: &RefreshToken, first: SecretHash) -> Result<bool, Failure> {
        let at = LoginAt {
            tenant: &code.tenant,
            user: code.user,
            login: code.family,
        };
        let mut transaction = self.parts().directory.store().begin();
        let family = read_family(&mut *transaction, &at, Isolation::Snapshot).await;
        let family = family.map_err(|error| failure::store(&error))?;
        Ok(family.is_some_and(|family| family.has_given(first)))
    }

    /// Who the user is, for the client and nobody else (OpenID Connect Core 1.0, 2).
    async fn id_token(
        &self,
        begun: &Begun,
        client: &ClientName,
        first: &RefreshToken,
    ) -> Result<Option<Secret>, Failure> {
        let Some(ForIdToken { nonce }) = &begun.id_token else {
            return Ok(None);
        };
        let parts = self.parts();
        let now_s = parts.directory.clock().wall_ms() / 1_000;
        let mut claims = json!({
            "iss": parts.issuer,
            "aud": client.as_str(),
            "sub": begun.user.id,
            "tenant": first.tenant.as_str(),
            "sid": first.family,
            "auth_time": begun.since_ms / 1_000,
            "iat": now_s,
            "exp": now_s + parts.config.access_ms / 1_000,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        let signer = self.signer().await?;
        Ok(Some(Secret::new(signer.sign_id_token(&claims))))
    }
}

// A derived one would print the code.
impl std::fmt::Debug for CodeShown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CodeShown({})", self.client.as_str())
    }
}

#[cfg(test)]
mod tests;
