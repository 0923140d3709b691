//! `nexus:net/http`: `network.http.request`, by the client of nexus-services over this node.

mod body;
mod interface;
mod network;
mod stream;
mod trust;

use std::sync::OnceLock;

use nexus_services::http::{Caller, Client, Drive, Error, Request, Response};
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
    /// Made when the app asks for something first.
    client: OnceLock<Client<NodeNetwork>>,
}

impl HttpCtx {
    /// For one app.
    pub fn new(net: NetCtx, seed: Seed, trust: Trust) -> Self {
        Self {
            net,
            seed,
            trust,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> &Client<NodeNetwork> {
        self.client.get_or_init(|| {
            let network = NodeNetwork::new(self.net.clone(), self.trust.clone());
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

    /// Looks after the app's idle connections while it is polled; none: it has asked for nothing yet.
    pub fn drive(&self) -> Option<Drive<NodeNetwork>> {
        self.client.get().map(Client::drive)
    }

    /// Ends whatever the app has open.
    pub fn end(&self) {
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
