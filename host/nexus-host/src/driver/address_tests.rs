//! See `address.rs`; time is the test's own.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Context;

use nexus_caps::Clock;
use nexus_node::Mesh;

use super::*;

const NODE: NodeId = NodeId(0);
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 6];

fn target() -> Target {
    "tap:nx0".parse().unwrap()
}

fn address(text: &str) -> InterfaceAddress {
    let (ip, prefix) = text.split_once('/').unwrap();
    InterfaceAddress::new(ip.parse().unwrap(), prefix.parse().unwrap()).unwrap()
}

fn ways(gateways: &[&str], resolvers: &[&str]) -> Ways {
    Ways {
        gateways: gateways.iter().map(|ip| ip.parse().unwrap()).collect(),
        resolvers: resolvers
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 53))
            .collect(),
    }
}

fn wanted(fixed: &[&str], dhcp: bool) -> Addresses {
    Addresses {
        fixed: fixed.iter().map(|text| address(text)).collect(),
        dhcp,
        slaac: false,
    }
}

fn slaac() -> Addresses {
    Addresses {
        slaac: true,
        ..Addresses::default()
    }
}

fn contested(ip: &str) -> AddressEvent {
    AddressEvent::Contested {
        address: ip.parse().unwrap(),
        mac: MAC,
    }
}

struct Virtual(Arc<AtomicU64>);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// A driver with one node on a real interface, its clock in microseconds, and what it tells.
struct Desk {
    driver: Driver,
    clock: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<(Weight, String)>>>,
}

