//! What a refusal looks like, word for word, as the real binary says it: on `check`, `run` and
//! `policy check`. The texts are a contract: each is a file under `tests/golden`.
//!
//! To change one on purpose, run with `BLESS=1` and read the difference.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod guests;

/// An app with these imports that would do nothing and succeed.
fn app(imports: &[&str]) -> Vec<u8> {
    let imports: String = imports
        .iter()
        .map(|name| format!("(import \"{name}\" (instance))"))
        .collect();
    let text = format!(
        r#"(component {imports}
        (core module $m (func (export "run") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $out (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $out)))"#
    );
    wat::parse_str(text).expect("wat")
}

const CONNECT: &str = "nexus:net/tcp-connect@0.1.0";
const LISTEN: &str = "nexus:net/tcp-listen@0.1.0";

/// A manifest that asks for this.
fn asks(class: &str, rest: &str) -> String {
    format!("[app]\nid = \"com.example.weather\"\nclass = \"{class}\"\n{rest}")
}

fn connects(to: &str) -> String {
    asks(
        "app",
        &format!("[capabilities.\"network.tcp.connect\"]\nallow = [\"{to}\"]\n"),
    )
}

fn listens(at: &str) -> String {
    asks(
        "system",
        &format!("[capabilities.\"network.tcp.listen\"]\nallow = [\"{at}\"]\n"),
    )
}

/// A rule of the operator.
fn rule(verdict: &str, capability: &str, rest: &str) -> String {
    format!(
        "[[rule]]\nid = \"the-rule\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\n{rest}\n"
    )
}

/// One situation: files, and what is run among them.
struct Situation {
    folder: tempfile::TempDir,
    name: &'static str,
}

impl Situation {
    fn new(name: &'static str) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            name,
        }
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).expect("written");
        self
    }

    fn app(self, imports: &[&str]) -> Self {
        self.file("app.wasm", app(imports))
    }

    fn manifest(self, text: &str) -> Self {
        self.file("nexus.toml", text)
    }

    fn policy(self, text: &str) -> Self {
        self.file("policy.toml", text)
    }

    /// Runs it and holds what it says, on both streams, and its exit code against the golden file.
    /// Files that are there are passed: `nexus.toml` as --manifest, `policy.toml` as --policy.
    #[track_caller]
    fn says(self, code: i32, arguments: &str) {
        let there = |name: &str| self.folder.path().join(name).exists();
        let mut all: Vec<&str> = arguments.split(' ').collect();
        // What follows `--` is the app's.
        let end = all
            .iter()
            .position(|word| *word == "--")
            .unwrap_or(all.len());
        let mut files = Vec::new();
        if there("nexus.toml") {
            files.extend(["--manifest", "nexus.toml"]);
        }
        if there("policy.toml") {
            files.extend(["--policy", "policy.toml"]);
        }
        all.splice(end..end, files);
        let mut command = Command::new(guests::HOST);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        let output = command
            .args(&all)
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .stdin(Stdio::null())
            .output()
            .expect("the host runs");
        let said = format!(
            "$ nexus-host {}\n{}{}exit {}\n",
            all.join(" "),
            String::from_utf8_lossy(&output.stdout),
            app_first(&String::from_utf8_lossy(&output.stderr)),
            output.status.code().expect("no signal"),
        );
        let said = normal(&said, self.folder.path());
        assert_eq!(output.status.code(), Some(code), "{said}");
        let golden = golden(self.name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(golden.parent().expect("a folder")).expect("made");
            fs::write(&golden, &said).expect("written");
        }
        let want = fs::read_to_string(&golden).unwrap_or_default();
        assert!(
            said == want,
            "tests/golden/{}.txt would be\n<<<\n{said}>>>\nand is\n<<<\n{want}>>>\nBLESS=1 renews it",
            self.name
        );
    }
}

/// What the app says of a refusal comes before the host's word or after it, as the two take turns: here it is first.
fn app_first(said: &str) -> String {
    let lines = said.split_inclusive('\n');
    let (app, host): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with("error: denied ("));
    app.concat() + &host.concat()
}

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(format!("{name}.txt"))
}

