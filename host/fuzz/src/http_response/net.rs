//! A network of one server that follows a script, in virtual time. It does nothing by itself: what is due is sent
//! when time is moved on, and a request is answered as its last byte is written.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use allocation_counter::opt_out;
use nexus_services::http::{
    Caller, ConnectError, Grant, Hop, Limits, Network, Refusal, ResolveError, TlsProfile, WallClock,
};
use nexus_types::{Duration, Instant, PolicyEpoch};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::script::{Answer, End, Step};

/// Polls without the time moving, after which a run counts as one that never ends.
const POLLS: usize = 200_000;

/// What one connection has seen.
pub(super) struct Connection {
    /// All that the server sent.
    pub(super) sent: Vec<u8>,
    /// How much of it the client has read.
    read: usize,
    pub(super) end: Option<End>,
    /// What is still to be sent, and when.
    due: Vec<(Instant, Step)>,
    /// What of a request has come.
    head: Vec<u8>,
    /// Bytes of a body that belong to it and are still to come.
    body: usize,
    taken: usize,
    /// Whether the client still has it.
    pub(super) open: bool,
    reader: Option<Waker>,
}

/// A request that came, and what was sent on its connection when it did.
pub(super) struct Exchange {
    pub(super) connection: usize,
    pub(super) from: usize,
    pub(super) head: String,
}

pub(super) struct State {
    now: Instant,
    sleepers: Vec<(Instant, Waker)>,
    answers: std::vec::IntoIter<Answer>,
    window: usize,
    limits: Limits,
    pub(super) connections: Vec<Connection>,
    pub(super) exchanges: Vec<Exchange>,
}

/// The network.
#[derive(Clone)]
pub(super) struct Net(Arc<Mutex<State>>);

struct Calendar;

impl WallClock for Calendar {
    fn unix_time(&self) -> Option<Duration> {
        Some(Duration::from_secs(1_780_272_000))
    }
}

/// One profile for all runs: Mozilla's roots are many.
fn tls() -> &'static TlsProfile {
    static TLS: OnceLock<TlsProfile> = OnceLock::new();
    TLS.get_or_init(|| TlsProfile::public(Calendar).expect("this build has TLS"))
}

