//! Answers HTTP by wasi:http 0.3, well or badly: the path says how. For `nexus-host serve`; tests/serve.rs asks.

// Natively there is nothing to export to, and no linker takes such names.
#![cfg(target_family = "wasm")]

use std::cell::Cell;

use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Probe;

wasip3::http::service::export!(Probe);

std::thread_local! {
    static SERVED: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Probe {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        SERVED.set(SERVED.get() + 1);
        let path = request.get_path_with_query().unwrap_or_default();
        Ok(match path.as_str() {
            "/hello" => text(200, &[], "hello from 0.3\n"),
            // How many requests this instance has had.
            "/served" => text(200, &[], &SERVED.get().to_string()),
            "/seen" => {
                let method = format!("{:?}", request.get_method());
                let scheme = format!("{:?}", request.get_scheme());
                let mut seen = format!("{method} {scheme} {:?}\n", request.get_authority());
                for (name, value) in request.get_headers().copy_all() {
                    seen += &format!("{name}={}\n", String::from_utf8_lossy(&value));
                }
                text(200, &[], &seen)
            }
            "/echo" => {
                let (_, told) = wit_future::new(|| Ok(()));
                let (body, _) = Request::consume_body(request, told);
                let bytes = body.collect().await;
                response(200, &[], bytes, Then::End)
            }
            "/large" => response(200, &[], vec![b'x'; 4 << 20], Then::End),
            "/never-reads" => text(200, &[], "I did not listen\n"),
            "/trap" => panic!("as asked"),
            "/trap-in-body" => response(200, &[], b"the beginning of".to_vec(), Then::Trap),
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/sleep" => {
                monotonic_clock::wait_for(3_600_000_000_000).await;
                text(200, &[], "awake\n")
            }
            // Long enough for others to come.
            "/nap" => {
                monotonic_clock::wait_for(200_000_000).await;
                text(200, &[], "awake\n")
            }
            "/spin-in-body" => response(200, &[], b"the beginning of".to_vec(), Then::Spin),
            "/works-on" => {
                spawn_local(async {
                    monotonic_clock::wait_for(3_600_000_000_000).await;
                });
                text(200, &[], "done\n")
            }
            "/leak" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1_u8; 1 << 20]);
                }
            }
            "/answers-an-error" => return Err(ErrorCode::InternalError(Some("as asked".into()))),
            "/long-body" => {
                let two = [("content-length", "2")];
                response(200, &two, b"more".to_vec(), Then::End)
            }
            "/many-fields" => {
                let headers = Fields::new();
                let many = (0..10_000).find(|_| headers.append("x-filler", &[b'x'; 100]).is_err());
                text(
                    if many.is_some() { 500 } else { 200 },
                    &[],
                    "as many as may be\n",
                )
            }
            "/short-body" => response(
                200,
                &[("content-length", "100")],
                b"less".to_vec(),
                Then::End,
            ),
            "/length-without-body" => {
                let (_, trailers) = wit_future::new(|| Ok(None));
                let headers = fields(&[("content-length", "100")]);
                Response::new(headers, None, trailers).0
            }
            "/informational" => text(103, &[], ""),
            "/bad-fields" => text(200, &[], &bad_fields()),
            _ => text(404, &[], "no such probe\n"),
        })
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

/// What is done after the bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    End,
    Trap,
    Spin,
}

fn text(status: u16, list: &[(&str, &str)], text: &str) -> Response {
    response(status, list, text.as_bytes().to_vec(), Then::End)
}

fn response(status: u16, list: &[(&str, &str)], bytes: Vec<u8>, then: Then) -> Response {
    let (mut writer, body) = wit_stream::new();
    let (told, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields(list), Some(body), trailers);
    response.set_status_code(status).expect("a status");
    spawn_local(async move {
        // What is left over, the client did not want.
        let _ = writer.write_all(bytes).await;
        match then {
            Then::End => {}
            Then::Trap => panic!("as asked"),
            Then::Spin => loop {
                std::hint::spin_loop();
            },
        }
        drop(writer);
        let _ = told.write(Ok(None)).await;
    });
    response
}
