//! What a world does to frames and machines, seen by machines that only count and answer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use nexus_sim::{
    Action, Boot, Burst, Carries, Conditions, Fault, LinkFault, Machine, MachineFault, MachineId,
    MachineSpec, Plan, Planned, Ppm, Span, World, WorldError, limits,
};
use nexus_types::{Duration, Instant, InterfaceAddress, Ipv4Addr, Seed};

const MILLI: Duration = Duration::from_millis(1);

/// What happened to the machines, in order.
type Log = Rc<RefCell<Vec<(u8, Instant, What)>>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Boot(u32),
    /// A frame: its first payload byte and its length.
    Frame(u8, usize),
    Due,
}

/// Sends what it is told and notes what it gets.
struct Probe {
    number: u8,
    log: Log,
    out: VecDeque<Vec<u8>>,
    due: Option<Instant>,
    /// It says that something is due however often it is asked.
    restless: bool,
    busy: Option<Duration>,
}

impl Probe {
    fn note(&self, now: Instant, what: What) {
        self.log.borrow_mut().push((self.number, now, what));
    }
}

impl Machine for Probe {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        let mark = frame.get(20).copied().unwrap_or(0);
        self.note(now, What::Frame(mark, frame.len()));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.note(now, What::Due);
        }
    }

    fn run(&mut self, now: Instant) -> Option<Instant> {
        self.busy.map(|busy| now + busy)
    }

    fn poll_transmit(&mut self, _: Instant, send: &mut dyn FnMut(&[u8])) {
        for frame in self.out.drain(..) {
            send(&frame);
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        if self.restless {
            return Some(Instant::ZERO);
        }
        self.due
    }
}

fn own(last: u8) -> InterfaceAddress {
    InterfaceAddress::new([10, 0, 0, last].into(), 24).unwrap()
}

/// An IPv4 packet to 10.0.0.`to` that carries `mark`.
fn packet(to: u8, mark: u8, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length.max(21)];
    packet[0] = 0x45;
    packet[16..20].copy_from_slice(&Ipv4Addr::new(10, 0, 0, to).octets());
    packet[20] = mark;
    packet
}

struct Bench {
    world: World<Probe>,
    log: Log,
}

impl Bench {
    fn new(machines: u8, conditions: Conditions) -> Self {
        let mut world = World::new(&Seed::from_number(7));
        let segment = world.add_segment(Carries::Packets, conditions);
        let log = Log::default();
        for number in 0..machines {
            let log = log.clone();
            let spec = MachineSpec {
                name: format!("probe-{number}"),
                segment,
                addresses: vec![own(number + 1)],
                mac: None,
                clock: Instant::ZERO,
            };
            let factory = Box::new(move |boot: Boot<'_>| {
                let probe = Probe {
                    number,
                    log: log.clone(),
                    out: VecDeque::new(),
                    due: None,
                    restless: false,
                    busy: None,
                };
                probe.note(boot.now, What::Boot(boot.number));
                probe
            });
            let id = world.add_machine(spec, factory).unwrap();
            world.at(Instant::ZERO, Action::Start(id)).unwrap();
        }
        world.run_until(Instant::ZERO);
        Self { world, log }
    }

    fn send(&mut self, from: u32, frames: impl IntoIterator<Item = Vec<u8>>) {
        let (probe, _) = self.world.machine_mut(MachineId(from)).expect("it runs");
        probe.out.extend(frames);
    }

    fn pass(&mut self, time: Duration) {
        self.world.run_until(self.world.now() + time);
    }

    fn fault(&mut self, fault: Fault, lasts: Duration) {
        let now = self.world.now();
        self.world.at(now, Action::Fault(fault, lasts)).unwrap();
        self.world.run_until(now);
    }

    fn link(&mut self, fault: LinkFault, lasts: Duration) {
        self.fault(Fault::Link(Span::ALL, fault), lasts);
    }

    /// What a machine got: when, which and how long.
    fn got(&self, number: u8) -> Vec<(u64, u8, usize)> {
        let log = self.log.borrow();
        let frames = log.iter().filter_map(|(of, at, what)| match what {
            What::Frame(mark, length) if *of == number => Some((at.as_micros(), *mark, *length)),
            _ => None,
        });
        frames.collect()
    }

    fn boots(&self, number: u8) -> u32 {
        let log = self.log.borrow();
        let boots = log
            .iter()
            .filter(|(of, _, what)| *of == number && matches!(what, What::Boot(_)));
        boots.count() as u32
    }
}

