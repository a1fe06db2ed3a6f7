//! API keys: made, listed, revoked and removed. What a key may is what its roles give at present; whoever makes one has
//! all of that. A key makes no keys, so that none outlives the revocation of another that was stolen.

use aws_lc_rs::digest::{SHA256, digest};
use selvedge_cluster::store::keys::{AdminKey, Key, KeyRange, TenantFamily};
use selvedge_cluster::store::record::{self, Record};
use selvedge_cluster::store::{self, Isolation, Transaction};
use selvedge_protocol::limits::{API_KEY_NAME_CHARS_MAX, API_KEYS_MAX, PRINCIPAL_ROLES_MAX};
use selvedge_protocol::{ErrorCode, Failure, Tenant, time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gateway::failure;
use crate::identity::api_key::{self, SecretHash, is_id};
use crate::identity::directory::roles::{may_grant, present};
use crate::identity::directory::{Change, Directory, check_version, invalid, one_line};
use crate::identity::{Principal, Scope, Secret};
use crate::notice::Notice;

/// An API key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    /// Names; those that are no roles any more give nothing.
    pub roles: Vec<String>,
    /// The principal that made it.
    pub created_by: String,
    pub created_ms: u64,
    pub expires_ms: Option<u64>,
    /// To the hour.
    pub last_used_ms: Option<u64>,
    pub revoked_ms: Option<u64>,
    /// From 1, raised by one with each change.
    pub version: u64,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub roles: Vec<String>,
    pub expires_ms: Option<u64>,
}

/// Who makes it, and what makes a repeat of the request the same one.
#[derive(Debug, Clone, Copy)]
pub struct KeyMaker<'a> {
    pub by: &'a Principal,
    pub request: &'a [u8],
}

/// A key that was made, with its text: shown once.
#[derive(Debug)]
pub struct MadeKey {
    pub key: ApiKey,
    pub text: Secret,
}

/// The row of a key; its tenant and id are in its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    name: String,
    pub(super) hash: SecretHash,
    pub(super) roles: Vec<String>,
    pub(super) created_by: String,
    created_ms: u64,
    pub(super) expires_ms: Option<u64>,
    pub(super) last_used_ms: Option<u64>,
    pub(super) revoked_ms: Option<u64>,
    version: u64,
}

impl Record for KeyRecord {
    const FORMAT: u8 = 1;
}

