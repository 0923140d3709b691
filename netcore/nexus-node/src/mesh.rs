//! The nodes of one shard and what joins them, stepped together.
//!
//! A segment is a link of bare IP packets between nodes of the same shard: a frame goes to the
//! member that has its destination address, at once and on the same thread. There is no wire,
//! so it is neither delayed nor lost; a simulated link (nexus-sim) takes its place where that
//! is wanted.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nexus_stack::{AddressEvent, ConfigError, Offload, Received};
use nexus_types::{Instant, IpAddr, Ipv4Addr, Ipv6Addr, NodeId};

use crate::event::Event;
use crate::node::{Node, NodeConfig};

/// Frames moved in one step: bounds how long a host call can be held by what it set in motion.
/// What is left over moves in the next turn of the driver.
const FRAMES_PER_STEP: usize = 1_024;

/// What a node's frames leave by when it is not a segment.
pub trait Nic: Send {
    /// Takes a frame of the node, and does what is left to do with it: nothing, unless the node's
    /// stack was made with [`nexus_stack::Config::offload`].
    fn handle_frame(&mut self, now: Instant, frame: &[u8], offload: Offload);
    /// Hands frames for the node to `deliver`, with what is known of each, about `max` at most, and
    /// says how many; 0: there is none now. The node copies what it keeps, so a frame may stay where
    /// the NIC has it.
    fn poll_transmit(
        &mut self,
        now: Instant,
        max: usize,
        deliver: &mut dyn FnMut(&[u8], Received),
    ) -> usize;
    /// When [`Nic::handle_timeout`] is due next.
    fn poll_timeout(&mut self) -> Option<Instant>;
    /// Lets timers that are due act.
    fn handle_timeout(&mut self, now: Instant);
    /// Flows with bytes of the node that have not left this process yet.
    fn undelivered(&self) -> usize;
}

/// Which way a frame went, as its node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To the node.
    In,
    /// From the node.
    Out,
}

/// What is shown every frame that leaves or reaches a node. See [`Mesh::observe_frames`].
pub type FrameObserver = Box<dyn FnMut(NodeId, Direction, Instant, &[u8]) + Send>;

/// A link between nodes of this shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentId(usize);

/// Why a node cannot be added or attached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MeshError {
    /// The node's stack cannot be made.
    Config(ConfigError),
    /// Two nodes of a segment would have this address.
    AddressTaken(IpAddr),
    /// The node is attached already: it has one interface.
    Attached(NodeId),
}

impl fmt::Display for MeshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => fmt::Display::fmt(error, f),
            Self::AddressTaken(address) => {
                write!(f, "another node of the link has the address {address}")
            }
            Self::Attached(node) => {
                write!(f, "{node} is attached already; a node has one interface")
            }
        }
    }
}

impl core::error::Error for MeshError {}

enum Attachment {
    None,
    Segment(SegmentId),
    Nic(Box<dyn Nic>),
}

struct Member {
    node: Node,
    attachment: Attachment,
    /// Stands in `Mesh::dirty`.
    dirty: bool,
    /// Stands in `Mesh::eventful`.
    eventful: bool,
    /// Stands in `Mesh::learning`.
    learning: bool,
    /// When it is due.
    due: Option<Instant>,
    /// Stands in `Mesh::timeouts` with this, which is not after `due`: what is put off, as the deadline of a
    /// connection is with every packet, moves when its old time comes up.
    listed: Option<Instant>,
}

#[derive(Default)]
struct Segment {
    members: Vec<usize>,
    by_address: BTreeMap<IpAddr, usize>,
}

/// Every node one thread owns, with the segments and NICs that join them to each other and the world.
#[derive(Default)]
pub struct Mesh {
    members: Vec<Member>,
    segments: Vec<Segment>,
    dirty: VecDeque<usize>,
    eventful: VecDeque<usize>,
    /// Nodes whose addresses may have changed.
    learning: VecDeque<usize>,
    timeouts: BTreeSet<(Instant, usize)>,
    observer: Option<FrameObserver>,
}

