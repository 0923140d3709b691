//! The command line, the same for both bindings.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

/// Where the server is unless told otherwise: iperf3's port.
const PORT: u16 = 5201;

/// The longest write, and the longest message.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The most rounds: their times are kept.
const ROUNDS_MAX: u32 = 10_000_000;

/// The most tries to connect: ten seconds.
const TRIES_MAX: u64 = 1_000;

/// The longest pause between two rounds: an hour, in milliseconds.
const EVERY_MAX: u64 = 3_600_000;

/// How a connection is used, where the binding has a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Io {
    /// `read` and `write`.
    Calls,
    /// `stream<u8>`.
    Streams,
}

/// What the client measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// How fast `bytes` go, `write_size` at a time.
    Throughput { bytes: u64, write_size: usize },
    /// How long a message of `write_size` takes there and back, `rounds` times, with a pause of `every` between.
    Rtt {
        rounds: u32,
        write_size: usize,
        every: Option<Duration>,
    },
}

/// What the arguments ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Options {
    /// Serve: for ever, or this many connections.
    Server {
        listen: SocketAddr,
        count: Option<u64>,
        io: Io,
    },
    /// Measure against a server.
    Client {
        to: String,
        mode: Mode,
        io: Io,
        /// How often it tries to connect, at most.
        tries: u32,
    },
}

/// Said with every complaint.
pub(crate) const USAGE: &str = "usage: burst server [--listen ADDRESS:PORT] [--count N] [--io calls|streams]
       burst client --to HOST:PORT [--mode throughput] [--bytes N] [--write-size N] [--io calls|streams]
       burst client --to HOST:PORT --mode rtt [--rounds N] [--every MS] [--write-size N] [--io calls|streams]
A client takes --tries N, for a server that may start later: one try every 10 ms.
Numbers take K, M and G (powers of 1024). --io is for nexus:net; std::net knows calls alone.";

impl Options {
    /// Reads the arguments, without the program's name, for `binding`.
    pub(crate) fn parse(args: &[String], binding: &str) -> Result<Self, String> {
        parse(args, binding).map_err(|why| format!("{why}\n{USAGE}"))
    }
}

fn parse(args: &[String], binding: &str) -> Result<Options, String> {
    let (verb, rest) = args.split_first().ok_or("server or client?")?;
    let mut values = Values::read(rest)?;
    let io = match values.take("io").as_deref() {
        None => None,
        Some("calls") => Some(Io::Calls),
        Some("streams") if binding != "std::net" => Some(Io::Streams),
        Some(other) => return Err(format!("{other:?} is no --io of {binding}")),
    };
    let options = match verb.as_str() {
        "server" => Options::Server {
            listen: match values.take("listen") {
                None => (Ipv4Addr::UNSPECIFIED, PORT).into(),
                Some(text) => text
                    .parse()
                    .map_err(|_| format!("{text:?} is not address:port"))?,
            },
            count: values.number("count", 1, u64::MAX)?,
            io: io.unwrap_or(Io::Calls),
        },
        "client" => {
            let to = values.take("to").ok_or("--to is missing")?;
            let most = MESSAGE_BYTES_MAX as u64;
            let write_size = values.number("write-size", 1, most)?;
            let size = |default| write_size.unwrap_or(default) as usize;
            let mode = match values.take("mode").as_deref() {
                None | Some("throughput") => Mode::Throughput {
                    bytes: values.number("bytes", 1, u64::MAX)?.unwrap_or(1 << 30),
                    write_size: size(64 << 10),
                },
                Some("rtt") => Mode::Rtt {
                    rounds: values
                        .number("rounds", 1, ROUNDS_MAX.into())?
                        .unwrap_or(10_000) as u32,
                    write_size: size(64),
                    every: values
                        .number("every", 1, EVERY_MAX)?
                        .map(Duration::from_millis),
                },
                Some(other) => return Err(format!("{other:?} is no mode")),
            };
            // Streams move more, calls answer sooner.
            let io = io.unwrap_or(match mode {
                Mode::Throughput { .. } if binding != "std::net" => Io::Streams,
                _ => Io::Calls,
            });
            let tries = values.number("tries", 1, TRIES_MAX)?.unwrap_or(1) as u32;
            Options::Client {
                to,
                mode,
                io,
                tries,
            }
        }
        other => return Err(format!("{other:?} is neither server nor client")),
    };
    values.nothing_left()?;
    Ok(options)
}

/// `--key value` and `--key=value`, each once.
struct Values(Vec<(String, String)>);

impl Values {
    fn read(args: &[String]) -> Result<Self, String> {
        let mut found: Vec<(String, String)> = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(option) = arg.strip_prefix("--") else {
                return Err(format!("{arg:?} is no option"));
            };
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, value.to_owned()),
                None => (
                    option,
                    args.next()
                        .ok_or_else(|| format!("{arg} has no value"))?
                        .clone(),
                ),
            };
            if found.iter().any(|(known, _)| known == key) {
                return Err(format!("--{key} is given twice"));
            }
            found.push((key.to_owned(), value));
        }
        Ok(Self(found))
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.swap_remove(index).1)
    }

    fn number(&mut self, key: &str, least: u64, most: u64) -> Result<Option<u64>, String> {
        let Some(text) = self.take(key) else {
            return Ok(None);
        };
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'K') => (&text[..text.len() - 1], 10),
            Some(b'M') => (&text[..text.len() - 1], 20),
            Some(b'G') => (&text[..text.len() - 1], 30),
            _ => (text.as_str(), 0),
        };
        let number = digits
            .parse::<u64>()
            .ok()
            .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|number| number.checked_mul(1 << shift))
            .filter(|number| (least..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| format!("--{key} {text} is not a number from {least} to {most}"))
    }

    fn nothing_left(&self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("--{key} does not belong here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&args, "nexus:net")
    }

    #[test]
    fn defaults() {
        assert_eq!(
            parse("server"),
            Ok(Options::Server {
                listen: "0.0.0.0:5201".parse().unwrap(),
                count: None,
                io: Io::Calls,
            })
        );
        assert_eq!(
            parse("client --to a:1"),
            Ok(Options::Client {
                to: "a:1".into(),
                mode: Mode::Throughput {
                    bytes: 1 << 30,
                    write_size: 64 << 10,
                },
                io: Io::Streams,
                tries: 1,
            })
        );
    }

    #[test]
    fn everything_given() {
        assert_eq!(
            parse(
                "client --mode=rtt --to=[::1]:1 --rounds 5K --every 1K --write-size 1 --io streams --tries 9"
            ),
            Ok(Options::Client {
                to: "[::1]:1".into(),
                mode: Mode::Rtt {
                    rounds: 5 << 10,
                    write_size: 1,
                    every: Some(Duration::from_millis(1 << 10)),
                },
                io: Io::Streams,
                tries: 9,
            })
        );
    }

    #[test]
    fn reject_what_makes_no_sense() {
        for line in [
            "",
            "both",
            "client",
            "client --to",
            "client --to a:1 --to b:1",
            "client --to a:1 --mode idle",
            "client --to a:1 --rounds 5",
            "client --to a:1 --write-size 0",
            "client --to a:1 --write-size 17M",
            "client --to a:1 --bytes 99999999999G",
            "client --to a:1 --bytes +1",
            "client --to a:1 --tries 0",
            "server --tries 2",
            "server --to a:1",
            "server --listen localhost:1",
            "server --io both",
            "server extra",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        let args = ["server".to_owned(), "--io=streams".to_owned()];
        assert!(Options::parse(&args, "std::net").is_err());
    }
}
