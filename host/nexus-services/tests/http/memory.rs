//! What the worst servers cost: the most that is held at once while a client reads what they send.

use std::io::Write;

use allocation_counter::measure;
use nexus_services::http::{Coding, Error, Options, Request};
use tokio::io::AsyncWriteExt;

use crate::support::world::head;
use crate::support::{World, body, get_with};

/// The most a request may hold: hyper's buffer both ways (64 KiB), the filter's (16 KiB), the stream's own in these
/// tests (64 KiB each way), a decoder (some 64 KiB), and the small change of futures and tables.
const MOST: u64 = 300 << 10;

/// Asks a server that writes `start` and then `piece` for ever, and drops what it reads.
fn flood(start: &[u8], piece: &[u8]) -> (Error, u64) {
    let world = World::new();
    let (start, piece) = (start.to_vec(), piece.to_vec());
    let piece = bytes::Bytes::from(piece.repeat(4_096 / piece.len()));
    world.net.serve(move |mut stream| {
        let (start, piece) = (start.clone(), piece.clone());
        Box::pin(async move {
            head(&mut stream).await;
            let _ = stream.write_all(&start).await;
            while stream.write_all(&piece).await.is_ok() {}
        })
    });
    let mut result = None;
    let used = measure(|| {
        use http_body_util::BodyExt;
        let options = Options {
            coding: Coding::Gzip,
            ..Options::default()
        };
        let asked = world.ask(1, get_with("http://server.example/", options));
        result = Some(world.run(async {
            let mut body = asked.await?.body;
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok(())
        }));
    });
    (result.unwrap().unwrap_err(), used.bytes_max)
}

/// Goal: no flood fills memory, whatever it is made of. Method: each one without end, the most held at once counted by
/// the allocator.
#[test]
fn reject_floods_in_bounded_memory() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 10 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let gzip = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (name, start, piece) in [
        ("headers", b"HTTP/1.1 200 OK\r\n".to_vec(), &b"a: b\r\n"[..]),
        ("a header's value", b"HTTP/1.1 200 OK\r\na: ".to_vec(), b"a"),
        ("a status line", b"HTTP/1.1 200 ".to_vec(), b"a"),
        (
            "interim responses",
            Vec::new(),
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ),
        ("a chunk's size", chunked.as_bytes().to_vec(), b"0"),
        (
            "a chunk's extension",
            (chunked.to_owned() + "1;").into_bytes(),
            b"a",
        ),
        (
            "trailers",
            (chunked.to_owned() + "0\r\n").into_bytes(),
            b"a: b\r\n",
        ),
        (
            "a trailer's value",
            (chunked.to_owned() + "0\r\na: ").into_bytes(),
            b"a",
        ),
        ("a gzip bomb", [gzip.as_slice(), &bomb].concat(), b"\0"),
        (
            "a gzip header",
            [gzip.as_slice(), b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"].concat(),
            b"n",
        ),
        ("a body", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), b"body"),
    ] {
        let (error, most) = flood(&start, piece);
        println!("{name}: {error}: {most} bytes at most");
        assert!(most < MOST, "{name}: {most} bytes");
    }
}

/// Goal: a head that an app keeps costs what it says, and not the buffer it was read into. Method: 16 small heads before
/// bodies larger than that buffer are kept, and the allocator says how much comes back when they are dropped.
#[test]
fn reject_heads_that_hold_the_buffer_they_came_in() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 40000\r\na: b\r\nset-cookie: c=d\r\nset-cookie: e=f\r\n\r\n";
    let answer = [head.as_bytes(), &[b'x'; 40_000]].concat();
    let world = World::answering(answer, false);
    let kept: Vec<_> = (0..16)
        .map(|_| {
            let asked = world.ask(1, Request::new("GET", "http://server.example/"));
            world.run(async {
                let mut response = asked.await.unwrap();
                let headers = std::mem::take(&mut response.headers);
                assert_eq!(body(response).await.unwrap().len(), 40_000);
                headers
            })
        })
        .collect();
    for headers in &kept {
        assert_eq!(headers["a"], "b");
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["c=d", "e=f"]);
    }
    let count = i64::try_from(kept.len()).unwrap();
    let each = -measure(|| drop(kept)).bytes_current / count;
    println!("{each} bytes a head");
    assert!((1..2_048).contains(&each), "{each} bytes a head");
}
