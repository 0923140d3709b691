//! Criterion benches and the side-by-side runs.
