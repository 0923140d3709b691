//! The stack against itself: pairs of stacks, a virtual link, virtual time.

mod hostile;
mod names;
mod pair;
mod raw;
mod seeds;
mod tcp;
