//! The state and the record of an actor as a commit writes them. Part of the machine.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use selvedge_protocol::SessionId;
use selvedge_protocol::limits::{STATE_BYTES_MAX, STATE_CHUNK_BYTES};

use crate::actor::machine::{Machine, Write};
use crate::actor::record::{ActorRecord, SessionRecord, StoredState};
use crate::store::keys::KeyRange;

/// The state is over its limit.
pub(super) struct TooLarge;

impl Machine {
    /// The state to be written, unless it is stored in chunks and has not changed.
    pub(super) fn stored_state(&self, changed: bool) -> Result<Option<Bytes>, TooLarge> {
        if !changed && self.chunks > 0 {
            return Ok(None);
        }
        let state = catch_unwind(AssertUnwindSafe(|| self.state.encode())).map_err(|_| TooLarge)?;
        if state.len() > STATE_BYTES_MAX {
            return Err(TooLarge);
        }
        Ok(Some(state))
    }

    /// Where the state is after this commit, and what is to be cleared for it.
    pub(super) fn write_state(
        &mut self,
        state: Option<Bytes>,
        changed: bool,
        writes: &mut Vec<Write>,
    ) -> (StoredState, Vec<KeyRange>) {
        let had_chunks = self.chunks > 0;
        let stored = match state {
            None => StoredState::Chunks(self.chunks),
            Some(state) if state.len() <= STATE_CHUNK_BYTES => {
                self.chunks = 0;
                StoredState::Here(state)
            }
            Some(state) => {
                let mut count = 0;
                for start in (0..state.len()).step_by(STATE_CHUNK_BYTES) {
                    let end = state.len().min(start + STATE_CHUNK_BYTES);
                    writes.push(Write {
                        key: self.name.prefix.state(count),
                        value: Some(state.slice(start..end)),
                    });
                    count += 1;
                }
                self.chunks = count;
                self.has_parts = true;
                StoredState::Chunks(count)
            }
        };
        let cleared = (had_chunks && changed).then(|| self.name.prefix.state_chunks());
        (stored, cleared.into_iter().collect())
    }

    pub(super) fn record(
        &self,
        state: StoredState,
        session: Option<(SessionId, SessionRecord)>,
    ) -> ActorRecord {
        ActorRecord {
            state_format: self.state.format(),
            seq: self.seq,
            version: self.version + 1,
            outbox: self.outbox,
            awake: self.awake,
            timers: self.timers.clone(),
            session,
            state,
            has_parts: self.has_parts,
        }
    }
}
