//! RFC 3339 in UTC with milliseconds, the form of `t`.

use std::time::SystemTime;

use nexus_policy::WallTime;

/// 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year.
const MILLIS_MAX: u64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01T00:00:00Z. A machine set before that gets 0.
pub fn millis(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).map_or(MILLIS_MAX, |millis| millis.min(MILLIS_MAX))
}

/// `2026-11-27T11:38:56.123Z`, after what is in `out`. Once a record: digit by digit, without `fmt`.
pub(super) fn push(out: &mut String, millis: u64) {
    /// Where each field ends, and how many digits it has.
    const PLACES: [(usize, usize); 7] =
        [(4, 4), (7, 2), (10, 2), (13, 2), (16, 2), (19, 2), (23, 3)];
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (mut value, (end, digits)) in fields(millis).into_iter().zip(PLACES) {
        for place in text[end - digits..end].iter_mut().rev() {
            *place = b'0' + (value % 10) as u8;
            value /= 10;
        }
    }
    super::push_ascii(out, &text);
}

/// `20261127T113856123Z`: the same for a file's name; names sort by it.
pub(super) fn compact(millis: u64) -> String {
    let [year, month, day, hour, minute, second, milli] = fields(millis);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}{milli:03}Z")
}

/// The form [`push`] writes and no other.
pub(super) fn parse(text: &str) -> Option<u64> {
    if text.len() != 24 {
        return None;
    }
    let millis = parse_any(text)?;
    let mut again = String::with_capacity(24);
    push(&mut again, millis);
    (again == text).then_some(millis)
}

/// Any RFC 3339 moment from 1970 on, as people write it.
pub fn parse_any(text: &str) -> Option<u64> {
    let seconds = u64::try_from(WallTime::parse(text)?.0).ok()?;
    let mut fraction = 0;
    if text.as_bytes().get(19) == Some(&b'.') {
        let digits = text[20..].bytes().take_while(u8::is_ascii_digit);
        let mut unit = 100;
        for digit in digits.take(3) {
            fraction += u64::from(digit - b'0') * unit;
            unit /= 10;
        }
    }
    let millis = seconds.checked_mul(1_000)?.checked_add(fraction)?;
    (millis <= MILLIS_MAX).then_some(millis)
}

/// Year, month, day, hour, minute, second, millisecond.
fn fields(millis: u64) -> [u64; 7] {
    let millis = millis.min(MILLIS_MAX);
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    // Counted in years that begin in March, so that a leap day is a year's last; 719_468 days lie between
    // 0000-03-01 and 1970-01-01, 146_097 are in 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (year, day) = (era * 400 + year, day - (153 * month + 2) / 5 + 1);
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    [
        year,
        month,
        day,
        rest / 3_600_000,
        rest / 60_000 % 60,
        rest / 1_000 % 60,
        rest % 1_000,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(millis: u64) -> String {
        let mut text = String::new();
        push(&mut text, millis);
        text
    }

    /// Expected values by `date -u -d … +%s`.
    #[test]
    fn known_moments_are_written_and_read_back() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_007, "2000-02-29T12:34:56.007Z"),
            (1_798_761_600_000, "2027-01-01T00:00:00.000Z"),
            (4_107_542_400_999, "2100-03-01T00:00:00.999Z"),
            (MILLIS_MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(text(millis), expected);
            assert_eq!(parse(expected), Some(millis));
        }
        assert_eq!(text(u64::MAX), text(MILLIS_MAX));
        assert_eq!(compact(951_827_696_007), "20000229T123456007Z");
    }

    /// Every day of 800 years: each is read back as what it was written from.
    #[test]
    fn every_day_reads_back() {
        for day in 0..292_194 {
            let millis = day * 86_400_000 + 1;
            assert_eq!(parse(&text(millis)), Some(millis));
        }
    }

    #[test]
    fn reject_other_forms_of_the_same_moment() {
        for other in [
            "2027-01-01T00:00:00Z",
            "2027-01-01t00:00:00.000Z",
            "2027-01-01T00:00:00.000z",
            "2027-01-01T00:00:00.0000Z",
            "1969-12-31T23:59:59.999Z",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!(
            parse_any("2027-01-01T01:00:00.25+01:00"),
            Some(1_798_761_600_250)
        );
        assert_eq!(parse_any("1969-12-31T23:59:59Z"), None);
    }
}
