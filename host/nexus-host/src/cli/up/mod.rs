//! `nexus-host up`: several apps, on one or more nodes, in one process.

mod started;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use futures::stream::{FuturesUnordered, StreamExt};
use nexus_policy::{Admission, Consent};
use nexus_types::{HostName, Instant, IpAddr, limits};
use nexus_usernet::Resolvers;
use serde_json::{Value, json};

use crate::cli::admitting;
use crate::cli::app::{Candidate, GrantArgs};
use crate::cli::consent::{AskArgs, Asking};
use crate::cli::listen::Listen;
use crate::cli::mode::ModeArgs;
use crate::cli::obey::Files;
use crate::cli::observing::ObserveArgs;
use crate::cli::policies::Policies;
use crate::cli::recording::Recording;
use crate::cli::run::{Done, conclude, reported};
use crate::cli::start::{self, Given, Host};
use crate::cli::trust::TrustArgs;
use crate::cli::values::parse_duration;
use crate::cli::world::{App, Attachment, World};
use crate::cli::{CliError, Common, Kind, Output, StateArgs};
use crate::driver::Network;
use crate::observe::report;
use crate::runtime::engine::{EngineOptions, HostEngine};
use crate::runtime::load::read_text;
use crate::runtime::shown;
use crate::runtime::signals::Signals;
use crate::runtime::stdio::say;
use started::Started;

const EXAMPLES: &str = "Examples:
  nexus-host up world.toml --allow-manifest

