//! What a scenario file says, and what is wrong with one.

use nexus_sim::{Fault, LinkFault, MachineFault, Span};

use super::*;

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(text, "s.toml", Path::new("/w"), None).map_err(|error| error.to_string())
}

const LEAST: &str = "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
                     [[node.app]]\ncomponent = \"a.wasm\"\n";

#[test]
fn the_least_scenario_has_defaults() {
    let scenario = parse(LEAST).unwrap();
    assert_eq!(scenario.until, UNTIL);
    assert_eq!(scenario.links[0].mtu, 1_500);
    assert_eq!(scenario.links[0].conditions, Conditions::PLAIN);
    let app = &scenario.nodes[0].apps[0];
    assert_eq!(app.component, Path::new("/w/a.wasm"));
    assert!(!app.background && !app.allow_manifest && app.allow.is_empty());
    assert_eq!(
        (app.expect.exit, app.start),
        (Exit::Code(0), Duration::ZERO)
    );
}

#[test]
fn a_link_is_as_bad_as_it_says() {
    let text = LEAST.replacen(
        "name = \"lan\"\n",
        "name = \"lan\"\nmtu = 1280\nlatency = \"3ms\"\njitter = \"1ms\"\nloss = \"2%\"\nduplication = \"0.05%\"\n\
         reorder = \"100%\"\nreorder-by = \"7ms\"\ncorruption = \"0.0001%\"\n",
        1,
    );
    let link = &parse(&text).unwrap().links[0];
    assert_eq!(link.mtu, 1_280);
    let conditions = link.conditions;
    assert_eq!(conditions.latency, Duration::from_millis(3));
    assert_eq!(conditions.loss.parts(), 20_000);
    assert_eq!(conditions.duplication.parts(), 500);
    assert_eq!(conditions.reorder.parts(), 1_000_000);
    assert_eq!(conditions.reorder_by, Duration::from_millis(7));
    assert_eq!(conditions.bit_flip.parts(), 1);
}

#[test]
fn reject_shares_that_are_none() {
    for text in [
        "2", "%", "101%", "-1%", "1e2%", "0.00001%", "1.%%", "100.1%", " 1%",
    ] {
        assert!(link::parse_share(text).is_err(), "{text}");
    }
}

