//! A reader of responses that shares nothing with the client: what RFC 9112 says, and where it leaves two ways to
//! read, none. Slow and whole; it looks at all the bytes that came.

use super::script::End;

/// What a sequence of bytes is.
pub(super) enum Reading {
    /// No response, or one that two readers may read in two ways.
    Bad,
    /// The beginning of one.
    Part,
    /// One.
    Whole(Box<Whole>),
}

/// A response.
pub(super) struct Whole {
    pub(super) status: u16,
    /// Names in small letters, values without blanks around them.
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// As it was sent, codings on.
    pub(super) body: Vec<u8>,
    /// How many of the bytes it is.
    pub(super) used: usize,
    /// Whether the connection can be asked again.
    pub(super) persists: bool,
    /// Interim responses before it.
    pub(super) interim: usize,
    /// Bytes of the largest head.
    pub(super) head: usize,
    /// Fields of the head that has most.
    pub(super) most: usize,
    /// Bytes that frame the body.
    pub(super) framing: usize,
    /// Whether it has nothing in it that a strict reader may refuse.
    pub(super) plain: bool,
}

impl Whole {
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        let named = self.fields.iter().filter(move |(other, _)| other == name);
        named.map(|(_, value)| &value[..])
    }
}

/// Why there is none.
enum Stop {
    Bad,
    Part,
}

/// Reads what came in answer to one request; `bodyless`: to HEAD.
pub(super) fn read(bytes: &[u8], end: Option<End>, bodyless: bool) -> Reading {
    match whole(bytes, end, bodyless) {
        Ok(whole) => Reading::Whole(Box::new(whole)),
        Err(Stop::Bad) => Reading::Bad,
        Err(Stop::Part) => Reading::Part,
    }
}

fn whole(bytes: &[u8], end: Option<End>, bodyless: bool) -> Result<Whole, Stop> {
    let (mut used, mut interim, mut largest, mut most) = (0, 0, 0, 0);
    let mut plain = true;
    let (status, minor, fields) = loop {
        let (length, status, minor, fields, simple) = head(&bytes[used..])?;
        used += length;
        plain &= simple;
        (largest, most) = (largest.max(length), most.max(fields.len()));
        if status >= 200 {
            break (status, minor, fields);
        }
        // Nobody asked for another protocol.
        if status == 101 {
            return Err(Stop::Bad);
        }
        interim += 1;
    };
    let mut whole = Whole {
        status,
        fields,
        body: Vec::new(),
        used,
        persists: minor == 1,
        interim,
        head: largest,
        most,
        framing: 0,
        plain: false,
    };
    let closes = whole.all("connection").any(|value| {
        let mut words = value.split(|byte| *byte == b',');
        words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
    });
    whole.persists &= !closes;
    plain &= whole.all("connection").all(|value| value == b"close");
    let lengths: Vec<_> = whole.all("content-length").collect();
    let coded = whole.all("transfer-encoding").count() > 0;
    let length = match lengths[..] {
        [] => None,
        [digits] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let digits = std::str::from_utf8(digits).map_err(|_| Stop::Bad)?;
            Some(digits.parse::<u64>().map_err(|_| Stop::Bad)?)
        }
        _ => return Err(Stop::Bad),
    };
    let chunked: Vec<_> = whole.all("transfer-encoding").collect();
    if coded {
        // Section 6.1: in 1.0 it means nothing, with a length it is an attempt at smuggling.
        let [only] = chunked[..] else {
            return Err(Stop::Bad);
        };
        if !only.eq_ignore_ascii_case(b"chunked") || length.is_some() || minor == 0 {
            return Err(Stop::Bad);
        }
    }
    let rest = &bytes[used..];
    if bodyless || matches!(status, 204 | 304) {
        whole.plain = plain;
        return Ok(whole);
    }
    if coded {
        let (body, length, simple) = chunks(rest)?;
        (whole.framing, plain) = (length - body.len(), plain && simple);
        whole.body = body;
        whole.used += length;
    } else if let Some(length) = length {
        let length = usize::try_from(length).map_err(|_| Stop::Part)?;
        whole.body = rest.get(..length).ok_or(Stop::Part)?.to_vec();
        whole.used += length;
    } else {
        if end != Some(End::Close) {
            return Err(Stop::Part);
        }
        whole.body = rest.to_vec();
        whole.used = bytes.len();
        whole.persists = false;
    }
    whole.plain = plain;
    Ok(whole)
}

