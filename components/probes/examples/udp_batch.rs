//! Many datagrams go in one call and come in few, in their order; one call takes at most 64.

use nexus_sdk::__private::raw::nexus::net::{types, udp_bind};
use nexus_sdk::Error;
use nexus_sdk::svc::net::{DATAGRAMS_MAX, Datagram, UdpSocket};
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, ensure, same, success};

async fn run() -> Outcome {
    let mut far = success(UdpSocket::bind(ANY_PORT).await, "bind")?;
    let mut near = success(UdpSocket::connect(far.local_addr()).await, "connect")?;
    let mut batch: Vec<_> = (0..DATAGRAMS_MAX as u8)
        .map(|number| Datagram {
            data: vec![number; 10],
            remote: None,
        })
        .collect();
    let mut received = Vec::new();
    let all = async {
        while !batch.is_empty() {
            let sent = near.send_batch(batch.clone()).await?;
            batch.drain(..sent);
            while received.len() < DATAGRAMS_MAX - batch.len() {
                received.extend(far.recv_batch(10).await?);
            }
        }
        Ok::<_, Error>(())
    };
    success(timeout(PATIENCE, all).await, "a batch")?;
    for (number, datagram) in received.iter().enumerate() {
        same(datagram.data.as_slice(), &[number as u8; 10], "in order")?;
        same(
            datagram.remote.map(|remote| remote.port()),
            Some(near.local_addr().port()),
            "from",
        )?;
    }

    // Past the SDK: 65 at once are no batch.
    let to = match far.local_addr() {
        std::net::SocketAddr::V4(address) => types::SocketAddress {
            address: types::IpAddress::Ipv4(address.ip().octets().into()),
            port: address.port(),
        },
        std::net::SocketAddr::V6(_) => return Err("an IPv4 address".into()),
    };
    let raw = udp_bind::bind(types::SocketAddress { port: 0, ..to })
        .await
        .map_err(|error| error.why)?;
    let many = vec![
        types::Datagram {
            data: Vec::new(),
            remote: Some(to)
        };
        DATAGRAMS_MAX + 1
    ];
    match raw.send(many).await {
        Ok(sent) => ensure(
            sent as usize <= DATAGRAMS_MAX,
            format!("{sent} datagrams in one call"),
        ),
        Err(error) => ensure(
            error.code
                == nexus_sdk::__private::raw::nexus::error::types::ErrorCode::InvalidArgument,
            error.why,
        ),
    }
}

nexus_sdk::main!(run);
