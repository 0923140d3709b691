//! The keys of `[limits]` as what treats them all alike sees them: each a number, with its default and its bound.

use nexus_types::{Duration, limits};

use super::{Limits, LimitsAsked, TIMES, UNITS};

/// One key.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    measure: Measure,
    /// What a file says of it.
    pub(crate) asked: fn(&LimitsAsked) -> Option<u64>,
    /// What an app gets of it; none: no bound.
    pub(crate) given: fn(&Limits) -> Option<u64>,
    /// What an app gets that asks for nothing, and the most it may ask, where nobody has written anything.
    pub(crate) default: Option<u64>,
    pub(crate) most: Option<u64>,
}

#[derive(Clone, Copy)]
enum Measure {
    Bytes,
    Count,
    Millis,
}

/// All of them, in the order in which they are shown.
pub(crate) const KEYS: [Key; 8] = [
    MEMORY,
    SOCKETS,
    HANDLES,
    BYTES_IN_FLIGHT,
    TIMEOUT,
    REQUEST_BODY,
    RESPONSE_BODY,
    REQUEST_TIMEOUT,
];

pub(super) const MEMORY: Key = Key {
    name: "memory",
    measure: Measure::Bytes,
    asked: |asked| asked.memory,
    given: |given| Some(given.memory),
    default: Some(limits::MEMORY_BYTES),
    most: Some(limits::MEMORY_BYTES_CAP),
};

pub(super) const SOCKETS: Key = Key {
    name: "sockets",
    measure: Measure::Count,
    asked: |asked| asked.sockets.map(u64::from),
    given: |given| Some(given.sockets.into()),
    default: Some(limits::SOCKETS as u64),
    most: Some(limits::SOCKETS as u64),
};

pub(super) const HANDLES: Key = Key {
    name: "handles",
    measure: Measure::Count,
    asked: |asked| asked.handles.map(u64::from),
    given: |given| Some(given.handles.into()),
    default: Some(limits::HANDLES as u64),
    most: Some(limits::HANDLES as u64),
};

pub(super) const BYTES_IN_FLIGHT: Key = Key {
    name: "bytes-in-flight",
    measure: Measure::Bytes,
    asked: |asked| asked.bytes_in_flight,
    given: |given| Some(given.bytes_in_flight),
    default: Some(limits::BYTES_IN_FLIGHT),
    most: Some(limits::BYTES_IN_FLIGHT),
};

const TIMEOUT: Key = Key {
    name: "timeout",
    measure: Measure::Millis,
    asked: |asked| asked.timeout.map(millis),
    given: |given| given.timeout.map(millis),
    default: None,
    most: None,
};

pub(super) const REQUEST_BODY: Key = Key {
    name: "request-body",
    measure: Measure::Bytes,
    asked: |asked| asked.request_body,
    given: |given| Some(given.request_body),
    default: Some(limits::HTTP_REQUEST_BODY_BYTES),
    most: Some(limits::HTTP_REQUEST_BODY_BYTES_CAP),
};

pub(super) const RESPONSE_BODY: Key = Key {
    name: "response-body",
    measure: Measure::Bytes,
    asked: |asked| asked.response_body,
    given: |given| Some(given.response_body),
    default: Some(limits::HTTP_RESPONSE_BODY_BYTES),
    most: Some(limits::HTTP_RESPONSE_BODY_BYTES_CAP),
};

pub(super) const REQUEST_TIMEOUT: Key = Key {
    name: "request-timeout",
    measure: Measure::Millis,
    asked: |asked| asked.request_timeout.map(millis),
    given: |given| Some(millis(given.request_timeout)),
    default: Some(limits::HTTP_TOTAL_MICROS / 1_000),
    most: Some(limits::HTTP_TOTAL_MICROS_CAP / 1_000),
};

impl Key {
    /// A value, in the unit a person would write.
    pub(crate) fn show(&self, value: u64) -> String {
        let units = match self.measure {
            Measure::Bytes => &UNITS,
            Measure::Millis => &TIMES,
            Measure::Count => return value.to_string(),
        };
        let unit = units
            .iter()
            .rev()
            .find(|(_, size)| value.is_multiple_of(*size));
        unit.map_or_else(
            || value.to_string(),
            |(name, size)| format!("{}{name}", value / size),
        )
    }

    /// The same as a file has it: what has a unit is a string.
    pub(crate) fn write(&self, value: u64) -> String {
        match self.measure {
            Measure::Count => value.to_string(),
            Measure::Bytes | Measure::Millis => format!("\"{}\"", self.show(value)),
        }
    }
}

/// Time as these keys count it.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
