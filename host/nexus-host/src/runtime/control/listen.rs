//! The host's end: makes the socket, and hands what is asked to the shard.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, select};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::folder::{Folder, Name};
use super::wire::{self, within};
use super::{Answer, Request};

/// Clients at once; of more, the next waits until one is done. Stops them from using up the host's descriptors.
const CLIENTS_MAX: usize = 16;
/// How long nobody is taken after that failed: where there are no descriptors it fails again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the end of a host waits for clients it has taken: what they asked for may have ended its app, and with it
/// the host.
const ENDING_TIME: Duration = Duration::from_millis(500);

/// A request on its way to the shard, and where its answer goes.
pub struct Asked {
    /// What.
    pub request: Request,
    answer: oneshot::Sender<Answer>,
}

impl Asked {
    /// Answers.
    pub fn answer(self, answer: Answer) {
        // Who asked may have given up.
        let _ = self.answer.send(answer);
    }
}

/// The socket of this process; it is gone when this is dropped.
pub struct Control {
    folder: Folder,
    name: Name,
    inode: u64,
    /// Ends the thread when it is dropped.
    listening: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.folder.remove(&self.name.socket(), self.inode);
        self.listening = None;
        if let Some(thread) = self.thread.take() {
            // It takes nobody any more, and panics for nothing that is sent to it.
            let _ = thread.join();
        }
    }
}

impl Control {
    /// Makes the socket, and hands what is asked to the receiver.
    ///
    /// # Errors
    /// What the OS says; the folder is not ours.
    pub fn listen(state: &Path) -> io::Result<(Self, mpsc::UnboundedReceiver<Asked>)> {
        let folder = Folder::make(state)?;
        let name = Name::draw()?;
        // Under another name until it listens: a host's socket that refuses is one of a host that has ended.
        let new = name.new_socket();
        let listener = UnixListener::bind(folder.path(&new))?;
        listener.set_nonblocking(true)?;
        let inode = folder.inode(&new).ok_or(io::ErrorKind::NotFound)?;
        folder.close_to_others(&new)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        folder.rename(&new, &name.socket())?;
        let (sender, receiver) = mpsc::unbounded();
        let (listening, end) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("nexus-control".into())
            .spawn(move || {
                runtime.block_on(async move {
                    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
                    let taking = Box::pin(take(listener, sender, Arc::clone(&places)));
                    if let Either::Left((Err(error), _)) = select(taking, end).await {
                        tracing::warn!(%error, "nobody can ask this host any more");
                    }
                    let answered = async {
                        let all = places.acquire_many(CLIENTS_MAX as u32).await;
                        all.map(drop).map_err(io::Error::other)
                    };
                    let _ = within(ENDING_TIME, answered).await;
                });
            });
        let control = Self {
            folder,
            name,
            inode,
            listening: Some(listening),
            thread: Some(thread?),
        };
        Ok((control, receiver))
    }

    /// What the socket is called.
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        self.name.socket()
    }
}

/// Takes clients for ever.
async fn take(
    listener: UnixListener,
    sender: mpsc::UnboundedSender<Asked>,
    places: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        match listener.accept().await {
            Ok((client, _)) => {
                let sender = sender.clone();
                drop(tokio::spawn(async move {
                    // A client that is slow, or not who it should be, is its own fault.
                    let _ = serve(client, &sender).await;
                    drop(place);
                }));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn serve(mut client: UnixStream, sender: &mpsc::UnboundedSender<Asked>) -> io::Result<()> {
    wire::check_peer(&client)?;
    let line = wire::read_line(&mut client, wire::REQUEST_BYTES_MAX);
    let line = within(wire::CLIENT_TIME, line).await?;
    let answer = match serde_json::from_slice(&line) {
        Err(error) => Answer {
            ok: false,
            text: format!("this is no request: {error}"),
            ended: 0,
        },
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
            let asked = Asked { request, answer };
            sender.unbounded_send(asked).map_err(|_| gone())?;
            let answered = async { answered.await.map_err(|_| gone()) };
            within(wire::ANSWER_TIME, answered).await?
        }
    };
    let written = wire::write_line(&mut client, &answer);
    within(wire::CLIENT_TIME, written).await
}
