//! Hands requests of `wasi:http/incoming-handler@0.2` to the API, and its answers back.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

use crate::api::{self, Answer, BODY_BYTES_MAX, Request};

/// Read at once.
const CHUNK_BYTES: u64 = 16 << 10;

/// Most that one write takes, as wasi:io says.
const WRITE_BYTES_MAX: usize = 4096;

struct Handler;

wasip2::http::proxy::export!(Handler);

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = match body(&request) {
            Ok(body) => api::answer(&Request {
                method: name(&request.method()),
                path: &request.path_with_query().unwrap_or_default(),
                body: &body,
            }),
            Err(answer) => answer,
        };
        send(out, &answer);
    }
}

fn name(method: &Method) -> &str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    }
}

/// The whole body; or what is answered if there is none to be had.
fn body(request: &IncomingRequest) -> Result<Vec<u8>, Answer> {
    let broken = || api::failure(400, "the body broke off");
    let body = request.consume().map_err(|()| broken())?;
    let stream = body.stream().map_err(|()| broken())?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(broken()),
        }
        if bytes.len() > BODY_BYTES_MAX {
            return Err(api::failure(413, "the body is too long"));
        }
    }
}

fn send(out: ResponseOutparam, answer: &Answer) {
    let headers = Fields::new();
    let length = answer.body.len().to_string();
    let fields = [
        ("content-type", Some("application/json")),
        ("content-length", Some(length.as_str())),
        ("allow", answer.allow.as_deref()),
    ];
    for (name, value) in fields {
        // Names and values are ours, and right.
        let _ = value.map(|value| headers.append(name, value.as_bytes()));
    }
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(answer.status);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write() {
        for part in answer.body.chunks(WRITE_BYTES_MAX) {
            // The client may be gone: then nobody is there to be told.
            if stream.blocking_write_and_flush(part).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
