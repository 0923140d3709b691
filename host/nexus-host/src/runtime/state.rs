//! What belongs to one running app: the data of its wasmtime store.

use std::sync::Arc;

use nexus_caps::{
    HttpCtx, HttpCtxView, HttpView, NetCtx, NetCtxView, NetView, RootsFor, Shard, Trust,
};
use nexus_policy::wasi::DirectoryMode;
use nexus_types::Seed;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, OpenMode};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_io::IoView;

use super::clocks::{ClocksView, WallClock};
use super::engine::Slices;
use super::held::OpenFiles;
use super::http::Http;
use super::limits::{AppLimits, Ledger};
use super::revoked::{Revocations, Watch, What};
use super::shown;
use super::stdio::{Input, Stdout};

/// A directory the app was granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantedDir {
    /// Where it is.
    pub host: std::path::PathBuf,
    /// What the app calls it.
    pub guest: String,
    /// Whether the app may change what is in it.
    pub writable: bool,
}

/// What an app is started with.
pub struct AppStart {
    /// `argv`, the app's own name first.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// The directories it may open, and nothing beside them.
    pub dirs: Vec<GrantedDir>,
    /// Standard input; none: at its end from the start.
    pub stdin: Option<Input>,
    /// Standard output; none: into the void.
    pub stdout: Option<Stdout>,
    /// Standard error; none: into the void.
    pub stderr: Option<Stdout>,
    /// Where its randomness comes from.
    pub seed: Seed,
    /// Where its time of day comes from.
    pub wall: WallClock,
    /// What makes it give way; as the engine was made with.
    pub slices: Slices,
    /// What it may use.
    pub limits: AppLimits,
    /// Whom TLS trusts beside the public roots, for its requests.
    pub roots: Vec<RootsFor>,
}

/// A granted directory cannot be opened.
#[derive(Debug)]
pub struct DirError {
    /// Where it should be.
    pub host: std::path::PathBuf,
    /// What the OS says.
    pub why: String,
}

impl std::fmt::Display for DirError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the granted directory {} cannot be opened: {}",
            shown::path(&self.host),
            self.why
        )
    }
}

impl std::error::Error for DirError {}

/// An app's folders, opened: once for all its instances.
pub struct Opened {
    /// The folders, and what the app calls them.
    granted: Vec<(Dir, String)>,
    revocations: Arc<Revocations>,
}

impl Opened {
    /// Opens them.
    ///
    /// # Errors
    /// One cannot be opened, or is not what was judged.
    pub fn new(dirs: &[GrantedDir]) -> Result<Self, DirError> {
        Ok(Self {
            granted: open_dirs(dirs)?,
            revocations: revocations(dirs)?,
        })
    }

    /// Which of them are taken is said here.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }
}

/// The data of an app's store.
pub struct AppState {
    table: ResourceTable,
    files: OpenFiles,
    /// The folders it has, and what it calls them.
    granted: Vec<(Dir, String)>,
    revocations: Arc<Revocations>,
    /// The generation of those up to which what was taken has been ended.
    ended: u64,
    wasi: Wasi,
    http: Http,
    net: NetCtx,
    client: Arc<HttpCtx>,
    wall: WallClock,
    pub(super) slices: Slices,
    pub(crate) ledger: Ledger,
}

/// Base WASI of an app. An app that calls none of it pays for none: it is a tenth of what a fresh
/// instance costs (`fresh_instance` of the benches).
enum Wasi {
    /// Not called yet.
    Start(Arc<AppStart>, Seed),
    Made(Box<WasiCtx>),
}

impl Wasi {
    fn ctx(&mut self) -> &mut WasiCtx {
        if let Self::Start(start, seed) = self {
            *self = Self::Made(Box::new(context(start, seed).build()));
        }
        match self {
            Self::Made(ctx) => ctx,
            Self::Start(..) => unreachable!("made above"),
        }
    }
}

impl AppState {
    /// Everything an app has before its first instruction. Folders are opened now, so that one that
    /// cannot be is said before the app runs.
    pub fn new(start: AppStart, net: NetCtx) -> Result<Self, DirError> {
        let opened = Opened::new(&start.dirs)?;
        let seed = start.seed.clone();
        let client = Self::client_of(&start, &net);
        Ok(Self::again(&Arc::new(start), seed, &opened, &client, net))
    }

    /// The same for one of several instances of an app: with randomness of its own, and the folders that were
    /// opened once for all.
    pub fn again(
        start: &Arc<AppStart>,
        seed: Seed,
        opened: &Opened,
        client: &Arc<HttpCtx>,
        net: NetCtx,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(start.limits.handles as usize);
        Self {
            table,
            files: OpenFiles::default(),
            granted: opened.granted.clone(),
            revocations: opened.revocations.clone(),
            // What was taken already is ended before its first use.
            ended: 0,
            wall: start.wall,
            slices: start.slices,
            ledger: Ledger::new(start.limits),
            wasi: Wasi::Start(start.clone(), seed),
            http: Http::new(client.clone()),
            client: client.clone(),
            net,
        }
    }

    /// What all instances of an app make their requests with.
    pub(crate) fn client_of(start: &AppStart, net: &NetCtx) -> Arc<HttpCtx> {
        let clock = TimeOfDay {
            wall: start.wall,
            shard: net.shard.clone(),
        };
        let trust = Trust::new(Arc::new(clock), start.roots.clone());
        let seed = start.seed.split("http");
        let limits = start.limits.requests;
        Arc::new(HttpCtx::new(net.clone(), seed, trust, limits))
    }

