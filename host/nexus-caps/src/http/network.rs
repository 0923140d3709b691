//! The node, as the client of HTTP sees it: who judges, looks up, dials, and tells the time.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use nexus_node::{NetError, TcpSocket};
use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability, Permit, Target};
use nexus_policy::{Request as Judged, RequestUrl as JudgedUrl};
use nexus_services::http::{
    Caller, ConnectError, Grant, Hop, Host, Limits, Network, Refusal, ResolveError,
};
use nexus_types::{ErrorCode, Instant, IpAddr, PolicyEpoch, Reason, Why};

use super::stream::RequestStream;
use super::trust::Trust;
use crate::ctx::NetCtx;
use crate::resolve::Pending;
use crate::tcp_connect::connected;
use crate::types::Open;

/// Permits that wait for the connection they were given for. A request that ends before it has one leaves its permit
/// here; more of them than this make room.
const PERMITS_MAX: usize = 16;

/// One app's way to the network, for requests.
pub struct NodeNetwork {
    ctx: NetCtx,
    trust: Trust,
    limits: Limits,
    permits: Mutex<Vec<Permit>>,
}

impl NodeNetwork {
    pub(super) fn new(ctx: NetCtx, trust: Trust, limits: Limits) -> Self {
        Self {
            ctx,
            trust,
            limits,
            permits: Mutex::default(),
        }
    }

    /// The URL as rules see it, out of the parts of the one that is sent.
    fn judged_url(hop: Hop<'_>) -> Result<JudgedUrl, Refusal> {
        let url = hop.url;
        let host = url.host().to_string();
        JudgedUrl::new(url.scheme().as_str(), &host, Some(url.port()), url.path()).map_err(
            |error| Refusal {
                reason: Reason::NotPermitted,
                why: Why::new(error.to_string()),
            },
        )
    }

    fn keep(&self, permits: impl IntoIterator<Item = Permit>) {
        let mut kept = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(permits);
        let over = kept.len().saturating_sub(PERMITS_MAX);
        kept.drain(..over);
    }

    /// The permit that was given for this request to go there.
    fn kept(&self, request: Judged<'_>, remote: SocketAddr) -> Option<Permit> {
        let mut kept = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|permit| match permit.target() {
            Target::RequestRemote { at, request: its } => *at == remote && its.request() == request,
            _ => false,
        })?;
        Some(kept.swap_remove(at))
    }

    /// That permit, or another if it had to make room.
    fn to_connect(&self, hop: Hop<'_>, remote: SocketAddr) -> Result<Permit, ConnectError> {
        let url = Self::judged_url(hop).map_err(ConnectError::Refused)?;
        let request = judged(hop, &url);
        if let Some(permit) = self.kept(request, remote) {
            return Ok(permit);
        }
        Site::RequestConnect
            .ask(|| self.ctx.permit(&Act::RequestConnect { request, remote }))
            .map_err(connect_error)
    }

    async fn addresses(&self, hop: Hop<'_>) -> Result<Vec<IpAddr>, NetError> {
        match hop.url.host() {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => {
                let via = Capability::NetworkHttpRequest;
                let act = Act::Resolve { name, via };
                let permit = Site::RequestResolve.ask(|| self.ctx.permit(&act))?;
                let lookup = self.ctx.node(|node, now| node.resolve(now, permit, name))?;
                let mut pending = Pending::new(self.ctx.clone(), lookup);
                poll_fn(|cx| pending.poll(cx.waker())).await
            }
        }
    }

    /// Whether the node has an address that could speak with this one.
    fn is_ours(&self, remote: &SocketAddr) -> bool {
        self.ctx.node(|node, _| {
            let mut own = node.stack().addresses().iter();
            own.any(|own| own.address().is_ipv4() == remote.is_ipv4())
        })
    }
}

/// A hop as rules see it.
fn judged<'a>(hop: Hop<'_>, url: &'a JudgedUrl) -> Judged<'a> {
    Judged {
        method: Some(hop.method),
        url,
        redirected: hop.index > 0,
    }
}

/// The policy's no, of what the app is told.
fn refusal(error: &NetError) -> Option<Refusal> {
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| reason.as_str() == error.reason)?;
    Some(Refusal {
        reason,
        why: error.why.clone(),
    })
}

