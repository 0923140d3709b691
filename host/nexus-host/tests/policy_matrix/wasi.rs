//! `wasi:sockets` and `wasi:http` 0.2: programs that know nothing of us are judged by the same gate. They are told
//! one word; the reason is in the record.

use std::net::{IpAddr, SocketAddr};

use crate::case::Case;
use crate::cells::{BIND, CONNECT, Cell, HTTP, LISTEN, SEND, Why, guest, ip, unsaid, wide_case};
use crate::conditions::{Condition, in_v4, spelled};
use crate::world::{DNS, FAR, Happens, OTHER, OWN};

/// The acts of theirs that ask the gate, as rows. Which function does which is held by `docs/conformance.md`'s run.
pub(crate) const ROWS: [&str; 7] = [
    "wasi-sockets.tcp.connect",
    "wasi-sockets.tcp.bind",
    "wasi-sockets.tcp.listen",
    "wasi-sockets.udp.bind",
    "wasi-sockets.udp.send",
    "wasi-sockets.ip-name-lookup.resolve-addresses",
    "wasi-http.outgoing-handler.handle",
];

/// The cell of a row.
pub(crate) fn cell(row: &str, condition: Condition) -> Option<Cell> {
    if let Condition::Version(_) = condition {
        return Some(Cell::Not(Why::HasVersionsOfWasi));
    }
    Some(match row {
        "wasi-sockets.tcp.connect" => connect(condition),
        "wasi-sockets.tcp.bind" => local("tcp-bind", LISTEN, condition),
        "wasi-sockets.tcp.listen" => local("tcp-listen", LISTEN, condition),
        "wasi-sockets.udp.bind" => local("udp-bind", BIND, condition),
        "wasi-sockets.udp.send" => send(condition),
        "wasi-sockets.ip-name-lookup.resolve-addresses" => resolve(condition),
        "wasi-http.outgoing-handler.handle" => handle(condition),
        _ => return None,
    })
}

fn port_of(address: IpAddr) -> String {
    SocketAddr::new(address, 443).to_string()
}

fn connect(condition: Condition) -> Cell {
    use Condition as C;
    let to = |remote: &str| Case::wasi(&[&format!("tcp-connect {remote}")]);
    let far = "93.184.216.34:443";
    let by_name = ["resolve api.example.com", "tcp-connect 93.184.216.34:443"];
    let name = &["api.example.com:443"];
    match condition {
        C::Granted => Cell::Guest(vec![
            to(far),
            Case::wasi(&["tcp-connect 93.184.216.34:443", "read"]).says("5"),
            // An address counts as the name it is the answer for.
            Case::wasi(&by_name).grant(CONNECT, name),
        ]),
        C::NotGranted => guest(
            to(far)
                .ungranted(CONNECT)
                .denied(unsaid(CONNECT))
                .quiet(FAR, None),
        ),
        C::AnotherApp => guest(
            to(far)
                .another_app(CONNECT)
                .denied(unsaid(CONNECT))
                .quiet(FAR, None),
        ),
        C::OtherHost => Cell::Guest(vec![
            to("93.184.216.35:443")
                .denied("not-permitted")
                .quiet(OTHER, None),
            // Without the lookup the address is nobody's.
            to(far)
                .grant(CONNECT, name)
                .denied("not-permitted")
                .quiet(FAR, None),
        ]),
        C::OtherPort => guest(
            to("93.184.216.34:444")
                .denied("not-permitted")
                .quiet(FAR, None),
        ),
        C::Forbidden => Cell::Guest(vec![
            to(far)
                .forbid(CONNECT, far)
                .denied("operator-denied")
                .quiet(FAR, None),
            Case::wasi(&by_name)
                .forbid(CONNECT, far)
                .denied("operator-denied")
                .quiet(FAR, None),
        ]),
        C::Range(class, spelling) => {
            let Some(address) = spelled(class, spelling) else {
                return Cell::Not(Why::TakesNoAddress);
            };
            if is_no_remote(address) {
                let case = to(&port_of(address)).fails("invalid-argument", "");
                return guest(case.quiet(&address.to_string(), None));
            }
            let case = to(&port_of(address))
                .denied("blocked-range")
                .quiet(&address.to_string(), None);
            guest(wide_case(case, CONNECT, class, spelling))
        }
        C::Unspecified => Cell::Guest(
            ["0.0.0.0:443", "[::]:443", "[::ffff:0.0.0.0]:443"]
                .map(|remote| to(remote).fails("invalid-argument", ""))
                .to_vec(),
        ),
        C::ResolvesTo(class) => {
            let address = in_v4(class);
            let acts = [
                "resolve api.example.com",
                &format!("tcp-connect {address}:443"),
            ];
            let case = Case::wasi(&acts)
                .name("api.example.com", &[address.into()])
                .quiet(&address.to_string(), Some(443));
            guest(if is_no_remote(address.into()) {
                case.fails("invalid-argument", "")
            } else {
                case.denied("blocked-range")
            })
        }
        C::ExpiredAnswer => guest(
            Case::wasi(&[by_name[0], "wait 61000", by_name[1]])
                .grant(CONNECT, name)
                .denied("expired")
                .quiet(FAR, None),
        ),
        C::ImplicitBind => guest(
            Case::wasi(&["tcp-connect 93.184.216.34:443", "wait 200"])
                .at(50, Happens::Connect(0))
                .peer_is_refused(),
        ),
        C::OverQuota => guest(
            Case::wasi(&[
                "tcp-connect 93.184.216.34:443",
                "tcp-connect 93.184.216.34:443",
            ])
            .sockets(1)
            .fails("new-socket-limit", "")
            .allows(1),
        ),
        C::Revoked => Cell::Guest(vec![
            Case::wasi(&["tcp-connect 93.184.216.77:443"])
                .grant(CONNECT, &["93.184.216.77:443"])
                .forbid_at(500, CONNECT, None)
                .denied("revoked")
                .allows(1)
                .quiet_from("93.184.216.77", None, 501),
            // What is open is cut; a stream has no word for why.
            Case::wasi(&["tcp-connect 93.184.216.34:443", "read", "read"])
                .forbid_at(50, CONNECT, Some(far))
                .fails("AccessDenied", "")
                .refusals(1)
                .quiet_from(FAR, None, 51),
        ]),
        C::Name(_) | C::Numeric(_) | C::Rebinding => Cell::Not(Why::TakesNoName),
        C::Deadline => Cell::Not(Why::HasNoDeadline),
        C::Overtaken => Cell::Not(Why::AnswersAtOnce),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected => {
            Cell::Not(Why::SendsNoRequest)
        }
        C::Version(_) => unreachable!("answered before"),
    }
}

