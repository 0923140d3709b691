//! UDP: connected, open and bound sockets.

use std::time::Duration;

use nexus_sdk::svc::net::{DATAGRAMS_MAX, Datagram, Family, UdpSocket, resolve_for_udp};
use nexus_sdk::svc::time::timeout;
use nexus_sdk::{Error, ErrorCode};

use crate::{client, code, passes, two_nodes};

/// Sends back what comes.
async fn echo() -> Result<(), Error> {
    let mut socket = UdpSocket::bind("0.0.0.0:7").await?;
    loop {
        let (data, from) = socket.recv_from().await?;
        socket.send_to(data, from).await?;
    }
}

#[test]
fn datagrams_come_back() {
    let (mut world, server, node) = two_nodes(1);
    server.peer(echo);
    let app = client(&node, async || {
        let mut socket = UdpSocket::connect("server:7").await?;
        assert_eq!(socket.remote_addr().unwrap().to_string(), "10.0.0.1:7");
        socket.send("hello").await?;
        assert_eq!(socket.recv().await?, b"hello");

        let mut open = UdpSocket::open(Family::Ipv4).await?;
        let server = resolve_for_udp("server").await?[0];
        open.send_to("you", (server, 7).into()).await?;
        assert_eq!(
            open.recv_from().await?,
            (b"you".to_vec(), (server, 7).into())
        );
        assert_eq!(open.remote_addr(), None);
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: a batch is one call, and what is wrong with it is told. Method: full batches there and back.
#[test]
fn batches() {
    let (mut world, server, node) = two_nodes(2);
    server.peer(echo);
    let app = client(&node, async || {
        let mut socket = UdpSocket::connect("server:7").await?;
        let datagrams = |count: usize| -> Vec<Datagram> {
            (0..count)
                .map(|number| Datagram {
                    data: vec![number as u8],
                    remote: None,
                })
                .collect()
        };
        assert_eq!(
            socket.send_batch(datagrams(DATAGRAMS_MAX + 1)).await?,
            DATAGRAMS_MAX
        );
        let mut got = Vec::new();
        while got.len() < DATAGRAMS_MAX {
            got.extend(socket.recv_batch(usize::MAX).await?);
        }
        assert!(
            got.iter()
                .map(|datagram| datagram.data[0])
                .eq(0..DATAGRAMS_MAX as u8)
        );
        assert_eq!(code(socket.recv_batch(0).await), ErrorCode::InvalidArgument);
        assert_eq!(
            code(socket.send(vec![0; 70_000]).await),
            ErrorCode::InvalidArgument
        );
        let silence = timeout(Duration::from_secs(1), socket.recv()).await;
        assert_eq!(code(silence), ErrorCode::Deadline);
        Ok(())
    });
    passes(&mut world, &app);
}