fn plain() -> Conditions {
    Conditions::PLAIN
}

#[test]
fn a_packet_goes_to_whose_address_it_has_and_a_broadcast_to_all_others() {
    let mut bench = Bench::new(3, plain());
    bench.send(0, [packet(2, 1, 40), packet(9, 2, 40), packet(3, 3, 40)]);
    let mut all = packet(0, 4, 40);
    all[16..20].copy_from_slice(&[255; 4]);
    bench.send(2, [all]);
    bench.pass(MILLI);
    assert_eq!(bench.got(0), [(1_000, 4, 40)]);
    assert_eq!(bench.got(1), [(1_000, 1, 40), (1_000, 4, 40)]);
    assert_eq!(bench.got(2), [(1_000, 3, 40)]);
    assert_eq!(bench.world.counts().nobody, 1);
}

#[test]
fn a_slow_line_sends_one_after_the_other_and_its_queue_ends() {
    let rate = core::num::NonZeroU64::new(8_000_000);
    let conditions = Conditions {
        rate,
        queue: 2_000,
        ..plain()
    };
    let mut bench = Bench::new(2, conditions);
    // A millisecond each; the fourth finds 3,000 bytes before it.
    bench.send(0, (1..=4).map(|mark| packet(2, mark, 1_000)));
    bench.pass(10 * MILLI);
    assert_eq!(
        bench.got(1),
        [(2_000, 1, 1_000), (3_000, 2, 1_000), (4_000, 3, 1_000)]
    );
    assert_eq!(bench.world.counts().queue_full, 1);
}

#[test]
fn chances_are_as_strong_as_they_say() {
    type Count = fn(&nexus_sim::Counts) -> u64;
    let tenth = Ppm::per_mille(100);
    let cases: [(LinkFault, Count); 6] = [
        (LinkFault::Loss(tenth), |counts| counts.lost),
        (LinkFault::Duplication(tenth), |counts| counts.duplicated),
        (LinkFault::BitFlip(tenth), |counts| counts.flipped),
        (LinkFault::Truncation(tenth), |counts| counts.truncated),
        (LinkFault::Replay(tenth), |counts| counts.replayed),
        (
            LinkFault::Reorder {
                chance: tenth,
                by: 5 * MILLI,
            },
            |counts| counts.reordered,
        ),
    ];
    for (fault, count) in cases {
        let mut bench = Bench::new(2, plain());
        bench.link(fault, Duration::MAX);
        for _ in 0..100 {
            bench.send(0, (0..100).map(|mark| packet(2, mark, 100)));
            bench.pass(MILLI);
        }
        bench.pass(10 * MILLI);
        let counted = count(bench.world.counts());
        assert!((850..1_150).contains(&counted), "{fault:?}: {counted}");
        let arrived = bench.got(1).len() as u64;
        let counts = bench.world.counts();
        assert_eq!(
            arrived,
            10_000 - counts.lost + counts.duplicated + counts.replayed
        );
    }
}

#[test]
fn a_burst_loses_what_comes_together() {
    let mut bench = Bench::new(2, plain());
    let burst = Burst {
        begin: Ppm::per_mille(10),
        end: Ppm::per_mille(100),
        loss: Ppm::ALWAYS,
    };
    bench.link(LinkFault::Burst(burst), Duration::MAX);
    for round in 0..100 {
        bench.send(0, (0..100).map(|mark| packet(2, mark, 100 + round)));
        bench.pass(MILLI);
    }
    bench.pass(MILLI);
    let lost = bench.world.counts().lost;
    // A bad state of ten frames after a good one of a hundred: an eleventh.
    assert!((500..1_500).contains(&lost), "{lost}");
    let got: Vec<_> = bench
        .got(1)
        .iter()
        .map(|(_, mark, length)| length * 100 + *mark as usize)
        .collect();
    let gaps = got.windows(2).filter(|pair| pair[1] > pair[0] + 1).count() as u64;
    assert!(gaps * 4 < lost, "{lost} lost in {gaps} gaps");
}

