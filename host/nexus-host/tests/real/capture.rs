//! What `--pcap` writes, read by a program that is not ours.

use nexus_testbed::{KERNEL_V4, Network, output};

use crate::guests::component;
use crate::peer::{V4, echo, echo_on};
use crate::run::{Run, file as file_of};

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

/// Goal: a capture of a world has the frames of every node. Method: a few messages over a link; tshark finds
/// the answer to the client's SYN at both nodes' doors.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_capture_of_a_world_shows_every_node() {
    let node = |name: &str, address: &str, guest: &str, more: &str| {
        let guest = component(guest).display().to_string();
        format!(
            "[[node]]\nname = \"{name}\"\nlink = \"lan\"\naddresses = [\"{address}/24\"]\n\
             [[node.app]]\ncomponent = {guest:?}\n{more}\n"
        )
    };
    let server = "background = true\nargs = [\"10.0.0.1:5201\"]";
    let client =
        r#"args = ["client", "--to=10.0.0.1:5201", "--mode=rtt", "--rounds=3", "--tries=500"]"#;
    let world = String::from("[[link]]\nname = \"lan\"\n")
        + &node("server", "10.0.0.1", "tcp-echo", server)
        + &node("client", "10.0.0.2", "burst", client);
    let world = file_of(&world);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.pcapng").display().to_string();
    let world = world.path().display().to_string();
    let allow = "network.tcp.listen=any:5201";
    let app = Run::of(&[
        "up",
        &world,
        "--allow-manifest",
        "--allow",
        allow,
        "--pcap",
        &file,
    ]);
    let (code, _, said) = app.wait();
    assert_eq!(code, 0, "{said}");
    // A client that comes early is refused, and tries again: what counts is the answer that lets it in.
    let filter = "tcp.flags.syn == 1 && tcp.flags.ack == 1";
    let fields = ["-T", "fields", "-e", "frame.interface_id"];
    let doors = output(&[&["tshark", "-n", "-r", &file, "-Y", filter][..], &fields].concat());
    assert_eq!(doors.split_whitespace().collect::<Vec<_>>(), ["0", "1"]);
}
