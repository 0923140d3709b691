//! `fetch-c`: bindings by wit-bindgen, compiled and linked by clang with wasi-libc, made a component here.
//!
//! Clang, wasi-libc and the linker are those of Zig, whose `cc` is clang: one package of PyPI, pinned by its
//! hash, that runs on every system. Debian's would do on Debian alone, and in the stable release its wasi-libc is of
//! another year than its clang. Zig's wasi-libc is built for WASI 0.1, so the component gets wasmtime's adapter,
//! which imports WASI 0.2 for what the C library calls.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};

use super::Job;
use super::python::Environment;
use crate::componentize;
use crate::step::{Step, run, run_quietly, run_quietly_ok};
use crate::workspace::Workspace;

pub(super) const REQUIREMENTS: &str = super::python::REQUIREMENTS;

const BUILD_LIMIT: Duration = Duration::from_secs(300);

/// The version of wit-bindgen: the workspace's own, whose component types our encoder reads.
pub(super) fn tools(workspace: &Workspace) -> Result<String> {
    Ok(format!(
        "wit-bindgen {}",
        workspace.locked_version("wit-bindgen")?
    ))
}

/// Makes it.
pub(super) fn make(job: &Job<'_>) -> Result<Vec<u8>> {
    let wit_bindgen = wit_bindgen(job.workspace)?;
    let bindings = job.work.join("bindings");
    run_quietly_ok(
        Command::new(wit_bindgen)
            .args(["c", "--world", "fetch", "--out-dir"])
            .arg(&bindings)
            .arg(&job.wit),
        BUILD_LIMIT,
    )?;
    let zig = Environment::ensure(job.workspace, "ziglang", &job.sources)?;
    let module = job.work.join("module.wasm");
    run_quietly_ok(
        zig.program("python")
            .args(["-m", "ziglang", "cc", "-target", "wasm32-wasi"])
            .args(["-std=c11", "-Os", "-Wall", "-Wextra", "-Werror", "-I"])
            .arg(&bindings)
            .arg(job.sources.join("main.c"))
            .arg(bindings.join("fetch.c"))
            .arg(bindings.join("fetch_component_type.o"))
            .arg("-o")
            .arg(&module)
            // The C library it compiles is kept with the tools.
            .env(
                "ZIG_GLOBAL_CACHE_DIR",
                job.workspace.target.join("tools").join("ziglang-cache"),
            )
            .env("ZIG_LOCAL_CACHE_DIR", job.work.join("cache")),
        BUILD_LIMIT,
    )?;
    let module = std::fs::read(&module).context("clang left no module")?;
    componentize::component_with_adapter(
        &module,
        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
        WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
    )
}

/// The `wit-bindgen` program, with C alone, compiled into target/tools on first use.
fn wit_bindgen(workspace: &Workspace) -> Result<PathBuf> {
    let version = workspace.locked_version("wit-bindgen")?;
    let root = workspace.target.join("tools");
    let program = root
        .join("bin")
        .join(format!("wit-bindgen{}", std::env::consts::EXE_SUFFIX));
    let installed = run_quietly(
        Command::new(&program).arg("--version"),
        Duration::from_secs(10),
    )
    .is_ok_and(|said| said.stdout.split_whitespace().any(|word| word == version));
    if installed {
        return Ok(program);
    }
    let step = Step::begin(
        format!(
            "installing wit-bindgen {version} into {}",
            workspace.show(&root)
        ),
        "4 min, once",
    );
    let build = root.join("build-wit-bindgen");
    run(workspace
        .cargo()
        .args(["install", "--locked", "--force", "--version", &version])
        .args(["--no-default-features", "--features", "c", "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(&build)
        .arg("wit-bindgen-cli"))?;
    std::fs::remove_dir_all(build)?;
    step.end();
    Ok(program)
}
