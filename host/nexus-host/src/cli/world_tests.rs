//! See `world.rs`.

use super::*;

const GOOD: &str = r#"
[[link]]
name = "lan"

[[node]]
name = "server"
link = "lan"
addresses = ["10.0.0.1/24", "fd00::1/64"]
[[node.app]]
component = "tcp-echo.wasm"
background = true

[[node]]
name = "client"
link = "lan"
addresses = ["10.0.0.2/24"]
[[node.app]]
component = "client.wasm"
manifest = "client.toml"
args = ["server"]

[[node]]
name = "web"
publish = ["8080:80"]
"#;

fn problems(text: &str) -> String {
    match World::parse(text, "world.toml", Path::new("/w")) {
        Ok(_) => panic!("this should not be a world:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// Goal: an app that is served is in the background, where the file says. Method: each form; and the guide's.
#[test]
fn an_app_is_served_where_the_file_says() {
    for (said, places) in [
        ("80", &["stack:80"][..]),
        ("\"[::1]:0\"", &["[::1]:0"]),
        (
            "[\"127.0.0.1:8080\", \"stack:10.0.0.1:80\"]",
            &["127.0.0.1:8080", "stack:10.0.0.1:80"],
        ),
    ] {
        let text = GOOD.replacen("background = true", &format!("serve = {said}"), 1);
        let world = World::parse(&text, "world.toml", Path::new("/w")).expect("reads");
        let app = &world.nodes[0].apps[0];
        let places: Vec<Listen> = places
            .iter()
            .map(|one| one.parse().expect("a place"))
            .collect();
        assert_eq!(app.serve, places);
        assert!(app.background && app.tls.is_none());
    }
    let page = include_str!("../../../../docs/guide/serving.md");
    let (_, block) = page.split_once("```toml\n").expect("a world");
    let (text, _) = block.split_once("```").expect("its end");
    let world = World::parse(text, "world.toml", Path::new("/w")).expect("reads");
    let app = &world.nodes[0].apps[0];
    assert_eq!(app.serve.len(), 2);
    let tls = ["/w/cert.pem", "/w/key.pem"].map(Path::new);
    assert_eq!(app.tls.as_ref().map(|tls| [&*tls[0], &*tls[1]]), Some(tls));
}

#[test]
fn a_world_reads_as_it_is_written() {
    let world = World::parse(GOOD, "world.toml", Path::new("/w")).expect("reads");
    assert_eq!(world.nodes.len(), 3);
    assert!(!world.links[0].fidelity);
    let app = &world.nodes[1].apps[0];
    assert_eq!(app.component, Path::new("/w/client.wasm"));
    assert_eq!(app.manifest.as_deref(), Some(Path::new("/w/client.toml")));
    assert_eq!(app.arguments, ["server"]);
    assert!(world.nodes[0].apps[0].background && !app.background);
    assert!(matches!(world.nodes[2].attachment, Attachment::User { .. }));
    let Attachment::Link {
        addresses,
        host_name,
        ..
    } = &world.nodes[0].attachment
    else {
        panic!("the server is on the link");
    };
    assert_eq!(addresses.len(), 2);
    assert_eq!(host_name.as_str(), "server");
}

#[test]
fn reject_keys_nobody_knows_with_their_line() {
    let text = GOOD.replace("background = true", "backgrund = true");
    let error = problems(&text);
    assert!(error.starts_with("world.toml:11:1: "), "{error}");
    assert!(error.contains("backgrund"), "{error}");
}

#[test]
fn reject_what_does_not_fit_together_all_at_once() {
    let text = GOOD
        .replace(
            "link = \"lan\"\naddresses = [\"10.0.0.2/24\"]",
            "link = \"wan\"",
        )
        .replace("8080:80", "80")
        .replace("fd00::1/64", "10.0.0.1/33");
    let error = problems(&text);
    assert!(
        error.contains("there is no [[link]] called `wan`"),
        "{error}"
    );
    assert!(error.contains("world.toml:8:29: `10.0.0.1/33`"), "{error}");
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn reject_two_nodes_with_one_name_or_address() {
    let error = problems(&GOOD.replace("name = \"client\"", "name = \"server\""));
    assert!(error.contains("two nodes are called `server`"), "{error}");
    let error = problems(&GOOD.replace("10.0.0.2/24", "10.0.0.1/24"));
    assert!(
        error.contains("another node of the link has 10.0.0.1"),
        "{error}"
    );
}

#[test]
fn reject_a_world_without_apps_and_one_that_is_no_toml() {
    assert!(problems("").contains("no app"));
    assert!(problems("[[node]\n").starts_with("world.toml:1:"));
}

#[test]
fn a_node_on_a_real_interface_has_addresses() {
    let text = GOOD.replace(
        "publish = [\"8080:80\"]",
        "net = \"tap:tap0\"\naddresses = [\"10.0.0.2/24\"]\ngateways = [\"10.0.0.1\"]\n\
         dns = [\"10.0.0.1\"]\nmtu = 9000\noffload = false",
    );
    let world = World::parse(&text, "world.toml", Path::new(".")).unwrap();
    let wire = world.nodes.iter().find_map(|node| match &node.attachment {
        Attachment::Wire(wire) => Some(wire),
        _ => None,
    });
    let wire = wire.expect("a node on tap0");
    assert_eq!(wire.target.to_string(), "tap:tap0");
    assert_eq!(wire.resolvers, [([10, 0, 0, 1], 53).into()]);
    assert_eq!((wire.addresses.fixed.len(), wire.mtu), (1, Some(9000)));
    assert!(!wire.offload);
    assert!(!wire.addresses.dhcp);
}

#[test]
fn reject_what_a_real_interface_cannot_be_given() {
    for (keys, says) in [
        ("net = \"tap:tap0\"", "needs addresses"),
        ("net = \"sim:x\"", "not built yet"),
        (
            "net = \"tap:tap0\"\naddresses = [\"10.0.0.2\"]",
            "`10.0.0.2` is not an address with its prefix",
        ),
        (
            "net = \"tap:tap0\"\naddresses = [\"10.0.0.2/24\"]\ngateways = [\"10.0.1.1\"]",
            "on none of the networks",
        ),
        (
            "net = \"tap:tap0\"\naddresses = [\"10.0.0.2/24\"]\npublish = [\"80:80\"]",
            "publishes ports",
        ),
        ("net = \"user\"\noffload = true", "no addresses of its own"),
        (
            "net = \"user\"\ndns = [\"10.0.0.1\"]",
            "no addresses of its own",
        ),
        (
            "net = \"tap:tap0\"\naddresses = [\"dhcp\", \"dhcp\"]",
            "has the address \"dhcp\" twice",
        ),
        (
            "net = \"tap:tap0\"\naddresses = [\"dhcp\", \"10.0.0.2/24\"]",
            "the address \"dhcp\" and the address 10.0.0.2/24",
        ),
        (
            "net = \"tap:tap0\"\naddresses = [\"dhcp\", \"slaac\"]\ngateways = [\"fe80::1\"]",
            "has the address \"slaac\" and gateways fe80::1",
        ),
        (
            "net = \"tap:tap0\"\naddresses = [\"dhcp\"]\ngateways = [\"10.0.0.1\"]",
            "leave gateways out",
        ),
        (
            "net = \"user\"\naddresses = [\"dhcp\"]",
            "no addresses of its own",
        ),
        (
            "link = \"lan\"\naddresses = [\"dhcp\"]",
            "`dhcp` is not an address with its prefix",
        ),
    ] {
        let text = GOOD.replace("publish = [\"8080:80\"]", keys);
        assert!(
            problems(&text).contains(says),
            "{keys}: {}",
            problems(&text)
        );
    }
}

#[test]
fn a_node_on_a_real_interface_may_ask_for_its_address() {
    let text = GOOD.replace(
        "publish = [\"8080:80\"]",
        "net = \"tap:tap0\"\naddresses = [\"dhcp\", \"fd00::2/64\"]\ngateways = [\"fd00::1\"]",
    );
    let world = World::parse(&text, "world.toml", Path::new(".")).unwrap();
    let Attachment::Wire(wire) = &world.nodes[2].attachment else {
        panic!("a node on tap0");
    };
    assert!(wire.addresses.dhcp);
    assert_eq!(wire.addresses.fixed.len(), 1);
}
