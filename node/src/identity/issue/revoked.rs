//! Access tokens that are revoked one by one (RFC 7009): a row for each until it has expired anyway, and what every token of the
//! cluster rests on beside its user or key. The bridge has tokens revoked, the authenticator asks whether they stand.

use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::record::Record;
use selvedge_cluster::store::{self, Isolation, Transaction, record};
use selvedge_protocol::limits::{REVOKED_TOKENS_MAX, TOKEN_SKEW_MS};
use selvedge_protocol::{ErrorCode, Failure, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::gateway::failure;
use crate::identity::api_key::ShownKey;
use crate::identity::directory::{Change, Directory, KEY_PRINCIPAL, read_user};
use crate::identity::issue::family::Reason;
use crate::identity::issue::keys::signing_key_row;
use crate::identity::issue::logins::Logins;
use crate::identity::issue::rows::LoginAt;
use crate::identity::jwt::{Claims, Refused};
use crate::identity::{Basis, Standing};
use crate::notice::Notice;

/// The row of a token that was revoked; its tenant and id are in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RevokedToken {
    /// When nobody takes it any more anyway.
    until_ms: u64,
}

impl Record for RevokedToken {
    const FORMAT: u8 = 1;
}

/// Why a token is not revoked.
#[derive(Debug)]
pub enum NotRevoked {
    /// It is of a sort that is ended elsewhere.
    Unsupported(&'static str),
    Failed(Failure),
}

/// What became of a revocation.
enum Revoked {
    Done,
    /// There is no room for one more.
    Full,
}

impl Logins {
    /// Ends what somebody shows: the login that a refresh token is of, or an access token alone. What is none of these is good
    /// for nothing already.
    pub async fn revoke(&self, text: &str) -> Result<(), NotRevoked> {
        if ShownKey::parse(text).is_some() {
            let what = "this is an API key; revoke it by `selvedge key revoke` or /v1/api-keys";
            return Err(NotRevoked::Unsupported(what));
        }
        // A refresh token has no third part.
        if text.matches('.').count() != 2 {
            return self.log_out(text).await.map_err(NotRevoked::Failed);
        }
        let parts = self.parts();
        let now_ms = parts.directory.clock().wall_ms();
        match parts.own.verify(text, now_ms).await {
            Ok(claims) => self
                .revoke_access(&claims)
                .await
                .map_err(NotRevoked::Failed),
            Err(Refused::UnknownIssuer) => {
                let what = "the token is of another issuer; revoke it there";
                Err(NotRevoked::Unsupported(what))
            }
            Err(refused @ Refused::Unavailable) => Err(NotRevoked::Failed(refused.into())),
            Err(
                Refused::Invalid(_)
                | Refused::Expired
                | Refused::NotYetValid
                | Refused::WrongAudience,
            ) => Ok(()),
        }
    }

    async fn revoke_access(&self, claims: &Claims) -> Result<(), Failure> {
        let (Some(tenant), Some(id)) = (&claims.tenant, &claims.token_id) else {
            return Ok(());
        };
        let directory = &self.parts().directory;
        let done = store::run_repeatable(directory.store(), directory.clock(), |mut it| {
            let now_ms = directory.clock().wall_ms();
            async move {
                let done = revoke(&mut *it, (tenant, id), claims, now_ms).await?;
                Ok((it, done))
            }
        });
        match done.await.map_err(|error| failure::store(&error))?.0 {
            Revoked::Done => Ok(()),
            Revoked::Full => self.end_instead(tenant, claims).await,
        }
    }

