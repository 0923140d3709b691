//! The resolver against servers that answer, fail, lie and are not who they say.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::*;

mod answers;
mod forgery;
mod limits_and_time;
mod random;
mod streams;

const T0: Instant = Instant::from_secs(1_000);
const APP: Scope = Scope(1);
const TRY: Duration = Duration::from_micros(limits::DNS_TRY_MICROS);

fn server(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 53))
}

fn host(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

fn wire(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn v4(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn v6(last: u16) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])
}

fn record(name: &str, ttl: u32, data: RData) -> Record {
    Record::from_rdata(wire(name), ttl, data)
}

fn address(name: &str, ttl: u32, address: IpAddr) -> Record {
    match address {
        IpAddr::V4(v4) => record(name, ttl, RData::A(A(v4))),
        IpAddr::V6(v6) => record(name, ttl, RData::AAAA(AAAA(v6))),
    }
}

fn alias(name: &str, ttl: u32, target: &str) -> Record {
    record(name, ttl, RData::CNAME(CNAME(wire(target))))
}

fn soa(zone: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(
        wire("ns.example"),
        wire("admin.example"),
        1,
        2,
        3,
        4,
        minimum,
    );
    record(zone, ttl, RData::SOA(soa))
}

/// The question in a query, over either transport.
fn question(query: &Query) -> Message {
    let bytes = match query.via {
        Via::Datagram { .. } => &query.message[..],
        Via::Stream { .. } => &query.message[2..],
    };
    let message = Message::from_vec(bytes).unwrap();
    assert_eq!(message.queries.len(), 1);
    assert_eq!(message.metadata.message_type, MessageType::Query);
    assert!(message.metadata.recursion_desired);
    message
}

fn asks_for(query: &Query) -> RecordType {
    question(query).queries[0].query_type()
}

/// An answer to `query` with these records.
fn reply(query: &Query, answers: Vec<Record>) -> Message {
    let question = question(query);
    let mut message = Message::response(question.metadata.id, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_queries(question.queries);
    message.add_answers(answers);
    message
}

fn failure(query: &Query, code: ResponseCode) -> Message {
    let mut message = reply(query, vec![]);
    message.metadata.response_code = code;
    message
}

/// A resolver, its clock, and what is on the wire.
struct Desk {
    resolver: Resolver,
    now: Instant,
}

impl Desk {
    fn new(servers: &[SocketAddr]) -> Self {
        Self::with_hosts(servers, vec![])
    }

    fn with_hosts(servers: &[SocketAddr], hosts: Vec<(HostName, Vec<IpAddr>)>) -> Self {
        let config = ResolverConfig {
            servers: servers.to_vec(),
            hosts,
        };
        Self {
            resolver: Resolver::new(config, &Seed::from_number(7)),
            now: T0,
        }
    }

    fn start(&mut self, name: &str) -> LookupId {
        self.start_in(APP, name)
    }

    fn start_in(&mut self, scope: Scope, name: &str) -> LookupId {
        self.resolver.start(self.now, scope, &host(name)).unwrap()
    }

    fn queries(&mut self) -> Vec<Query> {
        std::iter::from_fn(|| self.resolver.poll_transmit(self.now, |_| false)).collect()
    }

    /// Both queries of a lookup: A, AAAA.
    fn pair(&mut self) -> (Query, Query) {
        let mut queries = self.queries().into_iter();
        let (a, aaaa) = (queries.next().unwrap(), queries.next().unwrap());
        assert_eq!(queries.next(), None);
        assert_eq!(
            (asks_for(&a), asks_for(&aaaa)),
            (RecordType::A, RecordType::AAAA)
        );
        (a, aaaa)
    }

    fn datagram(&mut self, query: &Query, bytes: &[u8]) -> Taken {
        let Via::Datagram { local_port } = query.via else {
            panic!("not a datagram");
        };
        self.resolver
            .handle_datagram(self.now, query.server, local_port, bytes)
    }

    fn answer(&mut self, query: &Query, message: &Message) -> Taken {
        self.datagram(query, &message.to_vec().unwrap())
    }

    /// The framed answer, on the query's stream.
    fn stream(&mut self, query: &Query, message: &Message) {
        let bytes = message.to_vec().unwrap();
        self.stream_bytes(query, &framed(&bytes));
    }

    fn stream_bytes(&mut self, query: &Query, bytes: &[u8]) {
        let Via::Stream { stream } = query.via else {
            panic!("not a stream");
        };
        self.resolver.handle_stream(self.now, stream, bytes);
    }

    /// The clock jumps to the next deadline.
    fn wait(&mut self) {
        self.now = self.resolver.poll_timeout().expect("nothing to wait for");
        self.resolver.handle_timeout(self.now);
    }

    /// A whole lookup of `name` with these records for A and none for AAAA.
    fn look_up(&mut self, name: &str, answers: Vec<Record>) -> Result<Answer, ResolveError> {
        let id = self.start(name);
        let (a, aaaa) = self.pair();
        assert_eq!(self.answer(&a, &reply(&a, answers)), Taken::Answer);
        self.answer(&aaaa, &reply(&aaaa, vec![]));
        self.result(id)
    }

    fn result(&mut self, id: LookupId) -> Result<Answer, ResolveError> {
        let result = self.resolver.poll(id).expect("not finished");
        assert_eq!(self.resolver.poll(id), Some(Err(ResolveError::Closed)));
        result
    }

    /// Nothing is left of anything.
    fn assert_idle(&mut self) {
        let resolver = &mut self.resolver;
        assert!(resolver.lookups.is_empty(), "{:?}", resolver.lookups);
        assert!(resolver.jobs.is_empty() && resolver.by_name.is_empty());
        assert!(resolver.ports.is_empty() && resolver.streams.is_empty());
        assert!(resolver.timers.is_empty() && resolver.poll_timeout().is_none());
        assert_eq!(resolver.poll_transmit(self.now, |_| false), None);
    }
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

fn local_port(query: &Query) -> u16 {
    match query.via {
        Via::Datagram { local_port } => local_port,
        Via::Stream { .. } => panic!("not a datagram"),
    }
}
