//! The bodies of the verbs that clients have besides submit and cancel.

use std::sync::Arc;

use selvedge_cluster::actor::{Incoming, Refusal};
use selvedge_protocol::limits::NAME_BYTES_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::operation::record;

/// The body of `retry`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// The first step to run again; without one, the first that is not finished.
    #[serde(default)]
    pub(super) from: Option<String>,
}

/// The body of `signal`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signal {
    name: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

pub(super) fn read<T: DeserializeOwned>(command: &Incoming<'_>) -> Result<T, Refusal> {
    serde_json::from_slice(command.body).map_err(|error| {
        let message = format!("the body of {:?} does not read: {error}", command.name);
        Refusal::invalid("body", message)
    })
}

pub(super) fn signal(command: &Incoming<'_>) -> Result<record::Signal, Refusal> {
    let signal: Signal = read(command)?;
    if !(1..=NAME_BYTES_MAX).contains(&signal.name.len()) {
        let message = format!("a signal's name has 1 to {NAME_BYTES_MAX} bytes");
        return Err(Refusal::invalid("name", message));
    }
    Ok(record::Signal {
        name: signal.name.into(),
        data: Arc::from(signal.data.as_ref().map_or("null", |data| data.get())),
    })
}
