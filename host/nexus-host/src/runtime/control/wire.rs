//! Lines between the two, and who is at the other end.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The longest request. A hostile client of the same user could write for ever.
pub(super) const REQUEST_BYTES_MAX: u64 = nexus_types::limits::CONTROL_REQUEST_BYTES;
/// The longest answer: an error names a file, a line of it and what is wrong.
pub(super) const ANSWER_BYTES_MAX: u64 = nexus_types::limits::CONTROL_ANSWER_BYTES;
/// How long a client may take to say what it wants, all of it, and again to take the answer.
pub(super) const CLIENT_TIME: Duration = Duration::from_secs(2);
/// How long the shard may take. It is longer than any turn of its guests.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Whether the other end is of this user's, or root's. The kernel's word.
pub(super) fn check_peer(stream: &UnixStream) -> io::Result<()> {
    // Of its process nothing is asked: that may be one of another pid namespace, which has no number here.
    let uid = stream.peer_cred()?.uid();
    if uid == rustix::process::geteuid().as_raw() || uid == 0 {
        return Ok(());
    }
    let message = format!("belongs to user {uid}");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Reads a line, or what there was when it ended or became too long.
pub(super) async fn read_line(stream: &mut UnixStream, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut stream = stream.take(bytes_max);
    let mut line = Vec::new();
    while !line.contains(&b'\n') {
        if stream.read_buf(&mut line).await? == 0 {
            break;
        }
    }
    Ok(line)
}

/// Writes a line.
pub(super) async fn write_line(stream: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(what)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await
}

/// The same, for a bounded time.
pub(super) async fn within<T>(
    time: Duration,
    what: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout(time, what).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
