//! A network without a network: names with addresses, and scripts behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use nexus_services::http::{
    Caller, ConnectError, Grant, Hop, Host, Limits, Network, Refusal, ResolveError, TlsProfile,
    WallClock,
};
use nexus_types::{Duration, Instant, PolicyEpoch, Reason, Why};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::Script;

type Server = Arc<dyn Fn(Stream) -> Script + Send + Sync>;

/// What a test sets, and what happened.
pub(crate) struct State {
    now: Instant,
    sleepers: Vec<(Instant, Waker)>,
    server: Option<Server>,
    accepted: Vec<Script>,
    cuts: Vec<Cut>,
    /// Which hosts are judged with a no, and why.
    pub(crate) refused: BTreeMap<String, Reason>,
    /// Hops that were judged: index, method, and the URL's origin and path.
    pub(crate) judged: Vec<String>,
    /// Names that were looked up.
    pub(crate) resolved: Vec<String>,
    /// Addresses that were dialled.
    pub(crate) dialled: Vec<SocketAddr>,
    /// Streams that were to carry another request, and the path of that.
    pub(crate) carried: Vec<(usize, String)>,
    /// Whether none of them may.
    pub(crate) carries_none: bool,
    pub(crate) epoch: u64,
    /// Raises the epoch when a connection is opened, this many times.
    pub(crate) changes: u64,
    pub(crate) limits: Limits,
    pub(crate) tls: TlsProfile,
    /// Grant keys by host; 0 where none is said.
    pub(crate) keys: BTreeMap<String, u64>,
    /// How resolving goes, if not well.
    pub(crate) resolve_fails: Option<ResolveError>,
    /// How connecting goes, if not well; the number says how often.
    pub(crate) connect_fails: Option<(ConnectError, u32)>,
    /// Phases that never end.
    pub(crate) silent: BTreeSet<&'static str>,
    /// Whether a server runs before whoever dialled it knows that it did.
    pub(crate) connect_late: bool,
    /// Bytes a stream holds before it takes no more.
    pub(crate) window: usize,
}

/// The network of a test.
pub(crate) struct Fake(Arc<Mutex<State>>);

/// 2026-06-01, when the certificates of the tests are valid.
pub(crate) const TODAY: u64 = 1_780_272_000;

/// A wall clock that stands.
pub(crate) struct Calendar(pub(crate) u64);

impl WallClock for Calendar {
    fn unix_time(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.0))
    }
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Instant::ZERO,
            sleepers: Vec::new(),
            server: None,
            accepted: Vec::new(),
            cuts: Vec::new(),
            refused: BTreeMap::new(),
            judged: Vec::new(),
            resolved: Vec::new(),
            dialled: Vec::new(),
            carried: Vec::new(),
            carries_none: false,
            epoch: 1,
            changes: 0,
            limits: Limits::default(),
            tls: TlsProfile::public(Calendar(TODAY)).unwrap(),
            keys: BTreeMap::new(),
            resolve_fails: None,
            connect_fails: None,
            silent: BTreeSet::new(),
            connect_late: false,
            window: 64 << 10,
        })))
    }

    /// Looks at or sets what there is.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What whoever is dialled does.
    pub(crate) fn serve(&self, server: impl Fn(Stream) -> Script + Send + Sync + 'static) {
        self.with(|state| state.server = Some(Arc::new(server)));
    }

    /// Servers that were dialled and have not begun.
    pub(crate) fn accepted(&self) -> Vec<Script> {
        self.with(|state| std::mem::take(&mut state.accepted))
    }

    /// Every stream fails from now on, as `kind` says.
    pub(crate) fn cut(&self, kind: io::ErrorKind) {
        for cut in self.with(|state| state.cuts.clone()) {
            let mut cut = cut.lock().unwrap();
            cut.0 = Some(kind);
            if let Some(waker) = cut.1.take() {
                waker.wake();
            }
        }
    }

    pub(crate) fn time(&self) -> Instant {
        self.with(|state| state.now)
    }

    /// Goes to the next alarm; false if there is none.
    pub(crate) fn jump(&self) -> bool {
        self.with(|state| {
            let Some(next) = state.sleepers.iter().map(|(at, _)| *at).min() else {
                return false;
            };
            state.now = state.now.max(next);
            let due = state.sleepers.extract_if(.., |(at, _)| *at <= next);
            due.for_each(|(_, waker)| waker.wake());
            true
        })
    }

    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + use<> {
        alarm(self.0.clone(), self.time() + duration)
    }

    async fn never_if_silent(&self, phase: &'static str) {
        if self.with(|state| state.silent.contains(phase)) {
            std::future::pending::<()>().await;
        }
    }
}

