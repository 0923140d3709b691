//! Components with nothing of ours in them: what the tools of four languages make of programs that know WASI alone.
//!
//! On the `user` network, so they need no root; they need what `cargo xtask build --polyglot` does, and a server that is
//! not ours: Python's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use nexus_testbed::alone;

use crate::guests::{build, root};
use crate::run::{Run, file};

/// A JavaScript engine or a Python interpreter is compiled on its first run.
const PATIENCE_FIRST: Duration = Duration::from_secs(120);

/// A page of 6,000 lines, no two the same, so that what is lost or moved shows; and its server.
struct Server {
    run: Run,
    port: String,
    page: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let page: String = (0..6_000)
            .map(|number| format!("line {number} of a page: grüße, {}\n", number * number))
            .collect();
        fs::write(folder.path().join("page.txt"), &page).unwrap();
        let run = Run::program(&[
            "python3",
            "-u",
            "-m",
            "http.server",
            "0",
            "--bind",
            "127.0.0.1",
            "--directory",
            folder.path().to_str().unwrap(),
        ])
        .prints("Serving HTTP on");
        let port = run.printed().split(" port ").nth(1).expect("it says which");
        let port = port.split_whitespace().next().unwrap().to_owned();
        Self {
            run,
            port,
            page,
            _folder: folder,
        }
    }

    fn url(&self) -> String {
        format!("http://host.internal:{}/page.txt", self.port)
    }

    /// How often it was asked for anything, up to a request that is logged last: our own.
    fn requests(&mut self) -> usize {
        let last = format!("http://127.0.0.1:{}/last", self.port);
        let ask = "import sys, urllib.request, urllib.error\n\
                   try: urllib.request.urlopen(sys.argv[1])\n\
                   except urllib.error.HTTPError: pass";
        nexus_testbed::output(&["python3", "-c", ask, &last]);
        let log = self.run.says("GET /last");
        log.matches("\"GET ").count() - 1
    }
}

/// A component by the name `cargo xtask build --polyglot` gives it.
fn polyglot(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| build("--polyglot"));
    FOLDER.join(name).with_extension("wasm")
}

fn manifest(of: &str) -> PathBuf {
    root().join("components").join(of)
}

/// The manifest of a component, with another port, and with another path if it is to be another page's.
fn manifest_for(path: &Path, port: (&str, &str), pages: &str) -> tempfile::NamedTempFile {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(port.0), "{text}");
    file(&text.replace(port.0, port.1).replace("/*", pages))
}

/// Runs a guest against a server of its own, the whole of which or one folder of which it may ask for.
fn fetch(name: &str, pages: &str) -> (Server, i32, String, String) {
    let component = polyglot(name);
    let server = Server::start();
    let own = manifest(&format!("{name}/nexus.toml"));
    let manifest = manifest_for(&own, ("8000", &server.port), pages);
    let run = Run::of(&[
        "run",
        component.to_str().unwrap(),
        "--manifest",
        manifest.path().to_str().unwrap(),
        "--allow-manifest",
        "--timeout",
        "60s",
        "--",
        &server.url(),
    ]);
    let (code, out, err) = run.wait_for(PATIENCE_FIRST);
    (server, code, out, err)
}

/// Goal: a component in this language fetches through the host, unchanged. Method: the page, compared as a whole, from a
/// server that was asked once.
fn prints_the_page(name: &str) {
    let _alone = alone();
    let (mut server, code, out, err) = fetch(name, "/*");
    assert_eq!(code, 0, "{name}: {err}");
    // A difference of 200 kB is no message.
    assert!(out == server.page, "{name}: {} bytes: {err}", out.len());
    assert_eq!(server.requests(), 1, "{name}");
}

#[test]
#[ignore = "installs compilers: cargo xtask test --real"]
fn a_component_in_c_prints_the_page_it_fetched() {
    prints_the_page("fetch-c");
}

#[test]
#[ignore = "installs compilers: cargo xtask test --real"]
fn a_component_in_javascript_prints_the_page_it_fetched() {
    prints_the_page("fetch-js");
}

#[test]
#[ignore = "installs compilers: cargo xtask test --real"]
fn a_component_in_python_prints_the_page_it_fetched() {
    prints_the_page("fetch-py");
}

/// Goal: without a grant none starts, and the report names what it imports. Method: each with the manifest it carries,
/// nobody to ask, and a server that waits.
#[test]
#[ignore = "installs compilers: cargo xtask test --real"]
fn reject_components_of_other_languages_without_a_grant() {
    let _alone = alone();
    let mut server = Server::start();
    for name in ["fetch-c", "fetch-js", "fetch-py"] {
        let component = polyglot(name).display().to_string();
        let run = Run::of(&["run", &component, "--", &server.url()]);
        let (code, out, err) = run.wait_for(PATIENCE_FIRST);
        assert_eq!((code, &*out), (77, ""), "{name}: {err}");
        // wasi:http/types alone grants nothing, and is always there.
        for missing in ["wasi:http/outgoing-handler@0.2.", "network.http.request"] {
            assert!(err.contains(missing), "{name}: no {missing} in:\n{err}");
        }
    }
    assert_eq!(server.requests(), 0);
}

/// Goal: what is granted is all that is fetched, whatever the language. Method: each asks for a page beside the folder it
/// was granted: it ends with its own error, and the server was not asked.
#[test]
#[ignore = "installs compilers: cargo xtask test --real"]
fn reject_pages_that_were_not_granted_in_any_language() {
    let _alone = alone();
    for name in ["fetch-c", "fetch-js", "fetch-py"] {
        let (mut server, code, out, err) = fetch(name, "/another/*");
        assert_eq!((code, &*out), (1, ""), "{name}: {err}");
        assert_eq!(server.requests(), 0, "{name}");
    }
}

/// Goal: programs of std::net alone talk over the host's stack. Method: a room on a published port, and two members, each
/// a host of its own.
#[test]
#[ignore = "a part of cargo xtask test --real"]
fn programs_of_std_net_chat() {
    let _alone = alone();
    let mut room = Run::start(
        "std-chat-server",
        &[
            "--publish",
            "0:7100",
            "--allow-manifest",
            "--allow",
            "network.tcp.listen=any:7100",
            "--timeout",
            "120s",
            "--",
            "0.0.0.0:7100",
        ],
    );
    let said = room.says(" -> 7100");
    let port = said.split("127.0.0.1:").nth(1).expect("it says which");
    let port = port.split(' ').next().unwrap();
    let room = room.prints("listening on 0.0.0.0:7100");
    let own = manifest("std-chat/manifests/std-chat-client.toml");
    let manifest = manifest_for(&own, ("7100", port), "/*");
    let member = |arguments: &[&str]| {
        let own = manifest.path().to_str().unwrap();
        let common = [
            "--manifest",
            own,
            "--allow-manifest",
            "--timeout",
            "60s",
            "--",
        ];
        Run::start("std-chat-client", &[&common[..], arguments].concat())
    };
    let at = format!("host.internal:{port}");
    let ada = member(&["--take", "5", &at, "ada"]).prints("* here: ada");
    let (code, out, err) = member(&["--take", "1", &at, "bob", "hello", "bye"]).wait();
    assert_eq!((code, &*out), (0, "* here: ada, bob\n"), "{err}");
    let (code, out, err) = ada.wait();
    let heard = "* here: ada\n* bob is here\nbob: hello\nbob: bye\n* bob left\n";
    assert_eq!((code, &*out), (0, heard), "{err}");
    room.end();
}
