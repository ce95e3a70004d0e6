//! The binary. All code is in the library.

use std::process::ExitCode;

/// Returns freed memory to the system. The allocator of glibc keeps it for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ops_runbook::cli::main()
}
