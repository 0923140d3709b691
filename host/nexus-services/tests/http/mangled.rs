//! Responses, mangled at random: whatever comes, the client ends, in bounded memory, with a body or an error.

use allocation_counter::measure;
use nexus_services::http::{Coding, Error, Options};

use crate::support::{World, get_with};

/// As in `memory`, and what the answers themselves take.
const MOST: u64 = 400 << 10;

/// A generator whose every run is the same.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

/// What is mangled: a response in each framing, and interim ones.
fn whole() -> Vec<Vec<u8>> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&b"a body, and again a body".repeat(20))
        .unwrap();
    let gzip = gzip.finish().unwrap();
    let coded = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        gzip.len()
    );
    let mut answers: Vec<Vec<u8>> = [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: y\r\n\r\nsome body",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nsome\r\n5\r\n body\r\n0\r\nt: u\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome body",
        "HTTP/1.0 404 Not Found\r\n\r\nsome body",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ]
    .map(|answer| answer.as_bytes().to_vec())
    .into();
    answers.push([coded.as_bytes(), &gzip].concat());
    answers
}

fn mangle(answer: &mut Vec<u8>, whole: &[Vec<u8>], dice: &mut Dice) {
    const TOKENS: [&[u8]; 12] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"0",
        b"ffffffffffffffff",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\r\n\r\n",
        b":",
    ];
    for _ in 0..=dice.below(4) {
        let at = dice.below(answer.len() + 1);
        match dice.below(6) {
            0 => answer.truncate(at),
            1 if at < answer.len() => answer[at] ^= 1 << dice.below(8),
            2 if at < answer.len() => drop(answer.remove(at)),
            3 => {
                let token = TOKENS[dice.below(TOKENS.len())];
                answer.splice(at..at, token.iter().copied());
            }
            4 => {
                let other = &whole[dice.below(whole.len())];
                let from = dice.below(other.len());
                answer.splice(at..at, other[from..].iter().copied());
            }
            _ => {
                let piece = answer[at..].to_vec();
                let many = dice.below(50);
                (0..many).for_each(|_| answer.extend_from_slice(&piece[..piece.len().min(40)]));
            }
        }
    }
}

/// Goal: no response makes the client panic, hang or hold much. Method: 20,000 mangled ones, closed or left open; what
/// was read without an error is never more than was sent, or decoded from it.
#[test]
fn reject_mangled_responses_in_bounded_memory() {
    let (whole, mut dice) = (whole(), Dice(7));
    let (mut read, mut failed) = (0, 0);
    for round in 0..20_000 {
        let mut answer = whole[dice.below(whole.len())].clone();
        mangle(&mut answer, &whole, &mut dice);
        let (sent, closes) = (answer.len(), dice.below(2) == 0);
        let mut result = None;
        let used = measure(|| {
            let options = Options {
                coding: Coding::Gzip,
                ..Options::default()
            };
            let world = World::answering(answer, closes);
            result = Some(world.fetch(get_with("http://server.example/", options)));
        });
        assert!(
            used.bytes_max < MOST,
            "round {round}: {} bytes",
            used.bytes_max
        );
        match result.unwrap() {
            Ok((_, body)) => {
                assert!(body.len() <= sent.max(480), "round {round}");
                read += 1;
            }
            Err(error) => {
                assert_ne!(error, Error::Internal, "round {round}");
                failed += 1;
            }
        }
    }
    // Both ends are reached, or this tests little.
    assert!(
        read > 2_000 && failed > 5_000,
        "{read} read, {failed} failed"
    );
}
