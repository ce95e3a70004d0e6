//! The binary: parse, build the context, run, exit code. Everything else is in the library.

use std::process::ExitCode;

/// Gives back what was freed, whichever of many threads took it. How it is set up: `.cargo/config.toml`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ops_runbook::cli::main()
}
