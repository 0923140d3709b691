//! What the peers of a node heard and did not like, in one run. It outlives their crashes.

use nexus_sim::peers::{HttpLog, Peer, Report, Role};
use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::scenario::{self, Node, Script};
use super::verdict::{Failure, Kind};

/// See the module.
#[derive(Clone)]
pub(super) struct Heard {
    name: String,
    /// Of which families the node has addresses: a peer is at one each.
    families: Vec<IpAddr>,
    peers: Vec<(scenario::Peer, Report, HttpLog)>,
}

impl Heard {
    pub(super) fn new(node: &Node) -> Self {
        let mut addresses = node.addresses.iter().map(|one| one.address());
        let v4 = addresses.clone().any(|ip| ip.is_ipv4());
        let v6 = addresses.any(|ip| ip.is_ipv6());
        let v4 = v4.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let v6 = v6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let peers = node.peers.iter();
        Self {
            name: node.name.as_str().to_owned(),
            families: v4.into_iter().chain(v6).collect(),
            peers: peers
                .map(|peer| (peer.clone(), Report::new(), HttpLog::new()))
                .collect(),
        }
    }

    /// The peers, as they stand on the node.
    pub(super) fn peers(&self) -> Vec<Peer> {
        let mut all = Vec::new();
        for (peer, report, log) in &self.peers {
            let (role, ips) = match &peer.script {
                // As an app that has ended, it is not started again with its machine.
                Script::Call(_) if report.has_ended() => continue,
                Script::Call(call) => {
                    let role = Role::Caller(call.script.clone(), call.after);
                    (role, call.address().into_iter().collect())
                }
                Script::Tcp(script) => (Role::Tcp(script.clone()), self.families.clone()),
                Script::Udp(script) => (Role::Udp(script.clone()), self.families.clone()),
                Script::Http(script) => {
                    let role = Role::Http(script.clone(), log.clone());
                    (role, self.families.clone())
                }
                Script::Dns(zone) => (Role::Dns(zone.clone()), self.families.clone()),
            };
            for ip in ips {
                let made = Peer::new(SocketAddr::new(ip, peer.port), role.clone(), report.clone());
                // Port 0 was refused with the scenario.
                all.extend(made);
            }
        }
        all
    }

    /// Whether one calls that has not come to its end.
    pub(super) fn calls(&self) -> bool {
        let mut peers = self.peers.iter();
        peers.any(|(peer, report, _)| matches!(peer.script, Script::Call(_)) && !report.has_ended())
    }

    /// What went against their scripts.
    pub(super) fn failures(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (peer, report, log) in &self.peers {
            let who = format!("{}, {} {}", self.name, peer.script.kind(), peer.port);
            let mut fail = |text| {
                failures.push(Failure {
                    who: who.clone(),
                    kind: Kind::Peer,
                    text,
                });
            };
            let told = report.failures();
            let more = report.failure_count().saturating_sub(told.len() as u64);
            told.into_iter().for_each(&mut fail);
            if more > 0 {
                fail(format!("and {more} more"));
            }
            let expected = report.expected();
            if matches!(peer.script, Script::Call(_)) && !report.has_ended() && expected.is_empty()
            {
                fail("it had not come to its end when the world did".to_owned());
            }
            expected.into_iter().for_each(&mut fail);
            let Some(wanted) = &peer.requests else {
                continue;
            };
            let count = log.count();
            let asked = log.requests();
            let asked: Vec<_> = asked
                .iter()
                .map(|request| format!("{} {}", request.method, request.target))
                .collect();
            if *wanted != asked || count > asked.len() as u64 {
                fail(format!(
                    "was asked {asked:?}, {count} in all; expected is {wanted:?}"
                ));
            }
        }
        failures
    }
}
