//! Interfaces that cannot be had.

use nexus_testbed::Network;

use crate::peer::{echo_on, start_echo};

/// Goal: what cannot be opened is refused before the app runs, with what to do. Method: each cause.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_interfaces_that_cannot_be_had() {
    let _network = Network::tap(1500);
    for (net, mtu, says) in [
        ("packet:missing0", None, "there is no interface"),
        ("packet:lo", None, "lo"),
        ("tap:nx0", Some("9000"), "MTU"),
    ] {
        let mut more = vec![];
        if let Some(mtu) = mtu {
            more.extend(["--mtu", mtu]);
        }
        let (code, out, err) = start_echo(net, &more, "0.0.0.0:7777").wait();
        assert_eq!((code, &*out), (1, ""), "{net}: {err}");
        assert!(err.contains(says), "{net}: {err}");
    }
    let app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    let (code, _, err) = start_echo("tap:nx0", &[], "0.0.0.0:7777").wait();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("another program"), "{err}");
    app.end();
}
