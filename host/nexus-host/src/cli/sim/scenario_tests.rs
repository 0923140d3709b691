//! What a scenario file says, and what is wrong with one.

use super::*;

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(text, "s.toml", Path::new("/w")).map_err(|error| error.to_string())
}

const LEAST: &str = "[[link]]\nname = \"lan\"\n[[node]]\nname = \"a\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
                     [[node.app]]\ncomponent = \"a.wasm\"\n";

#[test]
fn the_least_scenario_has_defaults() {
    let scenario = parse(LEAST).unwrap();
    assert_eq!(scenario.until, UNTIL);
    assert_eq!(scenario.links[0].mtu, 1_500);
    assert_eq!(
        scenario.links[0].conditions,
        Conditions {
            reorder_by: Duration::from_millis(10),
            ..Conditions::PLAIN
        }
    );
    let app = &scenario.nodes[0].apps[0];
    assert_eq!(app.component, Path::new("/w/a.wasm"));
    assert!(!app.background && !app.allow_manifest && app.allow.is_empty());
    assert_eq!((app.expect.exit, app.start), (Some(0), Duration::ZERO));
}

#[test]
fn a_link_is_as_bad_as_it_says() {
    let text = LEAST.replacen(
        "name = \"lan\"\n",
        "name = \"lan\"\nmtu = 1280\nlatency = \"3ms\"\njitter = \"1ms\"\nloss = \"2%\"\nduplication = \"0.05%\"\n\
         reorder = \"100%\"\nreorder-by = \"7ms\"\ncorruption = \"0.0001%\"\n",
        1,
    );
    let link = parse(&text).unwrap().links[0];
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
        assert!(parse_chance(text).is_err(), "{text}");
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
            "an MTU is from 576",
        ),
        (
            "name = \"lan\"",
            "name = \"lan\"\nreorder-by = \"1ms\"",
            3,
            "nothing is reordered",
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
            "\"a.wasm\"\nconsent = \"yes\"",
            9,
            "`yes` is not",
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
            "no app to wait for",
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
