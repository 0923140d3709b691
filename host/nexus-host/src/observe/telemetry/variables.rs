//! The standard `OTEL_*` variables, and those that name proxies: what they ask for, read once and checked.
//!
//! The OpenTelemetry SDKs fall back to a default where a value is wrong. Here it is refused, because who set it
//! expects what it says; what is only not used here is warned about. Nothing of it is read while nothing is to be
//! exported: the variables may be somebody else's.
//!
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ureq::Proxy;
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::proxy::{self, Proxies};
use super::values::{headers, number, pairs};

/// Where a collector listens that nobody named, if one was asked for (the specification's default).
const ENDPOINT: &str = "http://localhost:4318";

/// The most spans that may wait. Stops a slip of the keyboard from being gigabytes: a span is about 1 KiB.
pub const QUEUE_MAX: u64 = 65_536;

/// How a request's body is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// `http/protobuf`
    Protobuf,
    /// `http/json`
    Json,
}

/// Where one signal goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Exporter {
    /// The whole URL; without user, password, query.
    pub url: Uri,
    /// In which form.
    pub protocol: Protocol,
    /// Sent along; may hold secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A request takes no longer.
    pub timeout: Duration,
    /// Whom to trust instead of Mozilla's list: a PEM file.
    pub certificate: Option<PathBuf>,
    /// What it is reached by; may hold a password. None: straight.
    pub proxy: Option<Proxy>,
}

impl Exporter {
    /// Where it goes, for a person. Without the path: a collector may be told apart by a secret in it.
    pub fn place(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let authority = self.url.authority().map_or("", |a| a.as_str());
        format!("{scheme}://{authority}")
    }
}

/// No header in it, and no path.
impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.place(), self.protocol)
    }
}

/// What the variables ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What describes this process.
    pub resource: Vec<(String, String)>,
    /// Where spans go.
    pub traces: Option<Exporter>,
    /// Where metrics go.
    pub metrics: Option<Exporter>,
    /// Spans that may wait.
    pub queue: usize,
    /// Spans of one request.
    pub batch: usize,
    /// How long a span waits for others.
    pub delay: Duration,
    /// How often metrics go.
    pub interval: Duration,
    /// What to tell the person who set them.
    pub warnings: Vec<String>,
}

/// A variable that cannot be obeyed. Values are never in it: they may be secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VariableError {
    /// Which.
    pub name: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

impl std::error::Error for VariableError {}

/// The two signals there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    const fn upper(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
        }
    }
}

/// Reads the variables of this process. None: nothing is to be exported.
///
/// # Errors
/// A value that cannot be obeyed.
pub fn of_process() -> Result<Option<Settings>, VariableError> {
    let mut variables = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str() else {
            continue;
        };
        if proxy::is_ours(name) {
            // Refused where it is to be used: no proxy has a name with what stands for what is not UTF-8.
            let value = value.to_string_lossy().into_owned();
            variables.insert(name.to_owned(), value);
            continue;
        }
        if !name.starts_with("OTEL_") {
            continue;
        }
        match value.into_string() {
            Ok(value) => variables.insert(name.to_owned(), value),
            Err(_) => return Err(error(name, "is not UTF-8", "write it in UTF-8")),
        };
    }
    read(variables)
}

/// As [`of_process`], of these variables. One that is set to nothing is not set (the specification says so).
///
/// # Errors
/// A value that cannot be obeyed.
pub fn read(mut variables: BTreeMap<String, String>) -> Result<Option<Settings>, VariableError> {
    variables.retain(|_, value| {
        let trimmed = value.trim();
        *value = trimmed.to_owned();
        !value.is_empty()
    });
    let proxies = Proxies::take(&mut variables);
    let reader = Reader {
        variables,
        proxies,
        used: BTreeSet::new(),
        warnings: Vec::new(),
    };
    reader.settings()
}

pub(super) fn error(
    name: &str,
    problem: impl Into<String>,
    fix: impl Into<String>,
) -> VariableError {
    VariableError {
        name: name.to_owned(),
        problem: problem.into(),
        fix: fix.into(),
    }
}

struct Reader {
    variables: BTreeMap<String, String>,
    proxies: Proxies,
    used: BTreeSet<String>,
    warnings: Vec<String>,
}

