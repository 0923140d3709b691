//! One node: its stack, its gate, and the instances that run on it.

use core::task::{Poll, Waker};
use std::collections::BTreeMap;

use nexus_policy::switch::Site;
use nexus_policy::{Act, Denial, Gate, Permit, Stamp, Topology};
use nexus_stack::{AddressEvent, Config, ConfigError, LookupId, Medium, Scope, Stack};
use nexus_types::{HostName, InstanceId, Instant, IpAddr, NodeId, PolicyEpoch, Seed};

use crate::NetError;
use crate::event::{Event, Events};
use crate::quota::{Quota, Usage};
use crate::revoke::{Handle, Lingering, Open};
use crate::tcp::misused;
use crate::udp::Remotes;

/// What a node is made of.
pub struct NodeConfig {
    /// Its stack.
    pub stack: Config,
    /// What its addresses stand for. On an Ethernet the stack knows better than its maker which addresses are the
    /// node's, and where its gateways and name servers are: `own` and `learnt` follow the stack.
    pub topology: Topology,
    /// Where its randomness comes from.
    pub seed: Seed,
}

/// One stack, one gate, one set of addresses.
pub struct Node {
    id: NodeId,
    pub(crate) stack: Stack,
    pub(crate) gate: Gate,
    /// Whether its addresses may change while it stands.
    learns: bool,
    /// What one connection's buffers count for.
    pub(crate) connection_bytes: u64,
    /// What they are: receive, send.
    pub(crate) buffer_bytes: (usize, usize),
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    scopes: u32,
    pub(crate) remotes: BTreeMap<nexus_stack::UdpId, Remotes>,
    /// What apps have open.
    pub(crate) open: BTreeMap<Handle, Open>,
    /// The policy under which all of it was judged last.
    pub(crate) judged_at: PolicyEpoch,
    /// Handles ended because they were no longer allowed, since it booted.
    pub(crate) revoked: u64,
    pub(crate) lingering: Lingering,
    events: Events,
}

pub(crate) struct Instance {
    pub(crate) scope: Scope,
    pub(crate) quota: Quota,
    pub(crate) usage: Usage,
}

/// A name being looked up for an app.
#[derive(Debug)]
pub struct Lookup {
    id: LookupId,
    stamp: Stamp,
    name: HostName,
}

