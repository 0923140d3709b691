//! Any bytes of a server, in any pieces, with waits and ends between, as answers to the HTTP client.
//!
//! The client must end in time, in bounded memory, with a typed error or a response. What it takes for a response must
//! be one to a reader that shares nothing with it and reads strictly ([`reader`]): the same status, fields and body,
//! within the bounds; what is plain and within the bounds must be taken. A connection is asked again only when nothing
//! but one whole response came on it.

mod net;
mod reader;
mod script;

use std::io::Read;
use std::sync::Arc;

use allocation_counter::{measure, opt_out};
use flate2::bufread::GzDecoder;
use http::HeaderMap;
use http_body_util::BodyExt;
use nexus_services::http::{
    Caller, Client, Coding, Error, Network, Redirects, Request, RequestBody,
};
use nexus_types::{InstanceId, Seed, limits};

use net::Net;
use reader::{Reading, Whole};
use script::Plan;

/// What the client may hold at once beside what the app keeps of a body. Traced allocation by allocation. With
/// `w-bomb-most`: the filter's buffer (16 KiB), hyper's of writing (8 KiB; requests are small here), a block of its
/// channel (10 KiB), and its buffer of reading twice, one that grew (24 KiB in it and 32 of room) while a piece of it is
/// held, and a new one (32 KiB). With `w-bomb`: gzip's state (42 KiB), what it writes into and the piece made of that
/// (16 KiB each). Both together were not seen, nor are they excluded; a head, futures and tables have the other 12 KiB.
const HELD: u64 = 208 << 10;
/// And for each connection that is idle beside it: the filter's buffer, and hyper's of reading.
const HELD_IDLE: u64 = 56 << 10;

const APP: Caller = Caller(InstanceId(1));
/// How a handshake of TLS begins; nothing here answers it with one.
const HELLO: &str = "\u{16}";
const SECRET: &str = "x-token: canary\r\n";

/// What the app gets.
struct Seen {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    if data.len() < 4 {
        return;
    }
    let mut plan = Plan::read(data);
    let net = Net::new(std::mem::take(&mut plan.answers), plan.window, plan.limits);
    let used = measure(|| {
        let client = Client::new(Arc::new(net.clone()), &Seed::from_number(1));
        for number in 0..plan.asks {
            if number > 0 {
                net.pass(plan.between);
            }
            ask(&plan, &net, &client);
        }
        client.drop_all_of(APP);
        assert_eq!(client.idle(), 0);
        drop(client);
    });
    let state = net.state();
    assert!(state.connections.iter().all(|connection| !connection.open));
    let idle = limits::HTTP_POOL.min(state.connections.len().saturating_sub(1));
    let most = HELD + idle as u64 * HELD_IDLE;
    assert!(
        used.bytes_max <= most,
        "{} bytes, {most} may be",
        used.bytes_max
    );
}

/// Asks once, and looks at everything.
fn ask(plan: &Plan, net: &Net, client: &Client<Net>) {
    let (began, before) = (Network::now(net), net.state().exchanges.len());
    let mut request = Request::new(plan.method, "http://server.example/a/b");
    request
        .headers
        .append("x-token", http::HeaderValue::from_static("canary"));
    request.options = plan.options;
    if plan.method == "POST" {
        request.body = RequestBody::Whole(bytes::Bytes::from_static(&[b'b'; 400]));
    }
    let asked = client.request(APP, request);
    let mut result = net.run(async {
        let response = asked.await?;
        let mut seen = Seen {
            status: response.status.as_u16(),
            headers: response.headers,
            body: Vec::new(),
        };
        let mut body = response.body;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                opt_out(|| seen.body.extend_from_slice(&data));
            }
        }
        Ok(seen)
    });
    let took = Network::now(net) - began;
    assert!(took <= plan.limits.timeouts.total, "{took:?}");
    client.sweep();
    opt_out(|| {
        requests(plan, net, before);
        connections(net, client.idle());
        match &result {
            Ok(seen) => taken(plan, net, before, seen),
            Err(error) => refused(plan, net, before, error),
        }
        // What the app keeps of a body is not counted, nor that it lets go of it; a head is, both ways.
        if let Ok(seen) = &mut result {
            drop(std::mem::take(&mut seen.body));
        }
    });
}

