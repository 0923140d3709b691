//! A large download by TLS in an ordinary program: `https-client CERTIFICATE ADDRESS PATH REQUESTS`.
//!
//! What a guest's download is measured beside (`cargo xtask bench http`): the same rustls with the same cipher over the
//! kernel's TCP, blocking, one connection, as little HTTP as will do. Says how it went as components/http-burst does.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What one read takes at most, as the guest's does.
const READ_BYTES: usize = 64 << 10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, address, path, requests] = &arguments[..] else {
        eprintln!("usage: https-client CERTIFICATE ADDRESS PATH REQUESTS");
        return ExitCode::FAILURE;
    };
    match download(certificate, address, path, requests) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("https-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn download(
    certificate: &str,
    address: &str,
    path: &str,
    requests: &str,
) -> Result<String, Box<dyn Error>> {
    let requests: u32 = requests.parse()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(READ_BYTES, StreamOwned::new(connection, stream));
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    let began = Instant::now();
    for _ in 0..requests {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let mut left = head(&mut stream)?;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            let count = stream.read(&mut buffer[..room])?;
            if count == 0 {
                return Err("the server went away".into());
            }
            left -= count as u64;
            bytes += count as u64;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(format!(
        "{{\"requests\": {requests}, \"bytes\": {bytes}, \"seconds\": {seconds:.3}, \"gbit_per_s\": {:.3}}}",
        bytes as f64 * 8.0 / seconds / 1e9
    ))
}

/// Reads the head of a response; the length of its body.
fn head(
    stream: &mut BufReader<StreamOwned<ClientConnection, TcpStream>>,
) -> Result<u64, Box<dyn Error>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200 ") {
        return Err(format!("the server answered {line:?}").into());
    }
    let mut length = None;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            return length.ok_or_else(|| "the server says no length".into());
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        }
    }
}
