//! `--mode observe` and `learn`, from outside: what passes, what never does, what is said of it, and that what was
//! learnt is what the run used.

mod guests;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use nexus_policy::{Capability, Manifest};
use serde_json::Value;

/// Asks for nothing.
const EMPTY: &str = "[app]\nid = \"com.example.empty\"\nversion = \"1.2\"\n";

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("empty.toml"), EMPTY).expect("written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("reads")
    }

    fn report(&self) -> Value {
        serde_json::from_str(&self.read("r.json")).expect("JSON")
    }

    fn command(&self, app: &str, arguments: &str) -> Command {
        let mut command = Command::new(guests::HOST);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
            .arg("run")
            .arg(guests::component(app))
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it, and it ends with this code; what it said on standard error.
    #[track_caller]
    fn ends(&self, code: i32, app: &str, arguments: &str) -> (Output, String) {
        let output = self
            .command(app, arguments)
            .output()
            .expect("the host runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments}\n{said}");
        (output, said)
    }

    /// What was learnt, by capability.
    fn learnt(&self, name: &str) -> Vec<(Capability, Vec<String>)> {
        let manifest = Manifest::parse(&self.read(name), name).expect("parses");
        let rules = manifest.capabilities().map(|(capability, asked)| {
            let rules = asked.rules.iter().map(ToString::to_string);
            (capability, rules.collect())
        });
        rules.collect()
    }
}

/// A web server of this machine's: every request is answered with `hello`; its port.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

/// Goal: issue 5, "Shown by" 4: what is learnt from a run of `fetch` lets the same run pass in `enforce`, and its
/// rules are exactly what the run used. Method: a server of this machine's, and a manifest that asks for nothing.
#[test]
fn a_run_passes_by_the_manifest_it_was_learnt_from() {
    let world = World::new();
    let port = server();
    let url = format!("http://host.internal:{port}/");
    world.file(
        "asks-limits.toml",
        &format!("{EMPTY}[limits]\nmemory = \"32MiB\"\n"),
    );
    let (output, said) = world.ends(
        0,
        "fetch",
        &format!("--manifest asks-limits.toml --mode learn out.toml --report r.json -- {url}"),
    );
    assert!(output.stdout.ends_with(b"hello\n") || output.stdout.ends_with(b"hello"));
    assert!(said.starts_with("--mode learn: "), "{said}");
    assert!(
        said.contains("would not have started: 1 import missing"),
        "{said}"
    );
    let rule = format!("host.internal:{port}");
    let connect = Capability::NetworkTcpConnect;
    assert_eq!(world.learnt("out.toml"), [(connect, vec![rule])]);
    let text = world.read("out.toml");
    assert!(
        text.contains("memory = \"32MiB\"") && text.contains("version = \"1.2\""),
        "{text}"
    );
    // What the app is passed may be a secret.
    assert!(
        text.contains("(1 argument of the app's)") && !text.contains("http:"),
        "{text}"
    );
    let report = world.report();
    assert_eq!(report["mode"], "learn");
    assert_eq!(report["learnt"]["rules"], 1);
    assert_eq!(report["observed"][0]["needs"][0], "network.tcp.connect");
    assert_eq!(report["passed"][0]["reason"], "not-granted");

    world.ends(
        0,
        "fetch",
        &format!("--manifest out.toml --allow-manifest -- {url}"),
    );
    // And no further than that.
    let other = format!("http://host.internal:{}/", server());
    world.ends(
        1,
        "fetch",
        &format!("--manifest out.toml --allow-manifest -- {other}"),
    );
}

