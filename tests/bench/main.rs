//! Benchmarks: `cargo bench`. A ratio compares figures of the same run, on the same disk, with fsync on.
//!
//! Arguments select benchmarks: `cargo bench -- append group cold ingest storage mcp notification analytics`.
//! `OPS_RUNBOOK_BENCH_SMALL=1` divides all counts by 10.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stdout)]

mod analytics;
#[allow(dead_code)]
#[path = "../it/mcp/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../it/storage/emulators.rs"]
mod emulators;
mod generate;
mod ingest;
mod mcp;
mod notification;
#[allow(dead_code)]
#[path = "../it/peer.rs"]
mod peer;
#[allow(dead_code)]
#[path = "../it/storage/proxy.rs"]
mod proxy;
#[allow(dead_code)]
#[path = "../it/notification/receiver.rs"]
mod receiver;
mod storage;
#[allow(dead_code)]
#[path = "../it/support.rs"]
mod support;
#[allow(dead_code)]
#[path = "../it/wait.rs"]
mod wait;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use deltalake::{DeltaTable, kernel::transaction::CommitProperties};
use object_store::{ObjectStore, path::Path as StorePath, prefix::PrefixStore};
use ops_runbook::{
    domain::{interface::Interface, redact::Redactor},
    lake::{
        Context, Lake,
        ledger::{Ledger, Submission},
        maintenance,
        store::DurableLocal,
        verify,
    },
    ops,
    tables::{catalog::AUDIT_LOG, from_batch, rows::AuditRow, to_batch},
};
use serde_json::json;
use tempfile::{TempDir, tempdir};

fn submission(id: &str) -> Submission {
    let report = json!({
        "schema_version": 1, "report_id": id, "actor": "agent:bench", "workspace": { "id": "7405612783315468" },
        "incident": { "type": "job-failure", "slug": "job_failed", "title": "daily-etl failed: transient timeout",
                      "reporter": "bench", "reported_at": "2026-02-11T12:21:00Z", "status": "resolved" },
        "resources": [{ "kind": "job", "id": "360515640572923", "name": "daily-etl" }],
        "timeline": [
            { "at": "2026-02-11T12:21:04Z", "kind": "DISCOVER", "message": "Found 3 jobs, 1 with failed run" },
            { "at": "2026-02-11T12:26:02Z", "kind": "RCA", "message": "Timeout and no retries" },
            { "at": "2026-02-11T12:36:00Z", "kind": "CLOSE", "message": "Incident resolved" }
        ],
        "rca": { "root_cause": "Job retry policies not configured (max_retries=0)", "confidence": "HIGH", "evidence": ["run_output"] }
    });
    let now = Context::system().now();
    ops::prepare(&serde_json::to_vec(&report).unwrap(), &Redactor::new(None), now, Interface::Cli).unwrap()
}

fn scale(count: usize) -> usize {
    if std::env::var_os("OPS_RUNBOOK_BENCH_SMALL").is_some() { count / 10 } else { count }
}

fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e3
}

async fn fresh() -> (TempDir, Lake) {
    let folder = tempdir().unwrap();
    let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
    lake.init().await.unwrap();
    (folder, lake)
}

/// Records single reports one after the other, including checkpoints and compaction, and compares delta-rs's write builder.
async fn append() {
    let total = scale(20_000);
    let edge = total / 20;
    println!("\n## append: {total} single reports in one process, fsync on (ms per acknowledged report)");
    let (_folder, lake) = fresh().await;
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    let mut times = Vec::with_capacity(total);
    for n in 0..total {
        let submission = submission(&format!("bench-{n}"));
        let start = Instant::now();
        ledger.submit(submission).await.unwrap();
        times.push(start.elapsed());
    }
    drop(ledger);
    committer.finished().await;
    for (name, part) in [("first", &times[..edge]), ("last", &times[total - edge..])] {
        println!("{name} {edge}: p50 {:.2}  p99 {:.2}", percentile(part, 50), percentile(part, 99));
    }
    let ratio = percentile(&times[total - edge..], 50) / percentile(&times[..edge], 50);
    println!("p50 last / p50 first: {ratio:.2}");
    let files = lake.table(AUDIT_LOG).log().await.unwrap().files.len();
    println!("live data files afterwards: {files}");

    let commits = scale(1_000).max(200);
    let row = one_row(&lake).await;
    let (folder, _lake) = fresh().await;
    let root = Arc::new(DurableLocal::new(folder.path().join(".staging")));
    let location = url::Url::from_directory_path(folder.path().join("audit_log")).unwrap();
    let prefix = StorePath::from_absolute_path(folder.path().join("audit_log")).unwrap();
    let times = write_builder(&row, commits, root, &location, prefix).await;
    let edge = commits / 10;
    println!("delta-rs write builder, {commits} commits of one row, same disk and fsync:");
    let (first, last) = (percentile(&times[..edge], 50), percentile(&times[commits - edge..], 50));
    println!("first {edge}: p50 {first:.2}  last {edge}: p50 {last:.2}  ratio {:.2}", last / first);
}

/// Returns a row of a lake's audit log.
async fn one_row(lake: &Lake) -> RecordBatch {
    let table = lake.table(AUDIT_LOG);
    let log = table.log().await.unwrap();
    let file = log.files.values().next().unwrap();
    let columns: Vec<&str> = AUDIT_LOG.columns.iter().map(|column| column.name).collect();
    let batches = table.read(&[file], &columns, ops_runbook::lake::table::RowSelection::All).await.unwrap();
    let rows: Vec<AuditRow> = from_batch(&batches[0]).unwrap();
    to_batch(&rows[..1]).unwrap()
}

