//! Keeps a connection that two nodes have agreed on: says in turn with the other end that both hear each other, and
//! when this node stops. Each beat is a round trip, so an end that hears and is not heard sees no more of them.
//!
//! Beats are datagrams of one byte, which counts them: streams that nobody reads must not hold them up.

use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use selvedge_protocol::limits::{PEER_BEAT_MS, PEER_IDLE_MS_MAX};
use tokio::time::{Instant, sleep_until};

use super::listener::Stopping;
use super::stream::PeerStream;

/// Who begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// This end has dialled.
    Ours,
    Theirs,
}

/// Why a connection is kept no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// The other end stops: it answers what it was asked, and is to be asked nothing more.
    Stops,
    /// Nothing was heard for so long that nothing will be.
    Silent,
    Lost,
}

/// Beats until the connection is of no use any more; `heard` is called at each round trip.
pub(super) async fn hold(
    connection: &Connection,
    stream: &mut PeerStream,
    turn: Turn,
    mut stopping: Stopping,
    heard: impl Fn(),
) -> Parting {
    let mut beat = Beat::new(turn, Instant::now());
    let mut has_stopped = false;
    loop {
        tokio::select! {
            biased;
            () = stopping.begun(), if !has_stopped => {
                has_stopped = true;
                stream.finish();
            }
            ended = stream.read_word() => match ended {
                Ok(false) => return Parting::Stops,
                Ok(true) | Err(_) => return Parting::Lost,
            },
            // What was said before this process stood still is no silence.
            said = connection.read_datagram() => {
                let Ok(said) = said else { return Parting::Lost };
                let Some(number) = said.first().copied() else { continue };
                if beat.hear(Instant::now(), number) {
                    heard();
                }
            }
            () = sleep_until(beat.due) => {
                let now = Instant::now();
                if now >= beat.silent_at {
                    return Parting::Silent;
                }
                if let Some(number) = beat.say(now) {
                    // Fails only on a connection that is lost.
                    let _ = connection.send_datagram(Bytes::copy_from_slice(&[number]));
                }
            }
        }
    }
}

/// Whose turn it is, and when.
#[derive(Debug)]
struct Beat {
    turn: Turn,
    /// The last that was said by the end which begins.
    number: u8,
    is_answered: bool,
    /// When there is something to say, or nothing was heard.
    due: Instant,
    silent_at: Instant,
}

impl Beat {
    fn new(turn: Turn, now: Instant) -> Self {
        let silent_at = now + SILENCE_MAX;
        Self {
            turn,
            number: 0,
            is_answered: true,
            due: match turn {
                Turn::Ours => now,
                Turn::Theirs => silent_at,
            },
            silent_at,
        }
    }

    /// Takes in what the other end has said. Answers whether it is news.
    fn hear(&mut self, now: Instant, number: u8) -> bool {
        let is_news = match self.turn {
            Turn::Ours => number == self.number && !self.is_answered,
            Turn::Theirs => number != self.number,
        };
        if is_news {
            self.silent_at = now + SILENCE_MAX;
        }
        match self.turn {
            Turn::Ours if is_news => {
                self.is_answered = true;
                self.due = now + BEAT;
            }
            Turn::Ours => {}
            // One that was heard before is answered again: the answer was lost.
            Turn::Theirs => {
                self.number = number;
                self.is_answered = false;
                self.due = now;
            }
        }
        is_news
    }

    /// What is to be said now.
    fn say(&mut self, now: Instant) -> Option<u8> {
        match self.turn {
            Turn::Ours => {
                if self.is_answered {
                    self.number = self.number.wrapping_add(1);
                    self.is_answered = false;
                }
                self.due = self.silent_at.min(now + AGAIN);
                Some(self.number)
            }
            Turn::Theirs => {
                self.due = self.silent_at;
                let is_asked = !self.is_answered;
                self.is_answered = true;
                is_asked.then_some(self.number)
            }
        }
    }
}

/// Between an answer and the next beat.
const BEAT: Duration = Duration::from_millis(PEER_BEAT_MS);
/// A beat or its answer is lost that is not there so soon: several may be, before anybody is told of a silence.
const AGAIN: Duration = Duration::from_millis(PEER_BEAT_MS / 5);
const SILENCE_MAX: Duration = Duration::from_millis(PEER_IDLE_MS_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends for some seconds of simulated time; the last say what each of their datagrams, by number, becomes.
    fn round_trips(seconds: u64, is_lost: impl Fn(Turn, u32) -> bool) -> [u32; 2] {
        let mut now = Instant::now();
        let end = now + Duration::from_secs(seconds);
        let mut ends = [Beat::new(Turn::Ours, now), Beat::new(Turn::Theirs, now)];
        let (mut said, mut heard) = ([0; 2], [0; 2]);
        while now < end {
            for one in 0..2 {
                if ends[one].due > now || ends[one].silent_at <= now {
                    continue;
                }
                let Some(number) = ends[one].say(now) else {
                    continue;
                };
                said[one] += 1;
                if !is_lost(ends[one].turn, said[one]) {
                    heard[1 - one] += u32::from(ends[1 - one].hear(now, number));
                }
            }
            now += Duration::from_millis(1);
        }
        heard
    }

    #[test]
    fn both_ends_see_each_round_trip() {
        assert_eq!(round_trips(10, |_, _| false), [20, 20]);
    }

    #[test]
    fn what_is_lost_is_said_again() {
        let [ours, theirs] = round_trips(10, |_, number| number % 3 == 0);
        assert!(ours >= 14 && theirs >= 14, "{ours} {theirs}");
    }

    #[test]
    fn who_is_not_heard_sees_nothing_and_neither_does_the_other() {
        let [ours, theirs] = round_trips(10, |turn, number| turn == Turn::Theirs && number > 4);
        assert_eq!((ours, theirs), (4, 5));
        let [ours, theirs] = round_trips(10, |turn, number| turn == Turn::Ours && number > 4);
        assert_eq!((ours, theirs), (4, 4));
    }
}
