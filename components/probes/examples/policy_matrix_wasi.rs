//! As `policy_matrix`, over `wasi:sockets` and `wasi:http` 0.2 alone: a program with nothing of ours in it.
//!
//! `N VERB ok SAID` or `N VERB WORD`, the word being the WIT's, then `alive`.

// Natively there is nothing to export to, and no linker takes such names.
#![cfg(target_family = "wasm")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    Network,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// What it says of an act that failed: a word of the WIT's.
type Acted = Result<String, String>;

/// A connection. What is a child of the socket goes first.
struct Stream {
    input: InputStream,
    output: OutputStream,
    _socket: TcpSocket,
}

/// A bound UDP socket, and its streams once it has some.
struct Udp {
    streams: Option<(IncomingDatagramStream, OutgoingDatagramStream)>,
    socket: UdpSocket,
}

/// What it has open. Acts on a handle are on the one opened last; all stay open to the end.
struct Held {
    secret: String,
    network: Network,
    streams: Vec<Stream>,
    listeners: Vec<TcpSocket>,
    bound: Vec<TcpSocket>,
    sockets: Vec<Udp>,
}

fn usage(why: &str) -> String {
    format!("the-matrix-is-wrong: {why}")
}

fn word(code: ErrorCode) -> String {
    code.name().to_owned()
}

fn broken(error: StreamError) -> String {
    match error {
        StreamError::Closed => "stream-closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    }
}

fn last<T>(list: &mut [T]) -> Result<&mut T, String> {
    list.last_mut().ok_or_else(|| usage("nothing is open"))
}

fn at(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| usage("no address"))
}

fn family(address: SocketAddr) -> IpAddressFamily {
    match address {
        SocketAddr::V4(_) => IpAddressFamily::Ipv4,
        SocketAddr::V6(_) => IpAddressFamily::Ipv6,
    }
}

fn wit(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: v4.port(),
                address: (a, b, c, d),
            })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: 0,
                address: (a, b, c, d, e, f, g, h),
                scope_id: 0,
            })
        }
    }
}

fn shown(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}

/// Tries until it is no longer told to wait.
fn waited<T>(
    subscribe: impl Fn() -> Pollable,
    mut act: impl FnMut() -> Result<T, ErrorCode>,
) -> Result<T, String> {
    loop {
        match act() {
            Err(ErrorCode::WouldBlock) => subscribe().block(),
            other => return other.map_err(word),
        }
    }
}

impl Held {
    fn bind(&self, local: SocketAddr) -> Result<TcpSocket, String> {
        let socket = create_tcp_socket(family(local)).map_err(word)?;
        let begun = socket.start_bind(&self.network, wit(local));
        begun.map_err(word)?;
        waited(|| socket.subscribe(), || socket.finish_bind())?;
        Ok(socket)
    }

    fn listen(&self, local: SocketAddr) -> Result<TcpSocket, String> {
        let socket = self.bind(local)?;
        socket.start_listen().map_err(word)?;
        waited(|| socket.subscribe(), || socket.finish_listen())?;
        Ok(socket)
    }

    fn connect(&self, remote: SocketAddr) -> Result<Stream, String> {
        let socket = create_tcp_socket(family(remote)).map_err(word)?;
        let begun = socket.start_connect(&self.network, wit(remote));
        begun.map_err(word)?;
        let (input, output) = waited(|| socket.subscribe(), || socket.finish_connect())?;
        Ok(Stream {
            input,
            output,
            _socket: socket,
        })
    }

    fn udp_bind(&self, local: SocketAddr) -> Result<Udp, String> {
        let socket = create_udp_socket(family(local)).map_err(word)?;
        let begun = socket.start_bind(&self.network, wit(local));
        begun.map_err(word)?;
        waited(|| socket.subscribe(), || socket.finish_bind())?;
        Ok(Udp {
            streams: None,
            socket,
        })
    }

    fn resolve(&self, name: &str) -> Acted {
        let stream = resolve_addresses(&self.network, name).map_err(word)?;
        let mut all = Vec::new();
        let next = || waited(|| stream.subscribe(), || stream.resolve_next_address());
        while let Some(address) = next()? {
            all.push(shown(address).to_string());
        }
        Ok(all.join(","))
    }