/// Commits rows one by one with delta-rs's write builder, on the same kind of table and store.
async fn write_builder(
    row: &RecordBatch,
    commits: usize,
    root: Arc<dyn ObjectStore>,
    location: &url::Url,
    prefix: StorePath,
) -> Vec<Duration> {
    let log_store = deltalake::logstore::default_logstore(
        Arc::new(PrefixStore::new(Arc::clone(&root), prefix)),
        root,
        location,
        &deltalake::logstore::StorageConfig::default(),
    );
    let mut table = DeltaTable::new(log_store);
    table.load().await.unwrap();
    let mut times = Vec::with_capacity(commits);
    for _ in 0..commits {
        let start = Instant::now();
        let properties =
            CommitProperties::default().with_cleanup_expired_logs(Some(false)).with_create_checkpoint(false);
        table = table.write(vec![row.clone()]).with_commit_properties(properties).await.unwrap();
        times.push(start.elapsed());
    }
    times
}

/// Measures reports per second with an increasing number of concurrent callers.
async fn group() {
    println!("\n## group commit: reports per second, fsync on");
    let mut alone = None;
    for callers in [1, 8, 64] {
        let (_folder, lake) = fresh().await;
        let (ledger, committer) = Ledger::open(&lake).await.unwrap();
        let each = scale(if callers == 1 { 1_000 } else { 8_000 }) / callers;
        let start = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    for n in 0..each {
                        ledger.submit(submission(&format!("g{caller}-{n}"))).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = (each * callers) as f64 / start.elapsed().as_secs_f64();
        let alone = *alone.get_or_insert(rate);
        println!("{callers} callers: {rate:.0} reports/s, {:.1} times one caller", rate / alone);
        drop(ledger);
        committer.finished().await;
    }
}

/// Measures wall time and peak memory of new processes on a lake with a history.
async fn cold() {
    let incidents = scale(100_000);
    println!("\n## cold process on a lake of {incidents} incidents");
    let (folder, lake) = fresh().await;
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    let start = Instant::now();
    let submissions: Vec<Submission> = (0..incidents).map(|n| submission(&format!("cold-{n}"))).collect();
    let answers: Vec<_> = futures::StreamExt::collect(ops::record(&ledger, submissions)).await;
    assert!(answers.iter().all(Result::is_ok));
    drop((ledger, answers));
    committer.finished().await;
    println!("made in {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    ops::settle(&lake).await.unwrap();
    println!("projected in {:.1} s", start.elapsed().as_secs_f64());
    measure(folder.path(), incidents, "as it was left");
    maintenance::maintain(&lake, chrono::TimeDelta::hours(168), |_| {}).await.unwrap();
    measure(folder.path(), incidents, "after maintain");
    let start = Instant::now();
    let verification = verify::verify(&lake, None, |_, _| {}).await.unwrap();
    assert!(verification.intact());
    println!(
        "audit verify: {:.1} s for {} rows, projections included",
        start.elapsed().as_secs_f64(),
        verification.rows
    );
}

fn measure(lake: &Path, incidents: usize, state: &str) {
    let report = |id: String| {
        let file = lake.join("new.json");
        let ops_runbook::domain::entry::Request::RecordReport(report) = submission(&id).request else { unreachable!() };
        std::fs::write(&file, serde_json::to_vec(&report).unwrap()).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let middle = format!("INC-{}", 1_000 + incidents / 2);
    for (name, arguments) in [
        ("record, new", None),
        ("record, known", Some(vec!["record".to_owned(), report(format!("cold-{}", incidents / 3))])),
        ("incident show", Some(vec!["incident".into(), "show".into(), middle])),
        ("incident list", Some(vec!["incident".into(), "list".into()])),
    ] {
        let mut walls = Vec::new();
        let mut peaks = Vec::new();
        for run in 0..11 {
            let arguments = arguments
                .clone()
                .unwrap_or_else(|| vec!["record".into(), report(format!("{state}-{run}-{:?}", Instant::now()))]);
            let (wall, peak) = timed(lake, &arguments);
            // The first run fills the page cache.
            if run > 0 {
                walls.push(wall);
                peaks.push(peak);
            }
        }
        peaks.sort_unstable();
        println!(
            "{state}: {name}: wall p50 {:.0} ms, max {:.0} ms; peak memory p50 {} MB",
            percentile(&walls, 50),
            percentile(&walls, 100),
            peaks[peaks.len() / 2] / 1024
        );
    }
}

/// Returns the wall time of a whole process, and its peak resident set in KiB from GNU time.
fn timed(lake: &Path, arguments: &[String]) -> (Duration, u64) {
    let measured = lake.join("time.txt");
    let start = Instant::now();
    let status = Command::new("/usr/bin/time")
        .args(["-f", "%M", "-o"])
        .arg(&measured)
        .arg(env!("CARGO_BIN_EXE_ops-runbook"))
        .arg("--lake")
        .arg(lake)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .expect("the memory figures need GNU time (Debian: apt-get install time)");
    let wall = start.elapsed();
    assert!(status.success());
    (wall, std::fs::read_to_string(measured).unwrap().trim().parse().unwrap())
}

#[tokio::main]
async fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let [first, rest @ ..] = chosen.as_slice()
        && first == analytics::ASK
    {
        return analytics::ask(rest).await;
    }
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    if wanted("append") {
        append().await;
    }
    if wanted("group") {
        group().await;
    }
    if wanted("cold") {
        cold().await;
    }
    if wanted("ingest") {
        ingest::run();
    }
    if wanted("storage") {
        storage::run().await;
    }
    if wanted("mcp") {
        mcp::run().await;
    }
    if wanted("notification") {
        notification::run().await;
    }
    if wanted("analytics") {
        analytics::run().await;
    }
}