impl Reader {
    fn get(&mut self, name: &str) -> Option<String> {
        self.used.insert(name.to_owned());
        self.variables.get(name).cloned()
    }

    /// Of a signal, or else of all.
    fn of_signal(&mut self, signal: Signal, what: &str) -> Option<(String, String)> {
        let one = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.upper());
        let all = format!("OTEL_EXPORTER_OTLP_{what}");
        let for_all = self.get(&all).map(|value| (all, value));
        self.get(&one).map(|value| (one, value)).or(for_all)
    }

    fn number(&mut self, name: &str, default: u64, max: u64) -> Result<u64, VariableError> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        number(name, &text, max)
    }

    fn settings(mut self) -> Result<Option<Settings>, VariableError> {
        match self.get("OTEL_SDK_DISABLED") {
            Some(value) if value.eq_ignore_ascii_case("true") => return Ok(None),
            Some(value) if !value.eq_ignore_ascii_case("false") => self.warnings.push(
                "OTEL_SDK_DISABLED is neither `true` nor `false`; taken as `false`".to_owned(),
            ),
            _ => {}
        }
        let traces = self.exporter(Signal::Traces)?;
        let metrics = self.exporter(Signal::Metrics)?;
        let sampled = self.sampled()?;
        let traces = traces.filter(|_| sampled);
        self.logs()?;
        if traces.is_none() && metrics.is_none() {
            return Ok(None);
        }
        self.temporality()?;
        let queue = self.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, QUEUE_MAX)?;
        let batch = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", queue.min(512), QUEUE_MAX)?;
        if batch > queue {
            return Err(error(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                format!("{batch} spans in one request, and {queue} may wait"),
                "make it at most OTEL_BSP_MAX_QUEUE_SIZE",
            ));
        }
        let millis = |value| Duration::from_millis(value);
        let delay = millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 3_600_000)?);
        let interval = millis(self.number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, 86_400_000)?);
        let resource = self.resource()?;
        for name in self.variables.keys() {
            if !self.used.contains(name) {
                self.warnings
                    .push(format!("{name} is set, and nexus-host does not use it"));
            }
        }
        Ok(Some(Settings {
            resource,
            traces,
            metrics,
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            delay,
            interval,
            warnings: self.warnings,
        }))
    }

    fn exporter(&mut self, signal: Signal) -> Result<Option<Exporter>, VariableError> {
        let name = format!("OTEL_{}_EXPORTER", signal.upper());
        let asked = match self.get(&name).as_deref() {
            None => false,
            Some("otlp") => true,
            Some("none") => return Ok(None),
            Some("prometheus") => {
                return Err(error(
                    &name,
                    "Prometheus is served by a flag here",
                    "set it to `otlp` or `none`, and give --metrics 127.0.0.1:9464",
                ));
            }
            Some(_) => {
                return Err(error(
                    &name,
                    "not an exporter there is here",
                    "set it to `otlp` or `none`",
                ));
            }
        };
        let Some(url) = self.url(signal, asked)? else {
            return Ok(None);
        };
        let protocol = match self.of_signal(signal, "PROTOCOL") {
            None => Protocol::Protobuf,
            Some((_, value)) if value == "http/protobuf" => Protocol::Protobuf,
            Some((_, value)) if value == "http/json" => Protocol::Json,
            Some((name, value)) => {
                let problem = if value == "grpc" {
                    "gRPC is not spoken here"
                } else {
                    "not a protocol there is"
                };
                let fix = "set it to `http/protobuf` or `http/json`, and the endpoint to the \
                           collector's HTTP port (4318 unless it was changed)";
                return Err(error(&name, problem, fix));
            }
        };
        let headers = match self.of_signal(signal, "HEADERS") {
            Some((name, value)) => headers(&name, &value)?,
            None => Vec::new(),
        };
        let mut timeout = match self.of_signal(signal, "TIMEOUT") {
            Some((name, value)) => number(&name, &value, 600_000)?,
            None => 10_000,
        };
        let export = match signal {
            Signal::Traces => "OTEL_BSP_EXPORT_TIMEOUT",
            Signal::Metrics => "OTEL_METRIC_EXPORT_TIMEOUT",
        };
        timeout = timeout.min(self.number(export, 30_000, 600_000)?);
        match self.of_signal(signal, "COMPRESSION") {
            Some((name, value)) if value == "gzip" => self
                .warnings
                .push(format!("{name}: nothing is compressed here; sent as it is")),
            Some((name, value)) if value != "none" => {
                let problem = "not a compression there is";
                return Err(error(&name, problem, "set it to `none`, or unset it"));
            }
            _ => {}
        }
        let certificate = self.of_signal(signal, "CERTIFICATE");
        for what in ["CLIENT_CERTIFICATE", "CLIENT_KEY"] {
            if let Some((name, _)) = self.of_signal(signal, what) {
                return Err(error(
                    &name,
                    "no client certificate is shown to a collector here",
                    "unset it; authenticate with OTEL_EXPORTER_OTLP_HEADERS over https",
                ));
            }
        }
        Ok(Some(Exporter {
            proxy: self.proxies.of(&url)?,
            url,
            protocol,
            headers,
            timeout: Duration::from_millis(timeout),
            certificate: certificate.map(|(_, value)| value.into()),
        }))
    }

    /// The endpoint of all signals is a base; that of one signal is taken as it is.
    fn url(&mut self, signal: Signal, asked: bool) -> Result<Option<Uri>, VariableError> {
        let base = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let one = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.upper());
        let of_all = self.get(base);
        let (name, text) = match (self.get(&one), of_all) {
            (Some(url), _) => (one.as_str(), url),
            (None, Some(url)) => (base, below(&url, signal)),
            (None, None) if asked => (base, below(ENDPOINT, signal)),
            (None, None) => return Ok(None),
        };
        let fix = "write it as http://127.0.0.1:4318 or https://collector.example.com";
        let url: Uri = text.parse().map_err(|_| error(name, "not a URL", fix))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(error(name, "begins with neither http:// nor https://", fix));
        }
        let Some(authority) = url.authority() else {
            return Err(error(name, "names no host", fix));
        };
        let secret = "give keys and passwords by OTEL_EXPORTER_OTLP_HEADERS";
        if authority.as_str().contains('@') {
            return Err(error(name, "has a user or password in it", secret));
        }
        if url.query().is_some() || text.contains('#') {
            return Err(error(name, "has a query or fragment in it", secret));
        }
        if !proxy::names_a_host(authority) {
            return Err(error(name, "names no host, or a port there is not", fix));
        }
        Ok(Some(url))
    }

    /// Whether traces are kept at all. A trace begins with an app's run, so that there is no parent to go by.
    fn sampled(&mut self) -> Result<bool, VariableError> {
        let name = "OTEL_TRACES_SAMPLER";
        match self.get(name).as_deref() {
            None | Some("always_on" | "parentbased_always_on") => Ok(true),
            Some("always_off" | "parentbased_always_off") => Ok(false),
            Some(_) => Err(error(
                name,
                "a run is one trace here: it is kept or it is not",
                "set it to `always_on` or `always_off`",
            )),
        }
    }

    /// Logs go to standard error, and to no collector.
    fn logs(&mut self) -> Result<(), VariableError> {
        let name = "OTEL_LOGS_EXPORTER";
        match self.get(name).as_deref() {
            None | Some("none") => Ok(()),
            Some(_) => Err(error(
                name,
                "logs go to standard error here, and to no collector",
                "set it to `none`, or unset it; see --log",
            )),
        }
    }

    fn temporality(&mut self) -> Result<(), VariableError> {
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        match self.get(name) {
            None => Ok(()),
            Some(value) if value.eq_ignore_ascii_case("cumulative") => Ok(()),
            Some(_) => Err(error(
                name,
                "counters go as their sums since the start here",
                "set it to `cumulative`, or unset it",
            )),
        }
    }

    fn resource(&mut self) -> Result<Vec<(String, String)>, VariableError> {
        let mut resource = BTreeMap::from([
            ("service.name".to_owned(), "nexus-host".to_owned()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
            ("telemetry.sdk.name".to_owned(), "nexus-host".to_owned()),
            ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
        ]);
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(text) = self.get(name) {
            resource.extend(pairs(name, &text)?);
        }
        if let Some(service) = self.get("OTEL_SERVICE_NAME") {
            resource.insert("service.name".to_owned(), service);
        }
        Ok(resource.into_iter().collect())
    }
}

fn below(base: &str, signal: Signal) -> String {
    format!("{}/{}", base.trim_end_matches('/'), signal.path())
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
