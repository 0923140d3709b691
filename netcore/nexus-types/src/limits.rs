//! Every bound on what comes from outside, each with the attack or accident it stops.
//!
//! A limit is used from here and nowhere else, and has a test at it and one over it where
//! it is enforced. What happens when it is reached is said beside it.

/// A limit with its reason, for the table in the guide.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The constant's name, in the words of `nexus.toml` where an app may ask for another value.
    pub name: &'static str,
    /// The default.
    pub value: u64,
    /// The unit.
    pub unit: &'static str,
    /// What it stops, and what happens at it.
    pub stops: &'static str,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident : $ty:ty = $value:expr, $word:literal, $unit:literal, $stops:literal;)*) => {
        $(
            #[doc = $stops]
            $(#[$doc])*
            pub const $name: $ty = $value;
        )*

        /// All limits, in the order of this file.
        pub const TABLE: &[Limit] = &[$(Limit { name: $word, value: $value as u64, unit: $unit, stops: $stops },)*];
    };
}

limits! {
    // --- an app ---
    MEMORY_BYTES: u64 = 64 << 20, "memory", "bytes",
        "Stops an app from taking the machine's memory; growing past it fails inside the app.";
    MEMORY_BYTES_CAP: u64 = 1 << 30, "memory, most a manifest may ask", "bytes",
        "Stops a manifest from asking for the machine; the operator's policy may set another cap.";
    SOCKETS: u32 = 256, "sockets", "sockets",
        "Stops an app from taking every port; one more is refused with `no-capacity`. Connections that wait to be accepted count apart, up to half as many again (at least one); beyond, the peer tries again. So do those the app has closed and that are still being delivered, up to as many again; beyond, the oldest is reset.";
    HANDLES: u32 = 4_096, "handles", "handles",
        "Stops an app from filling the host with resources it never drops; one more traps.";
    FILES: u32 = 256, "open files", "files, folders and listings",
        "Stops an app from taking every file descriptor of the host; one more is refused with `insufficient-memory` (WASI has no code of its own for it), as is any while three quarters of the process's descriptors are taken. A file counts while a stream of it lives.";
    HOSTCALL_BYTES: u64 = 4 << 20, "hostcall-bytes", "bytes a call",
        "Stops a call that passes 4 GiB of list from being copied into the host; the call traps.";
    TABLE_ELEMENTS: u64 = 20_000, "table-elements", "elements",
        "Stops an app from growing tables instead of memory; growing past it fails inside the app.";
    WASM_STACK_BYTES: u64 = 512 << 10, "stack", "bytes",
        "Stops endless recursion; it traps.";
    EPOCH_TICK_MICROS: u64 = 1_000, "cpu-slice", "microseconds",
        "Stops a spinning app from keeping the shard's thread; it yields at the next tick.";
    BYTES_IN_FLIGHT: u64 = 64 << 20, "bytes-in-flight", "bytes",
        "Stops an app from parking data in socket buffers; a socket past it is refused with `no-capacity`. As for `sockets`, what waits to be accepted counts apart, up to half as much again, and what lingers, up to as much.";
    READ_BYTES_MAX: u32 = 1 << 20, "read", "bytes a call",
        "Stops `read(4 GiB)` from allocating 4 GiB; a larger request is answered with this much.";
    DATAGRAMS_PER_CALL: u32 = 64, "datagrams", "datagrams a call",
        "Stops one call from holding the shard with a million datagrams; more is refused with `invalid-argument`.";
    ARGUMENT_BYTES: u64 = 1 << 20, "arguments", "bytes",
        "Stops a command line from filling the app's memory before it runs; the host refuses to start it.";
    COMPONENT_BYTES: u64 = 256 << 20, "component", "bytes",
        "Stops a file from filling the host's memory before it is looked at; the host refuses to load it.";

    // --- serving HTTP (`nexus-host serve`) ---
    HTTP_FIELDS_BYTES: u64 = 32 << 10, "fields an app makes", "bytes a message",
        "Stops an app from building headers without end in the host's memory; one more is refused with `size-exceeded`.";
    SERVE_HEAD_BYTES: usize = 16 << 10, "request head", "bytes",
        "Stops headers (or trailers) without end; answered 431, and the connection ends.";
    SERVE_HEAD_FIELDS: usize = 64, "request head", "fields",
        "Stops thousands of tiny headers, each of which costs more than its bytes; answered 431, and the connection ends.";
    SERVE_BUFFER_BYTES: usize = 64 << 10, "request and response buffer", "bytes a connection",
        "Stops pipelined requests, and a client that never reads, from filling memory: no more is read, and the app's writes wait.";
    SERVE_HEAD_MICROS: u64 = 15_000_000, "request head", "microseconds",
        "Stops a client that sends its head byte by byte, or none, from keeping a connection; it ends.";
    SERVE_BODY_BYTES: u64 = 8 << 20, "request body", "bytes a request",
        "Stops an upload without end; answered 413 where it says so, else the app's read fails. `--max-body` sets another.";
    SERVE_DEADLINE_MICROS: u64 = 30_000_000, "request", "microseconds",
        "Stops an app that hangs, and a client that never takes its response, from holding an instance: 504 before the head was sent, a reset after. `--timeout` sets another.";
    SERVE_REQUESTS: usize = 128, "requests in flight", "requests an app",
        "Stops a flood from starting an instance each; the next waits. `--max-requests` sets another.";
    SERVE_WAIT_MICROS: u64 = 5_000_000, "request that waits for its turn", "microseconds",
        "Stops clients from waiting behind an app that does not keep up; answered 503.";
    SERVE_CONNECTIONS: usize = 1_024, "connections served", "connections an app",
        "Stops idle connections from filling memory; the next waits in the backlog. `--max-connections` sets another.";
    SERVE_BACKLOG: i32 = 1_024, "connections that wait to be served", "connections a listener",
        "Stops connections nobody accepts from piling up; a SYN past it is dropped, so the client tries again.";
    SERVE_REUSE: u32 = 128, "requests an instance serves, wasi:http 0.3", "requests",
        "Stops what an app leaks with each request from adding up; the next gets a fresh instance. Of 0.2 each request gets one. `--reuse` sets another.";
    SERVE_CONCURRENT: usize = 16, "requests an instance serves at once, wasi:http 0.3", "requests",
        "Stops one trap from ending everything in flight; the next gets another instance. `--concurrent` sets another.";
    SERVE_IDLE_MICROS: u64 = 1_000_000, "idle instance", "microseconds",
        "Stops instances that a burst needed from keeping their memory; it ends.";
    SERVE_GRACE_MICROS: u64 = 10_000_000, "grace after SIGTERM", "microseconds",
        "Stops requests in flight from keeping a host that was asked to end; they are reset. `--grace` sets another.";

    // --- policy and manifest ---
    MANIFEST_BYTES: u64 = 256 << 10, "manifest", "bytes",
        "Stops a manifest embedded in a component from costing more to read than the app is worth; it is refused.";
    RULES_PER_CAPABILITY: u32 = 1_024, "rules", "rules a capability",
        "Stops a manifest from making every decision slow; one more is refused.";
    PORT_RANGES_PER_CAPABILITY: u32 = 2_048, "port ranges", "ports and ranges a capability",
        "Stops a manifest from making a lookup slow, which is looked at port by port; one more is refused.";
    POLICY_BYTES: u64 = 8 << 20, "policy", "bytes",
        "Stops a policy file by accident (a device, a log); it is refused.";
    PUBLISHERS: usize = 1_024, "publishers", "publishers a policy",
        "Stops a list that every rule for a publisher looks through from growing for ever; the policy is refused.";
    SIGNATURE_BYTES: usize = 16 << 10, "signature", "bytes",
        "Stops a file beside a component from costing memory before it is looked at; it is refused, and so is the app.";
    CONSENT_QUESTIONS: usize = 32, "questions", "questions an app",
        "Stops an app that asks for more than anybody reads, for a yes to be done with it; nobody is asked.";
    CONSENT_QUESTIONS_ALL: usize = 64, "questions", "questions a host",
        "Stops the apps of one world from wearing a person down together; about one more app nobody is asked.";
    CONSENT_RULE_CHARS: usize = 160, "asked rule", "characters",
        "Stops a rule so long that it moves what the host says of the app off the screen; nobody is asked.";
    CONSENT_ASKED: usize = 3, "asked about", "times a minute, an app",
        "Stops whoever can start an app from asking until a person gives in; nobody is asked.";
    CONSENT_SECONDS: u64 = 60, "answer", "s",
        "Stops a question to nobody from keeping a host that has not started for ever; it is a no.";
    CONSENT_ANSWERS: usize = 1_024, "answers", "answers a state folder",
        "Stops a file that is read at each start from growing for ever; one more holds for its run alone.";
    CONSENT_BYTES: u64 = 4 << 20, "answers", "bytes a state folder",
        "Stops a file that is none of ours from being read whole; no app starts.";
    CONTROL_REQUEST_BYTES: u64 = 256, "control request", "bytes",
        "Stops a client of the control socket from writing for ever; it is cut off.";
    CONTROL_ANSWER_BYTES: u64 = 64 << 10, "control answer", "bytes",
        "Stops who answers in a host's place on the control socket from writing for ever; it counts as no answer.";
    UDP_REMOTES: u32 = 1_024, "udp remotes", "addresses a socket",
        "Stops an app that sends to everyone from filling the table of whom it may send to; the one remembered longest makes room and is judged again.";
    DNS_BINDINGS: u32 = 1_024, "name bindings", "addresses an app",
        "Stops an app from filling the table of answers; the answer that ends soonest makes room, unless a forbid or an ask names it.";

    // --- a node's stack ---
    FLOWS: u32 = 65_536, "flows", "connections a node",
        "Stops a flood of connections from filling memory; a new one is refused with `no-capacity`, a SYN dropped.";
    HALF_OPEN: u32 = 1_024, "half-open", "connections a node",
        "Stops a SYN flood: past it the oldest half-open connection makes room for the new one.";
    LISTENERS: u32 = 1_024, "listeners", "listeners a node",
        "Stops listening on every port there is; one more is refused with `no-capacity`.";
    BACKLOG: u32 = 128, "backlog", "connections a listener",
        "Stops connections nobody accepts from piling up; a SYN past it is dropped, so the peer tries again.";
    BACKLOG_MAX: u32 = 4_096, "backlog, most an app may ask", "connections a listener",
        "Stops an app from asking for a backlog that is no bound; a larger one is cut to this.";
    UDP_SOCKETS: u32 = 4_096, "udp sockets", "sockets a node",
        "Stops binding every port there is; one more is refused with `no-capacity`.";
    UDP_QUEUE_DATAGRAMS: u32 = 256, "udp queue", "datagrams a socket",
        "Stops datagrams nobody receives from piling up; one more is dropped and counted.";
    UDP_QUEUE_BYTES: u32 = 256 << 10, "udp queue", "bytes a socket",
        "Stops large datagrams nobody receives from piling up; one more is dropped and counted.";
    TCP_RX_BYTES: u32 = 64 << 10, "receive buffer", "bytes a connection",
        "Stops a fast peer from filling memory; the window closes.";
    TCP_TX_BYTES: u32 = 64 << 10, "send buffer", "bytes a connection",
        "Stops an app that writes for ever from filling memory; the write waits.";
    LINK_RX_BYTES: u32 = 128 << 10, "receive buffer, link in one process", "bytes a connection",
        "As the receive buffer; two of the largest packets, so that one is made while the other is read.";
    LINK_TX_BYTES: u32 = 128 << 10, "send buffer, link in one process", "bytes a connection",
        "As the send buffer; two of the largest packets, so that one is written while the other is on its way.";
    LINGER_MICROS: u64 = 60_000_000, "linger", "microseconds",
        "Stops a peer that never acknowledges from keeping a closed connection for ever; it is reset.";
    TIME_WAIT_MICROS: u64 = 10_000_000, "time-wait", "microseconds",
        "Keeps late segments of an old connection from being taken for a new one's (RFC 9293 section 3.6.1).";
    TIME_WAIT: u32 = 16_384, "time-wait", "connections a node",
        "Stops short connections from piling up in TIME-WAIT; the oldest makes room.";
    TCP_CONNECT_MICROS: u64 = 75_000_000, "connect", "microseconds",
        "Stops a far end that never answers from holding a connection attempt; it times out.";
    TCP_USER_MICROS: u64 = 300_000_000, "unacknowledged", "microseconds",
        "Stops a far end that vanished from holding a connection for ever (RFC 9293 section 3.8.3); it times out.";
    INVITATIONS: u32 = 1_024, "invitations", "a gateway",
        "Stops connection attempts nobody answers from piling up; a SYN past it is dropped, so the peer tries again.";
    REPLIES_PER_SECOND: u32 = 1_000, "resets and ICMP errors", "a second, a node",
        "Stops a scan or a spoofed flood from being answered packet by packet; beyond it, silence (RFC 4443 section 2.4 f).";
    NEIGHBORS: u32 = 512, "neighbours", "addresses a link",
        "Stops a sweep over a link's addresses (ours or a stranger's) from filling memory; who only asked for us makes room first, then the longest unused or unanswered, one in use never.";
    NEIGHBOR_FRAMES: u32 = 4, "neighbour queue", "frames a neighbour",
        "Stops packets to somebody who does not answer from piling up; one more is dropped (RFC 1122 section 2.3.2.2 asks for one at least).";
    NEIGHBOR_BYTES: u32 = 8 << 20, "neighbour queue", "bytes a link",
        "Stops large segments to neighbours that do not answer, 64 KiB each, from filling memory; one more is dropped.";
    NEIGHBOR_MICROS: u64 = 60_000_000, "neighbour", "microseconds",
        "Stops an address that moved to another machine from being sent to the old one for ever; the old one is asked whether it still has it, then all are.";
    ADDRESS_FRAMES: u32 = 64, "frames before an address is sure", "frames a node",
        "Stops packets from an address that the link is still asked about from piling up; one more is dropped.";
    ADDRESS_BYTES: u32 = 1 << 20, "frames before an address is sure", "bytes a node",
        "Stops large packets from an address that the link is still asked about from filling memory; one more is dropped.";
    DHCP_LEASE_SECS_MIN: u64 = 60, "lease, least", "seconds",
        "Stops a server from making the node ask without end, its connections cut each time; a shorter lease is refused.";
    SLAAC_PREFIXES: u32 = 8, "prefixes of a link", "prefixes a node",
        "Stops advertisements of 10,000 prefixes from filling memory and making as many addresses; one more is ignored while the others last.";
    ROUTERS: u32 = 8, "default routers", "routers a node",
        "Stops advertisements of 10,000 routers from filling memory; one that did not answer makes room, else one more is ignored while the others last.";
    SLAAC_RESOLVERS: u32 = 4, "name servers of a link", "servers a node",
        "Stops advertisements of 10,000 name servers from filling memory; one more is ignored while the others last.";
    SLAAC_LIFETIME_SECS_MIN: u64 = 60, "prefix, least", "seconds",
        "Stops a router from making addresses come and go without end; a prefix that begins with less is ignored.";
    FRAGMENT_DATAGRAMS: u32 = 64, "reassembly", "datagrams a node",
        "Stops first fragments without their rest from filling memory; the oldest makes room.";
    FRAGMENT_BYTES: u32 = 1 << 20, "reassembly", "bytes a node",
        "Stops large first fragments from filling memory; the oldest makes room.";
    FRAGMENT_MICROS: u64 = 30_000_000, "reassembly", "microseconds",
        "Stops incomplete datagrams from staying; they are dropped (RFC 8200 section 4.5 allows 60 s).";
    LINK_FRAMES: u32 = 4_096, "link queue", "frames a direction",
        "Stops a node that does not read from filling memory; the frame is dropped as a wire would.";

    // --- the resolver ---
    DNS_LOOKUPS: u32 = 256, "lookups", "at once, a node",
        "Stops apps together from making the node a DNS flood; one more is refused with `no-capacity`.";
    DNS_LOOKUPS_SCOPE: u32 = 64, "lookups", "at once, an app",
        "Stops an app from taking every lookup of the node; one more is refused with `no-capacity`.";
    DNS_CACHE_NAMES: u32 = 1_024, "dns cache", "names a node",
        "Stops lookups from filling memory; past it only the app's own answers make room, so that no app sees another's.";
    DNS_CACHE_NAMES_SCOPE: u32 = 256, "dns cache", "names an app",
        "Stops an app from filling the cache for all; its own answer that ends soonest makes room.";
    DNS_MESSAGE_BYTES: u32 = 16 << 10, "dns answer", "bytes",
        "Stops a server from filling memory with one answer; a larger one counts as none.";
    DNS_STRAYS: u32 = 16, "stray answers", "a query",
        "Stops a guesser who found a query's port; the question is asked anew from another one, with another id.";
    DNS_RENEWALS: u32 = 2, "renewals", "a try",
        "Stops a guesser who keeps finding the port; after these the question is asked over TCP.";
    DNS_ANSWERS: u32 = 16, "answers", "addresses a name",
        "Stops an answer of thousands of addresses; the rest is dropped.";
    DNS_CNAMES: u32 = 8, "cname chain", "names",
        "Stops an answer that points at itself; the lookup fails.";
    DNS_TRIES: u32 = 2, "tries", "a server",
        "Stops a silent server from holding a lookup for ever.";
    DNS_TRY_MICROS: u64 = 2_000_000, "try", "microseconds",
        "Stops a silent server from holding a try for ever; the next server is asked.";
    DNS_TTL_SECS_MIN: u64 = 5, "ttl, least", "seconds",
        "Stops an answer of TTL 0 from making every connection a lookup (and from rebinding between check and use).";
    DNS_TTL_SECS_MAX: u64 = 300, "ttl, most", "seconds",
        "Stops an answer from binding a name to an address for ever.";
    DNS_NEGATIVE_SECS: u64 = 30, "negative ttl, most", "seconds",
        "Stops a name that is not there from making every connection a lookup, and from staying away for ever.";

    // --- the user NIC ---
    USERNET_FLOWS: u32 = 16_384, "kernel sockets", "a node",
        "Stops an app from taking every file descriptor of the host; one more is refused. Clients of published TCP ports get half of them, the rest wait in the kernel.";
    USERNET_UDP_FLOWS: u32 = 4_096, "udp flows", "a node, each way",
        "Stops datagrams to a thousand places from taking every kernel socket; one more is refused.";
    USERNET_CONNECT_MICROS: u64 = 30_000_000, "kernel connect", "microseconds",
        "Stops a silent server from holding a kernel socket for ever; the host counts as unreachable.";
    USERNET_DNS_QUERIES: u32 = 512, "dns queries", "at once, a node",
        "Stops a flood of lookups from taking every kernel socket; one more fails at once.";
    USERNET_DNS_MICROS: u64 = 5_000_000, "dns query", "microseconds",
        "Stops a silent name server from holding a kernel socket for ever; the query is dropped.";
    USERNET_UDP_IDLE_MICROS: u64 = 60_000_000, "udp flow", "idle microseconds",
        "Stops datagram flows, which have no end of their own, from holding sockets for ever.";

    // --- real NICs ---
    ADDRESS_WAIT_MICROS: u64 = 15_000_000, "first addresses", "microseconds",
        "Stops a link on which no DHCP server or router answers from keeping an app that has not started for ever; the run ends.";
    NIC_FRAMES: u32 = 256, "frames", "frames a turn of a NIC",
        "Stops a flood of frames from keeping timers and apps from their turn; the rest waits in the kernel.";
    NIC_BYTES: u32 = 1 << 20, "frames", "bytes a turn of a NIC",
        "Stops a flood of 64 KiB segments from keeping timers and apps from their turn; the rest waits in the kernel.";
    PACKET_RING_BYTES: u32 = 8 << 20, "packet ring", "bytes a NIC",
        "Stops frames nobody reads from filling the kernel's memory; one more is dropped and counted.";
    PACKET_QUEUE_BYTES: u32 = 16 << 20, "packet queue", "bytes a direction",
        "Stops large segments nobody reads from filling the kernel's memory; one more is dropped and counted.";
    CAPTURE_BYTES: u32 = 256 << 10, "capture", "bytes that wait",
        "Stops a capture from filling memory; past it they are written to the file.";

    // --- the HTTP client ---
    HTTP_URL_BYTES: usize = 8 << 10, "http url", "bytes",
        "Stops an app or a redirect from making every copy of a URL cost; a longer one is refused.";
    HTTP_REQUEST_FIELDS: usize = 64, "http request head", "header fields",
        "Stops an app from making a server work with a request of nothing but headers; one more is refused.";
    HTTP_REQUEST_HEAD_BYTES: usize = 16 << 10, "http request head", "bytes of header fields",
        "Stops headers from filling the host's memory; more is refused.";
    HTTP_REQUEST_BODY_BYTES: u64 = 1 << 20, "request-body", "bytes a request to others",
        "Stops an app from sending out more than its grant was meant for; at one byte more the request ends.";
    HTTP_REQUEST_BODY_BYTES_CAP: u64 = 1 << 30, "request-body, most a manifest may ask", "bytes a request to others",
        "Stops a manifest from asking for an upload without end; the operator's policy may set another cap.";
    HTTP_RESPONSE_FIELDS: usize = 64, "http response head", "header fields",
        "Stops a flood of headers; at one more the response is refused.";
    HTTP_RESPONSE_HEAD_BYTES: usize = 16 << 10, "http response head", "bytes",
        "Stops a head that never ends from filling memory; at one byte more the response is refused.";
    HTTP_INTERIM: u32 = 4, "http interim responses", "a request",
        "Stops a server that answers `100` for ever; at one more the response is refused.";
    HTTP_RESPONSE_BODY_BYTES: u64 = 8 << 20, "response-body", "bytes, both as sent and as decoded",
        "Stops a server from filling an app with more than it was meant to fetch; at one byte more the response ends with an error, never a shortened body.";
    HTTP_RESPONSE_BODY_BYTES_CAP: u64 = 1 << 30, "response-body, most a manifest may ask", "bytes, both as sent and as decoded",
        "Stops a manifest from asking for a download without end; the operator's policy may set another cap.";
    HTTP_FRAMING_BYTES: u64 = 64 << 10, "http framing", "bytes, and 16 a byte of body",
        "Stops chunk sizes of endless zeros, chunk extensions and trailers, which are no body and cost time; the response is refused.";
    HTTP_BUFFER_BYTES: usize = 32 << 10, "http buffer", "bytes a connection, each way",
        "Stops a server or an app faster than the other side from filling memory; it waits.";
    HTTP_GZIP_FREE_BYTES: u64 = 64 << 10, "gzip ratio, not looked at below", "bytes decoded",
        "Lets small bodies of zeros and blanks pass, which compress better than any bomb needs to.";
    HTTP_GZIP_RATIO: u64 = 100, "gzip ratio", "bytes decoded a byte sent",
        "Stops a few bytes from becoming a body at the limit, again and again; the response is refused.";
    HTTP_GZIP_HEADER_BYTES: usize = 1 << 10, "gzip header", "bytes",
        "Stops a gzip header whose file name never ends; the response is refused.";
    HTTP_REDIRECTS: u8 = 5, "http redirects", "a request",
        "Stops two servers that send an app back and forth; one more is refused.";
    HTTP_RETRIES: u8 = 2, "http retries, most an app may ask", "a request",
        "Stops an app from hammering a server that is down; asking for more is refused.";
    HTTP_CONCURRENT: u32 = 4, "http requests", "at once, an app",
        "Stops an app from opening connections by the hundred to one server; one more waits, within its time to connect.";
    HTTP_WAITING: u32 = 64, "http requests that wait", "an app",
        "Stops requests that wait for others from filling memory; one more is refused with `no-capacity`.";
    HTTP_POOL: usize = 16, "http idle connections", "an app",
        "Stops connections nobody uses from holding sockets; the one idle longest makes room.";
    HTTP_POOL_HOST: usize = 2, "http idle connections", "an app and a server",
        "Stops one app and server from taking the whole pool; the one idle longest makes room.";
    HTTP_POOL_IDLE_MICROS: u64 = 15_000_000, "http idle connection", "microseconds",
        "Stops connections nobody uses from lasting, and from ending under a request because the server gave up first; it is closed.";
    HTTP_RESOLVE_MICROS: u64 = 5_000_000, "http resolve", "microseconds",
        "Stops a silent name server from holding a request; it times out.";
    HTTP_CONNECT_MICROS: u64 = 10_000_000, "http connect, the wait for one's turn included", "microseconds",
        "Stops a silent server from holding a request; it times out.";
    HTTP_TLS_MICROS: u64 = 10_000_000, "http tls handshake", "microseconds",
        "Stops a server that accepts and says nothing from holding a request; it times out.";
    HTTP_FIRST_BYTE_MICROS: u64 = 30_000_000, "http response head, from the request's end", "microseconds",
        "Stops a server that answers never, or a byte at a time, from holding a request; it times out.";
    HTTP_BETWEEN_BYTES_MICROS: u64 = 15_000_000, "http between bytes of a body", "microseconds",
        "Stops a server that sends or takes a body a byte at a time from holding a request; it times out.";
    HTTP_TOTAL_MICROS: u64 = 60_000_000, "request-timeout, all of a request", "microseconds",
        "Stops a server that is just fast enough for the other limits from holding a request for ever; it times out.";
    HTTP_TOTAL_MICROS_CAP: u64 = 3_600_000_000, "request-timeout, most a manifest may ask", "microseconds",
        "Stops a manifest from asking for a request that never ends; the operator's policy may set another cap.";
}

