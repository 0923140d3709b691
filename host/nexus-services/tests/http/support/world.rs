//! Tasks in turn and a clock that jumps to the next alarm when nothing can run.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use nexus_services::http::{Caller, Client, Error, Request, Response};
use nexus_types::{InstanceId, Instant, Seed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::net::{Fake, Stream};

/// What a server does with a connection.
pub(crate) type Script = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tasks that can run, by number.
type Queue = Arc<Mutex<VecDeque<usize>>>;

struct Woken {
    task: usize,
    queue: Queue,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let mut queue = self.queue.lock().unwrap();
        if !queue.contains(&self.task) {
            queue.push_back(self.task);
        }
    }
}

/// A client and the world around it.
pub(crate) struct World {
    pub(crate) net: Arc<Fake>,
    pub(crate) client: Client<Fake>,
    queue: Queue,
    scripts: Mutex<Vec<Option<Script>>>,
}

impl World {
    /// Nobody is there yet; everything is permitted, and every name leads to an address of its own.
    pub(crate) fn new() -> Self {
        let net = Arc::new(Fake::new());
        let client = Client::new(net.clone(), &Seed::from_number(1));
        Self {
            net,
            client,
            queue: Queue::default(),
            scripts: Mutex::default(),
        }
    }

    /// One server for all names and ports: reads a request's head, writes `answer`, and closes if `closes`, or
    /// else reads the next.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>, closes: bool) -> Self {
        let world = Self::new();
        let answer = answer.into();
        world.net.serve(move |mut stream| {
            let answer = answer.clone();
            Box::pin(async move {
                while !head(&mut stream).await.is_empty() {
                    let _ = stream.write_all(&answer).await;
                    if closes {
                        return;
                    }
                }
            })
        });
        world
    }

    /// As `answering`, but whole exchanges: an answer a request, one after the other, on any connection.
    pub(crate) fn answering_each(answers: &[&str]) -> Self {
        let world = Self::new();
        let answers: Arc<Mutex<VecDeque<String>>> = Arc::new(Mutex::new(
            answers.iter().map(|answer| (*answer).to_owned()).collect(),
        ));
        world.net.serve(move |mut stream| {
            let answers = answers.clone();
            Box::pin(async move {
                while !head(&mut stream).await.is_empty() {
                    let Some(answer) = answers.lock().unwrap().pop_front() else {
                        return;
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            })
        });
        world
    }

    /// Runs `future` and whatever servers do, until it is done; what servers do goes on the next time.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let main = self.waker(0);
        main.wake_by_ref();
        for _ in 0..5_000_000 {
            let task = self.queue.lock().unwrap().pop_front();
            match task {
                Some(0) => {
                    let mut cx = Context::from_waker(&main);
                    if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                        return output;
                    }
                }
                Some(task) => {
                    let waker = self.waker(task);
                    let script = &mut self.scripts.lock().unwrap()[task - 1];
                    if let Some(running) = script
                        && running
                            .as_mut()
                            .poll(&mut Context::from_waker(&waker))
                            .is_ready()
                    {
                        *script = None;
                    }
                }
                None => assert!(self.net.jump(), "nothing can run, and nothing is due"),
            }
            for script in self.net.accepted() {
                let mut scripts = self.scripts.lock().unwrap();
                scripts.push(Some(script));
                self.queue.lock().unwrap().push_back(scripts.len());
            }
        }
        panic!("this runs for ever");
    }

    fn waker(&self, task: usize) -> Waker {
        let queue = self.queue.clone();
        Waker::from(Arc::new(Woken { task, queue }))
    }

    /// Asks in the name of an app.
    pub(crate) fn ask(
        &self,
        app: u64,
        request: Request,
    ) -> impl Future<Output = Result<Response<Fake>, Error>> + Send + use<> {
        self.client.request(Caller(InstanceId(app)), request)
    }

    /// Asks, and reads the body.
    pub(crate) fn fetch(&self, request: Request) -> Result<(u16, Vec<u8>), Error> {
        let asked = self.ask(super::APP, request);
        self.run(async {
            let response = asked.await?;
            let status = response.status.as_u16();
            Ok((status, super::body(response).await?))
        })
    }

    /// Gets `http://server.example/` and reads the body.
    pub(crate) fn get(&self) -> Result<(u16, Vec<u8>), Error> {
        self.fetch(Request::new("GET", "http://server.example/"))
    }

    /// The error of getting it.
    pub(crate) fn refused(&self) -> Error {
        self.get().expect_err("this has to be refused")
    }

    /// Seconds since the world began, whole ones.
    pub(crate) fn seconds(&self) -> u64 {
        self.net.time().saturating_since(Instant::ZERO).as_secs()
    }
}

/// Reads a request's head; empty if the connection ended first.
pub(crate) async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Keeps a connection open until the client closes it.
pub(crate) async fn hold(mut stream: Stream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}
