//! Apps that answer HTTP in simulated worlds.

mod guests;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use guests::{HOST, component, root};
use serde_json::Value;

fn sim(scenario: &Path, arguments: &[&str], state: &Path) -> Output {
    Command::new(HOST)
        .arg("sim")
        .arg(scenario)
        .args(arguments)
        .arg("--state")
        .arg(state.join("state"))
        .output()
        .expect("it runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The runs of a scenario, as JSON says them; all are as expected.
#[track_caller]
fn runs(scenario: &Path, arguments: &[&str], state: &Path) -> Vec<Value> {
    let arguments = [&["--output", "json"], arguments].concat();
    let output = sim(scenario, &arguments, state);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    report["data"]["runs"].as_array().expect("runs").clone()
}

/// A folder for scenarios, which lie there one after another.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn sim(&self, text: &str, arguments: &[&str]) -> Output {
        let scenario = self.write("s.toml", text);
        sim(&scenario, arguments, self.0.path())
    }

    #[track_caller]
    fn passes(&self, text: &str) {
        let output = self.sim(text, &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    /// What is said of a run that is not as expected.
    #[track_caller]
    fn fails(&self, text: &str) -> String {
        let output = self.sim(text, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }
}

/// A node `server` that serves this component at port 80, and more of the scenario. `of_app` goes on with its
/// `[[node.app]]`.
fn served(guest: &str, of_app: &str, more: &str) -> String {
    format!(
        "[[link]]\nname = \"lan\"\nlatency = \"5ms\"\n\
         [[node]]\nname = \"server\"\nlink = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nserve = 80\n{of_app}\n{more}\n",
        component(guest)
    )
}

const GRANTED: &str = "allow = [\"network.tcp.listen=any:80\"]";

/// A node `client` that fetches this.
fn fetches(path: &str, start: &str) -> String {
    format!(
        "[[node]]\nname = \"client\"\nlink = \"lan\"\naddresses = [\"10.0.0.2/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nargs = [\"http://10.0.0.1{path}\"]\nstart = \"{start}\"\n\
         allow = [\"network.http.request=GET http://10.0.0.1/*\"]\n",
        component("web-fetch")
    )
}

/// A node `caller` that does these steps.
fn calls(steps: &str) -> String {
    format!(
        "[[node]]\nname = \"caller\"\nlink = \"lan\"\naddresses = [\"10.0.0.3/24\"]\n\
         [[node.peer]]\ncall = \"server:80\"\nstart = \"10ms\"\nscript = [{steps}]\n"
    )
}

/// A GET, and what its response begins with.
fn get(path: &str, status: &str) -> String {
    format!(
        "{{ send = \"GET {path} HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\" }}, {{ expect = \"HTTP/1.1 {status}\\r\\n\" }}"
    )
}

/// Goal: an app that serves in a world and those that turn to it are as their scenario says, and a run is its seed's,
/// byte for byte. Method: the committed scenario (loss, reorder; an app that fetches, scripted callers) with many seeds,
/// in two processes, with one and with four runs at a time.
#[test]
fn the_same_seed_is_the_same_run() {
    let lab = Lab::new();
    let _ = component("http-api");
    let scenario = root().join("components/http-api/tests/answers.toml");
    let [one, other] =
        ["1", "4"].map(|jobs| runs(&scenario, &["--runs", "50", "--jobs", jobs], lab.0.path()));
    assert_eq!(one, other);
    let mut hashes: Vec<_> = one.iter().map(|run| run["hash"].to_string()).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 50, "each seed has a run of its own");
}

/// Goal: a response has the world's date, and the app the world's time and the seed's randomness: nothing of this
/// machine is in a run. Method: the hash of a run whose response is part of it, in two processes that are a second
/// apart at least, and the date's text.
#[test]
fn responses_are_dated_by_the_world() {
    let lab = Lab::new();
    for guest in ["probes/http_serve_p2", "probes/http_serve_p3"] {
        let steps = get("/hello", "200 OK")
            + ", { expect-until = \"date: Thu, 01 Jan 2026 00:00:\" }, { expect-until = \"\\r\\n\\r\\n\" }";
        let text = served(guest, GRANTED, &calls(&steps));
        let scenario = lab.write("s.toml", &text);
        let once = || runs(&scenario, &[], lab.0.path())[0]["hash"].clone();
        let (begun, first) = (std::time::Instant::now(), once());
        while begun.elapsed().as_secs() < 1 {
            assert_eq!(once(), first, "{guest}");
        }
        assert_eq!(once(), first, "{guest}");
    }
}

/// Goal: a server that crashes comes back with its machine and serves; what was under way is lost with it. Method: a
/// crash between two clients, and one in the middle of a request.
#[test]
fn a_server_that_crashed_serves_again() {
    let lab = Lab::new();
    let crash = "[[fault]]\nat = \"500ms\"\nfor = \"1s\"\nnode = \"server\"\ncrash = true\n";
    let access = format!("{GRANTED}\n[node.app.expect]\naccess = [\"GET /hello 200 15 B\"]\n");
    let before = calls(&(get("/hello", "200 OK") + ", { expect-until = \"\\r\\n\\r\\n\" }"));
    let after = fetches("/hello", "2s");
    let text = served(
        "probes/http_serve_p2",
        &access,
        &format!("{before}{after}[node.app.expect]\nstdout = [\"hello from 0.2\"]\n{crash}"),
    );
    lab.passes(&text);
    let trace = lab.0.path().join("t");
    let traced = lab.sim(&text, &["--trace", trace.to_str().expect("UTF-8")]);
    assert_eq!(traced.status.code(), Some(0), "{}", stderr(&traced));
    let trace = std::fs::read_to_string(trace).expect("a trace");
    assert_eq!(trace.matches("server boots").count(), 2);

    let during = calls(&get("/sleep", "200 OK"));
    let said = lab.fails(&served(
        "probes/http_serve_p2",
        GRANTED,
        &format!("{during}{crash}"),
    ));
    assert!(
        said.contains(
            "caller, call 80: call to 10.0.0.1:80: step 2 (expect): the connection failed"
        ),
        "{said}"
    );
}

/// Goal: loss delays an answer and loses none. Method: a quarter of all packets, both protocols, some seeds.
#[test]
fn a_bad_link_loses_no_answer() {
    let lab = Lab::new();
    for guest in ["probes/http_serve_p2", "probes/http_serve_p3"] {
        let text = served(guest, GRANTED, &fetches("/hello", "10ms"))
            .replace("latency = \"5ms\"", "latency = \"5ms\"\nloss = \"25%\"");
        let scenario = lab.write("s.toml", &format!("[scenario]\nuntil = \"10m\"\n{text}"));
        runs(&scenario, &["--runs", "20"], lab.0.path());
    }
}

/// Goal: without its port granted an app does not serve, which is its refusal and is told with what is missing; nothing
/// leaves its node, and whoever calls is refused. Method: no grant; a grant of another port; the
/// manifest of an app that asks, with a yes and without; and the operator's policy, which allows and forbids.
#[test]
fn reject_a_server_that_was_not_granted_its_port() {
    let lab = Lab::new();
    let waits = format!(
        "[[node]]\nname = \"other\"\nlink = \"lan\"\naddresses = [\"10.0.0.9/24\"]\n\
         [[node.app]]\ncomponent = {:?}\nstart = \"1s\"\n",
        component("hello")
    );
    let silent = "[node.expect]\ncounters = { frames-out = 0 }\n";
    let refused = "[node.app.expect]\nexit = 77\ndenied = [\"network.tcp.listen\"]\n";
    for grant in ["", "allow = [\"network.tcp.listen=any:81\"]\n"] {
        let text = served("http-api", &format!("{grant}{refused}{silent}"), &waits);
        lab.passes(&text);
        let said = lab.fails(&served("http-api", grant, &waits));
        for wanted in [
            "server, org.nexus.http-api: refused with 77",
            "serve = \"stack:0.0.0.0:80\": ",
            "allow = [\"network.tcp.listen=any:80\"]",
            "it is in the background, and was to stay",
        ] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }
    let said = lab.fails(&served("http-api", refused, &calls(&get("/", "200 OK"))));
    assert!(said.contains("the connection failed: refused"), "{said}");

    let asks = "[app]\nid = \"a.b\"\nclass = \"system\"\n[capabilities.\"network.tcp.listen\"]\nallow = [\"any:80\"]\n";
    lab.write("nexus.toml", asks);
    let manifest = "manifest = \"nexus.toml\"\n";
    let page = fetches("/hello/a", "10ms");
    // Of this class only the operator says yes.
    for consent in ["", "consent = \"manifest\"\n"] {
        let of_app = format!("{manifest}{consent}{refused}{silent}");
        lab.passes(&served("http-api", &of_app, &waits));
    }

    let rule = |verdict: &str| {
        format!(
            "[[rule]]\nid = \"r\"\ncapability = \"network.tcp.listen\"\nverdict = \"{verdict}\"\nto = [\"any:80\"]\n"
        )
    };
    let with_policy = |text: String| {
        text.replace(
            "name = \"server\"\n",
            "name = \"server\"\npolicy = \"policy.toml\"\n",
        )
    };
    lab.write("policy.toml", &rule("allow"));
    lab.passes(&with_policy(served("http-api", manifest, &page)));
    lab.write("policy.toml", &rule("forbid"));
    let text = served(
        "http-api",
        &format!("{GRANTED}\n[node.app.expect]\nexit = 77\n{silent}"),
        &waits,
    );
    lab.passes(&with_policy(text));
}

/// Goal: an app that fails costs its request alone, and says so. Method: one that traps, one that hangs for longer than
/// its manifest lets it, and a good request after each.
#[test]
fn reject_what_an_app_does_wrong() {
    let lab = Lab::new();
    lab.write(
        "nexus.toml",
        "[app]\nid = \"a.b\"\nclass = \"app\"\n[limits]\ntimeout = \"200ms\"\n",
    );
    for guest in ["probes/http_serve_p2", "probes/http_serve_p3"] {
        let of_app = format!(
            "manifest = \"nexus.toml\"\n{GRANTED}\n[node.app.expect]\nstderr = [\"trap  server, a.b: \"]\n\
             access = [\"GET /trap 500\", \" trap\", \"GET /spin 504\", \" deadline\", \"GET /hello 200\"]\n"
        );
        let end = ", { expect-until = \"\\r\\n\\r\\n\" }, { expect-until = \"\\n\" }, ";
        let steps = [
            get("/trap", "500 Internal Server Error"),
            get("/spin", "504 Gateway Timeout"),
            get("/sleep", "504 Gateway Timeout"),
            get("/hello", "200 OK"),
        ]
        .join(end);
        lab.passes(&served(guest, &of_app, &calls(&steps)));
        let said = lab.fails(&served(
            guest,
            &format!("{GRANTED}\n[node.app.expect]\naccess = [\"GET /hello 404\"]\n"),
            &calls(&get("/hello", "200 OK")),
        ));
        assert!(
            said.contains("wrote no \"GET /hello 404\" to its access log"),
            "{said}"
        );
    }
}

/// Goal: what cannot be served, and what can be nothing else, is told with what to write. Method: a program that is to be
/// served, an app that serves and is to be run, two at one port.
#[test]
fn reject_what_is_not_what_its_scenario_says() {
    let lab = Lab::new();
    let page = fetches("/hello/a", "10ms");
    let said = lab.fails(&served("hello", GRANTED, &page));
    assert!(
        said.contains("nothing to serve") && said.contains("leave `serve` out"),
        "{said}"
    );
    let said = lab.fails(&served("http-api", GRANTED, &page).replace("serve = 80\n", ""));
    assert!(
        said.contains("nothing to run") && said.contains("serve = PORT"),
        "{said}"
    );
    let again = format!(
        "{GRANTED}\n[[node.app]]\ncomponent = {:?}\nserve = 80\n{GRANTED}\n",
        component("http-api")
    );
    let said = lab.fails(&served("http-api", &again, &page));
    assert!(
        said.contains("failed: serve = \"stack:0.0.0.0:80\": "),
        "{said}"
    );
}

/// Goal: a port is a node's at all its addresses, of both families. Method: a caller of each.
#[test]
fn a_port_is_served_in_both_families() {
    let lab = Lab::new();
    let steps = get("/hello", "200 OK");
    let more = calls(&steps)
        + &calls(&steps)
            .replace("\"caller\"", "\"six\"")
            .replace("10.0.0.3/24", "fd00::3/64");
    let text = served("probes/http_serve_p2", GRANTED, &more)
        .replace("[\"10.0.0.1/24\"]", "[\"10.0.0.1/24\", \"fd00::1/64\"]");
    lab.passes(&text);
}

/// Goal: what the guide shows runs. Method: its scenario beside the components it names.
#[test]
fn the_guides_scenario_runs() {
    let lab = Lab::new();
    for name in ["http-api", "web-fetch"] {
        let copy = lab.0.path().join(format!("{name}.wasm"));
        std::fs::copy(component(name), copy).expect("copied");
    }
    let page = root().join("docs/guide/simulation.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks = page.split("```toml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split("```").next());
    let text = blocks.find(|block| block.contains("serve = 80"));
    lab.passes(text.expect("a scenario of an app that serves"));
}
