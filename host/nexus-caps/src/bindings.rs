//! What wasmtime generates from `wit/`: the traits the other files implement.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated; the WIT carries the documentation"
)]

wasmtime::component::bindgen!({
    path: ["../../wit/nexus-error", "../../wit/nexus-net", "../../wit/worlds"],
    world: "nexus:worlds/host",
    imports: {
        "nexus:net/types.[method]tcp-connection.receive": store | trappable,
        "nexus:net/types.[method]tcp-connection.send": store | trappable,
        default: trappable,
    },
    with: {
        "nexus:net/types.tcp-connection": crate::TcpConnection,
        "nexus:net/types.tcp-listener": crate::TcpListener,
        "nexus:net/types.udp-socket": crate::UdpSocket,
    },
    trappable_error_type: {
        "nexus:error/types.error" => crate::Failure,
    },
});
