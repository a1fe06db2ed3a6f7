//! The keys of subjects: made with the first thing that is stored, fetched and unwrapped when something is read, kept
//! in memory within a bound until a change of them is heard of.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::rand;
use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_protocol::Tenant;
use selvedge_protocol::limits::{SUBJECT_KEYS_CACHED_MAX, WRAPPED_KEY_BYTES_MAX};

use super::ScopedSubject;
use super::cache::Cache;
use super::envelope::{Form, KeyId, Sealed, seal};
use super::record::SubjectKey;
use super::wrapping::{KeyWrapper, SecretKey, WrapError, Wrapped, random_key, usable};
use crate::store::keys::{ActorPath, AdminKey, Key, KeyRange};
use crate::store::record;
use crate::store::{self, Isolation, Range, Store, Transaction};

/// The keys of subjects, as a node knows them. A cheap handle.
#[derive(Clone)]
pub struct SubjectKeys(Arc<Inner>);

struct Inner {
    /// Whose values come as they are stored.
    store: Arc<dyn Store>,
    wrapper: Arc<dyn KeyWrapper>,
    cache: Mutex<Cache>,
}

/// A key of a subject in memory. Its bytes are overwritten when nobody has it any more.
pub struct DataKey {
    id: KeyId,
    of: ScopedSubject,
    key: LessSafeKey,
    /// Where it is stored.
    row: Vec<u8>,
}

/// The key of a subject as a transaction sees it.
pub(crate) struct Present {
    pub(crate) key: Arc<DataKey>,
    /// The generation in which it was looked for.
    generation: u64,
}

impl DataKey {
    pub(super) fn new(id: KeyId, of: &ScopedSubject, key: &SecretKey) -> Self {
        Self {
            id,
            of: of.clone(),
            key: usable(key),
            row: row(of),
        }
    }

    pub(crate) const fn id(&self) -> &KeyId {
        &self.id
    }

    pub(crate) fn row(&self) -> &[u8] {
        &self.row
    }

    /// A key that is nowhere else, to try what sealing costs.
    pub fn random(of: &ScopedSubject) -> Self {
        Self::new([0; 16], of, &random_key())
    }

    /// The value of a row, sealed.
    pub fn seal(&self, row: &[u8], value: &[u8]) -> Bytes {
        seal(&self.key, (&self.id, &self.of.subject), row, value)
    }

    /// The value again; `None`: it was not sealed for this row under this key.
    pub fn open(&self, row: &[u8], value: &[u8]) -> Option<Bytes> {
        match Form::of(value) {
            Form::Sealed(sealed) => sealed.open(&self.key, row),
            Form::Plain | Form::Escaped(_) | Form::Damaged => None,
        }
    }
}

impl SubjectKeys {
    /// The keys that a store holds, wrapped by `wrapper`.
    pub fn new(store: Arc<dyn Store>, wrapper: Arc<dyn KeyWrapper>) -> Self {
        Self(Arc::new(Inner {
            store,
            wrapper,
            cache: Mutex::new(Cache::new(SUBJECT_KEYS_CACHED_MAX)),
        }))
    }

    /// The key of a subject has changed: it is fetched again.
    pub fn forget(&self, of: &ScopedSubject) {
        self.0.cache.lock().forget(of);
    }

    /// Any key may have changed.
    pub fn forget_all(&self) {
        self.0.cache.lock().forget_all();
    }

    /// The store as it is, sealed.
    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(super) fn wrapper(&self) -> &dyn KeyWrapper {
        &*self.0.wrapper
    }

    /// The key under which something of a subject is to be stored by this transaction, which conflicts with whatever
    /// changes the key, and makes one where there is none. What is in memory of an erased one goes.
    pub(crate) async fn present(
        &self,
        transaction: &mut dyn Transaction,
        of: &ScopedSubject,
        now_ms: u64,
    ) -> Result<Present, store::Error> {
        let at = row(of);
        let stored = transaction.get(&at, Isolation::Serializable).await?;
        let stored = stored.map(|value| record::decode::<SubjectKey>(&at, &value));
        let stored = stored.transpose()?;
        let id = stored.as_ref().and_then(SubjectKey::present);
        let generation = {
            let mut cache = self.0.cache.lock();
            cache.seen(of, id);
            cache.generation()
        };
        let key = match &stored {
            Some(SubjectKey::Present {
                id, by, wrapped, ..
            }) => match self.cached(of, id) {
                Some(key) => key,
                None => self.open_key(of, id, (by, wrapped)).await?,
            },
            Some(SubjectKey::Erased { .. }) => self.make(transaction, of, now_ms).await?,
            None => {
                let actors = KeyRange::subject_actors(&of.tenant, of.subject.as_str());
                let actors = actors.read(1, Isolation::Snapshot);
                if !transaction.range(actors).await?.is_empty() {
                    return Err(without_key(&at));
                }
                self.make(transaction, of, now_ms).await?
            }
        };
        Ok(Present { key, generation })
    }

