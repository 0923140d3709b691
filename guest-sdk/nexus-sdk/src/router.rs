//! Which part of an app answers a request: by method and path, for apps that serve HTTP.
//!
//! Pure: it calls nothing of the host, and what a request leads to is whatever the app wants it to be (a function, a
//! case of an `enum`), so that an app's own `cargo test` tests it.
//!
//! ```
//! use nexus_sdk::router::{Miss, Router};
//!
//! #[derive(PartialEq, Debug)]
//! enum Route { Index, Hello, Sum }
//!
//! let router = Router::new()
//!     .route("GET", "/", Route::Index)
//!     .route("GET", "/hello/{name}", Route::Hello)
//!     .route("POST", "/sum", Route::Sum);
//!
//! let found = router.find("GET", "/hello/J%C3%BCrgen?loud").unwrap();
//! assert_eq!((found.route, found.get("name")), (&Route::Hello, Some("Jürgen")));
//! // A client may ask for the head alone of whatever it may get (RFC 9110 section 9.3.2).
//! assert_eq!(router.find("HEAD", "/").unwrap().route, &Route::Index);
//! assert_eq!(router.find("GET", "/nowhere").unwrap_err().status(), 404);
//! let miss = router.find("DELETE", "/sum").unwrap_err();
//! assert_eq!((miss.status(), miss), (405, Miss::Method { allow: "POST".into() }));
//! ```

/// A table of routes. The first that fits is taken, in the order they were added.
#[derive(Clone, Debug)]
pub struct Router<R> {
    routes: Vec<Entry<R>>,
}

#[derive(Clone, Debug)]
struct Entry<R> {
    method: String,
    pattern: Vec<Segment>,
    route: R,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Segment {
    /// This text.
    Literal(String),
    /// Any text that is not empty; what it is called.
    Parameter(String),
}

/// What a request leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<'a, R> {
    /// What was given for the route.
    pub route: &'a R,
    parameters: Vec<(&'a str, String)>,
}

impl<R> Found<'_, R> {
    /// What stands in the path for `{name}`, decoded. It may hold anything, `/` and control characters too.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Why a request leads nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Miss {
    /// The path is none: it does not begin with `/`, or has a `%` before no two hexadecimal digits, or is no UTF-8.
    Path,
    /// Nothing is there.
    NotFound,
    /// Something is there, for other methods.
    Method {
        /// These, as the field `Allow` has them, which such an answer must have (RFC 9110 section 15.5.6).
        allow: String,
    },
}

impl Miss {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Path => 400,
            Self::NotFound => 404,
            Self::Method { .. } => 405,
        }
    }
}

impl<R> Default for Router<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Router<R> {
    /// Without routes.
    pub fn new() -> Self {
        Self { routes: Vec::new() }
    }

    /// Adds a route for a method and a pattern: `/`, `/hello/{name}`. A parameter stands for one whole segment.
    ///
    /// # Panics
    ///
    /// If the pattern does not begin with `/`, or has braces in it that are not around the whole of a segment and a
    /// name, or one name twice: patterns are the author's own.
    #[must_use]
    pub fn route(mut self, method: &str, pattern: &str, route: R) -> Self {
        let Some(path) = pattern.strip_prefix('/') else {
            panic!("the pattern `{pattern}` does not begin with `/`");
        };
        let pattern: Vec<Segment> = path.split('/').map(|text| segment(text, pattern)).collect();
        for (at, one) in pattern.iter().enumerate() {
            let is_named = matches!(one, Segment::Parameter(_));
            assert!(
                !is_named || !pattern[..at].contains(one),
                "a pattern has {one:?} twice"
            );
        }
        self.routes.push(Entry {
            method: method.to_owned(),
            pattern,
            route,
        });
        self
    }

    /// Finds the route of a request: its method, and its path with or without a query.
    ///
    /// Segments are decoded after they are told apart, and nothing else is done to them: `..` is a name like any other,
    /// and `/a/` is not `/a`. A request for the head alone finds what one with `GET` does.
    pub fn find(&self, method: &str, path: &str) -> Result<Found<'_, R>, Miss> {
        let path = path.split('?').next().unwrap_or_default();
        let path = path.strip_prefix('/').ok_or(Miss::Path)?;
        let segments: Vec<String> = path
            .split('/')
            .map(|segment| decoded(segment).ok_or(Miss::Path))
            .collect::<Result<_, _>>()?;
        let mut allow: Vec<&str> = Vec::new();
        for entry in &self.routes {
            let Some(parameters) = fit(&entry.pattern, &segments) else {
                continue;
            };
            let is_get = entry.method == "GET";
            if entry.method == method || (is_get && method == "HEAD") {
                return Ok(Found {
                    route: &entry.route,
                    parameters,
                });
            }
            let also = is_get.then_some("HEAD");
            for method in core::iter::once(entry.method.as_str()).chain(also) {
                if !allow.contains(&method) {
                    allow.push(method);
                }
            }
        }
        Err(if allow.is_empty() {
            Miss::NotFound
        } else {
            let allow = allow.join(", ");
            Miss::Method { allow }
        })
    }
}

