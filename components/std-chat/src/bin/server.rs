//! The room on a port: `std-chat-server ADDRESS:PORT`. Ends only from outside.
//!
//! One thread and no readiness to wait for, because std has neither threads nor a poll on wasm32-wasip2: every socket is
//! asked in turn, and when none had anything the program sleeps.

use std::env;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use std_chat::{Id, Out, Room};

/// How long an idle server sleeps: what a person does not notice, at a hundred wake-ups a second.
const IDLE: Duration = Duration::from_millis(10);

/// Most bytes read from one member in a turn, so that no one of them keeps the others waiting.
const TURN_BYTES: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address] = arguments.as_slice() else {
        eprintln!("usage: std-chat-server ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match serve(address) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("std-chat-server: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let mut room = Room::default();
    let mut sockets: Vec<(Id, TcpStream)> = Vec::new();
    loop {
        let mut moved = false;
        match listener.accept() {
            Ok((socket, _)) => {
                moved = true;
                sockets.extend(welcome(&mut room, socket));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Of one connection, or for want of something: those who are here need not suffer.
            Err(error) => eprintln!("std-chat-server: accept: {error}"),
        }
        sockets.retain_mut(|(id, socket)| match turn(&mut room, *id, socket) {
            Ok(some) => {
                moved |= some;
                true
            }
            Err(End) => {
                moved = true;
                room.leave(*id);
                false
            }
        });
        if !moved {
            thread::sleep(IDLE);
        }
    }
}

/// Lets a connection in, or says why not.
fn welcome(room: &mut Room, socket: TcpStream) -> Option<(Id, TcpStream)> {
    // One that cannot be set so would stop everybody.
    socket.set_nonblocking(true).ok()?;
    match room.enter() {
        Ok(id) => Some((id, socket)),
        Err(out) => {
            dismiss(&socket, out);
            None
        }
    }
}

/// Says why, if that can be said at once.
fn dismiss(mut socket: &TcpStream, out: Out) {
    if socket.write_all(format!("* {out}\n").as_bytes()).is_ok() {
        let _ = socket.shutdown(Shutdown::Write);
    }
}

/// A member is gone, whatever the reason: there is nobody to tell it to but the others.
struct End;

/// Reads what a member says and sends it what it has not been sent; whether there was anything.
fn turn(room: &mut Room, id: Id, socket: &mut TcpStream) -> Result<bool, End> {
    let mut bytes = [0; TURN_BYTES];
    let read = match socket.read(&mut bytes) {
        Ok(0) => return Err(End),
        Ok(count) => count,
        Err(error) => waits(&error)?,
    };
    room.hear(id, &bytes[..read]);
    if let Some(out) = room.out(id) {
        dismiss(socket, out);
        return Err(End);
    }
    let unsent = room.unsent(id).ok_or(End)?;
    if unsent.is_empty() {
        return Ok(read > 0);
    }
    let sent = match socket.write(unsent.as_slices().0) {
        Ok(0) => return Err(End),
        Ok(count) => count,
        Err(error) => waits(&error)?,
    };
    unsent.drain(..sent);
    Ok(read + sent > 0)
}

/// Nothing now; the rest is the end.
fn waits(error: &io::Error) -> Result<usize, End> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(0),
        _ => Err(End),
    }
}
