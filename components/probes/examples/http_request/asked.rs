//! What the `http_request` probes are told to ask for, and what they say of it; by which interface is theirs.
//!
//! `METHOD URL [--times N] [--field NAME:VALUE]... [--send N] [--say N] [--take N]`: N requests, one after the other, of
//! which each sends a body of N bytes, says it has N (else it says nothing, and chunks are sent), and is given up after N
//! bytes of its response. Bodies of responses go to stdout; for each, its status and how long it was to stderr.

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET`
    pub(crate) method: String,
    /// The whole of it.
    pub(crate) url: String,
    /// How often.
    pub(crate) times: u32,
    /// Names and values.
    pub(crate) fields: Vec<(String, String)>,
    /// Bytes of a body that is made while it is sent; see [`piece`].
    pub(crate) send: Option<u64>,
    /// How long it is said to be.
    pub(crate) say: Option<u64>,
    /// After how many bytes of the response it is given up.
    pub(crate) take: Option<u64>,
}

impl Asked {
    /// What the command line says, or how it is to be written.
    pub(crate) fn read() -> Result<Self, String> {
        Self::of(std::env::args().skip(1)).ok_or_else(|| {
            "usage: METHOD URL [--times N] [--field NAME:VALUE] [--send N] [--say N] [--take N]"
                .to_owned()
        })
    }

    fn of(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut asked = Self {
            method: words.next()?,
            url: words.next()?,
            times: 1,
            fields: Vec::new(),
            send: None,
            say: None,
            take: None,
        };
        while let Some(word) = words.next() {
            let value = words.next()?;
            let number = || value.parse::<u64>().ok();
            match word.as_str() {
                "--times" => asked.times = value.parse().ok()?,
                "--field" => {
                    let (name, value) = value.split_once(':')?;
                    asked.fields.push((name.to_owned(), value.to_owned()));
                }
                "--send" => asked.send = Some(number()?),
                "--say" => asked.say = Some(number()?),
                "--take" => asked.take = Some(number()?),
                _ => return None,
            }
        }
        Some(asked)
    }

    /// `https`, `example.com:8443` and `/a?b` of the URL.
    pub(crate) fn url_parts(&self) -> Result<(&str, &str, &str), String> {
        let (scheme, rest) = self.url.split_once("://").ok_or("the URL has no scheme")?;
        let path = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path);
        Ok((scheme, authority, if path.is_empty() { "/" } else { path }))
    }

    /// Whether so much of a response is enough.
    pub(crate) fn enough(&self, received: u64) -> bool {
        self.take.is_some_and(|take| received >= take)
    }

    /// The pieces of the body, each of at most 64 KiB.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        const PIECE: u64 = 64 << 10;
        let send = self.send.unwrap_or(0);
        let starts = (0..send.div_ceil(PIECE)).map(|number| number * PIECE);
        starts.map(move |start| piece(start, PIECE.min(send - start)))
    }
}

/// Bytes of a body from `start`, which four divides: each four of them count the fours before them (little-endian), so
/// that what is lost, doubled or moved shows.
pub(crate) fn piece(start: u64, length: u64) -> Vec<u8> {
    let words = start / 4..(start + length).div_ceil(4);
    let mut bytes: Vec<u8> = words.flat_map(|word| (word as u32).to_le_bytes()).collect();
    bytes.truncate(length as usize);
    bytes
}