impl Mesh {
    /// No node yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node, attached to nothing.
    ///
    /// # Errors
    /// What is wrong with the stack's configuration.
    pub fn add_node(&mut self, config: NodeConfig, now: Instant) -> Result<NodeId, MeshError> {
        let id = NodeId(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let node = Node::new(id, config, now).map_err(MeshError::Config)?;
        self.members.push(Member {
            node,
            attachment: Attachment::None,
            dirty: false,
            eventful: false,
            learning: false,
            due: None,
            listed: None,
        });
        self.follow_addresses(id.0 as usize, now);
        Ok(id)
    }

    /// Adds a segment without members.
    pub fn add_segment(&mut self) -> SegmentId {
        self.segments.push(Segment::default());
        SegmentId(self.segments.len() - 1)
    }

    /// Joins a node to a segment. Its stack must use a medium of bare IP packets.
    ///
    /// # Errors
    /// The node is attached already, or has an address of another member.
    pub fn attach_segment(&mut self, node: NodeId, segment: SegmentId) -> Result<(), MeshError> {
        let index = node.0 as usize;
        if !matches!(self.members[index].attachment, Attachment::None) {
            return Err(MeshError::Attached(node));
        }
        let members = &self.segments[segment.0];
        let addresses = self.members[index]
            .node
            .stack()
            .addresses()
            .iter()
            .map(|address| address.address());
        if let Some(taken) = addresses
            .clone()
            .find(|address| members.by_address.contains_key(address))
        {
            return Err(MeshError::AddressTaken(taken));
        }
        let addresses: Vec<_> = addresses.collect();
        let members = &mut self.segments[segment.0];
        members.members.push(index);
        members
            .by_address
            .extend(addresses.into_iter().map(|address| (address, index)));
        self.members[index].attachment = Attachment::Segment(segment);
        Ok(())
    }

    /// Gives a node its NIC.
    ///
    /// # Errors
    /// The node is attached already.
    pub fn attach_nic(&mut self, node: NodeId, nic: Box<dyn Nic>) -> Result<(), MeshError> {
        let member = &mut self.members[node.0 as usize];
        if !matches!(member.attachment, Attachment::None) {
            return Err(MeshError::Attached(node));
        }
        member.attachment = Attachment::Nic(nic);
        self.touch(node.0 as usize);
        Ok(())
    }

    /// Shows `observer` every frame at the door of its node, for a capture or a checker. What stays
    /// inside a node (its loopback) is no frame. It sees and changes nothing. Where a NIC does a part
    /// of the work, that is before it on the way out and behind it on the way in.
    pub fn observe_frames(&mut self, observer: FrameObserver) {
        self.observer = Some(observer);
    }

    /// The nodes, in the order they were added.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.iter().map(|member| &member.node)
    }

