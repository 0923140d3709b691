//! An Ethernet carries what it is given: who claims another's address gets what is for it.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use nexus_node::Quota;
use nexus_policy::Act;
use nexus_sim::{
    Action, App, Boot, Carries, Conditions, Grants, Machine, MachineSpec, Station, Turn, World,
};
use nexus_stack::{Config, Medium};
use nexus_types::{Duration, Instant, InterfaceAddress, Seed, SocketAddr};

type Heard = Rc<RefCell<Vec<Vec<u8>>>>;

/// Says that 10.0.0.2 is here, and notes what it then gets.
struct Liar {
    next: Instant,
    due: bool,
    heard: Heard,
}

const LIAR: [u8; 6] = [2, 0, 0, 0, 0, 9];

impl Machine for Liar {
    fn handle_frame(&mut self, _: Instant, frame: &[u8]) {
        self.heard.borrow_mut().push(frame.to_vec());
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next {
            self.next = now + Duration::from_millis(100);
            self.due = true;
        }
    }

    fn run(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self, _: Instant, send: &mut dyn FnMut(&[u8])) {
        if std::mem::take(&mut self.due) {
            // An ARP reply to 10.0.0.1 (RFC 826).
            let mut frame = vec![2, 0, 0, 0, 0, 1];
            frame.extend(LIAR);
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
            frame.extend(LIAR);
            frame.extend([10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
            send(&frame);
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Some(self.next)
    }
}

struct Client;

impl App for Client {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let remote = SocketAddr::from(([10, 0, 0, 2], 80));
        let act = Act::Connect { remote, name: None };
        let permit = turn.node.permit(turn.now, turn.instance, &act).unwrap();
        turn.node.tcp_connect(turn.now, permit).unwrap();
        Poll::Ready(())
    }
}

/// Nobody has 10.0.0.2. Whether the client's SYN reaches who says it has.
fn is_lied_to(lies: bool) -> bool {
    let mut world: World<Box<dyn Machine>> = World::new(&Seed::from_number(1));
    let segment = world.add_segment(Carries::Ethernet, Conditions::PLAIN);
    let heard = Heard::default();
    let spec = |name: &str, last, mac| MachineSpec {
        name: name.to_owned(),
        segment,
        addresses: vec![InterfaceAddress::new([10, 0, 0, last].into(), 24).unwrap()],
        mac: Some(mac),
        clock: Instant::ZERO,
    };
    let client = move |boot: Boot<'_>| -> Box<dyn Machine> {
        let mut config = Config::new(1_500, Vec::new());
        config.medium = Medium::Ethernet([2, 0, 0, 0, 0, 1]);
        let grants = Grants {
            connect: vec!["10.0.0.2:80".to_owned()],
            ..Grants::default()
        };
        let mut station = Station::new(&boot, config, grants.policy()).unwrap();
        let manifest = grants.manifest("test.client");
        let instance = station.admit(boot.now, manifest, Quota::default()).unwrap();
        station.spawn(instance, Box::new(Client));
        Box::new(station)
    };
    let ear = heard.clone();
    let liar = move |boot: Boot<'_>| -> Box<dyn Machine> {
        Box::new(Liar {
            next: if lies { boot.now } else { Instant::FAR_FUTURE },
            due: false,
            heard: ear.clone(),
        })
    };
    let own = [2, 0, 0, 0, 0, 1];
    let client = world.add_machine(spec("client", 1, own), Box::new(client));
    let liar = world.add_machine(spec("liar", 9, LIAR), Box::new(liar));
    for id in [client, liar] {
        world.at(Instant::ZERO, Action::Start(id.unwrap())).unwrap();
    }
    world.run_until(Instant::from_secs(8));
    let heard = heard.borrow();
    heard.iter().any(|frame| {
        let packet = nexus_sim::wire::packet(true, frame);
        let ip = packet.and_then(nexus_sim::wire::Ip::parse);
        ip.is_some_and(|ip| ip.ports().is_some_and(|(_, to)| to == 80))
    })
}

#[test]
fn who_claims_an_address_gets_what_is_for_it() {
    assert!(is_lied_to(true));
    assert!(!is_lied_to(false));
}
