//! An allowed decision allocates nothing: it is on the path of every connection and datagram socket.

mod common;

use std::fmt::Write as _;

use common::{
    APP, HTTP, Setup, TCP, addr, answer, connect, connect_by, digest, get, get_at, identity, name,
    publisher, rule, url,
};
use nexus_policy::{Act, AppIdentity, Auditor, Entry, Unrecorded};
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
            (
                "network.http.request",
                &[
                    "https://api.example.com/v1/*",
                    "GET https://*.example.org/a/*",
                    "http://10.1.2.3:8000/x",
                ],
            ),
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
        app.operator += &rule(
            &format!("u{number}"),
            "forbid",
            "network.http.request",
            &[&format!("https://api.example.com/v2/{number}/*")],
        );
    }
    let mut gate = app.gate();
    let (api, org) = (name("api.example.com"), name("a.b.example.org"));
    answer(&mut gate, &api, "93.184.216.34", 60);
    let urls = [
        "https://api.example.com/v1/me/a/b/c?q",
        "https://a.b.example.org/a/",
        "http://10.1.2.3:8000/x",
    ]
    .map(url);
    for act in [
        get(&urls[0]),
        get(&urls[1]),
        get(&urls[2]),
        get_at(&urls[0], "93.184.216.34"),
        get_at(&urls[2], "10.1.2.3"),
        Act::Resolve {
            name: &api,
            via: HTTP,
        },
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

/// Writes every text of a record into the same room, as the log does.
struct Room(String);

impl Auditor for Room {
    fn record(&mut self, _now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        self.0.clear();
        let target = entry.target.ok_or(Unrecorded)?;
        let rule = entry.rule.unwrap_or_default();
        write!(self.0, "{target} {rule} {}", entry.source).map_err(|_| Unrecorded)
    }
}

/// Goal: nor does one that looks in all there is: the rules of everyone, of the app and of its publisher,
/// a person's answers, and an auditor. Method: each act is allowed by another of them.
#[test]
fn an_allowed_decision_allocates_nothing_wherever_it_is_found() {
    let asked = [
        "everyone.example.com:443",
        "app.example.com:443",
        "publisher.example.com:443",
        "asked.example.com:443",
        "10.1.2.3:80",
        "198.41.0.0/16:853",
    ];
    let mut app = Setup::asks(
        "system",
        &[
            ("network.tcp.connect", &asked),
            ("network.tcp.listen", &["any:8080"]),
        ],
    );
    for number in 0..999 {
        app.operator += &for_whom(number, "forbid", &format!("h{number}.example.net:*"));
    }
    for (number, to) in [(1_000, asked[1]), (1_001, asked[2]), (1_002, asked[0])] {
        app.operator += &for_whom(number, "allow", to);
    }
    app.operator += &for_whom(1_004, "allow", asked[4]);
    app.operator += &for_whom(1_003, "allow", asked[5]);
    app.operator += &for_whom(1_007, "ask", asked[3]);
    app = app
        .operator("allow", "network.tcp.listen", &["any:8080"])
        .said(false, asked[0])
        .said(true, asked[3]);
    let mut gate = app.empty_gate();
    let signed = AppIdentity {
        publisher: Some(publisher(1)),
        ..identity()
    };
    gate.admit(
        Instant::ZERO,
        APP,
        signed,
        app.manifest(),
        app.consent(),
        &[],
    )
    .expect("admitted");
    gate.set_auditor(Box::new(Room(String::with_capacity(1_024))));
    let names = [0, 1, 2, 3].map(|at| name(asked[at].trim_end_matches(":443")));
    for (at, name) in names.iter().enumerate() {
        answer(&mut gate, name, &format!("93.184.216.{at}"), 60);
    }
    let acts = [
        connect_by(&names[0], "93.184.216.0:443"),
        connect_by(&names[1], "93.184.216.1:443"),
        connect("93.184.216.2:443"),
        connect_by(&names[3], "93.184.216.3:443"),
        connect("10.1.2.3:80"),
        connect("198.41.0.4:853"),
        Act::Listen {
            local: addr("0.0.0.0:8080"),
        },
    ];
    for act in acts {
        let mut allowed = false;
        let counted = allocation_counter::measure(|| {
            allowed = gate.decide(Instant::ZERO, APP, &act).is_ok();
        });
        assert!(allowed, "{act:?}");
        assert_eq!(counted.count_total, 0, "{act:?}");
    }
}

/// A rule for everyone, the app, or its publisher, by turns.
fn for_whom(number: usize, verdict: &str, to: &str) -> String {
    let app = match number % 3 {
        0 => String::new(),
        1 => format!("app = {{ digest = \"{}\" }}\n", digest()),
        _ => format!("app = {{ publisher = \"{}\" }}\n", publisher(1)),
    };
    rule(&format!("r{number}"), verdict, "network.tcp.connect", &[to]) + &app
}
