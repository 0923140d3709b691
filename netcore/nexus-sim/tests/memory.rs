//! Memory: a packet costs a warm world no allocation, and a drained world holds what it held before.

use std::cell::Cell;
use std::rc::Rc;

use nexus_sim::{
    Action, Boot, Carries, Conditions, Fault, LinkFault, Machine, MachineId, MachineSpec, Ppm,
    Span, World, sim_nic,
};
use nexus_types::{Duration, Instant, InterfaceAddress, Seed};

/// Sends each frame it gets back to the other one.
struct Mirror {
    to: u8,
    waiting: Vec<u8>,
    frames: Rc<Cell<u64>>,
}

impl Machine for Mirror {
    fn handle_frame(&mut self, _: Instant, frame: &[u8]) {
        self.frames.set(self.frames.get() + 1);
        self.waiting.clear();
        self.waiting.extend_from_slice(frame);
        self.waiting[19] = self.to;
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn run(&mut self, _: Instant) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self, _: Instant, send: &mut dyn FnMut(&[u8])) {
        if !self.waiting.is_empty() {
            send(&self.waiting);
            self.waiting.clear();
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}

fn mirrors() -> (World<Mirror>, Rc<Cell<u64>>) {
    let mut world = World::new(&Seed::from_number(1));
    let segment = world.add_segment(Carries::Packets, Conditions::PLAIN);
    let frames = Rc::new(Cell::new(0));
    for number in 1..=2_u8 {
        let spec = MachineSpec {
            name: format!("mirror-{number}"),
            segment,
            addresses: vec![InterfaceAddress::new([10, 0, 0, number].into(), 24).unwrap()],
            mac: None,
            clock: Instant::ZERO,
        };
        let frames = frames.clone();
        let factory = move |_: Boot<'_>| Mirror {
            to: 3 - number,
            waiting: Vec::with_capacity(1_500),
            frames: frames.clone(),
        };
        let id = world.add_machine(spec, Box::new(factory)).unwrap();
        world.at(Instant::ZERO, Action::Start(id)).unwrap();
    }
    world.run_until(Instant::ZERO);
    let mut packet = vec![0; 1_500];
    packet[0] = 0x45;
    packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
    world.machine_mut(MachineId(0)).unwrap().0.waiting = packet;
    (world, frames)
}

fn pass(world: &mut World<Mirror>, time: Duration) {
    world.run_until(world.now() + time);
}

#[test]
fn a_packet_costs_a_warm_world_no_allocation() {
    let (mut world, frames) = mirrors();
    // Delayed, changed and sent again, none lost.
    let kinds = [
        LinkFault::Jitter(Duration::from_micros(10)),
        LinkFault::Replay(Ppm::per_mille(1)),
        LinkFault::BitFlip(Ppm::per_mille(1)),
    ];
    for kind in kinds {
        let fault = Fault::Link(Span::ALL, kind);
        let action = Action::Fault(fault, Duration::MAX);
        world.at(Instant::ZERO, action).unwrap();
    }
    pass(&mut world, Duration::from_millis(500));
    let before = frames.get();
    let counted = allocation_counter::measure(|| pass(&mut world, Duration::from_millis(100)));
    assert!(frames.get() - before >= 90, "{}", frames.get() - before);
    assert_eq!(counted.count_total, 0);
}

/// Goal: what a run takes it gives back. Method: the standard world, over and over: the bytes a world has when it
/// is gone are those before it was made.
#[test]
fn a_world_gives_back_what_it_took() {
    use nexus_sim::standard::{Options, run};
    // What is made once in a process, by whomever.
    run(3, &Options::default()).unwrap();
    for seed in 0..20 {
        let counted = allocation_counter::measure(|| {
            let outcome = run(seed, &Options::default()).unwrap();
            assert_eq!(outcome.violation_count, 0);
        });
        assert_eq!(counted.bytes_current, 0, "seed {seed}");
    }
}

/// Goal: in a world that goes on, the same load takes no more memory the tenth time than the second. Method: frames
/// through a NIC that were never more at a time.
#[test]
fn a_nic_uses_its_buffers_again() {
    let (mut nic, mut handle) = sim_nic();
    let mut round = || {
        use nexus_node::Nic as _;
        for _ in 0..100 {
            handle.deliver(&[0; 1_500]);
            nic.handle_frame(Instant::ZERO, &[0; 1_500], nexus_stack::Offload::None);
        }
        let got = nic.poll_transmit(Instant::ZERO, 200, &mut |_, _| {});
        assert_eq!(got, 100);
        let mut sent = 0;
        handle.take(&mut |_| sent += 1);
        assert_eq!(sent, 100);
    };
    for _ in 0..3 {
        round();
    }
    let counted = allocation_counter::measure(|| (0..10).for_each(|_| round()));
    assert_eq!(counted.count_total, 0);
}
