//! Benchmarks of `ingest` on an inbox with a backlog: documents per second, and memory, which must not grow with their number.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{scale, support::json_lines};

/// One of this many documents is broken, in one of four ways.
const BROKEN: usize = 100;
/// Number of different causes in the documents.
const CAUSES: usize = 50;

pub fn run() {
    println!("\n## ingest: an inbox of one document a file, 1 in {BROKEN} broken, fsync on");
    let few = ingest(scale(10_000));
    let many = ingest(scale(100_000));
    println!("peak memory, ten times the documents: ratio {:.2}", many as f64 / few as f64);
}

/// Ingests this many documents and checks the disposition of each. Returns the peak memory in KiB.
fn ingest(documents: usize) -> u64 {
    let folder = tempdir().unwrap();
    let (inbox, lake, times) = (folder.path().join("inbox"), folder.path().join("lake"), folder.path().join("times"));
    fs::create_dir(&inbox).unwrap();
    for n in 0..documents {
        fs::write(inbox.join(format!("{n:06}.json")), document(n)).unwrap();
    }
    let start = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args(["-f", "%M %U %S", "-o"])
        .arg(&times)
        .arg(env!("CARGO_BIN_EXE_ops-runbook"))
        .args(["--json", "--lake"])
        .arg(&lake)
        .args(["ingest", "--settle-seconds", "0", "--inbox"])
        .arg(&inbox)
        .stderr(Stdio::inherit())
        .output()
        .expect("the memory figures need GNU time (Debian: apt-get install time)");
    let wall = start.elapsed();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let broken = documents.div_ceil(BROKEN);
    assert_eq!(
        (&summary["taken"], &summary["recorded"], &summary["rejected"]),
        (&json!(documents), &json!(documents - broken), &json!(broken))
    );
    let reasons = files(&folder.path().join("_rejected/inbox"), |name| name.ends_with(".reason.json"));
    let kept = files(&folder.path().join("_rejected/inbox"), |name| !name.ends_with(".reason.json"));
    let done = files(&folder.path().join("_done/inbox"), |_| true);
    assert_eq!((reasons, kept, done), (broken, broken, documents - broken));
    let rows = json_lines(&lake, &["sql", "SELECT count(*) AS n FROM rejected_inputs WHERE problems LIKE '[{%'"]);
    assert_eq!(rows, [json!({ "n": broken })]);
    let measured = fs::read_to_string(times).unwrap();
    let measured: Vec<f64> = measured.split_whitespace().map(|part| part.parse().unwrap()).collect();
    println!(
        "{documents} documents: {:.1} s, {:.0} documents/s; {:.1} s of processors; peak memory {:.0} MB; {broken} rejected, each with its reason",
        wall.as_secs_f64(),
        documents as f64 / wall.as_secs_f64(),
        measured[1] + measured[2],
        measured[0] / 1024.0
    );
    measured[0] as u64
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| wanted(name)).count()
}

fn document(n: usize) -> String {
    let cause = n % CAUSES;
    let mut report = json!({
        "schema_version": 1, "report_id": format!("bench-{n}"), "actor": "agent:bench", "workspace": { "id": "7405612783315468" },
        "incident": { "type": "job-failure", "slug": "job_failed", "title": format!("daily-etl-{cause} failed: transient timeout"),
                      "reporter": "bench", "status": "resolved",
                      "reported_at": format!("2026-{:02}-{:02}T{:02}:{:02}:{:02}Z", n / 28 % 10 + 1, n % 28 + 1, n / 280 % 24, n / 7 % 60, n % 60) },
        "resources": [{ "kind": "job", "id": format!("36051564057{cause}"), "name": format!("daily-etl-{cause}") }],
        "rca": { "root_cause": format!("cause_{} of the pipeline", char::from(b'a' + (cause % 25) as u8)),
                 "code": format!("cause_{cause}"), "confidence": "HIGH", "evidence": ["run_output"] }
    });
    if !n.is_multiple_of(BROKEN) {
        return report.to_string();
    }
    match n / BROKEN % 4 {
        0 => report["incident"]["type"] = "nonsense".into(),
        1 => drop(report.as_object_mut().unwrap().remove("actor")),
        2 => return format!("{report}]"),
        _ => report["incident"]["reported_at"] = "yesterday".into(),
    }
    report.to_string()
}
