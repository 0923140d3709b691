//! An allowed decision allocates nothing: it is on the path of every connection and datagram socket.

mod common;

use common::{APP, Setup, TCP, addr, answer, connect, connect_by, name, rule};
use nexus_policy::Act;
use nexus_types::Instant;

#[test]
fn an_allowed_decision_allocates_nothing() {
    let mut app = Setup::asks(
        "system",
        &[
            (
                "network.tcp.connect",
                &["api.example.com:443", "*.example.org:443", "10.0.0.0/8:*"],
            ),
            ("network.udp.send", &["public:53"]),
            ("network.tcp.listen", &["any:*"]),
        ],
    )
    .yes()
    .operator("allow", "network.tcp.listen", &["any:*"]);
    for number in 0..2_000 {
        app.operator += &rule(
            &format!("f{number}"),
            "forbid",
            "network.tcp.connect",
            &[&format!("h{number}.example.net:*")],
        );
    }
    let mut gate = app.gate();
    let (api, org) = (name("api.example.com"), name("a.b.example.org"));
    answer(&mut gate, &api, "93.184.216.34", 60);
    for act in [
        Act::Resolve {
            name: &api,
            via: TCP,
        },
        Act::Resolve {
            name: &org,
            via: TCP,
        },
        connect_by(&api, "93.184.216.34:443"),
        connect("93.184.216.34:443"),
        connect("10.1.2.3:80"),
        Act::UdpSend {
            remote: addr("8.8.8.8:53"),
            name: None,
        },
        Act::UdpOpen,
        Act::Listen {
            local: addr("0.0.0.0:0"),
        },
        Act::Accept {
            local: addr("10.0.2.15:8080"),
            remote: addr("8.8.8.8:1"),
        },
    ] {
        let mut allowed = false;
        let counted = allocation_counter::measure(|| {
            allowed = gate.decide(Instant::ZERO, APP, &act).is_ok();
        });
        assert!(allowed, "{act:?}");
        assert_eq!(counted.count_total, 0, "{act:?}");
    }
}
