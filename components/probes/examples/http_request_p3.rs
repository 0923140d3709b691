//! Asks for something over `wasi:http` 0.3 alone, as `http_request/asked.rs` says.

// Natively there is nothing to export to, and no linker takes such names.
#![cfg(target_family = "wasm")]

#[path = "http_request/asked.rs"]
mod asked;

use std::io::Write as _;

use asked::Asked;

use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{spawn_local, wit_future, wit_stream};

struct Run;

impl wasip3::exports::cli::run::Guest for Run {
    async fn run() -> Result<(), ()> {
        all().await.map_err(|why| eprintln!("error: {why}"))
    }
}

wasip3::cli::command::export!(Run);

async fn all() -> Result<(), String> {
    let asked = Asked::read()?;
    for _ in 0..asked.times {
        let response = client::send(request(&asked)?).await.map_err(word)?;
        let status = response.get_status_code();
        let received = print(&asked, response).await?;
        eprintln!("{status} {received}");
    }
    Ok(())
}

fn word(code: ErrorCode) -> String {
    format!("{code:?}")
}

fn request(asked: &Asked) -> Result<Request, String> {
    let fields = Fields::new();
    let length = asked
        .say
        .map(|say| ("content-length".to_owned(), say.to_string()));
    for (name, value) in asked.fields.iter().chain(&length) {
        let append = fields.append(name, value.as_bytes());
        append.map_err(|error| format!("{error:?}"))?;
    }
    let (told, trailers) = wit_future::new(|| Ok(None));
    let mut contents = None;
    if asked.send.is_some() {
        let (mut writer, body) = wit_stream::new();
        contents = Some(body);
        let pieces = asked.pieces();
        spawn_local(async move {
            for piece in pieces {
                // The response says why.
                if !writer.write_all(piece).await.is_empty() {
                    return;
                }
            }
            drop(writer);
            let _ = told.write(Ok(None)).await;
        });
    }
    let (request, _) = Request::new(fields, contents, trailers, None);
    let (scheme, authority, path) = asked.url_parts()?;
    let method = match asked.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| "not a request")?;
    Ok(request)
}

/// How much of a body there is.
async fn print(asked: &Asked, response: Response) -> Result<u64, String> {
    let (_told, unread) = wit_future::new(|| Ok(()));
    let (mut stream, end) = Response::consume_body(response, unread);
    let mut received = 0;
    let mut buffer = Vec::with_capacity(64 << 10);
    while !asked.enough(received) {
        let result;
        buffer.clear();
        (result, buffer) = stream.read(buffer).await;
        match result {
            StreamResult::Complete(count) => {
                received += count as u64;
                let printed = std::io::stdout().write_all(&buffer);
                printed.map_err(|error| format!("stdout: {error}"))?;
            }
            StreamResult::Dropped | StreamResult::Cancelled => {
                end.await.map_err(word)?;
                break;
            }
        }
    }
    // Nobody else does, where there is no main that returns.
    let flushed = std::io::stdout().flush();
    flushed.map_err(|error| format!("stdout: {error}"))?;
    Ok(received)
}
