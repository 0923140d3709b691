//! Many connections that do what they want, at once, on both ends: nothing hangs, nothing leaks,
//! no byte is changed.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::task::Poll;

use nexus_stack::{TcpId, TcpOptions};
use nexus_types::Duration;
use socket2::SockRef;

use crate::link::{APP, Link, config, echo, raise_descriptors, through_host};

const CONNECTIONS: usize = 300;
const STEPS: usize = 4_000;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What the server does is said by the first byte. Errors are the other end's will.
fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    let mut what = [0];
    socket.read_exact(&mut what)?;
    let mut part = vec![what[0]; 64 << 10];
    match what[0] {
        0 => echo_quietly(&mut socket, &mut part)?,
        1 => while socket.read(&mut part)? > 0 {},
        2 => socket.write_all(&part)?,
        3 => {
            socket.read_exact(&mut [0; 10])?;
            SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        }
        4 => loop {
            socket.write_all(&part)?;
        },
        _ => {
            socket.shutdown(Shutdown::Write)?;
            while socket.read(&mut part)? > 0 {}
        }
    }
    Ok(())
}

fn echo_quietly(socket: &mut TcpStream, part: &mut [u8]) -> std::io::Result<()> {
    loop {
        match socket.read(part)? {
            0 => return socket.shutdown(Shutdown::Write),
            bytes => socket.write_all(&part[..bytes])?,
        }
    }
}

struct Client {
    id: Option<TcpId>,
    what: u8,
    greeted: bool,
    finished: bool,
}

impl Client {
    /// One act. Every byte there is on this connection is `what`.
    fn act(&mut self, link: &mut Link, dice: &mut Dice, part: &mut [u8]) {
        let Some(id) = self.id else { return };
        let (now, node) = (link.now(), &mut link.node);
        let waker = std::task::Waker::noop();
        let data = vec![self.what; 1 + dice.below(100_000) as usize];
        match dice.below(100) {
            _ if !self.greeted => {
                self.greeted = node.poll_write(now, id, &[self.what], waker).is_ready();
            }
            0..45 if !self.finished => drop(node.poll_write(now, id, &data, waker)),
            0..90 => {
                let most = 1 + dice.below(part.len() as u64) as usize;
                if let Poll::Ready(Ok(bytes)) = node.poll_read(now, id, &mut part[..most], waker) {
                    assert!(part[..bytes].iter().all(|byte| *byte == self.what));
                }
            }
            90..94 => self.finished = node.tcp_finish(now, id).is_ok(),
            94 => node.tcp_abort(now, self.id.take().unwrap()),
            95 => node.tcp_close(now, self.id.take().unwrap()),
            _ => {}
        }
    }
}

#[test]
fn connections_that_do_what_they_want_leave_nothing_behind() {
    raise_descriptors();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).listen(4_096).unwrap();
    let address = through_host(listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (socket, _) = listener.accept().unwrap();
                std::thread::spawn(move || drop(serve(socket)))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let mut link = Link::new(config());
    let mut dice = Dice(4);
    let mut clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let now = link.now();
            let id = link
                .node
                .tcp_connect(now, APP, None, address, &TcpOptions::default())
                .unwrap();
            Client {
                id: Some(id),
                what: (number % 6) as u8,
                greeted: false,
                finished: false,
            }
        })
        .collect();
    for client in &clients {
        let id = client.id.unwrap();
        link.until(|node, _, waker| node.poll_connected(id, waker))
            .unwrap();
    }
    let mut part = vec![0; 64 << 10];
    for _ in 0..STEPS {
        let chosen = dice.below(CONNECTIONS as u64) as usize;
        clients[chosen].act(&mut link, &mut dice, &mut part);
        if dice.below(8) == 0 {
            link.until(|_, _, _| Poll::Ready(()));
        }
    }
    let now = link.now();
    for client in &mut clients {
        if let Some(id) = client.id.take() {
            link.node.tcp_close(now, id);
        }
    }
    link.join(server);
    link.until_idle();
}

/// The echo of the other tests, with a node that is full both ways most of the time.
#[test]
fn an_echo_that_is_full_both_ways_goes_on() {
    const BYTES: usize = 64 << 20;
    let (address, thread) = crate::link::server("127.0.0.1:0", echo);
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    let mut dice = Dice(5);
    let data = vec![7; 256 << 10];
    let mut part = vec![0; 256 << 10];
    let (mut sent, mut received) = (0, 0);
    link.until(|node, now, waker| {
        if sent < BYTES
            && let Poll::Ready(bytes) = {
                let most = data.len().min(BYTES - sent);
                node.poll_write(now, id, &data[..most], waker)
            }
        {
            sent += bytes.unwrap();
            if sent == BYTES {
                node.tcp_finish(now, id).unwrap();
            }
        }
        let most = 1 + dice.below(part.len() as u64) as usize;
        match node.poll_read(now, id, &mut part[..most], waker) {
            Poll::Ready(Ok(0)) => return Poll::Ready(()),
            Poll::Ready(bytes) => received += bytes.unwrap(),
            Poll::Pending => {}
        }
        Poll::Pending
    });
    assert_eq!((sent, received), (BYTES, BYTES));
    link.join(thread);
}
