//! Asks for something over `wasi:http` 0.2 alone, as `http_request/asked.rs` says.

// Natively there is nothing to export to, and no linker takes such names.
#![cfg(target_family = "wasm")]

#[path = "http_request/asked.rs"]
mod asked;

use std::io::Write as _;

use asked::Asked;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, Scheme,
};
use wasip2::io::streams::StreamError;

struct Run;

impl wasip2::exports::cli::run::Guest for Run {
    fn run() -> Result<(), ()> {
        all().map_err(|why| eprintln!("error: {why}"))
    }
}

wasip2::cli::command::export!(Run);

fn all() -> Result<(), String> {
    let asked = Asked::read()?;
    for _ in 0..asked.times {
        let coming = send(&asked)?;
        coming.subscribe().block();
        let response = match coming.get() {
            Some(Ok(response)) => response.map_err(|code| format!("{code:?}"))?,
            _ => return Err("no response".to_owned()),
        };
        let received = print(&asked, &response)?;
        eprintln!("{} {received}", response.status());
    }
    Ok(())
}

fn send(asked: &Asked) -> Result<FutureIncomingResponse, String> {
    let fields = Fields::new();
    let length = asked
        .say
        .map(|say| ("content-length".to_owned(), say.to_string()));
    for (name, value) in asked.fields.iter().chain(&length) {
        let append = fields.append(name, value.as_bytes());
        append.map_err(|error| format!("{error:?}"))?;
    }
    let request = OutgoingRequest::new(fields);
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
    if asked.send.is_none() {
        return outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"));
    }
    let body = request.body().map_err(|()| "no body")?;
    let coming = outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?;
    // What fails here, the response says why.
    if write(asked, &body).is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
    Ok(coming)
}

fn write(asked: &Asked, body: &OutgoingBody) -> Result<(), StreamError> {
    let stream = body.write().map_err(|()| StreamError::Closed)?;
    let ready = stream.subscribe();
    for piece in asked.pieces() {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            ready.block();
            let room = stream.check_write()? as usize;
            let (now, later) = rest.split_at(room.min(rest.len()));
            stream.write(now)?;
            rest = later;
        }
    }
    stream.blocking_flush()
}

/// How much of a body there is.
fn print(asked: &Asked, response: &IncomingResponse) -> Result<u64, String> {
    let body = response.consume().map_err(|()| "no body")?;
    let stream = body.stream().map_err(|()| "no stream")?;
    let mut received = 0;
    while !asked.enough(received) {
        match stream.blocking_read(64 << 10) {
            Ok(read) => {
                received += read.len() as u64;
                let printed = std::io::stdout().write_all(&read);
                printed.map_err(|error| format!("stdout: {error}"))?;
            }
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let code = wasip2::http::types::http_error_code(&error);
                return Err(
                    code.map_or_else(|| error.to_debug_string(), |code| format!("{code:?}"))
                );
            }
        }
    }
    // Nobody else does, where there is no main that returns.
    let flushed = std::io::stdout().flush();
    flushed.map_err(|error| format!("stdout: {error}"))?;
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(received)
}
