//! Passwords: hashed by argon2id (RFC 9106), set by the rules of NIST SP 800-63B-4, and checked at the same cost for
//! whoever there is and is not.
//!
//! The directory of users calls it, on the node that somebody logs in at. It never keeps or logs a password; what it
//! hashes in is wiped.

mod rules;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use icu_normalizer::ComposingNormalizerBorrowed;
use selvedge_cluster::Clock;
use selvedge_protocol::limits::{
    PASSWORD_BYTES_MAX, PASSWORD_HASHES_MAX, PASSWORD_WAIT_MS_MAX, PASSWORD_WAITING_MAX,
};
use selvedge_protocol::{ErrorCode, Failure};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

/// What somebody gave as a password: in one form however it was typed, never printed, wiped when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a text as it was typed. Keyboards differ in the bytes of one and the same text, so it is brought to NFKC.
    ///
    /// # Errors
    /// If it is longer than any password, so that nobody makes a node work on megabytes.
    pub fn new(text: String) -> Result<Self, Failure> {
        let text = Zeroizing::new(text);
        if text.len() > PASSWORD_BYTES_MAX {
            return Err(rules::Unfit::Long.into());
        }
        let normalizer = const { ComposingNormalizerBorrowed::new_nfkc() };
        let normal = normalizer.normalize(&text).into_owned();
        Ok(Self(Zeroizing::new(normal)))
    }

    /// Whether somebody of these names may have it; `names` are those that it must not be made of.
    pub fn check(&self, names: &[&str]) -> Result<(), Failure> {
        rules::check(&self.0, names).map_err(Failure::from)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What is stored of a password: a text in the PHC form, with a salt of its own. Never printed, since it can be guessed at.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept(String);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(…)")
    }
}

/// What hashes passwords on a node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords(Arc<Shared>);

struct Shared {
    /// Hashes under way.
    working: Arc<Semaphore>,
    /// The same and those that wait.
    waiting: Arc<Semaphore>,
    /// What nobody's password is: it costs what anybody's does.
    decoy: String,
    counted: AtomicU64,
    clock: Clock,
}

impl Passwords {
    pub(super) fn new(clock: Clock) -> Self {
        // Its hash is of nothing, so nothing is found that has it.
        let decoy = phc(&salt(&clock), &[0; HASH_BYTES]);
        Self(Arc::new(Shared {
            working: Arc::new(Semaphore::new(PASSWORD_HASHES_MAX)),
            waiting: Arc::new(Semaphore::new(PASSWORD_HASHES_MAX + PASSWORD_WAITING_MAX)),
            decoy,
            counted: AtomicU64::new(0),
            clock,
        }))
    }

