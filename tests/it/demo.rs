//! The demo is the same for everybody.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::tempdir;

use crate::support::{assert_intact, ok, report, run};

fn files(folder: &Path, below: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, below, found);
        } else {
            found.insert(path.strip_prefix(below).unwrap().display().to_string(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn two_demos_have_the_same_bytes() {
    let folder = tempdir().unwrap();
    let contents = ["a", "b"].map(|name| {
        let lake = folder.path().join(name);
        let text = ok(&lake, &["demo"]);
        assert!(text.contains("INCIDENT TIMELINE") && text.contains("AUDIT LOG ENTRY"));
        let mut found = BTreeMap::new();
        files(&lake, &lake, &mut found);
        found
    });
    let [one, other] = &contents;
    assert!(one.keys().eq(other.keys()));
    for (name, bytes) in one {
        assert!(Some(bytes) == other.get(name), "{name} differs");
    }
    assert_intact(&folder.path().join("a"), 67);
}

#[test]
fn a_demo_made_again_adds_nothing() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["demo"]);
    assert!(ok(folder.path(), &["demo", "--json"]).contains("\"new\":0"));
    assert_intact(folder.path(), 67);
}

#[test]
fn a_demo_leaves_real_records_alone() {
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
