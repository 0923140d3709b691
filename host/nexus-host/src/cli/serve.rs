//! `nexus-host serve`: an app that answers HTTP requests, from its file to its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use nexus_types::limits;
use serde_json::json;

use super::app::GrantArgs;
use super::consent::AskArgs;
use super::learn::Learning;
use super::listen::Listen;
use super::mode::ModeArgs;
use super::net::NetArgs;
use super::observing::ObserveArgs;
use super::opening::{self, Opened, Progress, Wanted};
use super::run::{Done, conclude};
use super::serving::{self, Opening};
use super::start::{Given, Host, ReadyToServe};
use super::trust::TrustArgs;
use super::values::{parse_duration, parse_size};
use super::{CliError, Common, Output, StateArgs};
use crate::observe::{report, summary};
use crate::runtime::instance::Outcome;
use crate::serve::{AccessLog, App, Format, Handler, Server, Settings, Tls};

const EXAMPLES: &str = "Examples:
  nexus-host serve api.wasm                             on http://127.0.0.1:8080/
  nexus-host serve api.wasm --listen 0.0.0.0:80         for whoever reaches this machine
  nexus-host serve api.wasm --listen 127.0.0.1:0        on any free port; which one is said
  nexus-host serve api.wasm --timeout 5s --max-body 64MiB --access-log json
  nexus-host serve api.wasm --listen stack:80 --publish 8080:80 --allow network.tcp.listen=any:80

A port of this machine (ADDR:PORT) is opened by you, as with --publish: the app needs no capability to be asked there.
A port of its own node (stack:PORT) is the app's to open: its network.tcp.listen decides.

SIGTERM or ctrl-c: no more connections are taken, requests in flight get --grace to end, and the exit code is 0. The
second one ends at once. Exit codes before that: 1 host error, 2 usage, 77 refused before it started, 78 bad manifest or
policy.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// The component: it exports wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// Where to listen, several times if wanted: ADDR:PORT of this machine (port 0: any that is free), or stack:PORT or
    /// stack:ADDR:PORT of the app's node
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "127.0.0.1:8080",
        value_delimiter = ',',
        env = "NEXUS_LISTEN"
    )]
    listen: Vec<Listen>,
    /// The manifest [default: the one the component carries; none: the app asks for nothing]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    ask: AskArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    net: NetArgs,
    /// Give each instance of the app no more memory than this, whatever its manifest asks (64MiB, 1GiB)
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "NEXUS_MAX_MEMORY")]
    max_memory: Option<u64>,
    /// Write what it came to, as JSON
    #[arg(long, value_name = "FILE", env = "NEXUS_REPORT")]
    report: Option<PathBuf>,
    /// Say nothing of requests and refusals, and nothing at the end
    #[arg(long, short, env = "NEXUS_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,
    #[command(flatten)]
    observe: ObserveArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
    /// What each instance of the app gets as its arguments
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// A certificate to be shown. Of a key file nothing is ever said but that it is none.
#[derive(Args)]
struct TlsArgs {
    /// Serve https wherever it listens: the certificate, and those up to a root (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        env = "NEXUS_TLS_CERT"
    )]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        env = "NEXUS_TLS_KEY"
    )]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    fn read(&self) -> Result<Option<Tls>, CliError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        serving::read_tls(certificate, key, ["--tls-cert", "--tls-key"]).map(Some)
    }
}

#[derive(Args)]
#[command(next_help_heading = "Requests")]
struct ServingArgs {
    /// End a request after this long, from its head to the last byte of its response: 504, or a reset once a head was
    /// sent [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, env = "NEXUS_TIMEOUT")]
    timeout: Option<Duration>,
    /// Let requests in flight end, after SIGTERM or ctrl-c, for at most this long [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, env = "NEXUS_GRACE")]
    grace: Option<Duration>,
    /// Most bytes of a request's body: 413, or the app's read fails [default: 8MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "NEXUS_MAX_BODY")]
    max_body: Option<u64>,
    /// Most requests in flight; the next waits for 5 s and gets a 503 [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536), env = "NEXUS_MAX_REQUESTS")]
    max_requests: Option<u32>,
    /// Most connections; the next waits in the backlog [default: 1024]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536), env = "NEXUS_MAX_CONNECTIONS")]
    max_connections: Option<u32>,
    /// How many requests an instance of the app serves before a fresh one takes its place [default: 1 for wasi:http
    /// 0.2, whose apps may count on being alone; 128 for 0.3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), env = "NEXUS_REUSE")]
    reuse: Option<u32>,
    /// How many of them at once, of an app of wasi:http 0.3; one of 0.2 serves one after another [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024), env = "NEXUS_CONCURRENT")]
    concurrent: Option<u32>,
    /// One line a request on standard error, without query and headers [default: text, or json with --output json; off
    /// with --quiet]
    #[arg(long, value_name = "FORM", env = "NEXUS_ACCESS_LOG")]
    access_log: Option<Access>,
}

/// How the access log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Access {
    Text,
    Json,
    Off,
}

pub(super) fn serve(args: &ServeArgs) -> Result<u8, CliError> {
    let mut progress = Progress::default();
    conclude(
        args.report.as_deref(),
        args.common.output,
        |progress| attempt(args, progress),
        &mut progress,
        |error, progress| progress.report(error),
    )
}

