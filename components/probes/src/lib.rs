//! Conformance guests: one per interface and behaviour.
