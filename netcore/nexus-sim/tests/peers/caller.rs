//! Peers that call.

use nexus_sim::peers::{Step, TcpScript};

use super::*;

const PORT: u16 = 7000;
const CALLER: MachineId = MachineId(1);

/// A station that is called and one that calls it, each with its report.
struct Pair {
    world: World<Station>,
    called: Report,
    caller: Report,
}

impl Pair {
    fn new(wire: Wire, conditions: Conditions, called: Vec<Step>, calling: Vec<Step>) -> Self {
        let mut world = World::new(&Seed::from_number(3));
        let carries = if wire.ethernet {
            Carries::Ethernet
        } else {
            Carries::Packets
        };
        let segment = world.add_segment(carries, conditions);
        let reports = [Report::new(), Report::new()];
        let script = |steps| TcpScript::new(steps).unwrap();
        let after = Duration::from_millis(10);
        let roles = [
            (wire.local(PORT), Role::Tcp(script(called))),
            (wire.remote(PORT), Role::Caller(script(calling), after)),
        ];
        let mut isolation = Isolation::default();
        for ((number, (at, role)), report) in (1_u8..).zip(roles).zip(&reports) {
            let peers = [Peer::new(at, role, report.clone()).unwrap()];
            let spec = MachineSpec {
                name: format!("n{number}"),
                segment,
                addresses: vec![wire.address(number)],
                mac: wire.mac(number),
                clock: Instant::ZERO,
            };
            let id = MachineId(u32::from(number) - 1);
            isolation.grant(id, &Peer::all_grants(&peers), &[]).unwrap();
            let factory = move |boot: Boot<'_>| {
                Station::of_peers(&boot, wire.config(number), &peers).unwrap()
            };
            world.add_machine(spec, Box::new(factory)).unwrap();
            world.at(Instant::ZERO, Action::Start(id)).unwrap();
        }
        world.add_checker(Box::new(isolation));
        world.add_checker(Box::new(TcpRules::default()));
        let [called, caller] = reports;
        Self {
            world,
            called,
            caller,
        }
    }

    fn run(&mut self, time: Duration) {
        self.world.run_until(self.world.now() + time);
        assert_eq!(self.world.violations().0, []);
    }
}

fn send(text: &str) -> Step {
    Step::Send(text.into())
}

fn expect(text: &str) -> Step {
    Step::Expect(text.into())
}

/// Goal: a caller does its steps on the connection it makes, once, and is over when the connection is. Method: two
/// peers whose scripts fit, on each wire and on a bad link.
#[test]
fn a_call_is_made_once() {
    let plain = (Wire::PLAIN, good_link());
    let others = Wire::OTHERS.map(|wire| (wire, good_link()));
    let links = [plain, (Wire::PLAIN, bad_link())].into_iter().chain(others);
    for (wire, conditions) in links {
        let called = vec![expect("ping"), send("pong"), Step::ExpectEnd];
        let calling = vec![send("ping"), expect("pong"), Step::Finish, Step::ExpectEnd];
        let mut pair = Pair::new(wire, conditions, called, calling);
        pair.run(Duration::from_millis(10));
        assert!(!pair.caller.has_ended(), "{wire:?}");
        pair.run(Duration::from_secs(120));
        assert!(pair.caller.has_ended(), "{wire:?}");
        for report in [&pair.called, &pair.caller] {
            assert_eq!(report.failures(), [""; 0], "{wire:?}");
            assert_eq!(report.expected(), [""; 0], "{wire:?}");
        }
        // One that answers never comes to an end.
        assert!(!pair.called.has_ended());
    }
}

/// Goal: what goes against a caller's script is its failure, and its end. Method: another answer; a reset before the
/// last step, where something is expected and where nothing is; and nobody there.
#[test]
fn reject_calls_that_are_not_answered() {
    let long = vec![Step::Send(vec![b'x'; 4 << 20])];
    for (called, calling, says) in [
        (
            vec![expect("ping"), send("pang")],
            vec![send("ping"), expect("pong")],
            "call to 10.0.0.1:7000: step 2 (expect): byte 1 is 0x61 ('a'), not 0x6f ('o')",
        ),
        (
            vec![expect("ping"), Step::Reset],
            vec![send("ping"), expect("pong")],
            "step 2 (expect): the connection failed: ",
        ),
        (
            vec![expect("xxxx"), Step::Reset],
            long,
            "call to 10.0.0.1:7000: the connection failed: ",
        ),
    ] {
        let mut pair = Pair::new(Wire::PLAIN, good_link(), called, calling);
        pair.run(Duration::from_secs(120));
        let failures = pair.caller.failures();
        assert!(
            failures.len() == 1 && failures[0].contains(says),
            "{failures:?}"
        );
        assert!(pair.caller.has_ended());
    }
    let calling = vec![send("ping")];
    let mut pair = Pair::new(Wire::PLAIN, good_link(), vec![Step::Stall], calling);
    pair.world.at(Instant::ZERO, Action::Stop(PEERS)).unwrap();
    pair.run(Duration::from_secs(600));
    let failures = pair.caller.failures();
    assert!(
        failures.len() == 1 && failures[0].contains("the connection failed: "),
        "{failures:?}"
    );
    assert!(pair.world.machine(CALLER).is_some());
}
