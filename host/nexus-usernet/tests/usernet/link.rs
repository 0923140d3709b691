//! A node and its NIC, driven as a shard drives them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;

use mio::{Events, Token};
use nexus_stack::{
    Checksums, Config as StackConfig, Congestion, ResolverConfig, Scope, Stack, TcpError, TcpId,
    TcpOptions,
};
use nexus_types::{Duration, Instant, IpAddr, Seed, SocketAddr};
use nexus_usernet::{ADDRESSES, Config, MTU, Resolvers, UserNet, UserNetError};
use sha2::{Digest, Sha256};

/// The one app of the node.
pub(crate) const APP: Scope = Scope(1);

/// What is not done by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Link {
    pub(crate) node: Stack,
    pub(crate) net: UserNet,
    poll: mio::Poll,
    events: Events,
    start: std::time::Instant,
    /// Added to the clock: time that the test lets pass.
    skipped: Duration,
}

/// A configuration that asks nobody outside.
pub(crate) fn config() -> Config {
    Config {
        resolvers: Resolvers::Fixed(Vec::new()),
        ..Config::default()
    }
}

impl Link {
    pub(crate) fn new(config: Config) -> Self {
        Self::try_new(config).unwrap()
    }

    pub(crate) fn try_new(config: Config) -> Result<Self, UserNetError> {
        let poll = mio::Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let seed = Seed::from_number(7);
        let net = UserNet::new(config, registry, Token(1 << 32), Instant::ZERO, seed)?;
        let mut node = StackConfig::new(MTU, ADDRESSES.node_interface());
        node.checksums = Checksums::None;
        node.tcp.congestion = Congestion::None;
        node.tcp.ack_delay = None;
        node.resolver = ResolverConfig {
            servers: ADDRESSES.resolvers(),
            hosts: ADDRESSES.hosts(),
        };
        Ok(Self {
            node: Stack::new(node, Instant::ZERO, Seed::from_number(8)).unwrap(),
            net,
            poll,
            events: Events::with_capacity(256),
            start: std::time::Instant::now(),
            skipped: Duration::ZERO,
        })
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed() + self.skipped
    }

