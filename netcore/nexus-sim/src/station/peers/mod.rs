//! Machines that are not under test: peers that answer, or call, as a script says.
//!
//! A peer has nothing unfinished, whatever it waits for: that nobody calls is no standstill of its machine. What went
//! against its script is in its [`Report`], and whether one that calls has come to its end.

mod call;
mod caller;
mod check;
mod dns;
mod door;
mod error;
mod http;
mod outbox;
mod report;
mod tcp;
mod udp;

pub use dns::{DnsData, DnsEntry, DnsFault, DnsZone};
pub use error::ScriptError;
pub use http::{HttpFault, HttpFraming, HttpLog, HttpRequest, HttpResponse, HttpRoute, HttpScript};
pub use report::Report;
pub use tcp::{Step, TcpScript};
pub use udp::{UdpAnswer, UdpScript};

use nexus_node::Quota;
use nexus_stack::Config;
use nexus_types::{Duration, SocketAddr};

use crate::limits;
use crate::machine::Boot;
use crate::station::{App, Grants, Station};

/// What a peer does.
#[derive(Clone, Debug)]
pub enum Role {
    /// The same steps on every TCP connection.
    Tcp(TcpScript),
    /// Answers to datagrams.
    Udp(UdpScript),
    /// One TCP connection that it makes itself, so long after its machine has booted.
    Caller(TcpScript, Duration),
    /// Answers to HTTP requests, which are kept in the log.
    Http(HttpScript, HttpLog),
    /// A name server, over UDP and TCP.
    Dns(DnsZone),
}

/// A peer: where it is and what it does. Clones share the report.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Of one that calls: whom.
    at: SocketAddr,
    role: Role,
    report: Report,
}

impl Peer {
    /// At `at`; its address may be unspecified: every address of the machine. One that calls is told whom.
    ///
    /// # Errors
    /// Port 0: nobody would know where it is.
    pub fn new(at: SocketAddr, role: Role, report: Report) -> Result<Self, ScriptError> {
        if at.port() == 0 {
            return Err(ScriptError::new("a peer at port 0 is nowhere"));
        }
        Ok(Self { at, role, report })
    }

    /// What it needs and no more: to listen or to be bound at its port, or to connect to whom it calls. Answering
    /// follows from that.
    pub fn grants(&self) -> Grants {
        let port = self.at.port();
        match self.role {
            Role::Caller(..) => Grants {
                connect: vec![self.at.to_string()],
                ..Grants::default()
            },
            Role::Tcp(_) | Role::Http(..) => Grants::listening(port),
            Role::Udp(_) => Grants::bound(port),
            Role::Dns(_) => {
                let mut both = Grants::listening(port);
                both.extend(&Grants::bound(port));
                both
            }
        }
    }

    /// What all of them need, each rule once: the policy of their station, and what a checker of isolation is told.
    pub fn all_grants(peers: &[Self]) -> Grants {
        let mut all = Grants::default();
        for peer in peers {
            all.extend(&peer.grants());
        }
        for rules in [&mut all.connect, &mut all.listen, &mut all.bind] {
            rules.sort();
            rules.dedup();
        }
        all
    }

    fn app(&self) -> Box<dyn App> {
        let (local, report) = (self.at, self.report.clone());
        match &self.role {
            Role::Caller(script, after) => {
                Box::new(caller::Caller::new(local, script.clone(), *after, report))
            }
            Role::Tcp(script) => Box::new(tcp::TcpPeer::new(local, script.clone(), report)),
            Role::Udp(script) => Box::new(udp::UdpPeer::new(local, script.clone(), report)),
            Role::Dns(zone) => Box::new(dns::DnsPeer::new(local, zone.clone(), report)),
            Role::Http(script, log) => {
                let (script, log) = (script.clone(), log.clone());
                Box::new(http::HttpPeer::new(local, script, log, report))
            }
        }
    }
}

impl Station {
    /// A station of peers, each an instance of its own that is granted its own port alone, or whom it calls.
    ///
    /// # Errors
    /// More than [`limits::PEERS`], or the stack cannot be made of this.
    pub fn of_peers(boot: &Boot<'_>, config: Config, peers: &[Peer]) -> Result<Self, String> {
        check::count("peers", peers.len(), limits::PEERS).map_err(|error| error.to_string())?;
        let policy = Peer::all_grants(peers).policy();
        let mut station = Self::new(boot, config, policy).map_err(|error| error.to_string())?;
        for (number, peer) in (1_u32..).zip(peers) {
            let manifest = peer.grants().manifest(&format!("sim.peer-{number}"));
            let instance = station.admit(boot.now, manifest, Quota::default())?;
            station.spawn(instance, peer.app());
        }
        Ok(station)
    }
}