// The whole of one app's sockets, at default buffers, fits what it may have in flight.
const _: () =
    assert!(SOCKETS as u64 * (TCP_RX_BYTES as u64 + TCP_TX_BYTES as u64) <= BYTES_IN_FLIGHT);
const _: () =
    assert!(SOCKETS as u64 * (LINK_RX_BYTES as u64 + LINK_TX_BYTES as u64) <= BYTES_IN_FLIGHT);
// Small packets, of which each takes 2 KiB, are bounded by number alone.
const _: () = assert!(NEIGHBORS * NEIGHBOR_FRAMES * 2_048 < NEIGHBOR_BYTES);
const _: () = assert!(ADDRESS_FRAMES * 2_048 < ADDRESS_BYTES);
const _: () = assert!(LINGER_MICROS <= TCP_USER_MICROS);
const _: () = assert!(HALF_OPEN < FLOWS && BACKLOG <= BACKLOG_MAX && BACKLOG_MAX < FLOWS);
const _: () = assert!(DNS_TTL_SECS_MIN < DNS_TTL_SECS_MAX && DNS_TTL_SECS_MIN < DNS_NEGATIVE_SECS);
const _: () = assert!(DNS_LOOKUPS_SCOPE < DNS_LOOKUPS && DNS_CACHE_NAMES_SCOPE < DNS_CACHE_NAMES);
// A request's phases fit what it has in all, and a buffer holds the largest head.
const _: () =
    assert!(HTTP_RESOLVE_MICROS + HTTP_CONNECT_MICROS + HTTP_TLS_MICROS < HTTP_TOTAL_MICROS);
const _: () = assert!(HTTP_RESPONSE_HEAD_BYTES < HTTP_BUFFER_BYTES && HTTP_POOL_HOST < HTTP_POOL);
const _: () = assert!(READ_BYTES_MAX as u64 <= HOSTCALL_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_says_what_it_stops() {
        for limit in TABLE {
            assert!(limit.value > 0, "{}", limit.name);
            assert!(
                limit.stops.ends_with(['.', ')']),
                "{}: {}",
                limit.name,
                limit.stops
            );
        }
    }
}
