//! Schedules: operations submitted by the clock. Each is an actor of the kind `schedule`.
//!
//! `cron` and `plan` say when (pure), `machine` decides what is done then (pure), `kind` hosts it. Its
//! timer is one of the host's, so it survives everything that the actor does.

mod cron;
mod definition;
mod event;
mod kind;
mod machine;
mod plan;
mod record;
mod view;
mod why;

pub(crate) use kind::ScheduleKind;