fn resolve_error(error: NetError) -> ResolveError {
    match (refusal(&error), error.code) {
        (_, ErrorCode::NoCapacity) => ResolveError::NoCapacity,
        (_, ErrorCode::Deadline) => ResolveError::TimedOut,
        (Some(refusal), _) => ResolveError::Refused(refusal),
        (None, ErrorCode::NotFound) => ResolveError::NotFound,
        _ => ResolveError::Failed,
    }
}

fn connect_error(error: NetError) -> ConnectError {
    match (refusal(&error), error.code) {
        (_, ErrorCode::NoCapacity) => ConnectError::NoCapacity,
        (_, ErrorCode::Deadline) => ConnectError::TimedOut,
        (Some(refusal), _) => ConnectError::Refused(refusal),
        (None, ErrorCode::Refused | ErrorCode::Reset) => ConnectError::Rejected,
        _ => ConnectError::Unreachable,
    }
}

impl Network for NodeNetwork {
    type Stream = RequestStream;
    type Carrier = TcpSocket;

    fn carrier(stream: &RequestStream) -> TcpSocket {
        stream.socket()
    }

    fn judge(&self, _: Caller, hop: Hop<'_>) -> Result<Grant, Refusal> {
        let url = Self::judged_url(hop)?;
        let request = judged(hop, &url);
        let permit = Site::Request
            .ask(|| self.ctx.permit(&Act::Request(request)))
            .map_err(|error| {
                refusal(&error).unwrap_or(Refusal {
                    reason: Reason::RuleError,
                    why: error.why,
                })
            })?;
        let tls = self.trust.profile(hop.url).map_err(|error| Refusal {
            reason: Reason::RuleError,
            why: Why::new(error.to_string()),
        })?;
        Ok(Grant {
            // Every rule's is the same. What a rule decides is whether a request may be sent, and each is judged, over
            // an idle connection like over a new one, which is from then on judged as it (`carry`). Nothing of a
            // connection is a rule's, but whom TLS trusts: that is in the pool's key by itself, as the policy's epoch
            // is, and no two apps share a client.
            key: 0,
            epoch: permit.epoch(),
            limits: self.limits,
            tls,
        })
    }

    async fn resolve(
        &self,
        _: Caller,
        hop: Hop<'_>,
        _: &Grant,
    ) -> Result<SocketAddr, ResolveError> {
        let url = Self::judged_url(hop).map_err(ResolveError::Refused)?;
        let port = hop.url.port();
        let addresses = self.addresses(hop).await.map_err(resolve_error)?;
        let request = judged(hop, &url);
        let acts = addresses.into_iter().map(|address| Act::RequestConnect {
            request,
            remote: SocketAddr::new(address, port),
        });
        let (ctx, instance) = (&self.ctx, self.ctx.instance);
        let permits = Site::RequestConnect
            .ask(|| ctx.node(|node, now| node.permit_all(now, instance, acts)))
            .map_err(resolve_error)?;
        let remotes: Vec<_> = permits.iter().filter_map(|p| p.target().remote()).collect();
        // One is dialled and no other (DESIGN section 8); where the node speaks one family alone, one of that.
        let ours = remotes.iter().find(|remote| self.is_ours(remote));
        let remote = *ours.or(remotes.first()).ok_or(ResolveError::NotFound)?;
        self.keep(
            permits
                .into_iter()
                .filter(|p| p.target().remote() == Some(remote)),
        );
        Ok(remote)
    }

    async fn connect(
        &self,
        _: Caller,
        hop: Hop<'_>,
        _: &Grant,
        address: SocketAddr,
    ) -> Result<RequestStream, ConnectError> {
        let permit = self.to_connect(hop, address)?;
        let socket: TcpSocket = connected(&self.ctx, permit).await.map_err(connect_error)?;
        Ok(RequestStream::new(Open::new(self.ctx.clone(), socket)))
    }

    fn carry(
        &self,
        _: Caller,
        hop: Hop<'_>,
        _: &Grant,
        address: SocketAddr,
        carrier: &TcpSocket,
    ) -> bool {
        let Ok(permit) = self.to_connect(hop, address) else {
            return false;
        };
        let carried = self
            .ctx
            .node(|node, now| node.tcp_carry(now, *carrier, permit));
        carried.is_ok()
    }

    fn epoch(&self) -> PolicyEpoch {
        self.ctx.node(|node, _| node.gate().epoch())
    }

    fn now(&self) -> Instant {
        self.ctx.shard.latest()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static {
        self.ctx.shard.sleep_until(at)
    }
}
