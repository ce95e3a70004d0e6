//! The workflow that makes a release. It has never run: only GitHub can run it.

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

/// What actionlint says of a workflow. It runs shellcheck over the scripts in it, if that is there.
fn actionlint(workflow: &Path) -> Output {
    let program = peer::environment("actionlint").join("actionlint");
    Command::new(program).arg("-no-color").arg(workflow).current_dir(ROOT).output().unwrap()
}

/// Actionlint knows the inputs of an action by its major version only.
#[test]
fn actionlint_finds_nothing_in_the_workflow_and_something_in_a_wrong_one() {
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
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn the_workflow_may_write_only_where_it_publishes_and_every_action_has_a_version() {
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

/// What a person unpacks has the binary, and beside it the parts that `bundle init` takes.
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
    let (is_success, said) = build(&["--archives", &path("")]);
    assert!(!is_success && said.contains("lacks the parts of ops-runbook-aarch64"), "{said}");
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
        assert_eq!(files, ["LICENSE", "README.md", "ops-runbook", parts[0], parts[1]]);
        assert_eq!(tar(&["-xzOf", &archive, &format!("{name}/ops-runbook")]), binary);
    }
}
