//! `web-fetch URL` prints a page; `web-fetch URL POINTER` one value of a JSON document (`/main/temp`, RFC 6901).
//!
//! The host does the rest: names, TLS, HTTP/1.1 and their bounds. A status other than 200 is exit code 1.

use core::fmt;

use nexus_sdk::svc::net::http::{Request, Response};
use nexus_sdk::{Error, args, print_bytes};
use serde_json::Value;

/// A document is held as a whole to be read.
const JSON_BYTES_MAX: usize = 1 << 20;

async fn run() -> Result<(), Failure> {
    let args = args();
    let (url, pointer) = match args.as_slice() {
        [url] => (url, None),
        [url, pointer] => (url, Some(pointer.as_str())),
        _ => return Err(Failure("usage: web-fetch URL [POINTER]".into())),
    };
    let response = Request::get(url).follow(5).gzip().retries(1).send().await?;
    if response.status() != 200 {
        return Err(Failure(format!(
            "the server answered {}",
            response.status()
        )));
    }
    match pointer {
        None => page(response).await,
        Some(pointer) => {
            let document = response.bytes(JSON_BYTES_MAX).await?;
            let value = value_at(&document, pointer).map_err(Failure)?;
            print(format!("{value}\n").as_bytes()).await
        }
    }
}

/// Prints the body while it comes.
async fn page(mut response: Response) -> Result<(), Failure> {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        buffer = response.read(buffer).await?;
        if buffer.is_empty() {
            return Ok(());
        }
        print(&buffer).await?;
    }
}

async fn print(bytes: &[u8]) -> Result<(), Failure> {
    print_bytes(bytes)
        .await
        .map_err(|error| Failure(format!("stdout: {error}")))
}

/// The value that an RFC 6901 pointer points to; a text without its quotes.
fn value_at(document: &[u8], pointer: &str) -> Result<String, String> {
    let document: Value = serde_json::from_slice(document)
        .map_err(|error| format!("the page is no JSON: {error}"))?;
    match document.pointer(pointer) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Ok(value.to_string()),
        None => Err(format!("the document has nothing at {pointer}")),
    }
}

/// What is shown to the person who ran it.
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

nexus_sdk::main!(run);

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &[u8] = br#"{"main": {"temp": 21.5, "sky": "clear"}, "list": [1, 2]}"#;

    #[test]
    fn a_value_is_found_by_its_pointer() {
        for (pointer, value) in [
            ("/main/temp", "21.5"),
            ("/main/sky", "clear"),
            ("/list/1", "2"),
            ("/list", "[1,2]"),
        ] {
            assert_eq!(value_at(DOCUMENT, pointer).as_deref(), Ok(value));
        }
    }

    #[test]
    fn reject_what_is_not_there() {
        assert!(value_at(DOCUMENT, "/main/wind").is_err());
        assert!(value_at(b"<html>", "/main").is_err());
    }
}
