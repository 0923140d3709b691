//! Negative list 2: gzip that is none, that is too much, or that nobody asked for.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use nexus_services::http::{BodyFault, Coding, Error, HeadFault, Options};
use nexus_types::limits;

use crate::support::{World, get_with};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn get(answer: Vec<u8>) -> Result<Vec<u8>, Error> {
    let options = Options {
        coding: Coding::Gzip,
        ..Options::default()
    };
    let world = World::answering(answer, true);
    world
        .fetch(get_with("http://server.example/", options))
        .map(|(_, body)| body)
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Goal: gzip that was asked for is taken off. Method: nothing, a little, much; with every part a header can have; in
/// chunks of one byte.
#[test]
fn gzip_is_taken_off() {
    for bytes in [0, 1, 1_000, 300_000] {
        let plain = noise(bytes);
        assert_eq!(get(answer("gzip", &gzip(&plain))).unwrap(), plain);
        assert_eq!(get(answer("X-GZIP", &gzip(&plain))).unwrap(), plain);
    }
    let mut full = vec![0x1f, 0x8b, 8, 0b1_1111, 0, 0, 0, 0, 0, 3];
    full.extend_from_slice(b"\x03\x00abc");
    full.extend_from_slice(b"name\0comment\0");
    full.extend_from_slice(b"\x12\x34");
    full.extend_from_slice(&gzip(b"body")[10..]);
    assert_eq!(get(answer("gzip", &full)).unwrap(), b"body");
    let mut chunked =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for byte in full {
        chunked.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(get(chunked).unwrap(), b"body");
}

/// Goal: blocks that decode to nothing are read over, and others have their turn meanwhile. Method: ten thousand of them,
/// in small chunks, before the body.
#[test]
fn empty_blocks_are_read_over() {
    let mut coded = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    coded.extend(b"\0\0\0\xff\xff".repeat(10_000));
    coded.extend_from_slice(&gzip(b"body")[10..]);
    let mut answer =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in coded.chunks(16) {
        answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend_from_slice(piece);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(get(answer).unwrap(), b"body");
}

/// Goal: a bomb is stopped by its ratio, long before its size. Method: 10 MiB of zeros; a body just within what is not
/// looked at passes.
#[test]
fn reject_gzip_bombs() {
    let bomb = gzip(&vec![0; 10 << 20]);
    assert_eq!(get(answer("gzip", &bomb)), Err(BodyFault::GzipRatio.into()));
    let free = limits::HTTP_GZIP_FREE_BYTES as usize;
    assert_eq!(
        get(answer("gzip", &gzip(&vec![0; free]))).unwrap().len(),
        free
    );
    assert_eq!(
        get(answer("gzip", &gzip(&vec![0; free + 1]))),
        Err(BodyFault::GzipRatio.into())
    );
}

/// Goal: the ratio is 100:1. Method: zeros behind as much noise as makes it just less, and just more.
#[test]
fn reject_ratios_past_their_bound() {
    let body = |zeros: usize| [noise(10_000), vec![0; zeros]].concat();
    for (zeros, passes) in [(900_000, true), (1_500_000, false)] {
        let coded = gzip(&body(zeros));
        let ratio = body(zeros).len() / coded.len();
        assert_eq!(ratio < 100, passes, "{ratio}");
        let result = get(answer("gzip", &coded));
        assert_eq!(result.is_ok(), passes);
    }
}

/// Goal: what is decoded is bounded as what is sent is. Method: a body at the limit and a byte over it, decoded.
#[test]
fn reject_decoded_bodies_past_their_bound() {
    let at = |bytes: usize| {
        let options = Options {
            coding: Coding::Gzip,
            ..Options::default()
        };
        let plain: Vec<u8> = noise(20_000).repeat(10)[..bytes].to_vec();
        let world = World::answering(answer("gzip", &gzip(&plain)), false);
        world.net.with(|net| net.limits.response_body = 150_000);
        world
            .fetch(get_with("http://server.example/", options))
            .map(|(_, body)| body.len())
    };
    assert_eq!(at(150_000), Ok(150_000));
    assert_eq!(at(150_001), Err(BodyFault::TooLarge.into()));
}

/// Goal: gzip that ends early is no body. Method: cut at every byte.
#[test]
fn reject_truncated_gzip() {
    let coded = gzip(b"some body or other");
    for end in 0..coded.len() {
        let error = get(answer("gzip", &coded[..end])).unwrap_err();
        assert_eq!(error, BodyFault::GzipTruncated.into(), "{end}");
    }
}

/// Goal: one member and nothing behind it. Method: another member, zeros, a byte.
#[test]
fn reject_what_follows_gzip() {
    let one = gzip(b"body");
    for tail in [gzip(b"more"), vec![0; 512], vec![b'x']] {
        let both = [one.clone(), tail].concat();
        assert_eq!(
            get(answer("gzip", &both)),
            Err(BodyFault::GzipTrailing.into())
        );
    }
}

/// Goal: gzip that is none is refused, and so is a wrong sum. Method: another format, reserved flags, broken bytes.
#[test]
fn reject_bad_gzip() {
    let good = gzip(&noise(500));
    let mut broken = Vec::new();
    for (at, with) in [
        (0, 0),
        (1, 0),
        (2, 7),
        (3, 0x20),
        (3, 0x80),
        (10, 0xff),
        (12, 0),
    ] {
        let mut bytes = good.clone();
        bytes[at] = with;
        broken.push(bytes);
    }
    for back in 1..=8 {
        let mut bytes = good.clone();
        let at = bytes.len() - back;
        bytes[at] ^= 1;
        broken.push(bytes);
    }
    broken.push(b"plain text, honestly".to_vec());
    for bytes in broken {
        let error = get(answer("gzip", &bytes)).unwrap_err();
        let faults = [
            BodyFault::Gzip,
            BodyFault::GzipTruncated,
            BodyFault::GzipTrailing,
        ];
        assert!(faults.map(Error::from).contains(&error), "{error:?}");
    }
}

/// Goal: a gzip header is bounded. Method: a file name at the bound, and one without end.
#[test]
fn reject_gzip_headers_past_their_bound() {
    let named = |name: usize| {
        let mut bytes = vec![0x1f, 0x8b, 8, 0b1000, 0, 0, 0, 0, 0, 3];
        bytes.extend(vec![b'n'; name]);
        bytes.push(0);
        bytes.extend_from_slice(&gzip(b"body")[10..]);
        get(answer("gzip", &bytes))
    };
    let most = limits::HTTP_GZIP_HEADER_BYTES - 11;
    assert_eq!(named(most).unwrap(), b"body");
    assert_eq!(named(most + 1), Err(BodyFault::Gzip.into()));
}

/// Goal: one coding, one that was asked for. Method: others, two, gzip in gzip under one name, gzip unasked.
#[test]
fn reject_other_codings() {
    let body = gzip(b"body");
    for coding in [
        "br",
        "deflate",
        "compress",
        "zstd",
        "gzip, gzip",
        "gzip,identity",
        "gzip\r\ncontent-encoding: gzip",
        "",
        "gz",
    ] {
        assert_eq!(
            get(answer(coding, &body)),
            Err(HeadFault::Coding.into()),
            "{coding:?}"
        );
    }
    assert_eq!(
        World::answering(answer("gzip", &body), false).refused(),
        HeadFault::Coding.into()
    );
    // Nested without a word: what is inside is the body.
    assert_eq!(get(answer("gzip", &gzip(&body))).unwrap(), body);
    assert_eq!(get(answer("identity", b"body")).unwrap(), b"body");
}