/// "The IP address in `remote-address` is set to INADDR_ANY", multicast, IPv4-mapped: refused for what it is.
fn is_no_remote(address: IpAddr) -> bool {
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    mapped || address.is_unspecified() || address.is_multicast()
}

fn local(verb: &str, capability: usize, condition: Condition) -> Cell {
    use Condition as C;
    let at = |local: &str| Case::wasi(&[&format!("{verb} {local}")]);
    let is_udp = capability == BIND;
    match condition {
        C::Granted => guest(at("0.0.0.0:8080")),
        C::NotGranted => guest(
            at("0.0.0.0:8080")
                .ungranted(capability)
                .denied(unsaid(capability)),
        ),
        C::AnotherApp => guest(
            at("0.0.0.0:8080")
                .another_app(capability)
                .denied(unsaid(capability)),
        ),
        C::OtherHost => guest(
            at(&format!("{OWN}:8080"))
                .grant(capability, &["loopback:8080", "loopback:7000"])
                .denied("bind-not-permitted"),
        ),
        C::OtherPort => guest(at("0.0.0.0:8081").denied("bind-not-permitted")),
        C::Forbidden => guest(
            at("0.0.0.0:8080")
                .forbid(capability, "any:8080")
                .denied("operator-denied"),
        ),
        // A port of the host's choosing: to listen there is asked for; to have one and nothing more is not.
        C::ImplicitBind => guest(match verb {
            "tcp-listen" => at("0.0.0.0:0").denied("bind-not-permitted"),
            "udp-bind" => at("0.0.0.0:0")
                .ungranted(SEND)
                .ungranted(BIND)
                .denied("bind-not-permitted"),
            _ => Case::wasi(&["tcp-bind 0.0.0.0:0", "wait 100"]).alone(),
        }),
        C::Unspecified => guest(
            at("0.0.0.0:8080")
                .grant(capability, &["loopback:8080", "loopback:7000"])
                .denied("bind-not-permitted"),
        ),
        C::OverQuota if is_udp => guest(
            Case::wasi(&["udp-bind 127.0.0.1:7000", "udp-bind 0.0.0.0:8080"])
                .sockets(1)
                .fails("new-socket-limit", "")
                .allows(1),
        ),
        C::OverQuota => guest(
            Case::wasi(&[
                &format!("{verb} 127.0.0.1:7000"),
                &format!("{verb} 0.0.0.0:8080"),
            ])
            .sockets(1)
            .fails("new-socket-limit", "")
            .allows(1),
        ),
        C::Range(..) => Cell::Not(Why::TakesALocalAddress),
        C::Name(_) | C::Numeric(_) | C::ResolvesTo(_) | C::Rebinding | C::ExpiredAnswer => {
            Cell::Not(Why::TakesNoName)
        }
        C::Revoked if verb == "tcp-listen" => guest(
            Case::wasi(&["tcp-listen 0.0.0.0:8080", "accept"])
                .forbid_at(50, LISTEN, Some("any:8080"))
                .denied("revoked"),
        ),
        C::Deadline | C::Revoked | C::Overtaken => Cell::Not(Why::AnswersAtOnce),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected => {
            Cell::Not(Why::SendsNoRequest)
        }
        C::Version(_) => unreachable!("answered before"),
    }
}

