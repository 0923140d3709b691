//! The glue to `wasi:http/incoming-handler@0.2`.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use crate::api::{self, Answer, BODY_BYTES_MAX, Route};

/// Most bytes of an echo in one step.
const CHUNK_BYTES: u64 = 16 << 10;

struct Handler;

wasip2::http::proxy::export!(Handler);

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match api::route(&name(&request.method()), &path) {
            Route::Now(answer) => send(out, &answer),
            Route::Sum => send(out, &sum(&request)),
            Route::Echo => echo(&request, out),
        }
    }
}

fn name(method: &Method) -> String {
    let name = match method {
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
    };
    name.to_owned()
}

/// The bytes of a request's body, to its end.
fn chunks(
    stream: &InputStream,
    mut each: impl FnMut(Vec<u8>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) => each(chunk)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(_)) => return Err("the body broke off"),
        }
    }
}

fn sum(request: &IncomingRequest) -> Answer {
    let Some(stream) = body(request) else {
        return api::error(400, "no body");
    };
    let mut bytes = Vec::new();
    let read = chunks(&stream.0, |chunk| {
        bytes.extend(chunk);
        if bytes.len() > BODY_BYTES_MAX {
            return Err("the body is too long");
        }
        Ok(())
    });
    match read {
        Ok(()) => api::sum(&bytes),
        Err(why) => api::error(400, why),
    }
}

/// A request's body; the stream ends before what it belongs to.
fn body(request: &IncomingRequest) -> Option<(InputStream, IncomingBody)> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    Some((stream, body))
}

/// A head sent, and the body to be written.
fn begin(out: ResponseOutparam, status: u16, fields: &[(&str, &str)]) -> Option<OutgoingBody> {
    let headers = Fields::new();
    for (name, value) in fields {
        // Names and values are ours, and right.
        let _ = headers.append(name, value.as_bytes());
    }
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(status);
    let body = response.body().ok();
    ResponseOutparam::set(out, Ok(response));
    body
}

fn send(out: ResponseOutparam, answer: &Answer) {
    let length = answer.body.len().to_string();
    let fields = [
        ("content-type", answer.content_type),
        ("content-length", &length),
    ];
    if let Some(body) = begin(out, answer.status, &fields) {
        if let Ok(stream) = body.write() {
            // The client may be gone.
            let _ = write(&stream, answer.body.as_bytes());
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let source = body(request);
    let Some(sink) = begin(out, 200, &[("content-type", "application/octet-stream")]) else {
        return;
    };
    let echoed = match (&source, sink.write()) {
        (Some((source, _)), Ok(stream)) => chunks(source, |chunk| {
            write(&stream, &chunk).map_err(|_| "the client is gone")
        }),
        _ => Ok(()),
    };
    // Without an end the response is broken off, as it is.
    if echoed.is_ok() {
        let _ = OutgoingBody::finish(sink, None);
    }
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    // WASI: at most 4096 bytes a call.
    for part in bytes.chunks(4096) {
        stream.blocking_write_and_flush(part)?;
    }
    Ok(())
}