fn attempt(args: &ServeArgs, progress: &mut Progress) -> Result<Done, CliError> {
    let roots = args.trust.read()?;
    let tls = args.tls.read()?;
    let requests = args.serving.max_requests;
    let wanted = Wanted {
        app: &args.app,
        manifest: args.manifest.as_deref(),
        grants: &args.grants,
        mode: &args.mode,
        ask: &args.ask,
        net: &args.net,
        observe: &args.observe,
        state: &args.state,
        report: args.report.as_deref(),
        output: args.common.output,
        quiet: args.quiet || args.common.output == Output::Json,
        instances: requests.unwrap_or(limits::SERVE_REQUESTS as u32),
        needs_network: args.listen.iter().any(|at| matches!(at, Listen::Stack(_))),
    };
    let Opened {
        mut host,
        node,
        candidate,
        admission,
        consent,
    } = opening::open(&wanted, progress)?;
    let learning = args
        .mode
        .out()
        .map(|out| Learning::new(out, &candidate, &admission));
    let given = Given {
        arguments: args.arguments.clone(),
        consent,
        // Of each request, not of the app.
        timeout: None,
        memory_bytes_max: args.max_memory,
        stdin: None,
        outputs: host.outputs().clone(),
        roots,
    };
    let ready = host.ready_to_serve(node, candidate, given)?;
    let ReadyToServe {
        identity,
        net,
        mut limits,
        quota,
        app,
    } = ready;
    let settings = args.serving.settings(app.handler()).within(limits.deadline);
    limits.deadline = Some(settings.deadline);
    let began = net.shard.now();
    let server = server(args, &mut host, app, settings, &identity.id);
    let opening = Opening {
        what: "--listen ",
        by: None,
        output: args.common.output,
        quiet: args.quiet,
    };
    for at in &args.listen {
        opening.listen(&mut host, &server, &net, (*at, &tls))?;
    }
    let (stop, serving) = (host.signal(), server.clone());
    let grace = args.serving.grace();
    let (_, served) = host.drive(async move { serving.until(stop, grace).await })?;
    let ended = serving::ended(
        &mut host,
        &server,
        (&identity, &net),
        (began, Outcome::Stopped),
    );
    let learnt = learning.map(|learning| learning.write(&host.learnt(node), "served to its end"));
    host.linger()?;
    let mut closing = String::new();
    let refusals = host.refusals(node, net.instance);
    if args.common.output == Output::Text {
        closing.push_str(&host.rest_of_denials());
        if !args.quiet {
            closing.push_str(&serving::told(&identity.id, &served));
            let unrecorded = refusals.audit_records_dropped;
            closing.push_str(&summary::line(&identity.id, &ended, unrecorded));
        }
        closing.push_str(&refusals.passed.summary(&identity.id));
    }
    let mut report = report::of_run(&identity, &limits, &quota, &ended, refusals);
    report["served"] = serving::of_served(&served);
    let mut code = ended.outcome.code();
    match learnt {
        None => {}
        Some(Ok((line, learnt))) => {
            report["learnt"] = learnt;
            if args.common.output == Output::Text {
                closing.push_str(&line);
            }
        }
        Some(Err(error)) => {
            report["learnt"] = json!({"error": error.message});
            closing.push_str(&format!("error: {error}\n"));
            code = error.kind.exit_code();
        }
    }
    Ok(Done {
        code,
        report,
        closing,
        host,
    })
}

impl ServingArgs {
    fn settings(&self, handler: Handler) -> Settings {
        let mut settings = Settings::for_handler(handler);
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        settings.deadline = self.timeout.unwrap_or(settings.deadline);
        settings.body_bytes = self.max_body.unwrap_or(settings.body_bytes);
        settings.requests = self.max_requests.map_or(settings.requests, count);
        settings.connections = self.max_connections.map_or(settings.connections, count);
        settings.reuse = self.reuse.unwrap_or(settings.reuse);
        if handler == Handler::P3 {
            settings.concurrent = self.concurrent.unwrap_or(settings.concurrent);
        }
        settings
    }

    fn grace(&self) -> Duration {
        let default = Duration::from_micros(limits::SERVE_GRACE_MICROS);
        self.grace.unwrap_or(default)
    }
}

fn server(args: &ServeArgs, host: &mut Host, app: App, settings: Settings, name: &str) -> Server {
    let stderr = host.outputs()[1].clone();
    let format = match (args.serving.access_log, args.common.output) {
        (Some(Access::Off), _) => None,
        (Some(Access::Text), _) => Some(Format::Text),
        (Some(Access::Json), _) => Some(Format::Json),
        (None, _) if args.quiet => None,
        (None, Output::Text) => Some(Format::Text),
        (None, Output::Json) => Some(Format::Json),
    };
    let access = AccessLog::new(format.map(|format| (format, stderr.clone().into())));
    let faults = (!args.quiet && args.common.output == Output::Text).then(|| stderr.into());
    let spawner = host.driver().spawner();
    Server::new(app, settings, spawner, access, (name.to_owned(), faults))
}