/// The address of a name: its own, unless it is an address.
pub(crate) fn address(host: &Host) -> IpAddr {
    match host {
        Host::Address(address) => *address,
        Host::Name(name) => {
            let sum = name
                .as_str()
                .bytes()
                .fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
            IpAddr::from([93, 184, 216, sum])
        }
    }
}

impl Network for Fake {
    type Stream = Stream;
    /// Its number, in the order they were dialled.
    type Carrier = usize;

    fn carrier(stream: &Stream) -> usize {
        stream.number
    }

    fn judge(&self, _: Caller, hop: Hop<'_>) -> Result<Grant, Refusal> {
        self.with(|state| {
            let host = hop.url.host().to_string();
            state.judged.push(format!(
                "{} {} {}://{host}:{}{}",
                hop.index,
                hop.method.as_str(),
                hop.url.scheme().as_str(),
                hop.url.port(),
                hop.url.path()
            ));
            if let Some(reason) = state.refused.get(&host) {
                return Err(Refusal {
                    reason: *reason,
                    why: Why::new("refused by the test"),
                });
            }
            Ok(Grant {
                key: state.keys.get(&host).copied().unwrap_or(0),
                epoch: PolicyEpoch(state.epoch),
                limits: state.limits,
                tls: state.tls.clone(),
            })
        })
    }

    async fn resolve(
        &self,
        _: Caller,
        hop: Hop<'_>,
        _: &Grant,
    ) -> Result<SocketAddr, ResolveError> {
        self.never_if_silent("resolve").await;
        self.with(|state| {
            if let Host::Name(name) = hop.url.host() {
                state.resolved.push(name.to_string());
            }
            match &state.resolve_fails {
                Some(error) => Err(error.clone()),
                None => Ok(SocketAddr::new(address(hop.url.host()), hop.url.port())),
            }
        })
    }

    async fn connect(
        &self,
        _: Caller,
        _: Hop<'_>,
        _: &Grant,
        address: SocketAddr,
    ) -> Result<Stream, ConnectError> {
        self.never_if_silent("connect").await;
        let stream = self.with(|state| {
            state.dialled.push(address);
            if state.changes > 0 {
                state.changes -= 1;
                state.epoch += 1;
            }
            if let Some((error, times)) = &mut state.connect_fails
                && *times > 0
            {
                *times -= 1;
                return Err(error.clone());
            }
            let server = state.server.clone().ok_or(ConnectError::Rejected)?;
            let (ours, theirs) = tokio::io::duplex(state.window);
            let ours = Stream::new(ours, state.cuts.len());
            state.cuts.push(ours.cut.clone());
            state.accepted.push(server(Stream::new(theirs, usize::MAX)));
            Ok(ours)
        })?;
        if self.with(|state| state.connect_late) {
            self.sleep(Duration::from_millis(1)).await;
        }
        Ok(stream)
    }

    fn carry(&self, _: Caller, hop: Hop<'_>, _: &Grant, _: SocketAddr, carrier: &usize) -> bool {
        self.with(|state| {
            state.carried.push((*carrier, hop.url.path().to_owned()));
            !state.carries_none
        })
    }

    fn epoch(&self) -> PolicyEpoch {
        PolicyEpoch(self.with(|state| state.epoch))
    }

    fn now(&self) -> Instant {
        self.time()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        alarm(self.0.clone(), at)
    }
}

async fn alarm(state: Arc<Mutex<State>>, at: Instant) {
    poll_fn(|cx| {
        let mut state = state.lock().unwrap();
        if state.now >= at {
            return Poll::Ready(());
        }
        state.sleepers.push((at, cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

type Cut = Arc<Mutex<(Option<io::ErrorKind>, Option<Waker>)>>;

/// A stream that can be cut.
pub(crate) struct Stream {
    inner: DuplexStream,
    cut: Cut,
    number: usize,
}

impl Stream {
    fn new(inner: DuplexStream, number: usize) -> Self {
        Self {
            inner,
            number,
            cut: Cut::default(),
        }
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut cut = self.cut.lock().unwrap();
        cut.1 = Some(cx.waker().clone());
        cut.0.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
