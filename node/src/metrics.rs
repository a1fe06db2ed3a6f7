//! The names of this crate's metrics, and their handles.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use selvedge_protocol::{ErrorCode, OperationType};

use crate::bridge::Process;
use crate::identity::{CredentialFault, LoginOutcome};
use crate::limit::{Level, LimitName};
use crate::processing::BreakerState;

/// Labels: `type`, `state`.
pub const BREAKER_CHANGES: &str = "selvedge_breaker_changes_total";
/// Label: `type`.
pub const OPERATIONS_QUEUE_TIMED_OUT: &str = "selvedge_operations_queue_timed_out_total";

/// Attempts that other nodes were given to execute. Label: `type`.
pub const ATTEMPTS_LENT: &str = "selvedge_attempts_lent_total";
/// Those of them that were lost on the way or with the other node, and run again. Label: `type`.
pub const ATTEMPTS_LENT_LOST: &str = "selvedge_attempts_lent_lost_total";
/// Attempts that this node was given by others. Label: `type`.
pub const GUESTS: &str = "selvedge_guests_total";
/// Questions of other nodes for a place that had none here. Label: `type`.
pub const GUESTS_REFUSED: &str = "selvedge_guests_refused_total";

/// Requests that were refused for who asks. Label: `code`.
pub const REFUSED: &str = "selvedge_refused_total";
/// Passwords that were shown. Label: `outcome` (ok, wrong, throttled, busy, failed).
pub const LOGINS: &str = "selvedge_logins_total";
/// Credentials that are nobody's. Label: `reason`.
pub const CREDENTIALS_REFUSED: &str = "selvedge_credentials_refused_total";
/// Requests that a limit refused, ephemeral messages that it dropped. Labels: `limit` (what is limited), `scope`.
pub const LIMIT_REFUSED: &str = "selvedge_limit_refused_total";

/// Requests over HTTP that were answered. Labels: `method`, `route`, `status` (its class).
pub const HTTP_REQUESTS: &str = "selvedge_http_requests_total";
/// From the whole head of a request to the head of its answer, seconds. Label: `route`.
pub const HTTP_SECONDS: &str = "selvedge_http_seconds";

/// Connections over HTTP. Label: `outcome` (accepted, refused).
pub const HTTP_CONNECTIONS: &str = "selvedge_http_connections_total";

/// First packets of connections over QUIC. Label: `outcome` (accepted, retried, refused, ignored, filtered).
pub const HANDSHAKES: &str = "selvedge_handshakes_total";
/// Prefixes of addresses that tried lately.
pub const HANDSHAKE_PREFIXES: &str = "selvedge_handshake_prefixes";

/// Sessions of this node. Label: `transport` of their connection, or `none`.
pub const SESSIONS: &str = "selvedge_sessions";
/// 1. Labels: `version` of the binary, `schema` of the store.
pub const BUILD: &str = "selvedge_build_info";
/// The names that Prometheus' own clients use.
pub const PROCESS_MEMORY: &str = "process_resident_memory_bytes";
pub const PROCESS_CPU: &str = "process_cpu_seconds_total";
pub const PROCESS_FILES: &str = "process_open_fds";

/// Says what each metric is, to a recorder that is installed.
pub fn describe() {
    describe_counter!(REFUSED, "requests that were refused for who asks");
    describe_counter!(LOGINS, "passwords that were shown, by what became of it");
    describe_counter!(
        CREDENTIALS_REFUSED,
        "credentials that are nobody's, by what is wrong with them"
    );
    describe_counter!(
        BREAKER_CHANGES,
        "changes of breakers, by type and the state since"
    );
    describe_counter!(
        OPERATIONS_QUEUE_TIMED_OUT,
        "operations that failed because they waited too long for their start"
    );
    describe_counter!(
        ATTEMPTS_LENT,
        "attempts that other nodes were given to execute"
    );
    describe_counter!(
        ATTEMPTS_LENT_LOST,
        "of these, attempts that were lost and run again"
    );
    describe_counter!(GUESTS, "attempts that this node was given by others");
    describe_counter!(
        GUESTS_REFUSED,
        "questions of other nodes for a place, in vain"
    );
    describe_counter!(
        LIMIT_REFUSED,
        "requests that a limit refused, by what is limited and whose limit it is"
    );
    describe_counter!(HTTP_REQUESTS, "requests over HTTP that were answered");
    describe_histogram!(
        HTTP_SECONDS,
        Unit::Seconds,
        "time from a request's head to that of its answer"
    );
    describe_counter!(
        HTTP_CONNECTIONS,
        "connections over HTTP that came, by what became of them"
    );
    describe_counter!(
        HANDSHAKES,
        "first packets of connections over QUIC, by what became of them"
    );
    describe_gauge!(
        HANDSHAKE_PREFIXES,
        "prefixes of addresses that owe something for handshakes they tried lately"
    );
    describe_gauge!(
        SESSIONS,
        "sessions of this node, by the transport of their connection"
    );
    describe_gauge!(BUILD, "what runs here; always 1");
    describe_gauge!(PROCESS_MEMORY, Unit::Bytes, "memory that is in use");
    describe_gauge!(PROCESS_CPU, Unit::Seconds, "processor time that was used");
    describe_gauge!(PROCESS_FILES, "open files and sockets");
}

