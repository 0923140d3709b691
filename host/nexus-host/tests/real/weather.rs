//! Bytes there and back, whole and in order, over a wire that is neither.

use std::time::{Duration, Instant};

use nexus_testbed::Network;

use crate::forwarder::{Forwarder, Weather};
use crate::peer::{MIB, V4, V6, echo, echo_on};

const BAD: Weather = Weather {
    lost: 10,
    doubled: 5,
    reordered: 20,
    late: Duration::from_millis(3),
    delay: Duration::from_millis(1),
};

/// Sends 16 MiB to an echo on `net` and takes it back, in each family.
fn echo_through(network: &Network, net: &str, seed: u64) {
    for (listen, to) in [("0.0.0.0:7777", V4), ("[::]:7777", V6)] {
        // Each run of the host has a hardware address of its own; a wire knows one.
        let wire = Forwarder::join(network, BAD, seed);
        let app = echo_on(net, &[], listen);
        let begun = Instant::now();
        network
            .far()
            .spawn(move || echo(to, 16 * MIB))
            .join()
            .unwrap();
        let took = begun.elapsed();
        let tally = wire.tally();
        println!(
            "{net}: 16 MiB to {to} and back in {took:.1?}: {tally}; {}",
            wire.replay()
        );
        assert!(tally.lost > 0 && tally.reordered > 0, "{tally}");
        assert!(took < Duration::from_secs(60), "{took:?}: {tally}");
        app.end();
    }
}

/// Goal: what a wire loses, doubles, delays and reorders, TCP mends, in bounded time. Method: 16 MiB
/// each way at once, 1 % lost, on a cut cable of each kind, in each family; SHA-256 at both ends.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_echoes_through_bad_weather() {
    let network = Network::tap_cut();
    echo_through(&network, "tap:nx0", 1);
}

/// The same beside the kernel's stack.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_echoes_through_bad_weather() {
    let network = Network::veth_cut();
    echo_through(&network, "packet:nx0", 2);
}
