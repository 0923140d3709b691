//! Name servers, asked by the production resolver.

use nexus_node::Lookup;
use nexus_policy::Capability;
use nexus_sim::checker::Baseline;
use nexus_sim::peers::{DnsEntry, DnsFault, DnsZone, Step, TcpScript};
use nexus_types::HostName;

use super::*;

const PORT: u16 = 53;

/// Where the names of the zone lead to.
const SERVICE: u16 = 9000;

fn host(text: &str) -> HostName {
    HostName::parse(&format!("{text}.peers.example")).unwrap()
}

fn zone(wire: Wire) -> DnsZone {
    let here = || DnsEntry::addresses(vec![wire.peer_address()]);
    let with = |fault| DnsEntry {
        fault: Some(fault),
        ..here()
    };
    let many = (1..=60).map(|last| [192, 0, 2, last].into()).collect();
    let mut slow = here();
    slow.delay = Duration::from_secs(1);
    let mut late = here();
    late.delay = Duration::from_secs(100);
    let names = vec![
        ("here", here()),
        ("alias", DnsEntry::alias(host("here"))),
        ("ring", DnsEntry::alias(host("gnir"))),
        ("gnir", DnsEntry::alias(host("ring"))),
        ("away", DnsEntry::alias(host("gone"))),
        ("empty", DnsEntry::addresses(Vec::new())),
        ("many", DnsEntry::addresses(many)),
        ("both", DnsEntry::addresses(both().to_vec())),
        ("servfail", with(DnsFault::ServFail)),
        ("silent", with(DnsFault::Silent)),
        ("spoof", with(DnsFault::Spoof)),
        ("truncate", with(DnsFault::Truncate)),
        ("slow", slow),
        ("late", late),
    ];
    let names = names.into_iter().map(|(name, entry)| (host(name), entry));
    DnsZone::new(names.collect()).unwrap()
}

/// Two addresses that are answers to two questions.
fn both() -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
    [[192, 0, 2, 7].into(), v6.into()]
}

type Found = Rc<RefCell<Option<(Instant, Result<Vec<IpAddr>, String>)>>>;

/// Looks a name up, connects to the first address under that name, and reads to the end.
struct ByName {
    name: HostName,
    service: SocketAddr,
    lookup: Option<Lookup>,
    found: Found,
    client: Option<Client>,
    outcome: Outcome,
}

impl ByName {
    fn look_up(&mut self, turn: &mut Turn<'_>) -> Poll<Result<Vec<IpAddr>, NetError>> {
        let lookup = match &self.lookup {
            Some(lookup) => lookup,
            None => {
                let via = Capability::NetworkTcpConnect;
                let act = Act::Resolve {
                    name: &self.name,
                    via,
                };
                let permit = turn.node.permit(turn.now, turn.instance, &act)?;
                let lookup = turn.node.resolve(turn.now, permit, &self.name)?;
                &*self.lookup.insert(lookup)
            }
        };
        turn.node.poll_lookup(turn.now, lookup, turn.waker)
    }
}

impl App for ByName {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        if self.client.is_none() {
            let found = ready!(self.look_up(turn)).map_err(|error| error.to_string());
            *self.found.borrow_mut() = Some((turn.now, found.clone()));
            let first = found.ok().and_then(|addresses| addresses.first().copied());
            if first != Some(self.service.ip()) {
                return Poll::Ready(());
            }
            self.client = Some(Client::to(self.service, b"", &self.outcome));
        }
        match &mut self.client {
            Some(client) => client.poll(turn),
            None => Poll::Ready(()),
        }
    }
}

struct Looked {
    bench: Bench,
    found: Found,
    outcome: Outcome,
}

impl Looked {
    fn result(&self) -> Result<Vec<IpAddr>, String> {
        let found = self.found.borrow();
        found.clone().expect("the lookup is over").1
    }
}

/// A world in which the app looks up this name of the zone.
fn look_up(seed: u64, conditions: Conditions, name: &str) -> Looked {
    look_up_on(seed, (Wire::PLAIN, conditions), name)
}

