//! Tests of the wire: its bytes, its bounds, its page (`docs/wire.md`) and its ids.

#![allow(clippy::unwrap_used, reason = "a test in which this fails has failed")]

mod allocation;
mod any;
mod bounds;
mod golden;
mod hostile;
mod ids;
mod json;
mod json_form;
mod peer;
mod round_trip;
mod samples;
mod shared_event;
mod strategies;
mod wire_page;
