//! What is left to the interface arrives all the same; and is left to it, or not.

use std::path::Path;

use nexus_testbed::Network;

use crate::peer::{MIB, V4, V6, echo, echo_on};

/// Goal: with and without offload, both families, byte for byte. Method: 1 GiB there and back over IPv4,
/// 64 MiB over IPv6, SHA-256 of both directions.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_gibibyte_goes_there_and_back_with_offload_and_without() {
    let _network = Network::tap(1500);
    for whether in ["on", "off"] {
        let app = echo_on("tap:nx0", &["--offload", whether], "0.0.0.0:7777");
        echo(V4, 1024 * MIB);
        app.end();
        let app = echo_on("tap:nx0", &["--offload", whether], "[::]:7777");
        echo(V6, 64 * MIB);
        app.end();
    }
}

/// Goal: frames are large where the interface takes that, by default, on a TAP interface and a packet
/// socket, and never longer than the MTU with `--offload off`. Method: the longest frame of a capture.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn frames_are_large_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames.pcapng");
    let path = file.display().to_string();
    for net in ["tap:nx0", "packet:nx0"] {
        let network = match net {
            "tap:nx0" => Network::tap(1500),
            _ => Network::veth(),
        };
        for (more, large) in [(&[][..], true), (&["--offload", "off"], false)] {
            let more = [&["--pcap", &path], more].concat();
            let app = echo_on(net, &more, "0.0.0.0:7777");
            if net == "tap:nx0" {
                echo(V4, 8 * MIB);
            } else {
                network.far().spawn(|| echo(V4, 8 * MIB)).join().unwrap();
            }
            app.end();
            let [to, from] = longest(&file);
            let is_large = |frame: usize| frame > 14 + 1_500;
            assert_eq!(
                [is_large(to), is_large(from)],
                [large; 2],
                "{net}: {to}, {from}"
            );
        }
    }
}

/// The longest frames of a capture: to the node, from it.
fn longest(file: &Path) -> [usize; 2] {
    let bytes = std::fs::read(file).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut longest) = (0, [0; 2]);
    while at + 12 <= bytes.len() {
        let len = word(at + 4);
        // An enhanced packet block (draft-ietf-opsawg-pcapng section 4.3); its option 2 says which way.
        if word(at) == 6 {
            let options = at + 28 + word(at + 20).next_multiple_of(4);
            assert_eq!(word(options), 4 << 16 | 2, "the first option is the flags");
            let way = usize::from(word(options + 4) & 3 == 2);
            longest[way] = longest[way].max(word(at + 24));
        }
        at += len;
    }
    longest
}
