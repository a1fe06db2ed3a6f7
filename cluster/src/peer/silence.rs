//! Whether a link leads nowhere, by looks at it: pure. A connection notices its end only after two seconds of silence,
//! and a node that stood still itself has heard nothing either.

use std::time::Duration;

use selvedge_protocol::limits::PEER_SILENCE_MS_MAX;
use tokio::time::Instant;

/// What a look at a link sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The first connection is being made.
    Opening,
    /// A connection, by a number of its own, and the round trips that were seen on it.
    Up { connection: usize, heard: u64 },
    /// The last was lost, or there never was one.
    Down,
}

/// For how long a link has been the same. Both ends see a round trip with each beat while both hear each other; who
/// hears and is not heard sees none.
#[derive(Debug, Default)]
pub(super) struct Silence {
    looked: Option<Instant>,
    seen: Option<Sign>,
    silent: Duration,
}

impl Silence {
    /// Looks once. Answers whether the link leads nowhere.
    pub(super) fn look(&mut self, now: Instant, sign: Sign) -> bool {
        let gap = self.looked.map_or(Duration::ZERO, |looked| {
            now.saturating_duration_since(looked)
        });
        self.looked = Some(now);
        // Of what it did not watch it says little.
        self.silent = match self.seen == Some(sign) {
            true => self.silent + gap.min(GAP_MAX),
            false => Duration::ZERO,
        };
        self.seen = Some(sign);
        match sign {
            Sign::Down => true,
            Sign::Opening => self.silent >= OPENING_MAX,
            Sign::Up { .. } => self.silent >= SILENCE_MAX,
        }
    }
}

const SILENCE_MAX: Duration = Duration::from_millis(PEER_SILENCE_MS_MAX);
/// A handshake is a round trip or two, and this is enough for two lost packets.
const OPENING_MAX: Duration = Duration::from_millis(PEER_SILENCE_MS_MAX / 2);
/// So much counts of the time between two looks: one and a half beats.
const GAP_MAX: Duration = Duration::from_millis(375);

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(250);

    /// The looks, one every quarter of a second, after which a link leads nowhere.
    fn looks(signs: impl IntoIterator<Item = Sign>) -> Vec<usize> {
        let mut silence = Silence::default();
        let start = Instant::now();
        let mut nowhere = Vec::new();
        for (count, sign) in (0..).zip(signs) {
            if silence.look(start + LOOK * count, sign) {
                nowhere.push(usize::try_from(count).unwrap());
            }
        }
        nowhere
    }

    const fn up(connection: usize, heard: u64) -> Sign {
        Sign::Up { connection, heard }
    }

    #[test]
    fn one_that_hears_nothing_for_a_second_leads_nowhere() {
        assert_eq!(looks([up(1, 7); 6]), [4, 5]);
        assert_eq!(looks([Sign::Opening; 6]), [2, 3, 4, 5]);
        assert_eq!(looks([Sign::Down, Sign::Down, up(1, 1)]), [0, 1]);
        // Something comes with every third look: a beat.
        assert_eq!(looks((0..30).map(|look| up(1, look / 3))), [0_usize; 0]);
        // A new connection begins anew.
        assert_eq!(looks((0..9).map(|look| up(look / 3, 7))), [0_usize; 0]);
    }

    #[test]
    fn whoever_stood_still_blames_nobody() {
        let mut silence = Silence::default();
        let start = Instant::now();
        for second in 0..3 {
            let now = start + Duration::from_secs(10) * second;
            assert!(!silence.look(now, up(1, 7)), "{second}");
        }
    }
}
