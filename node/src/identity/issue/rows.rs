//! Logins in the store: begun, gone on with, listed and ended, each in one transaction with the traces that it leaves.
//!
//! [`logins`](super::logins) decides who may; here is what becomes of the rows.

use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange};
use selvedge_cluster::store::{self, Isolation, Transaction, record};
use selvedge_protocol::limits::TOKEN_FAMILIES_USER_MAX;
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde_json::json;
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::Principal;
use crate::identity::directory::{Change, Directory, User, read_user};
use crate::identity::issue::family::{Family, ForIdToken, Reason, Redeemed, Redeemer, Shown};
use crate::identity::issue::refresh::RefreshToken;
use crate::notice::Notice;

impl Directory {
    /// The logins of a user that go on, and those that were ended a while ago.
    pub async fn logins(&self, tenant: &Tenant, user: &User) -> Result<Vec<LoginShown>, Failure> {
        let range = KeyRange::token_families(tenant, &user.id.to_string());
        let read = range.read(2 * TOKEN_FAMILIES_USER_MAX, Isolation::Snapshot);
        let rows = self.store().begin().range(read).await;
        let rows = rows.map_err(|error| failure::store(&error))?;
        let now_ms = self.clock().wall_ms();
        let families = rows
            .iter()
            .map(|(key, row)| record::decode::<Family>(key, row));
        let families: Result<Vec<_>, _> = families.collect();
        let families = families.map_err(|error| failure::store(&error))?;
        let is_shown = |family: &Family| {
            let is_over = family.created_ms < user.logins_from_ms;
            family.ended.is_some() || !is_over && family.goes_on(now_ms)
        };
        let shown = families.into_iter().filter(is_shown).map(LoginShown::from);
        Ok(shown.collect())
    }

    /// Ends a login of a user.
    pub async fn end_login(&self, by: &Principal, user: &User, login: &str) -> Result<(), Failure> {
        let unknown = || Failure::field(ErrorCode::NotFound, "login", "the user has no such login");
        let login = Uuid::try_parse(login).map_err(|_| unknown())?;
        let at = LoginAt {
            tenant: &by.tenant,
            user: user.id,
            login,
        };
        match self.end(at, Some(&by.name), Reason::Revoked).await? {
            true => Ok(()),
            false => Err(unknown()),
        }
    }

    /// Ends a login; whether there is one. `by` is the name of who does it, if that is not the user.
    pub(super) async fn end(
        &self,
        at: LoginAt<'_>,
        by: Option<&str>,
        reason: Reason,
    ) -> Result<bool, Failure> {
        let now_ms = self.clock().wall_ms();
        let done =
            store::run_repeatable(self.store(), self.clock(), |mut transaction| async move {
                let found = read_family(&mut *transaction, &at, Isolation::Serializable).await?;
                let Some(mut family) = found else {
                    return Ok((transaction, false));
                };
                if family.ended.is_none() {
                    end(&mut *transaction, &at, by, &mut family, reason, now_ms).await?;
                }
                Ok((transaction, true))
            });
        Ok(done.await.map_err(|error| failure::store(&error))?.0)
    }
}

/// A login as people see it.
#[derive(Debug, Clone)]
pub struct LoginShown {
    pub id: Uuid,
    pub client: String,
    pub created_ms: u64,
    pub used_ms: u64,
    pub ends_ms: u64,
    pub ended_ms: Option<u64>,
    /// Why it has ended before its time.
    pub reason: Option<&'static str>,
}

impl From<Family> for LoginShown {
    fn from(family: Family) -> Self {
        Self {
            id: family.id,
            ends_ms: family.ends_ms(),
            client: family.client,
            created_ms: family.created_ms,
            used_ms: family.used_ms,
            ended_ms: family.ended.as_ref().map(|ended| ended.at_ms),
            reason: family.ended.as_ref().map(|ended| ended.reason.name()),
        }
    }
}