    /// Asks for `url` with the secret in its query, a header and its body.
    fn request(&self, method: &str, url: &str) -> Acted {
        let rest = url.strip_prefix("http://").ok_or_else(|| usage("http"))?;
        let (authority, path) = rest.split_once('/').ok_or_else(|| usage("no path"))?;
        let fields = Fields::new();
        let value = self.secret.clone().into_bytes();
        let set = fields.append("x-secret", &value);
        set.map_err(|error| format!("{error:?}"))?;
        let request = OutgoingRequest::new(fields);
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            other => Method::Other(other.to_owned()),
        };
        let path = format!("/{path}?q={}", self.secret);
        let set = request
            .set_method(&method)
            .and_then(|()| request.set_scheme(Some(&Scheme::Http)))
            .and_then(|()| request.set_authority(Some(authority)))
            .and_then(|()| request.set_path_with_query(Some(&path)));
        set.map_err(|()| usage("no request"))?;
        let body = request.body().map_err(|()| usage("no body"))?;
        let word = |error| format!("{error:?}");
        let coming = outgoing_handler::handle(request, None).map_err(word)?;
        if matches!(method, Method::Post) {
            let stream = body.write().map_err(|()| usage("no stream"))?;
            // What a request is refused for comes with the response.
            let _ = stream.blocking_write_and_flush(self.secret.as_bytes());
        }
        let _ = OutgoingBody::finish(body, None);
        coming.subscribe().block();
        let response = match coming.get() {
            Some(Ok(response)) => response.map_err(word)?,
            _ => return Err(usage("no response")),
        };
        read(&response)
    }

    fn act(&mut self, words: &[&str]) -> Acted {
        match *words {
            ["tcp-bind", local] => {
                let socket = self.bind(at(local)?)?;
                self.bound.push(socket);
            }
            ["tcp-listen", local] => {
                let socket = self.listen(at(local)?)?;
                self.listeners.push(socket);
            }
            ["tcp-connect", remote] => {
                let stream = self.connect(at(remote)?)?;
                self.streams.push(stream);
            }
            ["accept"] => {
                let listener = last(&mut self.listeners)?;
                let accepted = waited(|| listener.subscribe(), || listener.accept());
                let (socket, input, output) = accepted?;
                self.streams.push(Stream {
                    input,
                    output,
                    _socket: socket,
                });
            }
            ["read"] => {
                let read = last(&mut self.streams)?.input.blocking_read(1_024);
                return read.map(|read| read.len().to_string()).map_err(broken);
            }
            ["write"] => {
                let secret = self.secret.clone();
                let output = &last(&mut self.streams)?.output;
                output
                    .blocking_write_and_flush(secret.as_bytes())
                    .map_err(broken)?;
            }
            ["udp-bind", local] => {
                let socket = self.udp_bind(at(local)?)?;
                self.sockets.push(socket);
            }
            ["udp-stream"] => {
                let socket = last(&mut self.sockets)?;
                socket.streams = None;
                socket.streams = Some(socket.socket.stream(None).map_err(word)?);
            }
            ["udp-stream", remote] => {
                let remote = wit(at(remote)?);
                let socket = last(&mut self.sockets)?;
                socket.streams = None;
                socket.streams = Some(socket.socket.stream(Some(remote)).map_err(word)?);
            }
            ["udp-send", remote] => {
                let datagram = OutgoingDatagram {
                    data: self.secret.clone().into_bytes(),
                    remote_address: Some(wit(at(remote)?)),
                };
                let socket = last(&mut self.sockets)?;
                let Some((_, outgoing)) = &socket.streams else {
                    return Err(usage("no streams"));
                };
                outgoing.subscribe().block();
                outgoing.check_send().map_err(word)?;
                let sent = outgoing.send(&[datagram]).map_err(word)?;
                return Ok(sent.to_string());
            }
            ["resolve", name] => return self.resolve(name),
            ["http", method, url] => return self.request(method, url),
            ["wait", millis] => {
                let millis: u64 = millis.parse().map_err(|_| usage("no time"))?;
                subscribe_duration(millis * 1_000_000).block();
            }
            _ => return Err(usage("no such act")),
        }
        Ok(String::new())
    }
}

/// The status and how much of a body there is.
fn read(response: &IncomingResponse) -> Acted {
    let body = response.consume().map_err(|()| usage("no body"))?;
    let stream = body.stream().map_err(|()| usage("no stream"))?;
    let mut count = 0;
    loop {
        match stream.blocking_read(1_024) {
            Ok(read) => count += read.len(),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(format!("{} {count}", response.status()))
}

struct Run;

impl wasip2::exports::cli::run::Guest for Run {
    fn run() -> Result<(), ()> {
        let mut arguments = std::env::args().skip(1);
        let mut held = Held {
            secret: arguments.next().unwrap_or_default(),
            network: instance_network(),
            streams: Vec::new(),
            listeners: Vec::new(),
            bound: Vec::new(),
            sockets: Vec::new(),
        };
        for (number, act) in arguments.enumerate() {
            let words: Vec<_> = act.split(' ').collect();
            let verb = words.first().copied().unwrap_or_default();
            match held.act(&words) {
                Ok(said) => println!("{number} {verb} ok {said}"),
                Err(word) => println!("{number} {verb} {}", word.replace(' ', "_")),
            }
        }
        println!("alive");
        Ok(())
    }
}

wasip2::cli::command::export!(Run);
