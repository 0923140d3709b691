//! What `--pcap` writes, read by a program that is not ours.

use nexus_testbed::{Network, output};

use crate::peer::{V4, echo, echo_on};

/// Goal: a capture holds the conversation. Method: tcpdump, which is not ours, reads it.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_capture_shows_the_conversation() {
    let _network = Network::tap(1500);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.pcapng").display().to_string();
    let app = echo_on("tap:nx0", &["--pcap", &file], "0.0.0.0:7777");
    echo(V4, 1000);
    app.end();
    let read = output(&["tcpdump", "-n", "-r", &file, "tcp port 7777"]);
    for flags in ["Flags [S]", "Flags [S.]", "Flags [P.]", "Flags [F.]"] {
        assert!(read.contains(flags), "{flags} is not in\n{read}");
    }
}
