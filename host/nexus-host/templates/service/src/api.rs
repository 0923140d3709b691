//! What is answered to what.

use nexus_sdk::json::{from_json, to_json};
use nexus_sdk::router::{Miss, Router};
use serde::{Deserialize, Serialize};

/// Most bytes of a body: it is read as a whole.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// A request, as far as an answer goes by it.
pub struct Request<'a> {
    /// `GET`
    pub method: &'a str,
    /// With its query.
    pub path: &'a str,
    /// All of it.
    pub body: &'a [u8],
}

/// An answer. Its body is JSON.
#[derive(PartialEq, Debug)]
pub struct Answer {
    /// 200
    pub status: u16,
    /// The methods there are, where the request's is none of them.
    pub allow: Option<String>,
    /// JSON.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Route {
    Hello,
    Sum,
}

#[derive(Serialize)]
struct Hello<'a> {
    hello: &'a str,
}

#[derive(Deserialize)]
struct Numbers {
    numbers: Vec<i64>,
}

#[derive(Serialize)]
struct Sum {
    sum: i64,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

/// Made for each request: an instance of the app answers one.
fn router() -> Router<Route> {
    Router::new()
        .route("GET", "/hello/{name}", Route::Hello)
        .route("POST", "/sum", Route::Sum)
}

/// Answers a request.
pub fn answer(request: &Request<'_>) -> Answer {
    match router().find(request.method, request.path) {
        Ok(found) => match found.route {
            Route::Hello => {
                let hello = found.get("name").unwrap_or_default();
                json(200, &Hello { hello })
            }
            Route::Sum => sum(request.body),
        },
        Err(miss) => missed(miss),
    }
}

/// An answer that is an error, in words.
pub fn failure(status: u16, error: &str) -> Answer {
    json(status, &Failure { error })
}

fn missed(miss: Miss) -> Answer {
    let status = miss.status();
    match miss {
        Miss::Path => failure(status, "the path is none"),
        Miss::NotFound => failure(status, "nothing is there"),
        Miss::Method { allow } => Answer {
            allow: Some(allow),
            ..failure(status, "this path has other methods")
        },
    }
}

fn sum(body: &[u8]) -> Answer {
    let numbers = match from_json::<Numbers>(body) {
        Ok(Numbers { numbers }) => numbers,
        Err(error) => return failure(400, error.why()),
    };
    let sum = numbers
        .iter()
        .try_fold(0_i64, |sum, number| sum.checked_add(*number));
    match sum {
        Some(sum) => json(200, &Sum { sum }),
        None => failure(422, "the sum does not fit 64 bits"),
    }
}

fn json<T: Serialize>(status: u16, value: &T) -> Answer {
    match to_json(value) {
        Ok(body) => Answer {
            status,
            allow: None,
            body,
        },
        // What is answered here always has a form as JSON.
        Err(_) => Answer {
            status: 500,
            allow: None,
            body: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str, body: &str) -> (u16, String) {
        let body = body.as_bytes();
        let answer = answer(&Request { method, path, body });
        (
            answer.status,
            String::from_utf8(answer.body).expect("UTF-8"),
        )
    }

    #[test]
    fn answers_are_right() {
        let hello = asked("GET", "/hello/J%C3%BCrgen?loud", "");
        assert_eq!(hello, (200, r#"{"hello":"Jürgen"}"#.into()));
        let sum = asked("POST", "/sum", r#"{"numbers": [1, 2, 39]}"#);
        assert_eq!(sum, (200, r#"{"sum":42}"#.into()));
    }

    #[test]
    fn reject_what_is_wrong() {
        assert_eq!(asked("GET", "/", "").0, 404);
        assert_eq!(asked("GET", "/hello/%", "").0, 400);
        assert_eq!(asked("POST", "/sum", "1 2 39").0, 400);
        let big = r#"{"numbers": [9223372036854775807, 1]}"#;
        assert_eq!(asked("POST", "/sum", big).0, 422);
        let get = Request {
            method: "GET",
            path: "/sum",
            body: b"",
        };
        let wrong = answer(&get);
        assert_eq!((wrong.status, wrong.allow.as_deref()), (405, Some("POST")));
    }
}
