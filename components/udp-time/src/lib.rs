//! Asks a time server over UDP, and serves the time.
