//! Does what its arguments say, one act each, and says how each went: the guest of nexus-host's `policy_matrix`.
//!
//! `N VERB OK` or `N VERB CODE REASON WHY`, then `alive`. The first argument is what it sends and must be found
//! nowhere else.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use nexus_sdk::svc::net::http::{Request, Response};
use nexus_sdk::svc::net::{
    Family, Host, Remote, TcpListener, TcpStream, ToRemote, UdpSocket, resolve, resolve_for_udp,
};
use nexus_sdk::svc::time::sleep;
use nexus_sdk::task::join;
use nexus_sdk::{Error, ErrorCode};
use probes::Outcome;

/// What it has open. Acts on a handle are on the one opened last; all stay open to the end.
#[derive(Default)]
struct Held {
    secret: String,
    streams: Vec<TcpStream>,
    listeners: Vec<TcpListener>,
    sockets: Vec<UdpSocket>,
    responses: Vec<Response>,
}

fn usage(why: &str) -> Error {
    Error::new(ErrorCode::Internal, "the-matrix-is-wrong", why)
}

fn last<T>(list: &mut [T]) -> Result<&mut T, Error> {
    list.last_mut().ok_or_else(|| usage("nothing is open"))
}

/// `=HOST` is a name, whatever it looks like.
fn remote(host: &str, port: &str) -> Result<Remote, Error> {
    let port = port.parse().map_err(|_| usage("no port"))?;
    let Some(name) = host.strip_prefix('=') else {
        return (host, port).to_remote();
    };
    let host = Host::Name(name.to_owned());
    Ok(Remote { host, port })
}

fn local(text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| usage("no address"))
}

/// Asks for `url`, with the secret in its query, a header and its body. `options`: `follow`, `streamed`.
async fn request(
    secret: &str,
    method: &str,
    url: &str,
    options: &[&str],
) -> Result<Response, Error> {
    let url = match url.strip_prefix("user@") {
        Some(rest) => format!("http://user:{secret}@{rest}"),
        None => format!("{url}?q={secret}"),
    };
    let mut request = Request::new(method, url).header("x-secret", secret);
    if options.contains(&"follow") {
        request = request.follow(3);
    }
    if options.contains(&"streamed") {
        let (mut body, response) = request.streamed(None);
        let secret = secret.as_bytes().to_vec();
        let write = async move {
            for _ in 0..100 {
                body.write_all(secret.clone()).await?;
            }
            Ok::<_, Error>(())
        };
        let (written, response) = join(write, response).await;
        let response = response?;
        written?;
        return Ok(response);
    }
    if matches!(method, "POST" | "PUT") {
        request = request.body(secret);
    }
    request.send().await
}

fn shown(addresses: Vec<IpAddr>) -> String {
    let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    addresses.join(",")
}

