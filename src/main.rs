//! The binary: parse, build the context, run, exit code. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ops_runbook::cli::main()
}
