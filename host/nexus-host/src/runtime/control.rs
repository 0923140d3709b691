//! The socket by which the operator speaks with a running host: `STATE/control/PID.sock`.
//!
//! Who may write the socket may ask: it lies in a folder of the user's own (0700), is itself 0600, and the kernel's
//! word on who is at the other end is looked at as well. One line of JSON in, one out; one client at a time, each for a
//! bounded time. A thread of its own takes requests; the shard's thread does what is asked.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures::channel::mpsc as tasks;
use serde::{Deserialize, Serialize};

/// The longest request and the longest answer. A hostile client of the same user could write for ever.
pub const LINE_BYTES_MAX: u64 = nexus_types::limits::CONTROL_LINE_BYTES;
/// How long a client may take to say what it wants, and to take the answer.
const CLIENT_TIME: Duration = Duration::from_secs(2);
/// How long the shard may take. It is longer than any turn of its guests.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Request {
    /// Read the policy and the answers of persons anew.
    ReloadPolicy,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// What became of it, for people.
    pub text: String,
    /// How many open handles ended.
    #[serde(default)]
    pub ended: u64,
}

/// A request on its way to the shard, and where its answer goes.
pub struct Asked {
    /// What.
    pub request: Request,
    answer: mpsc::Sender<Answer>,
}

impl Asked {
    /// Answers.
    pub fn answer(self, answer: Answer) {
        // Who asked may have given up.
        let _ = self.answer.send(answer);
    }
}

/// The folder of the sockets.
pub fn folder(state: &Path) -> PathBuf {
    state.join("control")
}

/// The socket of this process; it is gone when this is dropped.
pub struct Control {
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Control {
    /// Makes the socket, and hands what is asked to the receiver.
    ///
    /// # Errors
    /// What the OS says: the folder is not ours, the path is longer than a socket's may be.
    pub fn listen(state: &Path) -> io::Result<(Self, tasks::UnboundedReceiver<Asked>)> {
        let folder = folder(state);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let path = folder.join(format!("{}.sock", std::process::id()));
        // A process of the same number that has ended may have left one.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let control = Self { path };
        fs::set_permissions(&control.path, fs::Permissions::from_mode(0o600))?;
        let (sender, receiver) = tasks::unbounded();
        thread::Builder::new()
            .name("nexus-control".into())
            .spawn(move || {
                for client in listener.incoming().flatten() {
                    // A client that is slow, or not who it should be, is its own fault.
                    let _ = serve(client, &sender);
                }
            })?;
        Ok((control, receiver))
    }
}

fn serve(client: UnixStream, sender: &tasks::UnboundedSender<Asked>) -> io::Result<()> {
    client.set_read_timeout(Some(CLIENT_TIME))?;
    client.set_write_timeout(Some(CLIENT_TIME))?;
    let uid = rustix::net::sockopt::socket_peercred(&client)?.uid;
    if uid != rustix::process::geteuid() && !uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut line = String::new();
    BufReader::new((&client).take(LINE_BYTES_MAX)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Err(error) => Answer {
            ok: false,
            text: format!("this is no request: {error}"),
            ended: 0,
        },
        Ok(request) => {
            let (answer, answered) = mpsc::channel();
            let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            sender
                .unbounded_send(Asked { request, answer })
                .map_err(|_| gone(()))?;
            answered.recv_timeout(ANSWER_TIME).map_err(|_| gone(()))?
        }
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    (&client).write_all(text.as_bytes())
}

/// Asks the host behind a socket.
///
/// # Errors
/// Nobody is there, or the answer is none.
pub fn ask(socket: &Path, request: Request) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIME + CLIENT_TIME))?;
    stream.set_write_timeout(Some(CLIENT_TIME))?;
    let mut text = serde_json::to_string(&request)?;
    text.push('\n');
    (&stream).write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new((&stream).take(LINE_BYTES_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;

    fn hosted(place: &Path) -> Control {
        let (control, mut asked) = Control::listen(place).expect("listens");
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("a runtime").block_on(async move {
                while let Some(asked) = asked.next().await {
                    let text = format!("{:?}", asked.request);
                    asked.answer(Answer {
                        ok: true,
                        text,
                        ended: 3,
                    });
                }
            });
        });
        control
    }

    /// Goal: what is asked is answered, and rubbish does not end the service. Method: a host that answers what it heard.
    #[test]
    fn what_is_asked_is_answered() {
        let place = tempfile::tempdir().expect("a folder");
        let control = hosted(place.path());
        let rubbish = UnixStream::connect(&control.path).expect("connects");
        (&rubbish)
            .write_all(b"{\"do\":\"format-disk\"}\n")
            .expect("written");
        let mut line = String::new();
        BufReader::new(&rubbish).read_line(&mut line).expect("read");
        assert!(line.contains("\"ok\":false"), "{line}");
        let answer = ask(&control.path, Request::ReloadPolicy).expect("answered");
        assert_eq!((answer.text.as_str(), answer.ended), ("ReloadPolicy", 3));
    }

    /// Goal: nobody else may ask. Method: the modes; a client of another user cannot be made without root.
    #[test]
    fn reject_others_by_the_files_modes() {
        let place = tempfile::tempdir().expect("a folder");
        let control = hosted(place.path());
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&control.path), 0o600);
        assert_eq!(mode(&folder(place.path())), 0o700);
        let path = control.path.clone();
        drop(control);
        assert!(!path.exists(), "and it goes with the host");
    }
}
