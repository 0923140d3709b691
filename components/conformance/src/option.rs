//! Options of sockets: "If the provided value is 0, an `invalid-argument` error is returned. Any other value will never
//! cause an error, but it might be silently clamped and/or rounded."

use std::fmt::Debug;

use crate::{Checked, check, err, ok, same};

/// One option of one kind of socket `S`.
#[derive(Clone, Copy, Debug)]
pub struct Kind<S: 'static, V: 'static, E: 'static> {
    /// Reads it.
    pub get: fn(&S) -> Result<V, E>,
    /// Sets it.
    pub set: fn(&S, V) -> Result<(), E>,
    /// Values that are far from any bound and from one another.
    pub plain: [V; 2],
    /// The value that is refused.
    pub zero: V,
    /// The least and the greatest there is.
    pub extremes: [V; 2],
    /// Whether a plain value must read back as it was set.
    pub exact: bool,
    /// `invalid-argument`.
    pub bad: fn() -> E,
}

/// An option: its socket, how it is read and set, two plain values, and the two extremes.
#[macro_export]
macro_rules! option {
    ($of:ident, $get:ident, $set:ident, $plain:expr, $extremes:expr) => {
        $crate::Kind {
            get: $of::$get,
            set: $of::$set,
            plain: $plain,
            zero: 0,
            extremes: $extremes,
            exact: true,
            bad: || ErrorCode::InvalidArgument,
        }
    };
}

impl<S, V: Copy + PartialEq + Debug, E: Debug> Kind<S, V, E> {
    /// The same, of which a plain value need not read back as it was set.
    pub const fn may_be_clamped(mut self) -> Self {
        self.exact = false;
        self
    }

    /// Reads it; never 0.
    pub fn read(&self, socket: &S) -> Checked<V> {
        let value = ok((self.get)(socket), "get")?;
        check(value != self.zero, "what is read is never 0")?;
        Ok(value)
    }

    /// Sets it, which is to succeed.
    pub fn set(&self, socket: &S, value: V) -> Checked {
        ok((self.set)(socket, value), &format!("set {value:?}"))
    }

    /// 0 is refused, and changes nothing.
    pub fn refuses_zero(&self, socket: &S) -> Checked {
        let before = self.read(socket)?;
        err((self.set)(socket, self.zero), (self.bad)(), "set 0")?;
        same(self.read(socket)?, before, "after a 0 that was refused")
    }

    /// Set, it reads back; 0 is refused; extremes are taken, and read back in a form that, set again, is kept. Then it
    /// is the first plain value.
    pub fn holds(&self, socket: &S) -> Checked {
        self.read(socket)?;
        for value in self.plain {
            self.set(socket, value)?;
            let got = self.read(socket)?;
            check(
                got == value || !self.exact,
                &format!("{value:?} reads back {got:?}"),
            )?;
        }
        self.refuses_zero(socket)?;
        for value in self.extremes {
            self.set(socket, value)?;
            let got = self.read(socket)?;
            self.set(socket, got)?;
            same(
                self.read(socket)?,
                got,
                "what was read is set, and read again",
            )?;
        }
        self.set(socket, self.plain[0])
    }
}