    /// The shard it runs on.
    pub fn shard(&self) -> &Shard {
        &self.net.shard
    }

    /// Which app it is, and on which node.
    pub(crate) fn caller(&self) -> &NetCtx {
        &self.net
    }

    /// What its requests are made with.
    pub(crate) fn client(&self) -> &Arc<HttpCtx> {
        &self.client
    }

    /// Which of its folders are taken is said here.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// What it holds, and what of it is open files; what was taken is ended.
    pub(super) fn files(&mut self) -> (&mut ResourceTable, &mut OpenFiles) {
        self.end_revoked();
        (&mut self.table, &mut self.files)
    }

    /// What it holds, and what belongs to `wasi:http`.
    pub(super) fn http_parts(&mut self) -> (&mut ResourceTable, &mut Http) {
        (&mut self.table, &mut self.http)
    }

    /// For what goes on using something of a folder.
    pub(super) fn watch(&self, what: What, needs: DirectoryMode) -> Watch {
        Watch::new(&self.revocations, what, needs)
    }

    /// New handles of the folders it has.
    pub(super) fn directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.end_revoked();
        let handles = self.granted.iter().map(|(dir, guest)| {
            let handle = self.table.push(Descriptor::Dir(dir.clone()))?;
            Ok((handle, guest.clone()))
        });
        handles.collect()
    }

    /// To be called before anything of a folder is used.
    fn end_revoked(&mut self) {
        let generation = self.revocations.generation();
        if generation != self.ended {
            self.revocations.end(&mut self.table, &mut self.granted);
            self.ended = generation;
        }
    }

    pub(crate) fn clocks(&mut self) -> ClocksView<'_> {
        ClocksView {
            shard: &self.net.shard,
            wall: self.wall,
            table: &mut self.table,
        }
    }
}

/// Everything but the folders.
fn context(start: &AppStart, seed: &Seed) -> WasiCtxBuilder {
    let mut ctx = WasiCtx::builder();
    // Nothing on a guest's path goes to another thread (DESIGN section 5).
    ctx.allow_blocking_current_thread(true)
        .args(&start.args)
        .envs(&start.env)
        .secure_random(ChaCha20Rng::from_seed(seed.split("secure").bytes()))
        .insecure_random(ChaCha20Rng::from_seed(seed.split("insecure").bytes()))
        .insecure_random_seed(insecure_seed(seed))
        .max_random_size(start.limits.hostcall_bytes);
    if let Some(stdin) = &start.stdin {
        ctx.stdin(stdin.clone());
    }
    if let Some(stdout) = &start.stdout {
        ctx.stdout(stdout.clone());
    }
    if let Some(stderr) = &start.stderr {
        ctx.stderr(stderr.clone());
    }
    ctx
}

fn open_dirs(dirs: &[GrantedDir]) -> Result<Vec<(Dir, String)>, DirError> {
    let opened = dirs.iter().map(|dir| {
        check_path(dir)?;
        let fail = |why: String| DirError {
            host: dir.host.clone(),
            why,
        };
        let opened = super::open::folder(&dir.host).map_err(|error| fail(error.to_string()))?;
        let (perms, mode) = if dir.writable {
            (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE)
        } else {
            (FsPerms::ReadOnly, OpenMode::READ)
        };
        let opened = Dir::new(opened.into(), perms, mode, true);
        Ok((opened, dir.guest.clone()))
    });
    opened.collect()
}

fn revocations(dirs: &[GrantedDir]) -> Result<Arc<Revocations>, DirError> {
    match Revocations::new(dirs) {
        Ok(revocations) => Ok(Arc::new(revocations)),
        Err(error) => Err(DirError {
            host: dirs.first().map(|dir| dir.host.clone()).unwrap_or_default(),
            why: format!("it could not be taken back: {error}"),
        }),
    }
}

/// What was judged is the path as it is written; what is opened must be the same folder. A link
/// on the way (which another app may have made) would lead elsewhere.
fn check_path(dir: &GrantedDir) -> Result<(), DirError> {
    let fail = |why: String| DirError {
        host: dir.host.clone(),
        why,
    };
    let real = dir
        .host
        .canonicalize()
        .map_err(|error| fail(error.to_string()))?;
    if real == dir.host {
        Ok(())
    } else {
        Err(fail(format!(
            "a link on the way leads to {}; name that folder instead",
            shown::path(&real)
        )))
    }
}

fn insecure_seed(seed: &Seed) -> u128 {
    let mut rng = ChaCha20Rng::from_seed(seed.split("insecure-seed").bytes());
    u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
}

impl WasiView for AppState {
    /// What wasmtime-wasi serves of files goes through here.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.end_revoked();
        WasiCtxView {
            ctx: self.wasi.ctx(),
            table: &mut self.table,
        }
    }
}

impl IoView for AppState {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// The time of day of an app's own clock: certificates are valid on the day it is for the app.
struct TimeOfDay {
    wall: WallClock,
    shard: Shard,
}

impl nexus_services::http::WallClock for TimeOfDay {
    fn unix_time(&self) -> Option<std::time::Duration> {
        Some(self.wall.now(&self.shard))
    }
}

impl HttpView for AppState {
    fn requests(&mut self) -> HttpCtxView<'_> {
        HttpCtxView {
            ctx: &self.client,
            table: &mut self.table,
        }
    }
}

impl NetView for AppState {
    fn net(&mut self) -> NetCtxView<'_> {
        NetCtxView {
            ctx: &self.net,
            table: &mut self.table,
        }
    }
}