impl Node {
    pub(crate) fn new(id: NodeId, config: NodeConfig, now: Instant) -> Result<Self, ConfigError> {
        let learns = matches!(config.stack.medium, Medium::Ethernet(_));
        let tcp = &config.stack.tcp;
        let mut node = Self {
            id,
            connection_bytes: tcp.rx_bytes as u64 + tcp.tx_bytes as u64,
            buffer_bytes: (tcp.rx_bytes, tcp.tx_bytes),
            stack: Stack::new(config.stack, now, config.seed.split("stack"))?,
            gate: Gate::new(config.topology),
            learns,
            instances: BTreeMap::new(),
            scopes: 0,
            remotes: BTreeMap::new(),
            open: BTreeMap::new(),
            judged_at: PolicyEpoch(0),
            revoked: 0,
            lingering: Lingering::default(),
            events: Events::default(),
        };
        node.follow_addresses(now);
        Ok(node)
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The stack, to look at.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(crate) fn stack_mut(&mut self) -> &mut Stack {
        &mut self.stack
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        [self.stack.poll_timeout(), self.gate.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.stack.handle_timeout(now);
        self.gate.handle_timeout(now);
    }

    /// Tells the gate what the stack's addresses, gateways and name servers are by now. To be called after whatever
    /// may have changed them, before an app acts. Whether there may be [`Node::poll_address_event`]s.
    ///
    /// An address counts as the node's own as soon as the stack has it, sure or not: what is sent there stays in the
    /// node, and no rule about the link's other stations is to be about it.
    pub(crate) fn follow_addresses(&mut self, now: Instant) -> bool {
        if !self.learns {
            return false;
        }
        let known = self.gate.topology();
        let learnt = known.learnt.iter().copied();
        if known.own != self.stack.addresses() || !learnt.eq(self.learnt()) {
            let topology = Topology {
                own: self.stack.addresses().to_vec(),
                learnt: self.learnt().collect(),
                ..known.clone()
            };
            self.gate.set_topology(now, topology);
        }
        true
    }

    /// What is the node's own stays that, whoever names it as a server: its apps could not begin to speak with it.
    fn learnt(&self) -> impl Iterator<Item = IpAddr> {
        let servers = self.stack.resolvers().iter().map(|server| server.ip());
        let own = self.stack.addresses();
        let is_own = move |ip: &IpAddr| own.iter().any(|own| own.address() == *ip);
        let learnt = self.stack.gateways().chain(servers);
        let learnt = learnt.chain(self.stack.attendants());
        learnt.filter(move |ip| !is_own(ip))
    }

    /// What became of the node's addresses, oldest first; the gate knows already.
    pub(crate) fn poll_address_event(&mut self) -> Option<AddressEvent> {
        self.stack.poll_address_event()
    }

    /// Gives back the address that a DHCP server gave, if one did: for the end of the node, see
    /// [`Stack::release`]. Whether the server is told; [`Mesh::step`](crate::Mesh::step) moves that.
    pub fn release(&mut self, now: Instant) -> bool {
        let told = self.stack.release(now);
        self.follow_addresses(now);
        told
    }

    /// The gate, to look at.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The gate, to admit an app to or to give new policies.
    pub fn gate_mut(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// Gives an instance that the gate has admitted its place on the stack.
    pub fn start(&mut self, instance: InstanceId, quota: Quota) {
        self.scopes += 1;
        let scope = Scope(self.scopes);
        self.instances.insert(
            instance,
            Instance {
                scope,
                quota,
                usage: Usage::default(),
            },
        );
        self.limit_unheld(instance);
    }

    /// Ends an instance: what it had open is closed, what it was granted is void.
    pub fn end(&mut self, now: Instant, instance: InstanceId) -> Usage {
        let Some(ended) = self.instances.remove(&instance) else {
            self.gate.end(instance);
            return Usage::default();
        };
        self.stack.end_scope(now, ended.scope);
        self.remotes
            .retain(|_, remotes| remotes.instance() != instance);
        let its = |open: &Open| open.stamp().instance() == instance;
        let open = self.open.extract_if(.., |_, open| its(open));
        for (handle, open) in open.collect::<Vec<_>>() {
            if let (Handle::Tcp(id), Open::Stands(stamp, opened)) = (handle, open) {
                self.linger(id, stamp, opened);
            }
        }
        self.end_at_gate(instance);
        self.keep_lingering_few();
        ended.usage
    }

    /// What an instance holds and has used.
    pub fn usage(&self, instance: InstanceId) -> Usage {
        self.instances
            .get(&instance)
            .map(|instance| instance.usage)
            .unwrap_or_default()
    }

    /// Asks the gate. A refusal becomes an event and what the app is told.
    ///
    /// # Errors
    /// The refusal.
    pub fn permit(
        &mut self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
    ) -> Result<Permit, NetError> {
        let decided = self.gate.decide(now, instance, act);
        self.tell_observed();
        decided.map_err(|denial| self.refused(instance, *denial))
    }

    /// What `--mode` let pass becomes events.
    fn tell_observed(&mut self) {
        while let Some(denial) = self.gate.poll_observed() {
            let instance = denial.instance;
            self.events.push(Event::Observed { instance, denial });
        }
    }

    /// Asks the gate for several ways that are all to be open for one thing to be done, as the addresses of a name that a
    /// request goes to: where one is refused all are, for the reason of that one. At most
    /// [`nexus_types::limits::DNS_ANSWERS`] are judged; the rest is dropped.
    ///
    /// # Errors
    /// The refusal. None, with an empty list, if there was nothing to judge.
    pub fn permit_all<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Vec<Permit>, NetError> {
        let decided = self.gate.decide_all(now, instance, acts);
        self.tell_observed();
        decided.map_err(|denial| self.refused(instance, *denial))
    }

    /// Asks the gate for several ways to do one thing, as the addresses of one name. What is
    /// permitted comes back in order. Only if nothing is, the thing was refused: once, for the
    /// reason of the first. At most [`nexus_types::limits::DNS_ANSWERS`] are judged; the rest is dropped.
    ///
    /// # Errors
    /// The refusal.
    pub fn permit_some<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Vec<Permit>, NetError> {
        let decided = self.gate.decide_some(now, instance, acts);
        self.tell_observed();
        decided.map_err(|denial| self.refused(instance, *denial))
    }

    /// As [`Node::permit_some`], and stops at the first that is permitted.
    ///
    /// # Errors
    /// The refusal, for the reason of the first.
    pub fn permit_first<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Permit, NetError> {
        let decided = self.gate.decide_first(now, instance, acts);
        self.tell_observed();
        match decided {
            Ok(permit) => permit.ok_or_else(misused),
            Err(denial) => Err(self.refused(instance, *denial)),
        }
    }

    pub(crate) fn refused(&mut self, instance: InstanceId, denial: Denial) -> NetError {
        let error = NetError::from(&denial);
        if let Some(instance) = self.instances.get_mut(&instance) {
            instance.usage.denials += 1;
        }
        self.events.push(Event::Denied { instance, denial });
        error
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The oldest event not yet taken.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// How many open handles have ended because they were no longer allowed.
    pub fn revoked(&self) -> u64 {
        self.revoked
    }

    /// How many events were dropped because nobody took them.
    pub fn events_dropped(&self) -> u64 {
        self.events.dropped()
    }

    /// Judges again what was opened under an older policy. What does not survive is an event.
    pub(crate) fn judge_again(
        &mut self,
        now: Instant,
        stamp: Stamp,
        act: &Act<'_>,
    ) -> Result<Stamp, NetError> {
        self.gate
            .judge_again(now, stamp, act)
            .map_err(|denial| self.refused(stamp.instance(), *denial))
    }

    /// What a permit says now: the policy may have changed since it was given, as while another address of the
    /// same name was tried.
    pub(crate) fn still_permitted(
        &mut self,
        now: Instant,
        stamp: Stamp,
        act: &Act<'_>,
    ) -> Result<Stamp, NetError> {
        if self.gate.is_current(stamp) {
            return Ok(stamp);
        }
        self.judge_again(now, stamp, act)
    }

    pub(crate) fn instance(&mut self, instance: InstanceId) -> Result<&mut Instance, NetError> {
        self.instances
            .get_mut(&instance)
            .ok_or_else(NetError::closed)
    }

    pub(crate) fn scope(&mut self, instance: InstanceId) -> Result<Scope, NetError> {
        self.instance(instance).map(|instance| instance.scope)
    }

    /// Starts looking up the name that the permit is for.
    ///
    /// # Errors
    /// The resolver's.
    pub fn resolve(
        &mut self,
        now: Instant,
        permit: Permit,
        name: &HostName,
    ) -> Result<Lookup, NetError> {
        if permit.target().name() != Some(name.as_str()) {
            return Err(misused());
        }
        let scope = self.scope(permit.instance())?;
        let id = self.stack.resolve(now, scope, name)?;
        Ok(Lookup {
            id,
            stamp: permit.stamp(),
            name: name.clone(),
        })
    }

    /// The addresses, once they are known. They are bound to the name for this app, for as long
    /// as the answer lives: a connection to one of them is judged by the rules for the name.
    pub fn poll_lookup(
        &mut self,
        now: Instant,
        lookup: &Lookup,
        waker: &Waker,
    ) -> Poll<Result<Vec<IpAddr>, NetError>> {
        let answer = match self.stack.poll_lookup(lookup.id, waker) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(answer)) => answer,
        };
        let act = Act::Resolve {
            name: &lookup.name,
            via: lookup.stamp.capability(),
        };
        Site::StaleLookup.ask(|| self.still_permitted(now, lookup.stamp, &act))?;
        self.gate.bind_answer(
            now,
            lookup.stamp.instance(),
            &lookup.name,
            &answer.addresses,
            answer.until,
        );
        Poll::Ready(Ok(answer.addresses))
    }

    /// Gives up a lookup.
    pub fn cancel_lookup(&mut self, lookup: Lookup) {
        self.stack.lookup_cancel(lookup.id);
    }
}

#[cfg(test)]
mod tests {
    use nexus_policy::{AppIdentity, Consent, Manifest, Policy, WallTime};
    use nexus_types::{AppDigest, InterfaceAddress, Ipv4Addr, SocketAddr};

    use super::*;

    const MANIFEST: &str = r#"
[app]
id = "test.server"
class = "system"
[capabilities."network.tcp.listen"]
allow = ["any:80"]
"#;
    const POLICY: &str = r#"
[[rule]]
id = "listen"
capability = "network.tcp.listen"
verdict = "allow"
to = ["any:80"]
"#;

    fn read_again(node: &mut Node, now: Instant) {
        let policy = Policy::parse(POLICY, "policy.toml").unwrap();
        node.gate_mut()
            .set_policies(now, WallTime(0), Policy::none(), policy);
    }

    /// Goal: what an app had open across a change of policy is not remembered beyond the app, however many come and
    /// go; another app's is. Method: two apps at a time, the first stays.
    #[test]
    fn an_app_that_ends_leaves_no_judgement_behind() {
        let now = Instant::from_secs(1);
        let own = vec![InterfaceAddress::new([10, 0, 0, 1].into(), 24).unwrap()];
        let config = NodeConfig {
            stack: Config::new(1_500, own),
            topology: Topology::default(),
            seed: Seed::from_number(1),
        };
        let mut node = Node::new(NodeId(0), config, now).unwrap();
        read_again(&mut node, now);
        let mut stays = None;
        for number in 0..10_u8 {
            let instance = InstanceId(number.into());
            let manifest = Manifest::parse(MANIFEST, "nexus.toml").unwrap();
            let app = AppIdentity {
                id: "test.server".to_owned(),
                digest: AppDigest([number; 32]),
                publisher: None,
            };
            let consent = Consent::default();
            let admitted = node
                .gate_mut()
                .admit(now, instance, app, manifest, consent, &[]);
            admitted.unwrap_or_else(|report| panic!("{}", report.text()));
            node.start(instance, Quota::default());
            let loopback = Ipv4Addr::new(127, 0, 0, 1 + number);
            let local = SocketAddr::new(loopback.into(), 80);
            let permit = node.permit(now, instance, &Act::Listen { local }).unwrap();
            let listener = node.tcp_listen(now, permit, None).unwrap();
            read_again(&mut node, now);
            let first = *stays.get_or_insert(listener);
            for listener in [first, listener] {
                assert!(node.poll_accept(now, listener, Waker::noop()).is_pending());
            }
            if number > 0 {
                assert_eq!(node.open.len(), 2);
                node.end(now, instance);
            }
            assert_eq!(node.open.len(), 1, "{number}");
        }
        assert!(
            node.poll_accept(now, stays.unwrap(), Waker::noop())
                .is_pending()
        );
    }
}
