//! How fast the NIC is: a client of the kernel, a published port, a node that echoes or sinks.
//!
//! `cargo run --release -p nexus-usernet --example splice [bare|sink|source|echo|rtt|connect]...`
//! `bare` is the same client against a thread of the kernel's: what there is to lose.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::Poll;
use std::time::Instant;

#[path = "../tests/usernet/link.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod link;

use link::Link;
use nexus_stack::TcpId;

const BYTES: usize = 1 << 30;
const ROUNDS: usize = 50_000;
const CONNECTIONS: usize = 5_000;

fn main() {
    let mut wanted: Vec<_> = std::env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = ["bare", "sink", "source", "echo", "rtt", "connect"]
            .map(Into::into)
            .into();
    }
    for what in wanted {
        match what.as_str() {
            "bare" => bare(),
            "sink" => sink(),
            "source" => source(),
            "echo" => echo(),
            "rtt" => rtt(),
            "connect" => connect(),
            other => eprintln!("unknown: {other}"),
        }
    }
}

/// A link, a published port, and the node's connection for `client`.
fn start<T: Send + 'static>(
    client: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (Link, TcpId, std::thread::JoinHandle<T>) {
    let mut config = link::config();
    config.publish = vec!["0:80".parse().unwrap()];
    let mut link = Link::new(config);
    let at: SocketAddr = link.net.published()[0].host;
    let listener = link.listen(80, at.ip());
    let thread = std::thread::spawn(move || {
        let socket = TcpStream::connect(at).unwrap();
        socket.set_nodelay(true).unwrap();
        client(socket)
    });
    let id = link.accept(listener);
    (link, id, thread)
}

fn send(mut socket: TcpStream) {
    let part = vec![7; 64 << 10];
    for _ in 0..BYTES / part.len() {
        socket.write_all(&part).unwrap();
    }
}

fn sink() {
    let (mut link, id, thread) = start(send);
    let began = Instant::now();
    let mut part = vec![0; 64 << 10];
    let mut all = 0;
    link.until(|node, now, waker| {
        loop {
            match node.poll_read(now, id, &mut part, waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(()),
                Poll::Ready(bytes) => all += bytes.unwrap(),
            }
        }
    });
    report("client to node", all, began);
    thread.join().unwrap();
}

fn bare() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut part = vec![0; 64 << 10];
        while socket.read(&mut part).unwrap() > 0 {}
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        link::echo(socket);
    });
    let began = Instant::now();
    send(TcpStream::connect(at).unwrap());
    report("bare, client to server", BYTES, began);
    let socket = TcpStream::connect(at).unwrap();
    socket.set_nodelay(true).unwrap();
    report_times("bare, ", round_trips(socket));
    server.join().unwrap();
}

fn round_trips(mut socket: TcpStream) -> Vec<u64> {
    let mut times: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            socket.write_all(&[7; 64]).unwrap();
            socket.read_exact(&mut [0; 64]).unwrap();
            began.elapsed().as_nanos() as u64
        })
        .collect();
    times.sort_unstable();
    times
}

fn report_times(name: &str, times: Vec<u64>) {
    let at = |part: f64| times[(times.len() as f64 * part) as usize] as f64 / 1e3;
    println!(
        "{name}rtt, 64 bytes: p50 {:.1} us, p99 {:.1} us",
        at(0.5),
        at(0.99)
    );
}

fn report(name: &str, bytes: usize, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let gbits = bytes as f64 * 8.0 / seconds / 1e9;
    println!("{name}: {gbits:.2} Gbit/s ({bytes} bytes in {seconds:.3} s)");
}

fn source() {
    let (mut link, id, thread) = start(|mut socket| {
        let mut part = vec![0; 64 << 10];
        let mut all = 0;
        while all < BYTES {
            all += socket.read(&mut part).unwrap();
        }
    });
    let began = Instant::now();
    let part = vec![7; 64 << 10];
    let mut sent = 0;
    link.until(|node, now, waker| {
        while sent < BYTES {
            let most = part.len().min(BYTES - sent);
            match node.poll_write(now, id, &part[..most], waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(bytes) => sent += bytes.unwrap(),
            }
        }
        Poll::Ready(())
    });
    link.join(thread);
    report("node to client", BYTES, began);
}

fn serve_echo(link: &mut Link, id: TcpId) {
    let mut held = vec![0; 64 << 10];
    let (mut from, mut to) = (0, 0);
    link.until(|node, now, waker| {
        loop {
            while from < to {
                match node.poll_write(now, id, &held[from..to], waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(bytes) => from += bytes.unwrap(),
                }
            }
            match node.poll_read(now, id, &mut held, waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    node.tcp_close(now, id);
                    return Poll::Ready(());
                }
                Poll::Ready(bytes) => (from, to) = (0, bytes.unwrap()),
            }
        }
    });
}

fn echo() {
    let began = Instant::now();
    let (mut link, id, thread) = start(|mut socket| {
        let mut writer = socket.try_clone().unwrap();
        let write = std::thread::spawn(move || {
            let part = vec![7; 64 << 10];
            for _ in 0..BYTES / part.len() {
                writer.write_all(&part).unwrap();
            }
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut part = vec![0; 64 << 10];
        while socket.read(&mut part).unwrap() > 0 {}
        write.join().unwrap();
    });
    serve_echo(&mut link, id);
    link.join(thread);
    report("echo, each way", BYTES, began);
}

fn rtt() {
    let (mut link, id, thread) = start(round_trips);
    serve_echo(&mut link, id);
    report_times("", link.join(thread));
}

/// One after the other: the kernel connects, the node accepts, both close.
fn connect() {
    let mut config = link::config();
    config.publish = vec!["0:80".parse().unwrap()];
    let mut link = Link::new(config);
    let at: SocketAddr = link.net.published()[0].host;
    let listener = link.listen(80, at.ip());
    let began = Instant::now();
    let thread = std::thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            let mut socket = TcpStream::connect(at).unwrap();
            socket.write_all(b"x").unwrap();
            socket.read_exact(&mut [0]).unwrap();
        }
    });
    for _ in 0..CONNECTIONS {
        let id = link.accept(listener);
        serve_echo(&mut link, id);
    }
    link.join(thread);
    let each = began.elapsed().as_secs_f64() / CONNECTIONS as f64 * 1e6;
    println!("connect, echo a byte, close: {each:.0} us each");
}
