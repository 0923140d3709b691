//! Figures by a program that is not ours: iperf3.
//!
//! No guest speaks iperf3's protocol; one that passes on what it gets need not. So its client and server
//! are the kernel's, at the same end of the cable, and every byte goes through the guest: in from the one,
//! out to the other. Figures are printed and judged by no threshold: this is no quiet machine.

use nexus_testbed::Network;

use crate::run::Run;

/// Bits a second from iperf3's client to a server beside it or, with `-R`, back.
fn measure(network: &Network, to: &'static str, more: &'static str) -> f64 {
    let far = network.far();
    let measured = far.spawn(move || {
        // It ends after one client.
        let _server = Run::program(&["iperf3", "-s", "-1", "--forceflush"]).prints("listening");
        let client = format!("timeout 30 iperf3 -c {to} -t 2 -J {more}");
        let report = nexus_testbed::output(&client.split_whitespace().collect::<Vec<_>>());
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let received = &report["end"]["sum_received"];
        assert!(received["bytes"].as_u64() > Some(0), "{report}");
        received["bits_per_second"].as_f64().expect("a figure")
    });
    measured.join().expect("iperf3 measures")
}

/// Goal: a figure beside what people know. Method: iperf3 through a guest that relays, on each kind of
/// interface, both directions; and past it, for scale, between two kernels on the same veth.
fn figures(network: &Network, net: &str) {
    let relay = Run::start(
        "tcp-relay",
        &[
            "--net",
            net,
            "--address",
            "10.77.0.2/24",
            "--allow-manifest",
            "--allow",
            "network.tcp.listen=any:5201",
            "--timeout",
            "120s",
            "--",
            "0.0.0.0:5201",
            "10.77.0.1:5201",
        ],
    )
    .prints("listening on");
    for (way, more) in [("there", ""), ("back", "-R")] {
        let rate = measure(network, "10.77.0.2", more) / 1e9;
        println!("iperf3 {way} through a guest on {net}: {rate:.2} Gbit/s in, as much out");
    }
    relay.end();
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn iperf3_measures_a_guest_on_tap() {
    figures(&Network::tap(1500), "tap:nx0");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn iperf3_measures_a_guest_on_a_packet_socket_and_the_kernel() {
    let network = Network::veth();
    figures(&network, "packet:nx0");
    // For scale: the near kernel's server, with an address of its own.
    network.near().run("ip addr add 10.77.0.3/24 dev nx0");
    let _server = Run::program(&["iperf3", "-s", "--forceflush"]).prints("listening");
    for (way, more) in [("there", ""), ("back", "-R")] {
        let command = format!("timeout 30 iperf3 -c 10.77.0.3 -t 2 -J {more}");
        let report: serde_json::Value =
            serde_json::from_str(&network.far().run(&command)).expect("JSON");
        let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
        let rate = rate.expect("a figure") / 1e9;
        println!("iperf3 {way} from kernel to kernel on the same veth: {rate:.2} Gbit/s");
    }
}
