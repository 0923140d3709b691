//! An app of a machine that has booted, from then on.

use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use nexus_caps::NetCtx;
use nexus_node::NetError;
use nexus_types::{ErrorCode, Instant};

use super::run::Shared;
use crate::driver::Spawner;
use crate::runtime::instance::{self, Outcome};
use crate::runtime::state::AppState;
use crate::serve::{AccessLog, App, Format, Server, Settings, StackListener};

/// See the module.
pub(super) struct Starting {
    /// Among all apps.
    pub(super) index: usize,
    pub(super) begin: Instant,
    /// It is not waited for.
    pub(super) background: bool,
    pub(super) name: String,
    pub(super) shared: Rc<Shared>,
}

impl Starting {
    /// Runs a program to its end.
    pub(super) async fn run(
        self,
        prepared: Arc<instance::Prepared>,
        state: AppState,
        shard: nexus_caps::Shard,
    ) {
        shard.sleep_until(self.begin).await;
        self.begins();
        let ended = prepared.run(state, &[], pending(), || {}).await;
        if let Outcome::Failed(text) = &ended.outcome
            && !ended.over_limit
        {
            self.lacks(text);
        }
        self.ends(ended.outcome);
    }

    /// What answers requests, told where the app's own output is.
    pub(super) fn server(&self, app: App, settings: Settings, spawner: Spawner) -> Server {
        let fates = self.shared.fates.borrow();
        let fate = &fates[self.index];
        let access = AccessLog::new(Some((Format::Text, fate.access.clone().into())));
        let told = (self.name.clone(), Some(fate.stderr.clone().into()));
        Server::new(app, settings, spawner, access, told)
    }

    /// Serves to the end of its machine.
    pub(super) async fn serve(self, server: Server, places: Vec<SocketAddr>, net: NetCtx) {
        net.shard.sleep_until(self.begin).await;
        self.begins();
        for place in places {
            match StackListener::bind(net.clone(), place) {
                Ok(listener) => server.listen(listener, None),
                Err(error) => {
                    self.cannot_listen(place, &error);
                    net.shard
                        .enter(|mesh, now| mesh.node_mut(net.node).end(now, net.instance));
                    return;
                }
            }
        }
        self.lacks(&server.lacks().await);
    }

    fn begins(&self) {
        self.shared.turned.borrow_mut().push((self.index, false));
    }

    fn ends(&self, outcome: Outcome) {
        self.shared.fates.borrow_mut()[self.index].outcome = Some(outcome);
        self.over();
    }

    fn over(&self) {
        self.shared.turned.borrow_mut().push((self.index, true));
        self.shared.settle(self.background);
    }

    fn cannot_listen(&self, place: SocketAddr, error: &NetError) {
        let text = format!("serve = \"stack:{place}\": {error}");
        if error.code != ErrorCode::Denied {
            return self.ends(Outcome::Failed(text));
        }
        let hint = "\n  a port of the app's node needs its network.tcp.listen, as in allow = [\"network.tcp.listen=any:80\"]";
        self.shared.fates.borrow_mut()[self.index].refused = Some(text + hint);
        self.over();
    }

    /// No fault of the app's: another machine, or another hour, would have run it.
    fn lacks(&self, text: &str) {
        let text = format!("{}: {text}", self.name);
        self.shared.lacks.borrow_mut().get_or_insert(text);
    }
}
