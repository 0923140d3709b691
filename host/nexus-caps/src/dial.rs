//! A destination, judged and dialled: what `tcp-connect` and `udp-send` share.

use std::future::Future;

use nexus_node::NetError;
use nexus_policy::switch::Site;
use nexus_policy::{Act, Permit};
use nexus_types::{ErrorCode, HostName, SocketAddr};

use crate::bindings::nexus::net::types::Destination;
use crate::ctx::NetCtx;
use crate::resolve;

/// The act that reaches a far end, by the name the app gave if it gave one.
pub(crate) type Reach = for<'n> fn(SocketAddr, Option<&'n HostName>) -> Act<'n>;

/// Judges `to`, then opens what is permitted: of a name the permitted addresses, in the order of
/// the answer, until one is reached. All are judged at once, before the first is tried: the answer
/// may end while one that does not reply is waited for.
pub(crate) async fn dial<S, Dialling>(
    ctx: &NetCtx,
    to: Destination,
    port: u16,
    reach: Reach,
    open: impl FnMut(Permit) -> Dialling,
) -> Result<S, NetError>
where
    Dialling: Future<Output = Result<S, NetError>>,
{
    let port = resolve::remote_port(port)?;
    let permits = match to {
        Destination::Address(address) => {
            let remote = SocketAddr::new(address.into(), port);
            vec![Site::DialAddress.ask(|| ctx.permit(&reach(remote, None)))?]
        }
        Destination::Name(name) => {
            let name = resolve::parse(&name)?;
            let via = reach(SocketAddr::from(([0, 0, 0, 0], port)), None).capability();
            let addresses = resolve::resolve(ctx, via, &name).await?;
            let acts = addresses
                .into_iter()
                .map(|address| reach(SocketAddr::new(address, port), Some(&name)));
            Site::DialName
                .ask(|| ctx.node(|node, now| node.permit_some(now, ctx.instance, acts)))?
        }
    };
    first(permits, open).await
}

/// The first that opens. What the last one says otherwise; a quota is the same for all of them.
async fn first<P, S, Dialling>(
    permits: Vec<P>,
    mut open: impl FnMut(P) -> Dialling,
) -> Result<S, NetError>
where
    Dialling: Future<Output = Result<S, NetError>>,
{
    let mut last = NetError::new(ErrorCode::NotFound, "the name has no address");
    for permit in permits {
        match open(permit).await {
            Ok(opened) => return Ok(opened),
            Err(error) if error.code == ErrorCode::NoCapacity => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Opens 1, 2, 3, … where each answers what `says` says, and lists those that were tried.
    fn tried(
        count: u32,
        says: impl Fn(u32) -> Result<u32, ErrorCode>,
    ) -> (Vec<u32>, Result<u32, ErrorCode>) {
        let mut tried = Vec::new();
        let opened = first((1..=count).collect(), |number| {
            tried.push(number);
            ready(says(number).map_err(|code| NetError::new(code, "")))
        });
        let Poll::Ready(opened) = pin!(opened).poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nothing to wait for")
        };
        (tried, opened.map_err(|error| error.code))
    }

    #[test]
    fn in_order_until_one_opens() {
        let second = |number| (number >= 2).then_some(number).ok_or(ErrorCode::Refused);
        assert_eq!(tried(4, second), (vec![1, 2], Ok(2)));
        assert_eq!(tried(1, second), (vec![1], Err(ErrorCode::Refused)));
    }

    #[test]
    fn reject_with_what_the_last_one_says() {
        let says = |number| match number {
            3 => Err(ErrorCode::Deadline),
            _ => Err(ErrorCode::Refused),
        };
        assert_eq!(tried(3, says), (vec![1, 2, 3], Err(ErrorCode::Deadline)));
        assert_eq!(tried(0, says), (vec![], Err(ErrorCode::NotFound)));
    }

    #[test]
    fn reject_at_once_when_the_quota_is_used_up() {
        let full = |_| Err(ErrorCode::NoCapacity);
        assert_eq!(tried(3, full), (vec![1], Err(ErrorCode::NoCapacity)));
    }
}
