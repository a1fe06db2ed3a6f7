//! Events of one actor as several subscribers heard them: in order, without gap or repeat, the same for all, and
//! telling of the state that reads have shown.

use crate::demo_app::REGISTER_ITEMS_MAX;
use crate::operate::verify::check::history::View;
use crate::operate::verify::check::part::shown;
use crate::operate::verify::check::{Check, Violation};

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Written {
        value: u64,
    },
    Swapped {
        expected: u64,
        value: u64,
    },
    Appended {
        item: u64,
        position: u64,
    },
    Added {
        by: u64,
        value: u64,
    },
    /// Nothing that the kind says.
    Other(String),
}

impl Fact {
    /// The number of the change that caused it.
    pub(crate) const fn tag(&self) -> Option<u64> {
        match self {
            Self::Written { value } | Self::Swapped { value, .. } => Some(*value),
            Self::Appended { item, .. } => Some(*item),
            Self::Added { by, .. } => Some(*by),
            Self::Other(_) => None,
        }
    }
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Event {
        seq: u64,
        fact: Fact,
    },
    /// Events up to `seq` are not stored any more; the state then.
    Gap {
        after: u64,
        seq: u64,
        state: View,
    },
}

/// A state that was read, and the last event before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) seq: u64,
    pub(crate) state: View,
}

/// What was heard and read of one actor.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) of: &'a str,
    /// Of a new actor.
    pub(crate) initial: View,
    /// By subscriber.
    pub(crate) heard: &'a [Vec<Heard>],
    pub(crate) shown: &'a [Shown],
    /// The last read: every subscriber waited for its event.
    pub(crate) last: &'a Shown,
}

/// The facts by seq, from 1, as the first subscriber to hear of each heard it; `None` where a gap hides it.
#[derive(Debug)]
pub(crate) struct Log(pub(crate) Vec<Option<Fact>>);

/// What is wrong with it, and the log of all events up to the last read.
pub(crate) fn check(evidence: &Evidence<'_>) -> (Log, Vec<Violation>) {
    let mut log = Log(Vec::new());
    let mut found = Vec::new();
    for (subscriber, heard) in evidence.heard.iter().enumerate() {
        if let Err(message) = listen(&mut log, heard, evidence.last.seq) {
            let message = format!("subscriber {subscriber}: {message}");
            found.push(Violation::new(Check::Events, evidence.of, message));
        }
    }
    log.0.truncate(length(evidence.last.seq));
    if let Err(message) = replay(&log, evidence) {
        found.push(Violation::new(Check::Events, evidence.of, message));
    }
    (log, found)
}

/// Takes in what one subscriber heard.
fn listen(log: &mut Log, heard: &[Heard], last: u64) -> Result<(), String> {
    let mut position = 0;
    for item in heard {
        match item {
            Heard::Event { seq, fact } => {
                if *seq <= position {
                    let what = match log.0.get(length(*seq).wrapping_sub(1)) {
                        Some(Some(known)) if known == fact => "again",
                        Some(_) | None => "out of order",
                    };
                    return Err(format!("event {seq} came {what}, after event {position}"));
                }
                if *seq > position + 1 {
                    return Err(format!(
                        "events {} to {} are missing: {seq} came after {position}",
                        position + 1,
                        seq - 1
                    ));
                }
                position = *seq;
                log.agree(*seq, fact)?;
            }
            Heard::Gap { after, seq, .. } => {
                if *after != position || *seq <= position {
                    return Err(format!(
                        "was told of a gap from {after} to {seq} at position {position}"
                    ));
                }
                position = *seq;
            }
        }
    }
    if position < last {
        return Err(format!(
            "events {} to {last} did not come, though the state shows them",
            position + 1
        ));
    }
    Ok(())
}

