//! What is answered to what.

/// Most bytes of a body that is read as a whole.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What its body is.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

/// What is to be done with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// Answer this.
    Now(Answer),
    /// Read the body, then answer with [`sum`].
    Sum,
    /// Send the body back as it comes.
    Echo,
}

fn json(status: u16, body: String) -> Answer {
    Answer {
        status,
        content_type: "application/json",
        body: body + "\n",
    }
}

/// An error, in words.
pub fn error(status: u16, why: &str) -> Answer {
    json(status, format!(r#"{{"error":{}}}"#, quoted(why)))
}

/// Finds what to do with a request for a path (and query) by a method.
pub fn route(method: &str, path: &str) -> Route {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let allowed = |methods: &[&str], route: Route| {
        if methods.contains(&method) {
            route
        } else {
            Route::Now(error(405, "this path has another method"))
        }
    };
    let get = &["GET", "HEAD"][..];
    match path {
        "/" => allowed(
            get,
            Route::Now(json(
                200,
                r#"{"paths":["/hello/NAME","/sum","/echo"]}"#.into(),
            )),
        ),
        "/sum" => allowed(&["POST"], Route::Sum),
        "/echo" => allowed(&["POST", "PUT"], Route::Echo),
        _ => match path.strip_prefix("/hello/") {
            Some(name) if !name.is_empty() && !name.contains('/') => allowed(
                get,
                Route::Now(json(200, format!(r#"{{"hello":{}}}"#, quoted(name)))),
            ),
            _ => Route::Now(error(404, "no such path")),
        },
    }
}

/// The sum of the numbers in a body, between blanks.
pub fn sum(body: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(body);
    let mut sum = 0_i64;
    for word in text.split_whitespace() {
        let Ok(number) = word.parse::<i64>() else {
            return error(400, "numbers between blanks, please");
        };
        let Some(added) = sum.checked_add(number) else {
            return error(422, "the sum does not fit 64 bits");
        };
        sum = added;
    }
    json(200, format!(r#"{{"sum":{sum}}}"#))
}

/// A string of JSON (RFC 8259 section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(route: Route) -> u16 {
        match route {
            Route::Now(answer) => answer.status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_lead_where_they_say() {
        assert_eq!(route("POST", "/sum"), Route::Sum);
        assert_eq!(route("PUT", "/echo?x"), Route::Echo);
        let Route::Now(hello) = route("GET", "/hello/a\"b") else {
            panic!("an answer");
        };
        assert_eq!(hello.body, "{\"hello\":\"a\\\"b\"}\n");
        assert_eq!(status(route("HEAD", "/")), 200);
    }

    #[test]
    fn reject_other_paths_and_methods() {
        assert_eq!(status(route("GET", "/hello/")), 404);
        assert_eq!(status(route("GET", "/hello/a/b")), 404);
        assert_eq!(status(route("GET", "/x")), 404);
        assert_eq!(status(route("GET", "/sum")), 405);
        assert_eq!(status(route("DELETE", "/")), 405);
    }

    #[test]
    fn sums_are_right_or_refused() {
        assert_eq!(sum(b"1 2\n39").body, "{\"sum\":42}\n");
        assert_eq!(sum(b"").body, "{\"sum\":0}\n");
        assert_eq!(sum(b"1 x").status, 400);
        assert_eq!(sum(b"9223372036854775807 1").status, 422);
    }
}
