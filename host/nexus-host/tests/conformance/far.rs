//! The far end where it is a machine's own, and what an operator lets the guest do with any.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::thread;

/// Sends back what comes to it, for as long as this process lives. Its ports: of TCP and of UDP.
pub(crate) fn echo(address: &str) -> (u16, u16) {
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let socket = UdpSocket::bind((address, 0)).expect("a port");
    let ports = (
        listener.local_addr().expect("bound").port(),
        socket.local_addr().expect("bound").port(),
    );
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut part = vec![0; 65_536];
                while let Ok(count @ 1..) = stream.read(&mut part) {
                    if stream.write_all(&part[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    thread::spawn(move || {
        let mut part = vec![0; 65_536];
        while let Ok((count, from)) = socket.recv_from(&mut part) {
            let _ = socket.send_to(&part[..count], from);
        }
    });
    ports
}

/// What the operator of each network lets the guest do.
pub(crate) fn policy(connect: &str) -> String {
    let mut policy = String::new();
    for (capability, to) in [
        ("network.tcp.connect", connect),
        ("network.udp.send", connect),
        ("network.tcp.listen", r#""any:*""#),
        ("network.udp.bind", r#""any:*""#),
    ] {
        policy.push_str(&format!(
            "[[rule]]\nid = \"{}\"\ncapability = \"{capability}\"\nverdict = \"allow\"\nto = [{to}]\n",
            capability.replace('.', "-")
        ));
    }
    policy
}
