//! The kernel's side: its own TCP, its buffers as it tunes them, 256 KiB a call.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::{Failure, PATIENCE};

const CALL: usize = 256 << 10;

pub(crate) fn listen(at: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(at)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Sends `bytes` and waits until the far end has counted them.
pub(crate) fn pour(to: (&str, u16), bytes: u64, far: &mut Child) -> Result<Duration, Failure> {
    let mut stream = connect(to, far)?;
    let buffer = vec![0x5a; CALL];
    let begin = Instant::now();
    let mut hello = vec![b'T'];
    hello.extend_from_slice(&bytes.to_be_bytes());
    stream.write_all(&hello)?;
    let mut rest = bytes;
    while rest > 0 {
        let part = rest.min(CALL as u64) as usize;
        stream.write_all(&buffer[..part])?;
        rest -= part as u64;
    }
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    let time = begin.elapsed();
    if u64::from_be_bytes(answer) != bytes {
        return Err("the far end counted other bytes".into());
    }
    Ok(time)
}

/// Takes what the far end sends and answers the count.
pub(crate) fn take(
    listener: &TcpListener,
    bytes: u64,
    far: &mut Child,
) -> Result<Duration, Failure> {
    let mut stream = accept(listener, far)?;
    let begin = Instant::now();
    let mut hello = [0; 9];
    stream.read_exact(&mut hello)?;
    if hello[0] != b'T' || hello[1..] != bytes.to_be_bytes() {
        return Err("the far end wants something else".into());
    }
    let mut buffer = vec![0; CALL];
    let mut count = 0;
    while count < bytes {
        match stream.read(&mut buffer)? {
            0 => return Err(format!("the end after {count} bytes").into()),
            read => count += read as u64,
        }
    }
    let time = begin.elapsed();
    stream.write_all(&count.to_be_bytes())?;
    // Until it has finished: a reset of ours might overtake the answer.
    let _ = stream.read(&mut buffer);
    Ok(time)
}

fn ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Connects, again and again while nobody listens yet.
fn connect(to: (&str, u16), far: &mut Child) -> Result<TcpStream, Failure> {
    let address = to.to_socket_addrs()?.next().ok_or("no address")?;
    let end = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => return Ok(ready(stream)?),
            Err(_) if Instant::now() < end => alive(far)?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn accept(listener: &TcpListener, far: &mut Child) -> Result<TcpStream, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(ready(stream)?),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if Instant::now() < end => alive(far)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives the far end some time; it must not have ended before anything was said.
fn alive(far: &mut Child) -> Result<(), Failure> {
    match far.try_wait()? {
        Some(status) if !status.success() => Err(said(far).into()),
        _ => {
            std::thread::sleep(Duration::from_millis(5));
            Ok(())
        }
    }
}

/// What a process that failed has to say for itself.
pub(crate) fn said(far: &mut Child) -> String {
    let mut text = String::new();
    if let Some(pipe) = &mut far.stderr {
        let _ = pipe.read_to_string(&mut text);
    }
    format!("the far end failed:\n{text}")
}
