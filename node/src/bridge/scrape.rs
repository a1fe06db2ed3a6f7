//! What is looked up when Prometheus asks, because nobody counts it as it happens: sessions, the process, the build.

use std::fs;

use crate::bridge::Inside;
use crate::metrics;

/// Looks, and sets the gauges.
pub(super) fn look(inside: &Inside) {
    let (connected, detached) = inside.sessions.count();
    for (transport, count) in connected {
        metrics::sessions(transport.name(), count);
    }
    metrics::sessions("none", detached);
    let about = &inside.about;
    metrics::build(&about.version, about.schema);
    metrics::process(&Process::own());
}

/// What the system says of this process. What it does not say is 0.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) resident_bytes: u64,
    pub(crate) cpu_seconds: f64,
    pub(crate) open_files: usize,
}

impl Process {
    fn own() -> Self {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        Self {
            resident_bytes: resident_bytes(&read("status")),
            cpu_seconds: cpu_seconds(&read("stat")),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        }
    }
}

/// Of `/proc/self/status`: `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// Of `/proc/self/stat`: the fields 14 and 15, user and system time in ticks. The second field is a name in
/// parentheses, which may contain anything.
fn cpu_seconds(stat: &str) -> f64 {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|text| text.parse::<u32>().ok().map(f64::from));
    ticks.sum::<f64>() / TICKS_A_SECOND
}

/// USER_HZ, which Linux keeps for programs whatever its own clock does.
const TICKS_A_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_words_are_read() {
        assert_eq!(
            resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n"),
            1_263_616
        );
        let stat = "42 (a) b) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9";
        assert!((cpu_seconds(stat) - 3.0).abs() < 1e-9);
        assert_eq!(resident_bytes(""), 0);
        assert!(cpu_seconds("") < 1e-9);
        let own = Process::own();
        assert!(own.resident_bytes > 0 && own.open_files > 2, "{own:?}");
    }
}
