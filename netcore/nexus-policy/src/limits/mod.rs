//! What an app may use, as its manifest asks and the operator caps it.
//!
//! The keys ([`keys::LIMITS`]) are the ones the runtime enforces, and no others. Asking past the cap is refused at load, not cut in silence.

mod each;

use nexus_types::{Duration, limits};
use serde::{Serialize, Serializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::{Reader, get, join};
use crate::explain::escape;
use crate::keys;

use each::millis;
pub(crate) use each::{KEYS, Key};

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
    /// `request-body = "64MiB"`
    pub request_body: Option<u64>,
    /// `response-body = "64MiB"`
    pub response_body: Option<u64>,
    /// `request-timeout = "5m"`
    pub request_timeout: Option<Duration>,
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
    #[serde(serialize_with = "millis_or_none", rename = "timeout-ms")]
    pub timeout: Option<Duration>,
    /// Bytes of the body of a request over HTTP.
    pub request_body: u64,
    /// Bytes of a response's, as sent and as decoded.
    pub response_body: u64,
    /// From a request to its response's last byte, redirects and retries included.
    #[serde(serialize_with = "as_millis", rename = "request-timeout-ms")]
    pub request_timeout: Duration,
}

impl Default for Limits {
    /// ```
    /// let limits = nexus_policy::Limits::default();
    /// assert_eq!((limits.memory, limits.sockets, limits.handles), (64 << 20, 256, 4_096));
    /// assert_eq!(limits.bytes_in_flight, 64 << 20);
    /// assert_eq!(limits.timeout, None);
    /// assert_eq!((limits.request_body, limits.response_body), (1 << 20, 8 << 20));
    /// assert_eq!(limits.request_timeout.as_secs(), 60);
    /// ```
    fn default() -> Self {
        Self {
            memory: limits::MEMORY_BYTES,
            sockets: limits::SOCKETS,
            handles: limits::HANDLES,
            bytes_in_flight: limits::BYTES_IN_FLIGHT,
            timeout: None,
            request_body: limits::HTTP_REQUEST_BODY_BYTES,
            response_body: limits::HTTP_RESPONSE_BODY_BYTES,
            request_timeout: Duration::from_micros(limits::HTTP_TOTAL_MICROS),
        }
    }
}

/// A manifest asks for more than it may have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OverCap {
    /// The key.
    pub key: &'static str,
    /// What the manifest asks, in the unit a person would write.
    pub asked: String,
    /// The most it may ask.
    pub cap: String,
    /// The policy file that says so; none: the host's own.
    pub file: Option<String>,
}

impl Limits {
    /// What an app gets that asks `asked`, under the caps of the policies (each with its file).
    ///
    /// A timeout is not refused but shortened to the cap, and a cap alone sets one: it only ever
    /// makes a run end sooner.
    pub fn settle(asked: &LimitsAsked, caps: &[(&str, LimitsAsked)]) -> Result<Self, Vec<OverCap>> {
        let mut over = Vec::new();
        let mut settle = |key: Key| {
            // An operator's cap replaces the host's; of two operators' the lower holds.
            let written = caps
                .iter()
                .filter_map(|(file, caps)| Some(((key.asked)(caps)?, *file)))
                .min();
            let most = key.most.unwrap_or(u64::MAX);
            let (cap, file) =
                written.map_or((most, None), |(cap, file)| (cap, Some(file.to_owned())));
            match (key.asked)(asked) {
                Some(asked) if asked > cap => {
                    over.push(OverCap {
                        key: key.name,
                        asked: key.show(asked),
                        cap: key.show(cap),
                        file,
                    });
                    cap
                }
                Some(asked) => asked,
                None => key.default.unwrap_or(u64::MAX).min(cap),
            }
        };
        let limits = Self {
            memory: settle(each::MEMORY),
            sockets: settle(each::SOCKETS) as u32,
            handles: settle(each::HANDLES) as u32,
            bytes_in_flight: settle(each::BYTES_IN_FLIGHT),
            timeout: caps
                .iter()
                .filter_map(|(_, caps)| caps.timeout)
                .chain(asked.timeout)
                .min(),
            request_body: settle(each::REQUEST_BODY),
            response_body: settle(each::RESPONSE_BODY),
            request_timeout: Duration::from_millis(settle(each::REQUEST_TIMEOUT)),
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
            request_body: value(reader, table, "request-body", bytes),
            response_body: value(reader, table, "response-body", bytes),
            request_timeout: value(reader, table, "request-timeout", duration),
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

fn as_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*time))
}

fn millis_or_none<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_millis(time, serializer),
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
            (over[0].key, over[0].cap.as_str(), over[0].file.clone()),
            ("memory", "1GiB", None)
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
        let over = (over[0].asked.as_str(), over[0].cap.as_str());
        assert_eq!(over, ("16MiB", "10MiB"));
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

    /// Goal: what a request may take is asked for and capped as the rest is: a longer time, too, is refused and not
    /// shortened, since it is more than an app had that did not ask. Method: at the host's own cap, one past it, at
    /// and past an operator's, and nothing asked for.
    #[test]
    fn a_requests_limits_are_given_at_the_cap_and_refused_over_it() {
        let asked = |request_body, response_body, millis| LimitsAsked {
            request_body: Some(request_body),
            response_body: Some(response_body),
            request_timeout: Some(Duration::from_millis(millis)),
            ..LimitsAsked::default()
        };
        let got = |limits: Limits| {
            let Limits {
                request_body,
                response_body,
                request_timeout,
                ..
            } = limits;
            (request_body, response_body, millis(request_timeout))
        };
        let (most, longest) = (1 << 30, 3_600_000);
        let at = asked(most, most, longest);
        assert_eq!(
            got(Limits::settle(&at, &[]).unwrap()),
            (most, most, longest)
        );
        let over = asked(most + 1, most + 1, longest + 1);
        let refused = |asked: &LimitsAsked, caps: &[(&str, LimitsAsked)]| -> Vec<_> {
            let over = Limits::settle(asked, caps).unwrap_err();
            over.into_iter().map(|over| (over.key, over.cap)).collect()
        };
        let said = |size: &str, time: &str| {
            [
                ("request-body", size.to_owned()),
                ("response-body", size.to_owned()),
                ("request-timeout", time.to_owned()),
            ]
        };
        assert_eq!(refused(&over, &[]), said("1GiB", "1h"));
        // The operator may allow less, of the default too, and more.
        let (few, many) = (asked(10, 10, 2_000), asked(most + 1, most + 1, longest + 1));
        assert_eq!(refused(&at, &[("p", few)]), said("10B", "2s"));
        let nothing = LimitsAsked::default();
        let given = Limits::settle(&nothing, &[("p", few)]).unwrap();
        assert_eq!(got(given), (10, 10, 2_000));
        let given = Limits::settle(&over, &[("p", many)]).unwrap();
        assert_eq!(got(given), (most + 1, most + 1, longest + 1));
        let given = Limits::settle(&nothing, &[("p", many)]).unwrap();
        assert_eq!(got(given), (1 << 20, 8 << 20, 60_000));
    }
}
