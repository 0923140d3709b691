//! The options of a message of neighbour discovery (RFC 4861 section 4.6).

/// Options, each within the message and none of length 0: a message with such a one is dropped as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = usize::from(*rest.get(1)?) * 8;
            rest = rest.get(len..).filter(|_| len > 0)?;
        }
        Some(Self(bytes))
    }

    /// Kinds and whole options.
    pub(crate) fn iter(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let len = usize::from(*rest.get(1)?) * 8;
            let (option, after) = rest.split_at_checked(len)?;
            rest = after;
            Some((option[0], option))
        })
    }
}
