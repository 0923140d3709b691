//! Serves an app that exports `wasi:http` 0.2 `incoming-handler` or 0.3 `handler`.
//!
//! ```text
//! listener -> connection (hyper, bounds) -> pool (which instance) -> worker (one instance, its limits)
//!                  ^------------- answer: head, then body ----------------'
//! ```
//! Each connection and each instance is a task of the shard; no other thread is involved, and nothing waits for a
//! lock. wasmtime-wasi-http's own `ProxyHandler` spawns tokio tasks and reads the machine's clock, so the loop here is
//! ours (DESIGN section 5); its resources and bodies are used as they are.

mod access;
mod app;
mod body;
mod connection;
mod date;
mod exchange;
mod head;
mod listener;
mod outlet;
mod pool;
mod stack;
mod timer;
mod tls;
mod worker;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{Either, Shared, select};
use http::HeaderMap;
use nexus_caps::Shard;
use nexus_types::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::server::TlsStream;

use crate::driver::Spawner;
use crate::runtime::clocks::WallClock;
use crate::runtime::stdio::Stdout;

pub use access::{AccessLog, Format};
pub use app::{App, Handler, Servable, Totals};
pub use listener::{BreakOff, Listener};
pub use stack::StackListener;
pub use tls::{Tls, TlsError};

use date::Dates;
use pool::Pool;

/// What may be in flight at once, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// One request from its head to the last byte of its response, and what its app does after that.
    pub deadline: Duration,
    /// Most bytes of a request's body.
    pub body_bytes: u64,
    /// Requests in flight, of all connections.
    pub requests: usize,
    /// Connections, of all listeners.
    pub connections: usize,
    /// How many requests an instance serves before it makes way for a fresh one.
    pub reuse: u32,
    /// How many of them at once.
    pub concurrent: u32,
}

impl Settings {
    /// The defaults for an app of this version of `wasi:http`.
    pub fn for_handler(handler: Handler) -> Self {
        let (reuse, concurrent) = match handler {
            // What an app of 0.2 keeps between requests was never meant to be kept: most toolchains assume a
            // fresh instance each.
            Handler::P2 => (1, 1),
            Handler::P3 => (limits::SERVE_REUSE, limits::SERVE_CONCURRENT as u32),
        };
        Self {
            deadline: Duration::from_micros(limits::SERVE_DEADLINE_MICROS),
            body_bytes: limits::SERVE_BODY_BYTES,
            requests: limits::SERVE_REQUESTS,
            connections: limits::SERVE_CONNECTIONS,
            reuse,
            concurrent,
        }
    }

    /// With no more time for a request than this, if that is said.
    pub fn within(mut self, most: Option<Duration>) -> Self {
        self.deadline = most.map_or(self.deadline, |most| self.deadline.min(most));
        self
    }
}

/// What was served.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Served {
    /// Requests that were answered, by the app or for it.
    pub requests: u64,
    /// Those answered with a status of 500 or more, or not to their end.
    pub failed: u64,
    /// Connections that came.
    pub connections: u64,
    /// Instances that were started.
    pub instances: u64,
    /// Requests that were still in flight when the grace period was over.
    pub cut: usize,
    /// Lines of the access log that nobody took.
    pub lines_dropped: u64,
}

/// One app being served, on any number of listeners.
#[derive(Clone)]
pub struct Server(Rc<Inner>);

struct Inner {
    shard: Shard,
    spawner: Spawner,
    settings: Settings,
    http: hyper::server::conn::http1::Builder,
    /// None: hyper dates responses.
    dates: Option<Dates>,
    pool: Rc<Pool>,
    access: AccessLog,
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    drain: RefCell<Option<oneshot::Sender<()>>>,
    draining: Shared<oneshot::Receiver<()>>,
    served: Cell<Served>,
}

