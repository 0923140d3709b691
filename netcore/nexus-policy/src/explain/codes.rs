//! What each error code of `nexus:error/types` means to an app's author.

use nexus_types::ErrorCode;

use super::topic::Text;

/// The text of a code.
pub(super) const fn text(code: ErrorCode) -> Text {
    let (summary, more, todo): (&str, &str, &str) = match code {
        ErrorCode::Denied => (
            "policy says no; trying again changes nothing",
            "The error's `reason` is the stable word for why, its `why` one sentence. The operator's terminal shows \
             more: which file and rule, and what would change it.",
            "Explain the reason.",
        ),
        ErrorCode::InvalidArgument => (
            "an argument can never be right",
            "Port 0 as a far end, a name that is none, a buffer of no bytes.",
            "Mend the app.",
        ),
        ErrorCode::InvalidState => (
            "the call does not fit the state of what it is called on",
            "Reading from a connection whose stream was taken, binding a socket twice.",
            "Mend the app.",
        ),
        ErrorCode::NotFound => (
            "the name, address or thing does not exist",
            "The name server answered that there is no such name, or no address of it.",
            "Check the name.",
        ),
        ErrorCode::AlreadyExists => (
            "the address or name is taken",
            "Another socket of the node has the address and port.",
            "Use another port, or close the other socket.",
        ),
        ErrorCode::WouldBlock => (
            "nothing can be done at once; wait and call again",
            "There is nothing to read yet, or no room to write into.",
            "Wait for readiness, then call again.",
        ),
        ErrorCode::NoCapacity => (
            "a bound of the host is reached; never a permission",
            "Sockets, handles or bytes in flight are used up, by the app or by its node.",
            "Close what is not needed, then try again; or ask for more under [limits] in nexus.toml.",
        ),
        ErrorCode::Deadline => (
            "the time given ran out",
            "The far end or the network was too slow, or the run's own time is over.",
            "Try again, or give it more time.",
        ),
        ErrorCode::Cancelled => (
            "the caller gave up",
            "The app dropped the call, or is being ended.",
            "",
        ),
        ErrorCode::Refused => (
            "the far end answered: no",
            "There is a machine at the address, and nobody listens on the port. Not a matter of policy.",
            "Check that the server runs, and the port.",
        ),
        ErrorCode::Unreachable => (
            "no way to the far end",
            "No route, no answer to a lookup of the link address, or a router said so. Not a matter of policy.",
            "Check the network: --net, --address, --gateway.",
        ),
        ErrorCode::Reset => (
            "the far end cut the connection",
            "A TCP reset arrived. What was sent and not acknowledged may be lost.",
            "",
        ),
        ErrorCode::Closed => (
            "what was called on has been closed",
            "By the app, by the far end in good order, or because the grant was revoked (the reason says so).",
            "",
        ),
        ErrorCode::Protocol => (
            "the far end broke the protocol",
            "Its bytes are not what the protocol allows, so the connection was ended.",
            "",
        ),
        ErrorCode::Unavailable => (
            "a part of the host needed for this is not there",
            "No name server, no address yet, no network (`--net none`).",
            "Give the node what it lacks.",
        ),
        ErrorCode::Internal => (
            "a fault of the host itself",
            "The app did nothing wrong.",
            "Report it.",
        ),
    };
    Text {
        summary,
        more,
        todo,
        see: &[],
    }
}
