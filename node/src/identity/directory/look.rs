//! Finds out whose an API key is. The authenticator asks; what it is told rests on the key and its roles.
//!
//! Everything that an answer rests on is registered before it is read, so that a change is seen here or heard of.

use std::time::Duration;

use selvedge_cluster::store::{self, Isolation, record};
use selvedge_protocol::limits::{API_KEY_USED_MS, CREDENTIAL_READ_MS_MAX, TOKEN_SKEW_MS};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use tokio::time::timeout;

use crate::gateway::failure;
use crate::identity::api_key::{SecretHash, ShownKey, mark};
use crate::identity::directory::Directory;
use crate::identity::directory::api_keys::{
    KEY_PRINCIPAL, KeyRecord, key_of, principal_name, read,
};
use crate::identity::directory::roles::{is_made, present};
use crate::identity::jwt::Claims;
use crate::identity::{Basis, Principal, Standing};

/// A key that somebody has to do with.
#[derive(Clone, Copy)]
struct KeyAt<'a> {
    tenant: &'a Tenant,
    id: &'a str,
}

impl Directory {
    /// The principal that a key is. The failure says nothing about why it is not valid.
    pub(in crate::identity) async fn principal_of_key(
        &self,
        shown: &ShownKey<'_>,
    ) -> Result<Principal, Failure> {
        let at = KeyAt {
            tenant: &shown.tenant,
            id: shown.id,
        };
        let standing = Standing::default();
        let found = self.look_up(at, &standing, |hash| shown.is(hash));
        self.in_turn(found).await?.ok_or_else(unknown)
    }

    /// The principal of verified claims of the cluster itself, of a token that a key was given.
    pub(in crate::identity) async fn principal_of_key_token(
        &self,
        claims: &Claims,
    ) -> Result<Principal, Failure> {
        let id = claims.subject.strip_prefix(KEY_PRINCIPAL);
        let (Some(tenant), Some(id), Some(marked)) = (&claims.tenant, id, &claims.login) else {
            return Err(unknown());
        };
        let found = self.in_turn(async {
            let Some(standing) = self.standing_of_token(claims).await? else {
                return Ok(None);
            };
            let at = KeyAt { tenant, id };
            self.look_up(at, &standing, |hash| mark(hash) == *marked)
                .await
        });
        let principal = found.await?.ok_or_else(unknown)?;
        let ends_ms = claims.expires_ms.saturating_add(TOKEN_SKEW_MS);
        let key_ends_ms = principal.expires_ms();
        Ok(principal.until(key_ends_ms.map_or(ends_ms, |at| at.min(ends_ms))))
    }

    /// Looks a credential up in its turn, within the time that its client waits.
    pub(in crate::identity) async fn in_turn<T>(
        &self,
        looking: impl Future<Output = Result<Option<T>, store::Error>>,
    ) -> Result<Option<T>, Failure> {
        let looking = async {
            let Ok(_permit) = self.0.looks.acquire().await else {
                return Err(late());
            };
            looking.await.map_err(|error| failure::store(&error))
        };
        let bound = Duration::from_millis(CREDENTIAL_READ_MS_MAX);
        timeout(bound, looking)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn look_up(
        &self,
        at: KeyAt<'_>,
        standing: &Standing,
        is_it: impl Fn(&SecretHash) -> bool,
    ) -> Result<Option<Principal>, store::Error> {
        let name = principal_name(at.id);
        let tenant = || at.tenant.clone();
        let on = [
            Basis::ApiKey {
                tenant: tenant(),
                id: at.id.to_owned(),
            },
            Basis::Principal {
                tenant: tenant(),
                name: name.clone(),
            },
        ];
        let standing = self.standings().extend(standing, on);
        let mut transaction = self.store().begin();
        let found = read(&mut *transaction, at.tenant, at.id, Isolation::Snapshot).await?;
        let now_ms = self.clock().wall_ms();
        let Some(key) = found.filter(|key| is_it(&key.hash) && is_valid(key, now_ms)) else {
            return Ok(None);
        };
        let made = key.roles.iter().filter(|name| is_made(name)).map(|name| {
            let tenant = tenant();
            let name = name.clone();
            Basis::Role { tenant, name }
        });
        let made: Vec<_> = made.collect();
        // Whoever has roles of the tenant reads them after they were registered, which was not so in the first read.
        if !made.is_empty() {
            transaction = self.store().begin();
        }
        let standing = self.standings().extend(&standing, made);
        let roles = present(&mut *transaction, at.tenant, &key.roles).await?;
        let (maker, standing) = self.maker(at.tenant, &key.created_by, &standing).await?;
        let Some(roles) = maker.bound(roles) else {
            return Ok(None);
        };
        self.note_use(at, &key, now_ms);
        let principal = Principal::new(name, tenant(), roles).resting_on(standing);
        Ok(Some(match key.expires_ms {
            Some(expires_ms) => principal.until(expires_ms),
            None => principal,
        }))
    }

    /// Writes that a key was used, now and then. Nobody waits for it, and one that fails is written another time.
    fn note_use(&self, at: KeyAt<'_>, key: &KeyRecord, now_ms: u64) {
        if !is_used_anew(key, now_ms) {
            return;
        }
        let directory = self.clone();
        let (tenant, id) = (at.tenant.clone(), at.id.to_owned());
        tokio::spawn(async move {
            let noted = store::run(directory.store(), directory.clock(), |mut transaction| {
                let (tenant, id) = (&tenant, &id);
                async move {
                    let found = {
                        let transaction = &mut *transaction;
                        read(transaction, tenant, id, Isolation::Serializable).await?
                    };
                    // Another node may have written it, and somebody may have removed the key.
                    if let Some(mut key) = found.filter(|key| is_used_anew(key, now_ms)) {
                        key.last_used_ms = Some(now_ms);
                        transaction.set(&key_of(tenant, id), &record::encode(&key));
                    }
                    Ok((transaction, ()))
                }
            });
            if let Err(error) = noted.await {
                tracing::debug!(%error, "the use of an API key is not noted");
            }
        });
    }
}

fn is_valid(key: &KeyRecord, now_ms: u64) -> bool {
    key.revoked_ms.is_none() && key.expires_ms.is_none_or(|at| now_ms < at)
}

fn is_used_anew(key: &KeyRecord, now_ms: u64) -> bool {
    let is_old = |at: u64| now_ms.saturating_sub(at) >= API_KEY_USED_MS;
    key.last_used_ms.is_none_or(is_old)
}

fn unknown() -> Failure {
    Failure::field(
        ErrorCode::Unauthenticated,
        "token",
        "the API key is not valid here: there is none, or it has expired or was revoked; come with another",
    )
}

fn late() -> Failure {
    Failure::new(
        ErrorCode::Unavailable,
        "credentials cannot be looked up at the moment; come again",
    )
}
