//! The reader of responses' heads: strict where hyper forgives, and storing nothing but a status line's beginning.

use nexus_types::limits;

use super::error::HeadFault;

/// A reader of heads: of one response and the interim ones before it.
#[derive(Default)]
pub(super) struct Head {
    /// The first bytes of the status line: `HTTP/1.1 200 `.
    status: [u8; 13],
    /// Bytes of this line, its end aside.
    line: usize,
    /// Lines that ended, the status line among them.
    lines: usize,
    /// Bytes of this head.
    bytes: usize,
    /// Whether the last byte was CR.
    cr: bool,
    /// Interim responses before this head.
    interim: u32,
}

impl Head {
    /// Reads on; gives the status of the final response, and how many of `bytes` its head took, at its end.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<(u16, usize)>, HeadFault> {
        for (index, &byte) in bytes.iter().enumerate() {
            self.bytes += 1;
            if self.bytes > limits::HTTP_RESPONSE_HEAD_BYTES {
                return Err(HeadFault::TooLarge);
            }
            if !self.byte(byte)? {
                continue;
            }
            let status = self.code()?;
            if status == 101 {
                return Err(HeadFault::Upgrade);
            }
            if status >= 200 {
                return Ok(Some((status, index + 1)));
            }
            if self.interim == limits::HTTP_INTERIM {
                return Err(HeadFault::Interim);
            }
            *self = Self {
                interim: self.interim + 1,
                ..Self::default()
            };
        }
        Ok(None)
    }

    /// Takes a byte; whether it ends the head.
    fn byte(&mut self, byte: u8) -> Result<bool, HeadFault> {
        if self.cr {
            self.cr = false;
            return match byte {
                b'\n' => self.end_of_line(),
                _ => Err(HeadFault::Syntax),
            };
        }
        match byte {
            b'\r' => self.cr = true,
            // RFC 9112 section 2.2 lets a recipient take a bare LF; another reader on the way may not.
            b'\n' | 0 => return Err(HeadFault::Syntax),
            // Section 5.2: a line that goes on with the one before.
            b' ' | b'\t' if self.line == 0 && self.lines > 0 => return Err(HeadFault::Syntax),
            _ => {
                if self.lines == 0 {
                    if let Some(place) = self.status.get_mut(self.line) {
                        *place = byte;
                    }
                    let seen = (self.line + 1).min(7);
                    if self.status[..seen] != b"HTTP/1."[..seen] {
                        return Err(HeadFault::Version);
                    }
                }
                self.line += 1;
            }
        }
        Ok(false)
    }

    fn end_of_line(&mut self) -> Result<bool, HeadFault> {
        if self.line == 0 {
            return if self.lines == 0 {
                Err(HeadFault::Syntax)
            } else {
                Ok(true)
            };
        }
        self.line = 0;
        self.lines += 1;
        if self.lines > limits::HTTP_RESPONSE_FIELDS + 1 {
            return Err(HeadFault::TooMany);
        }
        Ok(false)
    }

    /// The status (RFC 9112 section 4): `HTTP/1.1 200`, then a blank or the line's end.
    fn code(&self) -> Result<u16, HeadFault> {
        let [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1',
            b' ',
            code @ ..,
            after,
        ] = self.status
        else {
            return Err(HeadFault::Version);
        };
        if !matches!(after, b' ' | 0) || !code.iter().all(u8::is_ascii_digit) {
            return Err(HeadFault::Syntax);
        }
        let code = code
            .iter()
            .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        // Section 15 of RFC 9110 knows no others.
        if (100..600).contains(&code) {
            Ok(code)
        } else {
            Err(HeadFault::Syntax)
        }
    }
}
