//! Benchmarks with an S3 emulator in which every request takes 30 ms: alone, with a concurrent writer, and with delta-rs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use object_store::path::Path;
use ops_runbook::lake::ledger::Ledger;

use crate::{
    emulators::{Store, Stored},
    one_row, percentile, scale, submission, write_builder,
};

const LATENCY: Duration = Duration::from_millis(30);

pub async fn run() {
    let reports = scale(300).max(50);
    println!(
        "\n## storage: {reports} single reports in one process into an S3 emulator, 30 ms per request (ms per acknowledged report)"
    );
    let store = Store::s3();
    let alone = store.lake("alone");
    alone.open().init().await.unwrap();
    let contended = store.lake("contended");
    contended.open().init().await.unwrap();
    let built = store.lake("built");
    built.open().init().await.unwrap();
    store.proxy.takes(LATENCY);
    report(&store, &alone, reports, "alone").await;

    let is_finished = Arc::new(AtomicBool::new(false));
    let (other, end) = (contended.open(), Arc::clone(&is_finished));
    let writer = tokio::spawn(async move {
        let (ledger, committer) = Ledger::open(&other).await.unwrap();
        let mut written = 0;
        while !end.load(Ordering::Relaxed) {
            ledger.submit(submission(&format!("writer-{written}"))).await.unwrap();
            written += 1;
        }
        drop(ledger);
        committer.finished().await;
        written
    });
    report(&store, &contended, reports, "with a concurrent writer without pauses").await;
    is_finished.store(true, Ordering::Relaxed);
    println!("the concurrent writer recorded {} reports meanwhile", writer.await.unwrap());

    let commits = scale(100).max(30);
    let root = store.client();
    let location = url::Url::parse("s3://ops/built/audit_log/").unwrap();
    let row = one_row(&alone.open()).await;
    let writing = write_builder(&row, commits, Arc::new(root), &location, Path::from("built/audit_log"));
    let (times, traffic) = store.proxy.during(writing).await;
    let edge = commits / 5;
    println!(
        "delta-rs write builder, {commits} commits of one row, same store: {:.1} requests per commit; \
         first {edge}: p50 {:.0}  last {edge}: p50 {:.0}  p99 {:.0}",
        traffic.0.len() as f64 / commits as f64,
        percentile(&times[..edge], 50),
        percentile(&times[commits - edge..], 50),
        percentile(&times, 99)
    );
}

async fn report(store: &Store, stored: &Stored, reports: usize, how: &str) {
    let lake = stored.open();
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    ledger.submit(submission("warm-up")).await.unwrap();
    let mut times = Vec::with_capacity(reports);
    let recording = async {
        for n in 0..reports {
            let submission = submission(&format!("bench-{n}"));
            let start = Instant::now();
            ledger.submit(submission).await.unwrap();
            times.push(start.elapsed());
        }
    };
    let ((), traffic) = store.proxy.during(recording).await;
    drop(ledger);
    committer.finished().await;
    println!(
        "{how}: p50 {:.0}  p99 {:.0}  in units of one request p50 {:.1}; {} requests in all, {} of them conflicts",
        percentile(&times, 50),
        percentile(&times, 99),
        percentile(&times, 50) / LATENCY.as_secs_f64() / 1e3,
        traffic.0.len(),
        traffic.0.iter().filter(|it| it.is_conditional && matches!(it.status, 409 | 412)).count()
    );
}