impl Log {
    fn agree(&mut self, seq: u64, fact: &Fact) -> Result<(), String> {
        let length = length(seq);
        if self.0.len() < length {
            self.0.resize(length, None);
        }
        match &self.0[length - 1] {
            Some(known) if known != fact => Err(format!(
                "event {seq} is {fact:?}, and another subscriber heard {known:?}"
            )),
            Some(_) => Ok(()),
            None => {
                self.0[length - 1] = Some(fact.clone());
                Ok(())
            }
        }
    }
}

/// Goes through the events and holds every state that was shown against them.
fn replay(log: &Log, evidence: &Evidence<'_>) -> Result<(), String> {
    let mut shown_states: Vec<_> = evidence.shown.iter().chain([evidence.last]).collect();
    shown_states.sort_by_key(|shown| shown.seq);
    let mut gaps: Vec<_> = evidence.heard.iter().flatten().filter_map(gap).collect();
    gaps.sort_by_key(|(seq, _)| *seq);
    let mut shown_states = shown_states.into_iter().peekable();
    let mut state = Some(evidence.initial.clone());
    for seq in 0..=evidence.last.seq {
        if seq > 0 {
            let fact = log.0.get(length(seq) - 1).and_then(Option::as_ref);
            state = match (state, fact) {
                (Some(state), Some(fact)) => Some(
                    apply(state, fact)
                        .map_err(|reason| format!("event {seq} is {fact:?}, which {reason}"))?,
                ),
                (None, _) | (_, None) => None,
            };
            let told = gaps.iter().filter(|(at, _)| *at == seq);
            for (_, told) in told {
                agree(seq, state.as_ref(), told)?;
                state = Some((*told).clone());
            }
        }
        while let Some(shown) = shown_states.next_if(|shown| shown.seq <= seq) {
            agree(seq, state.as_ref(), &shown.state)?;
        }
    }
    match shown_states.next() {
        Some(shown) => Err(format!(
            "a read showed the state at event {}, a later one that at event {}",
            shown.seq, evidence.last.seq
        )),
        None => Ok(()),
    }
}

fn agree(seq: u64, events: Option<&View>, told: &View) -> Result<(), String> {
    match events {
        Some(events) if events != told => Err(format!(
            "events up to {seq} come to: {}; the state shown there is: {}",
            shown(events),
            shown(told)
        )),
        Some(_) | None => Ok(()),
    }
}

const fn gap(heard: &Heard) -> Option<(u64, &View)> {
    match heard {
        Heard::Gap { seq, state, .. } => Some((*seq, state)),
        Heard::Event { .. } => None,
    }
}

/// The state after an event, or why there is no such event in it.
fn apply(state: View, fact: &Fact) -> Result<View, String> {
    match (state, fact) {
        (View::Counter { value }, Fact::Added { by, value: sum }) => {
            match value.checked_add(*by) == Some(*sum) {
                true => Ok(View::Counter { value: *sum }),
                false => Err(format!("does not add up from {value}")),
            }
        }
        (
            View::Register {
                value,
                appended,
                mut items,
            },
            fact,
        ) => {
            let (mut value, mut appended) = (value, appended);
            match fact {
                Fact::Written { value: written } => value = *written,
                Fact::Swapped {
                    expected,
                    value: set,
                } if *expected == value => value = *set,
                Fact::Appended { item, position } if *position == appended + 1 => {
                    appended += 1;
                    if items.len() == REGISTER_ITEMS_MAX {
                        items.remove(0);
                    }
                    items.push(*item);
                }
                Fact::Swapped { .. } => return Err(format!("met the value {value}")),
                Fact::Appended { .. } => return Err(format!("follows {appended} appended")),
                Fact::Added { .. } | Fact::Other(_) => {
                    return Err("is none of a register".to_owned());
                }
            }
            Ok(View::Register {
                value,
                appended,
                items,
            })
        }
        (View::Counter { .. }, _) => Err("is none of a counter".to_owned()),
    }
}

fn length(seq: u64) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
