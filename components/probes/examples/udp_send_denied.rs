//! What no rule names is not sent to, on any kind of socket.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::{Family, UdpSocket};
use probes::{Outcome, failure};

async fn run() -> Outcome {
    let forbidden = std::net::SocketAddr::from(([192, 0, 2, 1], 53));
    failure(
        UdpSocket::connect(forbidden).await,
        ErrorCode::Denied,
        "connect",
    )?;
    failure(
        UdpSocket::connect("unlisted.example.com:53").await,
        ErrorCode::Denied,
        "connect by name",
    )?;
    let mut open = UdpSocket::open(Family::Ipv4)
        .await
        .map_err(|error| error.to_string())?;
    failure(
        open.send_to("x", forbidden).await,
        ErrorCode::Denied,
        "send",
    )?;
    failure(
        UdpSocket::bind("0.0.0.0:5353").await,
        ErrorCode::Denied,
        "bind",
    )?;
    Ok(())
}

nexus_sdk::main!(run);
