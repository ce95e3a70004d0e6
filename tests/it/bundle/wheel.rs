//! Tests of the wheel: its metadata and its installation with pip.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::tempdir;

use super::{ROOT, stripped_binary};
use crate::wait;

/// Runs a command that must succeed within the limit. Returns its standard output.
fn run(command: &mut Command) -> String {
    // The program's own variables would select another lake, and those of pip an index.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("OPS_RUNBOOK_") || name.starts_with("PIP_") || name.starts_with("PYTHON") {
            command.env_remove(name.as_ref());
        }
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = wait::output_of(&format!("{command:?}"), child);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn build() -> Command {
    Command::new(format!("{ROOT}/bundle/build"))
}

/// Builds a wheel with `binary` in `folder`. Returns its path.
fn wheel(binary: &Path, folder: &Path) -> PathBuf {
    run(build().arg("--wheel").arg(binary).arg(folder).args(["--compression-level", "1"]));
    let mut wheels = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wheel = wheels.next().expect("a wheel");
    assert_eq!(wheels.next(), None);
    wheel
}

/// A script that prints the metadata of the installed distribution, one field per line.
const METADATA: &str = "
from importlib.metadata import distribution
fields = distribution('ops-runbook').metadata
for name in ('Name', 'Version', 'Summary', 'License-Expression', 'License-File'):
    print(fields[name])
";

#[test]
fn pip_installs_the_binary_of_a_wheel_and_removes_it() {
    let tools = PathBuf::from(run(build().arg("--tools")).trim());
    let folder = tempdir().unwrap();
    let binary = PathBuf::from(stripped_binary(folder.path()));
    let wheels = folder.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    let wheel = wheel(&binary, &wheels);
    let name = wheel.file_name().unwrap().to_str().unwrap();
    let expected = concat!("ops_runbook-", env!("CARGO_PKG_VERSION"), "-py3-none-");
    assert!(name.starts_with(expected) && name.ends_with(&format!("linux_{}.whl", std::env::consts::ARCH)), "{name}");

    let environment = folder.path().join("environment");
    // Installing pip would dominate the test's time. The pip of the tools can install into other environments.
    run(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&environment));
    let program = |name: &str| environment.join("bin").join(name);
    let pip = |arguments: &[&str]| {
        let mut command = Command::new(tools.join("bin/pip"));
        run(command.arg("--python").arg(&environment).args(arguments).arg("--disable-pip-version-check"))
    };
    pip(&["install", "--no-index", wheel.to_str().unwrap()]);

    let installed = program("ops-runbook");
    assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o111, 0o111);
    assert!(fs::read(&installed).unwrap() == fs::read(&binary).unwrap(), "the wheel holds another binary");
    let version = run(Command::new(&installed).arg("--version"));
    assert_eq!(version, concat!("ops-runbook ", env!("CARGO_PKG_VERSION"), "\n"));
    let lake = folder.path().join("lake");
    run(Command::new(&installed).arg("--lake").arg(&lake).arg("init"));
    assert!(lake.join("audit_log/_delta_log").is_dir());
    let metadata = run(Command::new(program("python")).args(["-c", METADATA]));
    let fields: Vec<&str> = metadata.lines().collect();
    let (version, summary) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(fields, ["ops-runbook", version, summary, cargo_license().as_str(), "LICENSE"]);

    pip(&["uninstall", "--yes", "ops-runbook"]);
    assert!(!installed.exists());
}

/// Returns the license in Cargo.toml.
fn cargo_license() -> String {
    let manifest: toml::Table = fs::read_to_string(format!("{ROOT}/Cargo.toml")).unwrap().parse().unwrap();
    manifest["package"]["license"].as_str().unwrap().to_owned()
}

#[test]
fn the_wheel_is_built_with_the_maturin_of_its_project_file() {
    let project: toml::Table =
        fs::read_to_string(format!("{ROOT}/bundle/wheel/pyproject.toml")).unwrap().parse().unwrap();
    let [maturin] = project["build-system"]["requires"].as_array().unwrap().as_slice() else {
        panic!("{project:?}");
    };
    let requirements = fs::read_to_string(format!("{ROOT}/bundle/requirements-wheel.txt")).unwrap();
    assert!(requirements.lines().any(|line| maturin.as_str() == Some(line)), "{requirements}");
}
