//! What is measured, whatever the binding.
//!
//! The client says first what it wants: a letter and a number (8 bytes, big-endian).
//! - `T`, how many bytes follow: throughput. The server counts them and answers the count. The time is the
//!   client's, from its first write to the last byte of the answer.
//! - `R`, how long a message is: latency. The server returns every message; the client waits for each before
//!   it sends the next.

use core::net::SocketAddr;
use core::time::Duration;

use crate::options::{Io, MESSAGE_BYTES_MAX, Mode, Options};
use crate::report::{latency, throughput};

/// Most bytes asked for in one read.
const READ_BYTES: usize = 256 * 1024;

const HELLO_BYTES: usize = 9;

/// How long a client waits before it tries again to connect.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// One way to reach the network.
pub(crate) trait Binding {
    /// For the report.
    const NAME: &'static str;
    type Connection: Connection;
    type Listener: Listener<Self::Connection>;

    /// The time since some origin.
    fn now() -> Duration;
    async fn pause(time: Duration);
    async fn connect(remote: &str, io: Io) -> Result<Self::Connection, String>;
    async fn listen(local: SocketAddr) -> Result<Self::Listener, String>;
}

/// What connections come from.
pub(crate) trait Listener<C> {
    fn local(&self) -> Result<SocketAddr, String>;
    async fn accept(&mut self, io: Io) -> Result<C, String>;
}

/// One connection.
pub(crate) trait Connection {
    /// Waits for data and returns how much is at the beginning of `buffer`, whatever its length; 0: the far
    /// end has finished. The buffer is for the next read, so that none is made anew where that can be.
    async fn read(&mut self, buffer: &mut Vec<u8>, max: usize) -> Result<usize, String>;
    /// Writes all of `bytes`, which are as long afterwards as they were.
    async fn write(&mut self, bytes: &mut Vec<u8>) -> Result<(), String>;
    /// Finishes sending.
    async fn finish(&mut self) -> Result<(), String>;
}

/// Does what the options say and prints what there is to say to stdout.
pub(crate) async fn run<B: Binding>(options: &Options) -> Result<(), String> {
    match options {
        Options::Server { listen, count, io } => {
            let mut listener = B::listen(*listen).await?;
            println!("listening on {}", listener.local()?);
            let mut served = 0_u64;
            while count.is_none_or(|count| served < count) {
                let mut connection = listener.accept(*io).await?;
                // A client that breaks off is its own affair.
                if let Err(why) = serve(&mut connection).await {
                    eprintln!("a client: {why}");
                }
                served += 1;
            }
            Ok(())
        }
        Options::Client {
            to,
            mode,
            io,
            tries,
        } => {
            let mut connection = connect::<B>(to, *io, *tries).await?;
            let line = match *mode {
                Mode::Throughput { bytes, write_size } => {
                    let time = pour::<B>(&mut connection, bytes, write_size).await?;
                    throughput(B::NAME, *io, bytes, write_size, time)
                }
                Mode::Rtt {
                    rounds,
                    write_size,
                    every,
                } => {
                    let times = bounce::<B>(&mut connection, rounds, write_size, every).await?;
                    latency(B::NAME, *io, write_size, times)
                }
            };
            println!("{line}");
            Ok(())
        }
    }
}

/// Connects; a server that does not listen yet is tried again.
async fn connect<B: Binding>(to: &str, io: Io, tries: u32) -> Result<B::Connection, String> {
    for _ in 1..tries {
        match B::connect(to, io).await {
            Ok(connection) => return Ok(connection),
            Err(_) => B::pause(TRY_EVERY).await,
        }
    }
    B::connect(to, io).await
}

