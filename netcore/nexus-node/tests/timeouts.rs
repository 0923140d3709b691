//! When a mesh is due, as its members put their deadlines off and move them up.

use std::sync::{Arc, Mutex};

use nexus_node::{Mesh, Nic, NodeConfig};
use nexus_policy::Topology;
use nexus_stack::{Config, Offload, Received};
use nexus_types::{Instant, NodeId, Seed};

/// A NIC that is due when it is told to be, and counts how often it was.
#[derive(Clone, Default)]
struct Alarm(Arc<Mutex<(Option<Instant>, u32)>>);

impl Nic for Alarm {
    fn handle_frame(&mut self, _: Instant, _: &[u8], _: Offload) {}

    fn poll_transmit(&mut self, _: Instant, _: usize, _: &mut dyn FnMut(&[u8], Received)) -> usize {
        0
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.0.lock().unwrap().0
    }

    fn handle_timeout(&mut self, now: Instant) {
        let mut alarm = self.0.lock().unwrap();
        if alarm.0.is_some_and(|at| at <= now) {
            *alarm = (None, alarm.1 + 1);
        }
    }

    fn undelivered(&self) -> usize {
        0
    }
}

struct Desk {
    mesh: Mesh,
    nodes: Vec<(NodeId, Alarm)>,
}

impl Desk {
    fn new() -> Self {
        let mut mesh = Mesh::new();
        let nodes = (0..2)
            .map(|number| {
                let config = NodeConfig {
                    stack: Config::new(1_500, Vec::new()),
                    topology: Topology::default(),
                    seed: Seed::from_number(number),
                };
                let id = mesh.add_node(config, at(0)).unwrap();
                let alarm = Alarm::default();
                mesh.attach_nic(id, Box::new(alarm.clone())).unwrap();
                (id, alarm)
            })
            .collect();
        mesh.step(at(0));
        Self { mesh, nodes }
    }

    fn set(&mut self, index: usize, due: Option<u64>) {
        let (id, alarm) = &self.nodes[index];
        alarm.0.lock().unwrap().0 = due.map(at);
        self.mesh.touch_nic(*id);
        self.mesh.step(at(0));
    }

    fn rung(&self) -> Vec<u32> {
        let rung = |(_, alarm): &(_, Alarm)| alarm.0.lock().unwrap().1;
        self.nodes.iter().map(rung).collect()
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

/// Goal: what is put off is due at its new time and not before. Method: two NICs, put off, moved up, and silenced.
#[test]
fn a_mesh_is_due_when_the_first_of_its_members_is() {
    let mut desk = Desk::new();
    assert_eq!(desk.mesh.poll_timeout(), None);
    desk.set(0, Some(10));
    desk.set(1, Some(20));
    assert_eq!(desk.mesh.poll_timeout(), Some(at(10)));
    desk.set(0, Some(30));
    assert_eq!(desk.mesh.poll_timeout(), Some(at(20)));
    desk.set(0, Some(15));
    assert_eq!(desk.mesh.poll_timeout(), Some(at(15)));
    desk.set(1, None);
    desk.set(0, Some(40));
    desk.mesh.handle_timeout(at(39));
    assert_eq!(desk.rung(), [0, 0]);
    assert_eq!(desk.mesh.poll_timeout(), Some(at(40)));
    desk.mesh.handle_timeout(at(40));
    desk.mesh.step(at(40));
    assert_eq!(desk.rung(), [1, 0]);
    assert_eq!(desk.mesh.poll_timeout(), None);
}
