//! HTTP with programs that are not ours: our client and their servers, their clients and ours.
//!
//! All of a test is in a namespace of its own, where ports are as the servers' files say. What is sent either way is
//! compared by SHA-256.

mod client;
mod openssl;
mod serve;
mod servers;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nexus_testbed::Network;
use sha2::{Digest as _, Sha256};

use crate::guests::{HOST, component};

/// A page, and how long what is uploaded is.
const PAGE: u64 = 5 << 20;
const UPLOAD: u64 = 64 << 20;

/// Names and addresses a server here is asked by.
const NAMES: [&str; 4] = ["host.internal", "localhost", "127.0.0.1", "10.77.0.1"];

/// As `http_request/asked.rs` of the probes makes bodies: numbers, each once, so that what is lost, doubled or moved shows.
fn body(length: u64) -> Vec<u8> {
    let words = 0..length.div_ceil(4);
    let mut bytes: Vec<u8> = words.flat_map(|word| (word as u32).to_le_bytes()).collect();
    bytes.truncate(usize::try_from(length).unwrap());
    bytes
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// A folder with what servers need: a page, a place for uploads, a certificate for [`NAMES`] and its key.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path().join("www/put")).unwrap();
        fs::write(place.path().join("www/page"), body(PAGE)).unwrap();
        let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(place.path().join("cert.pem"), &certificate).unwrap();
        fs::write(place.path().join("key.pem"), &key).unwrap();
        // As haproxy wants them.
        fs::write(place.path().join("both.pem"), certificate + &key).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    /// The file of what was uploaded under a name; none: nothing, or not all of it.
    fn taken(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path().join("www/put").join(name)).ok()
    }
}

/// By which network a guest goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Kernel sockets of the host's.
    User,
    /// Frames, to the kernel's own stack.
    Tap,
}

/// A scheme, a port, and what is spoken there.
type Origin = (&'static str, u16, &'static str);

const ORIGINS: [Origin; 3] = [
    ("http", 8080, "in the clear"),
    ("https", 8442, "TLS 1.2"),
    ("https", 8443, "TLS 1.3"),
];

/// The guests that ask, each by another interface.
const GUESTS: [&str; 3] = [
    "probes/http_request",
    "probes/http_request_p2",
    "probes/http_request_p3",
];

/// Who asks for what, and where.
#[derive(Clone, Copy)]
struct Ask<'a> {
    place: &'a Place,
    guest: &'a str,
    way: Way,
    origin: Origin,
}

/// What came of it.
struct Answer {
    code: i32,
    out: Vec<u8>,
    /// What the guest says of its responses, and the host of the guest.
    err: String,
}

impl Ask<'_> {
    /// `METHOD PATH` and the rest as the guest takes it.
    fn run(self, method: &str, path: &str, words: &[&str]) -> Answer {
        let (scheme, port, _) = self.origin;
        let (host, net) = match self.way {
            Way::User => ("host.internal", &[][..]),
            Way::Tap => (
                "10.77.0.1",
                &["--net", "tap:nx0", "--address", "10.77.0.2/24"][..],
            ),
        };
        let origin = format!("{scheme}://{host}:{port}");
        let manifest = format!(
            "[app]\nid = \"org.nexus.test\"\nversion = \"0.1.0\"\n\
             [capabilities.\"network.http.request\"]\nallow = [\"{origin}\"]\n\
             [limits]\nrequest-body = \"64MiB\"\nresponse-body = \"64MiB\"\n"
        );
        let file = self.place.file("nexus.toml");
        fs::write(&file, manifest).unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", HOST, "run"])
            .arg(component(self.guest))
            .args(["--manifest", &file, "--allow-manifest"])
            .args(["--ca", &self.place.file("cert.pem"), "--timeout", "60s"])
            .args(net)
            .args(["--", method, &format!("{origin}{path}")])
            .args(words)
            .output()
            .unwrap();
        Answer {
            code: status.code().unwrap_or(-1),
            out: stdout,
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// The same, which must succeed; what came, and what is said of the responses.
    #[track_caller]
    fn must(self, method: &str, path: &str, words: &[&str]) -> (Vec<u8>, Vec<(u16, u64)>) {
        let answer = self.run(method, path, words);
        let who = format!("{} {:?} {method} {path} {words:?}", self.guest, self.origin);
        assert_eq!(answer.code, 0, "{who}: {}", answer.err);
        let said = answer.err.lines().filter_map(|line| {
            let (status, length) = line.split_once(' ')?;
            Some((status.parse().ok()?, length.parse().ok()?))
        });
        (answer.out, said.collect())
    }
}

/// A network with the kernel's servers at 127.0.0.1 and at the end of a cable.
fn network() -> Network {
    Network::tap(1500)
}
