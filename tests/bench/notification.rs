//! Benchmarks of notifications: the time from a report to the accepted page, and the throughput of the outbox. The receiver is on
//! this machine and answers immediately.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use ops_runbook::{
    domain::{interface::Interface, policy::Policy, redact::Redactor},
    lake::{Context, Lake},
    ops,
};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::{
    percentile,
    receiver::Receiver,
    scale,
    support::{binary, report},
};

fn configuration(folder: &Path, receiver: &Receiver) -> PathBuf {
    let file = folder.join("ops-runbook.toml");
    let text = format!(
        "[channels.pager]\nkind = 'pagerduty'\nto = 'on-call'\nsecret = 'env:PAGER_KEY'\nurl = '{}'\nper_minute = 60000\n\
         [[routes]]\ntriggers = ['missing-evidence']\nchannels = ['pager']\n",
        receiver.url
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// A lake whose alerts are sent to a pager.
struct PagedLake {
    _folder: TempDir,
    receiver: Receiver,
    config: PathBuf,
    path: PathBuf,
    lake: Lake,
}

impl PagedLake {
    async fn new() -> Self {
        let folder = tempdir().unwrap();
        let receiver = Receiver::start(0).await;
        let config = configuration(folder.path(), &receiver);
        let policy = Policy::parse(&std::fs::read_to_string(&config).unwrap()).unwrap();
        let path = folder.path().join("lake");
        let lake = Lake::at(path.to_str().unwrap(), Context::system().with_policy(policy)).unwrap();
        Self { _folder: folder, receiver, config, path, lake }
    }
}

fn sender(lake: &Path, config: &Path, arguments: &[&str]) -> Child {
    let mut command: Command = binary(lake);
    command
        .arg("--config")
        .arg(config)
        .args(["notification", "send"])
        .args(arguments)
        .env("PAGER_KEY", "a1".repeat(16));
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

fn submission(id: &str, now: ops_runbook::domain::time::Timestamp) -> ops_runbook::lake::ledger::Submission {
    let mut report = report(id);
    report["rca"]["root_cause"] = "unknown".into();
    report["rca"]["missing_evidence"] = json!(["a_screenshot"]);
    ops::prepare(&serde_json::to_vec(&report).unwrap(), &Redactor::new(None), now, Interface::Cli).unwrap()
}

async fn wait_for_pages(receiver: &Receiver, pages: usize) {
    while receiver.arrived().len() < pages {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn run() {
    let single = scale(200);
    println!(
        "\n## notification: from a report to the accepted page, {single} one after the other, ms (one receiver on this machine)\n"
    );
    println!("| polling interval of notification send --watch | p50 | p99 | worst |");
    println!("| --- | ---: | ---: | ---: |");
    for every in ["500", "100"] {
        let PagedLake { receiver, config, path, lake, _folder } = PagedLake::new().await;
        let (ledger, committer) = ops::open_ledger(&lake).await.unwrap();
        let mut watch = sender(&path, &config, &["--watch", "--every-ms", every]);
        let mut times = Vec::new();
        for n in 0..=single {
            let start = Instant::now();
            ledger.submit(submission(&format!("page-{n}"), lake.context.now())).await.unwrap();
            wait_for_pages(&receiver, n + 1).await;
            // The first page includes the start of the sender.
            if n > 0 {
                times.push(start.elapsed());
            }
            // Spreads the reports over the polling interval.
            tokio::time::sleep(Duration::from_millis(37 * (n as u64 % 17))).await;
        }
        watch.kill().unwrap();
        watch.wait().unwrap();
        drop(ledger);
        committer.finished().await;
        println!(
            "| {every} ms | {:.0} | {:.0} | {:.0} |",
            percentile(&times, 50),
            percentile(&times, 99),
            percentile(&times, 100)
        );
    }
    let many = scale(10_000);
    println!("\n### {many} waiting alerts, by number of concurrent senders\n");
    println!("| senders | alerts per second | pages | duplicates |");
    println!("| ---: | ---: | ---: | ---: |");
    for senders in [1, 2] {
        let PagedLake { receiver, config, path, lake, _folder } = PagedLake::new().await;
        let (ledger, committer) = ops::open_ledger(&lake).await.unwrap();
        let now = lake.context.now();
        let submissions = (0..many).map(|n| submission(&format!("page-{n}"), now)).collect();
        let _: Vec<_> = ops::record(&ledger, submissions).try_collect().await.unwrap();
        drop(ledger);
        committer.finished().await;
        let start = Instant::now();
        let all: Vec<Child> = (0..senders).map(|_| sender(&path, &config, &["--once"])).collect();
        for mut child in all {
            let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
            assert!(status.success());
        }
        let took = start.elapsed();
        let pages = receiver.paged().len();
        let duplicates = receiver.arrived().len() - pages;
        println!("| {senders} | {:.0} | {pages} | {duplicates} |", many as f64 / took.as_secs_f64());
        assert_eq!(pages, many);
    }
}