impl Directory {
    /// The keys of the caller's tenant, by id; its own, where it may see no others.
    pub async fn api_keys(&self, of: &Principal, scope: Scope) -> Result<Vec<ApiKey>, Failure> {
        let range = KeyRange::of_tenant(TenantFamily::ApiKey, &of.tenant);
        let read = range.read(API_KEYS_MAX, Isolation::Snapshot);
        let rows = self.store().begin().range(read).await;
        let rows = rows.map_err(|error| failure::store(&error))?;
        let mut keys = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let found = id_in(&key).and_then(|id| Ok((id, record::decode(&key, &value)?)));
            let (id, found) = found.map_err(|error| failure::store(&error))?;
            if is_visible(&found, of, scope) {
                keys.push(ApiKey::of(id, found));
            }
        }
        Ok(keys)
    }

    /// A key that the caller may see.
    pub async fn api_key(&self, of: &Principal, scope: Scope, id: &str) -> Result<ApiKey, Failure> {
        let mut transaction = self.store().begin();
        let found = read(&mut *transaction, &of.tenant, id, Isolation::Snapshot).await;
        let found = found.map_err(|error| failure::store(&error))?;
        let found = found.filter(|found| is_visible(found, of, scope));
        let found = found.ok_or_else(unknown)?;
        Ok(ApiKey::of(id.to_owned(), found))
    }

    /// Makes a key.
    pub async fn make_api_key(&self, maker: KeyMaker<'_>, new: NewKey) -> Result<MadeKey, Failure> {
        let by = maker.by;
        let now_ms = self.clock().wall_ms();
        check(by, &new, now_ms)?;
        let id = id_of(maker);
        let (text, hash) = api_key::make(&by.tenant, &id, &self.random());
        let made = KeyRecord {
            name: new.name,
            hash,
            roles: new.roles,
            created_by: by.name.to_string(),
            created_ms: now_ms,
            expires_ms: new.expires_ms,
            last_used_ms: None,
            revoked_ms: None,
            version: 1,
        };
        let key = self.transact(|mut transaction| {
            let (id, made) = (&id, made.clone());
            async move {
                if let Err(refused) = may_make(&mut *transaction, by, id, &made).await? {
                    return Ok((transaction, Err(refused)));
                }
                transaction.set(&key_of(&by.tenant, id), &record::encode(&made));
                let expires = made.expires_ms.map(time::format);
                // Not its name: whoever made it may have put theirs into it.
                let detail = json!({ "roles": made.roles, "expiresAt": expires });
                // Nobody knows of it yet, so nobody has a copy.
                let change = Change {
                    notice: None,
                    ..change(by, "api-key.create", id, detail)
                };
                change.leave(&mut *transaction, now_ms).await?;
                Ok((transaction, Ok(ApiKey::of(id.clone(), made))))
            }
        });
        Ok(MadeKey {
            key: key.await?,
            text,
        })
    }

    /// Revokes a key: nobody comes in with it any more, and whoever has, is let go.
    pub async fn revoke_api_key(
        &self,
        by: &Principal,
        scope: Scope,
        id: &str,
        if_version: Option<u64>,
    ) -> Result<ApiKey, Failure> {
        let now_ms = self.clock().wall_ms();
        self.transact(|mut transaction| async move {
            let found = visible(&mut *transaction, by, scope, id).await?;
            let mut key = match found.and_then(|it| it.at_version(if_version)) {
                Ok(key) => key,
                Err(refused) => return Ok((transaction, Err(refused))),
            };
            if key.revoked_ms.is_none() {
                key.revoked_ms = Some(now_ms);
                key.version += 1;
                transaction.set(&key_of(&by.tenant, id), &record::encode(&key));
                change(by, "api-key.revoke", id, Value::Null)
                    .leave(&mut *transaction, now_ms)
                    .await?;
            }
            Ok((transaction, Ok(ApiKey::of(id.to_owned(), key))))
        })
        .await
    }

    /// Forgets a key, which revokes it.
    pub async fn remove_api_key(
        &self,
        by: &Principal,
        scope: Scope,
        id: &str,
        if_version: Option<u64>,
    ) -> Result<(), Failure> {
        let now_ms = self.clock().wall_ms();
        self.transact(|mut transaction| async move {
            let found = visible(&mut *transaction, by, scope, id).await?;
            if let Err(refused) = found.and_then(|it| it.at_version(if_version)) {
                return Ok((transaction, Err(refused)));
            }
            transaction.clear(&key_of(&by.tenant, id));
            change(by, "api-key.remove", id, Value::Null)
                .leave(&mut *transaction, now_ms)
                .await?;
            Ok((transaction, Ok(())))
        })
        .await
    }

    fn random(&self) -> [u8; 32] {
        let mut random = [0; 32];
        for bytes in random.chunks_exact_mut(8) {
            bytes.copy_from_slice(&self.clock().random().to_le_bytes());
        }
        random
    }
}

impl KeyRecord {
    fn at_version(self, wanted: Option<u64>) -> Result<Self, Failure> {
        check_version(wanted, self.version).map(|()| self)
    }
}

impl ApiKey {
    fn of(id: String, record: KeyRecord) -> Self {
        let KeyRecord {
            name,
            hash: _,
            roles,
            created_by,
            created_ms,
            expires_ms,
            last_used_ms,
            revoked_ms,
            version,
        } = record;
        Self {
            id,
            name,
            roles,
            created_by,
            created_ms,
            expires_ms,
            last_used_ms,
            revoked_ms,
            version,
        }
    }
}

