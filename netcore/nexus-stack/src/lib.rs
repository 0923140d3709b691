//! smoltcp behind one door: per-flow demux, TCP, UDP, ICMP, fragments, loopback, resolver. Frames in, frames out.