/// What was asked of the server: as often as may be, and nothing that goes only to the first origin elsewhere.
fn requests(plan: &Plan, net: &Net, before: usize) {
    let state = net.state();
    let hops = match plan.options.redirects {
        Redirects::Follow(most) => 1 + usize::from(most),
        _ => 1,
    };
    let retries = if plan.method == "POST" {
        0
    } else {
        plan.options.retries
    };
    let asked = &state.exchanges[before..];
    // A method that may be asked again may come of a redirect, too.
    let most = hops * (1 + usize::from(retries.max(plan.options.retries)));
    assert!(asked.len() <= most, "{} requests", asked.len());
    for exchange in asked {
        let head = &exchange.head;
        if head == HELLO {
            continue;
        }
        assert!(head.is_ascii() && !head.contains('\0'));
        let hosts: Vec<_> = head
            .lines()
            .filter(|line| line.starts_with("host: "))
            .collect();
        assert_eq!(hosts.len(), 1, "{head}");
        assert!(
            hosts[0] == "host: server.example" || !head.contains(SECRET),
            "{head}"
        );
    }
}

/// A connection that lives, or was asked again, had nothing but whole responses on it.
fn connections(net: &Net, idle: usize) {
    let state = net.state();
    let mut open = 0;
    for (number, connection) in state.connections.iter().enumerate() {
        open += usize::from(connection.open);
        let its = state
            .exchanges
            .iter()
            .filter(|exchange| exchange.connection == number);
        let its: Vec<_> = its.collect();
        for (place, exchange) in its.iter().enumerate() {
            let until = match its.get(place + 1) {
                Some(next) => next.from,
                None if connection.open => connection.sent.len(),
                None => break,
            };
            let bytes = &connection.sent[exchange.from..until];
            match reader::read(bytes, None, exchange.head.starts_with("HEAD ")) {
                Reading::Whole(whole) => {
                    assert!(whole.persists && whole.used == bytes.len(), "kept {number}");
                }
                _ => panic!("{number} was kept after no whole response"),
            }
        }
        assert!(!connection.open || connection.end.is_none());
    }
    assert_eq!(open, idle);
}

/// What came in answer to the last request of these, and whether it was HEAD.
fn last(net: &Net, before: usize) -> Option<(Reading, usize, bool)> {
    let state = net.state();
    let exchange = state.exchanges[before..].last()?;
    if exchange.head == HELLO {
        return Some((Reading::Bad, 0, false));
    }
    let connection = &state.connections[exchange.connection];
    let bytes = &connection.sent[exchange.from..];
    let bodyless = exchange.head.starts_with("HEAD ");
    Some((
        reader::read(bytes, connection.end, bodyless),
        bytes.len(),
        bodyless,
    ))
}

/// The beginning of that, for people.
fn shown(net: &Net, before: usize) -> String {
    let state = net.state();
    let Some(exchange) = state.exchanges[before..].last() else {
        return String::new();
    };
    let bytes = &state.connections[exchange.connection].sent[exchange.from..];
    bytes[..bytes.len().min(2_000)].escape_ascii().to_string()
}

fn taken(plan: &Plan, net: &Net, before: usize, seen: &Seen) {
    let Some((Reading::Whole(whole), _, bodyless)) = last(net, before) else {
        panic!(
            "{} was taken for a response: {}",
            seen.status,
            shown(net, before)
        );
    };
    assert_eq!(seen.status, whole.status);
    assert!(within_bounds(plan, &whole), "{} fields", whole.fields.len());
    assert!(seen.body.len() as u64 <= plan.limits.response_body);
    let decoded = is_gzip(plan, &whole) && !bodyless && !matches!(seen.status, 204 | 304);
    if decoded {
        assert!(seen.body == gunzip(&whole.body).expect("it was taken for gzip"));
        let most = whole.body.len() as u64 * limits::HTTP_GZIP_RATIO;
        assert!(seen.body.len() as u64 <= most.max(limits::HTTP_GZIP_FREE_BYTES));
    } else {
        assert!(seen.body == whole.body);
    }
    assert!(seen.headers.len() <= whole.fields.len());
    for (name, _) in &whole.fields {
        let got: Vec<_> = seen
            .headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        let sent: Vec<_> = whole.all(name).collect();
        let dropped = [
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
        ];
        let of_coding = decoded && matches!(&name[..], "content-encoding" | "content-length");
        if dropped.contains(&&name[..]) || of_coding {
            assert!(got.is_empty(), "{name}");
        } else {
            assert_eq!(got, sent, "{name}");
        }
    }
}

