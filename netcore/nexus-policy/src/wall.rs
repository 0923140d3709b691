//! Wall time: only to place the `expires` of a rule on the monotonic line.

use core::fmt;

use nexus_types::{Duration, Instant};

/// Seconds since 1970-01-01T00:00:00Z, as the caller's clock says. An argument, never read here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WallTime(pub i64);

impl WallTime {
    /// Reads RFC 3339 with seconds, `2027-01-01T00:00:00Z` or `2027-01-01T01:00:00+01:00`.
    /// A fraction of a second is dropped: an expiry is never late by it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !text.is_ascii() || bytes.len() < 20 {
            return None;
        }
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        };
        let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| bytes[*at] != *mark) || !matches!(bytes[10], b'T' | b't') {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut rest = &text[19..];
        if let Some(fraction) = rest.strip_prefix('.') {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return None;
            }
            rest = &fraction[digits..];
        }
        let offset = match rest.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let at = text.len() - rest.len();
                let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = hours * 3_600 + minutes * 60;
                if *sign == b'+' { seconds } else { -seconds }
            }
            _ => return None,
        };
        Some(Self(
            days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
                - offset,
        ))
    }
}

impl WallTime {
    /// As RFC 3339 writes it, in UTC: `2027-01-01T00:00:00Z`.
    pub fn utc(self) -> String {
        let (days, seconds) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        // The inverse of `days_since_1970`: years of 365.2425 days, each beginning in March.
        let day_of_era = (days + 719_468).rem_euclid(146_097);
        let era = (days + 719_468).div_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march + 2) / 5 + 1;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// When a moment of the day is, by the time of day that was told at an instant.
pub(crate) fn until((now, wall): (Instant, WallTime), at: WallTime) -> Instant {
    let left = at.0.saturating_sub(wall.0);
    now + Duration::from_secs(u64::try_from(left).unwrap_or(0))
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that a leap day is
/// a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719_468 is the same count for 1970-01-01; (153 m + 2) / 5 is the days before month m.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s since 1970", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values by `date -u -d … +%s`.
    #[test]
    fn known_moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2027-01-01T00:00:00Z", 1_798_761_600),
            ("2027-01-01T01:00:00+01:00", 1_798_761_600),
            ("2026-12-31T19:00:00.999-05:00", 1_798_761_600),
            ("1969-12-31T23:59:59Z", -1),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(WallTime::parse(text), Some(WallTime(seconds)), "{text}");
        }
    }

    /// What is written is read back, at the turns of days, months, years and leap years.
    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(WallTime(1_798_761_600).utc(), "2027-01-01T00:00:00Z");
        assert_eq!(WallTime(951_827_696).utc(), "2000-02-29T12:34:56Z");
        assert_eq!(WallTime(-1).utc(), "1969-12-31T23:59:59Z");
        for day in (-200_000..200_000).step_by(7) {
            for second in [0, 86_399] {
                let moment = WallTime(day * 86_400 + second);
                assert_eq!(WallTime::parse(&moment.utc()), Some(moment));
            }
        }
    }

    #[test]
    fn reject_what_is_no_moment() {
        for text in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-13-01T00:00:00Z",
            "2027-02-29T00:00:00Z",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:00:60Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00+1:00",
            "2027-01-01T00:00:00Zjunk",
            "+027-01-01T00:00:00Z",
            "2027-01-01T00:00:00+01:0é",
        ] {
            assert_eq!(WallTime::parse(text), None, "{text}");
        }
    }
}