/// A line without its end, and its length with it. CR, LF and NUL are nowhere in it (RFC 9110 section 5.5).
fn line(bytes: &[u8]) -> Result<(&[u8], usize), Stop> {
    let text = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    if text.is_some_and(|text| text.contains(&0)) {
        return Err(Stop::Bad);
    }
    any_line(bytes)
}

/// A line in which CR and LF alone are not.
fn any_line(bytes: &[u8]) -> Result<(&[u8], usize), Stop> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let end = end.ok_or(Stop::Part)?;
    match bytes[end..] {
        [b'\r', b'\n', ..] => Ok((&bytes[..end], end + 2)),
        [b'\r'] => Err(Stop::Part),
        _ => Err(Stop::Bad),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

type Head = (usize, u16, u8, Vec<(String, Vec<u8>)>, bool);

fn head(bytes: &[u8]) -> Result<Head, Stop> {
    let (status, mut used) = line(bytes)?;
    let [
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor @ (b'0' | b'1'),
        b' ',
        rest @ ..,
    ] = status
    else {
        return Err(Stop::Bad);
    };
    let (code, reason) = rest.split_at_checked(3).ok_or(Stop::Bad)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) {
        return Err(Stop::Bad);
    }
    let code = code
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    if !(100..600).contains(&code) {
        return Err(Stop::Bad);
    }
    let is_plain = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let mut plain = is_plain(reason);
    let (fields, length, simple) = fields(&bytes[used..])?;
    plain &= simple;
    used += length;
    Ok((used, code, minor - b'0', fields, plain))
}

type Fields = (Vec<(String, Vec<u8>)>, usize, bool);

fn fields(bytes: &[u8]) -> Result<Fields, Stop> {
    let (mut fields, mut used, mut plain) = (Vec::new(), 0, true);
    loop {
        let (text, length) = line(&bytes[used..])?;
        used += length;
        if text.is_empty() {
            return Ok((fields, used, plain));
        }
        let colon = text
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(Stop::Bad)?;
        let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(Stop::Bad);
        }
        plain &= text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push((name, value.to_vec()));
    }
}

/// Section 7.1: the body, how many bytes it takes, and whether nothing but chunks is in them.
///
/// An extension may have any byte in it but CR and LF, NUL, too, though section 7.1.1 has only tokens and quoted text
/// there: hyper takes them. "A recipient MUST ignore unrecognized chunk extensions", and none is recognized here; that no
/// two readers see the end of the line in two places is what matters, and for that a bare CR or LF is refused.
fn chunks(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), Stop> {
    let (mut body, mut used, mut plain) = (Vec::new(), 0, true);
    loop {
        let (text, length) = any_line(&bytes[used..])?;
        used += length;
        let digits = text
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (size, extension) = text.split_at(digits);
        if !matches!(extension.trim_ascii_start(), [] | [b';', ..]) || digits == 0 {
            return Err(Stop::Bad);
        }
        plain &= extension.is_empty() && digits < 16;
        let size = std::str::from_utf8(size).map_err(|_| Stop::Bad)?;
        let size = u64::from_str_radix(size, 16).map_err(|_| Stop::Bad)?;
        if size == 0 {
            let (trailers, length, simple) = fields(&bytes[used..])?;
            plain &= simple && trailers.is_empty();
            return Ok((body, used + length, plain));
        }
        let size = usize::try_from(size).map_err(|_| Stop::Part)?;
        let end = used.checked_add(size).ok_or(Stop::Part)?;
        body.extend_from_slice(bytes.get(used..end).ok_or(Stop::Part)?);
        used = end;
        match bytes[used..] {
            [b'\r', b'\n', ..] => used += 2,
            [] | [b'\r'] => return Err(Stop::Part),
            _ => return Err(Stop::Bad),
        }
    }
}
