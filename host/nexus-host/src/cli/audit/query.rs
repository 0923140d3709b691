//! `nexus-host audit query`: the records that fit, chain after chain.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use clap::Args;
use nexus_policy::Capability;

use super::scan::{self, Problems};
use super::show::Shown;
use super::{LogArgs, unreadable};
use crate::cli::{CliError, Common, parse_duration};
use crate::observe::audit::{Record, time};

#[derive(Args)]
pub(super) struct QueryArgs {
    /// Of this app: its id, or the beginning of its digest (sha256:...)
    #[arg(long, value_name = "APP", env = "NEXUS_APP")]
    app: Option<String>,
    /// By this capability
    #[arg(long, value_name = "CAPABILITY", env = "NEXUS_CAP", value_parser = parse_capability)]
    cap: Option<Capability>,
    /// With this verdict
    #[arg(long, env = "NEXUS_VERDICT", value_parser = ["allow", "deny", "revoke", "event"])]
    verdict: Option<String>,
    /// With this reason, such as not-permitted, or the word of an event
    #[arg(long, value_name = "REASON", env = "NEXUS_REASON")]
    reason: Option<String>,
    /// Not older: a time (2026-11-27T11:00:00Z), or how long ago (1h)
    #[arg(long, value_name = "TIME", env = "NEXUS_SINCE", value_parser = parse_moment)]
    since: Option<u64>,
    // NEXUS_UNTIL is of `sim`, and another kind of time.
    /// Older: a time, or how long ago
    #[arg(long, value_name = "TIME", env = "NEXUS_AUDIT_UNTIL", value_parser = parse_moment)]
    until: Option<u64>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn query(args: &QueryArgs) -> Result<u8, CliError> {
    let place = args.log.place()?;
    let segments = place
        .segments()
        .map_err(|error| unreadable(&place.log, &error))?;
    let mut problems = Problems::default();
    let mut shown = Shown::new(args.common.output, false);
    for path in segments.values() {
        let flow = scan::file(path, &mut problems, |record| {
            if !args.fits(&record) || shown.record(&record) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if flow.is_break() {
            break;
        }
    }
    shown.finish(&problems)
}

impl QueryArgs {
    fn fits(&self, record: &Record) -> bool {
        let app = |asked: &String| match &record.digest {
            Some(digest) if asked.starts_with("sha256:") => digest.starts_with(asked),
            _ => record.app.as_ref() == Some(asked),
        };
        let millis = record.millis().unwrap_or(0);
        self.app.as_ref().is_none_or(app)
            && self
                .cap
                .is_none_or(|cap| record.cap.as_deref() == Some(cap.as_str()))
            && self
                .verdict
                .as_ref()
                .is_none_or(|verdict| record.verdict == *verdict)
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| record.reason == *reason)
            && self.since.is_none_or(|since| millis >= since)
            && self.until.is_none_or(|until| millis < until)
    }
}

fn parse_capability(text: &str) -> Result<Capability, String> {
    Capability::parse(text).map_err(|error| error.to_string())
}

/// A moment, in milliseconds since 1970.
fn parse_moment(text: &str) -> Result<u64, String> {
    if let Some(millis) = time::parse_any(text) {
        return Ok(millis);
    }
    match parse_duration(text) {
        Ok(ago) => {
            let ago = u64::try_from(Duration::as_millis(&ago)).unwrap_or(u64::MAX);
            Ok(time::millis(SystemTime::now()).saturating_sub(ago))
        }
        Err(_) => Err(
            "a time such as 2026-11-27T11:00:00Z, or how long ago, such as 30s, 5m or 24h".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_how_long_ago() {
        assert_eq!(parse_moment("1970-01-01T00:00:01.5Z"), Ok(1_500));
        let ago = parse_moment("1h").expect("a moment");
        let now = time::millis(SystemTime::now());
        assert!((3_600_000..3_700_000).contains(&(now - ago)));
        // Longer ago than 1970 is the beginning.
        assert_eq!(parse_moment("1000000h"), Ok(0));
    }

    #[test]
    fn reject_other_moments_and_capabilities() {
        for text in ["", "yesterday", "2026-11-27", "1d", "-1h"] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
        let error = parse_capability("network.tcp.conect").expect_err("a typo");
        assert!(error.contains("did you mean `network.tcp.connect`?"));
    }
}
