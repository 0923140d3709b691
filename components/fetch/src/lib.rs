//! HTTP/1.0 GET over plain TCP, by name.
