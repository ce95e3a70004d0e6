//! Benchmarks of MCP with many concurrent agents: one server records reports and answers each with all its artifacts.

use std::time::Instant;

use tempfile::tempdir;

use crate::{
    client::{Client, Served},
    percentile, scale,
    support::{ok, report},
};

const CLIENTS: usize = 64;

pub async fn run() {
    let each = scale(50).max(5);
    println!(
        "\n## mcp: {CLIENTS} clients, {each} reports each, over HTTP; an answer has timeline, runbook, alerts and recurrence\n"
    );
    println!("| causes | reports per second | p50, ms | p99, ms |");
    println!("| --- | ---: | ---: | ---: |");
    for (words, causes) in [("all the same", 1), ("64 of them", 64)] {
        let folder = tempdir().unwrap();
        ok(folder.path(), &["init"]);
        let served = Served::start(folder.path());
        let start = Instant::now();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let url = served.url.clone();
                tokio::spawn(async move {
                    let connected = Client::connect(&url).await.unwrap();
                    let mut times = Vec::new();
                    for n in 0..each {
                        let mut report = report(&format!("bench-{client}-{n}"));
                        report["rca"]["code"] = format!("cause-{}", client % causes).into();
                        let start = Instant::now();
                        connected.ok("record_report", report).await;
                        times.push(start.elapsed());
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for client in clients {
            times.extend(client.await.unwrap());
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        println!("| {words} | {rate:.0} | {:.0} | {:.0} |", percentile(&times, 50), percentile(&times, 99));
        assert_eq!(served.terminate(), Some(0));
    }
}
