//! A subscriber of one actor that leaves and comes back: what it hears, from the first event on.

use std::sync::Arc;

use selvedge_client::{CallError, EventItem, Events, Since};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::operate::failure::CommandFailure;
use crate::operate::verify::check::events::Heard;
use crate::operate::verify::form::{Subject, fact, view};
use crate::operate::verify::run::{Choices, PATIENCE, Run};

/// Listens until it has heard the event that `last` names, once that is known, or nothing comes any more.
pub(super) async fn listen(
    run: Arc<Run>,
    subject: Subject,
    choices: Choices,
    mut last: watch::Receiver<Option<u64>>,
) -> Result<Vec<Heard>, CommandFailure> {
    let mut heard = Vec::new();
    let mut position = 0;
    let mut errors = 0;
    let mut client = run.connect().await?;
    loop {
        let since = Since::After(position);
        let mut events = client
            .session()
            .subscribe(subject.target.clone(), since)
            .await?;
        let stay = 1 + choices.below(STAY_MAX);
        for _ in 0..stay {
            if last.borrow().is_some_and(|last| position >= last) {
                drop(events);
                client.close().await;
                return Ok(heard);
            }
            match next(&mut events, &mut last).await {
                Next::Told => {}
                Next::Silence => return Ok(heard),
                Next::Item(item) => {
                    errors = 0;
                    if let Some(item) = understood(&subject, item)? {
                        position = position.max(seq(&item));
                        heard.push(item);
                    }
                }
                Next::Ended(error) => {
                    errors += 1;
                    if errors > ERRORS_MAX {
                        return Err(error.into());
                    }
                    break;
                }
            }
        }
        drop(events);
        // Every other time over a session of its own.
        if choices.below(2) == 0 || errors > 0 {
            client.close().await;
            client = run.connect().await?;
        }
    }
}

enum Next {
    Item(EventItem),
    /// What is waited for has become known.
    Told,
    /// Nothing came, though something was due.
    Silence,
    Ended(CallError),
}

async fn next(events: &mut Events, last: &mut watch::Receiver<Option<u64>>) -> Next {
    let is_due = last.borrow_and_update().is_some();
    let item = tokio::select! {
        item = events.next() => item,
        // Whoever would tell is gone with the run.
        _ = last.changed(), if !is_due => return Next::Told,
        () = sleep(PATIENCE), if is_due => return Next::Silence,
    };
    match item {
        Some(Ok(item)) => Next::Item(item),
        Some(Err(error)) => Next::Ended(error),
        None => Next::Ended(CallError::Closed),
    }
}

fn understood(subject: &Subject, item: EventItem) -> Result<Option<Heard>, CommandFailure> {
    Ok(match item {
        EventItem::Event {
            seq, kind, data, ..
        } => Some(Heard::Event {
            seq,
            fact: fact(&kind, &data),
        }),
        EventItem::Gap {
            after,
            seq,
            snapshot,
        } => {
            let state = view(subject.kind, &snapshot).map_err(|error| {
                CommandFailure::failed(format!("{}: a snapshot is no state: {error}", subject.name))
            })?;
            Some(Heard::Gap { after, seq, state })
        }
        EventItem::Ephemeral { .. } => None,
    })
}

const fn seq(heard: &Heard) -> u64 {
    match heard {
        Heard::Event { seq, .. } | Heard::Gap { seq, .. } => *seq,
    }
}

/// Events until it leaves: often enough to come back in every state of the stream.
const STAY_MAX: u64 = 200;
/// Ends of a subscription in a row.
const ERRORS_MAX: u32 = 5;