/// Goal: each mistake is told with its line. Method: one at a time.
#[test]
fn reject_mistakes_with_their_line() {
    for (from, to, line, says) in [
        (
            "link = \"lan\"",
            "link = \"wan\"",
            5,
            "no [[link]] called `wan`",
        ),
        (
            "name = \"lan\"",
            "name = \"lan\"\nloss = \"x\"",
            3,
            "`x` is not a share",
        ),
        (
            "name = \"lan\"",
            "name = \"lan\"\nlos = \"1%\"",
            3,
            "unknown field `los`",
        ),
        (
            "name = \"lan\"",
            "name = \"lan\"\nmtu = 100",
            3,
            "an MTU is a number of bytes from 576",
        ),
        (
            "name = \"lan\"",
            "name = \"lan\"\nreorder-by = \"1ms\"",
            3,
            "without reorder = \"...%\" this does nothing",
        ),
        (
            "\"10.0.0.1/24\"",
            "\"10.0.0.1\"",
            6,
            "`10.0.0.1` is not an address",
        ),
        ("[\"10.0.0.1/24\"]", "[]", 4, "needs addresses"),
        (
            "name = \"a\"",
            "name = \"-\"",
            4,
            "cannot be the node's name",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\nconsent = \"maybe\"",
            9,
            "`maybe` is not",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\nallow = [\"x\"]",
            9,
            "`x` is not a grant",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\nbackground = true",
            1,
            "nothing to wait for",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\n[node.app.expect]\ndenied = [\"x\"]",
            10,
            "a capability",
        ),
    ] {
        let error = parse(&LEAST.replacen(from, to, 1))
            .map(|_| ())
            .expect_err(to);
        assert!(
            error.starts_with(&format!("s.toml:{line}:")),
            "{to}: {error}"
        );
        assert!(error.contains(says), "{to}: {error}");
    }
}

/// Goal: where an app is served is said in short or as `--listen` has it, and is at the addresses its node has. Method:
/// each form, on nodes of one family and of both.
#[test]
fn an_app_is_served_at_addresses_of_its_node() {
    let waits = "[[node.peer]]\ncall = \"a:80\"\n";
    for (addresses, serve, places) in [
        ("[\"10.0.0.1/24\"]", "80", &["0.0.0.0:80"][..]),
        ("[\"fd00::1/64\"]", "80", &["[::]:80"]),
        (
            "[\"10.0.0.1/24\", \"fd00::1/64\"]",
            "\"stack:80\"",
            &["0.0.0.0:80", "[::]:80"],
        ),
        (
            "[\"10.0.0.1/24\"]",
            "[\"stack:10.0.0.1:80\", \"stack:[fd00::1]:81\"]",
            &["10.0.0.1:80", "[fd00::1]:81"],
        ),
    ] {
        let text = LEAST
            .replace("[\"10.0.0.1/24\"]", addresses)
            .replace("\"a.wasm\"", &format!("\"a.wasm\"\nserve = {serve}"));
        let caller = "[[node]]\nname = \"p\"\nlink = \"lan\"\naddresses = [\"10.0.0.9/24\", \"fd00::9/64\"]\n";
        let scenario = parse(&format!("{text}{caller}{waits}")).unwrap();
        let app = &scenario.nodes[0].apps[0];
        let found: Vec<_> = app.serve.iter().map(ToString::to_string).collect();
        assert_eq!(found, places);
        assert!(app.background && app.expect.exit == Exit::WithWorld);
        assert_eq!(scenario.guests(), limits::SERVE_REQUESTS);
    }
}

#[test]
fn reject_apps_that_cannot_be_served() {
    let world = "a simulated world has no ports of this machine";
    for (of_app, line, says) in [
        ("serve = 0", 9, "port 0 is nowhere"),
        ("serve = 65536", 9, "a port of the app's node"),
        ("serve = true", 9, "a port of the app's node"),
        ("serve = []", 9, "is empty"),
        ("serve = \"80\"", 9, "`80` is not ADDR:PORT"),
        ("serve = \"127.0.0.1:80\"", 9, world),
        ("serve = [\"stack:80\", \"stack:80\"]", 9, "said twice"),
        (
            "serve = 80\n[node.app.expect]\nexit = 0",
            11,
            "ends with its world",
        ),
        (
            "serve = 80\n[node.app.expect]\nwithin = \"1s\"",
            10,
            "is ended with the world",
        ),
        ("[node.app.expect]\naccess = []", 0, ""),
        (
            "[node.app.expect]\naccess = [\"GET /\"]",
            9,
            "only an app that serves",
        ),
        ("serve = 80", 1, "nothing to wait for"),
    ] {
        let text = LEAST.replacen("\"a.wasm\"", &format!("\"a.wasm\"\n{of_app}"), 1);
        let read = parse(&text).map(|_| ());
        if line == 0 {
            read.unwrap();
            continue;
        }
        let error = read.expect_err(of_app);
        let begin = format!("s.toml:{line}:");
        assert!(
            error
                .lines()
                .any(|one| one.starts_with(&begin) && one.contains(says)),
            "{of_app}: {error}"
        );
    }
}

/// A scenario of two nodes on a link, and one on another.
const THREE: &str = "[[link]]\nname = \"lan\"\n[[link]]\nname = \"wan\"\n\
    [[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n[[node.app]]\ncomponent = \"a.wasm\"\n\
    [[node]]\nname = \"b\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
    [[node]]\nname = \"c\"\nlink = \"wan\"\naddresses = [\"10.0.0.2/24\"]\n";

#[test]
fn faults_have_a_time_and_a_place() {
    let text = format!(
        "{THREE}[[fault]]\nat = \"2s\"\nfor = \"500ms\"\nbetween = [\"a\", \"b\"]\nloss = \"2%\"\ncut = true\n\
         [[fault]]\nnode = \"c\"\ncrash = true\n"
    );
    let faults = parse(&text).unwrap().faults;
    let [a, b, c] = [0, 1, 2].map(nexus_sim::MachineId);
    let link = |from, to, fault| Fault::Link(Span::between(from, to), fault);
    let loss = LinkFault::Loss(nexus_sim::Ppm::new(20_000));
    let found: Vec<_> = faults.iter().map(|one| one.fault.clone()).collect();
    assert_eq!(
        found,
        [
            link(a, b, loss),
            link(a, b, LinkFault::Cut),
            link(b, a, loss),
            link(b, a, LinkFault::Cut),
            Fault::Machine(c, MachineFault::Crash),
        ]
    );
    assert_eq!(faults[0].at, nexus_types::Instant::from_secs(2));
    assert_eq!(faults[0].lasts, Duration::from_millis(500));
    let whole = (faults[4].at, faults[4].lasts);
    assert_eq!(whole, (nexus_types::Instant::ZERO, Duration::MAX));
}

/// Goal: what `--shrink` writes is what it means. Method: plans drawn for many seeds, written and read.
#[test]
fn faults_are_written_as_they_are_read() {
    let nodes = parse(THREE).unwrap().nodes;
    let victims: Vec<_> = (0..3)
        .map(|number| nexus_sim::Victim {
            machine: nexus_sim::MachineId(number),
            others: vec![InterfaceAddress::new([10, 0, 0, 9].into(), 24).unwrap()],
        })
        .collect();
    let mut count = 0;
    for number in 0..200 {
        let seed = nexus_types::Seed::from_number(number);
        let plan = nexus_sim::Swarm::draw(&seed, &victims, Duration::from_secs(9));
        let written = write_faults(&plan.faults, &nodes);
        let read = parse(&format!("{THREE}{written}")).unwrap().faults;
        assert_eq!(read, plan.faults, "seed {number}: {written}");
        count += read.len();
    }
    assert!(count > 1_000, "{count}");
}

#[test]
fn reject_faults_of_nothing_or_nobody() {
    for (fault, line, says) in [
        ("at = \"1s\"", 19, "what goes wrong?"),
        ("crash = true", 19, "which node?"),
        (
            "cut = true\nnode = \"a\"",
            21,
            "`node` is of machine faults",
        ),
        ("node = \"x\"\ncrash = true", 20, "no [[node]] called `x`"),
        ("from = \"a\"\nto = \"a\"\ncut = true", 21, "to itself"),
        ("from = \"a\"\nto = \"c\"\ncut = true", 21, "no link joins"),
        ("between = [\"a\"]\ncut = true", 20, "two nodes"),
        (
            "between = [\"a\", \"b\"]\nto = \"a\"\ncut = true",
            20,
            "not both",
        ),
        ("at = \"60s\"\ncut = true", 20, "when the world is over"),
        (
            "node = \"a\"\nclock-drift = 100001",
            21,
            "from -100000 to 100000",
        ),
        (
            "node = \"a\"\nclock-step = \"-\"",
            21,
            "`-` is not a duration",
        ),
        ("cut = true\nqueue = \"1KiB\"", 21, "without rate"),
        ("rate = \"10\"", 20, "`10` is not bits a second"),
        (
            "burst = { begin = \"1%\", end = \"x\" }",
            20,
            "`x` is not a share",
        ),
        ("cutt = true", 20, "unknown field `cutt`"),
        (
            "node = \"a\"\ncrash = true\nfrom = \"b\"",
            20,
            "of a link's",
        ),
        (
            "node = \"a\"\nclock-drift = -2147483648",
            21,
            "from -100000 to",
        ),
        (
            "node = \"a\"\naddresses = [\"10.0.0.1/24\", \"10.0.0.1/24\"]",
            21,
            "there twice",
        ),
    ] {
        let error = parse(&format!("{THREE}[[fault]]\n{fault}\n"))
            .map(|_| ())
            .expect_err(fault);
        assert!(
            error.starts_with(&format!("s.toml:{line}:")),
            "{fault}: {error}"
        );
        assert!(error.contains(says), "{fault}: {error}");
    }
}

#[test]
fn reject_what_can_never_be() {
    for (from, to, says) in [
        (
            "[[link]]",
            "[scenario]\nchaos = \"60s\"\n[[link]]",
            "chaos must be over",
        ),
        ("[[link]]", "[scenario]\nruns = 0\n[[link]]", "from 1 to"),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\nstart = \"60s\"",
            "the world is over",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\n[node.app.expect]\nwithin = \"61s\"",
            "over before that",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\n[node.app.expect]\nexit = \"some\"",
            "or \"any\"",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\n[node.expect]\ncounters = { frames = 1 }",
            "`frames` is no counter",
        ),
        (
            "\"a.wasm\"",
            "\"a.wasm\"\n[node.expect]\ncounters = { frames-in = { at-least = 2, at-most = 1 } }",
            "no number is that",
        ),
    ] {
        let error = parse(&LEAST.replacen(from, to, 1))
            .map(|_| ())
            .expect_err(to);
        assert!(error.contains(says), "{to}: {error}");
    }
    let _ = parse(&LEAST.replacen(
        "\"a.wasm\"",
        "\"a.wasm\"\n[node.app.expect]\nexit = \"any\"",
        1,
    ))
    .unwrap();
}

#[test]
fn faults_at_and_over_the_limit() {
    // What is counted is what happens: here two conditions, each way.
    let both = "[[fault]]\nbetween = [\"a\", \"b\"]\ncut = true\nloss = \"1%\"\n";
    let error = parse(&format!("{THREE}{}", both.repeat(FAULTS_MAX / 4 + 1))).map(|_| ());
    let error = error.unwrap_err();
    assert!(
        error.contains("at most 4096 faults; these are 4100"),
        "{error}"
    );
    let faults = |count: usize| format!("{LEAST}{}", "[[fault]]\ncut = true\n".repeat(count));
    assert_eq!(parse(&faults(FAULTS_MAX)).unwrap().faults.len(), FAULTS_MAX);
    let error = parse(&faults(FAULTS_MAX + 1)).map(|_| ()).unwrap_err();
    assert!(error.contains("at most 4096 faults"), "{error}");
}

#[test]
fn reject_two_nodes_of_one_name_or_address() {
    let second = "[[node]]\nname = \"b\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n";
    let error = parse(&format!("{LEAST}{second}")).map(|_| ()).unwrap_err();
    assert!(
        error.contains("another node of the link has 10.0.0.1"),
        "{error}"
    );
    let second = second.replace("\"b\"", "\"a\"").replace("0.1/", "0.2/");
    let error = parse(&format!("{LEAST}{second}")).map(|_| ()).unwrap_err();
    assert!(error.contains("two nodes are called `a`"), "{error}");
}

#[test]
fn nodes_at_and_over_the_limit() {
    let node = |number: usize| {
        format!(
            "[[node]]\nname = \"n{number}\"\nlink = \"lan\"\naddresses = [\"10.0.{}.{}/8\"]\n",
            1 + number / 250,
            1 + number % 250
        )
    };
    let all: String = (1..NODES_MAX).map(node).collect();
    assert!(parse(&format!("{LEAST}{all}")).is_ok());
    let over = format!("{LEAST}{all}{}", node(NODES_MAX));
    let error = parse(&over).map(|_| ()).unwrap_err();
    assert!(error.contains("at most 1024 nodes"), "{error}");
}

/// Goal: what the guide shows can be written. Method: every block of TOML in it that has a node.
#[test]
fn the_scenarios_of_the_guide_are_scenarios() {
    let mut count = 0;
    for page in [
        include_str!("../../../../../../docs/guide/simulation.md"),
        include_str!("../../../../../../docs/guide/testing.md"),
    ] {
        for block in page.split("```toml\n").skip(1) {
            let (text, _) = block.split_once("```").expect("a block has an end");
            parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            count += 1;
        }
    }
    assert_eq!(count, 4);
}

#[test]
fn names_have_no_case_and_times_may_be_none() {
    let text = THREE
        .replace("\"a\"", "\"A\"")
        .replace("name = \"lan\"\n", "name = \"lan\"\nlatency = \"0ms\"\n");
    let scenario = parse(&format!(
        "{text}[[fault]]\nat = \"0s\"\nfrom = \"a\"\ncut = true\n"
    ))
    .unwrap();
    assert_eq!(scenario.links[0].conditions.latency, Duration::ZERO);
    assert_eq!(scenario.faults.len(), 1);
    let error = parse(&THREE.replace("\"b\"", "\"A\""))
        .map(|_| ())
        .unwrap_err();
    assert!(error.contains("two nodes are called `A`"), "{error}");
}

/// Goal: a command line that ends the world early is no mistake of the file. Method: before anything in it happens.
#[test]
fn a_world_may_be_cut_short() {
    let text = format!("[scenario]\nchaos = \"20s\"\n{THREE}[[fault]]\nat = \"30s\"\ncut = true\n");
    let cut = Some(Duration::from_secs(1));
    let scenario = Scenario::parse(&text, "s.toml", Path::new("/w"), cut).unwrap();
    assert_eq!(
        (scenario.until, scenario.cut),
        (Duration::from_secs(1), cut)
    );
}

/// Goal: `--update` writes over nothing but golden files. Method: names that are something else, or somewhere else.
#[test]
fn reject_golden_files_that_are_something_else() {
    for (golden, says) in [
        ("", "below the scenario's folder"),
        ("../a.txt", "below the scenario's folder"),
        ("/a.txt", "below the scenario's folder"),
        ("s.toml", "of another kind"),
        ("s.blessed", "of another kind"),
    ] {
        let to = format!("\"a.wasm\"\n[node.app.expect]\ngolden = \"{golden}\"");
        let error = parse(&LEAST.replacen("\"a.wasm\"", &to, 1))
            .map(|_| ())
            .unwrap_err();
        assert!(
            error.starts_with("s.toml:10:10: ") && error.contains(says),
            "{error}"
        );
    }
    let one = "[[node.app]]\ncomponent = \"b.wasm\"\n[node.app.expect]\ngolden = \"a.txt\"\n";
    let error = parse(&format!("{LEAST}{one}{one}"))
        .map(|_| ())
        .unwrap_err();
    assert!(error.contains("each has its own"), "{error}");
}

/// A scenario with a node of peers.
fn peers(peers: &str) -> String {
    format!("{LEAST}[[node]]\nname = \"p\"\nlink = \"lan\"\naddresses = [\"10.0.0.9/24\"]\n{peers}")
}

#[test]
fn reject_peers_that_are_none() {
    for (peer, says) in [
        ("[[node.peer]]\n", "a peer is one of tcp"),
        ("[[node.peer]]\ntcp = 1\nudp = 1\n", "a peer is one of tcp"),
        ("[[node.peer]]\ntcp = 0\n", "port 0 is nowhere"),
        (
            "[[node.peer]]\ntcp = 1\nanswers = []\n",
            "`answers` is of a peer with udp",
        ),
        (
            "[[node.peer]]\ntcp = 1\nstart = \"1s\"\n",
            "`start` is of a peer with call",
        ),
        (
            "[[node.peer]]\ncall = \"a:1\"\nat-once = 1\n",
            "`at-once` is of a peer with tcp",
        ),
        ("[[node.peer]]\ncall = \"a:0\"\n", "port 0 is nowhere"),
        ("[[node.peer]]\ncall = \"a\"\n", "`a` is not NODE:PORT"),
        (
            "[[node.peer]]\ncall = \"b:1\"\n",
            "no [[node]] of this link is called `b`",
        ),
        (
            "[[node.peer]]\ncall = \"a:1\"\ntcp = 1\n",
            "a peer is one of tcp",
        ),
        (
            "[[node.peer]]\ntcp = 1\nrequests = []\n",
            "`requests` is of a peer with http",
        ),
        (
            "[[node.peer]]\ntcp = 1\nscript = [\"stop\"]\n",
            "a step is {",
        ),
        (
            "[[node.peer]]\ntcp = 1\nscript = [{ send = \"a\", wait = \"1s\" }]\n",
            "a step is {",
        ),
        (
            "[[node.peer]]\ntcp = 1\nscript = [{ send-hex = \"0\" }]\n",
            "pairs of hex digits",
        ),
        (
            "[[node.peer]]\ntcp = 1\nscript = [{ wait = \"x\" }]\n",
            "`x` is not a duration",
        ),
        (
            "[[node.peer]]\ntcp = 1\nscript = [{ wait = 1 }]\n",
            "a step, as in",
        ),
        (
            "[[node.peer]]\ntcp = 1\nscript = [\"reset\", \"finish\"]\n",
            "step 2 (finish)",
        ),
        (
            "[[node.peer]]\nhttp = 1\n[[node.peer]]\ntcp = 1\n",
            "another peer of the node is at port 1",
        ),
        (
            "[[node.peer]]\ndns = 53\n[[node.peer]]\nudp = 53\n",
            "another peer of the node is at port 53",
        ),
        (
            "[[node.peer]]\nhttp = 1\nroute = [{ path = \"/\", body = \"a\", body-size = \"1KiB\" }]\n",
            "not both",
        ),
        (
            "[[node.peer]]\nhttp = 1\nroute = [{ path = \"/\", body-size = \"1GiB\" }]\n",
            "a body has at most",
        ),
        (
            "[[node.peer]]\nhttp = 1\nroute = [{ path = \"/\", never = true, cut-after = 1 }]\n",
            "not both",
        ),
        (
            "[[node.peer]]\ndns = 53\nzone = { \"-\" = \"10.0.0.1\" }\n",
            "`-` is no name",
        ),
        (
            "[[node.peer]]\ndns = 53\nzone = { \"a.b\" = \"x\" }\n",
            "`x` is no address",
        ),
        (
            "[[node.peer]]\ndns = 53\nzone = { \"a.b\" = { alias = \"a.b\" } }\n",
            "the aliases of `a.b` go round",
        ),
        (
            "[[node.peer]]\ndns = 53\nzone = { \"a.b\" = { fault = \"x\" } }\n",
            "a fault is servfail",
        ),
        (
            "[[node.app]]\ncomponent = \"b.wasm\"\n[[node.peer]]\ntcp = 1\n",
            "apps or peers, not both",
        ),
    ] {
        let error = parse(&peers(peer)).map(|_| ()).expect_err(peer);
        assert!(error.contains(says), "{peer}: {error}");
        assert!(!error.starts_with("s.toml:1:"), "{peer}: {error}");
    }
    let requests = |count: usize| {
        let list = vec!["\"GET /\""; count].join(", ");
        parse(&peers(&format!(
            "[[node.peer]]\nhttp = 1\nrequests = [{list}]\n"
        )))
        .map(|_| ())
    };
    requests(nexus_sim::limits::HTTP_REQUESTS).unwrap();
    requests(nexus_sim::limits::HTTP_REQUESTS + 1).unwrap_err();
}

/// Goal: the guide's bounds are the code's.
#[test]
fn the_bounds_of_the_guide_are_the_codes() {
    use crate::runtime::stdio::KEPT_BYTES;
    use nexus_sim::limits;
    let page = include_str!("../../../../../../docs/guide/simulation.md");
    let (_, table) = page.split_once("## Bounds").expect("a section");
    for (what, most) in [
        ("nodes, apps", NODES_MAX as u64),
        ("nodes, apps", APPS_MAX as u64),
        (
            "faults of a scenario, one for each key and direction",
            FAULTS_MAX as u64,
        ),
        ("seeds of a command", RUNS_MAX),
        ("runs at a time", super::super::seeds::JOBS_MAX as u64),
        ("peers of a node", limits::PEERS as u64),
        (
            "connections of a peer at once",
            limits::PEER_CONNECTIONS.into(),
        ),
        ("steps of a script", limits::PEER_STEPS as u64),
        (
            "requests that are kept and compared",
            limits::HTTP_REQUESTS as u64,
        ),
        ("names of a zone", limits::DNS_NAMES as u64),
    ] {
        let row = format!("| {what} | {most} |\n");
        assert!(table.contains(&row), "{row}");
    }
    for (what, most) in [
        ("kept of an app's output", KEPT_BYTES),
        ("bytes of a script, or of a body", limits::PEER_SCRIPT_BYTES),
    ] {
        let row = format!("| {what} | {most} bytes |\n");
        let plain = format!("| {what} | {most} |\n");
        assert!(table.contains(&row) || table.contains(&plain), "{row}");
    }
    for (what, most) in [
        ("bytes of a request's head", limits::HTTP_HEAD_BYTES as u64),
        ("bytes of a request's body", limits::HTTP_BODY_BYTES),
    ] {
        assert!(table.contains(&format!("| {what} | {most} |\n")), "{what}");
    }
}
