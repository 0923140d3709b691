//! Every place that asks the gate, by name, and a switch at each that only tests have.
//!
//! What no test misses when it is gone is not tested. With the feature `gate-switches`, which no build of
//! the host has, a test turns one place off: nothing is asked there, nothing is recorded, and
//! whatever comes is let pass. `each_gate_call` of nexus-host's `policy_matrix` does so for each in turn and sees
//! that the matrix fails; docs/policy-matrix.md is what it saw. Without the feature [`Site::ask`] is the call
//! itself and [`Site::is_off`] is `false`, both known when it is compiled.

/// Places, each with the name it is known by and where it is.
macro_rules! sites {
    ($($(#[$doc:meta])* $site:ident $name:literal $place:literal;)*) => {
        /// A place that asks the gate.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Site {
            $($(#[$doc])* $site,)*
        }

        impl Site {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$site,)*];

            /// Its name in the table.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$site => $name,)*
                }
            }

            /// Its file and function.
            pub const fn place(self) -> &'static str {
                match self {
                    $(Self::$site => $place,)*
                }
            }
        }
    };
}

sites! {
    /// May this app start, on a real node: examined before anything is opened, asked again when it is admitted.
    AdmitRun "admit-run" "nexus-host cli/run.rs, cli/up.rs, then cli/start.rs ready";
    /// May this app start, in a simulated world: the same.
    AdmitSim "admit-sim" "nexus-host cli/sim/plan.rs, then cli/sim/run.rs start";
    /// A far end given by its address.
    DialAddress "dial-address" "nexus-caps dial.rs dial";
    /// The addresses of a far end given by its name.
    DialName "dial-name" "nexus-caps dial.rs dial";
    /// A name to look up.
    Resolve "resolve" "nexus-caps resolve.rs resolve";
    /// A listener.
    Listen "listen" "nexus-caps tcp_listen.rs listen";
    /// A UDP socket that says later whom it sends to.
    UdpOpen "udp-open" "nexus-caps udp_send.rs open";
    /// A UDP socket on an address of one's own.
    UdpBind "udp-bind" "nexus-caps udp_bind.rs bind";
    /// A program's own port, before it listens there.
    WasiTcpBind "wasi-tcp-bind" "nexus-caps wasi/tcp.rs bind";
    /// A program that listens on a port of the host's choosing.
    WasiListen "wasi-listen" "nexus-caps wasi/tcp.rs may_listen";
    /// A far end of a program.
    WasiConnect "wasi-connect" "nexus-caps wasi/tcp.rs dial";
    /// A UDP socket of a program.
    WasiUdpBind "wasi-udp-bind" "nexus-caps wasi/udp.rs bind";
    /// A name a program looks up.
    WasiResolve "wasi-resolve" "nexus-caps wasi/lookup.rs start";
    /// A request of HTTP, and each place a redirect leads to.
    Request "request" "nexus-caps http/network.rs judge";
    /// The name a request goes to.
    RequestResolve "request-resolve" "nexus-caps http/network.rs addresses";
    /// The addresses of that name, or the one that the URL has.
    RequestConnect "request-connect" "nexus-caps http/network.rs resolve, connect";
    /// A connection to be handed to its listener's app.
    Accept "accept" "nexus-node tcp.rs poll_accept";
    /// A datagram to a far end that this socket has not sent to.
    UdpSend "udp-send" "nexus-node udp.rs udp_send";
    /// A datagram to a far end that this socket sent to under an older policy.
    UdpSendAgain "udp-send-again" "nexus-node udp.rs udp_send";
    /// A datagram from such a far end.
    UdpReceiveAgain "udp-receive-again" "nexus-node udp.rs poll_udp_receive";
    /// A permit to look a name up that the policy may have overtaken while the answer was on its way.
    StaleLookup "stale-lookup" "nexus-node node.rs poll_lookup";
    /// A permit to connect that the policy may have overtaken, as while another address was tried.
    StaleConnect "stale-connect" "nexus-node tcp.rs tcp_connect";
    /// A permit to listen.
    StaleListen "stale-listen" "nexus-node tcp.rs tcp_listen";
    /// A permit for a UDP socket with one far end.
    StaleUdpConnect "stale-udp-connect" "nexus-node udp.rs udp_connect";
    /// A permit for a UDP socket without.
    StaleUdpOpen "stale-udp-open" "nexus-node udp.rs udp_open";
    /// A permit for a bound UDP socket.
    StaleUdpBind "stale-udp-bind" "nexus-node udp.rs udp_bind";
    /// All that is open, after the policy has changed.
    JudgeOpen "judge-open" "nexus-node revoke.rs judge_open";
    /// A connection of the app's making.
    JudgeConnected "judge-connected" "nexus-node revoke.rs judge_handle";
    /// A connection it accepted.
    JudgeAccepted "judge-accepted" "nexus-node revoke.rs judge_handle";
    /// A listener.
    JudgeListener "judge-listener" "nexus-node revoke.rs judge_handle";
    /// A UDP socket.
    JudgeUdp "judge-udp" "nexus-node udp.rs judge_udp_again";
    /// A call on a connection that may have been revoked.
    CheckTcp "check-tcp" "nexus-node tcp.rs check_tcp";
    /// A call on a listener that may have been revoked.
    CheckListener "check-listener" "nexus-node tcp.rs check_listener";
    /// A call on a UDP socket that may have been revoked.
    CheckUdp "check-udp" "nexus-node udp.rs check_udp";
}

#[cfg(feature = "gate-switches")]
mod switches {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::Site;

    std::thread_local! {
        static OFF: Cell<Option<Site>> = const { Cell::new(None) };
        static WITHIN: Cell<bool> = const { Cell::new(false) };
    }

    static OFF_EVERYWHERE: OnceLock<Site> = OnceLock::new();

    impl Site {
        /// Turns this place off on every thread, for good.
        pub fn turn_off_everywhere(self) {
            let _ = OFF_EVERYWHERE.set(self);
        }

        /// Turns this place off on this thread, and any other on.
        pub fn turn_off(site: Option<Self>) {
            OFF.set(site);
        }

        /// Whether it is turned off.
        pub fn is_off(self) -> bool {
            OFF.get() == Some(self) || OFF_EVERYWHERE.get() == Some(&self)
        }

        /// Asks at this place: what `ask` asks of a gate is answered by it, or with yes if the place is off.
        pub fn ask<R>(self, ask: impl FnOnce() -> R) -> R {
            let outside = WITHIN.replace(WITHIN.get() || self.is_off());
            let answer = ask();
            WITHIN.set(outside);
            answer
        }
    }

    /// Whether the gate is being asked at a place that is off.
    pub(crate) fn is_within() -> bool {
        WITHIN.get()
    }
}

#[cfg(feature = "gate-switches")]
pub(crate) use switches::is_within;

#[cfg(not(feature = "gate-switches"))]
impl Site {
    /// Whether it is turned off: never.
    #[inline(always)]
    pub const fn is_off(self) -> bool {
        false
    }

    /// Asks at this place.
    #[inline(always)]
    pub fn ask<R>(self, ask: impl FnOnce() -> R) -> R {
        ask()
    }
}

/// Whether the gate is being asked at a place that is off: never.
#[cfg(not(feature = "gate-switches"))]
#[inline(always)]
pub(crate) const fn is_within() -> bool {
    false
}

/// Whether places can be turned off in this build.
pub const IN_THIS_BUILD: bool = cfg!(feature = "gate-switches");