#[test]
fn what_is_reordered_comes_later_and_jitter_keeps_the_order() {
    let marks = |fault| {
        let mut bench = Bench::new(2, plain());
        bench.link(fault, Duration::MAX);
        for mark in 0..200 {
            bench.send(0, [packet(2, mark, 40)]);
            bench.pass(MILLI / 10);
        }
        bench.pass(100 * MILLI);
        let got = bench.got(1);
        assert_eq!(got.len(), 200);
        got.into_iter().map(|(_, mark, _)| mark).collect::<Vec<_>>()
    };
    assert!(marks(LinkFault::Jitter(20 * MILLI)).is_sorted());
    let chance = Ppm::per_mille(100);
    let by = 20 * MILLI;
    assert!(!marks(LinkFault::Reorder { chance, by }).is_sorted());
}

#[test]
fn a_cut_is_of_one_direction_if_it_says_so() {
    let mut bench = Bench::new(2, plain());
    let span = Span::between(MachineId(0), MachineId(1));
    bench.fault(Fault::Link(span, LinkFault::Cut), 5 * MILLI);
    bench.send(0, [packet(2, 1, 40)]);
    bench.send(1, [packet(1, 2, 40)]);
    bench.pass(6 * MILLI);
    bench.send(0, [packet(2, 3, 40)]);
    bench.pass(2 * MILLI);
    assert_eq!(bench.got(1), [(7_000, 3, 40)]);
    assert_eq!(bench.got(0), [(1_000, 2, 40)]);
    assert_eq!(bench.world.counts().cut, 1);
}

#[test]
fn a_clog_holds_and_lets_go_in_order() {
    let mut bench = Bench::new(2, plain());
    bench.link(LinkFault::Clog, 50 * MILLI);
    bench.send(0, (1..=3).map(|mark| packet(2, mark, 40)));
    bench.pass(40 * MILLI);
    assert_eq!(bench.got(1), []);
    assert_eq!(bench.world.held().0, 3);
    bench.pass(20 * MILLI);
    assert_eq!(
        bench.got(1),
        [(51_000, 1, 40), (51_000, 2, 40), (51_000, 3, 40)]
    );
    assert_eq!(bench.world.held().0, 0);
}

#[test]
fn a_clog_at_and_over_what_it_holds() {
    let mut bench = Bench::new(2, plain());
    bench.link(LinkFault::Clog, Duration::MAX);
    bench.send(0, (0..limits::FRAMES_HELD).map(|_| packet(2, 1, 40)));
    bench.pass(MILLI);
    assert_eq!(bench.world.counts().over_limit, 0);
    bench.send(0, [packet(2, 1, 40)]);
    bench.pass(MILLI);
    assert_eq!(bench.world.counts().over_limit, 1);
    bench.world.calm();
    bench.pass(2 * MILLI);
    assert_eq!(bench.got(1).len(), limits::FRAMES_HELD);
}

#[test]
fn frames_to_one_machine_at_and_over_the_limit() {
    let mut bench = Bench::new(2, plain());
    bench.send(0, (0..limits::FRAMES_TO_ONE).map(|_| packet(2, 1, 40)));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.world.counts().over_limit, 0);
    bench.send(0, [packet(2, 1, 40)]);
    bench.pass(2 * MILLI);
    assert_eq!(bench.world.counts().over_limit, 1);
    assert_eq!(bench.got(1).len(), limits::FRAMES_TO_ONE as usize);
}

