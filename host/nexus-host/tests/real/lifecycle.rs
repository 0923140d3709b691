//! Interfaces that go and come.

use nexus_testbed::Network;

use crate::peer::{MIB, V4, echo, echo_on};

/// Goal: an interface that goes, in whichever way, is said once and ends no app. Method: down, up,
/// then deleted while the app listens.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_vanishes_is_said() {
    let network = Network::tap(1500);
    let mut app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    network.near().run("ip link set nx0 down");
    app.says("the interface is down");
    network.near().run("ip link set nx0 up");
    app.says("the interface is up");
    echo(V4, MIB);
    network.near().run("ip link del nx0");
    app.says("the interface nx0 is gone");
    assert!(app.runs());
    app.end();
}