/// Without what differs from machine to machine: folders, digests, times.
fn normal(said: &str, folder: &Path) -> String {
    let real = folder.canonicalize().expect("there");
    let said = said
        .replace(real.to_str().expect("UTF-8"), "FOLDER")
        .replace(folder.to_str().expect("UTF-8"), "FOLDER");
    let mut out = String::with_capacity(said.len());
    let mut rest = said.as_str();
    while let Some(at) = rest.find("sha256:") {
        let (before, after) = rest.split_at(at + "sha256:".len());
        out.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        // What a person wrote (too short to be one) stays; eight and an ellipsis are ours.
        if digits >= 8 {
            out.push_str("DIGEST");
            rest = &after[digits..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    // The summary of a run has times in it.
    let lines: Vec<_> = out
        .lines()
        .filter(|line| !line.starts_with("nexus-host: "))
        .collect();
    lines.join("\n") + "\n"
}

#[test]
fn reject_at_load_what_nobody_asked_for_or_said_yes_to() {
    Situation::new("no-manifest")
        .app(&[CONNECT])
        .says(77, "run app.wasm");
    Situation::new("not-asked-for")
        .app(&[CONNECT, LISTEN])
        .manifest(&connects("api.example.com:443"))
        .says(77, "run app.wasm --allow-manifest");
    Situation::new("consent-required-headless")
        .app(&[CONNECT])
        .manifest(&connects("api.example.com:443"))
        .says(77, "run app.wasm");
    Situation::new("consent-required-by-rule")
        .app(&[CONNECT])
        .manifest(&connects("api.example.com:443"))
        .policy(&rule("ask", "network.tcp.connect", ""))
        .says(77, "run app.wasm");
}

#[test]
fn reject_at_load_what_the_operator_forbids() {
    Situation::new("operator-refused")
        .app(&[CONNECT])
        .manifest(&connects("api.example.com:443"))
        .policy(&rule(
            "forbid",
            "network.tcp.connect",
            "to = [\"*.example.com:*\"]",
        ))
        .says(77, "run app.wasm --allow-manifest");
    Situation::new("forbid-over-allow")
        .app(&[CONNECT])
        .policy(&rule("forbid", "network.tcp.connect", ""))
        .says(
            77,
            "run app.wasm --allow network.tcp.connect=api.example.com:443",
        );
    Situation::new("system-class-headless")
        .app(&[LISTEN])
        .manifest(&listens("any:8080"))
        .says(77, "run app.wasm --allow-manifest");
}

#[test]
fn reject_at_load_imports_that_nothing_provides() {
    Situation::new("unknown-import")
        .app(&["acme:oven/heat@1.0.0"])
        .says(77, "run app.wasm");
    Situation::new("absent-capability")
        .app(&["nexus:dsoftbus/discovery@0.1.0"])
        .manifest(&asks(
            "app",
            "[capabilities.\"dsoftbus.discover\"]\nallow = [\"acme.thermo\"]\n",
        ))
        .says(77, "run app.wasm --allow-manifest");
    Situation::new("other-version")
        .app(&["nexus:net/tcp-connect@0.2.0"])
        .manifest(&connects("api.example.com:443"))
        .says(77, "run app.wasm --allow-manifest");
}

#[test]
fn reject_at_load_folders_variables_and_limits() {
    Situation::new("limit-over-cap")
        .app(&[])
        .manifest(&asks(
            "app",
            "[limits]\nmemory = \"512MiB\"\nsockets = 300\n",
        ))
        .policy("[limits]\nmemory = \"256MiB\"\n")
        .says(77, "run app.wasm");
    Situation::new("folder-not-allowed")
        .app(&[])
        .manifest(&asks(
            "app",
            "[wasi]\ndirs = [{ host = \"./data\", guest = \"/data\", mode = \"rw\" }]\n",
        ))
        .says(77, "run app.wasm --allow-manifest");
    Situation::new("variable-not-allowed")
        .app(&[])
        .manifest(&asks("app", "[wasi]\nenv = { LANG = \"en\" }\n"))
        .says(77, "run app.wasm --allow-manifest");
}

#[test]
fn reject_manifests_that_cannot_be_meant() {
    Situation::new("capability-typo")
        .app(&[])
        .manifest(&asks(
            "app",
            "[capabilities.\"network.tcp.conect\"]\nallow = [\"a.example:1\"]\n",
        ))
        .says(78, "run app.wasm");
    Situation::new("system-class-asked-by-app")
        .app(&[LISTEN])
        .manifest(&listens("any:8080").replace("\"system\"", "\"app\""))
        .says(78, "run app.wasm");
    Situation::new("rule-without-port")
        .app(&[CONNECT])
        .manifest(&connects("api.example.com"))
        .says(78, "run app.wasm");
    Situation::new("wildcard-over-public-suffix")
        .app(&[CONNECT])
        .manifest(&connects("*.co.uk:443"))
        .says(78, "run app.wasm");
    Situation::new("numeric-host-in-rule")
        .app(&[CONNECT])
        .manifest(&connects("0x7f.1:80"))
        .says(78, "run app.wasm");
    Situation::new("manifest-unreadable")
        .app(&[])
        .says(78, "run app.wasm --manifest absent.toml");
    Situation::new("manifest-no-toml")
        .app(&[])
        .manifest("\u{7f}ELF\0\0")
        .says(78, "run app.wasm");
}

#[test]
fn reject_policies_that_cannot_be_meant() {
    Situation::new("policy-key-typo")
        .app(&[])
        .policy(&rule("forbid", "network.tcp.connect", "too = [\"lan:*\"]"))
        .says(78, "run app.wasm");
    Situation::new("policy-verdict-typo")
        .app(&[])
        .policy(&rule("deny", "network.tcp.connect", ""))
        .says(78, "run app.wasm");
    Situation::new("policy-bad-digest")
        .app(&[])
        .policy(&rule(
            "forbid",
            "network.tcp.connect",
            "app = { digest = \"sha256:12\" }",
        ))
        .says(78, "run app.wasm");
    Situation::new("policy-id-alone")
        .app(&[])
        .policy(&rule(
            "allow",
            "network.tcp.connect",
            "to = [\"lan:*\"]\napp = { id = \"com.example.weather\" }",
        ))
        .says(78, "run app.wasm");
}

/// A situation whose app may connect to whatever this rule covers.
fn may_connect(name: &'static str, to: &str) -> Situation {
    Situation::new(name).app(&[CONNECT]).manifest(&connects(to))
}

#[test]
fn reject_acts_each_with_who_says_so() {
    let check = |rest: &str| format!("policy check app.wasm --allow-manifest {rest}");
    may_connect("act-not-permitted", "api.example.com:443")
        .says(77, &check("--tcp api.example.com:80"));
    may_connect("act-special-range", "public:443").says(77, &check("--tcp 10.0.0.7:443"));
    may_connect("act-address-in-another-form", "public:443")
        .says(77, &check("--tcp [::ffff:10.0.0.7]:443"));
    may_connect("act-numeric-host", "loopback:80").says(77, &check("--tcp 0x7f.1:80"));
    may_connect("act-metadata", "169.254.169.254:80").says(
        77,
        "policy check app.wasm --allow-manifest --tcp 169.254.169.254:80",
    );
    may_connect("act-name-leads-to-lan", "api.example.com:443")
        .says(77, &check("--tcp api.example.com:443 --address 10.0.0.7"));
    may_connect("act-name-not-permitted", "api.example.com:443")
        .says(77, &check("--resolve evil.example"));
    may_connect("act-host-by-address", "public:8000").says(77, &check("--tcp 192.0.0.1:8000"));
    may_connect("act-forbidden-in-part", "public:443")
        .policy(&rule(
            "forbid",
            "network.tcp.connect",
            "to = [\"93.184.216.0/24:*\"]",
        ))
        .says(77, &check("--tcp 93.184.216.34:443"));
    Situation::new("act-expired-rule")
        .app(&[])
        .manifest(&listens("any:8080"))
        .policy(&rule(
            "allow",
            "network.tcp.listen",
            "to = [\"any:8080\"]\nexpires = \"2020-01-01T00:00:00Z\"",
        ))
        .says(77, &check("--listen any:8080"));
    Situation::new("act-bind-not-permitted")
        .app(&[LISTEN])
        .manifest(&listens("loopback:8080"))
        .policy(&rule(
            "allow",
            "network.tcp.listen",
            "to = [\"loopback:8080\"]",
        ))
        .says(77, &check("--listen any:8080"));
    Situation::new("act-folder-and-variable")
        .app(&[])
        .says(77, &check("--dir /srv/data:rw --env PATH"));
}

#[test]
fn what_is_allowed_says_by_whom() {
    may_connect("allowed-by-consent", "api.example.com:443").says(
        0,
        "policy check app.wasm --allow-manifest --tcp api.example.com:443",
    );
    may_connect("allowed-by-the-operator", "*.example.com:443")
        .policy(&rule("allow", "network.tcp.connect", "to = [\"public:443\"]"))
        .says(0, "policy check app.wasm --tcp api.example.com:443 --address 93.184.216.34 --resolve www.example.com");
    Situation::new("allowed-once").app(&[CONNECT]).says(
        0,
        "policy check app.wasm --allow network.tcp.connect=lan:631 --tcp 192.168.1.9:631",
    );
}

#[test]
fn check_says_what_an_app_would_get_and_why() {
    Situation::new("check-optional-stub")
        .app(&[CONNECT])
        .manifest(&(connects("api.example.com:443") + "optional = true\n"))
        .says(0, "check app.wasm");
    Situation::new("check-narrowed")
        .app(&[CONNECT])
        .manifest(&connects("10.0.0.0/8:80"))
        .policy(
            &(rule("forbid", "network.tcp.connect", "to = [\"10.1.0.0/16:*\"]")
                + "[limits]\nmemory = \"32MiB\"\ntimeout = \"10m\"\n"),
        )
        .says(0, "check app.wasm --allow-manifest");
}

/// A real guest tries to go where it may not: the call is refused, the refusal is told as it
/// happens, and nothing is looked up.
#[test]
fn reject_a_call_while_it_runs() {
    let fetch = fs::read(guests::component("fetch")).expect("built");
    Situation::new("run-name-not-permitted")
        .file("app.wasm", fetch)
        .manifest(&connects("api.example.com:80"))
        .says(1, "run app.wasm --allow-manifest -- http://evil.example/");
}

/// Goal: what the host serves on this machine is no app's, whatever it is granted: the numbers tell of all apps.
/// Method: `--metrics` at a loopback address that nobody else uses, and an app that may speak with this machine.
#[test]
fn reject_the_hosts_own_port() {
    let fetch = fs::read(guests::component("fetch")).expect("built");
    Situation::new("run-host-owned-port")
        .file("app.wasm", fetch)
        .manifest(&connects("host.internal:*"))
        .says(
            1,
            "run app.wasm --allow-manifest --metrics 127.94.64.1:9464 -- http://host.internal:9464/metrics",
        );
}

/// A publisher, by any key.
const PUBLISHER: &str = "[[publisher]]\nname = \"acme\"\nkey = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n";

/// A policy's difference, in the words of the terminal.
#[test]
fn a_difference_of_policies_is_told() {
    let old = rule("forbid", "network.tcp.connect", "to = [\"10.0.0.0/8:*\"]");
    let new = rule("forbid", "network.tcp.connect", "to = [\"10.0.0.0/9:*\"]")
        + "[limits]\nmemory = \"32MiB\"\n";
    let two = |name, new: &str| {
        Situation::new(name)
            .file("old.toml", &old)
            .file("new.toml", new)
    };
    two("diff-wider-and-narrower", &new).says(1, "policy diff old.toml new.toml");
    two("diff-renamed", &old.replace("the-rule", "another"))
        .says(0, "policy diff old.toml new.toml");
    let signed = format!("require-signature = true\n{PUBLISHER}{old}");
    two("diff-signatures", &signed).says(1, "policy diff old.toml new.toml");
    two("diff-bad-file", "[[rul]]\n").says(78, "policy diff old.toml new.toml");
    two(
        "diff-app",
        &rule("allow", "network.tcp.connect", "to = [\"example.com:80\"]"),
    )
    .file(
        "fetch.wasm",
        fs::read(guests::component("fetch")).expect("built"),
    )
    .says(1, "policy diff old.toml new.toml --app fetch.wasm");
    two(
        "diff-app-manifest",
        &rule("allow", "network.tcp.connect", "to = [\"lan:80\"]"),
    )
    .app(&[CONNECT])
    .file("asks.toml", connects("10.1.2.3:80"))
    .says(
        1,
        "policy diff old.toml new.toml --app app.wasm --manifest asks.toml",
    );
}
