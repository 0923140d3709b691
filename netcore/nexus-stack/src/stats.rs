//! What the stack counts: for the usage summary, and for tests that ask where a packet went.

/// Counters since the stack was made, and the sizes of its tables now.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Frames handed in.
    pub frames_in: u64,
    /// Frames handed out.
    pub frames_out: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Packets that went over the loopback.
    pub loopback: u64,
    /// Segments that reached a connection.
    pub segments_in: u64,
    /// Datagrams that reached a socket.
    pub datagrams_in: u64,

    /// Dropped: not a well-formed frame, packet, segment or datagram.
    pub dropped_malformed: u64,
    /// Dropped: wrong checksum.
    pub dropped_checksum: u64,
    /// Dropped: not addressed to us, or from an address nobody can have on a wire.
    pub dropped_address: u64,
    /// Dropped: a protocol or ICMP message we have no use for.
    pub dropped_protocol: u64,
    /// Dropped: a fragment that did not (yet) make a whole.
    pub fragments_held: u64,
    /// Dropped: a SYN that found the backlog, the flow table or the invitations full.
    pub dropped_backlog: u64,
    /// Half-open connections that made room for newer ones.
    pub half_open_evicted: u64,
    /// Closed connections that were reset before all was delivered: their scope had too many.
    pub linger_evicted: u64,
    /// Dropped: a datagram from somebody the socket is not connected to.
    pub dropped_udp_filter: u64,
    /// Dropped: a datagram that found its socket's queue full.
    pub dropped_udp_queue: u64,
    /// Dropped: a frame that found the transmit or loopback queue full.
    pub dropped_queue: u64,
    /// Dropped: no neighbour answered, or too many packets wait for one.
    pub dropped_neighbor: u64,
    /// Dropped: an ICMP error that quotes nothing of ours.
    pub dropped_icmp: u64,
    /// Not sent: a reset or ICMP error over the rate limit.
    pub replies_suppressed: u64,
    /// Resets sent for segments that matched no connection.
    pub resets_sent: u64,
    /// Empty segments whose sequence number was corrected to SND.MAX.
    pub snd_max_corrected: u64,

    /// Connections now.
    pub flows: u32,
    /// Half-open connections now.
    pub half_open: u32,
    /// Connections in TIME-WAIT now.
    pub time_wait: u32,
    /// Listeners now.
    pub listeners: u32,
    /// UDP sockets now.
    pub udp_sockets: u32,
}
