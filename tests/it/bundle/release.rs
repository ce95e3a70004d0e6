//! Tests of the workflow that makes a release. Only GitHub can run it; it has never run.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use regex::Regex;
use tempfile::tempdir;

use super::ROOT;
use crate::peer;

const WORKFLOW: &str = ".github/workflows/release.yml";

/// Runs actionlint on a workflow. It runs shellcheck on the scripts in the workflow if shellcheck is installed.
fn actionlint(workflow: &Path) -> Output {
    let program = peer::environment("actionlint").join("actionlint");
    Command::new(program).arg("-no-color").arg(workflow).current_dir(ROOT).output().unwrap()
}

/// Actionlint knows the inputs of an action only by its major version.
#[test]
fn actionlint_accepts_the_workflow_and_finds_errors_in_a_changed_copy() {
    let workflow = Path::new(ROOT).join(WORKFLOW);
    let text = fs::read_to_string(&workflow).unwrap();
    let folder = tempdir().unwrap();
    let copy = folder.path().join("copy.yml");
    let major = Regex::new(r"@(v\d+)\.\d+\.\d+").unwrap().replace_all(&text, "@$1").into_owned();
    fs::write(&copy, &major).unwrap();
    for right in [&workflow, &copy] {
        let output = actionlint(right);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    for (from, to, expected) in [
        ("needs: build", "needs: builds", "builds"),
        ("matrix.target }}", "matrix.targets }}", "targets"),
        ("subject-checksums:", "checksums:", "checksums"),
        ("merge-multiple:", "merge:", "merge"),
    ] {
        assert!(major.contains(from), "{from}");
        fs::write(&copy, major.replacen(from, to, 1)).unwrap();
        let output = actionlint(&copy);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn only_the_publish_job_may_write_and_every_action_has_a_version() {
    let text = fs::read_to_string(format!("{ROOT}/{WORKFLOW}")).unwrap();
    let (all, jobs) = text.split_once("\njobs:\n").unwrap();
    assert!(all.contains("\npermissions:\n  contents: read\n\n"), "{all}");
    let (build, publish) = jobs.split_once("\n  publish:\n").unwrap();
    assert!(!build.contains("permissions:"));
    assert_eq!(publish.matches("permissions:").count(), 1);
    let version = Regex::new(r"@v\d+\.\d+\.\d+$").unwrap();
    let actions: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- uses: ")).collect();
    assert!(actions.len() >= 5 && actions.iter().all(|action| version.is_match(action)), "{actions:?}");
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin"] {
        assert!(build.contains(target), "{target}");
    }
}

/// An archive has the binary and, beside it, the parts that `bundle init` uses.
#[test]
fn an_archive_has_the_parts_for_both_processors_beside_the_binary() {
    let folder = tempdir().unwrap();
    let build = |arguments: &[&str]| {
        let output = Command::new(format!("{ROOT}/bundle/build")).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for name in ["ops-runbook-x86_64", "ops-runbook-macos-aarch64"] {
        fs::write(path(name), name).unwrap();
    }
    assert!(build(&["--pack", &path("ops-runbook-x86_64")]).0);
    let (is_success, error) = build(&["--archives", &path("")]);
    assert!(!is_success && error.contains("lacks the parts of ops-runbook-aarch64"), "{error}");
    fs::write(path("ops-runbook-aarch64.gz.00"), "").unwrap();
    assert!(build(&["--archives", &path("")]).0);
    for (platform, binary) in [("linux-x86_64", "ops-runbook-x86_64"), ("macos-aarch64", "ops-runbook-macos-aarch64")] {
        let name = format!(concat!("ops-runbook-", env!("CARGO_PKG_VERSION"), "-{}"), platform);
        let tar = |arguments: &[&str]| {
            let output = Command::new("tar").args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let archive = path(&format!("{name}.tar.gz"));
        let listed = tar(&["-tzf", &archive]);
        let mut files: Vec<&str> = listed.lines().map(|line| line.strip_prefix(&format!("{name}/")).unwrap()).collect();
        files.sort_unstable();
        let parts = ["ops-runbook-aarch64.gz.00", "ops-runbook-x86_64.gz.00"];
        let pages = ["README.md", "configuration.md", "usage.md"];
        assert_eq!(files, ["LICENSE", pages[0], pages[1], "ops-runbook", parts[0], parts[1], pages[2]]);
        assert_eq!(tar(&["-xzOf", &archive, &format!("{name}/ops-runbook")]), binary);
    }
}
