//! An app that can be served: linked once, instantiated as often as requests need it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use nexus_caps::{HttpCtx, NetCtx, Shard};
use nexus_types::Seed;
use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::handler::{Proxy, ProxyPre};
use wasmtime_wasi_http::{p2, p3};

use crate::runtime::clocks::WallClock;
use crate::runtime::imports;
use crate::runtime::instance::{PrepareError, new_store};
use crate::runtime::state::{AppStart, AppState, Opened};

/// Which interface of `wasi:http` an app serves by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handler {
    /// `wasi:http/incoming-handler@0.2`.
    P2,
    /// `wasi:http/handler@0.3`.
    P3,
}

impl Handler {
    /// The interface among a component's exports; the newer one, if it has both.
    pub fn of(exports: &[String]) -> Option<Self> {
        let has = |interface: &str| exports.iter().any(|export| export.starts_with(interface));
        if has("wasi:http/handler@0.3.") {
            Some(Self::P3)
        } else if has("wasi:http/incoming-handler@0.2.") {
            Some(Self::P2)
        } else {
            None
        }
    }

    /// Its name, without the last number of its version.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P2 => "wasi:http/incoming-handler@0.2",
            Self::P3 => "wasi:http/handler@0.3",
        }
    }
}

/// What the instances of an app used together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Totals {
    /// What the shard worked for them, host calls included.
    pub cpu: Duration,
    /// How often one was made to yield.
    pub slices: u64,
    /// The most memory any of them had.
    pub memory_bytes_peak: u64,
    /// The most table elements any of them had.
    pub table_elements_peak: u64,
}

/// A component that can be served, linked once for any number of apps.
#[derive(Clone)]
pub struct Servable(Arc<ProxyPre<AppState>>);

impl Servable {
    /// Checks every import against the linker.
    ///
    /// # Errors
    /// It exports nothing that could be served, or does not fit the linker.
    pub fn new(linker: &Linker<AppState>, component: &Component) -> Result<Self, PrepareError> {
        let exports = imports::exports(linker.engine(), component);
        let handler = Handler::of(&exports).ok_or(PrepareError::NothingToServe(exports))?;
        let link = |error: wasmtime::Error| PrepareError::Link(format!("{error:#}"));
        let pre = linker.instantiate_pre(component).map_err(link)?;
        let pre = match handler {
            Handler::P2 => ProxyPre::P2(p2::bindings::ProxyPre::new(pre).map_err(link)?),
            Handler::P3 => ProxyPre::P3(p3::bindings::ServicePre::new(pre).map_err(link)?),
        };
        Ok(Self(Arc::new(pre)))
    }
}

/// See the module.
pub struct App {
    pre: Servable,
    start: Arc<AppStart>,
    opened: Opened,
    client: Arc<HttpCtx>,
    net: NetCtx,
    instances: Cell<u64>,
    totals: Cell<Totals>,
}

impl App {
    /// `opened` are the folders of `start`.
    pub fn new(pre: Servable, start: AppStart, opened: Opened, net: NetCtx) -> Self {
        Self {
            pre,
            client: AppState::client_of(&start, &net),
            start: Arc::new(start),
            opened,
            net,
            instances: Cell::new(0),
            totals: Cell::default(),
        }
    }

    /// Which interface it serves by.
    pub fn handler(&self) -> Handler {
        match *self.pre.0 {
            ProxyPre::P2(_) => Handler::P2,
            ProxyPre::P3(_) => Handler::P3,
        }
    }

    /// Its clock.
    pub(super) fn wall(&self) -> WallClock {
        self.start.wall
    }

    /// The shard it is served on.
    pub fn shard(&self) -> &Shard {
        &self.net.shard
    }

    /// What its instances make their requests with.
    pub(super) fn client(&self) -> &Arc<HttpCtx> {
        &self.client
    }

    /// How many instances were started.
    pub(super) fn started(&self) -> u64 {
        self.instances.get()
    }

    /// A store for a fresh instance, with all limits on.
    pub(super) fn store(&self) -> Result<Store<AppState>, String> {
        let number = self.instances.get();
        self.instances.set(number + 1);
        let seed: Seed = self.start.seed.split(&number.to_string());
        let state = AppState::again(
            &self.start,
            seed,
            &self.opened,
            &self.client,
            self.net.clone(),
        );
        let engine = match &*self.pre.0 {
            ProxyPre::P2(pre) => pre.engine(),
            ProxyPre::P3(pre) => pre.engine(),
        };
        new_store(engine, state)
    }

    pub(super) async fn instantiate(&self, store: &mut Store<AppState>) -> wasmtime::Result<Proxy> {
        self.pre.0.instantiate_async(store).await
    }

    /// An instance has ended.
    pub(super) fn ended(&self, cpu: Duration, store: &Store<AppState>) {
        let ledger = &store.data().ledger;
        let mut totals = self.totals.get();
        totals.cpu += cpu;
        totals.slices += ledger.slices();
        totals.memory_bytes_peak = totals.memory_bytes_peak.max(ledger.memory_bytes_peak());
        totals.table_elements_peak = totals.table_elements_peak.max(ledger.table_elements_peak());
        self.totals.set(totals);
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals.get()
    }
}
