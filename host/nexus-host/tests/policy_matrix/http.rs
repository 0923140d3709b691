//! `nexus:net/http`: what a request must not do.

use nexus_policy::AddressClass;

use crate::case::Case;
use crate::cells::{Cell, HTTP, Why, guest, ip, unsaid};
use crate::conditions::{Condition, Spelling, in_v4, spelled};
use crate::native::Native;
use crate::world::{DNS, FAR, Happens, NOBODY, OTHER};

const LITERAL: &str = "http://93.184.216.34/v1/a";
const NAMED: &str = "http://api.example.com/v1/a";

fn get(url: &str) -> Case {
    Case::new(&[&format!("http GET {url}")])
}

/// An address as it stands in a URL.
fn at(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(v4) => format!("http://{v4}/v1/a"),
        std::net::IpAddr::V6(v6) => format!("http://[{v6}]/v1/a"),
    }
}

/// What is asked for where a special range must not be reached: see `wide` of cells.rs.
fn wide(case: Case, class: AddressClass, spelling: Spelling) -> Case {
    let mut to = vec!["http://public".to_owned()];
    if spelling.is_carried() && class.is_nameable() && class != AddressClass::Host {
        to.push(match class {
            AddressClass::Metadata => format!("http://{}", in_v4(class)),
            class => format!("http://{class}"),
        });
    }
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    case.grant(HTTP, &to)
}

/// Redirected to this, with nothing of it granted beyond what everybody has.
fn led(to: &str) -> Case {
    Case::new(&[&format!("http GET http://93.184.216.34/v1/to/{to} follow")])
}