/// Goal: what listens is learnt as well, and written when a signal ends the run. Method: an echo through a published
/// port, SIGTERM, and the echo again in `enforce` with the operator's rule.
#[test]
fn a_server_passes_by_the_manifest_it_was_learnt_from() {
    let world = World::new();
    world.file(
        "policy.toml",
        "[[rule]]\nid = \"r\"\ncapability = \"network.tcp.listen\"\nverdict = \"allow\"\nto = [\"any:7777\"]\n",
    );
    let echo = |arguments: &str| {
        let arguments = format!("{arguments} --publish 0:7777");
        let mut child = world
            .command("tcp-echo", &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the host runs");
        let mut said = BufReader::new(child.stderr.take().expect("piped")).lines();
        let published = said
            .by_ref()
            .map(|line| line.expect("a line"))
            .find(|line| line.starts_with("published "))
            .expect("published");
        let at = published.split(' ').nth(1).expect("an address").to_owned();
        let mut heard = BufReader::new(child.stdout.take().expect("piped")).lines();
        let listening = heard.next().expect("listens").expect("a line");
        assert!(listening.starts_with("listening"), "{listening}");
        let mut stream = TcpStream::connect(at).expect("connects");
        stream.write_all(b"hello").expect("written");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("finished");
        let mut back = String::new();
        stream.read_to_string(&mut back).expect("reads");
        assert_eq!(back, "hello");
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("sent");
        let rest: Vec<_> = said.map_while(Result::ok).collect();
        assert_eq!(child.wait().expect("ends").code(), Some(143), "{rest:?}");
    };
    echo("--manifest empty.toml --mode learn out.toml");
    let listen = Capability::NetworkTcpListen;
    let want = [(listen, vec!["any:7777".to_owned()])];
    assert_eq!(world.learnt("out.toml"), want);
    assert!(world.read("out.toml").contains("class = \"system\""));
    echo("--manifest out.toml --allow-manifest --policy policy.toml");
}

/// Goal: no mode reaches past a forbid, at load or at a call, and nothing of it is learnt. Method: the destination
/// forbidden, then the whole capability; the server must hear nothing.
#[test]
fn reject_what_is_forbidden_in_every_mode() {
    let world = World::new();
    let port = server();
    let forbid = |to: &str| {
        format!(
            "[[rule]]\nid = \"no\"\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\n{to}"
        )
    };
    world.file("one.toml", &forbid(&format!("to = [\"host:{port}\"]\n")));
    world.file("all.toml", &forbid(""));
    let flags = "--manifest empty.toml --report r.json --policy";
    let url = format!("-- http://host.internal:{port}/");
    let (output, said) = world.ends(
        1,
        "fetch",
        &format!("{flags} one.toml --mode learn one-out.toml {url}"),
    );
    assert!(output.stdout.is_empty(), "nothing was fetched");
    assert!(said.contains("[operator-denied]"), "{said}");
    assert_eq!(world.report()["denials"][0]["reason"], "operator-denied");
    assert!(!world.read("one-out.toml").contains(&port.to_string()));
    for mode in ["observe", "learn all-out.toml"] {
        let (_, said) = world.ends(
            77,
            "fetch",
            &format!("{flags} all.toml --mode {mode} {url}"),
        );
        assert!(said.contains("[operator-denied]"), "{said}");
    }
    assert!(!world.path("all-out.toml").exists());
}

/// Goal: a run that lets pass says so, `--quiet` or not, in words or in JSON. Method: both outputs, and a run in
/// `enforce`, which says nothing.
#[test]
fn the_mode_is_always_told() {
    let world = World::new();
    let url = format!("-- http://host.internal:{}/", server());
    let flags = "--manifest empty.toml --mode observe";
    let (_, said) = world.ends(0, "fetch", &format!("{flags} --quiet {url}"));
    let first = said.lines().next().unwrap_or_default();
    assert!(first.starts_with("--mode observe: "), "{said}");
    assert!(
        said.contains("never let pass: ") && said.contains("acts would have been refused"),
        "{said}"
    );
    assert!(!said.contains("passed  "), "{said}");
    let (_, said) = world.ends(0, "fetch", &format!("{flags} --output json {url}"));
    let mut lines = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert_eq!(lines.next().expect("a banner")["mode"], "observe");
    assert_eq!(
        lines.next().expect("the report")["data"]["passed_others"],
        0
    );
    let (_, said) = world.ends(0, "hello", "--quiet --report r.json");
    assert_eq!(said, "");
    assert_eq!(world.report()["mode"], "enforce");
}

/// Goal: what was used is written however a run ends, and of nothing used a manifest that asks for nothing. Method:
/// apps that trap, run past their deadline and fail.
#[test]
fn a_manifest_is_written_however_the_run_ends() {
    let world = World::new();
    for (app, flags, code, ended) in [
        ("probes/trap", "", 134, "trap"),
        ("probes/spin", "--timeout 100ms", 124, "deadline"),
        ("probes/exit_code_7", "", 7, "exit code 7"),
        ("hello", "", 0, "exit code 0"),
    ] {
        let out = format!("{}.toml", app.replace('/', "-"));
        let arguments = format!("--manifest empty.toml --mode learn {out} {flags}");
        let (_, said) = world.ends(code, app, &arguments);
        assert!(said.contains("it asks for nothing"), "{said}");
        assert!(
            world
                .read(&out)
                .contains(&format!("# The run ended with {ended}.\n"))
        );
        let asked = world.learnt(&out);
        assert!(asked.iter().all(|(_, rules)| rules.is_empty()), "{asked:?}");
    }
}

/// Goal: no file is written over, and nothing runs that could not be learnt from. Method: a file that is there, a
/// folder that is not, one file for two things by two names.
#[test]
fn reject_a_file_that_could_not_be_written_before_anything_runs() {
    let world = World::new();
    std::os::unix::fs::symlink(".", world.path("here")).expect("linked");
    for (code, arguments, says) in [
        (2, "--mode learn empty.toml", "is there already"),
        (2, "--mode learn r.json --report r.json", "both name r.json"),
        (
            2,
            "--mode learn o.toml --report ./o.toml",
            "both name o.toml",
        ),
        (
            2,
            "--mode learn here/p.toml --report p.toml",
            "both name here/p.toml",
        ),
        (1, "--mode learn absent/out.toml", "absent/out.toml"),
        (2, "--mode learn", "--mode learn OUT.toml"),
        (2, "--mode lean", "enforce, observe, learn OUT.toml"),
    ] {
        let (output, said) = world.ends(code, "hello", arguments);
        assert!(said.contains(says), "{said}");
        assert!(output.stdout.is_empty(), "it ran");
    }
    assert_eq!(world.read("empty.toml"), EMPTY);
}