    /// Time passes at once.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.skipped += time;
        self.step();
    }

    /// Moves frames until both ends are quiet. Whether any was moved.
    pub(crate) fn step(&mut self) -> bool {
        let mut moved = false;
        loop {
            let now = self.now();
            if self.node.poll_timeout().is_some_and(|at| at <= now) {
                self.node.handle_timeout(now);
            }
            if self.net.poll_timeout().is_some_and(|at| at <= now) {
                self.net.handle_timeout(now);
            }
            let mut quiet = true;
            while let Some(frame) = self.node.poll_transmit(now) {
                self.net.handle_frame(now, &frame);
                self.node.recycle(frame);
                quiet = false;
            }
            while let Some(frame) = self.net.poll_transmit(now) {
                self.node.handle_frame(now, &frame);
                self.net.recycle(frame);
                quiet = false;
            }
            if quiet {
                return moved;
            }
            moved = true;
        }
    }

    /// Waits for the kernel or a timer, a moment at most.
    fn wait(&mut self) {
        let now = self.now();
        let due = [self.node.poll_timeout(), self.net.poll_timeout()];
        let timeout = due.into_iter().flatten().min().map(|at| at - now);
        let most = Duration::from_millis(20);
        let timeout = timeout.map_or(most, |time| time.min(most));
        self.poll.poll(&mut self.events, Some(timeout)).unwrap();
        for event in &self.events {
            self.net.handle_event(event);
        }
    }

    /// Drives both ends until `act` is ready. `act` is tried again whenever something moved.
    pub(crate) fn until<T>(
        &mut self,
        mut act: impl FnMut(&mut Stack, Instant, &Waker) -> Poll<T>,
    ) -> T {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            self.step();
            let now = self.now();
            if let Poll::Ready(value) = act(&mut self.node, now, Waker::noop()) {
                self.step();
                return value;
            }
            if !self.step() {
                self.wait();
            }
            assert!(
                std::time::Instant::now() < end,
                "nothing more happens: {:?}, {:?}",
                self.net,
                self.node.stats()
            );
        }
    }

    /// Drives both ends until no connection is left anywhere, TIME-WAIT apart.
    pub(crate) fn until_idle(&mut self) {
        let end = std::time::Instant::now() + PATIENCE;
        while self.net.stats().tcp_flows > 0
            || self.net.stack_stats().flows > 0
            || self.node.stats().flows > 0
        {
            if !self.step() {
                self.wait();
            }
            assert!(std::time::Instant::now() < end, "a leak: {:?}", self.net);
        }
        assert_eq!(self.net.undelivered(), 0);
    }

    /// Drives both ends until the other thread is done.
    pub(crate) fn join<T>(&mut self, thread: JoinHandle<T>) -> T {
        self.until(|_, _, _| {
            if thread.is_finished() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        thread.join().unwrap()
    }

    pub(crate) fn connect(&mut self, to: SocketAddr) -> Result<TcpId, TcpError> {
        let now = self.now();
        let id = self
            .node
            .tcp_connect(now, APP, None, to, &TcpOptions::default())
            .unwrap();
        self.until(|node, _, waker| node.poll_connected(id, waker))
            .map(|()| id)
    }

    /// Listens at the node, on every address of the family of `like`.
    pub(crate) fn listen(&mut self, port: u16, like: IpAddr) -> nexus_stack::ListenerId {
        let any = if like.is_ipv4() { "0.0.0.0" } else { "::" };
        let local = SocketAddr::new(any.parse().unwrap(), port);
        let now = self.now();
        self.node
            .tcp_listen(now, APP, local, 128, &TcpOptions::default())
            .unwrap()
    }

    pub(crate) fn accept(&mut self, listener: nexus_stack::ListenerId) -> TcpId {
        self.until(|node, now, waker| node.poll_accept(now, listener, waker))
            .unwrap()
    }

    pub(crate) fn write(&mut self, id: TcpId, mut data: &[u8]) -> Result<(), TcpError> {
        self.until(|node, now, waker| {
            while !data.is_empty() {
                match node.poll_write(now, id, data, waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(bytes)) => data = &data[bytes..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    pub(crate) fn finish(&mut self, id: TcpId) {
        let now = self.now();
        self.node.tcp_finish(now, id).unwrap();
        self.step();
    }

    /// Reads to the end.
    pub(crate) fn read_to_end(&mut self, id: TcpId) -> Result<Vec<u8>, TcpError> {
        let mut all = Vec::new();
        let mut part = vec![0; 64 << 10];
        self.until(|node, now, waker| {
            loop {
                match node.poll_read(now, id, &mut part, waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(bytes)) => all.extend_from_slice(&part[..bytes]),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
        })?;
        Ok(all)
    }

    pub(crate) fn read_exact(&mut self, id: TcpId, bytes: usize) -> Result<Vec<u8>, TcpError> {
        let mut all = vec![0; bytes];
        let mut have = 0;
        self.until(|node, now, waker| {
            while have < bytes {
                match node.poll_read(now, id, &mut all[have..], waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(TcpError::Closed)),
                    Poll::Ready(Ok(more)) => have += more,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok(()))
        })?;
        Ok(all)
    }
}

/// The host as the node dials it, in the family of `server`.
pub(crate) fn through_host(server: SocketAddr) -> SocketAddr {
    let host: IpAddr = if server.is_ipv4() {
        ADDRESSES.host.0.into()
    } else {
        ADDRESSES.host.1.into()
    };
    SocketAddr::new(host, server.port())
}

/// The loopback addresses servers listen on.
pub(crate) const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// A server that runs `serve` on its first connection, and the address the node dials.
pub(crate) fn server<T: Send + 'static>(
    on: &str,
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind(on).unwrap();
    let address = through_host(listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    (address, thread)
}

/// Sends back what comes, until the end; passes the end on.
pub(crate) fn echo(mut socket: TcpStream) {
    let mut part = vec![0; 64 << 10];
    loop {
        match socket.read(&mut part).unwrap() {
            0 => break,
            bytes => socket.write_all(&part[..bytes]).unwrap(),
        }
    }
    socket.shutdown(Shutdown::Write).unwrap();
}

/// Bytes that tell where they are from.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut data = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        data.extend_from_slice(&(state ^ (state >> 31)).to_le_bytes());
    }
    data.truncate(bytes);
    data
}

pub(crate) fn digest(data: &[u8]) -> String {
    format!("{:x}", Sha256::digest(data))
}

/// Lets this process have as many file descriptors as it may.
pub(crate) fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
