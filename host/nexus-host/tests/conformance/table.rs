//! docs/conformance.md: which function was seen to work where.

use std::fmt::Write as _;

use crate::guests;

/// A version of `wasi:sockets`.
pub(crate) struct Version {
    pub(crate) name: &'static str,
    pub(crate) guest: &'static str,
    /// How many its WIT has.
    pub(crate) functions: usize,
    /// Those without a probe, and why.
    pub(crate) holes: &'static [(&'static str, &'static str)],
}

pub(crate) const VERSIONS: [Version; 2] = [
    Version {
        name: "wasi:sockets 0.2",
        guest: "conformance/sockets_p2",
        functions: 53,
        holes: &[(
            "network/network-error-code",
            "`@unstable` in the WIT, and the bindings for Rust leave it out",
        )],
    },
    Version {
        name: "wasi:sockets 0.3",
        guest: "conformance/sockets_p3",
        functions: 41,
        holes: &[],
    },
];

/// A function.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) sim: &'static str,
    pub(crate) user: &'static str,
    pub(crate) stub: &'static str,
}

/// What the guests call it: `wasi:sockets/tcp@0.2.12`, `[method]tcp-socket.accept` is `tcp/tcp-socket.accept`.
pub(crate) fn name(interface: &str, function: &str) -> String {
    let interface = interface.trim_start_matches("wasi:sockets/");
    let interface = interface.split('@').next().unwrap_or_default();
    let function = function
        .trim_start_matches("[method]")
        .trim_start_matches("[static]");
    format!("{interface}/{function}")
}

pub(crate) fn head() -> String {
    "# Conformance of wasi:sockets

Every function of the two versions, and where a probe has seen that it does what the text of its WIT says. Written by
`BLESS=1 cargo test --release -p nexus-host --test conformance`, and compared with what is seen whenever that test runs.

- `sim`: a simulated world, in virtual time. `user`: the built host, without privileges, against servers of this machine.
- `tap`: a TAP interface against the kernel's servers; seen by `cargo xtask test --real`, which runs every row of this page.
- stub: the function was replaced by one that does nothing and says that it went well, and its probe failed. Where the
  result is a resource, which cannot be made up, the stub says `not-supported`; a stub of `subscribe` gives a pollable that
  is always ready, or never.

The probes are in [components/conformance](../components/conformance); each says which sentence it is about.
"
    .to_owned()
}

impl Version {
    pub(crate) fn table(&self, rows: &[Row]) -> String {
        let (all, holes) = (self.functions, self.holes.len());
        let mut text = format!("\n## {}\n\n{all} functions", self.name);
        if holes > 0 {
            let _ = write!(text, ", {holes} without a probe");
        }
        text.push_str(".\n\n| function | sim | user | tap | stub |\n|---|---|---|---|---|\n");
        for Row {
            name,
            sim,
            user,
            stub,
        } in rows
        {
            let _ = writeln!(text, "| `{name}` | {sim} | {user} | `--real` | {stub} |");
        }
        for (name, why) in self.holes {
            let _ = writeln!(text, "| `{name}` | - | - | - | {why} |");
        }
        text
    }
}

/// Compares with the page, or writes it.
pub(crate) fn check(text: &str) {
    let page = guests::root().join("docs/conformance.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&page, text).expect("it can be written");
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == text,
        "{} is not what was seen; BLESS=1 writes it anew",
        page.display()
    );
}
