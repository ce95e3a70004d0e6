//! Tests of the bundle: resources, dashboard, launcher, and jobs on an emulator of a workspace.

mod app;
mod cli;
mod dashboard;
mod grants;
mod init;
mod jobs;
mod login;
mod release;
mod resources;
mod wheel;
mod workspace;

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::tempdir;

use crate::{peer, wait};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns Python in the environment of the bundle's tests.
fn python() -> Command {
    let mut command = peer::python("bundle");
    command.current_dir(format!("{ROOT}/tests/bundle"));
    command
}

/// Returns the path of the binary without debug symbols, which is small enough to be copied often.
fn stripped_binary(folder: &Path) -> String {
    let stripped = folder.join("ops-runbook-stripped");
    match Command::new("strip").arg("-o").arg(&stripped).arg(env!("CARGO_BIN_EXE_ops-runbook")).status() {
        Ok(status) if status.success() => stripped.to_str().unwrap().to_owned(),
        _ => env!("CARGO_BIN_EXE_ops-runbook").to_owned(),
    }
}

/// Runs a script of tests/bundle with a document on its standard input. Returns the document that it prints. The scripts limit
/// their own time.
fn run_script(script: &str, arguments: &[&str], input: &Value) -> Value {
    let mut command = python();
    command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_launcher_passes_its_own_tests() {
    let mut command = python();
    command.args(["-m", "unittest", "launcher_test"]).env("OPS_RUNBOOK_TEST_LAUNCHER", format!("{ROOT}/bundle"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = wait::output_of("the launcher's tests", child);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("Ran 30 tests") && !text.contains("skipped"), "{text}");
}

/// macOS has no GNU tools: packing must work with only Python on the path.
#[test]
fn a_binary_is_packed_and_checked_with_python_alone() {
    let folder = tempdir().unwrap();
    let (tools, binary) = (folder.path().join("tools"), folder.path().join("ops-runbook-aarch64"));
    fs::create_dir(&tools).unwrap();
    // The `python3` on the path may be a shell script that calls other programs.
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable, end='')"]).output().unwrap();
    symlink(String::from_utf8(asked.stdout).unwrap(), tools.join("python3")).unwrap();
    let mut content = b"\x7fELF\x02\x01".to_vec();
    content.resize(64, 0);
    content[18] = 183;
    fs::write(&binary, content).unwrap();
    for (mode, expected) in
        [("--check", "for aarch64-unknown-linux-gnu, 64 bytes (1 MB), needs glibc none"), ("--pack", "1 parts")]
    {
        let output = Command::new(tools.join("python3"))
            .arg(format!("{ROOT}/bundle/build"))
            .arg(mode)
            .arg(&binary)
            .env("PATH", &tools)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(expected), "{output:?}");
    }
    assert!(folder.path().join("ops-runbook-aarch64.gz.00").is_file());
}

#[test]
fn a_binary_for_a_newer_glibc_than_databricks_has_is_refused() {
    let output = Command::new(format!("{ROOT}/bundle/build"))
        .args(["--check", env!("CARGO_BIN_EXE_ops-runbook")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let needed = text.trim().rsplit_once("needs glibc 2.").unwrap_or_else(|| panic!("{output:?}")).1;
    // The test binary is built for the glibc of this machine.
    assert_eq!(output.status.success(), needed.parse::<f64>().unwrap() <= 28.0, "{output:?}");
}
