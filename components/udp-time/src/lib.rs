//! The Time protocol (RFC 868) over UDP: asks a server, and serves.
//!
//! `udp-time ask HOST[:PORT]` prints the server's time; `udp-time serve [ADDRESS:PORT]` serves ours, by
//! default on `0.0.0.0:3737`.

mod options;
mod protocol;

use core::time::Duration;
use std::time::SystemTime;

use nexus_sdk::svc::net::{DATAGRAMS_MAX, Datagram, Remote, UdpSocket};
use nexus_sdk::svc::time::timeout;
use nexus_sdk::{Error, ErrorCode, args};

use crate::options::Options;
use crate::protocol::Stamp;

/// How often a question is asked: a datagram may be lost.
const TRIES: usize = 3;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

async fn run() -> Result<(), Error> {
    let options = Options::parse(&args())
        .map_err(|why| Error::new(ErrorCode::InvalidArgument, "usage", why))?;
    match options {
        Options::Ask(remote) => {
            println!("{}", ask(remote).await?);
            Ok(())
        }
        Options::Serve(local) => {
            let socket = UdpSocket::bind(local).await?;
            println!("serving the time on {}", socket.local_addr());
            serve(socket).await
        }
    }
}

async fn ask(remote: Remote) -> Result<Stamp, Error> {
    let mut socket = UdpSocket::connect(remote).await?;
    let mut last = None;
    for _ in 0..TRIES {
        // RFC 868: "Send an empty datagram to port 37."
        socket.send([]).await?;
        match timeout(ANSWER_TIME_MAX, socket.recv()).await {
            Ok(answer) => {
                return Stamp::decode(&answer).ok_or_else(|| {
                    Error::new(
                        ErrorCode::Protocol,
                        "answer",
                        format!("an answer of {} bytes is not a time", answer.len()),
                    )
                });
            }
            Err(error) if error.code() == ErrorCode::Deadline => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorCode::Internal, "no-try", "")))
}

async fn serve(mut socket: UdpSocket) -> Result<(), Error> {
    loop {
        let questions = match socket.recv_batch(DATAGRAMS_MAX).await {
            Ok(questions) => questions,
            // Somebody we answered is gone: the others are not.
            Err(error) if matches!(error.code(), ErrorCode::Refused | ErrorCode::Unreachable) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let answer = Stamp::of(SystemTime::now());
        let mut answers: Vec<_> = questions
            .into_iter()
            // Only an empty datagram is a question: two servers must not answer each other for ever.
            .filter(|question| question.data.is_empty())
            .map(|question| Datagram {
                data: answer.encode().to_vec(),
                remote: question.remote,
            })
            .collect();
        while !answers.is_empty() {
            let sent = match socket.send_batch(answers.clone()).await {
                Ok(sent) => sent,
                // The first of the rest cannot be sent: it is dropped, as datagrams may be.
                Err(error) if error.is_transient() => 1,
                Err(error) => return Err(error),
            };
            answers.drain(..sent.clamp(1, answers.len()));
        }
    }
}

nexus_sdk::main!(run);
