//! What an app may use, as its manifest asks and the operator caps it.
//!
//! The keys ([`keys::LIMITS`]) are the ones the runtime enforces, and no others. Asking past the cap is refused at load, not cut in silence.

use nexus_types::{Duration, limits};
use serde::{Serialize, Serializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{Reader, get, join};
use crate::explain::escape;
use crate::keys;

/// The `[limits]` of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LimitsAsked {
    /// `memory = "64MiB"`
    pub memory: Option<u64>,
    /// `sockets = 64`
    pub sockets: Option<u32>,
    /// `handles = 1024`
    pub handles: Option<u32>,
    /// `bytes-in-flight = "16MiB"`
    pub bytes_in_flight: Option<u64>,
    /// `timeout = "30s"`
    pub timeout: Option<Duration>,
}

/// What an app gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: u64,
    /// Sockets at once.
    pub sockets: u32,
    /// Resource handles at once.
    pub handles: u32,
    /// Bytes in socket buffers at once.
    pub bytes_in_flight: u64,
    /// Wall time, host calls included; none: no deadline.
    #[serde(serialize_with = "millis", rename = "timeout-ms")]
    pub timeout: Option<Duration>,
}

impl Default for Limits {
    /// ```
    /// let limits = nexus_policy::Limits::default();
    /// assert_eq!((limits.memory, limits.sockets, limits.handles), (64 << 20, 256, 4_096));
    /// assert_eq!(limits.bytes_in_flight, 64 << 20);
    /// assert_eq!(limits.timeout, None);
    /// ```
    fn default() -> Self {
        Self {
            memory: limits::MEMORY_BYTES,
            sockets: limits::SOCKETS,
            handles: limits::HANDLES,
            bytes_in_flight: limits::BYTES_IN_FLIGHT,
            timeout: None,
        }
    }
}

/// A manifest asks for more than it may have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OverCap {
    /// The key.
    pub key: &'static str,
    /// What the manifest asks.
    pub asked: u64,
    /// The most it may ask.
    pub cap: u64,
    /// The policy file that says so; none: the host's own.
    pub file: Option<String>,
}

impl OverCap {
    /// A value of this key, in the unit a person would write.
    pub(crate) fn show(&self, value: u64) -> String {
        show(self.key, value)
    }
}

/// A value of `key`, in the unit a person would write.
pub(crate) fn show(key: &str, value: u64) -> String {
    let largest = |units: &[(&'static str, u64)]| {
        let unit = units
            .iter()
            .rev()
            .find(|(_, size)| value.is_multiple_of(*size));
        unit.map_or_else(
            || value.to_string(),
            |(name, size)| format!("{}{name}", value / size),
        )
    };
    match key {
        "memory" | "bytes-in-flight" => largest(&UNITS),
        "timeout" => largest(&TIMES),
        _ => value.to_string(),
    }
}

impl Limits {
    /// What an app gets that asks `asked`, under the caps of the policies (each with its file).
    ///
    /// A timeout is not refused but shortened to the cap, and a cap alone sets one: it only ever
    /// makes a run end sooner.
    pub fn settle(asked: &LimitsAsked, caps: &[(&str, LimitsAsked)]) -> Result<Self, Vec<OverCap>> {
        let mut over = Vec::new();
        let default = Self::default();
        let mut settle = |key: &'static str,
                          asked: Option<u64>,
                          default: u64,
                          most: u64,
                          cap: fn(&LimitsAsked) -> Option<u64>| {
            // An operator's cap replaces the host's; of two operators' the lower holds.
            let written = caps
                .iter()
                .filter_map(|(file, caps)| Some((cap(caps)?, *file)))
                .min();
            let (cap, file) =
                written.map_or((most, None), |(cap, file)| (cap, Some(file.to_owned())));
            match asked {
                Some(asked) if asked > cap => {
                    over.push(OverCap {
                        key,
                        asked,
                        cap,
                        file,
                    });
                    cap
                }
                Some(asked) => asked,
                None => default.min(cap),
            }
        };
        let limits = Self {
            memory: settle(
                "memory",
                asked.memory,
                default.memory,
                limits::MEMORY_BYTES_CAP,
                |c| c.memory,
            ),
            sockets: settle(
                "sockets",
                asked.sockets.map(u64::from),
                default.sockets.into(),
                default.sockets.into(),
                |c| c.sockets.map(u64::from),
            ) as u32,
            handles: settle(
                "handles",
                asked.handles.map(u64::from),
                default.handles.into(),
                default.handles.into(),
                |c| c.handles.map(u64::from),
            ) as u32,
            bytes_in_flight: settle(
                "bytes-in-flight",
                asked.bytes_in_flight,
                default.bytes_in_flight,
                default.bytes_in_flight,
                |c| c.bytes_in_flight,
            ),
            timeout: caps
                .iter()
                .filter_map(|(_, caps)| caps.timeout)
                .chain(asked.timeout)
                .min(),
        };
        if over.is_empty() {
            Ok(limits)
        } else {
            Err(over)
        }
    }
}

impl LimitsAsked {
    /// Reads the `[limits]` table, if there is one.
    pub(crate) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Self {
        const PATH: &str = "limits";
        let Some(table) = reader.table(root, "", PATH) else {
            return Self::default();
        };
        reader.only(table, PATH, &keys::LIMITS);
        Self {
            memory: value(reader, table, "memory", bytes),
            sockets: value(reader, table, "sockets", count),
            handles: value(reader, table, "handles", count),
            bytes_in_flight: value(reader, table, "bytes-in-flight", bytes),
            timeout: value(reader, table, "timeout", duration),
        }
    }
}

fn value<T>(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
    read: fn(&Spanned<DeValue<'_>>) -> Result<T, String>,
) -> Option<T> {
    let found = get(table, key)?;
    match read(found) {
        Ok(value) => Some(value),
        Err(message) => {
            reader.problem(found.span(), &join("limits", key), message, None);
            None
        }
    }
}

/// A number with one of `units` right after it.
fn with_unit<'t, T: Copy>(text: &'t str, units: &[(&str, T)]) -> Option<(u64, T)> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit): (&'t str, &'t str) = text.split_at(at);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some((digits.parse().ok()?, *factor))
}

