//! What a world may grow to. Not `nexus_types::limits`: nothing here stops a stranger, it stops a scenario that
//! would take the machine it runs on; what is over a limit is counted in [`crate::Counts`] or refused.

/// Events that wait. Stops a fault that multiplies frames from filling memory; a frame past it is lost.
pub const EVENTS: usize = 1 << 20;

/// Frames that exist: in flight, held, or captured. As [`EVENTS`]; one past it is lost.
pub const FRAMES: usize = 1 << 18;

/// Frames on their way to one machine. Stops one flood from taking [`FRAMES`] from everybody else; one past it is
/// lost. Sixteen full windows of the largest buffers at MTU 1500.
pub const FRAMES_TO_ONE: u32 = 1 << 14;

/// Bytes of one frame. No IP packet with its link header is longer.
pub const FRAME_BYTES: usize = 65_535 + 14;

/// Frames a clogged direction holds, and a paused machine's NIC keeps. As many as a NIC's ring has.
pub const FRAMES_HELD: usize = 4_096;

/// Frames a direction captures to replay them. Enough for every kind of segment a connection has.
pub const FRAMES_CAPTURED: usize = 64;

/// How old a captured frame may be when it is replayed: the life of a packet is two minutes at most
/// (RFC 9293 section 3.4.1), and replayers that keep longer than a TIME-WAIT prove nothing more.
pub const CAPTURE_SECONDS: u64 = 60;

/// Frames a [`crate::SimNic`] keeps in a direction between two turns of its machine.
pub const NIC_FRAMES: usize = 8_192;

/// Faults in force at a time.
pub const FAULTS: usize = 4_096;

/// Actions that wait for their time.
pub const ACTIONS: usize = 1 << 16;

/// Machines of a world.
pub const MACHINES: usize = 1 << 14;

/// Violations that are kept; more are counted. The first says what is wrong.
pub const VIOLATIONS: usize = 64;

/// Turns a machine may take at one instant in which nothing comes in or goes out.
pub const IDLE_TURNS: u32 = 64;

/// Turns a machine may take at one instant whatever it does: two of them on a link without latency could keep
/// each other busy for ever. A full queue of frames one by one is fewer.
pub const TURNS: u32 = 1 << 16;

/// Bytes of one machine's [`crate::Store`], and keys.
pub const STORE_BYTES: usize = 16 << 20;

/// See [`STORE_BYTES`].
pub const STORE_KEYS: usize = 4_096;

/// Peers of one station, see [`crate::peers`]. Each is an app with a quota of its own.
pub const PEERS: usize = 64;

/// Connections a peer serves at once; one more is reset. With the listener and the one that is being reset they fit
/// the quota of an app (`nexus_types::limits::SOCKETS`), so that none waits where a script says "reset".
pub const PEER_CONNECTIONS: u32 = 128;

/// Steps of a peer's script.
pub const PEER_STEPS: usize = 1_024;

/// Bytes a peer's script holds, all of it together.
pub const PEER_SCRIPT_BYTES: usize = 4 << 20;

/// How long a script may wait at a step: a day of the world.
pub const PEER_WAIT_SECONDS: u64 = 86_400;

/// Bytes that are read in search of a delimiter, it counted; without it until then, that is a failure.
pub const PEER_UNTIL_BYTES: usize = 64 << 10;

/// Bytes of a delimiter. Each byte that comes is compared with all of it.
pub const PEER_DELIMITER_BYTES: usize = 256;

/// Failures a [`crate::peers::Report`] keeps; more are counted. The first says what is wrong.
pub const PEER_FAILURES: usize = 64;

/// Bytes of one text of a peer; what is over is cut off. It quotes what came from outside.
pub const PEER_TEXT_BYTES: usize = 512;

/// Replies of a peer to one datagram.
pub const PEER_REPLIES: usize = 256;

/// Bytes of a peer's datagram. None over IPv4 is longer: 65,535 without the headers of IP and UDP.
pub const PEER_DATAGRAM_BYTES: usize = 65_507;

/// Datagrams of a peer that wait for their time; one more is lost, and that is a failure.
pub const PEER_DATAGRAMS: usize = 1_024;

/// Routes of an HTTP peer.
pub const HTTP_ROUTES: usize = 1_024;

/// Headers of an answer of an HTTP peer.
pub const HTTP_RESPONSE_HEADERS: usize = 64;

/// Bytes of a request's line and headers, with the empty line after them; a longer head is answered 431.
pub const HTTP_HEAD_BYTES: usize = 16 << 10;

/// Headers of a request; with more it is answered 431.
pub const HTTP_REQUEST_HEADERS: usize = 100;

/// Bytes of a request's body; a longer one is answered 413.
pub const HTTP_BODY_BYTES: u64 = 1 << 20;

/// Requests a [`crate::peers::HttpLog`] keeps; more are counted.
pub const HTTP_REQUESTS: usize = 1_024;

/// Names of a name server's zone.
pub const DNS_NAMES: usize = 4_096;

/// Addresses of one of its names. With the longest chain before them they fit a message over TCP (65,535 bytes).
pub const DNS_ADDRESSES: usize = 1_024;

/// Names an answer goes through, the last counted. Twice what the resolver follows, so that it can be shown too long
/// a chain.
pub const DNS_CHAIN: usize = 16;

/// Bytes of a question over TCP; a longer one is a failure, and a reset.
pub const DNS_QUERY_BYTES: usize = 4_096;
