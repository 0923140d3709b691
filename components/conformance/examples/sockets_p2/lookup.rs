//! `instance-network`, `ip-name-lookup`.

use std::net::IpAddr;

use conformance::{Checked, check, err, ok, same};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use wasip2::sockets::network::ErrorCode;

use crate::Probe;
use crate::ends::{World, plain_ip, waited};

pub(crate) const PROBES: &[Probe] = &[
    ("instance-network/instance-network", network),
    ("ip-name-lookup/resolve-addresses", resolve),
    (
        "ip-name-lookup/resolve-address-stream.resolve-next-address",
        next,
    ),
    ("ip-name-lookup/resolve-address-stream.subscribe", subscribe),
];

/// "Get a handle to the default network": one with which things can be done.
fn network(world: &World) -> Checked {
    let (one, other) = (instance_network(), instance_network());
    check(one.handle() != other.handle(), "each call gives a handle")?;
    drop(one);
    ok(resolve_addresses(&other, "192.0.2.1"), "with the other")?;
    ok(resolve_addresses(&world.network, "192.0.2.1"), "the first").map(drop)
}

fn all(stream: &ResolveAddressStream) -> Result<Vec<IpAddr>, ErrorCode> {
    let mut all = Vec::new();
    let ready = stream.subscribe();
    while let Some(next) = waited(&ready, || stream.resolve_next_address())? {
        all.push(plain_ip(next));
    }
    Ok(all)
}

fn resolve(world: &World) -> Checked {
    let network = &world.network;
    // "`name` is a syntactically invalid domain name or IP address."
    for name in [
        "",
        "a..example",
        "far example",
        "-",
        "256.0.0.1.",
        "[::1]",
        "a/b",
    ] {
        let got = resolve_addresses(network, name);
        err(got, ErrorCode::InvalidArgument, &format!("`{name}`"))?;
    }
    // "If the input is an IP address string, the address is parsed and returned as-is."
    for name in ["192.0.2.7", "2001:db8::7", "127.0.0.1"] {
        let stream = ok(resolve_addresses(network, name), name)?;
        let want: IpAddr = name.parse().expect("an address");
        same(ok(all(&stream), name)?, vec![want], name)?;
    }
    // "This function never returns IPv4-mapped IPv6 addresses."
    let stream = ok(resolve_addresses(network, "::ffff:192.0.2.7"), "mapped")?;
    let got = all(&stream);
    let mapped = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    check(
        !got.unwrap_or_default().iter().any(mapped),
        "never returns IPv4-mapped IPv6 addresses",
    )?;
    let name = &world.far.name;
    let stream = ok(resolve_addresses(network, name), name)?;
    let got = ok(all(&stream), name)?;
    check(got.contains(&world.far.ip), "a name has its address")
}

fn next(world: &World) -> Checked {
    let name = &world.far.name;
    let stream = ok(resolve_addresses(&world.network, name), name)?;
    let got = ok(all(&stream), name)?;
    let times = got.iter().filter(|ip| **ip == world.far.ip).count();
    same(times, 1, "each address is told once")?;
    // "If all addresses have been exhausted, this function returns `none`."
    for _ in 0..2 {
        same(
            ok(stream.resolve_next_address(), "next")?.is_none(),
            true,
            "none is left",
        )?;
    }
    Ok(())
}

fn would_block<T>(got: &Result<T, ErrorCode>) -> bool {
    matches!(got, Err(ErrorCode::WouldBlock))
}

/// "Create a `pollable` which will resolve once the stream is ready for I/O."
fn subscribe(world: &World) -> Checked {
    let stream = ok(resolve_addresses(&world.network, "192.0.2.7"), "address")?;
    stream.subscribe().block();
    ok(stream.resolve_next_address(), "an address is there at once")?;
    // A name that is asked for the first time takes the wire's time.
    let stream = ok(resolve_addresses(&world.network, &world.far.name), "name")?;
    let ready = stream.subscribe();
    let before = ready.ready();
    let early = stream.resolve_next_address();
    if before {
        check(!would_block(&early), "ready, and would block")?;
    } else {
        ready.block();
        let got = stream.resolve_next_address();
        check(!would_block(&got), "was ready, and would block")?;
        ok(got, "next")?;
    }
    check(ready.ready(), "stays ready")
}
