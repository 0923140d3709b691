//! How much a run tells of itself while it runs: the log, Prometheus, the `OTEL_*` variables.

use std::net::{SocketAddr, TcpListener};

use clap::Args;
use serde_json::json;

use super::{CliError, Kind, Output};
use crate::observe::log::{self, Filter};
use crate::observe::telemetry::{self, Wanted, variables};
use crate::runtime::stdio::say;

/// What is told of a run while it runs.
#[derive(Args)]
pub(super) struct ObserveArgs {
    /// Say what the host does: LEVEL or TARGET=LEVEL, several with commas (warn; info; nexus::policy=debug)
    /// [default: RUST_LOG, else warn]
    #[arg(long, value_name = "FILTER", value_parser = Filter::parse, env = "NEXUS_LOG")]
    log: Option<Filter>,
    /// Serve numbers for Prometheus on this machine's loopback, as http://ADDR:PORT/metrics (port 0: any). Spans and
    /// numbers go to a collector if OTEL_EXPORTER_OTLP_ENDPOINT names one, by HTTP_PROXY, HTTPS_PROXY or ALL_PROXY but
    /// for what NO_PROXY names
    #[arg(long, value_name = "ADDR:PORT", value_parser = telemetry::parse_address, env = "NEXUS_METRICS")]
    metrics: Option<SocketAddr>,
}

impl ObserveArgs {
    /// Reads the variables, begins the log, opens the port: before anything of an app is looked at.
    pub(super) fn wanted(&self, output: Output, quiet: bool) -> Result<Wanted, CliError> {
        let filter = self.log.clone().unwrap_or_else(|| {
            let rust_log = std::env::var("RUST_LOG").unwrap_or_default();
            Filter::of_rust_log(&rust_log)
        });
        let apps_logged = filter.wants_apps();
        log::install(filter, output == Output::Json);
        let export = variables::of_process()
            .map_err(|error| CliError::new(Kind::Usage, &error).hint(&error.fix))?;
        for warning in export.iter().flat_map(|settings| &settings.warnings) {
            tracing::warn!(target: "nexus::telemetry", "{warning}");
        }
        let page = self
            .metrics
            .map(|address| page(address, output, quiet))
            .transpose()?;
        Ok(Wanted {
            export,
            page,
            apps_logged,
        })
    }
}

fn page(address: SocketAddr, output: Output, quiet: bool) -> Result<TcpListener, CliError> {
    let failed = |error| {
        CliError::new(Kind::Host, format!("--metrics {address}: {error}"))
            .hint("name another port, or port 0 for any that is free")
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    // A port nobody chose has to be said, or nobody could come.
    if !quiet || address.port() == 0 {
        let url = format!("http://{bound}/metrics");
        match output {
            Output::Text => say(&format!("metrics: {url}\n")),
            Output::Json => say(&format!("{}\n", json!({"metrics": url}))),
        }
    }
    Ok(listener)
}