fn refused(plan: &Plan, net: &Net, before: usize, error: &Error) {
    let text = error.to_string();
    assert!(
        !text.contains(char::is_control) && text.len() < 200,
        "{text:?}"
    );
    let expected = match error {
        Error::TimedOut(_) | Error::Send(_) | Error::Head(_) | Error::Body(_) => true,
        Error::Redirect(_) => plan.options.redirects != Redirects::Return,
        Error::Tls(_) => net
            .state()
            .exchanges
            .iter()
            .any(|exchange| exchange.head == HELLO),
        _ => false,
    };
    assert!(expected, "{text}");
    if matches!(error, Error::TimedOut(_)) || plan.window != usize::MAX {
        return;
    }
    if let Some((Reading::Whole(whole), came, bodyless)) = last(net, before) {
        let taken = must_be_taken(plan, &whole, came, bodyless);
        assert!(!taken, "{text}: {}", shown(net, before));
    }
}

fn within_bounds(plan: &Plan, whole: &Whole) -> bool {
    let most =
        limits::HTTP_FRAMING_BYTES as usize + 2 * limits::HTTP_BUFFER_BYTES + 16 * whole.body.len();
    whole.interim <= limits::HTTP_INTERIM as usize
        && whole.most <= limits::HTTP_RESPONSE_FIELDS
        && whole.head <= limits::HTTP_RESPONSE_HEAD_BYTES
        && whole.framing <= most
        && whole.body.len() as u64 <= plan.limits.response_body
}

/// Whether there is no reason at all to refuse it.
fn must_be_taken(plan: &Plan, whole: &Whole, came: usize, bodyless: bool) -> bool {
    let bodyless = bodyless || matches!(whole.status, 204 | 304);
    let redirects = matches!(whole.status, 301 | 302 | 303 | 307 | 308)
        && whole.all("location").count() > 0
        && plan.options.redirects != Redirects::Return;
    let codings: Vec<_> = whole.all("content-encoding").collect();
    let coding_fits = bodyless
        || match (plan.options.coding, &codings[..]) {
            (Coding::AsSent, _) | (_, []) => true,
            (Coding::Gzip, [b"gzip"]) => gunzip(&whole.body).is_some_and(|decoded| {
                // What grows too much on the way is refused even if it does not in the end.
                let most = limits::HTTP_GZIP_FREE_BYTES.min(plan.limits.response_body);
                decoded.len() as u64 <= most
            }),
            _ => false,
        };
    let length_fits = bodyless || whole.body.len() as u64 <= plan.limits.response_body;
    whole.plain
        && within_bounds(plan, whole)
        && whole.framing <= limits::HTTP_FRAMING_BYTES as usize
        && length_fits
        && !redirects
        && coding_fits
        && (!bodyless || whole.used == came)
}

fn is_gzip(plan: &Plan, whole: &Whole) -> bool {
    plan.options.coding == Coding::Gzip
        && whole.all("content-encoding").any(|coding| {
            coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
        })
}

/// One member and nothing after it.
fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = GzDecoder::new(bytes);
    let mut decoded = Vec::new();
    // More than any limit here: a bomb that is refused is not decoded to its end.
    let most = 2 << 20;
    decoder.by_ref().take(most).read_to_end(&mut decoded).ok()?;
    (decoder.into_inner().is_empty() && (decoded.len() as u64) < most).then_some(decoded)
}
