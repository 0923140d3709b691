//! `nexus:net/http`: `network.http.request`, by the client of nexus-services over this node.

mod body;
mod interface;
mod network;
mod stream;
mod trust;

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use nexus_services::http::{Caller, Client, Drive, Error, Limits, Request, Response};
use nexus_types::Seed;
use wasmtime::component::{HasData, ResourceTable};

use crate::ctx::NetCtx;

pub use network::NodeNetwork;
pub use trust::{RootsFor, Trust};

/// What an app's requests are made with. Each app has its own: no connection, and nothing that is known of a far end,
/// goes from one to another.
pub struct HttpCtx {
    net: NetCtx,
    seed: Seed,
    trust: Trust,
    limits: Limits,
    /// Made when the app asks for something first.
    client: OnceLock<Client<NodeNetwork>>,
    work: Mutex<Work>,
}

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done beside an app's own course.
#[derive(Default)]
struct Work {
    /// Handed in, and not begun.
    new: Vec<Job>,
    /// None: there are none, or they have their turn.
    jobs: Option<FuturesUnordered<Job>>,
    idle: Option<Drive<NodeNetwork>>,
    /// Of whoever polls it.
    waker: Option<Waker>,
}

impl HttpCtx {
    /// For one app, whose requests keep `limits`.
    pub fn new(net: NetCtx, seed: Seed, trust: Trust, limits: Limits) -> Self {
        Self {
            net,
            seed,
            trust,
            limits,
            client: OnceLock::new(),
            work: Mutex::default(),
        }
    }

    fn client(&self) -> &Client<NodeNetwork> {
        self.client.get_or_init(|| {
            let network = NodeNetwork::new(self.net.clone(), self.trust.clone(), self.limits);
            Client::new(network.into(), &self.seed)
        })
    }

    /// Asks for something in the app's name.
    ///
    /// # Errors
    /// Every one of the client's.
    pub fn request(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response<NodeNetwork>, Error>> + Send + use<> {
        self.client().request(Caller(self.net.instance), request)
    }

    /// Has something done for the app beside its own course, on its shard, while [`HttpCtx::poll`] is called.
    pub fn work(&self, job: impl Future<Output = ()> + Send + 'static) {
        let mut work = self.held();
        work.new.push(Box::pin(job));
        if let Some(waker) = work.waker.take() {
            waker.wake();
        }
    }

    /// Goes on with what is done beside the app's course, and looks after its idle connections. To be called in each
    /// of its turns; `cx` is woken when there is more to do.
    pub fn poll(&self, cx: &mut Context<'_>) {
        let mut work = self.held();
        // Most apps ask for nothing: each of their turns comes here and does no more than this.
        match &work.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => work.waker = Some(cx.waker().clone()),
        }
        let new = std::mem::take(&mut work.new);
        if work.jobs.is_some() || !new.is_empty() {
            let mut jobs = work.jobs.take().unwrap_or_default();
            // A job may hand in another: what is held is let go while they have their turn.
            drop(work);
            jobs.extend(new);
            while let Poll::Ready(Some(())) = jobs.poll_next_unpin(cx) {}
            work = self.held();
            work.jobs = Some(jobs).filter(|jobs| !jobs.is_empty());
            if !work.new.is_empty() {
                cx.waker().wake_by_ref();
            }
        }
        if work.idle.is_none() {
            work.idle = self.client.get().map(Client::drive);
        }
        if let Some(idle) = &mut work.idle {
            let _: Poll<std::convert::Infallible> = Pin::new(idle).poll(cx);
        }
    }

    fn held(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends whatever the app has open.
    pub fn end(&self) {
        // Dropped outside: what a job holds may be ours to drop, too.
        let (new, jobs) = {
            let mut work = self.held();
            (std::mem::take(&mut work.new), work.jobs.take())
        };
        drop((new, jobs));
        if let Some(client) = self.client.get() {
            client.drop_all_of(Caller(self.net.instance));
        }
    }
}

/// The part of a store's data that `nexus:net/http` needs, borrowed.
pub struct HttpCtxView<'a> {
    /// Who asks, and with what.
    pub ctx: &'a HttpCtx,
    /// The caller's resources.
    pub table: &'a mut ResourceTable,
}

/// What a store's data must offer for `nexus:net/http` to be linked.
pub trait HttpView: Send {
    /// The caller and its client.
    fn requests(&mut self) -> HttpCtxView<'_>;
}

/// Ties the generated traits to [`HttpCtxView`].
pub struct Http;

impl HasData for Http {
    type Data<'a> = HttpCtxView<'a>;
}
