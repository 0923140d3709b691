//! What the host says of itself through `tracing`, to standard error: warnings, and more if asked for.
//!
//! Only our own lines are written, whatever the filter says: what a library says at `trace` may hold what an app wrote,
//! its environment, the names of its files. Lines go the way of all our lines ([`Output::say`]): whole, behind what
//! apps have written, and where there is no room they are dropped and counted. Nobody waits for who reads them.

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nexus_policy::explain::escape;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::runtime::stdio::{self, Output};

/// What a line may be about: what apps do, their calls, decisions, telemetry itself.
pub const TARGETS: [&str; 4] = [
    "nexus::app",
    "nexus::calls",
    "nexus::policy",
    "nexus::telemetry",
];

static OUTPUT: OnceLock<Output> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Which lines are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    rest: LevelFilter,
    targets: Vec<(String, LevelFilter)>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            rest: LevelFilter::WARN,
            targets: Vec::new(),
        }
    }
}

impl Filter {
    /// Reads `LEVEL`, `TARGET=LEVEL`, and several with commas.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, false)
    }

    /// Reads `RUST_LOG`, of which only what is about us counts: the rest is for others.
    pub fn of_rust_log(text: &str) -> Self {
        Self::read(text, true).unwrap_or_default()
    }

    fn read(text: &str, shared: bool) -> Result<Self, String> {
        let mut filter = Self::default();
        for part in text.split(',').map(str::trim) {
            let (target, level) = match part.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, part),
            };
            let ours = |target: &str| {
                let prefix = format!("{target}::");
                TARGETS
                    .iter()
                    .any(|known| *known == target || known.starts_with(&prefix))
            };
            let level = level_of(level);
            match (target, level) {
                _ if part.is_empty() => {}
                (Some(target), Some(level)) if ours(target) => {
                    filter.targets.push((target.to_owned(), level));
                }
                (None, Some(level)) => filter.rest = level,
                _ if shared => {}
                (Some(target), Some(_)) => {
                    return Err(format!(
                        "`{}` is not one of nexus, {}; a library's lines are never written: they may hold what an \
                         app wrote",
                        escape(target),
                        TARGETS.join(", ")
                    ));
                }
                (_, None) => {
                    return Err(
                        "LEVEL or TARGET=LEVEL, several with commas; a LEVEL is off, error, warn, info, debug or \
                         trace"
                            .to_owned(),
                    );
                }
            }
        }
        // The most exact first.
        filter
            .targets
            .sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(filter)
    }

    /// Up to which level lines about `target` are written.
    pub fn level(&self, target: &str) -> LevelFilter {
        if !TARGETS.contains(&target) {
            return LevelFilter::OFF;
        }
        let covers = |prefix: &str| {
            target
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let found = self.targets.iter().find(|(prefix, _)| covers(prefix));
        found.map_or(self.rest, |(_, level)| *level)
    }

    fn max(&self) -> LevelFilter {
        let levels = TARGETS.iter().map(|target| self.level(target));
        levels.max().unwrap_or(LevelFilter::OFF)
    }

    /// Whether any line about what apps do is wanted: they are then watched.
    pub fn wants_apps(&self) -> bool {
        ["nexus::app", "nexus::calls", "nexus::policy"]
            .iter()
            .any(|target| self.level(target) > LevelFilter::WARN)
    }
}

fn level_of(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// From now on lines are written, one a JSON object if asked for. The first to ask stays.
pub fn install(filter: Filter, json: bool) {
    let _ = tracing::subscriber::set_global_default(Log { filter, json });
}

/// From now on lines go the way of those of apps. Until then they are written at once.
pub fn write_to(output: Output) {
    let _ = OUTPUT.set(output);
}

/// Lines there was no room for.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

struct Log {
    filter: Filter,
    json: bool,
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.filter.level(metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.max())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = if self.json {
            fields.json(*metadata.level(), metadata.target())
        } else {
            fields.text(*metadata.level(), metadata.target())
        };
        match OUTPUT.get() {
            None => stdio::say(&line),
            Some(output) if output.has_room(line.len()) => output.say(&line),
            Some(_) => {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What an event says, each value cut and with nothing in it that a terminal obeys.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = escape(value);
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Fields {
    fn text(&self, level: Level, target: &str) -> String {
        let mut line = format!("{}  {target}: {}", word(level), self.message);
        for (name, value) in self.others.iter().filter(|(_, value)| !value.is_empty()) {
            // Writing to a String cannot fail.
            let _ = write!(line, " {name}={value:?}");
        }
        line.push('\n');
        line
    }

    fn json(self, level: Level, target: &str) -> String {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |since| since.as_millis() as u64);
        let fields = self.others.into_iter();
        let fields: Map<_, _> = fields
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
        let line = serde_json::json!({
            "time_ms": millis, "level": word(level), "target": target, "message": self.message, "fields": fields,
        });
        format!("{line}\n")
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_directive_counts() {
        let filter = Filter::parse("nexus=debug, nexus::calls=off,info").expect("good");
        assert_eq!(filter.level("nexus::calls"), LevelFilter::OFF);
        assert_eq!(filter.level("nexus::app"), LevelFilter::DEBUG);
        let filter = Filter::parse("info").expect("good");
        assert_eq!(filter.level("nexus::app"), LevelFilter::INFO);
        assert!(filter.wants_apps());
        assert!(!Filter::default().wants_apps());
        assert_eq!(Filter::default().max(), LevelFilter::WARN);
    }

    /// Goal: no filter brings out a library's lines. Method: the loudest there is.
    #[test]
    fn reject_lines_of_libraries() {
        let filter = Filter::parse("trace").expect("good");
        assert_eq!(
            filter.level("wasmtime_wasi::p2::bindings"),
            LevelFilter::OFF
        );
        assert_eq!(filter.level("nexus"), LevelFilter::OFF);
        let rust_log = Filter::of_rust_log("wasmtime=trace,debug,nexus::app=trace,x=y");
        assert_eq!(rust_log.level("wasmtime"), LevelFilter::OFF);
        assert_eq!(rust_log.level("nexus::app"), LevelFilter::TRACE);
        assert_eq!(rust_log.level("nexus::policy"), LevelFilter::DEBUG);
    }

    #[test]
    fn reject_filters_that_say_nothing() {
        for text in [
            "loud",
            "nexus=loud",
            "wasmtime=trace",
            "nexus::cal=debug",
            "nexus::app",
        ] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_cannot_end_its_line() {
        let mut fields = Fields::default();
        fields.others.push(("app", escape("a\nb\u{1b}[2J")));
        fields.message = "said".to_owned();
        let line = fields.text(Level::WARN, "nexus::app");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.contains('\u{1b}'));
        let json = fields.json(Level::INFO, "nexus::app");
        let value: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value["level"], "info");
    }
}
