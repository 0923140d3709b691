//! An app of a world, from when it is started to what is told of it.

use std::time::Duration;

use futures::channel::oneshot;
use nexus_caps::NetCtx;
use nexus_node::Quota;
use nexus_policy::AppIdentity;
use nexus_types::{InstanceId, Instant, NodeId, limits};
use serde_json::Value;

use super::{Placed, UpArgs};
use crate::cli::run::told;
use crate::cli::serving::{self, Opening};
use crate::cli::start::{Given, Host, ReadyToServe};
use crate::cli::{CliError, Output};
use crate::observe::report;
use crate::runtime::instance::{Ended, Outcome};
use crate::runtime::limits::AppLimits;
use crate::serve::{AccessLog, Format, Served, Server, Settings};

/// How it went.
pub(super) enum Went {
    Ran(Ended),
    Served(Serving, Outcome, Served),
}

/// See the module.
pub(super) struct Started {
    identity: AppIdentity,
    node: NodeId,
    instance: InstanceId,
    limits: AppLimits,
    quota: Quota,
    pub(super) background: bool,
}

/// What has served.
pub(super) struct Serving {
    server: Server,
    net: NetCtx,
    began: Instant,
}

/// Its tasks are those of the shard; this tells how it went.
type Task = oneshot::Receiver<Went>;

impl Started {
    /// Starts an app on its node.
    pub(super) fn start(
        host: &mut Host,
        node: NodeId,
        app: Placed,
        given: Given,
        args: &UpArgs,
    ) -> Result<(Self, Task), CliError> {
        if app.serve.is_empty() {
            Self::run(host, node, app, given)
        } else {
            Self::serve(host, node, app, given, args)
        }
    }

    fn run(
        host: &mut Host,
        node: NodeId,
        app: Placed,
        given: Given,
    ) -> Result<(Self, Task), CliError> {
        let ready = host.ready(node, app.candidate, given)?;
        let started = Self {
            identity: ready.identity.clone(),
            node,
            instance: ready.instance,
            limits: ready.limits,
            quota: ready.quota,
            background: app.background,
        };
        let task = host.task(ready, app.background);
        let task = host.driver().spawn(async { Went::Ran(task.await) });
        Ok((started, task))
    }

    fn serve(
        host: &mut Host,
        node: NodeId,
        app: Placed,
        given: Given,
        args: &UpArgs,
    ) -> Result<(Self, Task), CliError> {
        let tls = app.tls.as_ref().map(|[certificate, key]| {
            serving::read_tls(certificate, key, ["tls: the certificate", "tls: the key"])
        });
        let tls = tls.transpose()?;
        let timeout = given.timeout;
        // `--timeout` is the app's, its manifest's also each request's.
        let given = Given {
            timeout: None,
            ..given
        };
        let ready = host.ready_to_serve(node, app.candidate, given)?;
        let ReadyToServe {
            identity,
            net,
            mut limits,
            quota,
            app: served,
        } = ready;
        let settings = Settings::for_handler(served.handler()).within(limits.deadline);
        limits.deadline = Some(settings.deadline);
        let server = server(host, served, settings, &identity.id, args);
        let what = format!("{}: serve = ", identity.id);
        let opening = Opening {
            what: &what,
            by: Some(&identity.id),
            output: args.common.output,
            quiet: args.quiet,
        };
        for at in &app.serve {
            opening.listen(host, &server, &net, (*at, &tls))?;
        }
        let started = Self {
            identity,
            node,
            instance: net.instance,
            limits,
            quota,
            background: true,
        };
        let enough = host.enough(timeout);
        let grace = Duration::from_micros(limits::SERVE_GRACE_MICROS);
        let serving = Serving {
            began: net.shard.now(),
            server,
            net,
        };
        let task = host.driver().spawn(async move {
            let (outcome, served) = serving.server.until(enough, grace).await;
            Went::Served(serving, outcome, served)
        });
        Ok((started, task))
    }

    /// It has ended: its exit code, its report, and what is said of it.
    pub(super) fn ended(&self, host: &mut Host, went: Went, args: &UpArgs) -> (u8, Value, String) {
        let name = &self.identity.id;
        let mut closing = String::new();
        let (ended, served) = match went {
            Went::Served(serving, outcome, served) => {
                let of = (&self.identity, &serving.net);
                let ended = serving::ended(host, &serving.server, of, (serving.began, outcome));
                if !args.quiet {
                    closing.push_str(&serving::told(name, &served));
                }
                (ended, Some(served))
            }
            Went::Ran(ended) => (ended, None),
        };
        // Of all apps: said once, at the end.
        closing.push_str(&told(args.quiet, name, &ended, 0));
        let refusals = host.refusals(self.node, self.instance);
        closing.push_str(&refusals.passed.summary(name));
        let code = ended.outcome.code();
        let mut report =
            report::of_run(&self.identity, &self.limits, &self.quota, &ended, refusals);
        if let Some(served) = &served {
            report["served"] = serving::of_served(served);
        }
        if args.common.output == Output::Json {
            closing.clear();
        }
        (code, report, closing)
    }
}

fn server(
    host: &mut Host,
    app: crate::serve::App,
    settings: Settings,
    name: &str,
    args: &UpArgs,
) -> Server {
    let stderr = &host.outputs()[1];
    let told = (!args.quiet).then(|| {
        let format = match args.common.output {
            Output::Text => Format::Text,
            Output::Json => Format::Json,
        };
        (format, stderr.clone().into())
    });
    let access = AccessLog::new(told).of_app(name);
    let text = !args.quiet && args.common.output == Output::Text;
    let faults = text.then(|| stderr.clone().into());
    let spawner = host.driver().spawner();
    Server::new(app, settings, spawner, access, (name.to_owned(), faults))
}