/// Units of time, in milliseconds.
pub const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Units of size, in bytes.
pub const UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `"64MiB"`: binary units alone, because `MB` means two things.
fn bytes(value: &Spanned<DeValue<'_>>) -> Result<u64, String> {
    let DeValue::String(text) = value.get_ref() else {
        return Err(format!(
            "this must be a string with a unit, as in \"64MiB\", not {}",
            value.get_ref().type_str()
        ));
    };
    let size = with_unit(text, &UNITS).and_then(|(number, factor)| number.checked_mul(factor));
    match size {
        Some(0) => Err("0 bytes are of no use".to_owned()),
        Some(size) => Ok(size),
        None => Err(format!(
            "`{}` is no size; write a whole number and B, KiB, MiB or GiB, as in \"64MiB\"",
            escape(text)
        )),
    }
}

/// `64`
fn count(value: &Spanned<DeValue<'_>>) -> Result<u32, String> {
    let DeValue::Integer(number) = value.get_ref() else {
        return Err(format!(
            "this must be a whole number, not {}",
            value.get_ref().type_str()
        ));
    };
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(0) => Err("0 is of no use".to_owned()),
        Ok(number) => u32::try_from(number)
            .map_err(|_| format!("{number} is out of range; it goes from 1 to {}", u32::MAX)),
        Err(_) => Err("the number is out of range".to_owned()),
    }
}

/// `"30s"`
fn duration(value: &Spanned<DeValue<'_>>) -> Result<Duration, String> {
    let DeValue::String(text) = value.get_ref() else {
        return Err(format!(
            "this must be a string with a unit, as in \"30s\", not {}",
            value.get_ref().type_str()
        ));
    };
    let millis = with_unit(text, &TIMES).and_then(|(number, factor)| number.checked_mul(factor));
    match millis {
        Some(0) => Err("no time at all is of no use".to_owned()),
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err(format!(
            "`{}` is no time; write a whole number and ms, s, m or h, as in \"30s\"",
            escape(text)
        )),
    }
}

fn millis<S: Serializer>(timeout: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match timeout {
        Some(timeout) => {
            serializer.serialize_u64(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
        }
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: u64) -> LimitsAsked {
        LimitsAsked {
            memory: Some(bytes),
            ..LimitsAsked::default()
        }
    }

    #[test]
    fn asking_at_the_cap_is_given_and_over_it_refused() {
        let cap = limits::MEMORY_BYTES_CAP;
        assert_eq!(Limits::settle(&memory(cap), &[]).unwrap().memory, cap);
        let over = Limits::settle(&memory(cap + 1), &[]).unwrap_err();
        assert_eq!(
            (over[0].key, over[0].cap, over[0].file.clone()),
            ("memory", cap, None)
        );
        let sockets = |sockets| LimitsAsked {
            sockets: Some(sockets),
            ..LimitsAsked::default()
        };
        assert_eq!(Limits::settle(&sockets(256), &[]).unwrap().sockets, 256);
        assert!(Limits::settle(&sockets(257), &[]).is_err());
        // The operator may allow more, and the app must still ask for it.
        assert_eq!(
            Limits::settle(&sockets(257), &[("p", sockets(1_000))])
                .unwrap()
                .sockets,
            257
        );
        assert_eq!(
            Limits::settle(&LimitsAsked::default(), &[("p", sockets(1_000))])
                .unwrap()
                .sockets,
            256
        );
    }

    #[test]
    fn the_lowest_cap_holds_and_lowers_the_default_too() {
        let caps = [("etc", memory(10 << 20)), ("user", memory(32 << 20))];
        assert_eq!(
            Limits::settle(&LimitsAsked::default(), &caps)
                .unwrap()
                .memory,
            10 << 20
        );
        let over = Limits::settle(&memory(16 << 20), &caps).unwrap_err();
        assert_eq!(over[0].file.as_deref(), Some("etc"));
        assert_eq!(
            (over[0].show(over[0].asked), over[0].show(over[0].cap)),
            ("16MiB".to_owned(), "10MiB".to_owned())
        );
    }

    #[test]
    fn the_shortest_timeout_holds() {
        let seconds = |s| LimitsAsked {
            timeout: Some(Duration::from_secs(s)),
            ..LimitsAsked::default()
        };
        let settle = |asked: &LimitsAsked, caps: &[(&str, LimitsAsked)]| {
            Limits::settle(asked, caps).unwrap().timeout
        };
        assert_eq!(settle(&LimitsAsked::default(), &[]), None);
        assert_eq!(settle(&seconds(30), &[]), Some(Duration::from_secs(30)));
        assert_eq!(
            settle(&seconds(30), &[("p", seconds(10))]),
            Some(Duration::from_secs(10))
        );
        assert_eq!(
            settle(&LimitsAsked::default(), &[("p", seconds(10))]),
            Some(Duration::from_secs(10))
        );
    }
}
