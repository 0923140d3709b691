//! Asks a weather service, by HTTP and JSON: `ORIGIN CITY`, say `https://api.example.com Bern`.
//!
//! The host looks names up, speaks TLS and HTTP, and bounds all of it; the app says what it asks for.

use std::time::Duration;

use nexus_sdk::json::from_json;
use nexus_sdk::svc::net::http::Request;
use nexus_sdk::{Error, ErrorCode, args, print};
use serde::Deserialize;

/// From asking to the last byte of the answer.
const WITHIN: Duration = Duration::from_secs(10);

/// An answer is held as a whole to be read, and a server may send without end.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What the service answers; what else is in it is left alone.
#[derive(Deserialize, PartialEq, Debug)]
struct Weather {
    city: String,
    degrees: f64,
}

async fn run() -> Result<(), Error> {
    let args = args();
    let [origin, city] = args.as_slice() else {
        let usage = "ORIGIN CITY";
        return Err(Error::new(ErrorCode::InvalidArgument, "usage", usage));
    };
    let url = format!("{origin}/v1/weather/{}", encoded(city));
    // Tried again once if nothing of a response came: asking twice does no harm.
    let response = Request::get(url).retries(1).timeout(WITHIN).send().await?;
    if response.status() != 200 {
        let why = format!("the service answered {}", response.status());
        return Err(Error::new(ErrorCode::Unavailable, "status", why));
    }
    let weather: Weather = from_json(&response.bytes(ANSWER_BYTES_MAX).await?)?;
    print(&shown(&weather)).await;
    Ok(())
}

fn shown(weather: &Weather) -> String {
    format!("{}: {} degrees\n", weather.city, weather.degrees)
}

/// As a segment of a path: what is neither a letter nor a digit percent-encoded.
fn encoded(segment: &str) -> String {
    let mut text = String::new();
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

nexus_sdk::main!(run);

#[cfg(test)]
mod tests {
    use super::*;

    // What needs no network is tested natively, by `cargo test`; the rest in tests/, by `nexus-host test`.
    #[test]
    fn an_answer_is_read_and_shown() {
        let answer = br#"{"city": "Bern", "degrees": 21.5, "sky": "clear"}"#;
        let weather: Weather = from_json(answer).expect("JSON of this shape");
        assert_eq!(shown(&weather), "Bern: 21.5 degrees\n");
    }

    #[test]
    fn a_city_stays_one_segment() {
        assert_eq!(encoded("La Chaux/../x"), "La%20Chaux%2F%2E%2E%2Fx");
    }
}
