//! The bundle: its resources, its dashboard, its launcher, and its jobs on an emulator of a workspace.

mod app;
mod cli;
mod dashboard;
mod jobs;
mod login;
mod resources;
mod wheel;
mod workspace;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{peer, wait};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Python in the environment of the bundle's tests.
fn python() -> Command {
    let mut command = peer::python("bundle");
    command.current_dir(format!("{ROOT}/tests/bundle"));
    command
}

/// The path of the binary without symbols for a debugger, small enough to be copied often.
fn stripped_binary(folder: &Path) -> String {
    let stripped = folder.join("ops-runbook-stripped");
    match Command::new("strip").arg("-o").arg(&stripped).arg(env!("CARGO_BIN_EXE_ops-runbook")).status() {
        Ok(status) if status.success() => stripped.to_str().unwrap().to_owned(),
        _ => env!("CARGO_BIN_EXE_ops-runbook").to_owned(),
    }
}

/// The document that a script of tests/bundle prints, given one on its standard input. The scripts limit their own time.
fn told(script: &str, arguments: &[&str], input: &Value) -> Value {
    let mut command = python();
    command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_launcher_does_what_its_own_tests_say() {
    let mut command = python();
    command.args(["-m", "unittest", "launcher_test"]).env("OPS_RUNBOOK_TEST_LAUNCHER", format!("{ROOT}/bundle"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = wait::output_of("the launcher's tests", child);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Ran 28 tests") && !said.contains("skipped"), "{said}");
}

#[test]
fn a_binary_for_a_newer_glibc_than_databricks_has_is_refused() {
    let output = Command::new(format!("{ROOT}/bundle/build"))
        .args(["--check", env!("CARGO_BIN_EXE_ops-runbook")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let needed = said.trim().rsplit_once("needs glibc 2.").unwrap_or_else(|| panic!("{output:?}")).1;
    // Built for whatever this machine has.
    assert_eq!(output.status.success(), needed.parse::<f64>().unwrap() <= 28.0, "{output:?}");
}
