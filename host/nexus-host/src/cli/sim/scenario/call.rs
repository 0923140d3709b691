//! A peer that calls: `call = "NODE:PORT"` of a `[[node.peer]]`, with the steps of one for TCP.

use std::net::SocketAddr;
use std::time::Duration;

use nexus_policy::explain::escape;
use nexus_sim::peers::TcpScript;
use nexus_types::{HostName, IpAddr};
use toml::Spanned;

use super::{Node, Script, file};
use crate::cli::world::Checker;

/// What a peer does that calls.
#[derive(Clone, Debug)]
pub(in crate::cli::sim) struct Call {
    pub(in crate::cli::sim) script: TcpScript,
    /// So long after its machine has booted.
    pub(in crate::cli::sim) after: Duration,
    /// Of a node, until [`Checker::callees`] has looked for it.
    callee: Callee,
}

#[derive(Clone, Debug)]
enum Callee {
    Node(HostName),
    Address(IpAddr),
}

impl Call {
    /// Whose address to call. None: nobody has looked for the node.
    pub(in crate::cli::sim) const fn address(&self) -> Option<IpAddr> {
        match self.callee {
            Callee::Address(ip) => Some(ip),
            Callee::Node(_) => None,
        }
    }
}

impl Checker<'_> {
    /// The port it calls, and how.
    pub(super) fn call(
        &mut self,
        said: &file::Peer,
        to: &Spanned<String>,
    ) -> (u16, Option<Script>) {
        let Some((callee, port)) = read(to.get_ref()) else {
            let text = escape(to.get_ref());
            let message = format!("`{text}` is not NODE:PORT or ADDR:PORT, as in \"server:80\"");
            self.problem(to.span(), message);
            // Told once.
            return (1, None);
        };
        let after = self.moment(said.start.as_ref()).unwrap_or_default();
        let script = self.steps(said).map(|script| {
            Script::Call(Call {
                script,
                after,
                callee,
            })
        });
        (port, script)
    }

    /// Looks for the nodes that are called, on the link of who calls.
    pub(super) fn callees(&mut self, file: &file::Scenario, nodes: &mut [Node]) {
        let known: Vec<_> = nodes
            .iter()
            .map(|node| (node.name.clone(), node.link, node.addresses.clone()))
            .collect();
        for (node, said) in nodes.iter_mut().zip(&file.node) {
            let has = |v4| {
                node.addresses
                    .iter()
                    .any(|own| own.address().is_ipv4() == v4)
            };
            let families = [has(false), has(true)];
            for (peer, said) in node.peers.iter_mut().zip(&said.peer) {
                let Script::Call(call) = &mut peer.script else {
                    continue;
                };
                let Callee::Node(name) = &call.callee else {
                    continue;
                };
                let found = known
                    .iter()
                    .filter(|(other, link, _)| other == name && *link == node.link)
                    .flat_map(|(.., addresses)| addresses)
                    .map(|address| address.address())
                    .find(|ip| families[usize::from(ip.is_ipv4())]);
                match found {
                    Some(ip) => call.callee = Callee::Address(ip),
                    None => {
                        let message = format!(
                            "no [[node]] of this link is called `{}` and has an address of a family this one has",
                            name.as_str()
                        );
                        self.problem(said.span(), message);
                    }
                }
            }
        }
    }
}

fn read(text: &str) -> Option<(Callee, u16)> {
    if let Ok(at) = text.parse::<SocketAddr>() {
        return Some((Callee::Address(at.ip()), at.port()));
    }
    let (name, port) = text.rsplit_once(':')?;
    Some((
        Callee::Node(HostName::parse(name).ok()?),
        port.parse().ok()?,
    ))
}
