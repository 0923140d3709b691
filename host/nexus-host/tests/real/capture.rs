//! What `--pcap` writes, read by a program that is not ours.

use nexus_testbed::{KERNEL_V4, Network, output};

use crate::peer::{V4, echo, echo_on};

const BYTES: usize = 100_000;

/// Goal: Wireshark opens a capture and sees the conversation in it, from SYN to FIN. Method: tshark says
/// what every segment of an echo is, which conversations there are, and what it cannot make sense of.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_capture_shows_the_conversation() {
    let _network = Network::tap(1500);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.pcapng").display().to_string();
    let app = echo_on("tap:nx0", &["--pcap", &file], "0.0.0.0:7777");
    echo(V4, BYTES);
    app.end();
    let tshark = |more: &[&str]| output(&[&["tshark", "-n", "-r", &file], more].concat());

    let fields = ["ip.src", "tcp.flags.str", "tcp.len", "frame.interface_name"];
    let mut more = vec!["-Y", "tcp.port == 7777", "-T", "fields"];
    more.extend(fields.iter().flat_map(|field| ["-e", field]));
    let segments = tshark(&more);
    let segments: Vec<Vec<&str>> = segments.lines().map(|l| l.split('\t').collect()).collect();
    let kernel = KERNEL_V4.to_string();
    for from_kernel in [true, false] {
        let side = segments.iter().filter(|s| (s[0] == kernel) == from_kernel);
        let (mut syns, mut fins, mut bytes) = (0, 0, 0);
        for segment in side {
            syns += usize::from(segment[1].contains('S'));
            fins += usize::from(segment[1].contains('F'));
            bytes += segment[2].parse::<usize>().unwrap();
            assert!(segment[3].contains("nx0"), "{segment:?}");
        }
        assert_eq!((syns, fins, bytes), (1, 1, BYTES), "{segments:#?}");
    }
    let conversations = tshark(&["-q", "-z", "conv,tcp"]);
    let ours = |line: &&str| line.contains(&format!("{kernel}:")) && line.contains(V4);
    let count = conversations.lines().filter(ours).count();
    assert_eq!(count, 1, "{conversations}");
    let wrong = "_ws.malformed || _ws.expert.severity == error";
    assert_eq!(tshark(&["-Y", wrong]), "");
}
