//! The stack against itself: pairs of stacks, a virtual link, virtual time.

mod pair;
mod tcp;
