//! The demo is reproducible.

use std::fs;

use tempfile::tempdir;

use crate::support::{assert_intact, demo_lake, files_below, ok, report, run};

#[test]
fn two_demos_have_the_same_bytes() {
    let folder = tempdir().unwrap();
    let [one, other] = ["a", "b"].map(|name| folder.path().join(name));
    demo_lake(&one);
    let text = ok(&other, &["demo"]);
    assert!(text.contains("INCIDENT TIMELINE") && text.contains("AUDIT LOG ENTRY"));
    let [one_files, other_files] = [&one, &other].map(|lake| files_below(lake));
    assert!(one_files.keys().eq(other_files.keys()));
    for (name, bytes) in &one_files {
        assert!(Some(bytes) == other_files.get(name), "{} differs", name.display());
    }
    assert_intact(&one, 67);
}

#[test]
fn recording_the_demo_again_adds_nothing() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    assert!(ok(folder.path(), &["demo", "--json"]).contains("\"new\":0"));
    assert_intact(folder.path(), 67);
}

#[test]
fn the_demo_refuses_a_lake_with_real_records() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("r.json");
    fs::write(&file, report("real").to_string()).unwrap();
    let lake = folder.path().join("lake");
    ok(&lake, &["record", file.to_str().unwrap()]);
    let output = run(&lake, &["demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint: give the demo a lake of its own"));
    assert_intact(&lake, 1);
}
