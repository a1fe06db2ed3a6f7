//! The names of this crate's metrics, and their handles.

use metrics::counter;
use selvedge_protocol::OperationType;

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