/// What can be found wrong without the store.
fn check(by: &Principal, new: &NewKey, now_ms: u64) -> Result<(), Failure> {
    if by.name.starts_with(KEY_PRINCIPAL) {
        return Err(Failure::new(
            ErrorCode::PermissionDenied,
            "an API key makes no API keys; let a person make it",
        ));
    }
    one_line(&new.name, API_KEY_NAME_CHARS_MAX).map_err(|wrong| invalid("name", wrong))?;
    if new.roles.len() > PRINCIPAL_ROLES_MAX {
        let message = format!("a key has up to {PRINCIPAL_ROLES_MAX} roles");
        return Err(invalid("roles", message));
    }
    match new.expires_ms {
        Some(expires_ms) if expires_ms <= now_ms => {
            let message = "that time has passed; give one that is still to come";
            Err(Failure::field(ErrorCode::Conflict, "expiresAt", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether it may be made: its maker has all that its roles give, and there is room.
async fn may_make(
    transaction: &mut dyn Transaction,
    by: &Principal,
    id: &str,
    made: &KeyRecord,
) -> Result<Result<(), Failure>, store::Error> {
    let roles = present(transaction, &by.tenant, &made.roles).await?;
    if let Some(at) = made
        .roles
        .iter()
        .position(|name| roles.iter().all(|it| it.name() != name))
    {
        let field = format!("roles[{at}]");
        let message = "there is no such role; make it first";
        return Ok(Err(Failure::field(ErrorCode::NotFound, field, message)));
    }
    if let Err(refused) = may_grant(by, &roles, "roles") {
        return Ok(Err(refused));
    }
    if read(transaction, &by.tenant, id, Isolation::Serializable)
        .await?
        .is_some()
    {
        return Ok(Err(Failure::new(
            ErrorCode::Conflict,
            format!(
                "this request has made the key {id} before, and a key is shown once; remove it and make another"
            ),
        )));
    }
    let range = KeyRange::of_tenant(TenantFamily::ApiKey, &by.tenant);
    let rows = transaction.range(range.read(API_KEYS_MAX, Isolation::Serializable));
    if rows.await?.len() >= API_KEYS_MAX {
        let message = format!(
            "a tenant has up to {API_KEYS_MAX} API keys, revoked ones included; remove some first"
        );
        return Ok(Err(Failure::new(ErrorCode::Conflict, message)));
    }
    Ok(Ok(()))
}

fn is_visible(found: &KeyRecord, to: &Principal, scope: Scope) -> bool {
    match scope {
        Scope::Any => true,
        Scope::Own => found.created_by == *to.name,
    }
}

async fn visible(
    transaction: &mut dyn Transaction,
    to: &Principal,
    scope: Scope,
    id: &str,
) -> Result<Result<KeyRecord, Failure>, store::Error> {
    let found = read(transaction, &to.tenant, id, Isolation::Serializable).await?;
    let found = found.filter(|found| is_visible(found, to, scope));
    Ok(found.ok_or_else(unknown))
}

pub(super) async fn read(
    transaction: &mut dyn Transaction,
    tenant: &Tenant,
    id: &str,
    isolation: Isolation,
) -> Result<Option<KeyRecord>, store::Error> {
    if !is_id(id) {
        return Ok(None);
    }
    let key = key_of(tenant, id);
    let value = transaction.get(&key, isolation).await?;
    value.map(|value| record::decode(&key, &value)).transpose()
}

/// The id of a key follows from the request that makes it: a repeat makes no second one.
fn id_of(maker: KeyMaker<'_>) -> String {
    let KeyMaker { by, request } = maker;
    let mut all = format!("{}\0{}\0", by.tenant, by.name).into_bytes();
    all.extend_from_slice(request);
    let hash = digest(&SHA256, &all);
    let bytes = hash.as_ref().iter().take(16);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the principal that a key is.
pub(in crate::identity) fn principal_name(id: &str) -> String {
    format!("{KEY_PRINCIPAL}{id}")
}

fn change<'a>(by: &'a Principal, action: &'static str, id: &'a str, detail: Value) -> Change<'a> {
    Change {
        tenant: &by.tenant,
        principal: &by.name,
        action,
        target: id,
        detail,
        notice: Some(Notice::ApiKey {
            tenant: by.tenant.clone(),
            id: id.to_owned(),
        }),
    }
}

/// Of another tenant, of somebody else, or of nobody: the same.
fn unknown() -> Failure {
    Failure::field(ErrorCode::NotFound, "id", "there is no such API key")
}

pub(super) fn key_of(tenant: &Tenant, id: &str) -> Vec<u8> {
    let tenant = tenant.clone();
    let id = id.to_owned();
    Key::from(AdminKey::ApiKey { tenant, id }).encode()
}

fn id_in(key: &[u8]) -> Result<String, store::Error> {
    let wrong = |reason: String| store::Error::Record {
        key: key.escape_ascii().to_string(),
        reason,
    };
    match Key::decode(key) {
        Ok(Key::Admin(AdminKey::ApiKey { id, .. })) => Ok(id),
        Ok(_) => Err(wrong("it is not the key of an API key".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// No issuer begins so, and neither is it the operator.
pub(in crate::identity) const KEY_PRINCIPAL: &str = "key:";

#[cfg(test)]
pub(super) mod golden {
    use super::KeyRecord;

    pub(in crate::identity::directory) fn sample()
    -> impl selvedge_cluster::store::record::Record + PartialEq + std::fmt::Debug {
        KeyRecord {
            name: "build server".to_owned(),
            hash: [7; 32],
            roles: vec!["developer".to_owned()],
            created_by: "admin".to_owned(),
            created_ms: 1_700_000_000_000,
            expires_ms: Some(1_800_000_000_000),
            last_used_ms: None,
            revoked_ms: Some(1_700_000_000_001),
            version: 2,
        }
    }
}
