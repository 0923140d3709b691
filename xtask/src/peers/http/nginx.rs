//! nginx of the distribution, with files to fetch: the server that neither side wrote.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::Programs;
use super::wire::Wire;
use crate::running::{Running, free_port};
use crate::servers;
use crate::workspace::Workspace;

/// A server, until it goes out of scope.
pub(super) struct Nginx {
    /// Where plain HTTP is.
    pub(super) http: u16,
    /// Where TLS is.
    pub(super) https: u16,
    /// The certificate of `host.internal` and of `localhost`, which signs itself.
    pub(super) certificate: PathBuf,
    _running: Running,
}

/// Starts it on the loopback, or at the server's end of a wire, with `small` (6 bytes) and `bulk` (so many bytes) to
/// fetch.
pub(super) fn start(
    workspace: &Workspace,
    programs: &Programs,
    bulk: usize,
    wire: Option<&Wire>,
) -> Result<Nginx> {
    let mut command = servers::command(workspace, "nginx")?;
    let folder = programs.scratch.join("nginx");
    fs::create_dir_all(folder.join("www"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join("www/small"), "hello\n")?;
    // No run of anything that a cipher or a copy could be quicker with.
    let bytes = (0_u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes());
    fs::write(
        folder.join("www/bulk"),
        bytes.take(bulk).collect::<Vec<u8>>(),
    )?;
    let names = ["host.internal", "localhost"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names)?;
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (http, https) = (free_port()?, free_port()?);
    let here = folder.display();
    // One process, which ends when it is killed. A connection is used for as long as its client likes. nginx writes temporary files of bodies that it is not
    // sent; the folders must be ours all the same.
    let text = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
           access_log off; sendfile on; open_file_cache max=10;\n\
           keepalive_requests 1000000000; keepalive_timeout 600s;\n\
           client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;\n\
           uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;\n\
           server {{\n\
             listen {http} backlog=4096;\n\
             listen {https} ssl;\n\
             ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;\n\
             root {here}/www;\n\
           }}\n\
         }}\n",
        certificate = certificate.display(),
        key = key.display(),
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, text)?;
    command.arg("-e").arg(folder.join("error.log"));
    command.arg("-c").arg(&file);
    // It says nothing when it is ready, but its file is there then.
    let ready = folder.join("pid");
    if ready.exists() {
        fs::remove_file(&ready)?;
    }
    let mut running = Running::start(match wire {
        Some(wire) => wire.server(&command),
        None => command,
    })?;
    for _ in 0..500 {
        if ready.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    ensure!(ready.exists(), "nginx does not start:\n{}", running.stop());
    Ok(Nginx {
        http,
        https,
        certificate,
        _running: running,
    })
}