fn send(condition: Condition) -> Cell {
    use Condition as C;
    let to = |remote: &str| {
        let any = if remote.starts_with('[') {
            "udp-bind [::]:0"
        } else {
            "udp-bind 0.0.0.0:0"
        };
        Case::wasi(&[any, "udp-stream", &format!("udp-send {remote}")])
    };
    let bound = || {
        Case::wasi(&[
            "udp-bind 0.0.0.0:8080",
            "udp-stream",
            "udp-send 93.184.216.34:443",
        ])
    };
    match condition {
        C::Granted => Cell::Guest(vec![to("93.184.216.34:443").says("1"), bound().says("1")]),
        C::NotGranted => guest(
            bound()
                .ungranted(SEND)
                .denied(unsaid(SEND))
                .quiet(FAR, None),
        ),
        C::AnotherApp => guest(
            bound()
                .another_app(SEND)
                .denied(unsaid(SEND))
                .quiet(FAR, None),
        ),
        C::OtherHost => guest(
            to("93.184.216.35:443")
                .denied("not-permitted")
                .quiet(OTHER, None),
        ),
        C::OtherPort => guest(
            to("93.184.216.34:444")
                .denied("not-permitted")
                .quiet(FAR, None),
        ),
        C::Forbidden => guest(
            to("93.184.216.34:443")
                .grant(SEND, &["93.184.216.34:443", "93.184.216.35:443"])
                .forbid(SEND, "93.184.216.34:443")
                .denied("operator-denied")
                .quiet(FAR, None),
        ),
        C::Range(class, spelling) => {
            let Some(address) = spelled(class, spelling) else {
                return Cell::Not(Why::TakesNoAddress);
            };
            let case = to(&port_of(address)).quiet(&address.to_string(), None);
            // No multicast here: "The remote address ... is not a valid address to send to" is the gate's to say.
            let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
            if address.is_unspecified() || mapped {
                return guest(case.fails("invalid-argument", ""));
            }
            guest(wide_case(
                case.denied("blocked-range"),
                SEND,
                class,
                spelling,
            ))
        }
        C::Revoked => guest(
            Case::wasi(&[
                "udp-bind 0.0.0.0:0",
                "udp-stream",
                "udp-send 93.184.216.34:443",
                "wait 100",
                "udp-send 93.184.216.34:443",
            ])
            .grant(SEND, &["93.184.216.34:443", "93.184.216.35:443"])
            .forbid_at(50, SEND, Some("93.184.216.34:443"))
            .denied("operator-denied")
            .quiet_from(FAR, None, 51),
        ),
        C::Unspecified => guest(to("0.0.0.0:443").fails("invalid-argument", "")),
        C::Name(_) | C::Numeric(_) | C::ResolvesTo(_) | C::Rebinding | C::ExpiredAnswer => {
            Cell::Not(Why::TakesNoName)
        }
        C::ImplicitBind => Cell::Not(Why::OpensNothing),
        C::OverQuota => Cell::Not(Why::HoldsNothing),
        C::Deadline => Cell::Not(Why::AnswersAtOnce),
        C::Overtaken => Cell::Not(Why::ActsOnAnOpenHandleOnly),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected => {
            Cell::Not(Why::SendsNoRequest)
        }
        C::Version(_) => unreachable!("answered before"),
    }
}

