//! The requests themselves.

use std::time::Instant;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

use crate::options::Options;
use crate::tally::Tally;

/// What one read takes.
const READ_BYTES: u64 = 64 << 10;

/// A host that answers nothing any more is not asked for ever.
const FAILED_MAX: u64 = 1_000_000;

pub(crate) fn run(options: &Options) -> Tally {
    let mut tally = Tally::default();
    let began = Instant::now();
    let mut asked = 0;
    let mut failed = 0;
    while asked < options.requests && began.elapsed() < options.time && failed < FAILED_MAX {
        let sent = Instant::now();
        match once(options) {
            Ok(bytes) => tally.add(bytes, sent.elapsed()),
            Err(why) => {
                failed += 1;
                tally.fail(why);
            }
        }
        asked += 1;
    }
    tally.end(began.elapsed());
    tally
}

/// One request; the length of its response.
fn once(options: &Options) -> Result<u64, String> {
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if options.https {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(Some(&options.authority)))
        .and_then(|()| request.set_path_with_query(Some(&options.path)));
    set.map_err(|()| "the host does not take the URL".to_owned())?;
    let said = |code| format!("{code:?}");
    let future = outgoing_handler::handle(request, None).map_err(said)?;
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(said(code)),
        Some(Err(())) | None => return Err("a response that is ready is not there".into()),
    };
    if response.status() != 200 {
        return Err(format!("the server answered {}", response.status()));
    }
    let body = response.consume().map_err(|()| "no body".to_owned())?;
    let stream = body.stream().map_err(|()| "no stream".to_owned())?;
    let mut bytes = 0;
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(read) => bytes += read.len() as u64,
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(bytes)
}