    /// The value of a row that is no actor's and is about a subject, as it is to be written by this transaction, which
    /// conflicts with the erasure of the subject.
    ///
    /// # Errors
    /// Those of the store, and of who wraps.
    pub async fn seal(
        &self,
        transaction: &mut dyn Transaction,
        of: &ScopedSubject,
        (row, value): (&[u8], &[u8]),
        now_ms: u64,
    ) -> Result<Bytes, store::Error> {
        let present = self.present(transaction, of, now_ms).await?;
        Ok(present.key.seal(row, value))
    }

    /// Of the rows of a range, the keys of those that are not sealed; and the last key of all, where there may be more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn in_the_clear(
        &self,
        range: Range,
    ) -> Result<(Vec<Bytes>, Option<Bytes>), store::Error> {
        let limit = range.limit;
        let rows = self.0.store.begin().range(range).await?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let last = last.map(|(key, _)| key.clone());
        let is_clear = |value: &[u8]| match Form::of(value) {
            Form::Plain | Form::Escaped(_) => true,
            Form::Sealed(_) | Form::Damaged => false,
        };
        let clear = rows.into_iter().filter(|(_, value)| is_clear(value));
        Ok((clear.map(|(key, _)| key).collect(), last))
    }

    /// The transaction in which it was seen or made has committed.
    pub(crate) fn keep(&self, present: &Present) {
        let key = &present.key;
        self.0.cache.lock().keep(&key.of, key, present.generation);
    }

    async fn make(
        &self,
        transaction: &mut dyn Transaction,
        of: &ScopedSubject,
        now_ms: u64,
    ) -> Result<Arc<DataKey>, store::Error> {
        let mut id = [0; 16];
        let filled = rand::fill(&mut id);
        assert!(filled.is_ok(), "the system gives no random bytes");
        let secret = random_key();
        let wrapped = self.wrap(of, &id, &secret).await?;
        let stored = SubjectKey::new(id, wrapped, now_ms);
        transaction.set(&row(of), &record::encode(&stored));
        Ok(Arc::new(DataKey::new(id, of, &secret)))
    }

    pub(super) async fn wrap(
        &self,
        of: &ScopedSubject,
        id: &KeyId,
        secret: &SecretKey,
    ) -> Result<Wrapped, store::Error> {
        let wrapped = self.0.wrapper.wrap_key(secret, &bound(of, id)).await;
        let wrapped = wrapped.map_err(|error| unusable(of, &error))?;
        if wrapped.bytes.len() > WRAPPED_KEY_BYTES_MAX {
            return Err(store::Error::TooLarge {
                what: "wrapped key",
                bytes: wrapped.bytes.len(),
                limit: WRAPPED_KEY_BYTES_MAX,
            });
        }
        Ok(wrapped)
    }

    pub(super) async fn secret(
        &self,
        of: &ScopedSubject,
        id: &KeyId,
        (by, wrapped): (&str, &[u8]),
    ) -> Result<SecretKey, store::Error> {
        let wrapped = Wrapped {
            by: by.to_owned(),
            bytes: wrapped.to_vec(),
        };
        let secret = self.0.wrapper.unwrap_key(&wrapped, &bound(of, id)).await;
        secret.map_err(|error| unusable(of, &error))
    }

    async fn open_key(
        &self,
        of: &ScopedSubject,
        id: &KeyId,
        wrapped: (&str, &[u8]),
    ) -> Result<Arc<DataKey>, store::Error> {
        let secret = self.secret(of, id, wrapped).await?;
        Ok(Arc::new(DataKey::new(*id, of, &secret)))
    }

    fn cached(&self, of: &ScopedSubject, id: &KeyId) -> Option<Arc<DataKey>> {
        let cache = self.0.cache.lock();
        cache.find(of).filter(|key| key.id == *id).cloned()
    }

    /// The value of a row as it was written; `None`: its key was erased, so it is not there. `erased` is the last key
    /// that was found so, which need not be looked for again.
    pub(super) async fn open(
        &self,
        row: &[u8],
        value: Bytes,
        erased: &mut Option<KeyId>,
    ) -> Result<Option<Bytes>, store::Error> {
        let sealed = match Form::of(&value) {
            Form::Plain => return Ok(Some(value)),
            Form::Escaped(head) => return Ok(Some(value.slice(head..))),
            Form::Sealed(sealed) => sealed,
            Form::Damaged => return Err(damaged(row)),
        };
        if erased.as_ref() == Some(&sealed.key) {
            return Ok(None);
        }
        let Some(tenant) = tenant(row) else {
            return Err(damaged(row));
        };
        let of = ScopedSubject {
            tenant,
            subject: sealed.subject.clone(),
        };
        let key = match self.cached(&of, &sealed.key) {
            Some(key) => Some(key),
            None => self.fetch(&of, &sealed, row).await?,
        };
        let Some(key) = key else {
            *erased = Some(sealed.key);
            return Ok(None);
        };
        match sealed.open(&key.key, row) {
            Some(value) => Ok(Some(value)),
            None => Err(damaged(row)),
        }
    }

    /// The key of a value, from the store; `None`: it was erased.
    async fn fetch(
        &self,
        of: &ScopedSubject,
        sealed: &Sealed<'_>,
        sealed_row: &[u8],
    ) -> Result<Option<Arc<DataKey>>, store::Error> {
        let generation = self.0.cache.lock().generation();
        match self.stored(of).await? {
            None => Err(without_key(sealed_row)),
            Some(SubjectKey::Present {
                id, by, wrapped, ..
            }) if id == sealed.key => {
                let key = self.open_key(of, &id, (&by, &wrapped)).await?;
                self.0.cache.lock().keep(of, &key, generation);
                Ok(Some(key))
            }
            // A key that is not the present one was erased: each is the only one until then.
            Some(SubjectKey::Present { .. } | SubjectKey::Erased { .. }) => Ok(None),
        }
    }

    async fn stored(&self, of: &ScopedSubject) -> Result<Option<SubjectKey>, store::Error> {
        let at = row(of);
        let mut attempt = 1;
        loop {
            let mut transaction = self.0.store.begin();
            match transaction.get(&at, Isolation::Snapshot).await {
                Ok(value) => {
                    let stored = value.map(|value| record::decode(&at, &value));
                    return stored.transpose();
                }
                Err(error) if error.may_be_retried() && attempt < FETCHES_MAX => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// As often as a load is begun anew.
const FETCHES_MAX: u32 = 3;

/// Where the key of a subject is stored.
pub(super) fn row(of: &ScopedSubject) -> Vec<u8> {
    let key = AdminKey::SubjectKey {
        tenant: of.tenant.clone(),
        subject: of.subject.as_str().to_owned(),
    };
    Key::from(key).encode()
}

/// What a wrapped key is bound to.
fn bound(of: &ScopedSubject, id: &KeyId) -> Vec<u8> {
    // No tenant or subject contains a zero byte.
    let (tenant, subject) = (of.tenant.as_str(), of.subject.as_str());
    let mut bound = format!("selvedge subject key\0{tenant}\0{subject}\0").into_bytes();
    bound.extend_from_slice(id);
    bound
}

/// The tenant of a row that may be sealed.
fn tenant(row: &[u8]) -> Option<Tenant> {
    let path = |actor: ActorPath| Some(actor.tenant);
    match Key::decode(row).ok()? {
        Key::Actor { actor, .. }
        | Key::Event { actor, .. }
        | Key::Timer { actor, .. }
        | Key::Outbox { actor, .. }
        | Key::Payload { actor, .. } => path(actor),
        Key::Meta { .. }
        | Key::Migration { .. }
        | Key::SlotFence { .. }
        | Key::Awake { .. }
        | Key::Catalog { .. }
        | Key::Operation { .. }
        | Key::Audit { .. }
        | Key::AuditHead { .. }
        | Key::Cluster(_) => None,
        Key::Admin(key) => match key {
            AdminKey::User { tenant, .. } => Some(tenant),
            AdminKey::Notice { .. }
            | AdminKey::NoticeBell
            | AdminKey::Username { .. }
            | AdminKey::Role { .. }
            | AdminKey::ApiKey { .. }
            | AdminKey::TokenFamily { .. }
            | AdminKey::Limit { .. }
            | AdminKey::SigningKey { .. }
            | AdminKey::SubjectKey { .. }
            | AdminKey::SubjectActor { .. }
            | AdminKey::Consent { .. }
            | AdminKey::UserByName { .. }
            | AdminKey::RevokedToken { .. } => None,
        },
    }
}

fn damaged(row: &[u8]) -> store::Error {
    store::Error::Record {
        key: row.escape_ascii().to_string(),
        reason: "it is sealed and does not open: it was changed, or is another row's".to_owned(),
    }
}

fn without_key(row: &[u8]) -> store::Error {
    store::Error::Record {
        key: row.escape_ascii().to_string(),
        reason: "it is sealed and its subject's key is not in the store: restore the keys that belong to it with \
                 `selvedge backup restore-keys`"
            .to_owned(),
    }
}

fn unusable(of: &ScopedSubject, error: &WrapError) -> store::Error {
    let text = format!(
        "the key of subject {} in tenant {}: {error}",
        of.subject, of.tenant
    );
    match error {
        WrapError::Unknown(_) | WrapError::Away(_) => store::Error::Unavailable(text),
        WrapError::Damaged(_) => store::Error::Record {
            key: row(of).escape_ascii().to_string(),
            reason: text,
        },
    }
}

impl fmt::Debug for SubjectKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKeys(wrapped by {:?})", self.0.wrapper)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey(of {})", self.of.subject)
    }
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}