A world file:
  [[link]]
  name = \"lan\"

  [[node]]
  name = \"server\"                   # its name on the link, too
  link = \"lan\"                      # or: net = \"user\" (the default), \"none\", \"tap:NAME\", \"packet:IFACE\"
  addresses = [\"10.0.0.1/24\"]       # with tap and packet also \"dhcp\", \"slaac\"
  [[node.app]]
  component = \"tcp-echo.wasm\"       # relative to the file; so is manifest = \"...\"
  background = true                 # ended when the other apps have ended

  [[node.app]]
  component = \"http-api.wasm\"       # answers HTTP, in the background
  serve = [\"127.0.0.1:8080\", \"stack:80\"]   # as --listen of `nexus-host serve`; 80 is \"stack:80\"
  tls = { cert = \"cert.pem\", key = \"key.pem\" }   # if wanted

  [[node]]
  name = \"client\"
  link = \"lan\"
  addresses = [\"10.0.0.2/24\"]
  [[node.app]]
  component = \"client.wasm\"
  args = [\"server:7777\"]

Apps start in the order of the file. The exit code is that of the first app, in that order, that
did not end with 0. The file grants nothing: see --policy and --allow-manifest.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UpArgs {
    /// The world
    #[arg(value_name = "WORLD.toml")]
    world: PathBuf,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// End every app after this long, host calls included (500ms, 30s, 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, env = "NEXUS_TIMEOUT")]
    timeout: Option<Duration>,
    /// Write what the run came to, as JSON: one report an app
    #[arg(long, value_name = "FILE", env = "NEXUS_REPORT")]
    report: Option<PathBuf>,
    /// Write every frame of every node to this file, for Wireshark; one interface a node
    #[arg(long, value_name = "FILE", env = "NEXUS_PCAP")]
    pcap: Option<PathBuf>,
    /// Say nothing of refusals and nothing at the end of a run
    #[arg(long, short, env = "NEXUS_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,
    #[command(flatten)]
    observe: ObserveArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

/// An app of the world, compiled, with its place.
struct Placed {
    node: usize,
    candidate: Candidate,
    consent: Consent,
    arguments: Vec<String>,
    background: bool,
    /// Where it is served, if it is.
    serve: Vec<Listen>,
    tls: Option<[PathBuf; 2]>,
}

/// What a world that did not start was refused, one report an app.
type Refused = Vec<Value>;

pub(super) fn up(args: &UpArgs) -> Result<u8, CliError> {
    let mut refused = Refused::new();
    conclude(
        args.report.as_deref(),
        args.common.output,
        |refused| attempt(args, refused),
        &mut refused,
        |error, refused| {
            let word = error.kind.word();
            let code = error.kind.exit_code();
            let mut report = report::of_refusal(word, code, &error.message, None, None);
            report["apps"] = refused.clone().into();
            report
        },
    )
}

fn attempt(args: &UpArgs, refused: &mut Refused) -> Result<Done, CliError> {
    let signals = Signals::remember_hangups().map_err(|error| CliError::new(Kind::Host, error))?;
    let early = reported(args.report.as_deref())?;
    args.mode.check_for_many()?;
    let quiet = args.quiet || args.common.output == Output::Json;
    let wanted = args.observe.wanted(args.common.output, quiet)?;
    let text = read_text(&args.world, limits::POLICY_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    let folder = args.world.parent().unwrap_or(Path::new("."));
    let world = World::parse(&text, &shown::path(&args.world), folder)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    let policies = Policies::read(args.grants.policy.as_deref())?;
    policies.warn();
    let apps = world.nodes.iter().flat_map(|node| &node.apps);
    let apps: usize = apps.map(instances).sum();
    let engine = HostEngine::new(EngineOptions {
        instances: u32::try_from(apps).unwrap_or(u32::MAX),
        memory_bytes_cap: policies.memory_bytes_cap(),
        ..EngineOptions::default()
    })
    .map_err(|error| CliError::new(Kind::Host, error))?;

    // Every app is looked at before the first one starts, and all that is missing told at once.
    let mut cache = args.state.cache();
    let mut asking = Asking::open(&args.state, &args.ask, args.common.output)?;
    let recording = Recording::open(&args.state);
    let mut gate = policies.gate();
    gate.set_mode(args.mode.mode());
    gate.set_auditor(recording.auditor());
    let publishers = policies.publishers();
    let mut placed = Vec::new();
    let mut refusals = Vec::new();
    for (index, node) in world.nodes.iter().enumerate() {
        for app in &node.apps {
            let candidate = Candidate::read(
                &app.component,
                app.manifest.as_deref(),
                Some(&publishers),
                &engine,
                &mut cache,
            )?;
            let consent = asking.settle(&mut gate, &candidate, args.grants.consent());
            let consent = consent.inspect_err(|_| recording.close(Instant::ZERO))?;
            let looked =
                admitting::look(Instant::ZERO, &mut gate, &recording, &candidate, &consent);
            if let Err(admission) = looked {
                refusals.push(told_refused(&candidate, &admission, refused));
            }
            placed.push(Placed {
                node: index,
                candidate,
                consent,
                arguments: app.arguments.clone(),
                background: app.background,
                serve: app.serve.clone(),
                tls: app.tls.clone(),
            });
        }
    }
    for warning in cache.take_warnings() {
        say(&format!("warning: {warning}\n"));
    }
    if !refusals.is_empty() {
        recording.close(Instant::ZERO);
        return Err(CliError::new(Kind::Refused, refusals.join("\n\n")));
    }
    args.mode.banner(args.common.output);
    let mut host = Host::new(engine, policies, recording, signals, quiet)?;
    drop(early);
    host.set_mode(args.mode.mode());
    host.observe(wanted)?;
    launch(args, &world, (placed, asking), host, refused, quiet)
}

/// How many instances of an app there may be at once.
fn instances(app: &App) -> usize {
    if app.serve.is_empty() {
        1
    } else {
        limits::SERVE_REQUESTS
    }
}

/// What is said of an app that may not start; its report goes to the others.
fn told_refused(candidate: &Candidate, admission: &Admission, refused: &mut Refused) -> String {
    let error = start::refusal(admission);
    refused.push(report::of_refusal(
        error.kind.word(),
        error.kind.exit_code(),
        &error.message,
        Some(&candidate.identity),
        Some(admission),
    ));
    error.message
}

/// Looks at all of them again, by what the files say now.
fn look_again(
    args: &UpArgs,
    files: Files,
    (placed, mut asking): (&mut [Placed], Asking),
    host: &Host,
    refused: &mut Refused,
) -> Result<(), CliError> {
    let mut gate = files.policies.gate();
    gate.set_mode(args.mode.mode());
    let publishers = files.policies.publishers();
    asking.renew(files.remembered);
    let mut refusals = Vec::new();
    for app in placed {
        app.candidate.verify_again(&publishers)?;
        app.consent = asking.known(&app.candidate, args.grants.consent());
        if let Err(admission) = host.look(&mut gate, &app.candidate, &app.consent) {
            refusals.push(told_refused(&app.candidate, &admission, refused));
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    Err(CliError::new(Kind::Refused, refusals.join("\n\n")))
}

fn launch(
    args: &UpArgs,
    world: &World,
    (mut placed, asking): (Vec<Placed>, Asking),
    mut host: Host,
    refused: &mut Refused,
    quiet: bool,
) -> Result<Done, CliError> {
    let roots = args.trust.read()?;
    if let Some(path) = &args.pcap {
        host.driver()
            .capture(path)
            .map_err(|error| CliError::new(Kind::Host, error))?;
    }
    let segments: Vec<_> = world
        .links
        .iter()
        .map(|_| host.driver().add_segment())
        .collect();
    let mut nodes = Vec::with_capacity(world.nodes.len());
    for node in &world.nodes {
        let network = match &node.attachment {
            Attachment::None => Network::None,
            Attachment::User { publish } => Network::User {
                resolvers: Resolvers::default(),
                publish: publish.clone(),
            },
            Attachment::Wire(wire) => Network::Wire(wire.clone()),
            Attachment::Link {
                link, addresses, ..
            } => Network::Link {
                segment: segments[*link],
                addresses: addresses.clone(),
                hosts: names(world, *link),
                fidelity: world.links[*link].fidelity,
            },
        };
        let added = host.add_node(&network).map_err(|error| CliError {
            message: format!("node {}: {}", node.name, error.message),
            ..error
        })?;
        for port in &added.published {
            if !quiet {
                host.outputs()[1].say(&format!(
                    "published {} -> {} of {}\n",
                    port.host, port.port, node.name
                ));
            }
        }
        nodes.push(added.id);
    }

    let named = world.nodes.iter().map(|node| &node.name);
    let named: Vec<_> = (nodes.iter().copied())
        .zip(named.map(|name| format!("node {name}: ")))
        .collect();
    host.await_addresses(&named)?;

    let files = host.obey(
        args.grants.policy.as_deref(),
        args.state.dir().as_deref(),
        quiet,
    )?;
    look_again(args, files, (&mut placed, asking), &host, refused)?;
    let outputs = host.outputs().clone();
    let mut started = Vec::with_capacity(placed.len());
    let mut foreground = FuturesUnordered::new();
    let mut background = FuturesUnordered::new();
    for (index, mut app) in placed.into_iter().enumerate() {
        let given = Given {
            arguments: std::mem::take(&mut app.arguments),
            consent: app.consent.clone(),
            timeout: args.timeout,
            memory_bytes_max: None,
            stdin: None,
            outputs: outputs.clone(),
            roots: roots.clone(),
        };
        let node = nodes[app.node];
        let (app, ended) = Started::start(&mut host, node, app, given, args)?;
        let numbered = async move { (index, ended.await) };
        if app.background {
            background.push(numbered);
        } else {
            foreground.push(numbered);
        }
        started.push(app);
    }
    let mut stop = host.stop_handle();
    let everyone = foreground.is_empty();
    let mut ended: Vec<_> = host.drive(async move {
        let mut ended = Vec::new();
        while let Some(one) = foreground.next().await {
            ended.push(one);
        }
        // A world of background apps alone goes on until each of them ends, or a signal comes.
        if !everyone {
            drop(stop.take());
        }
        while let Some(one) = background.next().await {
            ended.push(one);
        }
        ended
    })?;
    ended.sort_by_key(|(index, _)| *index);
    host.linger()?;

    let mut code = 0;
    let mut reports = Vec::new();
    let mut closing = host.rest_of_denials();
    for ((_, went), app) in ended.into_iter().zip(&started) {
        let Ok(went) = went else {
            continue;
        };
        let (own, report, said) = app.ended(&mut host, went, args);
        closing.push_str(&said);
        if code == 0 && !app.background {
            code = own;
        }
        reports.push(report);
    }
    let report = json!({"code": code, "apps": reports});
    Ok(Done {
        code,
        report,
        closing,
        host,
    })
}

/// Every node of a link by its name.
fn names(world: &World, of: usize) -> Vec<(HostName, Vec<IpAddr>)> {
    world
        .nodes
        .iter()
        .filter_map(|node| match &node.attachment {
            Attachment::Link {
                link,
                addresses,
                host_name,
            } if *link == of => Some((
                host_name.clone(),
                addresses.iter().map(|address| address.address()).collect(),
            )),
            _ => None,
        })
        .collect()
}
