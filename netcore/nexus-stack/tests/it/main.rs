//! The stack against itself: pairs of stacks, a virtual link, virtual time.

mod names;
mod pair;
mod seeds;
mod tcp;