/// When all is over, a lookup has closed the sockets and streams it had.
fn look_up_on(seed: u64, link: (Wire, Conditions), name: &str) -> Looked {
    let wire = link.0;
    let (found, outcome) = (Found::default(), Outcome::default());
    let (name, kept) = (host(name), (found.clone(), outcome.clone()));
    let apps = move || -> Vec<Box<dyn App>> {
        vec![Box::new(ByName {
            name: name.clone(),
            service: wire.remote(SERVICE),
            lookup: None,
            found: kept.0.clone(),
            client: None,
            outcome: kept.1.clone(),
        })]
    };
    let greet = TcpScript::new(vec![Step::Send(b"found".to_vec())]).unwrap();
    let roles = vec![(PORT, Role::Dns(zone(wire))), (SERVICE, Role::Tcp(greet))];
    let configure = move |config: &mut Config| config.resolver.servers = vec![wire.remote(PORT)];
    let mut bench = Bench::with_peers(seed, link, roles, configure, Box::new(apps));
    let rest = Instant::from_secs(200);
    let baseline = Baseline::new(rest, Instant::FAR_FUTURE);
    bench.world.add_checker(Box::new(baseline));
    bench.run(rest - Instant::ZERO);
    Looked {
        bench,
        found,
        outcome,
    }
}

/// Goal: an app finds a peer by its name, its alias, late, past a forged answer and past a truncated one, and each is in
/// the trace. Method: the production resolver and a connection to what it finds.
#[test]
fn names_lead_to_their_addresses() {
    for (name, note) in [
        ("here", "A here.peers.example.: No Error, 1 records"),
        ("alias", "A alias.peers.example.: No Error, 2 records"),
        ("slow", "A slow.peers.example.: No Error, 1 records"),
        ("spoof", "1 records, after a forged answer"),
        ("truncate", "1 records, truncated"),
    ] {
        let looked = look_up(1, good_link(), name);
        assert_eq!(looked.result(), Ok(vec![peer_address()]), "{name}");
        looked.outcome.assert_whole(b"found");
        assert!(looked.bench.noted(note) > 0, "{name}");
        assert_eq!(looked.bench.failures(), [""; 0]);
        let at = looked.found.borrow().as_ref().unwrap().0;
        let is_late = at > Instant::from_secs(1);
        assert_eq!(is_late, name == "slow", "{name}");
    }
}

/// Goal: both families are asked for, and what they answer is one answer. Method: a name with an address of each.
#[test]
fn an_answer_has_addresses_of_both_families() {
    let looked = look_up(1, good_link(), "both");
    let mut found = looked.result().unwrap();
    found.sort();
    assert_eq!(found, both());
    assert_eq!(looked.bench.failures(), [""; 0]);
}

/// Goal: names lead to their addresses over IPv6 and on an Ethernet, too, from datagrams and from a stream. Method: the
/// same there. (On an Ethernet a node's gate follows its addresses and name servers; no app reaches one of these, and
/// here the service is where the name server is.)
#[test]
fn names_lead_to_their_addresses_on_every_wire() {
    for wire in Wire::OTHERS {
        for name in ["here", "alias", "truncate"] {
            let looked = look_up_on(1, (wire, good_link()), name);
            assert_eq!(looked.result(), Ok(vec![wire.peer_address()]), "{name}");
            if wire.ethernet {
                looked.outcome.assert_failed("blocked-range");
            } else {
                looked.outcome.assert_whole(b"found");
            }
            looked.bench.assert_on(wire);
        }
    }
}

/// Goal: an answer that fits no datagram comes over TCP. Method: more addresses than 512 bytes hold; the resolver keeps
/// the first of them.
#[test]
fn a_long_answer_comes_over_a_stream() {
    let looked = look_up(1, good_link(), "many");
    let addresses = looked.result().unwrap();
    assert_eq!(addresses.len(), nexus_types::limits::DNS_ANSWERS as usize);
    assert_eq!(addresses[0], IpAddr::from([192, 0, 2, 1]));
    assert_eq!(looked.bench.noted("60 records, truncated"), 1);
    let notes = looked.bench.notes.borrow();
    let of_stream = notes
        .iter()
        .filter(|note| note.contains("connection 1 from"));
    let of_stream: Vec<_> = of_stream.collect();
    assert!(
        of_stream[0].ends_with(": A many.peers.example.: No Error, 60 records"),
        "{of_stream:?}"
    );
    assert_eq!(looked.bench.failures(), [""; 0]);
}

