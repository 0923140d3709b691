//! The operator's end: finds the sockets, and asks all of them at once.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use tokio::net::UnixStream;

use super::folder::{Folder, Name};
use super::wire::{self, within};
use super::{Answer, Request};

/// How long a host that takes nobody yet is tried: its clients are many, or it is stopped.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// How long between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// What was heard of one host.
#[derive(Debug)]
pub struct Heard {
    /// Its process id, as it knows it.
    pub pid: u32,
    /// What it said.
    pub answer: io::Result<Answer>,
}

/// Asks the hosts of a state folder.
pub struct Asker(Option<Folder>);

impl Asker {
    /// Looks at the folder.
    ///
    /// # Errors
    /// It is not ours: whoever answered there could say what he likes.
    pub fn of(state: &Path) -> io::Result<Self> {
        Folder::find(state).map(Self)
    }

    /// Asks every host there, or the one of this process id. Who has ended without a word is no host.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn ask(&self, pid: Option<u32>, request: Request) -> io::Result<Vec<Heard>> {
        let Some(folder) = &self.0 else {
            return Ok(Vec::new());
        };
        let mut names = folder.names()?;
        names.retain(|name| pid.is_none_or(|only| only == name.pid));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let asked = names.iter().map(|name| one(folder, name, request));
        let heard = runtime.block_on(join_all(asked));
        Ok(heard.into_iter().flatten().collect())
    }
}

/// Asks one; none: nobody is there any more.
async fn one(folder: &Folder, name: &Name, request: Request) -> Option<Heard> {
    let socket = name.socket();
    // Before it is asked: one that has come since is not the one that refused.
    let inode = folder.inode(&socket)?;
    let answer = exchange(folder, &socket, request).await;
    if let Err(error) = &answer
        && matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        )
    {
        // It listened before it had this name: whose it was has ended.
        folder.remove(&socket, inode);
        return None;
    }
    let pid = name.pid;
    Some(Heard { pid, answer })
}

async fn exchange(folder: &Folder, socket: &str, request: Request) -> io::Result<Answer> {
    let connected = connect(folder, socket);
    let mut stream = within(CONNECT_TIME, connected).await?;
    wire::check_peer(&stream)?;
    let answer = async {
        wire::write_line(&mut stream, &request).await?;
        wire::read_line(&mut stream, wire::ANSWER_BYTES_MAX).await
    };
    let line = within(wire::ANSWER_TIME + 2 * wire::CLIENT_TIME, answer).await?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

/// Connects; where the kernel's queue is full it is tried again.
async fn connect(folder: &Folder, socket: &str) -> io::Result<UnixStream> {
    let path = folder.path(socket);
    loop {
        match UnixStream::connect(&path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}
