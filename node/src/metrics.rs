//! The names of this crate's metrics, and their handles.

use metrics::counter;
use selvedge_protocol::OperationType;

use crate::processing::BreakerState;

/// Labels: `type`, `state`.
pub const BREAKER_CHANGES: &str = "selvedge_breaker_changes_total";
/// Label: `type`.
pub const OPERATIONS_QUEUE_TIMED_OUT: &str = "selvedge_operations_queue_timed_out_total";

/// A breaker of a type is in this state now. Types are those that the application registers.
pub(crate) fn breaker_changed(of: &OperationType, state: BreakerState) {
    counter!(BREAKER_CHANGES, "type" => of.to_string(), "state" => state.name()).increment(1);
}

/// An operation waited too long for its start.
pub(crate) fn queue_timed_out(of: &OperationType) {
    counter!(OPERATIONS_QUEUE_TIMED_OUT, "type" => of.to_string()).increment(1);
}