fn resolve(condition: Condition) -> Cell {
    use Condition as C;
    let of = |name: &str| Case::wasi(&[&format!("resolve {name}")]);
    let it = || of("api.example.com");
    let both = |case: Case| case.ungranted(CONNECT).ungranted(SEND);
    match condition {
        C::Granted => Cell::Guest(vec![
            it().says(FAR),
            // For whichever kind of sending a rule names it.
            it().ungranted(CONNECT).says(FAR),
            it().ungranted(SEND).says(FAR),
        ]),
        C::NotGranted => guest(both(it()).denied(unsaid(CONNECT)).quiet(DNS, None)),
        C::AnotherApp => guest(
            it().another_app(CONNECT)
                .another_app(SEND)
                .denied(unsaid(CONNECT))
                .quiet(DNS, None),
        ),
        C::OtherHost => guest(
            of("other.example.com")
                .denied("name-not-permitted")
                .quiet(DNS, None),
        ),
        C::Forbidden => guest(
            it().forbid(CONNECT, "api.example.com:*")
                .forbid(SEND, "api.example.com:*")
                .denied("operator-denied")
                .quiet(DNS, None),
        ),
        C::Name(name) => guest(
            of(name)
                .forbid(CONNECT, "api.example.com:*")
                .forbid(SEND, "api.example.com:*")
                .forbid(CONNECT, "xn--bcher-kva.example.com:*")
                .forbid(SEND, "xn--bcher-kva.example.com:*")
                .denied("operator-denied")
                .quiet(DNS, None),
        ),
        C::Revoked => guest(
            it().silent()
                .forbid_at(50, CONNECT, None)
                .at(100, Happens::Name("api.example.com", vec![ip(FAR)]))
                .denied("revoked")
                .allows(1),
        ),
        C::Deadline => guest(
            it().silent()
                .fails("temporary-resolver-failure", "")
                .allows(1),
        ),
        // "If the input is an IP address string, the address is parsed and returned as-is": nobody is asked.
        C::Numeric("127.0.0.1") => {
            guest(of("127.0.0.1").says("127.0.0.1").again().quiet(DNS, None))
        }
        C::Numeric(number) => guest(of(number).fails("invalid-argument", "").quiet(DNS, None)),
        C::OtherPort => Cell::Not(Why::TakesNoPort),
        C::Range(..) | C::Unspecified => Cell::Not(Why::TakesNoAddress),
        C::ResolvesTo(_) | C::Rebinding | C::ExpiredAnswer => Cell::Not(Why::ReachesNobody),
        C::ImplicitBind => Cell::Not(Why::OpensNothing),
        C::OverQuota => Cell::Not(Why::HoldsNothing),
        C::Overtaken => Cell::Not(Why::AnswersAtOnce),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected => {
            Cell::Not(Why::SendsNoRequest)
        }
        C::Version(_) => unreachable!("answered before"),
    }
}

/// The same client as `nexus:net/http`, whose row has the rest.
fn handle(condition: Condition) -> Cell {
    use Condition as C;
    let get = |url: &str| Case::wasi(&[&format!("http GET {url}")]);
    let (literal, named) = ("http://93.184.216.34/v1/a", "http://api.example.com/v1/a");
    match condition {
        C::Granted => Cell::Guest(vec![
            get(literal).says("200 5"),
            get(named).says("200 5"),
            Case::wasi(&[&format!("http POST {literal}")]).says("200 5"),
        ]),
        C::NotGranted => guest(
            get(named)
                .ungranted(HTTP)
                .denied(unsaid(HTTP))
                .quiet(DNS, None)
                .quiet(FAR, None),
        ),
        C::OtherHost => guest(
            get("http://93.184.216.35/v1/a")
                .denied("not-permitted")
                .quiet(OTHER, None),
        ),
        C::OtherPath => guest(
            get("http://93.184.216.34/v2/a")
                .denied("not-permitted")
                .quiet(FAR, None),
        ),
        C::OtherMethod => guest(
            Case::wasi(&[&format!("http DELETE {literal}")])
                .denied("method-not-permitted")
                .quiet(FAR, None),
        ),
        C::Forbidden => guest(
            get(named)
                .forbid(HTTP, "http://api.example.com/v1/a")
                .denied("operator-denied")
                .quiet(DNS, None)
                .quiet(FAR, None),
        ),
        C::ResolvesTo(class) => {
            let address = in_v4(class);
            guest(
                get(named)
                    .name("api.example.com", &[ip(FAR), address.into()])
                    .denied("blocked-range")
                    .allows(2)
                    .quiet(FAR, None)
                    .quiet(&address.to_string(), Some(80)),
            )
        }
        // A program follows redirects itself, if it does: the next request is one of its own.
        C::Redirected => guest(
            get("http://93.184.216.34/v1/to/93.184.216.35/v1/a")
                .says("302 0")
                .quiet(OTHER, None),
        ),
        C::Revoked => guest(
            get("http://93.184.216.34/v1/silent")
                .forbid_at(500, HTTP, Some("http://93.184.216.34"))
                .denied("revoked")
                .allows(2)
                .quiet_from(FAR, None, 501),
        ),
        C::Version(_) => unreachable!("answered before"),
        _ => Cell::Not(Why::IsTheClientOfAnotherRow),
    }
}
