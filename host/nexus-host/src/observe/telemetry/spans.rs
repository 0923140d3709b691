//! A span: one act of an app, from its beginning to its end.

/// A number or a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(super::metrics::cut(text))
    }
}

/// Keys are ours.
pub(super) type Attributes = Vec<(&'static str, Value)>;

/// Who asked whom, as OpenTelemetry tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Within the host.
    Internal = 1,
    /// Somebody came to the app.
    Server = 2,
    /// The app goes to somebody.
    Client = 3,
}

/// Something at one moment of a span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    /// In nanoseconds since 1970.
    pub(super) at: u64,
    /// What it was.
    pub(super) name: &'static str,
    /// More of it.
    pub(super) attributes: Attributes,
}

/// One act that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// The run it belongs to.
    pub(super) trace: [u8; 16],
    /// Itself.
    pub(super) id: [u8; 8],
    /// What it is part of; none: it is the run.
    pub(super) parent: Option<[u8; 8]>,
    /// A host function, or what was decided.
    pub(super) name: String,
    /// Who asked whom.
    pub(super) kind: Kind,
    /// In nanoseconds since 1970.
    pub(super) begin: u64,
    /// In nanoseconds since 1970.
    pub(super) end: u64,
    /// Who, by what, at what.
    pub(super) attributes: Attributes,
    /// Decisions on the way.
    pub(super) moments: Vec<Moment>,
    /// In one stable word, if it failed.
    pub(super) error: Option<&'static str>,
}