impl Net {
    /// A server that gives `answers` one after the other and takes `window` bytes on a connection.
    pub(super) fn new(answers: Vec<Answer>, window: usize, limits: Limits) -> Self {
        tls();
        Self(Arc::new(Mutex::new(State {
            now: Instant::ZERO,
            sleepers: Vec::new(),
            answers: answers.into_iter(),
            window,
            limits,
            connections: Vec::new(),
            exchanges: Vec::new(),
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it was held")
    }

    /// Runs a future to its end; time jumps when nothing can run.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut future = std::pin::pin!(future);
        let mut polls = 0;
        loop {
            if woken.0.swap(false, Ordering::Relaxed) {
                polls += 1;
                assert!(polls < POLLS, "this runs for ever");
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return output;
                }
            } else {
                assert!(self.jump(), "nothing can run, and nothing is due");
                polls = 0;
            }
        }
    }

    /// Lets time pass while nobody asks for anything.
    pub(super) fn pass(&self, duration: Duration) {
        let until = self.now() + duration;
        while self.state().next().is_some_and(|next| next <= until) {
            self.jump();
        }
        self.state().now = until;
    }

    /// Goes to the next moment at which something is due; false if nothing is.
    fn jump(&self) -> bool {
        let mut state = self.state();
        let Some(next) = state.next() else {
            return false;
        };
        let now = state.now.max(next);
        state.now = now;
        let due = state.sleepers.extract_if(.., |(at, _)| *at <= now);
        let mut wakers: Vec<_> = due.map(|(_, waker)| waker).collect();
        for connection in &mut state.connections {
            connection.send_due(now);
            if connection.readable() {
                wakers.extend(connection.reader.take());
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        true
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn next(&self) -> Option<Instant> {
        let sleepers = self.sleepers.iter().map(|(at, _)| *at);
        let due = self.connections.iter().filter(|connection| connection.open);
        let due = due.filter_map(|connection| connection.due.first());
        sleepers.chain(due.map(|(at, _)| *at)).min()
    }

    /// Takes what the client writes on a connection; whole requests are answered.
    fn take(&mut self, number: usize, bytes: &[u8]) {
        for byte in bytes {
            let connection = &mut self.connections[number];
            if connection.body > 0 {
                connection.body -= 1;
                continue;
            }
            connection.head.push(*byte);
            // A handshake of TLS is answered like a request, and that is the end of it.
            let shakes = connection.head == [0x16];
            if !shakes && !connection.head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let head = std::mem::take(&mut connection.head);
            let head = String::from_utf8(head).expect("a request's head is ASCII");
            let lines = head.to_ascii_lowercase();
            let length = lines
                .split_once("\r\ncontent-length: ")
                .map(|(_, rest)| rest.split_once('\r').expect("a line has an end").0);
            connection.body = match length {
                _ if shakes => usize::MAX,
                Some(length) => length.parse().expect("a length"),
                None => 0,
            };
            self.exchanges.push(Exchange {
                connection: number,
                from: connection.sent.len(),
                head,
            });
            let mut at = connection.due.last().map_or(self.now, |(at, _)| *at);
            let answer = self.answers.next().unwrap_or_default();
            for step in answer.0 {
                if let Step::Wait(wait) = step {
                    at += wait;
                } else {
                    connection.due.push((at, step));
                }
            }
            connection.send_due(self.now);
        }
    }
}

impl Connection {
    fn send_due(&mut self, now: Instant) {
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && self.end.is_none()
        {
            opt_out(|| match self.due.remove(0).1 {
                Step::Send(bytes) => self.sent.extend_from_slice(&bytes),
                Step::End(end) => self.end = Some(end),
                Step::Wait(_) => {}
            });
        }
        if self.end.is_some() {
            opt_out(|| self.due.clear());
        }
    }

    fn readable(&self) -> bool {
        self.read < self.sent.len() || self.end.is_some()
    }
}

impl Network for Net {
    type Stream = Stream;
    type Carrier = usize;

    fn carrier(stream: &Stream) -> usize {
        stream.number
    }

    fn judge(&self, _: Caller, _: Hop<'_>) -> Result<Grant, Refusal> {
        Ok(Grant {
            key: 0,
            epoch: PolicyEpoch(1),
            limits: self.state().limits,
            tls: tls().clone(),
        })
    }

    async fn resolve(
        &self,
        _: Caller,
        hop: Hop<'_>,
        _: &Grant,
    ) -> Result<SocketAddr, ResolveError> {
        Ok(SocketAddr::from(([93, 184, 216, 34], hop.url.port())))
    }

    async fn connect(
        &self,
        _: Caller,
        _: Hop<'_>,
        _: &Grant,
        _: SocketAddr,
    ) -> Result<Stream, ConnectError> {
        let mut state = self.state();
        let number = state.connections.len();
        opt_out(|| {
            state.connections.push(Connection {
                sent: Vec::new(),
                read: 0,
                end: None,
                due: Vec::new(),
                head: Vec::new(),
                body: 0,
                taken: 0,
                open: true,
                reader: None,
            });
        });
        Ok(Stream {
            net: self.clone(),
            number,
        })
    }

    fn carry(&self, _: Caller, _: Hop<'_>, _: &Grant, _: SocketAddr, _: &usize) -> bool {
        true
    }

    fn epoch(&self) -> PolicyEpoch {
        PolicyEpoch(1)
    }

    fn now(&self) -> Instant {
        self.state().now
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        let net = self.clone();
        std::future::poll_fn(move |cx| {
            let mut state = net.state();
            if state.now >= at {
                return Poll::Ready(());
            }
            opt_out(|| state.sleepers.push((at, cx.waker().clone())));
            Poll::Pending
        })
    }
}

/// The client's end of a connection.
pub(super) struct Stream {
    net: Net,
    number: usize,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = &mut self.net.state().connections[self.number];
        let rest = &connection.sent[connection.read..];
        if !rest.is_empty() {
            let bytes = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..bytes]);
            connection.read += bytes;
            return Poll::Ready(Ok(()));
        }
        match connection.end {
            None => {
                connection.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(End::Close) => Poll::Ready(Ok(())),
            Some(End::Reset) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let connection = &mut state.connections[self.number];
        if connection.end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = state.window - state.connections[self.number].taken;
        if room == 0 {
            // Nobody is woken: a server that takes no more.
            return Poll::Pending;
        }
        let bytes = &bytes[..bytes.len().min(room)];
        state.connections[self.number].taken += bytes.len();
        opt_out(|| state.take(self.number, bytes));
        let connection = &mut state.connections[self.number];
        let waker = if connection.readable() {
            connection.reader.take()
        } else {
            None
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let connection = &mut self.net.state().connections[self.number];
        connection.open = false;
        opt_out(|| connection.due.clear());
    }
}