    /// A node, to look at.
    ///
    /// # Panics
    /// The id is of another mesh.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.members[id.0 as usize].node
    }

    /// A node, to act on; [`Mesh::step`] moves what the act set in motion.
    ///
    /// # Panics
    /// The id is of another mesh.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.touch(id.0 as usize);
        &mut self.members[id.0 as usize].node
    }

    /// Says that the node's NIC has something to move.
    pub fn touch_nic(&mut self, id: NodeId) {
        self.touch(id.0 as usize);
    }

    fn touch(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !member.dirty {
            member.dirty = true;
            self.dirty.push_back(index);
        }
    }

    /// Moves what is to be moved between nodes, segments and NICs, a bounded amount.
    pub fn step(&mut self, now: Instant) {
        let mut budget = FRAMES_PER_STEP;
        while budget > 0 {
            let Some(index) = self.dirty.pop_front() else {
                break;
            };
            self.members[index].dirty = false;
            self.members[index].node.judge_open(now);
            self.move_out(index, now, &mut budget);
            self.move_in(index, now, &mut budget);
            self.schedule(index);
            let member = &mut self.members[index];
            if member.node.has_events() && !member.eventful {
                member.eventful = true;
                self.eventful.push_back(index);
            }
        }
    }

    /// Frames of the node, to whom they are for.
    fn move_out(&mut self, index: usize, now: Instant, budget: &mut usize) {
        while let Some(frame) = self.members[index].node.stack_mut().poll_transmit(now) {
            self.show(index, Direction::Out, now, &frame);
            match &mut self.members[index].attachment {
                Attachment::None => {}
                Attachment::Nic(nic) => nic.handle_frame(now, &frame, frame.offload()),
                Attachment::Segment(segment) => {
                    let segment = segment.0;
                    self.deliver(segment, index, now, &frame);
                }
            }
            self.members[index].node.stack_mut().recycle(frame);
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                self.touch(index);
                return;
            }
        }
    }

    /// Frames of the NIC, to the node.
    fn move_in(&mut self, index: usize, now: Instant, budget: &mut usize) {
        let Self {
            members, observer, ..
        } = self;
        let Member {
            node, attachment, ..
        } = &mut members[index];
        let Attachment::Nic(nic) = attachment else {
            return;
        };
        let mut moved = false;
        while *budget > 0 {
            let count = nic.poll_transmit(now, *budget, &mut |frame, received| {
                if let Some(observer) = observer {
                    observer(node.id(), Direction::In, now, frame);
                }
                node.stack_mut().handle_received(now, frame, received);
            });
            if count == 0 {
                break;
            }
            moved = true;
            *budget = budget.saturating_sub(count);
        }
        if moved {
            self.follow_addresses(index, now);
            // What came in may have made answers; and more may wait where the budget ended.
            self.touch(index);
        }
    }

    /// What came in, or was due, may have changed the node's addresses.
    fn follow_addresses(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        if member.node.follow_addresses(now) && !member.learning {
            member.learning = true;
            self.learning.push_back(index);
        }
    }

    fn deliver(&mut self, segment: usize, from: usize, now: Instant, frame: &[u8]) {
        let Some(to) = destination(frame) else { return };
        if to.is_multicast() || to == IpAddr::V4(Ipv4Addr::BROADCAST) {
            for place in 0..self.segments[segment].members.len() {
                let index = self.segments[segment].members[place];
                if index != from {
                    self.hand(index, now, frame);
                }
            }
        } else if let Some(&index) = self.segments[segment].by_address.get(&to) {
            self.hand(index, now, frame);
        }
    }

    fn hand(&mut self, index: usize, now: Instant, frame: &[u8]) {
        self.show(index, Direction::In, now, frame);
        let stack = self.members[index].node.stack_mut();
        stack.handle_frame(now, frame);
        self.touch(index);
    }

    fn show(&mut self, index: usize, direction: Direction, now: Instant, frame: &[u8]) {
        if let Some(observer) = &mut self.observer {
            observer(self.members[index].node.id(), direction, now, frame);
        }
    }

    fn schedule(&mut self, index: usize) {
        let member = &mut self.members[index];
        let nic = match &mut member.attachment {
            Attachment::Nic(nic) => nic.poll_timeout(),
            _ => None,
        };
        member.due = [member.node.poll_timeout(), nic]
            .into_iter()
            .flatten()
            .min();
        let Some(due) = member.due else { return };
        match member.listed {
            Some(listed) if listed <= due => return,
            Some(listed) => _ = self.timeouts.remove(&(listed, index)),
            None => {}
        }
        member.listed = Some(due);
        self.timeouts.insert((due, index));
    }

    /// The first member that is due, and when; members whose time was put off move to where they belong.
    fn first_due(&mut self) -> Option<(Instant, usize)> {
        loop {
            let (listed, index) = *self.timeouts.first()?;
            let member = &mut self.members[index];
            if member.due == Some(listed) {
                return Some((listed, index));
            }
            self.timeouts.pop_first();
            member.listed = member.due;
            if let Some(due) = member.due {
                self.timeouts.insert((due, index));
            }
        }
    }

    /// The oldest event of a node that nobody has taken.
    pub fn poll_event(&mut self) -> Option<(NodeId, Event)> {
        while let Some(&index) = self.eventful.front() {
            let member = &mut self.members[index];
            if let Some(event) = member.node.poll_event() {
                return Some((member.node.id(), event));
            }
            member.eventful = false;
            self.eventful.pop_front();
        }
        None
    }

    /// The oldest word about the addresses of a node on an Ethernet that nobody has taken; the node's gate knows
    /// already. Apart from [`Mesh::poll_event`], so that apps that are refused without end push none of them out.
    pub fn poll_address_event(&mut self) -> Option<(NodeId, AddressEvent)> {
        while let Some(&index) = self.learning.front() {
            let member = &mut self.members[index];
            if let Some(event) = member.node.poll_address_event() {
                return Some((member.node.id(), event));
            }
            member.learning = false;
            self.learning.pop_front();
        }
        None
    }

    /// Connections that their app has closed and whose last bytes are still on their way out of
    /// this node and its NIC; frames that wait for the next step, datagrams among them, count as one.
    pub fn undelivered(&self, id: NodeId) -> usize {
        let member = &self.members[id.0 as usize];
        let nic = match &member.attachment {
            Attachment::Nic(nic) => nic.undelivered(),
            _ => 0,
        };
        let stack = member.node.stack();
        stack.undelivered() + nic + usize::from(stack.has_frames())
    }

    /// When [`Mesh::handle_timeout`] is due next: at once while a step has left something over.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if !self.dirty.is_empty() {
            return Some(Instant::ZERO);
        }
        self.first_due().map(|(due, _)| due)
    }

    /// Lets every node whose timer is due act. [`Mesh::step`] moves what that set in motion.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, index)) = self.first_due() {
            if due > now {
                break;
            }
            self.timeouts.pop_first();
            let member = &mut self.members[index];
            member.due = None;
            member.listed = None;
            member.node.handle_timeout(now);
            if let Attachment::Nic(nic) = &mut member.attachment {
                nic.handle_timeout(now);
            }
            self.follow_addresses(index, now);
            self.touch(index);
        }
    }
}

/// The destination of a bare IP packet.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let bytes: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some(IpAddr::V4(Ipv4Addr::from(bytes)))
        }
        6 => {
            let bytes: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Mesh({} nodes, {} segments)",
            self.members.len(),
            self.segments.len()
        )
    }
}
