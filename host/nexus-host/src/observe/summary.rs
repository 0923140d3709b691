//! The one line at the end of a run.

use std::time::Duration;

use crate::runtime::instance::{Ended, Outcome};

/// What an app used, for a person.
///
/// `unrecorded`: records of the audit log that could not be kept.
pub fn line(app: &str, ended: &Ended, unrecorded: u64) -> String {
    let usage = &ended.usage;
    let mut line = format!(
        "nexus-host: {app}: {}, {} wall, {} cpu in {} slices, {} memory",
        outcome(&ended.outcome),
        duration(usage.wall),
        duration(usage.cpu),
        usage.slices + 1,
        bytes(usage.memory_bytes_peak),
    );
    let net = &usage.net;
    if net.sockets_peak > 0 {
        line.push_str(&format!(
            ", {} sockets, {} in, {} out",
            net.sockets_peak,
            bytes(net.bytes_in),
            bytes(net.bytes_out)
        ));
    }
    if net.denials > 0 {
        line.push_str(&format!(", {} denied", net.denials));
    }
    if unrecorded > 0 {
        line.push_str(&format!(", {unrecorded} not recorded"));
    }
    line.push('\n');
    line
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exit(code) => format!("exit {code}"),
        other => other.word().to_owned(),
    }
}

/// Three digits are enough for a person.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Binary units, as limits are written in.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() == 0.0 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(duration(Duration::from_micros(250)), "250 us");
        assert_eq!(duration(Duration::from_micros(2_500)), "2.5 ms");
        assert_eq!(duration(Duration::from_millis(2_500)), "2.50 s");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1 << 20), "1 MiB");
        assert_eq!(bytes(1_600_000), "1.5 MiB");
    }
}
