//! `cargo xtask demo`: five real runs of the host with real apps, each asserted, one line each.
//!
//! The kernel's side (a client, an HTTP server) is this process on 127.0.0.1. The host's state and
//! configuration are in target/demo, so nothing of the person who runs it takes part.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::build;
use crate::running::{Running, free_port};
use crate::step::{Said, run_quietly, show_duration};
use crate::workspace::Workspace;

/// Nothing here takes longer, even on a machine busy with something else.
const LIMIT: Duration = Duration::from_secs(60);

/// The port that components/tcp-echo listens on inside its node.
const ECHO_PORT: u16 = 7777;

/// Exit code of an app that was refused before it started.
const REFUSED: i32 = 77;

/// Builds what is missing and runs the five.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    build::guests(workspace)?;
    build::host(workspace)?;
    let demo = Demo::new(workspace)?;
    let page = Page::serve()?;
    let parts: [(&str, &dyn Fn() -> Result<String>); 5] = [
        ("serve", &|| demo.serve()),
        ("fetch", &|| demo.fetch(&page)),
        ("link", &|| demo.link()),
        ("refuse", &|| demo.refuse(&page)),
        ("https", &|| demo.https()),
    ];
    eprintln!("==> five runs (usually 10 s)");
    for (number, (name, part)) in parts.into_iter().enumerate() {
        let begun = Instant::now();
        let said = part().with_context(|| format!("demo {}: {name}", number + 1))?;
        println!(
            "demo {} ok  {name:<7} {said} ({})",
            number + 1,
            show_duration(begun.elapsed())
        );
    }
    Ok(())
}

/// The host and the apps, as built.
struct Demo<'a> {
    workspace: &'a Workspace,
    /// The host's state and configuration.
    home: PathBuf,
}

impl<'a> Demo<'a> {
    fn new(workspace: &'a Workspace) -> Result<Self> {
        let home = workspace.target.join("demo");
        fs::create_dir_all(&home)?;
        Ok(Self { workspace, home })
    }

