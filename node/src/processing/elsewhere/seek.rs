//! Finds a place for an attempt on another node: the less loaded of two that are picked by chance.
//!
//! Two choices are enough: with one, the fullest of n nodes is off by about log n / log log n, with two by
//! log log n, and a third gains little (Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", 2001). A place that is found is kept by the stream on which the attempt then goes.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use selvedge_cluster::peer::{PeerStream, StreamError};
use selvedge_protocol::Tenant;
use selvedge_protocol::peer::processing::{Ask, Load, ProcessingAnswer, ProcessingRequest};
use selvedge_protocol::peer::{Service, close};

use crate::processing::elsewhere::{Elsewhere, Other, wire};
use crate::processing::pools::PoolName;

/// A place on another node, for as long as this lives.
pub(in crate::processing) struct Granted {
    pub(in crate::processing) node: Arc<str>,
    stream: Option<PeerStream>,
}

impl Granted {
    /// The stream on which the attempt goes.
    pub(super) fn take_stream(mut self) -> Option<PeerStream> {
        self.stream.take()
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.reset(close::DONE);
        }
    }
}

/// What a node has answered.
struct Answered {
    load: Load,
    stream: PeerStream,
}

impl Elsewhere {
    /// A place for the next operation of a tenant on another node, if two that may have one do. Takes half a
    /// second at most.
    pub(in crate::processing) async fn seek(
        &self,
        pool: &PoolName,
        tenant: &Tenant,
        priority: i32,
    ) -> Option<Granted> {
        let mut others = self.others(pool);
        let one = self.pick(&mut others)?;
        let ask = |wait: Duration| Ask {
            tenant: tenant.clone(),
            operation_type: pool.operation_type().clone(),
            priority,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
        };
        let now = ask(Duration::ZERO);
        let (one, two) = match self.pick(&mut others) {
            Some(two) => {
                let both = futures::future::join(answer(&one, &now), answer(&two, &now));
                let (first, second) = both.await;
                ((one, first), Some((two, second)))
            }
            None => {
                let first = answer(&one, &now).await;
                ((one, first), None)
            }
        };
        let better = better(one, two)?;
        match better {
            (other, answered) if answered.load.is_granted => Some(granted(&other, answered)),
            // Both are full: the less loaded one has the next place that is free.
            (other, _) => {
                let answered = answer(&other, &ask(WAIT)).await;
                let answered = answered.filter(|answered| answered.load.is_granted)?;
                Some(granted(&other, answered))
            }
        }
    }

    fn pick(&self, others: &mut Vec<Other>) -> Option<Other> {
        let count = u64::try_from(others.len())
            .ok()
            .filter(|count| *count > 0)?;
        let index = self.0.clock.random() % count;
        Some(others.swap_remove(usize::try_from(index).unwrap_or(0)))
    }
}

fn granted(other: &Other, answered: Answered) -> Granted {
    Granted {
        node: Arc::from(other.name.as_str()),
        stream: Some(answered.stream),
    }
}

/// The one that has a place, or the less loaded one; none that runs nothing of the type.
fn better(
    one: (Other, Option<Answered>),
    two: Option<(Other, Option<Answered>)>,
) -> Option<(Other, Answered)> {
    let with_places = |(other, answered): (Other, Option<Answered>)| {
        let answered = answered.filter(|answered| answered.load.places > 0)?;
        Some((other, answered))
    };
    let (one, two) = (with_places(one), two.and_then(with_places));
    let (one, two) = match (one, two) {
        (Some(one), Some(two)) => (one, two),
        (one, two) => return one.or(two),
    };
    match compare(one.1.load, two.1.load) {
        Ordering::Less | Ordering::Equal => Some(one),
        Ordering::Greater => Some(two),
    }
}

/// First the one with a place for it, then the one of which a smaller part is taken.
fn compare(one: Load, two: Load) -> Ordering {
    let share = |load: Load, other: Load| u64::from(load.taken) * u64::from(other.places);
    two.is_granted
        .cmp(&one.is_granted)
        .then_with(|| share(one, two).cmp(&share(two, one)))
}

/// Asks a node; `None`: it does not answer in time.
async fn answer(other: &Other, ask: &Ask) -> Option<Answered> {
    let asking = async {
        let mut stream = other.link.stream(Service::Processing).await?;
        let ask = ProcessingRequest::Ask(ask.clone());
        stream.write(&wire::frame(&ask)?).await?;
        match stream.read().await? {
            Some(ProcessingAnswer::Load(load)) => Ok(Answered { load, stream }),
            Some(_) | None => Err(StreamError::Cut),
        }
    };
    let patience = ANSWER_MAX + Duration::from_millis(ask.wait_ms.into());
    match tokio::time::timeout(patience, asking).await {
        Ok(Ok(answered)) => Some(answered),
        Ok(Err(error)) => {
            tracing::debug!(node = other.name, %error, "a node cannot be asked for a place");
            None
        }
        Err(_elapsed) => None,
    }
}

/// How long a node has to say how full it is: many round trips, and no longer than a person notices.
const ANSWER_MAX: Duration = Duration::from_millis(100);
/// How long a place is waited for at one node, before two others are looked at.
const WAIT: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    fn load(is_granted: bool, taken: u32, places: u32) -> Load {
        Load {
            is_granted,
            taken,
            places,
        }
    }

    #[test]
    fn a_place_counts_first_and_then_the_smaller_part_that_is_taken() {
        let granted = load(true, 9, 10);
        assert_eq!(compare(granted, load(false, 1, 10)), Ordering::Less);
        assert_eq!(compare(load(false, 1, 10), granted), Ordering::Greater);
        // Half of a large one is less than most of a small one.
        assert_eq!(
            compare(load(true, 50, 100), load(true, 3, 4)),
            Ordering::Less
        );
        assert_eq!(
            compare(load(false, 5, 4), load(false, 9, 8)),
            Ordering::Greater
        );
        assert_eq!(compare(granted, granted), Ordering::Equal);
    }
}
