//! The answers that outlive a run: the file `consent.toml` of a state folder, written by the host
//! and made to be read by people.
//!
//! ```toml
//! [[answer]]
//! id = "3f1c09aa"
//! app = { id = "com.example.weather", digest = "sha256:…" }   # or publisher = "RW…", where it is signed
//! capability = "network.tcp.connect"
//! rule = "api.example.com:443"
//! answer = "yes"                      # yes | no
//! lifetime = "always"                 # always | session: until the machine starts anew
//! given = "2026-11-27T12:00:00Z"
//! by = "terminal"
//! ```
//!
//! An answer is about one rule, exactly as the manifest has it: a manifest that asks for more, or for the
//! same in other words, is asked about anew. It is for one version of an app, by its digest; where a
//! publisher's signature was verified, for what that publisher signs under the same id, so that an update
//! keeps it.
//!
//! What a person has written into the file (comments, order) stays: answers are added at its end and taken
//! out where they stand.

mod read;
mod write;

use core::fmt;
use core::ops::Range;

use nexus_types::AppDigest;

use crate::consent::{Answer, Lifetime};
use crate::gate::AppIdentity;
use crate::publisher::PublisherKey;
use crate::wall::WallTime;

/// Answers in one file. A person gave each of them, one by one; stops a file that is read at each start
/// from growing for ever.
pub const ANSWERS_MAX: usize = nexus_types::limits::CONSENT_ANSWERS;
/// The longest file. A rule has at most a few kilobytes, of a folder's path; stops one that is none of ours.
pub const REMEMBERED_BYTES: u64 = nexus_types::limits::CONSENT_BYTES;

/// The file, read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Remembered {
    text: String,
    entries: Vec<Entry>,
}

/// Whose an answer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whose {
    /// That version's, whatever it calls itself.
    Version(AppDigest),
    /// What this publisher signs, under the id of the entry.
    Publisher(PublisherKey),
}

/// One `[[answer]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What the app calls itself; beside a digest, for people alone.
    pub app: String,
    /// Whose it is.
    pub whose: Whose,
    /// The answer. Its lifetime is never [`Lifetime::Once`].
    pub answer: Answer,
    /// Of a session's: in which start of the machine it was given.
    pub boot: Option<String>,
    /// When it was given.
    pub given: WallTime,
    /// Its lines; none: it does not stand on lines of its own.
    lines: Option<Range<usize>>,
}

/// When it is: what an answer's lifetime is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment<'a> {
    /// What tells this start of the machine from every other; none: nobody knows.
    pub boot: Option<&'a str>,
    /// The time of day.
    pub now: WallTime,
}

/// Why an answer cannot be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotRemembered {
    /// There are [`ANSWERS_MAX`].
    Full,
    /// It is for this run, or for a session that cannot be told from others.
    Passing,
    /// It cannot be written so that it is read again as what it is.
    Unwritable,
}

impl fmt::Display for NotRemembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(
                f,
                "there are {ANSWERS_MAX} answers, and no room for more: nexus-host consent revoke takes some out"
            ),
            Self::Passing => f.write_str("it holds for this run alone"),
            Self::Unwritable => f.write_str("its rule cannot be written into the file"),
        }
    }
}

impl core::error::Error for NotRemembered {}

impl Entry {
    /// An answer of this app: of its publisher where one is known, else of this version.
    pub fn new(app: &AppIdentity, answer: Answer, moment: &Moment<'_>) -> Self {
        let session = answer.lifetime == Lifetime::Session;
        Self {
            app: app.id.clone(),
            whose: match app.publisher {
                Some(key) => Whose::Publisher(key),
                None => Whose::Version(app.digest),
            },
            answer,
            boot: moment.boot.filter(|_| session).map(str::to_owned),
            given: moment.now,
            lines: None,
        }
    }

    /// Whether it is about this app.
    pub fn concerns(&self, app: &AppIdentity) -> bool {
        match self.whose {
            Whose::Version(digest) => digest == app.digest,
            Whose::Publisher(key) => app.publisher == Some(key) && self.app == app.id,
        }
    }

    /// Whether it still holds.
    pub fn holds(&self, moment: &Moment<'_>) -> bool {
        let session = self.answer.lifetime == Lifetime::Session;
        let same_boot = self.boot.is_some() && self.boot.as_deref() == moment.boot;
        (same_boot || !session) && self.answer.expires.is_none_or(|at| at > moment.now)
    }

    /// The same but for its place in a file.
    fn says_the_same(&self, other: &Self) -> bool {
        let bare = |entry: &Self| Self {
            lines: None,
            ..entry.clone()
        };
        bare(self) == bare(other)
    }
}

impl Remembered {
    /// What is written of every app, in the order of the file; some of it may not hold any more.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file as it is to be written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The answers of this app that hold.
    pub fn of(&self, app: &AppIdentity, moment: &Moment<'_>) -> Vec<Answer> {
        self.entries
            .iter()
            .filter(|entry| entry.concerns(app) && entry.holds(moment))
            .map(|entry| entry.answer.clone())
            .collect()
    }

    /// An id that no answer has: this number, or the next that is free.
    pub fn free_id(&self, mut number: u32) -> String {
        loop {
            let id = format!("{number:08x}");
            if self.entries.iter().all(|entry| entry.answer.id != id) {
                return id;
            }
            number = number.wrapping_add(1);
        }
    }
}

#[cfg(test)]
#[path = "../remembered_tests.rs"]
mod tests;
