//! One small enum per operation. Variants are named by situation; the comment says what to do.

use core::fmt;

use nexus_types::ErrorCode;

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $code:ident, $text:literal;)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
            pub enum $name {
                $(#[doc = $text] $(#[$vdoc])* $variant,)*
            }

            impl $name {
                /// Every variant, for tests that must not miss one.
                pub const ALL: &[Self] = &[$(Self::$variant),*];

                /// The code an app sees.
                pub const fn code(self) -> ErrorCode {
                    match self {
                        $(Self::$variant => ErrorCode::$code,)*
                    }
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(match self {
                        $(Self::$variant => $text,)*
                    })
                }
            }

            impl core::error::Error for $name {}
        )*
    };
}

errors! {
    /// Why a connection cannot even be tried.
    ConnectError {
        RemoteUnspecified => InvalidArgument, "the remote address is unspecified";
        RemotePortZero => InvalidArgument, "the remote port is 0";
        RemoteMulticast => InvalidArgument, "the remote address is a multicast address";
        RemoteBroadcast => InvalidArgument, "the remote address is a broadcast address";
        RemoteMapped => InvalidArgument, "the remote address is an IPv4-mapped IPv6 address";
        FamilyMismatch => InvalidArgument, "local and remote address are of different families";
        RemoteIsLocal => InvalidArgument, "local and remote address and port are the same";
        LocalNotOurs => InvalidArgument, "the local address is not ours";
        LocalInUse => AlreadyExists, "the local address and port are in use";
        NoSource => Unreachable, "no address of ours fits the remote address";
        NoRoute => Unreachable, "no gateway leads to the remote address";
        NoPort => NoCapacity, "every ephemeral port is in use";
        TooManyFlows => NoCapacity, "the stack has as many connections as it may";
    }

    /// Why an address and port cannot be bound.
    BindError {
        NotOurs => InvalidArgument, "the address is not ours";
        Mapped => InvalidArgument, "the address is an IPv4-mapped IPv6 address";
        InUse => AlreadyExists, "the address and port are in use";
        NoPort => NoCapacity, "every ephemeral port is in use";
        TooMany => NoCapacity, "the stack has as many sockets as it may";
        RemoteInvalid => InvalidArgument, "the remote address cannot be one";
        NotFound => Closed, "the socket is closed";
    }

    /// What ended, or hinders, a TCP connection.
    TcpError {
        Refused => Refused, "the far end refused the connection";
        Reset => Reset, "the far end cut the connection";
        Unreachable => Unreachable, "there is no way to the far end";
        TimedOut => Deadline, "the far end does not answer";
        Finished => InvalidState, "this side has finished writing";
        Closed => Closed, "the connection is closed";
        /// The handle was never given out or its connection was closed by us.
        NotFound => Closed, "the connection is closed here";
    }

    /// The listener is closed.
    ListenerClosed {
        Closed => Closed, "the listener is closed";
    }

    /// Why a datagram cannot be sent or received.
    UdpError {
        /// Wait for `poll_udp_writable`.
        WouldBlock => WouldBlock, "the send queue is full";
        TooLong => InvalidArgument, "the datagram does not fit one packet";
        RemoteInvalid => InvalidArgument, "the remote address cannot be one";
        FamilyMismatch => InvalidArgument, "local and remote address are of different families";
        NotConnectedTo => InvalidState, "the socket is connected to another address";
        NoSource => Unreachable, "no address of ours fits the remote address";
        /// Told once per ICMP error.
        Refused => Refused, "nobody receives at the remote address and port";
        /// Told once per ICMP error.
        Unreachable => Unreachable, "there is no way to the remote address";
        NotFound => Closed, "the socket is closed";
    }

    /// Why an invitation cannot be accepted.
    InvitationError {
        TooManyFlows => NoCapacity, "the stack has as many connections as it may";
        Gone => Closed, "the connection attempt is no longer there";
    }
}
