//! Spellings of addresses that some programs accept and we do not: told, so that a refusal of one
//! says what it would have been.

use core::net::Ipv4Addr;

/// The IPv4 address that `inet_aton` and the URL standard read in `text`: one to four numbers,
/// decimal, octal (`0177`) or hexadecimal (`0x7f`), the last filling what is left. `None` for the
/// usual form as well, which needs no telling.
///
/// Sources: POSIX inet_addr; WHATWG URL, "IPv4 parser".
pub fn numeric(text: &str) -> Option<Ipv4Addr> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.parse::<Ipv4Addr>().is_ok() {
        return None;
    }
    let mut numbers = Vec::new();
    for part in text.split('.') {
        // The longest number is an octal one of 32 bits with its zero, and some zeros to spare.
        if numbers.len() == 4 || part.len() > 16 {
            return None;
        }
        numbers.push(number(part)?);
    }
    let (last, first) = numbers.split_last()?;
    let mut bits: u64 = 0;
    for octet in first {
        if *octet > 255 {
            return None;
        }
        bits = bits << 8 | octet;
    }
    let left = 8 * (4 - first.len() as u32);
    if last >> left != 0 {
        return None;
    }
    u32::try_from(bits << left | last).ok().map(Ipv4Addr::from)
}

fn number(part: &str) -> Option<u64> {
    let hex = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X"));
    let (digits, radix) = match (hex, part.strip_prefix('0')) {
        (Some(""), _) => return Some(0),
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        (None, _) => (part, 10),
    };
    // `from_str_radix` takes a sign.
    let digit = |c: char| c.is_digit(radix);
    digits
        .chars()
        .all(digit)
        .then(|| u64::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spellings that have been used to get past filters, each with what it is.
    #[test]
    fn spellings_that_got_past_filters_are_read_as_what_they_are() {
        for (text, is) in [
            ("0x7f.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("0251.0376.0251.0376", "169.254.169.254"),
            ("169.254.43518", "169.254.169.254"),
            ("0xA.0.0.1.", "10.0.0.1"),
            ("0", "0.0.0.0"),
            ("0x", "0.0.0.0"),
            ("4294967295", "255.255.255.255"),
        ] {
            assert_eq!(numeric(text), Some(is.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn reject_what_nobody_reads_as_an_address() {
        for text in [
            "",
            ".",
            "127.0.0.1",
            "4294967296",
            "256.1",
            "1.2.3.256",
            "1.2.3.4.5",
            "08",
            "0xg",
            "-1",
            "+1",
            "example.com",
            "1..2",
            "00000000000000000001",
        ] {
            assert_eq!(numeric(text), None, "{text}");
        }
    }
}
