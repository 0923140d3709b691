//! One line of JSON about one run.

use core::time::Duration;

use crate::options::Io;

fn word(io: Io) -> &'static str {
    match io {
        Io::Calls => "calls",
        Io::Streams => "streams",
    }
}

/// `{"binding":...,"mode":"throughput",...,"gbit_per_s":...}`
pub(crate) fn throughput(
    binding: &str,
    io: Io,
    bytes: u64,
    write_size: usize,
    time: Duration,
) -> String {
    let seconds = time.as_secs_f64();
    // A clock that stands still measures nothing: 0, not infinity, which JSON lacks.
    let gbit = if seconds > 0.0 {
        bytes as f64 * 8.0 / seconds / 1e9
    } else {
        0.0
    };
    format!(
        r#"{{"binding":"{binding}","io":"{}","mode":"throughput","bytes":{bytes},"write_size":{write_size},"seconds":{seconds:.6},"gbit_per_s":{gbit:.3}}}"#,
        word(io)
    )
}

/// `{"binding":...,"mode":"rtt",...,"p50_us":...,"p99_us":...}`
pub(crate) fn latency(
    binding: &str,
    io: Io,
    write_size: usize,
    mut times: Vec<Duration>,
) -> String {
    times.sort_unstable();
    // The smallest time that at least this share of the rounds did not exceed.
    let at = |share: f64| {
        let rank = (times.len() as f64 * share).ceil() as usize;
        let time = times.get(rank.saturating_sub(1).min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    format!(
        r#"{{"binding":"{binding}","io":"{}","mode":"rtt","rounds":{},"write_size":{write_size},"min_us":{:.3},"p50_us":{:.3},"p99_us":{:.3},"max_us":{:.3}}}"#,
        word(io),
        times.len(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabit_in_a_second() {
        assert_eq!(
            throughput(
                "b",
                Io::Streams,
                125_000_000,
                65_536,
                Duration::from_secs(1)
            ),
            r#"{"binding":"b","io":"streams","mode":"throughput","bytes":125000000,"write_size":65536,"seconds":1.000000,"gbit_per_s":1.000}"#
        );
    }

    #[test]
    fn percentiles_are_times_that_happened() {
        let times = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(
            latency("b", Io::Calls, 64, times),
            r#"{"binding":"b","io":"calls","mode":"rtt","rounds":100,"write_size":64,"min_us":1.000,"p50_us":50.000,"p99_us":99.000,"max_us":100.000}"#
        );
    }

    #[test]
    fn no_rounds_are_zeros() {
        assert!(latency("b", Io::Calls, 64, Vec::new()).contains(r#""p50_us":0.000"#));
        assert!(throughput("b", Io::Calls, 1, 1, Duration::ZERO).contains(r#""gbit_per_s":0.000"#));
    }
}
