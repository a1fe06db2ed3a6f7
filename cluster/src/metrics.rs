//! The names of this crate's metrics, and their handles, registered once.

use std::sync::LazyLock;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    histogram,
};

pub const ACTORS_ACTIVATED: &str = "selvedge_actors_activated_total";
pub const ACTORS_PASSIVATED: &str = "selvedge_actors_passivated_total";
pub const ACTOR_COMMITS: &str = "selvedge_actor_commits_total";
pub const ACTOR_COMMITS_FAILED: &str = "selvedge_actor_commits_failed_total";
pub const ACTOR_COMMITS_FENCED: &str = "selvedge_actor_commits_fenced_total";
pub const ACTOR_COMMIT_ANSWERS: &str = "selvedge_actor_commit_answers";
pub const ACTOR_REQUESTS_OVERLOADED: &str = "selvedge_actor_requests_overloaded_total";
pub const ACTOR_MESSAGES_REFUSED: &str = "selvedge_actor_messages_refused_total";

/// First packets of connections between nodes. Label: `outcome` (accepted, retried, refused, ignored, filtered).
pub const PEER_HANDSHAKES: &str = "selvedge_peer_handshakes_total";

/// How long FoundationDB takes to give a version, as every transaction that reads asks for one: seconds.
pub const FDB_ANSWER_SECONDS: &str = "selvedge_fdb_answer_seconds";
/// 1 while FoundationDB answers.
pub const FDB_AVAILABLE: &str = "selvedge_fdb_available";
/// Commits asked of FoundationDB that it has done, and how long they took: seconds.
pub const FDB_COMMIT_SECONDS: &str = "selvedge_fdb_commit_seconds";
/// Commits that conflicted with others, or were too old.
pub const FDB_CONFLICTS: &str = "selvedge_fdb_conflicts_total";
/// Commits that FoundationDB has done, or not: it does not know.
pub const FDB_UNKNOWN: &str = "selvedge_fdb_commits_unknown_total";
/// Commits that were refused otherwise.
pub const FDB_FAILED: &str = "selvedge_fdb_commits_failed_total";

/// Says what each metric is, to a recorder that is installed.
pub fn describe() {
    describe_counter!(ACTORS_ACTIVATED, "actors that were loaded into memory");
    describe_counter!(
        ACTORS_PASSIVATED,
        "actors that left memory because nothing was asked of them"
    );
    describe_counter!(ACTOR_COMMITS, "commits of actors");
    describe_counter!(
        ACTOR_COMMITS_FAILED,
        "commits of actors that failed; their commands are refused"
    );
    describe_counter!(
        ACTOR_COMMITS_FENCED,
        "of these, commits of actors that another node owns"
    );
    describe_histogram!(ACTOR_COMMIT_ANSWERS, "answers that one commit lets go");
    describe_counter!(
        ACTOR_REQUESTS_OVERLOADED,
        "requests that were refused because an actor had as many as may wait"
    );
    describe_counter!(
        ACTOR_MESSAGES_REFUSED,
        "messages from one actor to another that were refused for good"
    );
    describe_counter!(
        PEER_HANDSHAKES,
        "first packets of connections between nodes, by what became of them"
    );
    describe_histogram!(
        FDB_ANSWER_SECONDS,
        Unit::Seconds,
        "time that FoundationDB takes to give a version"
    );
    describe_gauge!(FDB_AVAILABLE, "1 while FoundationDB answers");
    describe_histogram!(
        FDB_COMMIT_SECONDS,
        Unit::Seconds,
        "time of commits that FoundationDB has done"
    );
    describe_counter!(
        FDB_CONFLICTS,
        "commits that conflicted with others, or were too old"
    );
    describe_counter!(
        FDB_UNKNOWN,
        "commits of which FoundationDB does not know whether it did them"
    );
    describe_counter!(FDB_FAILED, "commits that FoundationDB refused otherwise");
}

struct Handles {
    activated: Counter,
    passivated: Counter,
    commits: Counter,
    commits_failed: Counter,
    commits_fenced: Counter,
    commit_answers: Histogram,
    overloaded: Counter,
    messages_refused: Counter,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    activated: counter!(ACTORS_ACTIVATED),
    passivated: counter!(ACTORS_PASSIVATED),
    commits: counter!(ACTOR_COMMITS),
    commits_failed: counter!(ACTOR_COMMITS_FAILED),
    commits_fenced: counter!(ACTOR_COMMITS_FENCED),
    commit_answers: histogram!(ACTOR_COMMIT_ANSWERS),
    overloaded: counter!(ACTOR_REQUESTS_OVERLOADED),
    messages_refused: counter!(ACTOR_MESSAGES_REFUSED),
});

/// So many first packets of nodes came to this; what never happens is not shown.
pub(crate) fn peer_handshakes(outcome: &'static str, count: u64) {
    if count > 0 {
        counter!(PEER_HANDSHAKES, "outcome" => outcome).increment(count);
    }
}

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

/// One of those that failed, because another node has the slot.
pub(crate) fn commit_fenced() {
    HANDLES.commits_fenced.increment(1);
}

pub(crate) fn refused_overloaded() {
    HANDLES.overloaded.increment(1);
}

/// A message from one actor to another came to nothing.
pub(crate) fn message_refused() {
    HANDLES.messages_refused.increment(1);
}

#[cfg(feature = "fdb-client")]
pub(crate) use fdb::{fdb_answered, fdb_available, fdb_committed};

#[cfg(feature = "fdb-client")]
mod fdb {
    use std::sync::LazyLock;
    use std::time::Duration;

    use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

    use super::{
        FDB_ANSWER_SECONDS, FDB_AVAILABLE, FDB_COMMIT_SECONDS, FDB_CONFLICTS, FDB_FAILED,
        FDB_UNKNOWN,
    };
    use crate::store::Error;

    struct Handles {
        answer: Histogram,
        available: Gauge,
        commit: Histogram,
        conflicts: Counter,
        unknown: Counter,
        failed: Counter,
    }

    static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
        answer: histogram!(FDB_ANSWER_SECONDS),
        available: gauge!(FDB_AVAILABLE),
        commit: histogram!(FDB_COMMIT_SECONDS),
        conflicts: counter!(FDB_CONFLICTS),
        unknown: counter!(FDB_UNKNOWN),
        failed: counter!(FDB_FAILED),
    });

    pub(crate) fn fdb_answered(elapsed: Duration) {
        HANDLES.answer.record(elapsed.as_secs_f64());
    }

    pub(crate) fn fdb_available(is_available: bool) {
        HANDLES.available.set(f64::from(u8::from(is_available)));
    }

    /// A commit was answered, perhaps with an error.
    pub(crate) fn fdb_committed(elapsed: Duration, error: Option<&Error>) {
        match error {
            None => HANDLES.commit.record(elapsed.as_secs_f64()),
            Some(Error::Conflict | Error::TooOld) => HANDLES.conflicts.increment(1),
            Some(Error::CommitUnknown) => HANDLES.unknown.increment(1),
            Some(_) => HANDLES.failed.increment(1),
        }
    }
}
