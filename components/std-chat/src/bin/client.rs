//! A member: `std-chat-client [--take COUNT] ADDRESS:PORT NAME [LINE...]`.
//!
//! Says the lines, or those of standard input, and prints what comes: COUNT lines, or all until the server ends. Without
//! threads (std has none on wasm32-wasip2) it cannot do both at once, so it says everything first.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;

use std_chat::{LINE_BYTES_MAX, NAME_BYTES_MAX};

const USAGE: &str = "usage: std-chat-client [--take COUNT] ADDRESS:PORT NAME [LINE...]";

/// Longest line a server may send, its end aside: more than `NAME: LINE` and `* here: ...` of a full room take.
const HEARD_BYTES_MAX: u64 = 4096;
const _: () = assert!(HEARD_BYTES_MAX as usize > LINE_BYTES_MAX + NAME_BYTES_MAX + 2);
const _: () = assert!(HEARD_BYTES_MAX as usize > (NAME_BYTES_MAX + 2) * std_chat::MEMBERS_MAX);

struct Options {
    take: usize,
    server: String,
    name: String,
    lines: Vec<String>,
}

fn main() -> ExitCode {
    let Some(options) = parse(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match chat(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("std-chat-client: {}: {error}", options.server);
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut arguments = arguments.peekable();
    let take = if arguments.next_if(|argument| argument == "--take").is_some() {
        arguments.next()?.parse().ok()?
    } else {
        usize::MAX
    };
    Some(Options {
        take,
        server: arguments.next()?,
        name: arguments.next()?,
        lines: arguments.collect(),
    })
}

fn chat(options: &Options) -> io::Result<()> {
    let mut server = TcpStream::connect(&*options.server)?;
    writeln!(server, "{}", options.name)?;
    if options.lines.is_empty() {
        for line in io::stdin().lock().lines() {
            writeln!(server, "{}", line?)?;
        }
    }
    for line in &options.lines {
        writeln!(server, "{line}")?;
    }
    let mut heard = BufReader::new(&server);
    for _ in 0..options.take {
        let mut line = Vec::new();
        heard
            .by_ref()
            .take(HEARD_BYTES_MAX)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        io::stdout().write_all(&line)?;
        io::stdout().flush()?;
    }
    // What is said is read to its end before the connection is closed: closed with something unread it would be reset,
    // and what we said last could be lost with it.
    server.shutdown(Shutdown::Write)?;
    io::copy(&mut heard, &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Option<Options> {
        parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn arguments_are_read() {
        let options = of(&["--take", "2", "10.0.0.1:7100", "ada", "hello", "--take"]).unwrap();
        assert_eq!((options.take, &*options.server), (2, "10.0.0.1:7100"));
        assert_eq!(options.name, "ada");
        assert_eq!(options.lines, ["hello", "--take"]);
        let options = of(&["10.0.0.1:7100", "ada"]).unwrap();
        assert_eq!((options.take, options.lines.len()), (usize::MAX, 0));
    }

    #[test]
    fn reject_arguments_that_are_not_understood() {
        for arguments in [
            &[][..],
            &["10.0.0.1:7100"],
            &["--take", "10.0.0.1:7100", "ada"],
            &["--take", "-1", "10.0.0.1:7100", "ada"],
            &["--take"],
        ] {
            assert!(of(arguments).is_none(), "{arguments:?}");
        }
    }
}
