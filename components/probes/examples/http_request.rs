//! Asks for something over `nexus:net/http`, as `http_request/asked.rs` says.

#[path = "http_request/asked.rs"]
#[allow(
    dead_code,
    reason = "the others ask by the parts of a URL; in the library it would have them link the SDK"
)]
mod asked;

use asked::Asked;
use nexus_sdk::svc::net::http::Request;
use nexus_sdk::task::join;
use nexus_sdk::{eprint, print_bytes};
use probes::{Outcome, success};

async fn run() -> Outcome {
    let asked = Asked::read()?;
    for _ in 0..asked.times {
        let said = once(&asked).await?;
        eprint(&said).await;
    }
    Ok(())
}

async fn once(asked: &Asked) -> Result<String, String> {
    let mut request = Request::new(&asked.method, &asked.url);
    for (name, value) in &asked.fields {
        request = request.header(name, value.as_bytes());
    }
    let response = if asked.send.is_some() {
        let (mut body, response) = request.streamed(asked.say);
        let pieces = asked.pieces();
        let write = async move {
            for piece in pieces {
                // The response says why.
                if body.write_all(piece).await.is_err() {
                    return;
                }
            }
        };
        join(write, response).await.1
    } else {
        request.send().await
    };
    let mut response = response.map_err(|error| error.reason().to_owned())?;
    let mut buffer = Vec::with_capacity(64 << 10);
    while !asked.enough(response.received()) {
        buffer = response
            .read(buffer)
            .await
            .map_err(|error| error.reason().to_owned())?;
        if buffer.is_empty() {
            break;
        }
        success(print_bytes(&buffer).await, "stdout")?;
    }
    Ok(format!("{} {}\n", response.status(), response.received()))
}

nexus_sdk::main!(run);
