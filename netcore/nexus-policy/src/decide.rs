//! What an app can try to do, each act exactly as it is judged.

use core::fmt;
use core::net::SocketAddr;

use nexus_types::{HostName, Transport};

use crate::capability::Capability;
use crate::denial::DeniedTarget;
use crate::explain::escape;
use crate::request::Request;
use crate::wasi::DirectoryMode;

/// One act of one instance. Addresses are the ones packets would carry: never a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act<'a> {
    /// Look a name up, in order to use it with `via`.
    Resolve {
        /// The name.
        name: &'a HostName,
        /// `network.tcp.connect`, `network.udp.send` or `network.http.request`.
        via: Capability,
    },
    /// Open a TCP connection.
    Connect {
        /// Where to.
        remote: SocketAddr,
        /// The name the app gave, if it gave one. It counts only while `remote` is bound to it
        /// ([`crate::Gate::bind_answer`]). Without one, every name `remote` is bound to counts.
        name: Option<&'a HostName>,
    },
    /// Listen for TCP connections. Port 0 asks for a dynamic port.
    Listen {
        /// Where.
        local: SocketAddr,
    },
    /// Hand an incoming connection to the app.
    Accept {
        /// The listener's end, with its real port.
        local: SocketAddr,
        /// The far end. Listening rules do not name far ends: whoever reaches the port is accepted.
        remote: SocketAddr,
    },
    /// Send datagrams. One decision covers a socket, a far end and an epoch.
    UdpSend {
        /// Where to.
        remote: SocketAddr,
        /// As in `Connect`.
        name: Option<&'a HostName>,
    },
    /// Open a UDP socket on a port of the host's choosing, that says whom it sends to when it does
    /// (`UdpSend`). Opening it reaches nobody; it is refused where every sending would be.
    UdpOpen,
    /// Answer whom a bound UDP socket has heard; that it has is for the caller to know. The binding
    /// is what grants it, whoever was heard, and only what the operator has written refuses it: a
    /// `forbid` of `network.udp.send`. One decision covers a socket, a far end and an epoch.
    UdpAnswer {
        /// Where to.
        remote: SocketAddr,
    },
    /// Bind a UDP socket to an address and port of one's own. Port 0 asks for a dynamic port.
    UdpBind {
        /// Where.
        local: SocketAddr,
    },
    /// Send a request of HTTP. Of a URL with an address this is where it may go as well; of one with a name that is
    /// judged once the name is looked up (`RequestConnect`).
    Request(Request<'a>),
    /// Open a connection for a request, or send it over one that is open.
    RequestConnect {
        /// What for. The name of its URL counts only while `remote` is bound to it, as in `Connect`.
        request: Request<'a>,
        /// Where to: the URL's port, and one of the addresses of its host.
        remote: SocketAddr,
    },
    /// Open a folder for the app.
    OpenDirectory {
        /// Its real, absolute path: links resolved by the caller.
        path: &'a str,
        /// How.
        mode: DirectoryMode,
    },
    /// Show the app an environment variable.
    SetVariable {
        /// Its name.
        name: &'a str,
    },
}

impl Act<'_> {
    /// The capability it needs.
    pub const fn capability(&self) -> Capability {
        match self {
            Self::Resolve { via, .. } => *via,
            Self::Connect { .. } => Capability::NetworkTcpConnect,
            Self::Listen { .. } | Self::Accept { .. } => Capability::NetworkTcpListen,
            Self::UdpSend { .. } | Self::UdpAnswer { .. } | Self::UdpOpen => {
                Capability::NetworkUdpSend
            }
            Self::UdpBind { .. } => Capability::NetworkUdpBind,
            Self::Request(_) | Self::RequestConnect { .. } => Capability::NetworkHttpRequest,
            Self::OpenDirectory { .. } => Capability::WasiDirs,
            Self::SetVariable { .. } => Capability::WasiEnv,
        }
    }

    /// What its ports are counted in.
    pub(crate) const fn transport(&self) -> Transport {
        match self {
            Self::UdpSend { .. }
            | Self::UdpOpen
            | Self::UdpAnswer { .. }
            | Self::UdpBind { .. } => Transport::Udp,
            _ => Transport::Tcp,
        }
    }

    /// Its far end, as far as it is known: where a name of a URL leads is not known before it is looked up.
    pub(crate) fn far_end(&self) -> Option<SocketAddr> {
        match *self {
            Self::Connect { remote, .. }
            | Self::UdpSend { remote, .. }
            | Self::UdpAnswer { remote }
            | Self::RequestConnect { remote, .. } => Some(remote),
            Self::Request(request) => {
                let address = request.url.address()?;
                Some(SocketAddr::new(address, request.url.port()))
            }
            _ => None,
        }
    }

    /// What it is aimed at, for a refusal.
    pub(crate) fn denied_target(&self) -> DeniedTarget {
        match *self {
            Self::Resolve { name, .. } => DeniedTarget::Name(name.clone()),
            Self::Connect { remote, name } | Self::UdpSend { remote, name } => {
                DeniedTarget::Remote {
                    remote,
                    name: name.cloned(),
                }
            }
            Self::UdpAnswer { remote } => DeniedTarget::Remote { remote, name: None },
            Self::UdpOpen => DeniedTarget::Anywhere,
            Self::Listen { local } | Self::UdpBind { local } => DeniedTarget::Local(local),
            Self::Accept { local, remote } => DeniedTarget::Accepted { local, remote },
            Self::Request(request) => DeniedTarget::Request {
                request: request.kept(),
                remote: None,
            },
            Self::RequestConnect { request, remote } => DeniedTarget::Request {
                request: request.kept(),
                remote: Some(remote),
            },
            Self::OpenDirectory { path, mode } => DeniedTarget::Directory(path.to_owned(), mode),
            Self::SetVariable { name } => DeniedTarget::Variable(name.to_owned()),
        }
    }
}

/// What it is aimed at, as records have it; allocates nothing. As [`DeniedTarget::full`].
impl fmt::Display for Act<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Resolve { name, .. } => fmt::Display::fmt(name, f),
            Self::Connect {
                remote,
                name: Some(name),
            }
            | Self::UdpSend {
                remote,
                name: Some(name),
            } => write!(f, "{name}:{} -> {}", remote.port(), remote.ip()),
            Self::Connect { remote, name: None }
            | Self::UdpSend { remote, name: None }
            | Self::UdpAnswer { remote } => fmt::Display::fmt(&remote, f),
            Self::UdpOpen => f.write_str("anywhere"),
            Self::Listen { local } | Self::UdpBind { local } => fmt::Display::fmt(&local, f),
            Self::Accept { local, remote } => write!(f, "{local} <- {remote}"),
            Self::Request(request) => fmt::Display::fmt(&request, f),
            Self::RequestConnect { request, remote } => {
                write!(f, "{request} -> {}", remote.ip())
            }
            Self::OpenDirectory { path, mode } => {
                write!(f, "{}:{}", escape(path), mode.as_str())
            }
            Self::SetVariable { name } => f.write_str(&escape(name)),
        }
    }
}
