//! Answers HTTP by wasi:http 0.2, well or badly: the path says how. For `nexus-host serve`; tests/serve.rs asks.

// Natively there is nothing to export to, and no linker takes such names.
#![cfg(target_family = "wasm")]

use std::cell::Cell;

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

struct Probe;

wasip2::http::proxy::export!(Probe);

std::thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Probe {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        SERVED.set(SERVED.get() + 1);
        let path = request.path_with_query().unwrap_or_default();
        match path.as_str() {
            "/hello" => text(out, 200, &[], "hello from 0.2\n"),
            // How many requests this instance has had.
            "/served" => text(out, 200, &[], &SERVED.get().to_string()),
            "/seen" => {
                let method = format!("{:?}", request.method());
                let scheme = format!("{:?}", request.scheme());
                let mut seen = format!("{method} {scheme} {:?}\n", request.authority());
                for (name, value) in request.headers().entries() {
                    seen += &format!("{name}={}\n", String::from_utf8_lossy(&value));
                }
                text(out, 200, &[], &seen);
            }
            "/echo" => echo(&request, out),
            // As many bytes as a client that reads has to read.
            "/large" => {
                let body = begin(out, 200, &[]);
                let stream = body.write().expect("a stream");
                for _ in 0..1024 {
                    if write(&stream, &[b'x'; 4096]).is_err() {
                        return;
                    }
                }
                drop(stream);
                OutgoingBody::finish(body, None).expect("finishes");
            }
            "/never-reads" => text(out, 200, &[], "I did not listen\n"),
            "/trap" => panic!("as asked"),
            "/trap-in-body" => {
                let body = begin(out, 200, &[]);
                let stream = body.write().expect("a stream");
                write(&stream, b"the beginning of").expect("writes");
                panic!("as asked");
            }
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/sleep" => {
                monotonic_clock::subscribe_duration(3_600_000_000_000).block();
            }
            "/spin-in-body" => {
                let body = begin(out, 200, &[]);
                let stream = body.write().expect("a stream");
                write(&stream, b"the beginning of").expect("writes");
                loop {
                    std::hint::spin_loop();
                }
            }
            "/works-on" => {
                text(out, 200, &[], "done\n");
                loop {
                    std::hint::spin_loop();
                }
            }
            "/leak" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1_u8; 1 << 20]);
                }
            }
            "/never-answers" => {}
            "/keeps-the-parameter" => std::mem::forget(out),
            "/answers-an-error" => {
                let why = "as asked".to_owned();
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(why))));
            }
            "/long-body" => {
                let body = begin(out, 200, &[("content-length", "2")]);
                let stream = body.write().expect("a stream");
                let _ = write(&stream, b"more");
                drop(stream);
                let _ = OutgoingBody::finish(body, None);
            }
            "/short-body" => {
                let body = begin(out, 200, &[("content-length", "100")]);
                let stream = body.write().expect("a stream");
                let _ = write(&stream, b"less");
                drop(stream);
                let _ = OutgoingBody::finish(body, None);
            }
            "/length-without-body" => {
                let headers = fields(&[("content-length", "100")]);
                ResponseOutparam::set(out, Ok(OutgoingResponse::new(headers)));
            }
            "/informational" => {
                let response = OutgoingResponse::new(Fields::new());
                response.set_status_code(103).expect("a status");
                ResponseOutparam::set(out, Ok(response));
            }
            "/many-fields" => {
                let headers = Fields::new();
                for _ in 0..10_000 {
                    // 0.2 has no word for it: the host ends us.
                    headers.append("x-filler", &[b'x'; 100]).expect("fields");
                }
            }
            "/bad-fields" => text(out, 200, &[], &bad_fields()),
            _ => text(out, 404, &[], "no such probe\n"),
        }
    }
}

/// What the host says to fields that no message may have.
fn bad_fields() -> String {
    let tries: [(&str, &[u8]); 6] = [
        ("a b", b"c"),
        ("x", b"a\r\nset-cookie: b"),
        ("x", b"a\0b"),
        ("", b"c"),
        ("connection", b"close"),
        ("transfer-encoding", b"chunked"),
    ];
    let mut said = String::new();
    for (name, value) in tries {
        let tried = Fields::new().append(name, value);
        said += &format!("{name:?} {:?}\n", tried.err());
    }
    said
}

fn fields(list: &[(&str, &str)]) -> Fields {
    let headers = Fields::new();
    for (name, value) in list {
        headers.append(name, value.as_bytes()).expect("a field");
    }
    headers
}

fn begin(out: ResponseOutparam, status: u16, list: &[(&str, &str)]) -> OutgoingBody {
    let response = OutgoingResponse::new(fields(list));
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn text(out: ResponseOutparam, status: u16, list: &[(&str, &str)], text: &str) {
    let body = begin(out, status, list);
    let stream = body.write().expect("a stream");
    // The client may be gone.
    let _ = write(&stream, text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let source = request.consume().expect("a body");
    let source_stream = source.stream().expect("a stream");
    let mut bytes = Vec::new();
    loop {
        match source_stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return text(out, 400, &[], "broke off\n"),
        }
    }
    let body = begin(out, 200, &[]);
    let stream = body.write().expect("a stream");
    let _ = write(&stream, &bytes);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    for part in bytes.chunks(4096) {
        stream.blocking_write_and_flush(part)?;
    }
    Ok(())
}