pub(crate) fn send(condition: Condition) -> Cell {
    use Condition as C;
    match condition {
        C::Granted => Cell::Guest(vec![
            get(LITERAL).says("200 5"),
            get(NAMED).says("200 5"),
            get("http://xn--bcher-kva.example.com/v1/a")
                .name("xn--bcher-kva.example.com", &[ip(FAR)])
                .says("200 5"),
            Case::new(&[&format!("http POST {LITERAL}")]).says("200 5"),
            Case::new(&[&format!("http POST {LITERAL} streamed")]).says("200 5"),
            // Over the same connection.
            Case::new(&[
                "http GET http://93.184.216.34/v1/a",
                "http GET http://93.184.216.34/v1/b",
            ])
            .says("200 5"),
            // The ports of its scheme, written.
            get("http://api.example.com:80/v1/a").says("200 5"),
        ]),
        C::NotGranted => Cell::Guest(
            [LITERAL, NAMED]
                .into_iter()
                .flat_map(|url| {
                    let quiet = |case: Case| case.quiet(FAR, Some(80)).quiet(DNS, None);
                    // Nobody has said anything; or that somebody is to be asked.
                    let asks = "to = [\"http://93.184.216.34\", \"http://api.example.com\"]";
                    [
                        quiet(get(url).ungranted(HTTP).denied(unsaid(HTTP))),
                        quiet(get(url).rule("ask", HTTP, asks).denied("consent-required")),
                    ]
                })
                .collect(),
        ),
        C::AnotherApp => Cell::Guest(
            [LITERAL, NAMED]
                .map(|url| {
                    get(url)
                        .another_app(HTTP)
                        .denied(unsaid(HTTP))
                        .quiet(FAR, Some(80))
                        .quiet(DNS, None)
                })
                .to_vec(),
        ),
        C::OtherHost => Cell::Guest(vec![
            get("http://93.184.216.35/v1/a")
                .denied("not-permitted")
                .quiet(OTHER, None),
            get("http://other.example.com/v1/a")
                .name("other.example.com", &[ip(OTHER)])
                .denied("not-permitted")
                .quiet(DNS, None)
                .quiet(OTHER, None),
            // A host that looks like the user of another, with a secret as its password.
            get("user@93.184.216.35/v1/a")
                .fails("invalid-argument", "url-userinfo")
                .quiet(OTHER, None),
        ]),
        C::OtherPort => Cell::Guest(vec![
            get("http://93.184.216.34:81/v1/a")
                .denied("not-permitted")
                .quiet(FAR, None),
            get("http://api.example.com:81/v1/a")
                .denied("not-permitted")
                .quiet(DNS, None)
                .quiet(FAR, None),
        ]),
        C::OtherScheme => Cell::Guest(
            [
                "https://93.184.216.34/v1/a",
                "https://93.184.216.34:80/v1/a",
                "https://api.example.com/v1/a",
            ]
            .map(|url| get(url).denied("not-permitted").quiet(FAR, None))
            .to_vec(),
        ),
        C::OtherPath => Cell::Guest(
            [
                "http://93.184.216.34/v2/a",
                "http://93.184.216.34/v1",
                "http://93.184.216.34/V1/a",
                "http://api.example.com/v1/../v2/a",
                "http://api.example.com/v1/%2e%2e/v2/a",
                "http://api.example.com/v1/..%2fv2/a",
                "http://api.example.com/v1//a",
            ]
            .map(|url| {
                get(url)
                    .denied("not-permitted")
                    .quiet(DNS, None)
                    .quiet(FAR, None)
            })
            .to_vec(),
        ),
        C::OtherMethod => Cell::Guest(vec![
            Case::new(&[&format!("http DELETE {LITERAL}")])
                .denied("method-not-permitted")
                .quiet(FAR, None),
            Case::new(&[&format!("http PUT {NAMED}")])
                .denied("method-not-permitted")
                .quiet(DNS, None)
                .quiet(FAR, None),
            Case::new(&[&format!("http TRACE {LITERAL}")])
                .fails("invalid-argument", "method")
                .quiet(FAR, None),
        ]),
        C::Redirected => redirected(),
        C::Forbidden => Cell::Guest(vec![
            get(LITERAL)
                .forbid(HTTP, "http://93.184.216.34")
                .denied("operator-denied")
                .quiet(FAR, None),
            // Where the name leads.
            get(NAMED)
                .forbid(HTTP, "http://93.184.216.34")
                .denied("operator-denied")
                .allows(2)
                .quiet(FAR, None),
            get(NAMED)
                .forbid(HTTP, "http://api.example.com/v1/a")
                .denied("operator-denied")
                .quiet(DNS, None)
                .quiet(FAR, None),
            get(NAMED)
                .forbid(HTTP, "GET http://api.example.com")
                .denied("operator-denied")
                .quiet(DNS, None)
                .quiet(FAR, None),
            // Another part, another method: not this.
            get(NAMED)
                .forbid(HTTP, "POST http://api.example.com")
                .forbid(HTTP, "http://api.example.com/v1/b")
                .says("200 5"),
        ]),
        C::Range(class, spelling) => {
            let Some(address) = spelled(class, spelling) else {
                return Cell::Not(Why::TakesNoAddress);
            };
            let case = get(&at(address)).denied("blocked-range");
            let mut case = wide(case, class, spelling).quiet(&address.to_string(), None);
            if class != AddressClass::Infrastructure {
                case = case.quiet(&in_v4(class).to_string(), None);
            }
            guest(case)
        }
        C::Name(name) => guest(
            get(&format!("http://{name}/v1/a"))
                .name("xn--bcher-kva.example.com", &[ip(FAR)])
                .forbid(HTTP, "http://api.example.com")
                .forbid(HTTP, "http://xn--bcher-kva.example.com")
                .denied("operator-denied")
                .quiet(DNS, None)
                .quiet(FAR, None),
        ),
        // Read as an address as a browser reads it, and judged as that: what is asked for is the internet.
        C::Numeric(number) => guest(
            get(&format!("http://{number}/v1/a"))
                .grant(HTTP, &["http://public"])
                .denied("blocked-range")
                .quiet("192.168.7.8", None)
                .quiet(DNS, None),
        ),
        C::ResolvesTo(class) => {
            let address = std::net::IpAddr::from(in_v4(class));
            let mapped = in_v4(class).to_ipv6_mapped().into();
            let case = |answer: &[std::net::IpAddr]| {
                get(NAMED)
                    .name("api.example.com", answer)
                    .denied("blocked-range")
                    .allows(2)
                    .quiet(FAR, None)
                    .quiet(&address.to_string(), Some(80))
            };
            Cell::Guest(vec![
                case(&[address]),
                case(&[mapped]),
                // One bad address among good ones: whoever answers so is not to be trusted.
                case(&[ip(FAR), address]),
                case(&[address, ip(FAR)]),
            ])
        }
        C::Rebinding => guest(
            Case::new(&[
                &format!("http GET {NAMED}"),
                "wait 61000",
                &format!("http GET {NAMED}"),
            ])
            .at(
                100,
                Happens::Name("api.example.com", vec![ip("192.168.7.8")]),
            )
            .denied("blocked-range")
            .allows(2)
            .quiet("192.168.7.8", None),
        ),
        C::ExpiredAnswer => Cell::Guest(vec![
            // A name is looked up for each request: the old address is forgotten with the answer.
            Case::new(&[
                &format!("http GET {NAMED}"),
                "wait 61000",
                &format!("http GET {NAMED}"),
            ])
            .at(100, Happens::Name("api.example.com", vec![ip(OTHER)]))
            .says("200 5")
            .quiet_from(FAR, None, 30_000),
            // The operator's word is over, for the next request and for what is under way.
            until_a_minute(&[
                &format!("http GET {LITERAL}"),
                "wait 61000",
                &format!("http GET {LITERAL}"),
            ])
            .denied("expired")
            .quiet_from(FAR, None, 60_001),
            until_a_minute(&["wait 50000", "http GET http://93.184.216.34/v1/silent"])
                .denied("revoked")
                .allows(2)
                .quiet_from(FAR, None, 60_001),
            // An address is not its name's: rules about the one say nothing of the other.
            Case::new(&[&format!("http GET {NAMED}"), &format!("http GET {LITERAL}")])
                .grant(HTTP, &["http://api.example.com"])
                .denied("not-permitted"),
        ]),
        C::ImplicitBind => guest(
            Case::new(&["http-open GET http://93.184.216.34/v1/half", "wait 200"])
                .at(50, Happens::Connect(0))
                .peer_is_refused(),
        ),
        C::Unspecified => Cell::Guest(
            ["0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "0"]
                .map(|host| {
                    get(&format!("http://{host}/v1/a"))
                        .grant(HTTP, &["http://public", "http://loopback", "http://lan"])
                        .denied("blocked-range")
                        .quiet("0.0.0.0", None)
                        .quiet("::", None)
                })
                .to_vec(),
        ),
        C::OverQuota => guest(
            Case::new(&[
                "http-open GET http://93.184.216.34/v1/half",
                "http GET http://93.184.216.34/v1/a",
            ])
            .sockets(1)
            .fails("no-capacity", "no-capacity")
            .allows(2),
        ),
        C::Deadline => Cell::Guest(vec![
            get(NAMED)
                .silent()
                .fails("deadline", "resolve-timeout")
                .allows(2)
                .quiet(FAR, None),
            get(&format!("http://{NOBODY}/v1/a"))
                .grant(HTTP, &["http://93.184.216.77"])
                .fails("deadline", "connect-timeout")
                .allows(2),
            get("http://93.184.216.34/v1/silent")
                .fails("deadline", "first-byte-timeout")
                .allows(2),
            get("http://93.184.216.34/v1/half")
                .fails("deadline", "between-bytes-timeout")
                .allows(2),
        ]),
        C::Revoked => Cell::Guest(revoked()),
        C::Overtaken => Cell::Node(vec![Native::RequestLookup, Native::RequestConnect]),
        C::Version(_) => unreachable!("answered before"),
    }
}

/// Allowed for the first minute.
fn until_a_minute(acts: &[&str]) -> Case {
    let rest = "to = [\"http://93.184.216.34\"]\nexpires = \"1970-01-01T00:01:00Z\"";
    Case::new(acts).ungranted(HTTP).rule("allow", HTTP, rest)
}

fn redirected() -> Cell {
    Cell::Guest(vec![
        led("93.184.216.34/v1/a").allows(2).says("200 5"),
        led("api.example.com/v1/a").allows(3).says("200 5"),
        led("93.184.216.35/v1/a")
            .denied("redirect-not-permitted")
            .allows(2)
            .quiet(OTHER, None),
        led("93.184.216.34/v2/a")
            .denied("redirect-not-permitted")
            .allows(2),
        led("93.184.216.34:81/v1/a")
            .denied("redirect-not-permitted")
            .allows(2)
            .quiet(FAR, Some(81)),
        led("other.example.com/v1/a")
            .name("other.example.com", &[ip(OTHER)])
            .denied("redirect-not-permitted")
            .allows(2)
            .quiet(DNS, None)
            .quiet(OTHER, None),
        // The internet is asked for, and that is not there.
        led("192.168.7.8/v1/a")
            .grant(HTTP, &["http://public"])
            .denied("redirect-not-permitted")
            .allows(2)
            .quiet("192.168.7.8", None),
        led("169.254.169.254/latest")
            .grant(HTTP, &["http://public"])
            .denied("redirect-not-permitted")
            .allows(2)
            .quiet("169.254.169.254", None),
        // To a name that leads where none may.
        led("api.example.com/v1/a")
            .name("api.example.com", &[ip("127.0.0.1")])
            .denied("blocked-range")
            .allows(4)
            .quiet("127.0.0.1", None),
        led("api.example.com/v1/a")
            .forbid(HTTP, "http://api.example.com/v1/a")
            .denied("operator-denied")
            .allows(2)
            .quiet(DNS, None),
        // Where it leads is an answer like any other to who does not follow; nobody was refused by the gate.
        get("http://93.184.216.34/v1/to/93.184.216.35/v1/a")
            .fails("denied", "redirect-not-followed")
            .refusals(0)
            .allows(2)
            .quiet(OTHER, None),
    ])
}

fn revoked() -> Vec<Case> {
    let silent = "http GET http://93.184.216.34/v1/silent";
    let later = "http GET http://93.184.216.34/v1/later";
    let first = format!("http GET {LITERAL}");
    vec![
        // While the name is looked up,
        Case::new(&[&format!("http GET {NAMED}")])
            .silent()
            .forbid_at(50, HTTP, None)
            .at(100, Happens::Name("api.example.com", vec![ip(FAR)]))
            .denied("revoked")
            .allows(2)
            .quiet(FAR, None),
        // dialled,
        get(&format!("http://{NOBODY}/v1/a"))
            .grant(HTTP, &["http://93.184.216.77"])
            .forbid_at(500, HTTP, None)
            .denied("revoked")
            .allows(2)
            .quiet_from(NOBODY, None, 501),
        // answered,
        Case::new(&[silent])
            .forbid_at(500, HTTP, Some("http://93.184.216.34"))
            .denied("revoked")
            .allows(2)
            .quiet_from(FAR, None, 501),
        // and read.
        Case::new(&["http GET http://93.184.216.34/v1/half"])
            .forbid_at(500, HTTP, Some("http://93.184.216.34/v1/half"))
            .denied("revoked")
            .allows(2)
            .quiet_from(FAR, None, 501),
        // Idle: the connection ends, and the next request is refused for what it is.
        Case::new(&[&first, "wait 100", &first])
            .forbid_at(50, HTTP, Some("http://93.184.216.34"))
            .denied("operator-denied")
            .refusals(2)
            .quiet_from(FAR, None, 51),
        // What a connection carries is what it is judged by: the second request, not the first.
        Case::new(&[&first, silent])
            .forbid_at(500, HTTP, Some("http://93.184.216.34/v1/silent"))
            .denied("revoked")
            .allows(2)
            .quiet_from(FAR, None, 501),
        Case::new(&[&first, later])
            .forbid_at(500, HTTP, Some("http://93.184.216.34/v1/a"))
            .at(1_000, Happens::Serve)
            .says("200 5"),
        // Another part is forbidden: it goes on.
        Case::new(&[later])
            .forbid_at(500, HTTP, Some("http://93.184.216.34/v1/b"))
            .at(1_000, Happens::Serve)
            .says("200 5"),
    ]
}