    /// Ends the login of a token for which there is no row any more; a key has to wait, or be revoked itself.
    async fn end_instead(&self, tenant: &Tenant, claims: &Claims) -> Result<(), Failure> {
        let id = |text: &str| Uuid::try_parse(text).ok();
        let login = claims.login.as_deref().and_then(id);
        let (Some(user), Some(login)) = (id(&claims.subject), login) else {
            let message = format!(
                "{REVOKED_TOKENS_MAX} tokens of the tenant are revoked and have not expired; revoke the API key, or come again"
            );
            return Err(Failure::new(ErrorCode::Unavailable, message));
        };
        let at = LoginAt {
            tenant,
            user,
            login,
        };
        let ended = self.parts().directory.end(at, None, Reason::LoggedOut);
        ended.await.map(drop)
    }
}

impl Directory {
    /// What a token of the cluster rests on by itself: that nobody has revoked it, and the key that has signed it. Registered
    /// before it is read. `None`: it is good for nothing.
    pub(in crate::identity) async fn standing_of_token(
        &self,
        claims: &Claims,
    ) -> Result<Option<Standing>, store::Error> {
        let (Some(tenant), Some(id), Some(key)) =
            (&claims.tenant, &claims.token_id, &claims.key_id)
        else {
            return Ok(None);
        };
        let standing = self.standings().stand([
            Basis::Token {
                tenant: tenant.clone(),
                id: id.clone(),
            },
            Basis::SigningKey { id: key.clone() },
        ]);
        let mut transaction = self.store().begin();
        let (revoked, signed) = (row(tenant, id), signing_key_row(key));
        if transaction
            .get(&revoked, Isolation::Snapshot)
            .await?
            .is_some()
        {
            return Ok(None);
        }
        let signed = transaction.get(&signed, Isolation::Snapshot).await?;
        Ok(signed.map(|_| standing))
    }
}

async fn revoke(
    transaction: &mut dyn Transaction,
    (tenant, id): (&Tenant, &str),
    claims: &Claims,
    now_ms: u64,
) -> Result<Revoked, store::Error> {
    let key = row(tenant, id);
    if transaction
        .get(&key, Isolation::Serializable)
        .await?
        .is_some()
    {
        return Ok(Revoked::Done);
    }
    let range = KeyRange::of_tenant(TenantFamily::RevokedToken, tenant);
    let rows = transaction.range(range.read(REVOKED_TOKENS_MAX, Isolation::Serializable));
    let mut kept = 0;
    for (key, row) in rows.await? {
        match record::decode::<RevokedToken>(&key, &row)?.until_ms <= now_ms {
            true => transaction.clear(&key),
            false => kept += 1,
        }
    }
    if kept >= REVOKED_TOKENS_MAX {
        return Ok(Revoked::Full);
    }
    let until_ms = claims.expires_ms.saturating_add(TOKEN_SKEW_MS);
    transaction.set(&key, &record::encode(&RevokedToken { until_ms }));
    let change = Change {
        tenant,
        principal: &principal(transaction, tenant, claims).await?,
        action: "token.revoke",
        target: id,
        detail: json!({ "subject": claims.subject, "login": claims.login }),
        notice: Some(Notice::Token {
            tenant: tenant.clone(),
            id: id.to_owned(),
        }),
    };
    change.leave(transaction, now_ms).await?;
    Ok(Revoked::Done)
}

/// Whose the token is, and who so revokes it by showing it.
async fn principal(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    claims: &Claims,
) -> Result<String, store::Error> {
    if claims.subject.starts_with(KEY_PRINCIPAL) {
        return Ok(claims.subject.clone());
    }
    let Ok(id) = Uuid::try_parse(&claims.subject) else {
        return Ok(String::new());
    };
    let user = read_user(transaction, tenant, id, Isolation::Snapshot).await?;
    Ok(user.map(|user| user.principal()).unwrap_or_default())
}

fn row(tenant: &Tenant, id: &str) -> Vec<u8> {
    let (tenant, id) = (tenant.clone(), id.to_owned());
    Key::from(AdminKey::RevokedToken { tenant, id }).encode()
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use selvedge_cluster::store::record::golden;

    use super::*;

    #[test]
    fn its_record_is_what_it_was() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let revoked = RevokedToken { until_ms: 7 };
        assert_eq!(golden::check(&directory, "revoked-token", &revoked), []);
    }

    /// Revokes as many tokens as there is room for, until then.
    pub(in crate::identity::issue) async fn fill(
        directory: &Directory,
        tenant: &Tenant,
        until_ms: u64,
    ) {
        let filled = store::run(directory.store(), directory.clock(), |mut it| async move {
            for number in 0..REVOKED_TOKENS_MAX {
                let revoked = record::encode(&RevokedToken { until_ms });
                it.set(&row(tenant, &number.to_string()), &revoked);
            }
            Ok((it, ()))
        });
        assert!(filled.await.is_ok(), "the table is filled");
    }
}
