//! An echo in the guest, and the kernel's client of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use nexus_testbed::{Deadline, PATIENCE};
use sha2::{Digest as _, Sha256};

use crate::run::Run;

pub(crate) const MIB: usize = 1 << 20;

/// Where the echo listens.
pub(crate) const V4: &str = "10.77.0.2:7777";
pub(crate) const V6: &str = "[fd77::2]:7777";

/// An echo that listens on the interface.
pub(crate) fn echo_on(net: &str, more: &[&str], address: &str) -> Run {
    start_echo(net, more, address).prints("listening on")
}

/// An echo on the interface; `.1` and `::1` are the kernel's.
pub(crate) fn start_echo(net: &str, more: &[&str], to_echo: &str) -> Run {
    start_echo_at(net, "10.77.0.2/24,fd77::2/64", more, to_echo)
}

/// An echo with addresses as `--address` takes them.
pub(crate) fn start_echo_at(net: &str, addresses: &str, more: &[&str], to_echo: &str) -> Run {
    let mut arguments = vec![
        "--net",
        net,
        "--address",
        addresses,
        "--allow-manifest",
        "--allow",
        "network.tcp.listen=any:7777",
        "--timeout",
        "120s",
    ];
    arguments.extend(more);
    arguments.push("--");
    arguments.extend(to_echo.split(' '));
    Run::start("tcp-echo", &arguments)
}

/// Connects, again and again while nobody listens yet.
pub(crate) fn connect(to: &str) -> TcpStream {
    let deadline = Deadline::after(PATIENCE);
    loop {
        match TcpStream::connect_timeout(&to.parse().unwrap(), deadline.left(to)) {
            Ok(stream) => return stream,
            Err(error) => _ = deadline.left(&format!("{to}: {error}")),
        }
        thread::yield_now();
    }
}

/// What is sent: no two of its blocks are the same, so that a lost, doubled or moved one shows.
fn block(number: usize, seed: u64) -> Vec<u8> {
    let mut state = seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut block = Vec::with_capacity(64 << 10);
    while block.len() < 64 << 10 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
}

/// Sends `bytes` to an echo and checks by SHA-256 that all of it comes back, in order.
pub(crate) fn echo(to: &str, bytes: usize) {
    let stream = connect(to);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let mut sent = Sha256::new();
        for number in 0..bytes.div_ceil(64 << 10) {
            let block = block(number, 7);
            let part = &block[..block.len().min(bytes - number * (64 << 10))];
            sent.update(part);
            writer.write_all(part).expect("the echo takes it");
        }
        writer.shutdown(Shutdown::Write).unwrap();
        sent.finalize()
    });
    let mut reader = stream;
    let (mut received, mut count) = (Sha256::new(), 0);
    let mut part = vec![0; 256 << 10];
    loop {
        match reader.read(&mut part).expect("the echo answers") {
            0 => break,
            read => {
                received.update(&part[..read]);
                count += read;
            }
        }
    }
    assert_eq!(count, bytes);
    assert_eq!(received.finalize(), sending.join().unwrap());
}
