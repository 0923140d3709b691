//! RFC 868: the time as 32 bits, seconds since 1900-01-01 00:00 UTC.

use core::fmt;
use std::time::{Duration, SystemTime};

/// Seconds from 1900 to 1970: RFC 868's "2,208,988,800 corresponds to 00:00 1 Jan 1970 GMT".
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;

/// A point in time as the protocol carries it.
///
/// 32 bits wrap in 2036. As RFC 4330 section 3 reads NTP's: with the top bit, the years 1968 to 2036;
/// without, 2036 to 2104.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp(u32);

impl Stamp {
    /// The protocol's value for `time`.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since_1970 = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_secs();
        Self(since_1970.wrapping_add(SECONDS_1900_TO_1970) as u32)
    }

    /// The four bytes of a datagram.
    pub(crate) fn encode(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Reads a datagram; none if it is not four bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(u32::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// Seconds since 1970.
    fn unix_seconds(self) -> i64 {
        let era = if self.0 >> 31 == 1 { 0 } else { 1_i64 << 32 };
        i64::from(self.0) + era - SECONDS_1900_TO_1970 as i64
    }
}

/// RFC 3339, in UTC.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.unix_seconds();
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// The date `days` after 1970-01-01 in the proleptic Gregorian calendar, counted in 400-year cycles that
/// begin on 1 March so that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let cycle = days.div_euclid(146_097);
    let day_of_cycle = days.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
        - day_of_cycle / 146_096)
        / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(unix: u64) -> String {
        Stamp::of(SystemTime::UNIX_EPOCH + Duration::from_secs(unix)).to_string()
    }

    #[test]
    fn the_values_of_the_rfc() {
        // RFC 868: 2,629,584,000 is 1 May 1983.
        assert_eq!(Stamp(2_629_584_000).to_string(), "1983-05-01T00:00:00Z");
        assert_eq!(Stamp(2_208_988_800).to_string(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn leap_days_and_the_wrap_of_2036() {
        assert_eq!(shown(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(shown(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(shown(2_085_978_495), "2036-02-07T06:28:15Z");
        assert_eq!(shown(2_085_978_496), "2036-02-07T06:28:16Z");
    }

    #[test]
    fn bytes_there_and_back() {
        let stamp = Stamp(0x0102_0304);
        assert_eq!(stamp.encode(), [1, 2, 3, 4]);
        assert_eq!(Stamp::decode(&[1, 2, 3, 4]), Some(stamp));
    }

    #[test]
    fn reject_an_answer_of_another_length() {
        for length in [0, 3, 5, 48] {
            assert_eq!(Stamp::decode(&vec![0; length]), None);
        }
    }
}