/// A login that there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoginAt<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) user: Uuid,
    pub(super) login: Uuid,
}

/// A token that is shown, what follows from it, and by whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShownToken<'a> {
    pub(super) shown: &'a RefreshToken,
    pub(super) next_hash: [u8; 32],
    pub(super) client: &'a str,
}

/// A login whose code was exchanged.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) user: User,
    /// When the user has shown the password.
    pub(super) since_ms: u64,
    pub(super) id_token: Option<ForIdToken>,
}

/// Begins a login, if the user still is who was seen.
pub(super) async fn begin(
    directory: &Directory,
    transaction: &mut dyn Transaction,
    (tenant, seen): (&Tenant, &User),
    family: Family,
    note: &(impl Fn(&mut User) + Send + Sync),
) -> Result<Option<User>, store::Error> {
    let now = read_user(transaction, tenant, seen.id, Isolation::Serializable).await?;
    let Some(mut user) = now.filter(|now| now.is_enabled() && now.version == seen.version) else {
        return Ok(None);
    };
    user.password.clone_from(&seen.password);
    note(&mut user);
    directory.write_user(transaction, tenant, &user).await?;
    make_room(transaction, tenant, &user, family.created_ms).await?;
    let at = LoginAt {
        tenant,
        user: user.id,
        login: family.id,
    };
    transaction.set(&key(&at), &record::encode(&family));
    let detail = json!({ "id": user.id, "login": family.id, "client": family.client });
    let change = Change {
        tenant,
        principal: &user.principal(),
        action: "user.login",
        target: &user.id.to_string(),
        detail,
        notice: None,
    };
    change.leave(transaction, family.created_ms).await?;
    Ok(Some(user))
}

/// Removes logins that have ended by themselves, and ends the one that is quiet for longest where there are too many.
async fn make_room(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    user: &User,
    now_ms: u64,
) -> Result<(), store::Error> {
    let range = KeyRange::token_families(tenant, &user.id.to_string());
    let rows = transaction
        .range(range.read(2 * TOKEN_FAMILIES_USER_MAX, Isolation::Serializable))
        .await?;
    let mut kept = Vec::new();
    for (key, row) in rows {
        let family = record::decode::<Family>(&key, &row)?;
        // Those that were ended before their time are kept for people to see why, as long as there is room.
        match family.ends_ms() <= now_ms || family.created_ms < user.logins_from_ms {
            true => transaction.clear(&key),
            false => kept.push(family),
        }
    }
    if kept.len() < TOKEN_FAMILIES_USER_MAX {
        return Ok(());
    }
    kept.sort_by_key(|family| (family.goes_on(now_ms), family.used_ms, family.id));
    let Some(oldest) = kept.into_iter().next() else {
        return Ok(());
    };
    let at = LoginAt {
        tenant,
        user: user.id,
        login: oldest.id,
    };
    if oldest.goes_on(now_ms) {
        let mut oldest = oldest;
        end(transaction, &at, None, &mut oldest, Reason::Crowded, now_ms).await?;
    }
    transaction.clear(&key(&at));
    Ok(())
}

/// What comes of a refresh token: the user, where the next one is to be given.
pub(super) async fn show(
    transaction: &mut dyn Transaction,
    tokens: &ShownToken<'_>,
    now_ms: u64,
) -> Result<Option<User>, store::Error> {
    let ShownToken {
        shown,
        next_hash,
        client,
    } = tokens;
    let tenant = &shown.tenant;
    let at = LoginAt {
        tenant,
        user: shown.user,
        login: shown.family,
    };
    let user = read_user(transaction, tenant, shown.user, Isolation::Serializable).await?;
    let Some(mut family) = read_family(transaction, &at, Isolation::Serializable).await? else {
        return Ok(None);
    };
    let may = |user: &User| user.is_enabled() && family.created_ms >= user.logins_from_ms;
    let Some(user) = user.filter(may) else {
        return Ok(None);
    };
    match family.show(shown, client, *next_hash, now_ms) {
        Shown::Rotated => {
            transaction.set(&key(&at), &record::encode(&family));
            Ok(Some(user))
        }
        Shown::Repeated => Ok(Some(user)),
        Shown::Reused => {
            tracing::warn!(user = %user.id, login = %family.id, "an old refresh token was shown; its login ends");
            tell_end(transaction, &at, None, &family, now_ms).await?;
            transaction.set(&key(&at), &record::encode(&family));
            Ok(None)
        }
        Shown::Refused => Ok(None),
    }
}

