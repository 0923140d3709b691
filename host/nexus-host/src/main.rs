//! The `nexus-host` binary.

fn main() -> std::process::ExitCode {
    nexus_host::cli::main()
}
