//! Whether the server is dead: nothing at all has come from it although it was asked. Pure, the driver looks
//! now and then and does what it says.
//!
//! A sign of life is any datagram of the connection, so whoever is slow but there is never taken for dead. Time
//! counts in looks: one that comes late, because this machine was busy or asleep, counts like one in time.

use std::time::Duration;

/// What the driver sees when it looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Since any moment before the first look.
    pub(crate) now: Duration,
    /// Datagrams that have come over this connection.
    pub(crate) datagrams: u64,
    pub(crate) round_trip: Duration,
    pub(crate) expecting: Expecting,
}

/// What the client expects of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expecting {
    /// Whatever it may say by itself, or the answer to what was asked a while ago.
    Something,
    /// The answer to what was sent since the last look.
    Answer,
    /// The Welcome: nothing else is said before it.
    Welcome,
}

/// What to do. While nothing is expected, nobody looks: [`Silence::rest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again after this time.
    Wait(Duration),
    /// Send a Ping, and look again after this time.
    Probe(Duration),
    /// Leave: silent for so long since it was asked.
    Dead(Duration),
}

/// What is known of the present connection, and how often one was left too early.
#[derive(Debug)]
pub(crate) struct Silence {
    /// Silence after which a server is asked that owes nothing new. Until then QUIC's own keep-alive, which costs
    /// no frame, has shown that it is there.
    probe_after: Duration,
    looked_at: Option<Duration>,
    datagrams: u64,
    /// Silence as far as it was watched.
    quiet: Duration,
    /// Something was sent that is not known to have arrived.
    is_fresh: bool,
    /// The silence since the server was asked, if it was.
    asked: Option<Duration>,
    /// Connections in a row that were left for silence.
    alarms: u32,
}

impl Silence {
    pub(crate) fn new(keep_alive: Duration) -> Self {
        Self {
            probe_after: keep_alive.saturating_add(keep_alive / 4).max(QUIET_MIN),
            looked_at: None,
            datagrams: 0,
            quiet: Duration::ZERO,
            is_fresh: false,
            asked: None,
            alarms: 0,
        }
    }

    /// There is a new connection.
    pub(crate) const fn connected(&mut self) {
        self.datagrams = 0;
        self.rest();
    }

    /// The server owes nothing: it may be silent, until the next look.
    pub(crate) const fn rest(&mut self) {
        self.looked_at = None;
        self.quiet = Duration::ZERO;
        self.is_fresh = false;
        self.asked = None;
    }

    /// The connection was a good one.
    pub(crate) const fn lasted(&mut self) {
        self.alarms = 0;
    }

    pub(crate) fn look(&mut self, look: Look) -> Verdict {
        let passed = look.now.saturating_sub(self.looked_at.unwrap_or(look.now));
        self.looked_at = Some(look.now);
        if look.datagrams != self.datagrams {
            self.datagrams = look.datagrams;
            self.quiet = Duration::ZERO;
            self.asked = None;
            self.is_fresh = look.expecting == Expecting::Answer;
        } else {
            let watched = passed.min(self.step() * 2);
            self.quiet += watched;
            self.is_fresh |= look.expecting == Expecting::Answer;
            if let Some(asked) = &mut self.asked {
                *asked += watched;
            }
        }
        self.verdict(look)
    }

    fn verdict(&mut self, look: Look) -> Verdict {
        let patience = match look.expecting {
            Expecting::Welcome => WELCOME_MAX,
            Expecting::Something | Expecting::Answer => SILENT_MAX,
        };
        let limit =
            (patience * (1 << self.alarms.min(ALARMS_MAX))).max(look.round_trip * ROUND_TRIPS_MIN);
        match (look.expecting, self.asked) {
            (_, Some(asked)) if asked >= limit => {
                self.alarms = self.alarms.saturating_add(1);
                return Verdict::Dead(asked);
            }
            (_, Some(_)) => {}
            // The Hello has asked.
            (Expecting::Welcome, None) => self.asked = Some(Duration::ZERO),
            (Expecting::Something | Expecting::Answer, None) => {
                let after = if self.is_fresh {
                    QUIET_MIN
                } else {
                    self.probe_after
                };
                if self.quiet >= after {
                    self.asked = Some(Duration::ZERO);
                    self.is_fresh = false;
                    return Verdict::Probe(self.step());
                }
            }
        }
        Verdict::Wait(self.step())
    }

    /// How soon to look again.
    fn step(&self) -> Duration {
        if self.asked.is_some() || self.is_fresh {
            return STEP;
        }
        (self.probe_after / 2).clamp(STEP, STEP_MAX)
    }
}

/// Between looks while an answer is expected; also how long after the beginning to look first.
pub(crate) const STEP: Duration = Duration::from_millis(100);
/// Between looks while nothing new is.
const STEP_MAX: Duration = Duration::from_millis(500);
/// Silence after a request that makes it worth a Ping: more than most answers take.
const QUIET_MIN: Duration = Duration::from_millis(250);
/// Silence after which a server that was asked is dead. In it QUIC repeats what was sent five times and more.
const SILENT_MAX: Duration = Duration::from_secs(1);
/// The same for a server that was just connected to: it may be greeting all clients of one that is lost.
const WELCOME_MAX: Duration = Duration::from_secs(3);
/// On long links so many round trips, which a server that is busy makes long as well.
const ROUND_TRIPS_MIN: u32 = 6;
/// Each alarm in a row doubles the patience, so many times: a server that is too busy to say anything is not made
/// busier by clients that come back.
const ALARMS_MAX: u32 = 2;

#[cfg(test)]
mod tests;
