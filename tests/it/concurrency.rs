//! Many processes, one lake.

use std::{collections::BTreeSet, fs, process::Stdio};

use tempfile::tempdir;

use crate::support::{assert_intact, binary, json_lines, report};

#[test]
fn eight_processes_with_a_hundred_reports_each_make_eight_hundred_rows() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let children: Vec<_> = (0..8)
        .map(|process| {
            let file = folder.path().join(format!("{process}.jsonl"));
            let text: String = (0..100).map(|n| format!("{}\n", report(&format!("p{process}-{n}")))).collect();
            fs::write(&file, text).unwrap();
            binary(&lake).args(["--json", "record"]).arg(file).stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut seqs = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(seqs.insert(answer["seq"].as_u64().unwrap()), "a seq twice");
        }
    }
    assert_eq!(seqs.len(), 800);
    assert_intact(&lake, 800);
    let counted = json_lines(
        &lake,
        &["sql", "SELECT count(DISTINCT request_id) = max(seq) AND count(*) = max(seq) AS whole FROM audit_log"],
    );
    assert_eq!(counted, [serde_json::json!({ "whole": true })]);
    // All 800 are about one cause on one moment: one episode, whoever saw it grow.
    let episodes = json_lines(&lake, &["recurrence", "list", "--all"]).remove(0);
    assert_eq!(episodes.as_array().unwrap().len(), 1, "{episodes}");
    assert_eq!(episodes[0]["incidents"], 800);
}
