//! The binary: parse, build the context, run, exit code. Everything else is in the library.

use std::process::ExitCode;

/// Returns freed memory to the system, whichever of many threads allocated it; glibc keeps it for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ops_runbook::cli::main()
}