#[track_caller]
fn segment(text: &str, pattern: &str) -> Segment {
    let name = text
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let has_braces = |text: &str| text.contains(['{', '}']);
    match name {
        Some(name) if !name.is_empty() && !has_braces(name) => Segment::Parameter(name.to_owned()),
        None if !has_braces(text) => Segment::Literal(text.to_owned()),
        _ => panic!("the pattern `{pattern}` has braces that are not around a whole segment"),
    }
}

fn fit<'a>(pattern: &'a [Segment], segments: &[String]) -> Option<Vec<(&'a str, String)>> {
    if pattern.len() != segments.len() {
        return None;
    }
    let mut parameters = Vec::new();
    for (one, text) in pattern.iter().zip(segments) {
        match one {
            Segment::Literal(literal) if literal == text => {}
            Segment::Parameter(name) if !text.is_empty() => {
                parameters.push((name.as_str(), text.clone()));
            }
            _ => return None,
        }
    }
    Some(parameters)
}

/// A segment without its percent-encoding (RFC 3986 section 2.1).
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router<u8> {
        Router::new()
            .route("GET", "/", 0)
            .route("GET", "/a/{x}/{y}", 1)
            .route("POST", "/a/{x}/b", 2)
            .route("PUT", "/a/{x}/b", 3)
            .route("GET", "/a/", 4)
    }

    #[test]
    fn the_first_that_fits_is_taken_by_path_and_method() {
        let router = router();
        let found = |method, path| router.find(method, path).map(|found| *found.route);
        assert_eq!(found("GET", "/"), Ok(0));
        assert_eq!(found("GET", "/?a=b/c?d"), Ok(0));
        assert_eq!(found("GET", "/a/1/b"), Ok(1));
        assert_eq!(found("HEAD", "/a/1/b"), Ok(1));
        assert_eq!(found("POST", "/a/1/b"), Ok(2));
        assert_eq!(found("PUT", "/%61/1/%62"), Ok(3));
        assert_eq!(found("GET", "/a/"), Ok(4));
    }

    #[test]
    fn parameters_are_decoded_after_segments_are_told_apart() {
        let router = router();
        let found = router.find("GET", "/a/%2F..%00/%C3%A4+").expect("found");
        assert_eq!(found.get("x"), Some("/..\0"));
        assert_eq!(found.get("y"), Some("ä+"));
        assert_eq!(found.get("z"), None);
    }

    #[test]
    fn reject_what_leads_nowhere() {
        let router = router();
        let miss = |method, path| router.find(method, path).expect_err("a miss");
        for path in [
            "/a", "/a/1", "/a//b", "/a/1/", "/a/1/b/", "//", "/b", "/A/1/b", "/a/../",
        ] {
            assert_eq!(miss("GET", path), Miss::NotFound, "{path}");
        }
        for path in [
            "",
            "a",
            "*",
            "?",
            "http://host/",
            "/%",
            "/%4",
            "/%4g",
            "/%+1",
            "/%ff",
            "/%%41",
        ] {
            assert_eq!(miss("GET", path), Miss::Path, "{path}");
        }
        let allow = "GET, HEAD, POST, PUT".to_owned();
        assert_eq!(miss("DELETE", "/a/1/b"), Miss::Method { allow });
        // Methods are case-sensitive (RFC 9110 section 9.1).
        assert_eq!(miss("get", "/").status(), 405);
    }

    #[test]
    fn reject_patterns_that_are_none() {
        for pattern in [
            "", "a", "/{", "/}", "/{}", "/a{x}", "/{x}b", "/{{x}}", "/{x}/{x}",
        ] {
            let made = std::panic::catch_unwind(|| Router::new().route("GET", pattern, 0));
            assert!(made.is_err(), "{pattern}");
        }
    }
}
