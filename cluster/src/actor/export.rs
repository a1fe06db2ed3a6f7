//! Reads what is stored about a subject, to be handed out: state, events and payload of each of its actors, some at a
//! time. Activates none, and reads as of the present of each page.

use bytes::Bytes;
use selvedge_protocol::ActorAddress;
use selvedge_protocol::limits::{INLINE_BYTES_MAX, SUBJECT_ROWS_PAGE_MAX};

use crate::actor::core::Core;
use crate::actor::host::Host;
use crate::actor::local::row;
use crate::actor::request::{ScopedAddress, StoredEvent};
use crate::actor::stored::stored_state;
use crate::privacy::{ScopedSubject, actors_of};
use crate::store::keys::{ActorPath, Key};
use crate::store::{self, Isolation};

/// Something that is stored about a subject.
#[derive(Debug)]
pub enum Exported {
    State {
        /// The last event, and how many commits it is made of.
        seq: u64,
        version: u64,
        /// As users see it, JSON text.
        state: Bytes,
    },
    Event(StoredEvent),
    Payload {
        chunk: u32,
        bytes: Bytes,
    },
}

/// Where an export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub actor: ActorAddress,
    pub part: Part,
}

/// What comes next of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    State,
    /// Events after this one.
    Events(u64),
    /// Chunks of the payload from this one on.
    Payload(u32),
    /// Nothing: the actor after it.
    End,
}

/// A part of an export: what there is of one actor.
#[derive(Debug)]
pub struct ExportPage {
    pub items: Vec<Exported>,
    /// Whose they are, and where to go on; `None`: there was no actor any more.
    pub at: Option<(ActorAddress, Place)>,
}

impl Host {
    /// What is stored about a subject, from a place on, or from the beginning.
    ///
    /// # Errors
    /// Those of the store; of an actor whose kind has no code here, that it cannot be read here.
    pub async fn export(
        &self,
        of: &ScopedSubject,
        from: Option<&Place>,
    ) -> Result<ExportPage, store::Error> {
        let core = self.core();
        let (address, part) = match from {
            Some(Place { actor, part }) if *part != Part::End => (actor.clone(), *part),
            Some(Place { actor, .. }) => match first(core, of, Some(actor)).await? {
                Some(next) => (next, Part::State),
                None => return Ok(ExportPage::end()),
            },
            None => match first(core, of, None).await? {
                Some(first) => (first, Part::State),
                None => return Ok(ExportPage::end()),
            },
        };
        let actor = ScopedAddress {
            tenant: of.tenant.clone(),
            address,
        };
        let path = ActorPath {
            slot: core.slot_of(&actor).number,
            tenant: actor.tenant,
            address: actor.address,
        };
        let (items, part) = match part {
            Part::State => state(core, &path).await?,
            Part::Events(after) => events(core, &path, after).await?,
            Part::Payload(from) => payload(core, &path, from).await?,
            Part::End => (Vec::new(), Part::End),
        };
        let place = Place {
            actor: path.address.clone(),
            part,
        };
        Ok(ExportPage {
            items,
            at: Some((path.address, place)),
        })
    }
}

impl ExportPage {
    const fn end() -> Self {
        Self {
            items: Vec::new(),
            at: None,
        }
    }
}

async fn first(
    core: &Core,
    of: &ScopedSubject,
    after: Option<&ActorAddress>,
) -> Result<Option<ActorAddress>, store::Error> {
    Ok(actors_of(&*core.store, of, after, 1).await?.pop())
}

async fn state(core: &Core, path: &ActorPath) -> Result<(Vec<Exported>, Part), store::Error> {
    let unreadable = |reason: String| store::Error::Record {
        key: format!("{}", path.address),
        reason,
    };
    let Some(stored) = stored_state(&mut *core.store.begin(), path).await? else {
        // Erased, or ended: there is nothing of it.
        return Ok((Vec::new(), Part::End));
    };
    let kind = core.kinds.find(path.address.kind.as_str());
    let kind = kind.ok_or_else(|| unreadable("its kind has no code on this node".to_owned()))?;
    let state = kind
        .decode(stored.format, &stored.bytes)
        .map_err(unreadable)?;
    let state = state
        .answer("state", b"")
        .map_err(|failure| unreadable(failure.message))?;
    let exported = Exported::State {
        seq: stored.seq,
        version: stored.version,
        state,
    };
    Ok((vec![exported], Part::Events(0)))
}

async fn events(
    core: &Core,
    path: &ActorPath,
    after: u64,
) -> Result<(Vec<Exported>, Part), store::Error> {
    let range = path.prefix().events_from(after.saturating_add(1));
    let range = range.read(SUBJECT_ROWS_PAGE_MAX, Isolation::Snapshot);
    let rows = core.store.begin().range(range).await?;
    let (mut items, mut bytes, mut last) = (Vec::new(), 0, after);
    for (key, value) in rows {
        for event in row(&key, &value)?.filter(|event| event.seq > after) {
            bytes += event.data.len();
            last = event.seq;
            items.push(Exported::Event(event));
        }
        if bytes >= INLINE_BYTES_MAX {
            break;
        }
    }
    let next = match items.is_empty() {
        true => Part::Payload(0),
        false => Part::Events(last),
    };
    Ok((items, next))
}

async fn payload(
    core: &Core,
    path: &ActorPath,
    from: u32,
) -> Result<(Vec<Exported>, Part), store::Error> {
    let mut range = path.prefix().payload_chunks();
    range.begin = path.prefix().payload(from).into();
    let rows = core
        .store
        .begin()
        .range(range.read(1, Isolation::Snapshot))
        .await?;
    let Some((key, bytes)) = rows.into_iter().next() else {
        return Ok((Vec::new(), Part::End));
    };
    let Ok(Key::Payload { chunk, .. }) = Key::decode(&key) else {
        return Err(store::Error::Record {
            key: key.escape_ascii().to_string(),
            reason: "it is no chunk of a payload".to_owned(),
        });
    };
    let next = Part::Payload(chunk.saturating_add(1));
    Ok((vec![Exported::Payload { chunk, bytes }], next))
}
