//! `nexus-host new`: what it makes builds with ordinary cargo, passes its own tests and runs; the guide's first app, too.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The `nexus-host` under test.
const HOST: &str = env!("CARGO_BIN_EXE_nexus-host");

/// The repository.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("host/nexus-host is two folders down")
}

/// Where the apps of these tests are built: kept, so that what they depend on is compiled once.
fn target() -> PathBuf {
    let target = Path::new(HOST).ancestors().nth(2);
    let target = target
        .expect("target/<profile>/nexus-host")
        .join("new-apps");
    fs::create_dir_all(&target).expect("made");
    target
}

/// A shell in `dir` that has what a developer has: cargo and nexus-host, and the flags of `cargo xtask setup --print`.
fn shell(dir: &Path, script: &str) -> Output {
    let host = Path::new(HOST).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // Of the build these tests are part of; an app is another.
        let is_of_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if is_of_cargo || text.ends_with("RUSTFLAGS") || text == "CARGO_TARGET_DIR" {
            command.env_remove(name);
        }
    }
    command
        .arg("-ec")
        .arg(format!(
            "eval \"$(cd '{}' && CARGO_TARGET_DIR='{}' '{}' xtask setup --print)\"\n{script}",
            root().display(),
            target().parent().expect("a folder").display(),
            env!("CARGO"),
        ))
        .current_dir(dir)
        .env("PATH", format!("{}:{path}", host.display()))
        .env("CARGO_NET_OFFLINE", "true")
        .env("NEXUS_STATE", dir.join("state"))
        .output()
        .expect("it runs")
}

#[track_caller]
fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(!errors.contains("warning: "), "{errors}");
    said
}