async fn serve<C: Connection>(connection: &mut C) -> Result<(), String> {
    let (mut pending, mut buffer) = (Vec::new(), Vec::new());
    while pending.len() < HELLO_BYTES {
        match connection.read(&mut buffer, READ_BYTES).await? {
            0 => return Err("finished before it said what it wants".into()),
            length => pending.extend_from_slice(&buffer[..length]),
        }
    }
    let (kind, number) = decode_hello(&pending)?;
    pending.drain(..HELLO_BYTES);
    if kind == b'T' {
        let mut total = pending.len() as u64;
        while total < number {
            match connection.read(&mut buffer, READ_BYTES).await? {
                0 => return Err(format!("finished after {total} of {number} bytes")),
                length => total += length as u64,
            }
        }
        connection.write(&mut total.to_be_bytes().to_vec()).await?;
        return connection.finish().await;
    }
    let size = usize::try_from(number)
        .ok()
        .filter(|size| (1..=MESSAGE_BYTES_MAX).contains(size))
        .ok_or("a message of that size is not taken")?;
    loop {
        while pending.len() < size {
            match connection.read(&mut buffer, size - pending.len()).await? {
                0 => return connection.finish().await,
                length => pending.extend_from_slice(&buffer[..length]),
            }
        }
        connection.write(&mut pending).await?;
        pending.clear();
    }
}

async fn pour<B: Binding>(
    connection: &mut B::Connection,
    bytes: u64,
    write_size: usize,
) -> Result<Duration, String> {
    let begin = B::now();
    connection.write(&mut hello(b'T', bytes)).await?;
    let mut buffer = vec![0x5a; write_size];
    let mut rest = bytes;
    while rest > 0 {
        if rest < write_size as u64 {
            buffer.truncate(rest as usize);
        }
        connection.write(&mut buffer).await?;
        rest -= buffer.len() as u64;
    }
    let mut answer = Vec::new();
    read_exact(connection, &mut answer, 8).await?;
    let time = B::now().saturating_sub(begin);
    if answer != bytes.to_be_bytes() {
        return Err("the server counted other bytes".into());
    }
    connection.finish().await?;
    Ok(time)
}

async fn bounce<B: Binding>(
    connection: &mut B::Connection,
    rounds: u32,
    size: usize,
    every: Option<Duration>,
) -> Result<Vec<Duration>, String> {
    connection.write(&mut hello(b'R', size as u64)).await?;
    let mut message = vec![0x5a; size];
    let mut answer = Vec::with_capacity(size);
    let mut times = Vec::with_capacity(rounds as usize);
    // The first tenth warms caches and windows up.
    let warm = rounds / 10;
    for round in 0..warm + rounds {
        let begin = B::now();
        connection.write(&mut message).await?;
        answer.clear();
        read_exact(connection, &mut answer, size).await?;
        if round >= warm {
            times.push(B::now().saturating_sub(begin));
        }
        if let Some(every) = every {
            B::pause(every).await;
        }
    }
    connection.finish().await?;
    Ok(times)
}

async fn read_exact<C: Connection>(
    connection: &mut C,
    into: &mut Vec<u8>,
    size: usize,
) -> Result<(), String> {
    let mut buffer = Vec::new();
    while into.len() < size {
        match connection.read(&mut buffer, size - into.len()).await? {
            0 => {
                return Err(format!(
                    "the server finished after {} of {size} bytes",
                    into.len()
                ));
            }
            length => into.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(())
}

fn hello(kind: u8, number: u64) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

fn decode_hello(bytes: &[u8]) -> Result<(u8, u64), String> {
    match bytes.split_first_chunk::<HELLO_BYTES>() {
        Some(([kind @ (b'T' | b'R'), number @ ..], _)) => Ok((*kind, u64::from_be_bytes(*number))),
        _ => Err("said nothing we know".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_says_is_what_the_server_hears() {
        assert_eq!(decode_hello(&hello(b'T', 7)), Ok((b'T', 7)));
        assert_eq!(decode_hello(&hello(b'R', u64::MAX)), Ok((b'R', u64::MAX)));
    }

    #[test]
    fn reject_another_hello() {
        assert!(decode_hello(b"GET / HTTP/1.0").is_err());
        assert!(decode_hello(&hello(b'T', 7)[..8]).is_err());
    }
}