/// A password was shown.
pub(crate) fn login(outcome: LoginOutcome) {
    counter!(LOGINS, "outcome" => outcome.name()).increment(1);
}

/// A credential is nobody's.
pub(crate) fn credential_refused(fault: CredentialFault) {
    counter!(CREDENTIALS_REFUSED, "reason" => fault.name()).increment(1);
}

/// A connection over HTTP was let in, or closed at once.
pub(crate) fn http_connection(entered: Entered) {
    let outcome = match entered {
        Entered::Yes => "accepted",
        Entered::No => "refused",
    };
    counter!(HTTP_CONNECTIONS, "outcome" => outcome).increment(1);
}

/// Whether a connection was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    Yes,
    No,
}

/// So many first packets came to this.
pub(crate) fn handshakes(outcome: &'static str, count: u64) {
    counter!(HANDSHAKES, "outcome" => outcome).increment(count);
}

/// Accounts of prefixes that owe something.
pub(crate) fn handshake_prefixes(count: usize) {
    gauge!(HANDSHAKE_PREFIXES).set(amount(count as u64));
}

/// So many sessions have a connection over this.
pub(crate) fn sessions(transport: &'static str, count: usize) {
    gauge!(SESSIONS, "transport" => transport).set(amount(count as u64));
}

/// What runs here.
pub(crate) fn build(version: &str, schema: u32) {
    gauge!(BUILD, "version" => version.to_owned(), "schema" => schema.to_string()).set(1.0);
}

/// How the process is.
pub(crate) fn process(process: &Process) {
    gauge!(PROCESS_MEMORY).set(amount(process.resident_bytes));
    gauge!(PROCESS_CPU).set(process.cpu_seconds);
    gauge!(PROCESS_FILES).set(amount(process.open_files as u64));
}

/// A number as gauges have it: exact up to 2^53.
const fn amount(number: u64) -> f64 {
    number as f64
}

/// A limit has refused something.
pub(crate) fn limit_refused(name: LimitName, level: Level) {
    counter!(LIMIT_REFUSED, "limit" => name.name(), "scope" => level.name()).increment(1);
}

/// A request over HTTP was answered. Routes are templates of paths; methods that no route has are one.
pub(crate) fn http_answered(method: &str, route: &str, status: u16, elapsed: Duration) {
    let method = match method {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    };
    let class = match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let route = route.to_owned();
    histogram!(HTTP_SECONDS, "route" => route.clone()).record(elapsed.as_secs_f64());
    counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => class).increment(1);
}

/// Somebody was refused what they may not do.
pub(crate) fn refused(code: ErrorCode) {
    counter!(REFUSED, "code" => code.name()).increment(1);
}

/// A breaker of a type is in this state now. Types are those that the application registers.
pub(crate) fn breaker_changed(of: &OperationType, state: BreakerState) {
    counter!(BREAKER_CHANGES, "type" => of.to_string(), "state" => state.name()).increment(1);
}

/// An operation waited too long for its start.
pub(crate) fn queue_timed_out(of: &OperationType) {
    counter!(OPERATIONS_QUEUE_TIMED_OUT, "type" => of.to_string()).increment(1);
}

/// Another node executes an attempt. Types are those that the node has pools for, here and below.
pub(crate) fn attempt_lent(of: &OperationType) {
    counter!(ATTEMPTS_LENT, "type" => of.to_string()).increment(1);
}

/// Its operation will never hear of its end.
pub(crate) fn lent_attempt_lost(of: &OperationType) {
    counter!(ATTEMPTS_LENT_LOST, "type" => of.to_string()).increment(1);
}

/// This node executes an attempt of another node's operation.
pub(crate) fn guest_came(of: &OperationType) {
    counter!(GUESTS, "type" => of.to_string()).increment(1);
}

/// Another node has asked for a place in vain.
pub(crate) fn guest_refused(of: &OperationType) {
    counter!(GUESTS_REFUSED, "type" => of.to_string()).increment(1);
}