/// What comes of a code: the user and the login, where the first tokens are to be given, and what is to be in an id token.
pub(super) async fn redeem(
    transaction: &mut dyn Transaction,
    code: &RefreshToken,
    by: &Redeemer<'_>,
    next_hash: [u8; 32],
    now_ms: u64,
) -> Result<Option<Begun>, store::Error> {
    let at = LoginAt {
        tenant: &code.tenant,
        user: code.user,
        login: code.family,
    };
    let user = read_user(transaction, at.tenant, at.user, Isolation::Serializable).await?;
    let Some(mut family) = read_family(transaction, &at, Isolation::Serializable).await? else {
        return Ok(None);
    };
    let may = |user: &User| user.is_enabled() && family.created_ms >= user.logins_from_ms;
    let Some(user) = user.filter(may) else {
        return Ok(None);
    };
    match family.redeem(code, by, next_hash, now_ms) {
        Redeemed::Taken(id_token) => {
            transaction.set(&key(&at), &record::encode(&family));
            Ok(Some(Begun {
                user,
                since_ms: family.created_ms,
                id_token,
            }))
        }
        Redeemed::Reused => {
            tracing::warn!(user = %user.id, login = %family.id, "a code was shown again; its login ends");
            tell_end(transaction, &at, None, &family, now_ms).await?;
            transaction.set(&key(&at), &record::encode(&family));
            Ok(None)
        }
        Redeemed::Refused => Ok(None),
    }
}

async fn end(
    transaction: &mut dyn Transaction,
    at: &LoginAt<'_>,
    by: Option<&str>,
    family: &mut Family,
    reason: Reason,
    now_ms: u64,
) -> Result<(), store::Error> {
    family.end(reason, now_ms);
    transaction.set(&key(at), &record::encode(family));
    tell_end(transaction, at, by, family, now_ms).await
}

/// Leaves the traces of a login that has ended before its time.
async fn tell_end(
    transaction: &mut dyn Transaction,
    at: &LoginAt<'_>,
    by: Option<&str>,
    family: &Family,
    now_ms: u64,
) -> Result<(), store::Error> {
    let user = read_user(transaction, at.tenant, at.user, Isolation::Snapshot).await?;
    let own = user.map(|user| user.principal()).unwrap_or_default();
    let reason = family
        .ended
        .as_ref()
        .map_or("", |ended| ended.reason.name());
    let change = Change {
        tenant: at.tenant,
        principal: by.unwrap_or(&own),
        action: "login.end",
        target: &at.login.to_string(),
        detail: json!({ "user": at.user, "reason": reason }),
        notice: Some(Notice::TokenFamily {
            tenant: at.tenant.clone(),
            id: at.login.to_string(),
        }),
    };
    change.leave(transaction, now_ms).await
}

pub(super) async fn read_family(
    transaction: &mut dyn Transaction,
    at: &LoginAt<'_>,
    isolation: Isolation,
) -> Result<Option<Family>, store::Error> {
    let key = key(at);
    let stored = transaction.get(&key, isolation).await?;
    stored.map(|row| record::decode(&key, &row)).transpose()
}

fn key(at: &LoginAt<'_>) -> Vec<u8> {
    Key::from(AdminKey::TokenFamily {
        tenant: at.tenant.clone(),
        principal: at.user.to_string(),
        id: at.login.to_string(),
    })
    .encode()
}