impl Held {
    async fn act(&mut self, words: &[&str]) -> Result<String, Error> {
        let secret = self.secret.clone();
        match *words {
            ["tcp-connect", host, port] => {
                self.streams
                    .push(TcpStream::connect(remote(host, port)?).await?);
            }
            ["tcp-resolve", name] => return resolve(name).await.map(shown),
            ["udp-resolve", name] => return resolve_for_udp(name).await.map(shown),
            ["tcp-listen", at] => {
                self.listeners.push(TcpListener::bind(local(at)?).await?);
            }
            ["udp-connect", host, port] => {
                self.sockets
                    .push(UdpSocket::connect(remote(host, port)?).await?);
            }
            ["udp-open", family] => {
                let family = if family == "4" {
                    Family::Ipv4
                } else {
                    Family::Ipv6
                };
                self.sockets.push(UdpSocket::open(family).await?);
            }
            ["udp-bind", at] => self.sockets.push(UdpSocket::bind(local(at)?).await?),
            ["accept"] => {
                let stream = last(&mut self.listeners)?.accept().await?;
                self.streams.push(stream);
            }
            ["read"] => {
                let read = last(&mut self.streams)?.read(1_024).await?;
                return Ok(format!("{}", read.len()));
            }
            ["write"] => last(&mut self.streams)?.write_all(secret).await?,
            ["finish"] => last(&mut self.streams)?.finish()?,
            ["keep-alive"] => {
                last(&mut self.streams)?.set_keep_alive(Some(Duration::from_secs(5)))?;
            }
            ["abort"] => {
                let stream = self.streams.pop().ok_or_else(|| usage("nothing is open"))?;
                stream.abort();
            }
            ["stream-ends"] => {
                let stream = last(&mut self.streams)?;
                return Ok(format!("{} {}", stream.local_addr(), stream.remote_addr()));
            }
            ["listener-ends"] => return Ok(last(&mut self.listeners)?.local_addr().to_string()),
            ["socket-ends"] => {
                let socket = last(&mut self.sockets)?;
                return Ok(format!(
                    "{} {:?}",
                    socket.local_addr(),
                    socket.remote_addr()
                ));
            }
            ["receive-stream"] => {
                let stream = self.streams.pop().ok_or_else(|| usage("nothing is open"))?;
                let (mut receiver, _sender) = stream.into_streams()?;
                let read = receiver.read(Vec::with_capacity(1_024)).await?;
                return Ok(format!("{}", read.len()));
            }
            // Waits between two parts, so that something can happen to the connection.
            ["send-stream", millis] => {
                let stream = self.streams.pop().ok_or_else(|| usage("nothing is open"))?;
                let (_receiver, mut sender) = stream.into_streams()?;
                let first = sender.write_all(secret.clone().into_bytes()).await;
                pause(millis).await?;
                if first.is_ok() {
                    let _ = sender.write_all(secret.into_bytes()).await;
                }
                sender.finish().await?;
            }
            ["udp-send"] => last(&mut self.sockets)?.send(secret).await?,
            ["udp-send", to] => {
                let to = local(to)?;
                last(&mut self.sockets)?.send_to(secret, to).await?;
            }
            ["udp-receive"] => {
                let (data, from) = last(&mut self.sockets)?.recv_from().await?;
                return Ok(format!("{} from {from}", data.len()));
            }
            ["http", method, url, ref options @ ..] => {
                let response = request(&secret, method, url, options).await?;
                let status = response.status();
                let body = response.bytes(65_536).await?;
                return Ok(format!("{status} {}", body.len()));
            }
            ["http-open", method, url, ref options @ ..] => {
                let response = request(&secret, method, url, options).await?;
                let status = response.status();
                self.responses.push(response);
                return Ok(format!("{status}"));
            }
            ["http-read"] => {
                let response = last(&mut self.responses)?;
                let read = response.read(Vec::with_capacity(1_024)).await?;
                return Ok(format!("{}", read.len()));
            }
            ["http-drop"] => _ = self.responses.pop(),
            ["wait", millis] => pause(millis).await?,
            _ => return Err(usage("no such act")),
        }
        Ok(String::new())
    }
}

async fn pause(millis: &str) -> Result<(), Error> {
    let millis = millis.parse().map_err(|_| usage("no time"))?;
    sleep(Duration::from_millis(millis)).await;
    Ok(())
}

async fn run() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let mut held = Held {
        secret: arguments.next().unwrap_or_default(),
        ..Held::default()
    };
    for (number, act) in arguments.enumerate() {
        let words: Vec<_> = act.split(' ').collect();
        let verb = words.first().copied().unwrap_or_default();
        match held.act(&words).await {
            Ok(said) => println!("{number} {verb} ok {said}"),
            Err(error) => println!(
                "{number} {verb} {} {} {}",
                error.code(),
                error.reason(),
                error.why()
            ),
        }
    }
    println!("alive");
    Ok(())
}

nexus_sdk::main!(run);
