//! TCP between the kernel and the far end of a TAP interface: a guest of the host, and a bare
//! smoltcp loop, by turns on the same interface in one run. Started by `cargo xtask bench --peers`,
//! as root and in a network namespace of its own, which ends with it.
//!
//! The protocol is that of `components/burst`; the time is the kernel side's.

mod bare;
mod kernel;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nexus_bench::fact;

type Failure = Box<dyn Error>;

/// The kernel's address, and the network's.
const KERNEL: &str = "10.77.0.1";
const PREFIX: &str = "/24";
/// The far end's.
const FAR: &str = "10.77.0.2";
const PORT: u16 = 5201;
const INTERFACE: &str = "nx0";

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// From the kernel.
    In,
    /// To the kernel.
    Out,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}

/// Who is at the far end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    /// The smoltcp loop.
    Bare,
    /// The guest, checksums and segments made by the stack.
    Plain,
    /// The guest, both left to the interface.
    Offload,
}

impl Who {
    const ALL: [Self; 3] = [Self::Bare, Self::Plain, Self::Offload];

    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare_smoltcp",
            Self::Plain => "guest",
            Self::Offload => "guest_offload",
        }
    }
}

struct Options {
    host: PathBuf,
    guest: PathBuf,
    rounds: usize,
    bytes: u64,
    mtus: Vec<usize>,
    /// Measure these alone, and leave no facts.
    only: Option<(Way, Who)>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("bare") => bare::run(&arguments[1..]),
        _ => parse(&arguments).and_then(|options| run(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tap: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options {
        host: PathBuf::new(),
        guest: PathBuf::new(),
        rounds: 7,
        bytes: 512 << 20,
        mtus: vec![1_500, 9_000],
        only: None,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("{} needs a value", pair[0]).into());
        };
        match name.as_str() {
            "--host" => options.host = value.into(),
            "--guest" => options.guest = value.into(),
            "--rounds" => options.rounds = value.parse()?,
            "--mib" => options.bytes = value.parse::<u64>()? << 20,
            "--mtu" => options.mtus = vec![value.parse()?],
            "--only" => {
                let (way, who) = value.split_once(':').ok_or("--only WAY:WHO")?;
                let way = if way == "in" { Way::In } else { Way::Out };
                let who = Who::ALL.into_iter().find(|one| one.name() == who);
                options.only = Some((way, who.ok_or("who?")?));
            }
            other => return Err(format!("{other} is no option").into()),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), Failure> {
    ip(&["tuntap", "add", "dev", INTERFACE, "mode", "tap"])?;
    let network = format!("{KERNEL}{PREFIX}");
    ip(&["addr", "add", &network, "dev", INTERFACE])?;
    for &mtu in &options.mtus {
        ip(&["link", "set", INTERFACE, "mtu", &mtu.to_string(), "up"])?;
        for way in [Way::In, Way::Out] {
            let mut figures = [const { Vec::new() }; 3];
            for round in 0..options.rounds {
                for turn in 0..Who::ALL.len() {
                    // Nobody is always first, or always after the same one.
                    let place = (round + turn) % Who::ALL.len();
                    let who = Who::ALL[place];
                    if options.only.is_some_and(|only| only != (way, who)) {
                        continue;
                    }
                    let figure = once(options, mtu, way, who)?;
                    eprintln!("mtu {mtu} {way} {}: {figure:.2} Gbit/s", who.name());
                    figures[place].push(figure);
                }
            }
            if options.only.is_none() {
                report(mtu, way, &figures);
            }
        }
    }
    Ok(())
}

/// One transfer; Gbit/s.
fn once(options: &Options, mtu: usize, way: Way, who: Who) -> Result<f64, Failure> {
    // The far end's hardware address may be another one each time.
    ip(&["neigh", "flush", "dev", INTERFACE])?;
    let listener = match way {
        Way::In => None,
        Way::Out => Some(kernel::listen((KERNEL, PORT))?),
    };
    let mut far = Far(start(options, mtu, way, who)?);
    let time = match &listener {
        None => kernel::pour((FAR, PORT), options.bytes, &mut far.0)?,
        Some(listener) => kernel::take(listener, options.bytes, &mut far.0)?,
    };
    far.end()?;
    Ok(options.bytes as f64 * 8.0 / time.as_secs_f64() / 1e9)
}

fn start(options: &Options, mtu: usize, way: Way, who: Who) -> Result<Child, Failure> {
    let mut command = match who {
        Who::Bare => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["bare", &way.to_string(), &options.bytes.to_string()]);
            command.arg(mtu.to_string());
            command
        }
        Who::Plain | Who::Offload => {
            let mut command = Command::new(&options.host);
            command.arg("run").arg(&options.guest);
            command.args(["--net", &format!("tap:{INTERFACE}")]);
            command.args(["--address", &format!("{FAR}{PREFIX}"), "--allow-manifest"]);
            command.env(
                "NEXUS_OFFLOAD",
                if who == Who::Offload { "on" } else { "off" },
            );
            match way {
                Way::In => command.args(["--allow", &format!("network.tcp.listen=any:{PORT}")]),
                Way::Out => command.args(["--allow", &format!("network.tcp.connect=lan:{PORT}")]),
            };
            command.arg("--");
            let to = format!("{KERNEL}:{PORT}");
            let bytes = options.bytes.to_string();
            match way {
                Way::In => command.args(["server", "--count", "1", "--io", "streams"]),
                Way::Out => command
                    .args(["client", "--to", &to, "--bytes", &bytes])
                    .args(["--io", "streams"]),
            };
            command
        }
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(child)
}

/// The process at the far end; none is left behind.
struct Far(Child);

impl Far {
    fn end(mut self) -> Result<(), Failure> {
        let status = self.0.wait()?;
        if !status.success() {
            return Err(kernel::said(&mut self.0).into());
        }
        Ok(())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn report(mtu: usize, way: Way, figures: &[Vec<f64>; 3]) {
    for (who, figures) in Who::ALL.iter().zip(figures) {
        let id = format!("tap_{mtu}_{way}_{}", who.name());
        fact(&id, median(figures), "Gbit/s", &spread(figures));
    }
    let [bare, plain, offload] = figures;
    // Of each round, as both were under the load of that moment.
    let ratio = |over: &[f64], under: &[f64]| -> Vec<f64> {
        over.iter()
            .zip(under)
            .map(|(over, under)| over / under)
            .collect()
    };
    for (name, over, under) in [
        ("ratio", plain, bare),
        ("ratio_offload", offload, bare),
        ("offload_adds", offload, plain),
    ] {
        let each = ratio(over, under);
        let id = format!("tap_{mtu}_{way}_{name}");
        fact(&id, median(&each), "x", &spread(&each));
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

fn spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("{} rounds, {least:.2} to {most:.2}", figures.len())
}

fn ip(arguments: &[&str]) -> Result<(), Failure> {
    let status = Command::new("ip").args(arguments).status()?;
    if !status.success() {
        return Err(format!("ip {} failed", arguments.join(" ")).into());
    }
    Ok(())
}

/// How long anything may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
