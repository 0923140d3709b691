//! A socket that only sends hears nobody it has not sent to; a connected one hears nobody else.

use nexus_sdk::svc::net::{Family, UdpSocket};
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, same, stays_pending, success};

async fn run() -> Outcome {
    let mut friend = success(UdpSocket::bind(ANY_PORT).await, "bind")?;
    let mut stranger = success(UdpSocket::bind(ANY_PORT).await, "bind")?;

    let mut open = success(UdpSocket::open(Family::Ipv4).await, "open")?;
    success(open.send_to("hello", friend.local_addr()).await, "send")?;
    let (_, address) = success(timeout(PATIENCE, friend.recv_from()).await, "receive")?;

    let mut connected = success(UdpSocket::connect(friend.local_addr()).await, "connect")?;
    success(connected.send("hello").await, "send")?;
    let (_, connected_address) = success(timeout(PATIENCE, friend.recv_from()).await, "receive")?;

    for (socket, address) in [(&mut open, address), (&mut connected, connected_address)] {
        // The stranger was never sent to, so it may not even send: both sides of one rule.
        let _ = stranger.send_to("psst", address).await;
        stays_pending(socket.recv(), "from a stranger").await?;
        success(friend.send_to("hello yourself", address).await, "answer")?;
        let answer = success(timeout(PATIENCE, socket.recv()).await, "receive")?;
        same(answer.as_slice(), b"hello yourself", "what arrived")?;
    }
    Ok(())
}

nexus_sdk::main!(run);