    /// A place among those that hash. To be had before anything is counted against who waits for it.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`] where too many wait, or the turn does not come in time.
    pub(super) async fn turn(&self) -> Result<Turn, Failure> {
        let waiting = Arc::clone(&self.0.waiting).try_acquire_owned();
        let waiting = waiting.map_err(|_| overloaded())?;
        let working = Arc::clone(&self.0.working).acquire_owned();
        let working = timeout(Duration::from_millis(PASSWORD_WAIT_MS_MAX), working).await;
        match working {
            Ok(Ok(working)) => Ok(Turn {
                passwords: self.clone(),
                permits: (waiting, working),
            }),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }

    /// How many hashes were made: one for each question, whoever is asked about.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> u64 {
        self.0.counted.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

/// A place to hash once in. Given back when the work has ended, also where its caller has gone.
#[derive(Debug)]
pub(super) struct Turn {
    passwords: Passwords,
    permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

/// Whether somebody has the password, and whether it is kept in today's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// It is, and is to be hashed anew: its parameters are of another time.
    RightButOld,
    Wrong,
}

impl Turn {
    /// What is to be stored of a password.
    pub(super) async fn hash(self, password: Password) -> Result<Kept, Failure> {
        let salt = salt(&self.passwords.0.clock);
        self.work(move |shared| {
            let mut hash = [0; HASH_BYTES];
            shared.argon2(&password, &salt, &PARAMS, &mut hash)?;
            Ok(Kept(phc(&salt, &hash)))
        })
        .await
    }

    /// Whether a password is the one that is stored. Where none is, because nobody is there or has one, the answer takes as
    /// long and is no.
    pub(super) async fn verify(
        self,
        password: Password,
        stored: Option<Kept>,
    ) -> Result<Verdict, Failure> {
        self.work(move |shared| {
            let kept = stored.as_ref().map_or(&shared.decoy, |Kept(text)| text);
            let Some((params, salt, expected)) = read(kept) else {
                tracing::error!(
                    "a stored password is not in the form that passwords are stored in"
                );
                return Ok(Verdict::Wrong);
            };
            let mut hash = [0; HASH_BYTES];
            shared.argon2(&password, &salt, &params, &mut hash)?;
            let is_same = verify_slices_are_equal(&hash, &expected).is_ok();
            hash.zeroize();
            Ok(
                match (is_same && stored.is_some(), cost(&params) == cost(&PARAMS)) {
                    (false, _) => Verdict::Wrong,
                    (true, true) => Verdict::Right,
                    (true, false) => Verdict::RightButOld,
                },
            )
        })
        .await
    }

    async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Self { passwords, permits } = self;
        let working = tokio::task::spawn_blocking(move || {
            let worked = work(&passwords.0);
            drop(permits);
            worked
        });
        // It panics or is cancelled only with the node.
        working.await.unwrap_or_else(|_| Err(failed()))
    }
}

impl Shared {
    fn argon2(
        &self,
        password: &Password,
        salt: &[u8],
        params: &Params,
        hash: &mut [u8; HASH_BYTES],
    ) -> Result<(), Failure> {
        self.counted.fetch_add(1, Ordering::Relaxed);
        let mut memory = vec![Block::default(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let text = password.0.as_bytes();
        let hashed = argon2.hash_password_into_with_memory(text, salt, hash, &mut memory);
        for block in &mut memory {
            block.zeroize();
        }
        hashed.map_err(|error| {
            tracing::error!(%error, "a password cannot be hashed");
            failed()
        })
    }
}

/// Parameters, salt and hash of what is stored.
fn read(stored: &str) -> Option<(Params, Vec<u8>, Vec<u8>)> {
    let stored = PasswordHash::new(stored).ok()?;
    let is_ours = stored.algorithm == Algorithm::Argon2id.ident()
        && stored.version == Some(Version::V0x13.into());
    let params = Params::try_from(&stored).ok()?;
    // A row that somebody has written must not cost the node its memory.
    let is_bounded = params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= LANES_MAX;
    let hash = stored.hash.filter(|hash| hash.len() == HASH_BYTES)?;
    let salt = stored.salt?;
    (is_ours && is_bounded).then(|| (params, salt.to_vec(), hash.as_bytes().to_vec()))
}

fn cost(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

/// The PHC form. Salts and hashes of our lengths always have one.
fn phc(salt: &[u8], hash: &[u8]) -> String {
    let form = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&PARAMS).unwrap_or_default(),
        salt: Salt::new(salt).ok(),
        hash: Output::new(hash).ok(),
    };
    form.to_string()
}

fn salt(clock: &Clock) -> [u8; 16] {
    let mut salt = [0; 16];
    for part in salt.chunks_exact_mut(8) {
        part.copy_from_slice(&clock.random().to_le_bytes());
    }
    salt
}

fn overloaded() -> Failure {
    Failure {
        retry_after_ms: Some(1_000),
        ..Failure::new(
            ErrorCode::Overloaded,
            "too many log in here at this moment; try again in a second",
        )
    }
}

fn failed() -> Failure {
    Failure::new(
        ErrorCode::Internal,
        "the password cannot be checked; the node's log says more",
    )
}

/// What OWASP asks for at least, between the two choices of RFC 9106: 19 MiB, two passes, one lane. A twentieth of a
/// second, so that a node checks some twenty a second on one core and a thief as many for each core of his.
const PARAMS: Params = match Params::new(19 * 1_024, 2, 1, Some(HASH_BYTES)) {
    Ok(params) => params,
    Err(_) => panic!("the parameters are within argon2's bounds"),
};
const HASH_BYTES: usize = 32;
/// What a stored hash may ask for: eight times the above, in case it is raised one day.
const MEMORY_KIB_MAX: u32 = 8 * 19 * 1_024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 8;

#[cfg(test)]
mod tests;
