//! `burst` over `nexus:net`: see `measure`.

mod measure;
mod options;
mod report;

use core::net::SocketAddr;
use core::time::Duration;

use nexus_sdk::svc::net::{Receiver, Sender, TcpListener, TcpStream};
use nexus_sdk::svc::time;
use nexus_sdk::{Error, args};

use crate::measure::{Binding, Connection, Listener};
use crate::options::{Io, Options};

async fn run() -> Result<(), String> {
    let options = Options::parse(&args(), Nexus::NAME)?;
    measure::run::<Nexus>(&options).await
}

struct Nexus;

impl Binding for Nexus {
    const NAME: &'static str = "nexus:net";
    type Connection = Flow;
    type Listener = TcpListener;

    fn now() -> Duration {
        Duration::from_nanos(time::now().as_nanos())
    }

    async fn pause(duration: Duration) {
        time::sleep(duration).await;
    }

    async fn connect(remote: &str, io: Io) -> Result<Flow, String> {
        let stream = TcpStream::connect(remote).await.map_err(text)?;
        Flow::new(stream, io).map_err(text)
    }

    async fn listen(local: SocketAddr) -> Result<TcpListener, String> {
        TcpListener::bind(local).await.map_err(text)
    }
}

impl Listener<Flow> for TcpListener {
    fn local(&self) -> Result<SocketAddr, String> {
        Ok(self.local_addr())
    }

    async fn accept(&mut self, io: Io) -> Result<Flow, String> {
        let stream = TcpListener::accept(self).await.map_err(text)?;
        Flow::new(stream, io).map_err(text)
    }
}

/// A connection, used one way or the other.
enum Flow {
    Calls(TcpStream),
    Streams(Receiver, Option<Sender>),
}

impl Flow {
    fn new(stream: TcpStream, io: Io) -> Result<Self, Error> {
        Ok(match io {
            Io::Calls => Self::Calls(stream),
            Io::Streams => {
                let (receiver, sender) = stream.into_streams()?;
                Self::Streams(receiver, Some(sender))
            }
        })
    }
}

impl Connection for Flow {
    async fn read(&mut self, buffer: &mut Vec<u8>, max: usize) -> Result<usize, String> {
        match self {
            Self::Calls(stream) => *buffer = stream.read(max).await.map_err(text)?,
            Self::Streams(receiver, _) => {
                let mut room = core::mem::take(buffer);
                room.clear();
                room.reserve_exact(max);
                *buffer = receiver.read(room).await.map_err(text)?;
            }
        }
        Ok(buffer.len())
    }

    async fn write(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Calls(stream) => stream.write_all(bytes.as_slice()).await.map_err(text),
            Self::Streams(_, Some(sender)) => {
                let length = bytes.len();
                *bytes = sender
                    .write_all(core::mem::take(bytes))
                    .await
                    .map_err(text)?;
                // It comes back empty, and filling it costs a little: `std::net` sends the same one again.
                bytes.resize(length, 0x5a);
                Ok(())
            }
            Self::Streams(_, None) => Err("written after the end".into()),
        }
    }

    async fn finish(&mut self) -> Result<(), String> {
        match self {
            Self::Calls(stream) => stream.finish().map_err(text),
            Self::Streams(_, sender) => match sender.take() {
                Some(sender) => sender.finish().await.map_err(text),
                None => Ok(()),
            },
        }
    }
}

fn text(error: Error) -> String {
    error.to_string()
}

nexus_sdk::main!(run);
