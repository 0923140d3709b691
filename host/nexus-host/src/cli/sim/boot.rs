//! A machine of a world as it boots, with its apps.

use std::rc::Rc;
use std::sync::Arc;

use nexus_caps::NetCtx;
use nexus_node::{Event, Quota};
use nexus_policy::switch::Site;
use nexus_sim::{Boot, Station};

use super::place::Place;
use super::plan::{Planned, Prepared};
use super::run::{MIDNIGHT, Shared};
use super::shelf::Entry;
use super::starting::Starting;
use crate::cli::start;
use crate::driver::GuestMachine;
use crate::runtime::clocks::WallClock;
use crate::runtime::limits::AppLimits;
use crate::runtime::state::{AppStart, AppState, Opened};
use crate::serve::{App, Settings};

impl Prepared {
    /// See the module.
    pub(super) fn boot(
        self: &Arc<Self>,
        node: usize,
        boot: &Boot<'_>,
        shared: &Rc<Shared>,
    ) -> Place {
        if !self.scenario.nodes[node].peers.is_empty() {
            let station = Station::of_peers(boot, self.stack(node), &shared.heard[node].peers());
            let station = station.expect("it was tried when the scenario was read");
            return Place::Peers(Box::new(station));
        }
        let to_start: Vec<_> = self
            .apps_of(node)
            .filter(|(index, _)| !shared.over.get() && !shared.fates.borrow()[*index].is_over())
            .collect();
        let indexes: Vec<_> = to_start.iter().map(|(index, _)| *index).collect();
        let heard = shared.clone();
        let on_event = move |event: &Event| {
            let Event::Denied { instance, denial } = event else {
                return;
            };
            if let Some(&index) = indexes.get(instance.0 as usize) {
                let mut fates = heard.fates.borrow_mut();
                fates[index].denied.insert(denial.capability);
            }
        };
        let mut machine = GuestMachine::new(boot, self.stack(node), self.policy(node), on_event)
            .expect("it was tried when the scenario was read");
        for (index, app) in to_start {
            let background = self.given(app).background;
            let starting = Starting {
                index,
                begin: boot.now + self.given(app).start,
                background,
                name: app.name.clone(),
                shared: shared.clone(),
            };
            if let Err(why) = self.start(&mut machine, boot, app, starting) {
                shared.fates.borrow_mut()[index].refused = Some(why);
                shared.settle(background);
            }
        }
        Place::Guests(machine)
    }

    /// Admits an app by the production gate and has it run.
    fn start(
        &self,
        machine: &mut GuestMachine,
        boot: &Boot<'_>,
        app: &Planned,
        starting: Starting,
    ) -> Result<(), String> {
        let entry = app.prepared.clone()?;
        let (shard, node) = (machine.shard().clone(), machine.node());
        let instance = machine.next_instance();
        let admission = shard
            .enter(|mesh, now| {
                let gate = mesh.node_mut(node).gate_mut();
                Site::AdmitSim.ask(|| {
                    gate.admit(
                        now,
                        instance,
                        app.candidate.identity.clone(),
                        app.candidate.manifest.clone(),
                        app.consent.clone(),
                        &app.candidate.asked,
                    )
                })
            })
            .map_err(|refused| refused.text())?;
        let manifest = &app.candidate.manifest;
        let limits = AppLimits {
            memory_bytes: start::memory(&admission, manifest, None)
                .map_err(|error| error.message)?,
            ..AppLimits::of(&admission.limits)
        };
        let quota = Quota {
            sockets: admission.limits.sockets,
            bytes_in_flight: admission.limits.bytes_in_flight,
        };
        shard.enter(|mesh, _| mesh.node_mut(node).start(instance, quota));
        let (stdout, stderr) = {
            let fate = &starting.shared.fates.borrow()[starting.index];
            (fate.stdout.clone(), fate.stderr.clone())
        };
        let state = AppStart {
            args: app.arguments.clone(),
            env: start::environment(&admission, manifest),
            dirs: start::directories(&admission, manifest),
            stdin: None,
            stdout: Some(stdout.into()),
            stderr: Some(stderr.into()),
            seed: boot.seed.split(&format!("instance {}", instance.0)),
            wall: WallClock::Virtual(MIDNIGHT),
            slices: self.engine.slices(),
            limits,
            roots: Vec::new(),
        };
        let net = NetCtx {
            shard,
            node,
            instance,
        };
        match entry {
            Entry::Run(prepared) => {
                let state = AppState::new(state, net.clone()).map_err(|error| error.to_string())?;
                machine.spawn(starting.run(prepared, state, net.shard));
            }
            Entry::Serve(servable) => {
                let opened = Opened::new(&state.dirs).map_err(|error| error.to_string())?;
                let served = App::new(servable, state, opened, net.clone());
                let settings = Settings::for_handler(served.handler()).within(limits.deadline);
                let server = starting.server(served, settings, machine.spawner());
                let places = self.given(app).serve.clone();
                machine.spawn(starting.serve(server, places, net));
            }
        }
        Ok(())
    }
}