    /// The host with arguments; never a terminal on its standard input.
    fn host<'t>(&self, arguments: impl IntoIterator<Item = &'t str>) -> Command {
        let mut command = Command::new(self.workspace.host_binary());
        command
            .current_dir(&self.workspace.root)
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .args(arguments)
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NEXUS_") {
                command.env_remove(name);
            }
        }
        command
    }

    fn component(&self, name: &str) -> String {
        self.workspace
            .components()
            .join(format!("{name}.wasm"))
            .display()
            .to_string()
    }

    /// An app serves TCP; a client of the kernel reaches it through `--publish`.
    fn serve(&self) -> Result<String> {
        let port = free_port()?;
        let publish = format!("127.0.0.1:{port}:{ECHO_PORT}");
        let app = self.component("tcp-echo");
        let grant = format!("network.tcp.listen=any:{ECHO_PORT}");
        let mut echo = Running::start(self.host([
            "run",
            "--publish",
            &publish,
            "--allow",
            &grant,
            "--timeout",
            "60s",
            &app,
        ]))?;
        echo.wait_for_line("listening on")?;
        let sent: Vec<u8> = (0..64 * 1024_u32)
            .map(|n| (n.wrapping_mul(31) >> 3) as u8)
            .collect();
        let back = exchange((Ipv4Addr::LOCALHOST, port).into(), &sent)
            .map_err(|error| anyhow::anyhow!("{error}; the host said:\n{}", echo.stop()))?;
        echo.stop();
        ensure!(back == sent, "the echo is not what was sent");
        Ok(format!(
            "a kernel client sent 64 KiB to 127.0.0.1:{port}, the app tcp-echo on its own stack sent them back"
        ))
    }

    /// An app fetches a page by name from a server of the kernel.
    fn fetch(&self, page: &Page) -> Result<String> {
        let before = page.connections();
        let said = self.run_fetch(page, &["--allow-manifest"])?;
        ensure!(
            said.status.success() && said.stdout == page.body,
            "the app did not print the page ({}):\n{}",
            said.status,
            said.tail()
        );
        ensure!(
            page.connections() == before + 1,
            "the server counted {} connections, not one",
            page.connections() - before
        );
        Ok(format!(
            "the app fetch printed the page of a kernel server, reached by its name host.internal:{}",
            page.address.port()
        ))
    }

    /// The same without the grant: refused before it starts, and the server sees nothing.
    fn refuse(&self, page: &Page) -> Result<String> {
        let before = page.connections();
        let said = self.run_fetch(page, &[])?;
        ensure!(
            said.status.code() == Some(REFUSED),
            "expected exit code {REFUSED}, got {}:\n{}",
            said.status,
            said.tail()
        );
        ensure!(
            said.stderr.contains("network.tcp.connect"),
            "the refusal does not name the capability:\n{}",
            said.stderr
        );
        ensure!(
            page.connections() == before,
            "the server saw a connection of an app that was refused"
        );
        Ok(format!(
            "the same fetch without its grant: exit {REFUSED}, network.tcp.connect named, the server saw no connection"
        ))
    }

    fn run_fetch(&self, page: &Page, grant: &[&str]) -> Result<Said> {
        let app = self.component("fetch");
        let url = format!("http://host.internal:{}/", page.address.port());
        let mut command = self.host(["run", "--manifest", "components/fetch/nexus.toml"]);
        command.args(grant).args([&app, "--", &url]);
        run_quietly(&mut command, LIMIT)
    }

    /// One app is served by TLS, another fetches from it and trusts its certificate for this run alone.
    fn https(&self) -> Result<String> {
        let made = rcgen::generate_simple_self_signed(vec!["host.internal".to_owned()])?;
        let (certificate, key) = (self.home.join("cert.pem"), self.home.join("key.pem"));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let (api, web) = (self.component("http-api"), self.component("web-fetch"));
        let port = free_port()?;
        let listen = format!("127.0.0.1:{port}");
        let mut served = Running::start(self.host([
            "serve",
            &api,
            "--listen",
            &listen,
            "--tls-cert",
            &certificate,
            "--tls-key",
            &key,
        ]))?;
        served.wait_for_line("serving")?;
        let url = format!("https://host.internal:{port}/hello/demo");
        let grant = format!("network.http.request=GET https://host.internal:{port}/*");
        let fetch = [
            "run",
            "--allow",
            &grant,
            "--ca",
            &certificate,
            &web,
            "--",
            &url,
            "/hello",
        ];
        let said = run_quietly(&mut self.host(fetch), LIMIT)?;
        served.stop();
        ensure!(
            said.status.success() && said.stdout.trim_end() == "demo",
            "the app did not fetch what the other serves ({}):\n{}",
            said.status,
            said.tail()
        );
        Ok(format!(
            "the app http-api served https on 127.0.0.1:{port}, the app web-fetch read one value of its JSON"
        ))
    }

    /// Two apps on two nodes talk over an in-process link.
    fn link(&self) -> Result<String> {
        // The example names the components where they ordinarily are; here cargo's target folder
        // may be another one.
        let example = self.workspace.root.join("docs/examples/two-nodes.toml");
        let components = self.workspace.components().display().to_string();
        let world = fs::read_to_string(&example)
            .with_context(|| format!("cannot read {}", example.display()))?
            .replace("../../target/components", &components);
        let file = self.home.join("two-nodes.toml");
        fs::write(&file, world)?;
        let file = file.display().to_string();
        let grant = "network.tcp.listen=any:5201";
        let arguments = ["up", &file, "--allow-manifest", "--allow", grant];
        let said = run_quietly(&mut self.host(arguments), LIMIT)?;
        ensure!(
            said.status.success(),
            "the host ended with {}:\n{}",
            said.status,
            said.tail()
        );
        let report = said
            .stdout
            .lines()
            .find(|line| line.contains("gbit_per_s"))
            .with_context(|| format!("burst reported nothing:\n{}", said.tail()))?;
        let report: serde_json::Value =
            serde_json::from_str(report).context("burst's report is not JSON")?;
        let number = |key: &str| {
            report[key]
                .as_f64()
                .with_context(|| format!("burst's report has no {key}"))
        };
        Ok(format!(
            "two apps on two nodes, {:.0} MiB over an in-process link at {:.1} Gbit/s",
            number("bytes")? / f64::from(1 << 20),
            number("gbit_per_s")?
        ))
    }
}

/// Sends, finishes, reads to the end.
fn exchange(to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, LIMIT)
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut reading = stream.try_clone()?;
    let reader = std::thread::spawn(move || {
        let mut back = Vec::new();
        reading.read_to_end(&mut back).map(|_| back)
    });
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    Ok(reader
        .join()
        .map_err(|_panic| anyhow::anyhow!("the reader panicked"))??)
}

/// A web server of the kernel that counts who connects.
struct Page {
    address: SocketAddr,
    body: String,
    count: Arc<AtomicUsize>,
}

impl Page {
    fn serve() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let body = format!("a page served by the kernel on port {}\n", address.port());
        let count = Arc::new(AtomicUsize::new(0));
        let (counter, text) = (Arc::clone(&count), body.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::SeqCst);
                // A client that goes away is the client's affair.
                let _ = answer(stream, &text);
            }
        });
        Ok(Self {
            address,
            body,
            count,
        })
    }

    fn connections(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn answer(stream: TcpStream, body: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(stream.take(16 * 1024));
    let mut line = String::new();
    // The request ends with an empty line (RFC 9112 section 2.1).
    while reader.read_line(&mut line)? > 0 && line.trim_end() != "" {
        line.clear();
    }
    let mut stream = reader.into_inner().into_inner();
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.shutdown(Shutdown::Write)
}
