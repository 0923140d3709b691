//! The head of an HTTP answer (RFC 9112 sections 4 and 5): its status line and the few fields we read.

/// A head that is longer, with its end, is refused: what a server can make us keep before we know anything.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A body that is longer is refused: it is kept in memory until it is whole.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// What the head says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Three digits.
    pub(crate) status: u16,
    /// The server's words for it, printable.
    pub(crate) reason: String,
    /// Where a redirect leads, printable. We do not follow.
    pub(crate) location: Option<String>,
    content_length: Option<usize>,
    coded: bool,
}

impl Head {
    /// Reads a head from the beginning of `bytes`: none if it has not ended yet, else how long it is.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let within = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
        let Some(length) = end_of_head(within) else {
            return if bytes.len() >= HEAD_BYTES_MAX {
                Err(format!(
                    "the head of the answer is longer than {HEAD_BYTES_MAX} bytes"
                ))
            } else {
                Ok(None)
            };
        };
        let text = String::from_utf8_lossy(&bytes[..length]);
        let mut lines = text
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut head = status_line(lines.next().unwrap_or_default())?;
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err("a line of the answer's head is no field".into());
            };
            head.field(name, value.trim_matches([' ', '\t']))?;
        }
        Ok(Some((head, length)))
    }

    fn field(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            // Too many digits for a number are too many bytes for us.
            let length = value.parse().unwrap_or(usize::MAX);
            // Two lengths that differ are how answers are smuggled: RFC 9112 section 6.3.
            if !digits || self.content_length.is_some_and(|before| before != length) {
                return Err("the answer's Content-Length makes no sense".into());
            }
            self.content_length = Some(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.coded |= !value.eq_ignore_ascii_case("identity");
        } else if name.eq_ignore_ascii_case("location") {
            self.location = Some(printable(value));
        }
        Ok(())
    }

    /// How long the body is; none: until the far end finishes.
    pub(crate) fn body_bytes(&self) -> Result<Option<usize>, String> {
        if self.coded {
            return Err("the answer is in a transfer coding, which HTTP/1.0 does not have".into());
        }
        match self.content_length {
            Some(length) if length > BODY_BYTES_MAX => Err(too_long()),
            length => Ok(length),
        }
    }
}

/// Said of a body over the limit, promised or sent.
pub(crate) fn too_long() -> String {
    format!("the body is longer than {BODY_BYTES_MAX} bytes")
}

/// The first index after the empty line. A bare LF ends a line too: RFC 9112 section 2.2.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            if matches!(&bytes[line_start..index], b"" | b"\r") {
                return Some(index + 1);
            }
            line_start = index + 1;
        }
    }
    None
}

fn status_line(line: &str) -> Result<Head, String> {
    let no_http = || "the far end does not speak HTTP".to_owned();
    let (version, rest) = line.split_once(' ').ok_or_else(no_http)?;
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return Err(no_http());
    }
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let digits = status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit());
    let status = status
        .parse()
        .ok()
        .filter(|status| digits && *status >= 100);
    Ok(Head {
        status: status.ok_or_else(|| "the answer's status is no status".to_owned())?,
        reason: printable(reason),
        location: None,
        content_length: None,
        coded: false,
    })
}

/// For a terminal: nothing that could move its cursor, and not much of it.
fn printable(text: &str) -> String {
    text.chars()
        .take(120)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<(Head, usize)>, String> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_arrives_in_pieces() {
        let text = "HTTP/1.0 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";
        let length = text.len() - 5;
        for end in 0..length {
            assert_eq!(parse(&text[..end]), Ok(None), "{end}");
        }
        let (head, found) = parse(text).unwrap().unwrap();
        assert_eq!(found, length);
        assert_eq!((head.status, head.reason.as_str()), (200, "OK"));
        assert_eq!(head.body_bytes(), Ok(Some(5)));
    }

    #[test]
    fn without_a_length_the_end_is_the_end() {
        let (head, _) = parse("HTTP/1.1 404\nLocation: /elsewhere\n\n")
            .unwrap()
            .unwrap();
        assert_eq!(head.status, 404);
        assert_eq!(head.location.as_deref(), Some("/elsewhere"));
        assert_eq!(head.body_bytes(), Ok(None));
    }

    #[test]
    fn what_is_shown_moves_no_cursor() {
        let (head, _) = parse("HTTP/1.0 500 a\x1b[2Jb\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.reason, "a\u{fffd}[2Jb");
    }

    #[test]
    fn reject_what_is_no_answer() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.0 20 OK\r\n\r\n",
            "HTTP/1.0 +20 OK\r\n\r\n",
            "HTTP/1.0 099 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\nno field\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let (head, _) = parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap()
            .unwrap();
        assert!(head.body_bytes().is_err());
    }

    #[test]
    fn heads_at_and_over_the_limit() {
        let frame = "HTTP/1.0 200 OK\r\nA: \r\n\r\n".len();
        let head = |bytes: usize| {
            format!(
                "HTTP/1.0 200 OK\r\nA: {}\r\n\r\n",
                "x".repeat(bytes - frame)
            )
        };
        assert!(parse(&head(HEAD_BYTES_MAX)).unwrap().is_some());
        assert!(parse(&head(HEAD_BYTES_MAX + 1)).is_err());
        assert_eq!(parse(&head(HEAD_BYTES_MAX)[..HEAD_BYTES_MAX - 1]), Ok(None));
    }

    #[test]
    fn bodies_at_and_over_the_limit() {
        let body = |length: &str| {
            let text = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
            parse(&text).unwrap().unwrap().0.body_bytes()
        };
        assert_eq!(body(&BODY_BYTES_MAX.to_string()), Ok(Some(BODY_BYTES_MAX)));
        assert!(body(&(BODY_BYTES_MAX + 1).to_string()).is_err());
        assert!(body("99999999999999999999999").is_err());
    }
}
