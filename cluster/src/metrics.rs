//! The names of this crate's metrics, and their handles, registered once.

use std::sync::LazyLock;

use metrics::{Counter, Histogram, counter, histogram};

pub const ACTORS_ACTIVATED: &str = "selvedge_actors_activated_total";
pub const ACTORS_PASSIVATED: &str = "selvedge_actors_passivated_total";
pub const ACTOR_COMMITS: &str = "selvedge_actor_commits_total";
pub const ACTOR_COMMITS_FAILED: &str = "selvedge_actor_commits_failed_total";
pub const ACTOR_COMMIT_ANSWERS: &str = "selvedge_actor_commit_answers";
pub const ACTOR_REQUESTS_OVERLOADED: &str = "selvedge_actor_requests_overloaded_total";
pub const ACTOR_MESSAGES_REFUSED: &str = "selvedge_actor_messages_refused_total";

struct Handles {
    activated: Counter,
    passivated: Counter,
    commits: Counter,
    commits_failed: Counter,
    commit_answers: Histogram,
    overloaded: Counter,
    messages_refused: Counter,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    activated: counter!(ACTORS_ACTIVATED),
    passivated: counter!(ACTORS_PASSIVATED),
    commits: counter!(ACTOR_COMMITS),
    commits_failed: counter!(ACTOR_COMMITS_FAILED),
    commit_answers: histogram!(ACTOR_COMMIT_ANSWERS),
    overloaded: counter!(ACTOR_REQUESTS_OVERLOADED),
    messages_refused: counter!(ACTOR_MESSAGES_REFUSED),
});

pub(crate) fn activated() {
    HANDLES.activated.increment(1);
}

pub(crate) fn passivated(count: usize) {
    HANDLES.passivated.increment(count as u64);
}

/// A commit that lets `answers` answers go.
pub(crate) fn commit_finished(answers: usize) {
    HANDLES.commits.increment(1);
    // Exact up to the bound of a batch.
    HANDLES
        .commit_answers
        .record(f64::from(u32::try_from(answers).unwrap_or(u32::MAX)));
}

pub(crate) fn commit_failed() {
    HANDLES.commits_failed.increment(1);
}

pub(crate) fn refused_overloaded() {
    HANDLES.overloaded.increment(1);
}

/// A message from one actor to another came to nothing.
pub(crate) fn message_refused() {
    HANDLES.messages_refused.increment(1);
}
