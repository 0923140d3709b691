//! What is tried in each cell, or why nothing can be.

use std::fmt;
use std::net::IpAddr;

use nexus_policy::AddressClass;

use crate::case::Case;
use crate::conditions::{Condition, Spelling, in_v4, spelled};
use crate::native::Native;
use crate::world::{FAR, Happens, NOBODY, OTHER, OWN};
use crate::{http, wasi};

/// Why a cell has nothing to try. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Why {
    /// It acts on a handle: where that leads was judged when it was opened.
    ActsOnAnOpenHandleOnly,
    /// It takes no address.
    TakesNoAddress,
    /// It takes an address of the node's own: a special range is nowhere to go to.
    TakesALocalAddress,
    /// It takes no name.
    TakesNoName,
    /// It takes no port.
    TakesNoPort,
    /// It is no request of HTTP: it has no method, path or scheme, and nobody redirects it.
    SendsNoRequest,
    /// It is there in whatever version of WASI this build has: `imports.rs` of the host is about them.
    HasVersionsOfWasi,
    /// Its requests are those of `nexus:net/http`, whose row it is.
    IsTheClientOfAnotherRow,
    /// It reaches nobody: what it says is judged when it is used.
    ReachesNobody,
    /// It holds nothing that is counted.
    HoldsNothing,
    /// It is over before time passes.
    AnswersAtOnce,
    /// It waits for as long as the app lets it.
    HasNoDeadline,
    /// It opens nothing.
    OpensNothing,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What is in a cell.
