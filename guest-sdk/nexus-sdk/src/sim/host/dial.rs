//! A destination, judged and dialled: what `tcp_connect` and `udp_send` share.

use nexus_node::NetError;
use nexus_policy::{Act, Permit};
use nexus_types::{ErrorCode, HostName, SocketAddr};

use super::super::caller::Caller;
use super::convert::from_wit_ip;
use super::resolve;
use crate::bindings::nexus::net::types::Destination;

/// The act that reaches a far end, by the name the app gave if it gave one.
pub(super) type Reach = for<'n> fn(SocketAddr, Option<&'n HostName>) -> Act<'n>;

/// Judges `to`, then opens what is permitted: of a name the permitted addresses, in the order of the answer, until
/// one is reached. All are judged at once, before the first is tried.
pub(super) async fn dial<S, Dialling>(
    caller: &Caller,
    to: Destination,
    port: u16,
    reach: Reach,
    mut open: impl FnMut(Permit) -> Dialling,
) -> Result<S, NetError>
where
    Dialling: Future<Output = Result<S, NetError>>,
{
    let port = resolve::remote_port(port)?;
    let permits = match to {
        Destination::Address(address) => {
            let remote = SocketAddr::new(from_wit_ip(address), port);
            vec![caller.permit(&reach(remote, None))?]
        }
        Destination::Name(name) => {
            let name = resolve::parse(&name)?;
            let via = reach(SocketAddr::from(([0, 0, 0, 0], port)), None).capability();
            let addresses = resolve::resolve(caller, via, &name).await?;
            let acts = addresses
                .into_iter()
                .map(|address| reach(SocketAddr::new(address, port), Some(&name)));
            caller.node(|node, now| node.permit_some(now, caller.instance, acts))?
        }
    };
    let mut last = NetError::new(ErrorCode::NotFound, "the name has no address");
    for permit in permits {
        match open(permit).await {
            Ok(opened) => return Ok(opened),
            // A quota is the same for all of them.
            Err(error) if error.code == ErrorCode::NoCapacity => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}
