//! `nexus-host serve` with clients that are not ours: curl and wrk.

use std::fs;

use nexus_testbed::output;

use super::{Place, UPLOAD, body, network, sha256};
use crate::guests::component;
use crate::run::Run;

/// What wrk asks at once, and for how long.
const CLIENTS: &str = "32";
const SECONDS: &str = "5s";

/// A host that serves `http-api` in the clear, and one over TLS.
struct Served {
    place: Place,
    runs: [(Run, String); 2],
}

impl Served {
    fn start() -> Self {
        let place = Place::new();
        let app = component("http-api").display().to_string();
        let (cert, key) = (place.file("cert.pem"), place.file("key.pem"));
        let runs = [
            (8080, vec![]),
            (8443, vec!["--tls-cert", &cert, "--tls-key", &key]),
        ]
        .map(|(port, tls)| {
            let listen = format!("127.0.0.1:{port}");
            let scheme = if tls.is_empty() { "http" } else { "https" };
            let own = ["serve", &app, "--listen", &listen, "--max-body", "64MiB"];
            let mut run = Run::of(&[&own[..], &tls].concat());
            let origin = format!("{scheme}://localhost:{port}");
            run.says("serving ");
            (run, origin)
        });
        Self { place, runs }
    }

    /// curl, with these words; what it prints.
    fn curl(&self, words: &[&str]) -> String {
        let ca = self.place.file("cert.pem");
        output(&[&["curl", "-sS", "--max-time", "60", "--cacert", &ca], words].concat())
    }

    /// Ends both as a supervisor does: with nothing in flight they end well.
    fn end(self) {
        for (run, origin) in self.runs {
            let (code, err) = run.terminate();
            assert_eq!(code, 0, "{origin}: {err}");
            assert!(!err.contains("panicked"), "{err}");
        }
    }
}

/// Goal: curl gets what it asks for, however it asks. Method: GET, HEAD, a connection used again (curl says how many it
/// made), a sum by POST; 64 MiB there and back with a length, in chunks, and asking first; by HTTP/1.0, and over each
/// version of TLS.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn curl_asks_an_app_that_is_served() {
    let _network = network();
    let served = Served::start();
    let upload = served.place.file("upload");
    fs::write(&upload, body(UPLOAD)).unwrap();
    let whole = sha256(&body(UPLOAD));
    for (_, origin) in &served.runs {
        let hello = format!("{origin}/hello/curl");
        let answer = "{\"hello\":\"curl\"}\n";
        assert_eq!(served.curl(&[&hello]), answer);
        assert_eq!(served.curl(&["-0", &hello]), answer);
        let head = served.curl(&["-I", &hello]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
        assert!(head.contains("content-length: 17\r\n"), "{head}");
        let five = [&hello[..]; 5];
        let connects =
            served.curl(&[&["-w", "%{num_connects} ", "-o", "/dev/null"][..], &five].concat());
        let connects: u32 = connects
            .replace(answer, "")
            .split_whitespace()
            .map(|count| count.parse::<u32>().unwrap())
            .sum();
        assert_eq!(connects, 1, "{origin}");
        let sum = format!("{origin}/sum");
        assert_eq!(served.curl(&["-d", "1 2 39", &sum]), "{\"sum\":42}\n");
        for words in [
            &["-H", "expect:"][..],
            &["-H", "expect:", "-H", "transfer-encoding: chunked"],
            &["-H", "expect: 100-continue"],
        ] {
            let back = served.place.file("back");
            let echo = format!("{origin}/echo");
            let data = format!("@{upload}");
            let send = [
                "--data-binary",
                &data,
                "-o",
                &back,
                "-w",
                "%{http_code}",
                &echo,
            ];
            assert_eq!(served.curl(&[words, &send].concat()), "200", "{words:?}");
            let back = fs::read(back).unwrap();
            assert_eq!(sha256(&back), whole, "{origin} {words:?}");
        }
        // What is too long is refused, and told.
        let too_long = [
            "-H",
            "content-length: 67108865",
            "-X",
            "POST",
            "-o",
            "/dev/null",
        ];
        let sum = ["-w", "%{http_code}", &sum];
        assert_eq!(
            served.curl(&[&too_long[..], &sum].concat()),
            "413",
            "{origin}"
        );
    }
    for (flag, version) in [("--tls-max", "1.2"), ("--tlsv1.3", "1.3")] {
        let tls = if version == "1.2" {
            &[flag, version][..]
        } else {
            &[flag]
        };
        let hello = format!("{}/hello/tls", served.runs[1].1);
        let said = served.curl(&[tls, &[&hello]].concat());
        assert_eq!(said, "{\"hello\":\"tls\"}\n", "{version}");
    }
    served.end();
}

/// Goal: a client that goes in the middle of an upload or a download costs the next one nothing. Method: curl, which gives
/// up after a second of a slow upload or of a slow download, ten times each; then it asks again.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn curl_gives_up_in_the_middle() {
    let _network = network();
    let served = Served::start();
    let upload = served.place.file("upload");
    fs::write(&upload, body(UPLOAD)).unwrap();
    for (_, origin) in &served.runs {
        let gives_up = format!(
            "for n in 1 2 3 4 5 6 7 8 9 10; do \
             curl -s --cacert {ca} -m 1 --limit-rate 1M --data-binary @{upload} -o /dev/null {origin}/echo & \
             done; wait",
            ca = served.place.file("cert.pem"),
        );
        output(&["sh", "-c", &gives_up]);
        assert_eq!(
            served.curl(&[&format!("{origin}/hello/next")]),
            "{\"hello\":\"next\"}\n"
        );
    }
    served.end();
}

/// Goal: thousands of requests at once are all answered. Method: wrk, for some seconds on connections that stay; it counts
/// what is no 200 and what breaks.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn wrk_asks_thousands_of_times() {
    let _network = network();
    let served = Served::start();
    for (_, origin) in &served.runs {
        let hello = format!("{origin}/hello/wrk");
        let said = output(&[
            "wrk",
            "-t",
            "2",
            "-c",
            CLIENTS,
            "-d",
            SECONDS,
            "--latency",
            &hello,
        ]);
        println!("{said}");
        let requests = said.lines().find_map(|line| {
            let (count, _) = line.trim().split_once(" requests in ")?;
            count.parse::<u64>().ok()
        });
        assert!(requests.is_some_and(|count| count >= 2_000), "{said}");
        for bad in ["Non-2xx", "Socket errors"] {
            assert!(!said.contains(bad), "{said}");
        }
    }
    served.end();
}