/// Goal: names that lead nowhere and servers that fail are told to the app as what they are. Method: one of each.
#[test]
fn reject_names_that_lead_nowhere() {
    for (name, text, within) in [
        ("gone", "name", 1),
        ("empty", "name", 1),
        ("away", "name", 1),
        ("ring", "", 30),
        ("servfail", "", 30),
        ("silent", "no name server answered in time", 30),
        ("late", "", 30),
    ] {
        let looked = look_up(1, good_link(), name);
        let error = looked.result().unwrap_err();
        assert!(error.contains(text), "{name}: {error}");
        let at = looked.found.borrow().as_ref().unwrap().0;
        assert!(at < Instant::from_secs(within), "{name}: {at:?}");
        assert!(looked.outcome.is_open());
        assert_eq!(looked.bench.failures(), [""; 0]);
    }
}

/// Goal: loss, duplicates and reordering cost time and change no answer, and a seed is a run. Method: names of each kind
/// that is found, over the bad link, each seed twice.
#[test]
fn names_lead_to_their_addresses_on_a_bad_link() {
    for seed in 0..5 {
        for name in ["here", "alias", "spoof", "truncate"] {
            let run = || {
                let looked = look_up(seed, bad_link(), name);
                assert_eq!(looked.result(), Ok(vec![peer_address()]), "{name}");
                looked.outcome.assert_whole(b"found");
                assert_eq!(looked.bench.failures(), [""; 0]);
                looked.bench.world.trace_hash()
            };
            assert_eq!(run(), run());
        }
    }
}

/// What becomes of these bytes on a stream to the server.
fn stream(send: &[u8]) -> (Outcome, Bench) {
    let (apps, outcome) = one_client(PORT, send);
    let mut bench = Bench::new(1, good_link(), PORT, Role::Dns(zone(Wire::PLAIN)), apps);
    bench.run(Duration::from_secs(20));
    (outcome, bench)
}

/// A question for the address of here.peers.example, of so many bytes: what is over follows it.
fn question(length: usize) -> Vec<u8> {
    let mut bytes = (length as u16).to_be_bytes().to_vec();
    bytes.extend(b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00");
    bytes.extend(b"\x04here\x05peers\x07example\x00\x00\x01\x00\x01");
    assert!(bytes.len() <= length + 2);
    bytes.resize(length + 2, 0);
    bytes
}

/// Goal: a stream's questions are answered one after the other, up to the limit of one. Method: two, the second with
/// as many bytes as it may have; one byte more, an end within one, and noise are failures.
#[test]
fn questions_on_a_stream_at_and_over_the_limit() {
    let short = question(12 + 24 + 2);
    let most = question(limits::DNS_QUERY_BYTES);
    let (outcome, bench) = stream(&[&short[..], &most].concat());
    assert_eq!(*outcome.ended.borrow(), Some(Ok(())));
    let read = outcome.read();
    let first = usize::from(u16::from_be_bytes([read[0], read[1]]));
    assert_eq!(read[2..2 + first], read[4 + first..]);
    assert!(read.ends_with(&[10, 0, 0, 1]));
    assert_eq!(bench.failures(), [""; 0]);
    for (send, why) in [
        (
            question(limits::DNS_QUERY_BYTES + 1),
            "a question of 4097 bytes",
        ),
        (
            short[..20].to_vec(),
            "it ended after 20 bytes of a question",
        ),
        (b"\0\x03abc".to_vec(), "no DNS message"),
    ] {
        let (_, bench) = stream(&send);
        let failures = bench.failures();
        assert_eq!(failures.len(), 1, "{why}");
        assert!(failures[0].ends_with(why), "{failures:?}");
    }
}
