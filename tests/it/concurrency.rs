//! Several processes that record into one lake.

use std::{collections::BTreeMap, fs, process::Stdio};

use tempfile::tempdir;

use crate::{
    support::{LakeLocation, assert_intact, binary, json_lines, report, sql_rows},
    wait::{eventually, output_of, repetitions},
};

#[test]
fn eight_processes_with_many_reports_each_record_all_of_them_once() {
    let folder = tempdir().unwrap();
    assert_all_recorded_once(&folder.path().join("lake"), 8, repetitions(25, 100));
}

/// Starts `processes` concurrent processes that record `reports` reports each. A process that exits with `retry` starts again.
pub fn assert_all_recorded_once(lake: &(impl LakeLocation + ?Sized), processes: usize, reports: usize) {
    let folder = tempdir().unwrap();
    let start = |process: usize| {
        let file = folder.path().join(format!("{process}.jsonl"));
        let text: String = (0..reports).map(|n| format!("{}\n", report(&format!("p{process}-{n}")))).collect();
        fs::write(&file, text).unwrap();
        let mut command = binary(lake);
        command.args(["--json", "record"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..processes).map(start).collect();
    let mut recorded = BTreeMap::new();
    for (process, child) in children.into_iter().enumerate() {
        let mut first = Some(child);
        eventually(&format!("process {process} records everything"), || {
            let output = output_of("record", first.take().unwrap_or_else(|| start(process)));
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let answer: serde_json::Value = serde_json::from_str(line).unwrap();
                let (seq, id) = (answer["seq"].as_u64().unwrap(), answer["request_id"].as_str().unwrap().to_owned());
                let before = recorded.entry(seq).or_insert_with(|| id.clone());
                assert_eq!(*before, id, "a seq twice");
            }
            match output.status.code() {
                Some(0) => Some(()),
                Some(6) => None,
                _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            }
        });
    }
    let total = processes * reports;
    assert_eq!(recorded.len(), total);
    assert_intact(lake, total as u64);
    let counted =
        sql_rows(lake, "SELECT count(DISTINCT request_id) = max(seq) AND count(*) = max(seq) AS whole FROM audit_log");
    assert_eq!(counted, [serde_json::json!({ "whole": true })]);
    // All reports have one cause and one time, so there is one episode.
    let episodes = json_lines(lake, &["recurrence", "list", "--all"]).remove(0);
    assert_eq!(episodes.as_array().unwrap().len(), 1, "{episodes}");
    assert_eq!(episodes[0]["incidents"], total);
}