impl Desk {
    fn new(wanted: Addresses) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let mut driver = Driver::new(Mesh::new(), Virtual(clock.clone())).unwrap();
        let config = nexus_node::NodeConfig {
            stack: nexus_stack::Config::new(1_500, Vec::new()),
            topology: nexus_policy::Topology::default(),
            seed: nexus_types::Seed::from_number(1),
        };
        let node = driver.shard().enter(|mesh, now| mesh.add_node(config, now));
        assert_eq!(node.unwrap(), NODE);
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        driver.tell(move |_, weight, notice| {
            heard.lock().unwrap().push((weight, notice.to_string()));
        });
        driver.stations.borrow_mut().add(NODE, target(), wanted);
        Self {
            driver,
            clock,
            told,
        }
    }

    fn at(&self, micros: u64) {
        self.clock.store(micros, Ordering::Relaxed);
    }

    fn event(&self, event: AddressEvent) -> Option<(Weight, String)> {
        let mut stations = self.driver.stations.borrow_mut();
        let ways = ways(&["10.0.0.1"], &["10.0.0.53"]);
        stations.handle(self.driver.shard.now(), NODE, event, ways)
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn an_app_waits_until_every_address_is_its_nodes() {
    let desk = Desk::new(wanted(&["fd00::2/64"], true));
    let mut joined = pin!(desk.driver.joined(NODE));
    assert!(poll(joined.as_mut()).is_pending());
    assert_eq!(desk.event(AddressEvent::Ready(address("fd00::2/64"))), None);
    assert!(poll(joined.as_mut()).is_pending());
    // The server names the gateway before the address is sure.
    assert_eq!(desk.event(AddressEvent::Changed), None);
    let got = desk.event(AddressEvent::Ready(address("10.0.0.5/24")));
    let text = "got 10.0.0.5/24 from DHCP; gateway 10.0.0.1, DNS 10.0.0.53";
    assert_eq!(got, Some((Weight::Note, text.to_owned())));
    assert_eq!(poll(joined.as_mut()), Poll::Ready(Ok(())));
    // Nothing is waited for where addresses are known.
    assert_eq!(
        poll(pin!(desk.driver.joined(NodeId(7)))),
        Poll::Ready(Ok(()))
    );
}

/// Goal: at the limit the wait is over, a moment before it is not; it is said once that it is long.
#[test]
fn reject_a_link_on_which_nobody_gives_an_address() {
    let desk = Desk::new(wanted(&[], true));
    let mut joined = pin!(desk.driver.joined(NODE));
    for micros in [
        0,
        1_999_999,
        2_000_000,
        9_000_000,
        limits::ADDRESS_WAIT_MICROS - 1,
    ] {
        desk.at(micros);
        assert!(poll(joined.as_mut()).is_pending(), "{micros}");
        assert_eq!(
            desk.told.lock().unwrap().len(),
            usize::from(micros >= 2_000_000)
        );
    }
    let said = (
        Weight::Note,
        "waiting for an address from DHCP on tap:nx0".to_owned(),
    );
    assert_eq!(*desk.told.lock().unwrap(), [said]);
    desk.at(limits::ADDRESS_WAIT_MICROS);
    let Poll::Ready(Err(error)) = poll(joined.as_mut()) else {
        panic!("still waiting")
    };
    assert_eq!(error, AddressError::Nobody(Source::Dhcp, target()));
    let text = "no DHCP server answered on tap:nx0 within 15 s";
    assert_eq!(error.to_string(), text);
    assert!(error.hint().contains("10.0.0.2/24 instead of dhcp"));
}

/// Goal: who reads why nothing starts reads that there was an offer. Method: a station at the end of its wait; no offer
/// is to blame where it is a router that was silent.
#[test]
fn reject_an_offer_that_cannot_be_used_with_its_reason() {
    let fault = OfferFault::Gateway {
        address: address("10.0.0.5/32"),
        gateway: "10.0.0.1".parse().unwrap(),
    };
    let error = Station::new(target(), wanted(&[], true)).overdue(Some(fault));
    assert_eq!(error, AddressError::Refused(target(), fault));
    let text = "what a DHCP server offered on tap:nx0 cannot be used (its gateway 10.0.0.1 is no other host of the \
                network of 10.0.0.5/32), and there was no other offer within 15 s";
    assert_eq!(error.to_string(), text);
    assert!(error.hint().contains("10.0.0.2/24 instead of dhcp"));
    let error = Station::new(target(), slaac()).overdue(Some(fault));
    assert_eq!(error, AddressError::Nobody(Source::Slaac, target()));
}

#[test]
fn reject_an_address_that_somebody_has_at_once_and_with_their_name() {
    let desk = Desk::new(wanted(&["10.0.0.2/24", "fd00::2/64"], false));
    let mut joined = pin!(desk.driver.joined(NODE));
    assert!(poll(joined.as_mut()).is_pending());
    let taken = AddressEvent::Duplicate {
        address: address("10.0.0.2/24"),
        mac: MAC,
    };
    // The error says it.
    assert_eq!(desk.event(taken), None);
    let Poll::Ready(Err(error)) = poll(joined.as_mut()) else {
        panic!("still waiting")
    };
    let text = "the address 10.0.0.2/24 is in use on tap:nx0, by 02:00:00:00:00:06";
    assert_eq!(error.to_string(), text);
}

#[test]
fn reject_a_server_that_gives_what_somebody_has() {
    let desk = Desk::new(wanted(&[], true));
    let mut joined = pin!(desk.driver.joined(NODE));
    assert!(poll(joined.as_mut()).is_pending());
    let given = address("10.0.0.5/24");
    let (weight, text) = desk
        .event(AddressEvent::Duplicate {
            address: given,
            mac: MAC,
        })
        .unwrap();
    assert_eq!(weight, Weight::Warning);
    assert!(text.contains("in use by 02:00:00:00:00:06"), "{text}");
    assert!(poll(joined.as_mut()).is_pending());
    desk.at(limits::ADDRESS_WAIT_MICROS);
    let Poll::Ready(Err(error)) = poll(joined.as_mut()) else {
        panic!("still waiting")
    };
    assert!(
        error
            .to_string()
            .contains("the address 10.0.0.5/24, from DHCP on tap:nx0, is in use by")
    );
}

#[test]
fn what_changes_while_apps_run_is_told() {
    let desk = Desk::new(wanted(&["fd00::2/64"], true));
    let leased = address("10.0.0.5/24");
    desk.event(AddressEvent::Ready(address("fd00::2/64")));
    desk.event(AddressEvent::Ready(leased));
    assert!(poll(pin!(desk.driver.joined(NODE))).is_ready());
    // A renewal that says what the last one said.
    assert_eq!(desk.event(AddressEvent::Changed), None);
    let changed = |gateways: &[&str], resolvers: &[&str]| {
        let mut stations = desk.driver.stations.borrow_mut();
        let ways = ways(gateways, resolvers);
        stations.handle(Instant::ZERO, NODE, AddressEvent::Changed, ways)
    };
    let (weight, text) = changed(&["10.0.0.1", "fe80::1"], &[]).unwrap();
    assert_eq!(
        (weight, &*text),
        (
            Weight::Note,
            "now gateway 10.0.0.1 and fe80::1, no DNS server"
        )
    );
    let (weight, text) = desk.event(AddressEvent::Lost(leased)).unwrap();
    assert_eq!(weight, Weight::Warning);
    assert!(text.starts_with("10.0.0.5/24 is lost: "), "{text}");
    // That there is no gateway then goes without saying.
    assert_eq!(changed(&[], &[]), None);
    let (weight, text) = desk.event(AddressEvent::Ready(leased)).unwrap();
    assert_eq!(weight, Weight::Warning, "who read the first reads this");
    assert!(text.starts_with("got 10.0.0.5/24 from DHCP"), "{text}");
    let (weight, text) = desk.event(contested("fd00::2")).unwrap();
    assert_eq!(weight, Weight::Warning);
    assert!(text.starts_with("02:00:00:00:00:06 uses fd00::2"), "{text}");
}

/// Goal: a station that makes addresses come and go fills no terminal. Method: at the limit, over it, and a minute later.
#[test]
fn notices_at_and_over_their_limit() {
    let desk = Desk::new(wanted(&[], true));
    let leased = address("10.0.0.5/24");
    let told = |desk: &Desk| desk.event(AddressEvent::Lost(leased)).is_some();
    for _ in 0..TOLD {
        assert!(told(&desk));
    }
    assert!(!told(&desk) && !told(&desk));
    desk.at(59_999_999);
    assert!(!told(&desk));
    desk.at(60_000_000);
    let (_, text) = desk.event(AddressEvent::Lost(leased)).unwrap();
    assert!(
        text.ends_with("(3 notices before this one were not told)"),
        "{text}"
    );
}

/// Goal: who makes name servers come and go keeps no warning from being told. Method: notes past their limit, then a
/// warning, which counts nothing of theirs.
#[test]
fn notes_leave_room_for_warnings() {
    let desk = Desk::new(wanted(&[], true));
    let leased = address("10.0.0.5/24");
    desk.event(AddressEvent::Ready(leased));
    assert!(poll(pin!(desk.driver.joined(NODE))).is_ready());
    let toggled = |resolvers: &[&str]| {
        let mut stations = desk.driver.stations.borrow_mut();
        let ways = ways(&["10.0.0.1"], resolvers);
        stations.handle(Instant::ZERO, NODE, AddressEvent::Changed, ways)
    };
    for turn in 1..TOLD {
        let resolvers: &[&str] = if turn % 2 == 0 { &["10.0.0.53"] } else { &[] };
        assert!(toggled(resolvers).is_some(), "{turn}");
    }
    assert_eq!(toggled(&["10.0.0.53"]), None);
    let (weight, text) = desk.event(AddressEvent::Lost(leased)).unwrap();
    assert_eq!(weight, Weight::Warning);
    assert!(text.ends_with("apps go on"), "{text}");
}

/// Goal: that an address is left is told though a fight over it was told a moment ago.
#[test]
fn an_address_that_is_fought_over_and_then_left_is_told_of_twice() {
    let desk = Desk::new(wanted(&[], true));
    let leased = address("10.0.0.5/24");
    desk.event(AddressEvent::Ready(leased));
    assert!(desk.event(contested("10.0.0.5")).is_some());
    let taken = || {
        desk.event(AddressEvent::Duplicate {
            address: leased,
            mac: MAC,
        })
    };
    let (_, text) = taken().unwrap();
    assert!(text.contains("another is asked for"), "{text}");
    assert_eq!(taken(), None, "but not again");
}

#[test]
fn an_address_that_is_fought_over_is_told_of_once_a_minute() {
    let desk = Desk::new(wanted(&["10.0.0.2/24", "10.0.0.3/24"], false));
    let told = |micros, ip| {
        desk.at(micros);
        desk.event(contested(ip)).is_some()
    };
    assert!(told(0, "10.0.0.2"));
    assert!(!told(10_000_000, "10.0.0.2"));
    assert!(told(10_000_000, "10.0.0.3"));
    assert!(!told(59_999_999, "10.0.0.2"));
    assert!(told(60_000_000, "10.0.0.2"));
}

/// Goal: a link-local address alone is nothing an app can start with, and no news; one a router's prefix gives is both.
#[test]
fn an_app_waits_for_an_address_from_a_router() {
    let desk = Desk::new(slaac());
    let mut joined = pin!(desk.driver.joined(NODE));
    let ready = |text| desk.event(AddressEvent::Ready(address(text)));
    assert_eq!(ready("fe80::5/64"), None);
    assert!(poll(joined.as_mut()).is_pending());
    let (weight, text) = ready("fd00::5/64").unwrap();
    assert_eq!(weight, Weight::Note);
    // The gateway of the other family is none of its.
    let says = "got fd00::5/64 from SLAAC; no gateway, DNS 10.0.0.53";
    assert_eq!(text, says);
    assert_eq!(poll(joined.as_mut()), Poll::Ready(Ok(())));
    let lost = AddressEvent::Lost(address("fd00::5/64"));
    let (weight, text) = desk.event(lost).unwrap();
    assert_eq!(weight, Weight::Warning);
    assert!(text.contains("no router advertised its network"), "{text}");
}

#[test]
fn reject_a_link_on_which_no_router_gives_a_prefix() {
    let desk = Desk::new(Addresses {
        dhcp: true,
        ..slaac()
    });
    let mut joined = pin!(desk.driver.joined(NODE));
    desk.event(AddressEvent::Ready(address("10.0.0.5/24")));
    desk.event(AddressEvent::Ready(address("fe80::5/64")));
    assert!(poll(joined.as_mut()).is_pending());
    desk.at(limits::ADDRESS_WAIT_MICROS);
    let Poll::Ready(Err(error)) = poll(joined.as_mut()) else {
        panic!("still waiting")
    };
    assert_eq!(error, AddressError::Nobody(Source::Slaac, target()));
    assert!(error.to_string().starts_with("no router on tap:nx0"));
    assert!(error.hint().contains("instead of slaac"));
}

/// Goal: who waits goes on as soon as a timer has made an address sure. Method: a node on the real clock that asks once
/// for 10 ms; its next timer, which would find the news later, is 2 s away.
#[test]
fn a_timer_that_makes_an_address_sure_wakes_who_waits() {
    let mut driver = Driver::new(Mesh::new(), crate::driver::OsClock::start()).unwrap();
    let wanted = wanted(&["10.0.0.2/24"], false);
    let mut stack = nexus_stack::Config::new(1_500, wanted.fixed.clone());
    stack.medium = nexus_stack::Medium::Ethernet(MAC);
    stack.duplicate_detection = Some(nexus_stack::DuplicateDetection {
        probes: 1,
        interval: Duration::from_millis(10),
    });
    let config = nexus_node::NodeConfig {
        stack,
        topology: nexus_policy::Topology::default(),
        seed: nexus_types::Seed::from_number(1),
    };
    let node = driver.shard().enter(|mesh, now| mesh.add_node(config, now));
    let node = node.unwrap();
    driver.shard().enter(|mesh, _| mesh.touch_nic(node));
    driver.stations.borrow_mut().add(node, target(), wanted);
    let begun = driver.shard().now();
    let joined = driver.joined(node);
    assert_eq!(driver.block_on(joined).unwrap(), Ok(()));
    assert!(driver.shard().now() - begun < Duration::from_millis(1_500));
}
