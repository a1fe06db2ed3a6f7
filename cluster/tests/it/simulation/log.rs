//! What happened in a run, line by line, each with its simulated time.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A cheap handle on the log of a run.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: Instant,
    lines: Mutex<Vec<String>>,
    /// What must not be.
    violations: Mutex<Vec<String>>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            start: Instant::now(),
            lines: Mutex::default(),
            violations: Mutex::default(),
        }))
    }

    pub(super) fn say(&self, what: impl fmt::Display) {
        let at = self.0.start.elapsed();
        let line = format!("{:>4}.{:06} {what}", at.as_secs(), at.subsec_micros());
        self.0.lines.lock().push(line);
    }

    /// Something is wrong. The run goes on, so that the log shows what follows.
    pub(super) fn violation(&self, what: impl fmt::Display) {
        self.say(format_args!("VIOLATION {what}"));
        self.0.violations.lock().push(what.to_string());
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.0.violations.lock().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lines.lock().clone()
    }
}
