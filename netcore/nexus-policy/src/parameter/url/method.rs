//! The methods of HTTP that a rule can name.

use core::fmt;

use crate::config::list;
use crate::explain::escape;
use crate::rule::RuleError;

/// A method. `CONNECT` would make a proxy of the host and `TRACE` shows what it adds: no app has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// All of them, in the order they are written.
    pub const ALL: [Self; 6] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of that word, which is written as it is sent (RFC 9110 section 9.1: in this case and no other).
    /// None: it is one that no rule names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == word)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of them; never none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Methods(u8);

impl Methods {
    /// Every method a rule can name.
    pub const ALL: Self = Self((1 << Method::ALL.len()) - 1);

    /// This one alone.
    pub const fn only(method: Method) -> Self {
        Self(1 << method as u8)
    }

    /// These and those.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one is among both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = Method> {
        Method::ALL
            .into_iter()
            .filter(move |method| self.contains(*method))
    }

    /// Whether `method` is one of them.
    pub const fn contains(self, method: Method) -> bool {
        self.0 & (1 << method as u8) != 0
    }

    /// Reads `GET,HEAD`.
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let mut methods = Self(0);
        for word in text.split(',') {
            let upper = word.trim().to_ascii_uppercase();
            let Some(method) = Method::ALL.into_iter().find(|m| m.as_str() == upper) else {
                return Err(RuleError::plain(unknown(text, word, &upper)));
            };
            if method.as_str() != word {
                let mut words = text.split(',').map(|w| w.trim().to_ascii_uppercase());
                let known = words
                    .clone()
                    .all(|w| Method::ALL.iter().any(|m| m.as_str() == w));
                let written = words.by_ref().collect::<Vec<_>>().join(",");
                let lead = "methods are in upper case, joined by commas without blanks";
                return Err(if known {
                    RuleError::plain(format!("{lead}: `{written}`, a blank, and the URL"))
                } else {
                    RuleError::plain(lead)
                });
            }
            if methods.contains(method) {
                return Err(RuleError::plain(format!("{upper} is named twice")));
            }
            methods.0 |= 1 << method as u8;
        }
        Ok(methods)
    }

    /// Them and a blank before a URL; nothing before it when they are all.
    pub(super) fn before(self, url: &str) -> String {
        if self == Self::ALL {
            url.to_owned()
        } else {
            format!("{self} {url}")
        }
    }
}

fn unknown(text: &str, word: &str, upper: &str) -> String {
    // Before the blank may be a URL with a password in it.
    if text.contains([':', '/', '@']) {
        return "a rule is one URL, with no blanks in it; a second URL is a second rule".to_owned();
    }
    let names = list(&Method::ALL.map(Method::as_str));
    match upper {
        "*" | "ANY" | "ALL" => {
            "leave the methods out to mean all of them: a URL alone is a rule".to_owned()
        }
        "CONNECT" | "TRACE" => format!("no app can send {upper}; the methods are {names}"),
        _ => format!("`{}` is no method; they are {names}", escape(word.trim())),
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lead = "";
        for method in Method::ALL.into_iter().filter(|m| self.contains(*m)) {
            write!(f, "{lead}{}", method.as_str())?;
            lead = ",";
        }
        Ok(())
    }
}
