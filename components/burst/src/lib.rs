//! Throughput and latency of TCP: one source, two bindings.
