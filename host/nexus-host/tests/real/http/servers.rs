//! The servers, each by a file of its own kind beside this one, and what they log.
//!
//! Each is at the ports of [`ORIGINS`]; has `/page` with its length said and `/chunked` without, and keeps what is put
//! below `/put/` once it is whole. For each request it logs `seen CLIENT-PORT METHOD PATH`.

use std::fs;
use std::path::{Path, PathBuf};

use nexus_testbed::output;

use super::{ORIGINS, Place};
use crate::guests::HOST;
use crate::peer::connect;
use crate::run::Run;

/// Those that are unpacked for the tests and not installed (an installed server starts with the machine).
fn unpacked(name: &str) -> String {
    let target = Path::new(HOST).ancestors().nth(2).unwrap();
    let folder = target.join("tools/servers");
    let program = folder.join("usr/sbin").join(name);
    if !program.is_file() {
        return name.to_owned();
    }
    let libraries = fs::read_dir(folder.join("usr/lib")).into_iter().flatten();
    let libraries: Vec<PathBuf> = libraries.flatten().map(|entry| entry.path()).collect();
    let libraries = std::env::join_paths(libraries).unwrap();
    // What the program needs beside itself was unpacked with it.
    format!(
        "env LD_LIBRARY_PATH={} {}",
        libraries.display(),
        program.display()
    )
}

/// One that runs; more than one program, if one stands behind the other.
pub(super) struct Server {
    runs: Vec<Run>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Nginx,
    /// Before nginx.
    Haproxy,
    Node,
    Python,
}

impl Kind {
    pub(super) fn start(self, place: Place) -> Server {
        // What a file says of places is written into a copy of it.
        let write = |name: &str, text: &str, ports: [u16; 3]| {
            let [http, old, new] = ports.map(|port| port.to_string());
            let text = text
                .replace("@FOLDER@", &place.path().display().to_string())
                .replace("@HTTP@", &http)
                .replace("@TLS12@", &old)
                .replace("@TLS13@", &new);
            fs::write(place.path().join(name), text).unwrap();
            place.file(name)
        };
        let ports = ORIGINS.map(|(_, port, _)| port);
        let behind = ports.map(|port| port + 1000);
        let nginx = |ports| {
            let file = write("nginx.conf", include_str!("nginx.conf"), ports);
            format!("{} -c {file} -e stderr", unpacked("nginx"))
        };
        let commands = match self {
            Self::Nginx => vec![nginx(ports)],
            Self::Haproxy => {
                let file = write("haproxy.cfg", include_str!("haproxy.cfg"), ports);
                vec![nginx(behind), format!("{} -f {file}", unpacked("haproxy"))]
            }
            Self::Node => {
                let file = write("server.cjs", include_str!("server.cjs"), ports);
                vec![format!("node {file}")]
            }
            Self::Python => {
                let file = write("server.py", include_str!("server.py"), ports);
                vec![format!("python3 -u {file}")]
            }
        };
        let mut runs = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            let words: Vec<&str> = command.split(' ').collect();
            runs.push(Run::program(&words));
            let last = index + 1 == commands.len();
            for port in if last { ports } else { behind } {
                drop(connect(&format!("127.0.0.1:{port}")));
            }
        }
        Server { runs, place }
    }
}

/// A request as a server logged it: from which port of the client's, and what.
pub(super) type Seen = (u16, String);

impl Server {
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What was asked since it was asked last.
    pub(super) fn seen(&mut self) -> Vec<Seen> {
        let last = format!("http://127.0.0.1:{}/last", ORIGINS[0].1);
        output(&["curl", "-s", "-o", "/dev/null", &last]);
        let log = self.runs.last_mut().unwrap().says("GET /last");
        let seen = log.lines().filter_map(|line| {
            let (port, what) = line.split_once("seen ")?.1.split_once(' ')?;
            Some((port.parse().ok()?, what.to_owned()))
        });
        seen.filter(|(_, what)| !what.contains("/last")).collect()
    }
}