pub(crate) enum Cell {
    /// The guest does this.
    Guest(Vec<Case>),
    /// No guest can come between: the node is asked as a host call does.
    Node(Vec<Native>),
    /// An app that imports this does not start; the interface and the version.
    Load(String, &'static str),
    /// Nothing.
    Not(Why),
}

pub(crate) const CONNECT: usize = 0;
pub(crate) const LISTEN: usize = 1;
pub(crate) const SEND: usize = 2;
pub(crate) const BIND: usize = 3;
pub(crate) const HTTP: usize = 4;

/// The cell of a function, by its name in [`crate::rows::functions`]; none: it has no row here yet.
pub(crate) fn cell(function: &str, condition: Condition) -> Option<Cell> {
    if function.starts_with("wasi-") {
        return wasi::cell(function, condition);
    }
    if let Condition::Version(version) = condition {
        let interface = function.split('.').next().unwrap_or_default();
        return Some(Cell::Load(interface.to_owned(), version));
    }
    if function == "http.send" {
        return Some(http::send(condition));
    }
    if condition.is_of_requests() {
        return Some(Cell::Not(Why::SendsNoRequest));
    }
    Some(match function {
        "tcp-connect.connect" => dial("tcp", CONNECT, condition),
        "udp-send.connect" => dial("udp", SEND, condition),
        "tcp-connect.resolve" => resolve("tcp", CONNECT, condition),
        "udp-send.resolve" => resolve("udp", SEND, condition),
        "tcp-listen.listen" => local("tcp-listen", LISTEN, Native::Listen, condition),
        "udp-bind.bind" => local("udp-bind", BIND, Native::UdpBind, condition),
        "udp-send.open" => open(condition),
        "types.udp-socket.send" => send(condition),
        "types.udp-socket.receive" => receive(condition),
        "types.tcp-listener.accept" => accept(condition),
        "types.tcp-connection.read" => read("read", condition),
        "types.tcp-connection.receive" => read("receive-stream", condition),
        "types.tcp-connection.write" => handle("write", condition),
        "types.tcp-connection.send" => send_stream(condition),
        "types.tcp-connection.finish" => handle("finish", condition),
        "types.tcp-connection.set-keep-alive" => handle("keep-alive", condition),
        "types.tcp-connection.abort" => quiet_handle("abort", condition),
        "types.tcp-connection.local-address" | "types.tcp-connection.remote-address" => {
            quiet_handle("stream-ends", condition)
        }
        "types.tcp-listener.local-address" => of_handle(
            condition,
            &["tcp-listen 0.0.0.0:8080", "wait 100", "listener-ends"],
            LISTEN,
        ),
        "types.udp-socket.local-address" | "types.udp-socket.remote-address" => {
            let acts = [&format!("udp-connect {FAR} 443"), "wait 100", "socket-ends"];
            of_handle(condition, &acts.map(|act| act as &str), SEND)
        }
        _ => return None,
    })
}

pub(crate) fn guest(case: Case) -> Cell {
    Cell::Guest(vec![case])
}

/// What a refusal says where the manifest asks and nobody has said yes.
pub(crate) fn unsaid(capability: usize) -> &'static str {
    if matches!(capability, LISTEN | BIND) {
        "operator-denied"
    } else {
        "consent-required"
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What is asked for where a special range must not be reached: the internet, and, where another machine
/// makes an address of it, the class of the address inside as well.
fn wide(class: AddressClass, spelling: Spelling) -> Vec<String> {
    let mut to = vec!["public:443".to_owned()];
    if spelling.is_carried() && class.is_nameable() && class != AddressClass::Host {
        to.push(match class {
            // Only written out in full.
            AddressClass::Metadata => format!("{}:443", in_v4(class)),
            class => format!("{class}:443"),
        });
    }
    to
}

pub(crate) fn wide_case(
    case: Case,
    capability: usize,
    class: AddressClass,
    spelling: Spelling,
) -> Case {
    let to = wide(class, spelling);
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    case.grant(capability, &to)
}

const NAME: &str = "=api.example.com";

fn dial(protocol: &str, capability: usize, condition: Condition) -> Cell {
    use Condition as C;
    let verb = format!("{protocol}-connect");
    let to = |host: &str, port: u16| Case::new(&[&format!("{verb} {host} {port}")]);
    let resolve = format!("{protocol}-resolve api.example.com");
    let (far, by_name) = (format!("{verb} {FAR} 443"), format!("{verb} {NAME} 443"));
    match condition {
        C::Granted => Cell::Guest(vec![
            to(FAR, 443),
            to(NAME, 443),
            to("=xn--bcher-kva.example.com", 443).name("xn--bcher-kva.example.com", &[ip(FAR)]),
            // Of two addresses the one that may be.
            to(NAME, 443)
                .name("api.example.com", &[ip("192.168.7.8"), ip(FAR)])
                .quiet("192.168.7.8", None),
        ]),
        C::NotGranted => Cell::Guest(vec![
            to(FAR, 443)
                .ungranted(capability)
                .denied(unsaid(capability))
                .quiet(FAR, Some(443)),
            to(NAME, 443)
                .ungranted(capability)
                .denied(unsaid(capability))
                .quiet(FAR, Some(443)),
        ]),
        C::AnotherApp => Cell::Guest(vec![
            to(FAR, 443)
                .another_app(capability)
                .denied(unsaid(capability))
                .quiet(FAR, Some(443)),
            to(NAME, 443)
                .another_app(capability)
                .denied(unsaid(capability))
                .quiet(FAR, Some(443)),
        ]),
        C::OtherHost => Cell::Guest(vec![
            to(OTHER, 443).denied("not-permitted").quiet(OTHER, None),
            to("=other.example.com", 443)
                .name("other.example.com", &[ip(OTHER)])
                .denied("name-not-permitted")
                .quiet(OTHER, None),
        ]),
        C::OtherPort => Cell::Guest(vec![
            to(FAR, 444).denied("not-permitted").quiet(FAR, Some(444)),
            to(NAME, 444)
                .denied("not-permitted")
                .allows(1)
                .quiet(FAR, Some(444)),
        ]),
        C::Forbidden => Cell::Guest(vec![
            to(FAR, 443)
                .forbid(capability, "93.184.216.34:443")
                .denied("operator-denied")
                .quiet(FAR, Some(443)),
            to(NAME, 443)
                .forbid(capability, "93.184.216.34:443")
                .denied("operator-denied")
                .allows(1)
                .quiet(FAR, Some(443)),
            to(NAME, 443)
                .forbid(capability, "api.example.com:*")
                .denied("operator-denied")
                .quiet(FAR, Some(443)),
        ]),
        C::Range(class, spelling) => {
            let Some(address) = spelled(class, spelling) else {
                return Cell::Not(Why::TakesNoAddress);
            };
            let case = to(&address.to_string(), 443).denied("blocked-range");
            let mut case =
                wide_case(case, capability, class, spelling).quiet(&address.to_string(), None);
            if class != AddressClass::Infrastructure {
                case = case.quiet(&in_v4(class).to_string(), None);
            }
            guest(case)
        }
        C::Name(name) => guest(
            to(&format!("={name}"), 443)
                .name("xn--bcher-kva.example.com", &[ip(FAR)])
                .forbid(capability, "api.example.com:*")
                .forbid(capability, "xn--bcher-kva.example.com:*")
                .denied("operator-denied")
                .quiet(FAR, Some(443)),
        ),
        C::Numeric(number) => guest(
            to(&format!("={number}"), 443)
                .grant(capability, &["loopback:443", "lan:443"])
                .fails("invalid-argument", "invalid-argument")
                .quiet("192.168.7.8", None),
        ),
        C::ResolvesTo(class) => {
            let address = in_v4(class);
            let mapped = address.to_ipv6_mapped();
            let case = |address: IpAddr| {
                to(NAME, 443)
                    .name("api.example.com", &[address])
                    .denied("blocked-range")
                    .allows(1)
                    .quiet(&in_v4(class).to_string(), Some(443))
            };
            Cell::Guest(vec![case(address.into()), case(mapped.into())])
        }
        C::Rebinding => guest(
            Case::new(&[&by_name, "wait 61000", &by_name])
                .at(
                    100,
                    Happens::Name("api.example.com", vec![ip("192.168.7.8")]),
                )
                .denied("blocked-range")
                .allows(1)
                .quiet("192.168.7.8", None),
        ),
        C::ExpiredAnswer => Cell::Guest(vec![
            // An address counts as its name for as long as the answer lives,
            Case::new(&[&resolve, &far]).grant(capability, &["api.example.com:443"]),
            // and no longer.
            Case::new(&[&resolve, "wait 61000", &far])
                .grant(capability, &["api.example.com:443"])
                .denied("expired")
                .quiet(FAR, Some(443)),
        ]),
        C::ImplicitBind if protocol == "tcp" => guest(
            Case::new(&[&far, "wait 200"])
                .at(50, Happens::Connect(0))
                .peer_is_refused(),
        ),
        C::ImplicitBind => guest(
            Case::new(&[&far, "udp-send", "wait 200", "udp-receive"])
                .at(50, Happens::Datagram(0))
                .at(60, Happens::Answer(FAR))
                .says("6 from 93.184.216.34:443"),
        ),
        C::Unspecified => Cell::Guest(
            ["0.0.0.0", "::", "::ffff:0.0.0.0"]
                .map(|address| {
                    to(address, 443)
                        .grant(capability, &["public:443", "loopback:443", "lan:443"])
                        .denied("blocked-range")
                        .quiet(address, None)
                })
                .to_vec(),
        ),
        C::OverQuota => Cell::Guest(vec![
            Case::new(&[&far, &far])
                .sockets(1)
                .fails("no-capacity", "no-capacity")
                .allows(1),
            Case::new(&[&far, &by_name])
                .sockets(1)
                .fails("no-capacity", "no-capacity")
                .allows(2),
        ]),
        C::Deadline => {
            let mut cases = vec![
                to(NAME, 443)
                    .silent()
                    .fails("deadline", "deadline")
                    .allows(1)
                    .quiet(FAR, Some(443)),
            ];
            if protocol == "tcp" {
                let nobody = to(NOBODY, 443).grant(capability, &["93.184.216.77:443"]);
                cases.push(nobody.fails("deadline", "deadline").allows(1));
            }
            Cell::Guest(cases)
        }
        C::Revoked => {
            let two = [ip(NOBODY), ip(FAR)];
            let mut cases = vec![looked_up(&by_name, capability)];
            if protocol == "tcp" {
                cases.extend([
                    // The one that is being tried.
                    to(NOBODY, 443)
                        .grant(capability, &["93.184.216.77:443"])
                        .forbid_at(500, capability, None)
                        .denied("revoked")
                        .allows(1)
                        .quiet_from(NOBODY, None, 501),
                    // The next one, whose permit was given when the first was tried.
                    to(NAME, 443)
                        .name("api.example.com", &two)
                        .forbid_at(500, capability, Some("93.184.216.34:443"))
                        .denied("revoked")
                        .allows(3)
                        .quiet(FAR, Some(443)),
                ]);
            }
            Cell::Guest(cases)
        }
        C::Overtaken if protocol == "tcp" => Cell::Node(vec![Native::Connect]),
        C::Overtaken => Cell::Node(vec![Native::UdpConnect]),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected | C::Version(_) => {
            unreachable!("answered before")
        }
    }
}

/// The policy changes while the question is on its way, the answer comes after.
fn looked_up(act: &str, capability: usize) -> Case {
    Case::new(&[act])
        .silent()
        .forbid_at(50, capability, None)
        .at(100, Happens::Name("api.example.com", vec![ip(FAR)]))
        .denied("revoked")
        .allows(1)
        .quiet(FAR, Some(443))
}

fn resolve(protocol: &str, capability: usize, condition: Condition) -> Cell {
    use Condition as C;
    let of = |name: &str| Case::new(&[&format!("{protocol}-resolve {name}")]);
    let it = "api.example.com";
    match condition {
        C::Granted => guest(of(it).says(FAR)),
        C::NotGranted => guest(
            of(it)
                .ungranted(capability)
                .denied(unsaid(capability))
                .quiet(crate::world::DNS, None),
        ),
        C::AnotherApp => guest(
            of(it)
                .another_app(capability)
                .denied(unsaid(capability))
                .quiet(crate::world::DNS, None),
        ),
        C::OtherHost => guest(
            of("other.example.com")
                .denied("name-not-permitted")
                .quiet(crate::world::DNS, None),
        ),
        C::Forbidden => guest(
            of(it)
                .forbid(capability, "api.example.com:*")
                .denied("operator-denied")
                .quiet(crate::world::DNS, None),
        ),
        C::Name(name) => guest(
            of(name)
                .forbid(capability, "api.example.com:*")
                .forbid(capability, "xn--bcher-kva.example.com:*")
                .denied("operator-denied")
                .quiet(crate::world::DNS, None),
        ),
        C::Numeric(number) => guest(
            of(number)
                .grant(capability, &["loopback:443", "lan:443"])
                .fails("invalid-argument", "invalid-argument")
                .quiet(crate::world::DNS, None),
        ),
        C::Deadline => guest(of(it).silent().fails("deadline", "deadline").allows(1)),
        C::Revoked => guest(looked_up(&format!("{protocol}-resolve {it}"), capability)),
        C::Overtaken if protocol == "tcp" => Cell::Node(vec![Native::TcpLookup]),
        C::Overtaken => Cell::Node(vec![Native::UdpLookup]),
        C::OtherPort => Cell::Not(Why::TakesNoPort),
        C::Range(..) | C::Unspecified => Cell::Not(Why::TakesNoAddress),
        C::ResolvesTo(_) | C::Rebinding | C::ExpiredAnswer => Cell::Not(Why::ReachesNobody),
        C::ImplicitBind => Cell::Not(Why::OpensNothing),
        C::OverQuota => Cell::Not(Why::HoldsNothing),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected | C::Version(_) => {
            unreachable!("answered before")
        }
    }
}

fn local(verb: &str, capability: usize, native: Native, condition: Condition) -> Cell {
    use Condition as C;
    let at = |local: &str| Case::new(&[&format!("{verb} {local}")]);
    let loopback = |case: Case| case.grant(capability, &["loopback:8080", "loopback:7000"]);
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
        C::OtherHost => guest(loopback(at(&format!("{OWN}:8080"))).denied("bind-not-permitted")),
        C::OtherPort => guest(at("0.0.0.0:8081").denied("bind-not-permitted")),
        C::Forbidden => guest(
            at("0.0.0.0:8080")
                .forbid(capability, "any:8080")
                .denied("operator-denied"),
        ),
        C::Range(class, spelling) if spelling.is_carried() => {
            let address = spelled(class, spelling).expect("it is written so");
            guest(at(&format!("[{address}]:8080")).denied("blocked-range"))
        }
        C::Range(..) => Cell::Not(Why::TakesALocalAddress),
        C::Name(_) | C::Numeric(_) | C::ResolvesTo(_) | C::Rebinding | C::ExpiredAnswer => {
            Cell::Not(Why::TakesNoName)
        }
        C::ImplicitBind => guest(at("0.0.0.0:0").denied("bind-not-permitted")),
        C::Unspecified => Cell::Guest(
            ["0.0.0.0:8080", "[::]:8080", "[::ffff:0.0.0.0]:8080"]
                .map(|local| loopback(at(local)).denied("bind-not-permitted"))
                .to_vec(),
        ),
        C::OverQuota => guest(
            Case::new(&[
                &format!("{verb} 127.0.0.1:7000"),
                &format!("{verb} 0.0.0.0:8080"),
            ])
            .sockets(1)
            .fails("no-capacity", "no-capacity")
            .allows(1),
        ),
        C::Deadline | C::Revoked => Cell::Not(Why::AnswersAtOnce),
        C::Overtaken => Cell::Node(vec![native]),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected | C::Version(_) => {
            unreachable!("answered before")
        }
    }
}

fn open(condition: Condition) -> Cell {
    use Condition as C;
    let open = || Case::new(&["udp-open 4"]);
    match condition {
        C::Granted => Cell::Guest(vec![open(), Case::new(&["udp-open 6"])]),
        C::NotGranted => guest(open().ungranted(SEND).denied(unsaid(SEND))),
        C::AnotherApp => guest(open().another_app(SEND).denied(unsaid(SEND))),
        C::Forbidden => guest(open().rule("forbid", SEND, "").denied("operator-denied")),
        C::ImplicitBind => guest(
            Case::new(&[
                "udp-open 4",
                &format!("udp-send {FAR}:443"),
                "wait 200",
                "udp-receive",
            ])
            .at(50, Happens::Datagram(0))
            .at(60, Happens::Answer(FAR))
            .says("6 from 93.184.216.34:443"),
        ),
        C::OverQuota => guest(
            Case::new(&["udp-open 4", "udp-open 4"])
                .sockets(1)
                .fails("no-capacity", "no-capacity")
                .allows(1),
        ),
        C::Overtaken => Cell::Node(vec![Native::UdpOpen]),
        C::OtherHost | C::Range(..) | C::Unspecified => Cell::Not(Why::TakesNoAddress),
        C::OtherPort => Cell::Not(Why::TakesNoPort),
        C::Name(_) | C::Numeric(_) | C::ResolvesTo(_) | C::Rebinding | C::ExpiredAnswer => {
            Cell::Not(Why::TakesNoName)
        }
        C::Deadline | C::Revoked => Cell::Not(Why::AnswersAtOnce),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected | C::Version(_) => {
            unreachable!("answered before")
        }
    }
}

fn send(condition: Condition) -> Cell {
    use Condition as C;
    let to = |remote: &str| {
        let family = if remote.starts_with('[') { "6" } else { "4" };
        Case::new(&[&format!("udp-open {family}"), &format!("udp-send {remote}")])
    };
    let far = format!("udp-send {FAR}:443");
    let both: &[&str] = &["93.184.216.34:443", "93.184.216.35:443"];
    let bound = || Case::new(&["udp-bind 0.0.0.0:8080", &far]);
    match condition {
        C::Granted => Cell::Guest(vec![to("93.184.216.34:443"), bound()]),
        C::NotGranted => guest(
            bound()
                .ungranted(SEND)
                .denied(unsaid(SEND))
                .quiet(FAR, Some(443)),
        ),
        C::AnotherApp => guest(
            bound()
                .another_app(SEND)
                .denied(unsaid(SEND))
                .quiet(FAR, Some(443)),
        ),
        C::OtherHost => Cell::Guest(vec![
            to("93.184.216.35:443")
                .denied("not-permitted")
                .quiet(OTHER, None),
            Case::new(&["udp-bind 0.0.0.0:8080", "udp-send 93.184.216.35:443"])
                .denied("not-permitted")
                .quiet(OTHER, None),
        ]),
        C::OtherPort => guest(
            to("93.184.216.34:444")
                .denied("not-permitted")
                .quiet(FAR, None),
        ),
        C::Forbidden => guest(
            to("93.184.216.34:443")
                .grant(SEND, both)
                .forbid(SEND, "93.184.216.34:443")
                .denied("operator-denied")
                .quiet(FAR, None),
        ),
        C::Range(class, spelling) => {
            let Some(address) = spelled(class, spelling) else {
                return Cell::Not(Why::TakesNoAddress);
            };
            let remote = match address {
                IpAddr::V4(v4) => format!("{v4}:443"),
                IpAddr::V6(v6) => format!("[{v6}]:443"),
            };
            let case = to(&remote)
                .denied("blocked-range")
                .quiet(&address.to_string(), None);
            guest(wide_case(case, SEND, class, spelling).quiet(&in_v4(class).to_string(), None))
        }
        C::ResolvesTo(class) => {
            let address = in_v4(class);
            let acts = [
                "udp-resolve api.example.com",
                "udp-open 4",
                &format!("udp-send {address}:443"),
            ];
            guest(
                Case::new(&acts)
                    .name("api.example.com", &[address.into()])
                    .denied("blocked-range")
                    .quiet(&address.to_string(), Some(443)),
            )
        }
        C::Rebinding => guest(
            Case::new(&[
                "udp-resolve api.example.com",
                "udp-open 4",
                &far,
                "wait 61000",
                "udp-resolve api.example.com",
                "udp-send 192.168.7.8:443",
            ])
            .at(
                100,
                Happens::Name("api.example.com", vec![ip("192.168.7.8")]),
            )
            .denied("blocked-range")
            .quiet("192.168.7.8", None),
        ),
        C::ExpiredAnswer => guest(
            Case::new(&[
                "udp-resolve api.example.com",
                "udp-open 4",
                "wait 61000",
                &far,
            ])
            .grant(SEND, &["api.example.com:443"])
            .denied("expired")
            .quiet(FAR, Some(443)),
        ),
        C::Unspecified => Cell::Guest(
            ["0.0.0.0", "::"]
                .map(|address| {
                    let remote = if address == "::" {
                        "[::]:443"
                    } else {
                        "0.0.0.0:443"
                    };
                    to(remote)
                        .grant(SEND, &["public:443", "loopback:443", "lan:443"])
                        .denied("blocked-range")
                        .quiet(address, None)
                })
                .to_vec(),
        ),
        C::Revoked => Cell::Guest(vec![
            Case::new(&[
                &format!("udp-connect {FAR} 443"),
                "udp-send",
                "wait 100",
                "udp-send",
            ])
            .forbid_at(50, SEND, Some("93.184.216.34:443"))
            .denied("revoked")
            .quiet_from(FAR, None, 51),
            Case::new(&["udp-open 4", &far, "wait 100", &far])
                .forbid_at(50, SEND, None)
                .denied("revoked")
                .quiet_from(FAR, None, 51),
            // The socket stays, the far end does not.
            Case::new(&["udp-open 4", &far, "wait 100", &far])
                .grant(SEND, both)
                .forbid_at(50, SEND, Some("93.184.216.34:443"))
                .denied("operator-denied")
                .quiet_from(FAR, None, 51),
            Case::new(&["udp-bind 0.0.0.0:8080", &far, "wait 100", &far])
                .forbid_at(50, BIND, None)
                .denied("revoked")
                .quiet_from(FAR, None, 51),
            // What is still allowed goes on, and nothing is recorded as revoked.
            Case::new(&["udp-open 4", &far, "wait 100", &far])
                .forbid_at(50, SEND, Some("93.184.216.35:443"))
                .again(),
            Case::new(&["udp-bind 0.0.0.0:8080", &far, "wait 100", &far]).forbid_at(
                50,
                SEND,
                Some("93.184.216.35:443"),
            ),
            // Whom a bound socket has heard it may answer, short of a forbid.
            Case::new(&[
                "udp-bind 0.0.0.0:8080",
                "udp-receive",
                "wait 200",
                "udp-send 93.184.216.34:9001",
            ])
            .at(10, Happens::Datagram(8080))
            .forbid_at(50, SEND, Some("93.184.216.34:*"))
            .denied("operator-denied")
            .quiet(FAR, None),
        ]),
        C::Name(_) | C::Numeric(_) => Cell::Not(Why::TakesNoName),
        C::ImplicitBind => Cell::Not(Why::OpensNothing),
        C::OverQuota => Cell::Not(Why::HoldsNothing),
        C::Deadline => Cell::Not(Why::AnswersAtOnce),
        C::Overtaken => Cell::Not(Why::ActsOnAnOpenHandleOnly),
        C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected | C::Version(_) => {
            unreachable!("answered before")
        }
    }
}

/// What an open handle has for everything but `Granted`, `Revoked` and `Deadline`.
fn not_of_a_handle(condition: Condition) -> Cell {
    Cell::Not(match condition {
        Condition::Deadline => Why::HasNoDeadline,
        _ => Why::ActsOnAnOpenHandleOnly,
    })
}

fn receive(condition: Condition) -> Cell {
    let (far, other) = (
        format!("udp-send {FAR}:443"),
        format!("udp-send {OTHER}:443"),
    );
    match condition {
        Condition::Granted => Cell::Guest(vec![
            Case::new(&["udp-open 4", &far, "udp-receive"])
                .at(50, Happens::Answer(FAR))
                .says("6 from 93.184.216.34:443"),
            Case::new(&["udp-bind 0.0.0.0:8080", "udp-receive"])
                .at(50, Happens::Datagram(8080))
                .says("6 from 93.184.216.34:9001"),
        ]),
        // Nobody speaks to a socket that has not spoken.
        Condition::ImplicitBind => guest(
            Case::new(&["udp-open 4", &far, "udp-receive"])
                .at(50, Happens::Datagram(0))
                .at(60, Happens::Answer(FAR))
                .says("6 from 93.184.216.34:443"),
        ),
        Condition::Revoked => Cell::Guest(vec![
            Case::new(&["udp-open 4", "udp-receive"])
                .forbid_at(50, SEND, None)
                .denied("revoked"),
            Case::new(&[&format!("udp-connect {FAR} 443"), "udp-receive"])
                .forbid_at(50, SEND, Some("93.184.216.34:443"))
                .denied("revoked"),
            Case::new(&["udp-bind 0.0.0.0:8080", "udp-receive"])
                .forbid_at(50, BIND, None)
                .denied("revoked"),
            // The socket stays; one of its far ends is heard no more.
            Case::new(&["udp-open 4", &far, &other, "wait 200", "udp-receive"])
                .grant(SEND, &["93.184.216.34:443", "93.184.216.35:443"])
                .forbid_at(50, SEND, Some("93.184.216.34:443"))
                .at(100, Happens::Answer(FAR))
                .at(110, Happens::Answer(OTHER))
                .says("6 from 93.184.216.35:443")
                .refusals(1)
                .untold(),
        ]),
        other => not_of_a_handle(other),
    }
}

fn accept(condition: Condition) -> Cell {
    let listen = "tcp-listen 0.0.0.0:8080";
    match condition {
        Condition::Granted => guest(Case::new(&[listen, "accept"]).at(10, Happens::Connect(8080))),
        Condition::Revoked => Cell::Guest(vec![
            Case::new(&[listen, "accept"])
                .forbid_at(50, LISTEN, Some("any:8080"))
                .denied("revoked"),
            Case::new(&[listen, "wait 100", "accept"])
                .forbid_at(50, LISTEN, Some("any:8080"))
                .denied("revoked"),
            // Who knocks after that is not let in.
            Case::new(&[listen, "wait 100", "accept"])
                .forbid_at(20, LISTEN, Some("any:8080"))
                .at(50, Happens::Connect(8080))
                .denied("revoked")
                .peer_is_refused(),
        ]),
        other => not_of_a_handle(other),
    }
}

/// A read, by call or as a stream, that waits when it is revoked.
fn read(act: &str, condition: Condition) -> Cell {
    let connect = format!("tcp-connect {FAR} 443");
    match condition {
        Condition::Granted => guest(Case::new(&[&connect, act]).says("5")),
        Condition::Revoked => Cell::Guest(vec![
            Case::new(&[&connect, "read", act])
                .forbid_at(50, CONNECT, Some("93.184.216.34:443"))
                .denied("revoked")
                .quiet_from(FAR, Some(443), 51),
            // One that was accepted ends with its listener.
            Case::new(&["tcp-listen 0.0.0.0:8080", "accept", act])
                .at(10, Happens::Connect(8080))
                .forbid_at(50, LISTEN, Some("any:8080"))
                .denied("revoked")
                .refusals(2)
                .peer_is_refused(),
        ]),
        other => not_of_a_handle(other),
    }
}

/// An act on a connection that answers at once.
fn handle(act: &str, condition: Condition) -> Cell {
    let connect = format!("tcp-connect {FAR} 443");
    match condition {
        Condition::Granted => guest(Case::new(&[&connect, act])),
        Condition::Revoked => guest(
            Case::new(&[&connect, "wait 100", act])
                .forbid_at(50, CONNECT, Some("93.184.216.34:443"))
                .denied("revoked")
                .quiet_from(FAR, Some(443), 51),
        ),
        other => not_of_a_handle(other),
    }
}

fn send_stream(condition: Condition) -> Cell {
    let connect = format!("tcp-connect {FAR} 443");
    match condition {
        Condition::Granted => guest(Case::new(&[&connect, "send-stream 100"])),
        Condition::Revoked => guest(
            Case::new(&[&connect, "send-stream 100"])
                .forbid_at(50, CONNECT, Some("93.184.216.34:443"))
                .denied("revoked")
                .quiet_from(FAR, Some(443), 51),
        ),
        other => not_of_a_handle(other),
    }
}

/// What has no error to say: it does nothing more, and traps no more.
fn quiet_handle(act: &str, condition: Condition) -> Cell {
    let connect = format!("tcp-connect {FAR} 443");
    of_handle(condition, &[&connect, "wait 100", act], CONNECT)
}

fn of_handle(condition: Condition, acts: &[&str], capability: usize) -> Cell {
    match condition {
        Condition::Granted => guest(Case::new(acts)),
        Condition::Revoked => {
            let case = Case::new(acts).forbid_at(50, capability, None).refusals(1);
            let case = case.quiet_from(FAR, Some(443), 51);
            guest(if capability == LISTEN {
                case
            } else {
                case.alone()
            })
        }
        other => not_of_a_handle(other),
    }
}
