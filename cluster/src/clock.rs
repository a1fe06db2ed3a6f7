//! Time and randomness as arguments, so that a test decides both.
//!
//! Measure with `monotonic`, persist `wall`. Nothing else in the workspace may ask the system.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A cheap handle on time and randomness: the system's, or one that a test moves.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System,
    /// Wall time in Unix milliseconds, and the state of a SplitMix64 generator.
    Manual {
        wall_ms: AtomicU64,
        /// The moment from which on wall time passes with monotonic time; `None`: it stands.
        passes_since: Option<Instant>,
        random: AtomicU64,
    },
}

impl Clock {
    /// The system's clock and randomness.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// A clock that stands at `wall_ms` until it is advanced, and random numbers from `seed`.
    pub fn manual(wall_ms: u64, seed: u64) -> Self {
        Self(Arc::new(Source::Manual {
            wall_ms: AtomicU64::new(wall_ms),
            passes_since: None,
            random: AtomicU64::new(seed),
        }))
    }

    /// The same, but that it goes on from `wall_ms` as tokio's time does, which a simulation pauses.
    pub fn simulated(wall_ms: u64, seed: u64) -> Self {
        Self(Arc::new(Source::Manual {
            wall_ms: AtomicU64::new(wall_ms),
            passes_since: Some(Instant::now()),
            random: AtomicU64::new(seed),
        }))
    }

    /// Moves a manual clock on; does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { wall_ms, .. } = &*self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            wall_ms.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Sets a manual clock back, as an operator may; does nothing to the system's.
    pub fn retreat(&self, by: Duration) {
        if let Source::Manual { wall_ms, .. } = &*self.0 {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            wall_ms.fetch_sub(by, Ordering::Relaxed);
        }
    }

    /// Unix milliseconds. May jump: never measure with it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system for wall time"
    )]
    pub fn wall_ms(&self) -> u64 {
        match &*self.0 {
            Source::System => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| {
                    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
                }),
            Source::Manual {
                wall_ms,
                passes_since,
                ..
            } => {
                let passed = passes_since.map_or(0, |since| {
                    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
                });
                wall_ms.load(Ordering::Relaxed).saturating_add(passed)
            }
        }
    }

    /// For measuring. Obeys tokio's paused time.
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// Sixty-four random bits.
    pub fn random(&self) -> u64 {
        match &*self.0 {
            Source::System => SYSTEM_RANDOM.with_borrow_mut(Pool::next),
            // SplitMix64, Steele, Lea and Flood 2014.
            Source::Manual { random, .. } => {
                let mut z = random
                    .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
                    .wrapping_add(0x9E37_79B9_7F4A_7C15);
                z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                z ^ (z >> 31)
            }
        }
    }

    /// Ten random bytes, as a UUIDv7 wants them.
    pub fn random_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.random().to_le_bytes());
        bytes[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        bytes
    }
}

thread_local! {
    static SYSTEM_RANDOM: RefCell<Pool> = const { RefCell::new(Pool::new()) };
}

/// Random bits of the system, taken some at a time: a system call for each would cost more than what
/// they are needed for.
struct Pool {
    bits: [u64; Self::LEN],
    left: usize,
}

impl Pool {
    /// As many as the system gives without being interrupted: 256 bytes.
    const LEN: usize = 32;

    const fn new() -> Self {
        Self {
            bits: [0; Self::LEN],
            left: 0,
        }
    }

    fn next(&mut self) -> u64 {
        if self.left == 0 {
            let mut bytes = [0; Self::LEN * 8];
            if let Err(error) = getrandom::fill(&mut bytes) {
                panic!("the system gives no randomness: {error}");
            }
            for (bits, bytes) in self.bits.iter_mut().zip(bytes.chunks_exact(8)) {
                *bits = bytes
                    .iter()
                    .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
            }
            self.left = Self::LEN;
        }
        self.left -= 1;
        // Given out once.
        std::mem::take(&mut self.bits[self.left])
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::System => f.write_str("Clock(system)"),
            Source::Manual { .. } => write!(f, "Clock(manual at {} ms)", self.wall_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulated_clock_goes_on_with_tokios_time() {
        let (clock, stands) = (Clock::simulated(1_000, 1), Clock::manual(1_000, 1));
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!((clock.wall_ms(), stands.wall_ms()), (1_250, 1_000));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.wall_ms(), 2_250);
        assert_eq!(clock.random(), stands.random());
    }
}