fn new(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(HOST)
        .arg("new")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Takes what was compiled of one app, which no other will use, out of the folder they share.
fn forget(dir: &Path, name: &str) {
    let clean = format!("cargo clean -q --release -p {name} -p nexus-sdk -p nexus-types");
    succeeds(&shell(
        dir,
        &format!("{clean}\n{clean} --target wasm32-wasip2"),
    ));
}

/// Makes and builds an app of a template; its folder in `dir`.
fn built(dir: &Path, template: &str, name: &str) -> PathBuf {
    let (code, said, errors) = new(dir, &[name, "--template", template]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{said}");
    let app = dir.join(name);
    symlink(target(), app.join("target")).expect("linked");
    let script =
        "cargo fmt --check\ncargo test --release\ncargo build --release --target wasm32-wasip2";
    let said = succeeds(&shell(&app, script));
    assert!(said.contains("test result: ok. "), "{said}");
    app
}

/// Goal: a client begins as one that works. Method: made outside this repository, built offline, tested by its own tests
/// natively and in its scenarios, checked with a yes and without.
#[test]
fn clients_build_and_pass_their_own_tests() {
    for (template, scenarios) in [("tcp", 3), ("http", 4)] {
        let dir = tempfile::tempdir().expect("a folder");
        let name = format!("new-{template}");
        let app = built(dir.path(), template, &name);
        let said = succeeds(&shell(&app, "nexus-host test"));
        let wanted = format!("test result: ok. {scenarios} passed; 0 failed");
        assert!(said.contains(&wanted), "{said}");
        let check = format!(
            "nexus-host check target/wasm32-wasip2/release/new_{template}.wasm --manifest nexus.toml"
        );
        let said = succeeds(&shell(&app, &format!("{check} --allow-manifest")));
        assert!(said.contains("it would start"), "{said}");
        assert_eq!(shell(&app, &check).status.code(), Some(77));
        forget(&app, &name);
    }
}

/// Ends the process with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Goal: a service begins as one that works. Method: made, built and tested as above, its scenarios, too; then served, and asked over a real
/// connection for what it has, and for what it has not.
#[test]
fn a_service_builds_and_is_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let app = built(dir.path(), "service", "new-service");
    let wasm = "target/wasm32-wasip2/release/new_service.wasm";
    let check = format!("nexus-host check {wasm} --manifest nexus.toml");
    assert!(succeeds(&shell(&app, &check)).contains("it would start"));
    let said = succeeds(&shell(&app, "nexus-host test"));
    assert!(
        said.contains("test result: ok. 2 passed; 0 failed"),
        "{said}"
    );

    let mut host = Ended(
        Command::new(HOST)
            .args(["serve", wasm, "--manifest", "nexus.toml"])
            .args(["--listen", "127.0.0.1:0", "--state", "state"])
            .current_dir(&app)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs"),
    );
    let mut says = BufReader::new(host.0.stderr.take().expect("piped")).lines();
    let address = says
        .find_map(|line| {
            let line = line.expect("text");
            let at = line.strip_prefix("serving http://")?;
            Some(at.trim_end_matches('/').to_owned())
        })
        .expect("it says where");
    // What it says goes on, and is nobody's to wait for.
    std::thread::spawn(move || says.for_each(drop));
    let asked = |head: &str, body: &str| {
        let mut stream = TcpStream::connect(&address).expect("connects");
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    };
    let hello = asked("GET /hello/w%C3%B6rld", "");
    assert!(hello.starts_with("HTTP/1.1 200 "), "{hello}");
    assert!(hello.ends_with("\r\n\r\n{\"hello\":\"wörld\"}"), "{hello}");
    let sum = asked("POST /sum", r#"{"numbers": [1, 2, 39]}"#);
    assert!(sum.ends_with("{\"sum\":42}"), "{sum}");
    for (head, body, status) in [
        ("GET /nowhere", "", 404),
        ("GET /sum", "", 405),
        ("POST /sum", "1 2 39", 400),
        ("POST /sum", &" ".repeat((64 << 10) + 1), 413),
    ] {
        let answer = asked(head, body);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let other = asked("DELETE /hello/a", "").to_lowercase();
    assert!(other.contains("\r\nallow: get, head\r\n"), "{other}");
    drop(host);
    forget(&app, "new-service");
}

/// Goal: the guide's page of the first app says what works. Method: each command of its console blocks, one after the
/// other, as it stands there.
#[test]
fn the_guides_first_app_is_as_it_says() {
    let page = fs::read_to_string(root().join("docs/guide/first-app.md")).expect("the page");
    let mut script = String::new();
    let mut in_console = false;
    for line in page.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| in_console) {
            script.push_str(command);
            script.push('\n');
            if command == "cd weather" {
                script.push_str(&format!("ln -s '{}' target\n", target().display()));
            }
        }
    }
    assert_eq!(script.lines().count(), 10, "{script}");
    let dir = tempfile::tempdir().expect("a folder");
    let said = succeeds(&shell(dir.path(), &script));
    for wanted in [
        "made weather/",
        "test result: ok. 3 passed; 0 failed",
        "it would start",
        "network.tcp.connect",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    forget(&dir.path().join("weather"), "weather");
}

/// Goal: one look tells what was made and what comes next, people and programs. Method: both outputs; an empty folder is
/// taken.
#[test]
fn it_says_what_it_made() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("app")).expect("made");
    let (code, said, _) = new(dir.path(), &["app", "--template", "tcp"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("made app/\n"), "{said}");
    let next =
        "next:\n  cd app && cargo build --release --target wasm32-wasip2\n  nexus-host test\n";
    assert!(said.ends_with(next), "{said}");

    let (code, said, _) = new(
        dir.path(),
        &["other", "--template", "http", "--output", "json"],
    );
    let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, &answer["ok"]), (Some(0), &true.into()));
    assert_eq!(answer["data"]["folder"], "other");
    for file in answer["data"]["files"].as_array().expect("files") {
        let path = dir
            .path()
            .join("other")
            .join(file.as_str().expect("a path"));
        assert!(path.is_file(), "{}", path.display());
    }
}

#[test]
fn reject_a_folder_that_holds_something() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("full")).expect("made");
    fs::write(path("full/nexus.toml"), "precious").expect("written");
    fs::write(path("file"), "precious").expect("written");
    fs::create_dir(path("empty")).expect("made");
    symlink(path("empty"), path("link")).expect("linked");
    symlink(path("nowhere"), path("dangling")).expect("linked");
    for name in ["full", "file", "link", "dangling"] {
        let (code, said, errors) = new(dir.path(), &[name, "--template", "tcp"]);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{errors}");
        assert!(
            errors.contains(name) && errors.contains("fix: "),
            "{errors}"
        );
    }
    let text = |name: &str| fs::read_to_string(path(name)).expect("there");
    assert_eq!(
        (text("file"), text("full/nexus.toml")),
        ("precious".into(), "precious".into())
    );
    assert_eq!(fs::read_dir(path("full")).expect("there").count(), 1);
    assert_eq!(fs::read_dir(path("empty")).expect("there").count(), 0);
    assert!(!path("nowhere").exists());
}

#[test]
fn reject_names_and_templates_that_are_none() {
    let dir = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["../app", "--template", "tcp"][..],
        &["App", "--template", "tcp"],
        &["std", "--template", "tcp"],
        &["app", "--template", "udp"],
        &["app"],
    ] {
        let (code, _, errors) = new(dir.path(), arguments);
        assert_eq!(code, Some(2), "{errors}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
}