impl Server {
    /// Serves `app`; what it does wrong is told under this name, to this output, if anywhere.
    pub fn new(
        app: App,
        settings: Settings,
        spawner: Spawner,
        access: AccessLog,
        told: (String, Option<Stdout>),
    ) -> Self {
        let shard = app.shard().clone();
        // One task looks after the requests of all instances, whichever of them is at work.
        let client = Arc::downgrade(app.client());
        spawner.spawn(std::future::poll_fn(move |cx| match client.upgrade() {
            Some(client) => {
                client.poll(cx);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }));
        let (drain, draining) = oneshot::channel();
        let dates = match app.wall() {
            WallClock::Os => None,
            WallClock::Virtual(_) => Some(Dates::default()),
        };
        let mut http = connection::builder(&shard);
        http.auto_date_header(dates.is_none());
        Self(Rc::new(Inner {
            http,
            dates,
            pool: Rc::new(Pool::new(app, settings, spawner.clone(), told)),
            connections: Arc::new(Semaphore::new(settings.connections)),
            requests: Arc::new(Semaphore::new(settings.requests)),
            drain: RefCell::new(Some(drain)),
            draining: draining.shared(),
            served: Cell::default(),
            shard,
            spawner,
            settings,
            access,
        }))
    }

    /// Takes connections from here until the server drains. A connection that would be one too many waits where it
    /// is: in the listener's backlog.
    pub fn listen(&self, mut listener: impl Listener, tls: Option<Tls>) {
        let server = self.clone();
        let draining = self.0.draining.clone();
        let accept = async move {
            loop {
                let Ok(room) = server.0.connections.clone().acquire_owned().await else {
                    return;
                };
                let accepted = std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
                let Ok((stream, remote)) = accepted else {
                    return;
                };
                server.count(|served| served.connections += 1);
                let local = listener.local();
                let ends = Ends {
                    local,
                    remote,
                    secure: tls.is_some(),
                };
                match tls.clone() {
                    None => {
                        let connection = connection::serve(server.clone(), stream, ends, room);
                        server.0.spawner.spawn(connection);
                    }
                    Some(tls) => {
                        let serving = server.clone();
                        server.0.spawner.spawn(async move {
                            if let Some(stream) = serving.shake_hands(&tls, stream).await {
                                connection::serve(serving, stream, ends, room).await;
                            }
                        });
                    }
                }
            }
        };
        self.0.spawner.spawn(async move {
            // Dropped while draining, the listener closes.
            select(pin!(accept), draining).await;
        });
    }

    /// Whoever begins a handshake and does not go on, or comes while we drain, is let go.
    async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tls: &Tls,
        stream: S,
    ) -> Option<TlsStream<S>> {
        let shard = &self.0.shard;
        let deadline = shard.now() + Duration::from_micros(limits::SERVE_HEAD_MICROS);
        let late = pin!(shard.sleep_until(deadline));
        let over = pin!(select(late, self.0.draining.clone()));
        match select(pin!(tls.accept(stream)), over).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => None,
        }
    }

    /// Serves until `stop` completes; then lets what is in flight end, for at most `grace`. What it came to.
    pub async fn until<S>(&self, stop: impl Future<Output = S>, grace: Duration) -> (S, Served) {
        let stopped = stop.await;
        drop(self.0.drain.borrow_mut().take());
        let all = u32::try_from(self.0.settings.connections).unwrap_or(u32::MAX);
        let over = pin!(self.0.shard.sleep_until(self.0.shard.now() + grace));
        let closed = pin!(self.0.connections.acquire_many(all));
        let in_time = matches!(select(closed, over).await, Either::Left(_));
        let mut served = self.0.served.get();
        if !in_time {
            served.cut = self.0.settings.requests - self.0.requests.available_permits();
        }
        served.instances = self.0.pool.started();
        served.lines_dropped = self.0.access.dropped();
        (stopped, served)
    }

    /// Completes, with why, when the machine lacked something that an instance needs to start: no fault of the app's.
    /// Of several calls the last is told.
    pub(crate) async fn lacks(&self) -> String {
        let (told, why) = oneshot::channel();
        self.0.pool.tell_lack(told);
        match why.await {
            Ok(why) => why,
            Err(oneshot::Canceled) => std::future::pending().await,
        }
    }

    /// What the app's instances used together.
    pub fn totals(&self) -> Totals {
        self.0.pool.app().totals()
    }

    /// Dates a response, unless hyper does.
    fn date(&self, headers: &mut HeaderMap) {
        if let Some(dates) = &self.0.dates {
            let wall = self.0.pool.app().wall();
            dates.date(headers, wall.now(&self.0.shard));
        }
    }

    fn count(&self, count: impl FnOnce(&mut Served)) {
        let mut served = self.0.served.get();
        count(&mut served);
        self.0.served.set(served);
    }
}

/// Between whom a connection is.
#[derive(Clone, Copy, Debug)]
struct Ends {
    local: SocketAddr,
    remote: SocketAddr,
    /// By TLS.
    secure: bool,
}

#[cfg(test)]
mod tests;
