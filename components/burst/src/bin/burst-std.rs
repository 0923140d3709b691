//! `burst` over `std::net`: the same source with the other binding. Every call blocks, so every future is
//! ready when it is polled, and one connection is served at a time.

#[path = "../measure.rs"]
mod measure;
#[path = "../options.rs"]
mod options;
#[path = "../report.rs"]
mod report;

use core::future::Future;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use crate::measure::{Binding, Connection, Listener};
use crate::options::{Io, Options};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let run = async { measure::run::<Std>(&Options::parse(&args, Std::NAME)?).await };
    let result = match pin!(run).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err("a blocking call returned before it was done".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Std;

impl Binding for Std {
    const NAME: &'static str = "std::net";
    type Connection = TcpStream;
    type Listener = TcpListener;

    fn now() -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    async fn pause(time: Duration) {
        std::thread::sleep(time);
    }

    async fn connect(remote: &str, _: Io) -> Result<TcpStream, String> {
        let stream = TcpStream::connect(remote).map_err(text)?;
        // Not there in WASI, where the host decides; natively it is what a latency test means.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    async fn listen(local: SocketAddr) -> Result<TcpListener, String> {
        TcpListener::bind(local).map_err(text)
    }
}

impl Listener<TcpStream> for TcpListener {
    fn local(&self) -> Result<SocketAddr, String> {
        self.local_addr().map_err(text)
    }

    async fn accept(&mut self, _: Io) -> Result<TcpStream, String> {
        let (stream, _) = TcpListener::accept(self).map_err(text)?;
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Connection for TcpStream {
    async fn read(&mut self, buffer: &mut Vec<u8>, max: usize) -> Result<usize, String> {
        if buffer.len() < max {
            buffer.resize(max, 0);
        }
        Read::read(self, &mut buffer[..max]).map_err(text)
    }

    async fn write(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        self.write_all(bytes).map_err(text)
    }

    async fn finish(&mut self) -> Result<(), String> {
        self.shutdown(Shutdown::Write).map_err(text)
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
