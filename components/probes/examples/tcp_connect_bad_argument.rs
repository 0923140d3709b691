//! Arguments that can never be right are invalid, not denied and not a trap.

use nexus_sdk::__private::raw::nexus::net::{tcp_connect, types::Destination, types::IpAddress};
use nexus_sdk::ErrorCode;
use probes::{Outcome, failure, still_alive};

async fn run() -> Outcome {
    let loopback = || Destination::Address(IpAddress::Ipv4((127, 0, 0, 1)));
    let port_0 = tcp_connect::connect(loopback(), 0).await;
    failure(
        port_0.map_err(Into::into),
        ErrorCode::InvalidArgument,
        "port 0",
    )?;

    for name in [
        String::new(),
        ".".into(),
        "a..b".into(),
        "a b".into(),
        "a\0b".into(),
        "-a.example".into(),
        "127.1".into(),
        "0x7f000001".into(),
        "x".repeat(254),
        "x".repeat(1 << 20),
    ] {
        let shown: String = name.chars().take(20).collect();
        let found = tcp_connect::connect(Destination::Name(name.clone()), 80).await;
        failure(
            found.map_err(Into::into),
            ErrorCode::InvalidArgument,
            &shown,
        )?;
        let found = tcp_connect::resolve(name).await;
        failure(
            found.map_err(Into::into),
            ErrorCode::InvalidArgument,
            &shown,
        )?;
    }
    still_alive().await
}

nexus_sdk::main!(run);