#[test]
fn a_frame_longer_than_the_mtu_is_lost() {
    let mut bench = Bench::new(2, plain());
    bench.link(LinkFault::Mtu(500), Duration::MAX);
    bench.send(0, [packet(2, 1, 500), packet(2, 2, 501)]);
    bench.pass(MILLI);
    assert_eq!(bench.got(1), [(1_000, 1, 500)]);
    assert_eq!(bench.world.counts().over_mtu, 1);
}

#[test]
fn what_is_replayed_is_no_older_than_a_minute() {
    let mut bench = Bench::new(2, plain());
    bench.link(LinkFault::Replay(Ppm::ALWAYS), Duration::MAX);
    bench.send(0, [packet(2, 1, 40)]);
    bench.pass(Duration::from_secs(60));
    bench.send(0, [packet(2, 2, 40)]);
    bench.pass(Duration::from_secs(61));
    bench.send(0, [packet(2, 3, 40)]);
    bench.pass(MILLI);
    let marks: Vec<_> = bench.got(1).into_iter().map(|(_, mark, _)| mark).collect();
    assert_eq!(marks, [1, 2, 1, 3]);
    bench.world.calm();
    assert_eq!(bench.world.held().0, 0, "what was captured is let go");
}

/// Goal: a fault of one direction changes nothing on another, and what it draws shifts nothing. Method: the same
/// world with one more fault elsewhere.
#[test]
fn drawing_on_one_direction_shifts_no_other() {
    let run = |elsewhere: bool| {
        let mut bench = Bench::new(3, plain());
        let to_1 = Span::between(MachineId(0), MachineId(1));
        let to_2 = Span::between(MachineId(0), MachineId(2));
        let fault = LinkFault::Loss(Ppm::per_mille(500));
        bench.fault(Fault::Link(to_1, fault), Duration::MAX);
        if elsewhere {
            bench.fault(Fault::Link(to_2, fault), Duration::MAX);
        }
        for mark in 0..100 {
            bench.send(0, [packet(2, mark, 40), packet(3, mark, 40)]);
            bench.pass(MILLI);
        }
        bench.pass(2 * MILLI);
        bench.got(1)
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_paused_machine_stands_still_and_its_nic_keeps_what_comes() {
    let mut bench = Bench::new(2, plain());
    let fault = Fault::Machine(MachineId(1), MachineFault::Pause);
    bench.fault(fault, 30 * MILLI);
    bench.world.machine_mut(MachineId(1)).unwrap().0.due = Some(Instant::from_millis(10));
    bench.send(0, [packet(2, 1, 40)]);
    bench.pass(20 * MILLI);
    assert_eq!(bench.got(1), []);
    bench.pass(20 * MILLI);
    assert_eq!(bench.got(1), [(30_000, 1, 40)]);
    let due = (1, Instant::from_millis(30), What::Due);
    assert!(bench.log.borrow().contains(&due));
}

#[test]
fn a_crashed_machine_boots_again_with_what_it_had_synced() {
    let mut bench = Bench::new(2, plain());
    let store = bench.world.store(MachineId(1)).unwrap();
    store.write("key", b"kept").unwrap();
    store.sync();
    store.write("key", b"newer").unwrap();
    bench.fault(Fault::Machine(MachineId(1), MachineFault::Crash), 5 * MILLI);
    assert!(bench.world.machine(MachineId(1)).is_none());
    bench.send(0, [packet(2, 1, 40)]);
    bench.pass(10 * MILLI);
    assert_eq!(bench.world.counts().not_running, 1);
    assert_eq!(bench.boots(1), 2);
    let kept = store.read("key").unwrap();
    assert!(b"newer".starts_with(&kept[..]) || kept == b"kept");
}

#[test]
fn a_stopped_machine_stays_down_when_its_fault_is_over() {
    let mut bench = Bench::new(1, plain());
    bench.fault(Fault::Machine(MachineId(0), MachineFault::Crash), 5 * MILLI);
    let now = bench.world.now();
    bench.world.at(now, Action::Stop(MachineId(0))).unwrap();
    bench.pass(10 * MILLI);
    assert_eq!(bench.boots(0), 1);
    let now = bench.world.now();
    bench.world.at(now, Action::Start(MachineId(0))).unwrap();
    bench.pass(MILLI);
    assert_eq!(bench.boots(0), 2);
}

#[test]
fn a_nic_that_is_down_carries_nothing_either_way() {
    let mut bench = Bench::new(2, plain());
    bench.fault(
        Fault::Machine(MachineId(1), MachineFault::NicDown),
        5 * MILLI,
    );
    bench.send(0, [packet(2, 1, 40)]);
    bench.send(1, [packet(1, 2, 40)]);
    bench.pass(6 * MILLI);
    bench.send(0, [packet(2, 3, 40)]);
    bench.pass(2 * MILLI);
    assert_eq!((bench.got(0).len(), bench.got(1).len()), (0, 1));
    assert_eq!(bench.world.counts().nic_down, 2);
}

#[test]
fn a_machine_with_other_addresses_is_reached_there() {
    let mut bench = Bench::new(2, plain());
    let fault = MachineFault::Addresses(vec![own(77)]);
    bench.fault(Fault::Machine(MachineId(1), fault), 5 * MILLI);
    bench.send(0, [packet(2, 1, 40), packet(77, 2, 40)]);
    bench.pass(10 * MILLI);
    bench.send(0, [packet(2, 3, 40), packet(77, 4, 40)]);
    bench.pass(2 * MILLI);
    let marks: Vec<_> = bench.got(1).into_iter().map(|(_, mark, _)| mark).collect();
    assert_eq!(marks, [2, 3]);
    assert_eq!((bench.boots(1), bench.world.counts().nobody), (3, 2));
}

#[test]
fn a_clock_is_the_machines_own() {
    let mut bench = Bench::new(1, plain());
    let machine = MachineId(0);
    let fault = |kind| Fault::Machine(machine, kind);
    bench.pass(Duration::from_secs(1));
    bench.fault(
        fault(MachineFault::ClockDrift(100_000)),
        Duration::from_secs(10),
    );
    bench.pass(Duration::from_secs(10));
    // A tenth fast for ten seconds.
    let (probe, now) = bench.world.machine_mut(machine).unwrap();
    assert_eq!(now, Instant::from_secs(12));
    probe.due = Some(Instant::from_secs(20));
    bench.fault(fault(MachineFault::ClockStep(5_000_000_000)), MILLI);
    bench.pass(Duration::from_millis(2_999));
    assert!(
        !bench
            .log
            .borrow()
            .iter()
            .any(|(.., what)| *what == What::Due)
    );
    bench.pass(MILLI);
    let due = (0, Instant::from_secs(20), What::Due);
    assert_eq!(bench.log.borrow().last(), Some(&due));
}

#[test]
fn a_busy_processor_is_not_run_but_frames_and_timers_are_served() {
    let mut bench = Bench::new(2, plain());
    let (probe, now) = bench.world.machine_mut(MachineId(1)).unwrap();
    probe.busy = Some(10 * MILLI);
    probe.due = Some(now + 3 * MILLI);
    bench.send(0, [packet(2, 1, 40)]);
    bench.pass(5 * MILLI);
    assert_eq!(bench.got(1), [(1_000, 1, 40)]);
    assert_eq!(
        bench.log.borrow().last(),
        Some(&(1, Instant::from_millis(3), What::Due))
    );
    assert_eq!(bench.world.violations().1, 0);
}

#[test]
fn who_never_rests_is_found_and_time_goes_on() {
    let mut bench = Bench::new(1, plain());
    bench.world.machine_mut(MachineId(0)).unwrap().0.restless = true;
    bench.pass(5 * MILLI);
    let (first, count) = bench.world.violations();
    assert_eq!(first[0].checker, "busy-loop");
    assert!(
        (5..=6).contains(&count),
        "{count}: one for each time it was let go on"
    );
    assert_eq!(bench.world.now(), Instant::from_millis(5));
}

#[test]
fn who_leaves_something_due_is_found() {
    let mut bench = Bench::new(1, plain());
    bench.pass(5 * MILLI);
    // Nothing tells the world of it in time: as if its timer had been forgotten.
    let machine = bench.world.machine_mut(MachineId(0)).unwrap().0;
    machine.due = Some(Instant::from_millis(2));
    bench.pass(Duration::ZERO);
    let (first, _) = bench.world.violations();
    assert_eq!(first[0].checker, "past-timer");
}

#[test]
fn reject_what_is_not_there_or_taken() {
    let mut bench = Bench::new(1, plain());
    let world = &mut bench.world;
    let start = |machine| Action::Start(MachineId(machine));
    assert_eq!(
        world.at(Instant::ZERO, start(1)),
        Err(WorldError::NoSuchMachine)
    );
    let cut = Fault::Link(Span::between(MachineId(0), MachineId(1)), LinkFault::Cut);
    let plan = Plan {
        faults: vec![Planned {
            at: Instant::ZERO,
            lasts: MILLI,
            fault: cut,
        }],
    };
    assert_eq!(world.plan(&plan), Err(WorldError::NoSuchMachine));
    let segment = nexus_sim::SegmentId(0);
    let ethernet = world.add_segment(Carries::Ethernet, plain());
    let mut add = |segment, last, mac| {
        let spec = MachineSpec {
            name: "more".to_owned(),
            segment,
            addresses: vec![own(last)],
            mac,
            clock: Instant::ZERO,
        };
        world.add_machine(spec, Box::new(|_| unreachable!("it is not started")))
    };
    assert_eq!(
        add(segment, 1, None),
        Err(WorldError::AddressTaken(own(1).address()))
    );
    assert_eq!(add(ethernet, 2, None), Err(WorldError::HardwareAddress));
    assert_eq!(
        add(ethernet, 2, Some([1; 6])),
        Err(WorldError::HardwareAddress)
    );
    assert!(add(ethernet, 2, Some([2; 6])).is_ok());
    assert_eq!(
        add(ethernet, 3, Some([2; 6])),
        Err(WorldError::HardwareAddressTaken([2; 6]))
    );
    assert_eq!(
        add(nexus_sim::SegmentId(9), 4, None),
        Err(WorldError::NoSuchSegment)
    );
}

#[test]
fn actions_and_faults_at_and_over_their_limits() {
    let mut bench = Bench::new(1, plain());
    let later = Instant::from_secs(1);
    let cut = || Action::Fault(Fault::Link(Span::ALL, LinkFault::Cut), Duration::MAX);
    for _ in 0..limits::ACTIONS {
        bench.world.at(later, cut()).unwrap();
    }
    assert_eq!(
        bench.world.at(later, cut()),
        Err(WorldError::TooManyActions)
    );
    bench.world.calm();
    bench.pass(Duration::from_secs(2));
    assert!(bench.world.is_calm(), "what was to come is forgotten");
    let now = bench.world.now();
    for _ in 0..limits::FAULTS {
        bench.world.at(now, cut()).unwrap();
    }
    bench.pass(Duration::ZERO);
    assert_eq!(bench.world.counts().faults_refused, 0);
    bench.link(LinkFault::Cut, MILLI);
    assert_eq!(bench.world.counts().faults_refused, 1);
}

#[test]
fn the_trace_says_what_happens_and_its_hash_tells_runs_apart() {
    let run = |mark: u8| {
        let mut bench = Bench::new(2, plain());
        let lines = Rc::new(RefCell::new(Vec::new()));
        let sink = lines.clone();
        bench.world.set_trace(Box::new(move |line| {
            sink.borrow_mut().push(line.to_owned())
        }));
        bench.send(0, [packet(2, mark, 40)]);
        bench.pass(MILLI);
        let lines = lines.borrow().clone();
        (lines, bench.world.trace_hash())
    };
    let (lines, hash) = run(1);
    assert_eq!(
        lines,
        [
            "0.000000000s probe-0 has a turn",
            "0.000000000s probe-0 sends 40 bytes",
            "0.001000000s probe-1 gets 40 bytes",
            "0.001000000s probe-1 has a turn",
        ]
    );
    assert_eq!(run(1).1, hash);
    assert_ne!(run(2).1, hash);
}
