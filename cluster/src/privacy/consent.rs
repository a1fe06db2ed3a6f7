//! What subjects have said to uses of their data: one row a purpose, each change audited. It is kept when the subject
//! is erased, for it is the proof that there was a consent, and has nothing about the person but the pseudonym.

use selvedge_protocol::limits::CONSENTS_MAX;

use super::ScopedSubject;
use super::list::foreign;
use super::record::ConsentRow;
use crate::audit::{self, Entry, Outcome};
use crate::clock::Clock;
use crate::store::keys::{AdminKey, Key, KeyRange};
use crate::store::record;
use crate::store::{self, Isolation, Store, run_repeatable};

/// What a subject has said last to a use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    pub purpose: String,
    pub granted: bool,
    pub at_ms: u64,
    /// Who recorded it.
    pub by: String,
    pub note: String,
}

/// What is to be recorded. Who asks has checked the texts.
#[derive(Debug, Clone)]
pub struct ConsentChange {
    pub purpose: String,
    pub granted: bool,
    pub principal: String,
    pub note: String,
}

/// Records a consent, or that it was withdrawn. Answers `None` if the subject has as many purposes as may be.
///
/// # Errors
/// Those of the store.
pub async fn set_consent(
    store: &dyn Store,
    clock: &Clock,
    of: &ScopedSubject,
    change: &ConsentChange,
) -> Result<Option<Consent>, store::Error> {
    let key = AdminKey::Consent {
        tenant: of.tenant.clone(),
        subject: of.subject.as_str().to_owned(),
        purpose: change.purpose.clone(),
    };
    let at = Key::from(key).encode();
    let at = &at;
    let (consent, _) = run_repeatable(store, clock, |mut transaction| async move {
        if transaction
            .get(at, Isolation::Serializable)
            .await?
            .is_none()
        {
            let all = KeyRange::consents(&of.tenant, of.subject.as_str());
            let all = all.read(CONSENTS_MAX, Isolation::Serializable);
            if transaction.range(all).await?.len() == CONSENTS_MAX {
                return Ok((transaction, None));
            }
        }
        let row = ConsentRow {
            granted: change.granted,
            at_ms: clock.wall_ms(),
            by: change.principal.clone(),
            note: change.note.clone(),
        };
        transaction.set(at, &record::encode(&row));
        let entry = Entry {
            at_ms: row.at_ms,
            principal: change.principal.clone(),
            action: match change.granted {
                true => "subject.consent.grant".to_owned(),
                false => "subject.consent.withdraw".to_owned(),
            },
            target: of.subject.to_string(),
            outcome: Outcome::Done,
            detail: format!("{{\"purpose\":{:?}}}", change.purpose),
        };
        audit::append(&mut *transaction, &of.tenant, entry).await?;
        Ok((transaction, Some(shown(change.purpose.clone(), row))))
    })
    .await?;
    Ok(consent)
}

/// What a subject has said, by purpose.
///
/// # Errors
/// Those of the store.
pub async fn consents(store: &dyn Store, of: &ScopedSubject) -> Result<Vec<Consent>, store::Error> {
    let range = KeyRange::consents(&of.tenant, of.subject.as_str());
    let range = range.read(CONSENTS_MAX, Isolation::Snapshot);
    let rows = store.begin().range(range).await?;
    let all = rows.iter().map(|(key, value)| match Key::decode(key) {
        Ok(Key::Admin(AdminKey::Consent { purpose, .. })) => {
            Ok(shown(purpose, record::decode(key, value)?))
        }
        Ok(_) | Err(_) => Err(foreign(key)),
    });
    all.collect()
}

fn shown(purpose: String, row: ConsentRow) -> Consent {
    Consent {
        purpose,
        granted: row.granted,
        at_ms: row.at_ms,
        by: row.by,
        note: row.note,
    }
}
