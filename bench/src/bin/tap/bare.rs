//! smoltcp alone on the TAP interface: one interface, one socket, one loop. What it reads it counts
//! where it is; what it writes it copies from a buffer of 64 KiB. Frames are read and written by one
//! system call each, into buffers that are used again (smoltcp's own `TunTapInterface` takes a new
//! one from the allocator for every frame, and is slower for it).

use std::os::fd::{AsFd as _, BorrowedFd};

use nexus_nic::{Config, Mac, Nic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{read, write};
use smoltcp::iface::{self, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use crate::{FAR, Failure, INTERFACE, KERNEL, PORT};

/// Receive and send buffer; as large as the host's on a wire.
const BUFFER: usize = 64 << 10;

const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 2]);

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [way, bytes, mtu] = arguments else {
        return Err("bare WAY BYTES MTU".into());
    };
    let (bytes, mtu) = (bytes.parse::<u64>()?, mtu.parse::<usize>()?);
    let nic = Nic::open(&Config {
        target: format!("tap:{INTERFACE}").parse()?,
        mac: MAC,
        offload: false,
        least_mtu: 576,
    })?;
    let mut device = Tap {
        fd: nic.as_fd(),
        mtu,
        received: vec![0; 14 + mtu],
        sent: vec![0; 14 + mtu],
    };
    let address = EthernetAddress(MAC.bytes());
    let mut config = iface::Config::new(address.into());
    config.random_seed = u64::from(std::process::id());
    let mut interface = Interface::new(config, &mut device, Instant::now());
    interface.update_ip_addrs(|addresses| {
        let far: std::net::Ipv4Addr = FAR.parse().unwrap_or(std::net::Ipv4Addr::UNSPECIFIED);
        // One address fits any capacity smoltcp can be built with.
        let _ = addresses.push(IpCidr::new(IpAddress::from(far), 24));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let handle = sockets.add(Socket::new(buffer(), buffer()));
    let socket = sockets.get_mut::<Socket<'_>>(handle);
    let mut app = if way == "in" {
        socket.listen(PORT)?;
        App::new(Vec::new(), 9)
    } else {
        let kernel: std::net::Ipv4Addr = KERNEL.parse()?;
        socket.connect(interface.context(), (kernel, PORT), 50_000)?;
        let mut hello = vec![b'T'];
        hello.extend_from_slice(&bytes.to_be_bytes());
        App::new(hello, 8)
    };
    let payload = vec![0x5a; 64 << 10];
    loop {
        interface.poll(Instant::now(), &mut device, &mut sockets);
        let socket = sockets.get_mut::<Socket<'_>>(handle);
        let moved = if way == "in" {
            app.count(socket, bytes)?
        } else {
            app.pour(socket, bytes, &payload)?
        };
        if app.done && matches!(socket.state(), State::Closed | State::TimeWait) {
            return Ok(());
        }
        if !moved {
            wait(&device, interface.poll_delay(Instant::now(), &sockets))?;
        }
    }
}

/// Both ends of the protocol of `components/burst`.
struct App {
    /// What is to be said first, or at the end.
    words: Vec<u8>,
    /// What is to be heard: a hello, or an answer.
    heard: Vec<u8>,
    expected: usize,
    moved: u64,
    done: bool,
}

impl App {
    fn new(words: Vec<u8>, expected: usize) -> Self {
        Self {
            words,
            heard: Vec::new(),
            expected,
            moved: 0,
            done: false,
        }
    }

    /// Takes all there is, counts, and answers the count. Whether anything moved.
    fn count(&mut self, socket: &mut Socket<'_>, bytes: u64) -> Result<bool, Failure> {
        let mut any = false;
        while socket.can_recv() {
            any = true;
            let missing = self.expected - self.heard.len();
            if missing > 0 {
                let heard = &mut self.heard;
                socket.recv(|part| {
                    let taken = part.len().min(missing);
                    heard.extend_from_slice(&part[..taken]);
                    (taken, ())
                })?;
            } else {
                self.moved += socket.recv(|part| (part.len(), part.len()))? as u64;
            }
        }
        if self.moved >= bytes && !self.done {
            socket.send_slice(&self.moved.to_be_bytes())?;
            socket.close();
            (self.done, any) = (true, true);
        }
        Ok(any)
    }

    /// Sends until the buffer is full, and waits for the count. Whether anything moved.
    fn pour(
        &mut self,
        socket: &mut Socket<'_>,
        bytes: u64,
        payload: &[u8],
    ) -> Result<bool, Failure> {
        let mut any = false;
        while socket.can_send() && !self.done {
            if !self.words.is_empty() {
                let sent = socket.send_slice(&self.words)?;
                self.words.drain(..sent);
            } else if self.moved < bytes {
                let rest = (bytes - self.moved).min(payload.len() as u64) as usize;
                self.moved += socket.send_slice(&payload[..rest])? as u64;
            } else {
                break;
            }
            any = true;
        }
        while socket.can_recv() {
            let heard = &mut self.heard;
            socket.recv(|part| (part.len(), heard.extend_from_slice(part)))?;
            any = true;
        }
        if self.heard.len() >= self.expected && !self.done {
            if self.heard != bytes.to_be_bytes() {
                return Err("the kernel counted other bytes".into());
            }
            socket.close();
            (self.done, any) = (true, true);
        }
        Ok(any)
    }
}

fn wait(device: &Tap<'_>, delay: Option<Duration>) -> Result<(), Failure> {
    let delay = delay.map(|delay| Timespec {
        tv_sec: delay.secs() as i64,
        tv_nsec: (delay.micros() * 1_000) as i64,
    });
    poll(
        &mut [PollFd::new(&device.fd, PollFlags::IN)],
        delay.as_ref(),
    )?;
    Ok(())
}

struct Tap<'a> {
    fd: BorrowedFd<'a>,
    mtu: usize,
    received: Vec<u8>,
    sent: Vec<u8>,
}

impl Device for Tap<'_> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Room<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        let len = read(self.fd, &mut self.received[..]).ok()?;
        let room = Room {
            fd: self.fd,
            frame: &mut self.sent,
        };
        Some((Received(&self.received[..len]), room))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        Some(Room {
            fd: self.fd,
            frame: &mut self.sent,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 14 + self.mtu;
        capabilities
    }
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Room<'a> {
    fd: BorrowedFd<'a>,
    frame: &'a mut Vec<u8>,
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let result = f(&mut self.frame[..len]);
        // What the kernel has no room for is lost, as on a wire.
        let _ = write(self.fd, &self.frame[..len]);
        result
    }
}
