//! smoltcp as it comes: two interfaces, one socket set each, frames swapped through two queues.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant as Clock;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{self, CongestionControl};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

use crate::pair::Setting;

/// Frames one way, and the buffers they are made of (each with the length of its frame, so that no byte is
/// zeroed twice).
#[derive(Default)]
struct Queue {
    frames: VecDeque<(Vec<u8>, usize)>,
    spare: Vec<Vec<u8>>,
    count: u64,
}

struct End {
    inbound: Rc<RefCell<Queue>>,
    outbound: Rc<RefCell<Queue>>,
    mtu: usize,
    checksums: bool,
}

struct Received {
    frame: Vec<u8>,
    len: usize,
    queue: Rc<RefCell<Queue>>,
}

struct Room {
    queue: Rc<RefCell<Queue>>,
    mtu: usize,
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        let result = f(&self.frame[..self.len]);
        self.queue.borrow_mut().spare.push(self.frame);
        result
    }
}

impl TxToken for Room {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let spare = self.queue.borrow_mut().spare.pop();
        let mut frame = spare.unwrap_or_else(|| vec![0; self.mtu]);
        let result = f(&mut frame[..len]);
        let mut queue = self.queue.borrow_mut();
        queue.frames.push_back((frame, len));
        queue.count += 1;
        result
    }
}

impl Device for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room;

    fn receive(&mut self, _: Instant) -> Option<(Received, Room)> {
        let (frame, len) = self.inbound.borrow_mut().frames.pop_front()?;
        let room = self.transmit(Instant::ZERO)?;
        Some((
            Received {
                frame,
                len,
                queue: self.inbound.clone(),
            },
            room,
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room> {
        Some(Room {
            queue: self.outbound.clone(),
            mtu: self.mtu,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        if !self.checksums {
            capabilities.checksum = ChecksumCapabilities::ignored();
        }
        capabilities
    }
}

struct Host {
    interface: Interface,
    device: End,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Host {
    fn new(number: u8, mut device: End, buffer: usize) -> Self {
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let cidr = IpCidr::new(IpAddress::v4(10, 0, 0, number), 24);
            addresses.push(cidr).expect("room for one address");
        });
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; buffer]),
            tcp::SocketBuffer::new(vec![0; buffer]),
        );
        socket.set_congestion_control(CongestionControl::None);
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Self {
            interface,
            device,
            sockets,
            handle,
        }
    }

    fn poll(&mut self, now: Instant) {
        self.interface
            .poll(now, &mut self.device, &mut self.sockets);
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

/// A connection from `a` to `b`.
pub(crate) struct Bare {
    a: Host,
    b: Host,
    queues: [Rc<RefCell<Queue>>; 2],
    begun: Clock,
    chunk: Vec<u8>,
    buf: Vec<u8>,
}

impl Bare {
    pub(crate) fn new(setting: Setting) -> Self {
        let queues = [
            Rc::new(RefCell::new(Queue::default())),
            Rc::new(RefCell::new(Queue::default())),
        ];
        let end = |inbound: usize| End {
            inbound: queues[inbound].clone(),
            outbound: queues[1 - inbound].clone(),
            mtu: setting.mtu,
            checksums: setting.checksums,
        };
        let mut a = Host::new(1, end(0), setting.buffer);
        let mut b = Host::new(2, end(1), setting.buffer);
        b.socket().listen(80).expect("a fresh socket listens");
        let Host {
            interface,
            sockets,
            handle,
            ..
        } = &mut a;
        sockets
            .get_mut::<tcp::Socket>(*handle)
            .connect(
                interface.context(),
                (IpAddress::v4(10, 0, 0, 2), 80),
                50_000,
            )
            .expect("a fresh socket connects");
        for _ in 0..4 {
            a.poll(Instant::ZERO);
            b.poll(Instant::ZERO);
        }
        assert!(a.socket().may_send() && b.socket().may_recv());
        Self {
            a,
            b,
            queues,
            begun: Clock::now(),
            chunk: vec![7; 64 << 10],
            buf: vec![0; 64 << 10],
        }
    }

    /// Moves `bytes` from `a` to `b`; says how many packets that took, both ways.
    pub(crate) fn bulk(&mut self, bytes: usize) -> u64 {
        let count = |queues: &[Rc<RefCell<Queue>>; 2]| {
            queues.iter().map(|queue| queue.borrow().count).sum::<u64>()
        };
        let before = count(&self.queues);
        let (mut received, mut written) = (0, 0);
        while received < bytes {
            let now = Instant::from_micros(self.begun.elapsed().as_micros() as i64);
            while written < bytes {
                let chunk = &self.chunk[..self.chunk.len().min(bytes - written)];
                match self.a.socket().send_slice(chunk) {
                    Ok(queued @ 1..) => written += queued,
                    _ => break,
                }
            }
            self.a.poll(now);
            self.b.poll(now);
            while let Ok(read @ 1..) = self.b.socket().recv_slice(&mut self.buf) {
                received += read;
            }
            self.b.poll(now);
        }
        count(&self.queues) - before
    }
}
