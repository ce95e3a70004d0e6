//! A process with cached logs, while other processes write, maintain and rebuild the lake.

use std::fs;

use chrono::TimeDelta;
use ops_runbook::{
    analytics,
    lake::{Lake, ledger::Ledger, maintenance, projector, rebuild},
    ops,
    tables::{
        Row, TableDef,
        catalog::{AUDIT_LOG, PROJECTIONS},
        rows::IncidentState,
    },
};
use tempfile::tempdir;

use crate::support::{batches, digest, lake_at, submission};

async fn write(lake: &Lake, ids: impl IntoIterator<Item = String>) {
    let (ledger, committer) = Ledger::open(lake).await.unwrap();
    for id in ids {
        ledger.submit(submission(&id)).await.unwrap();
    }
    drop(ledger);
    committer.finished().await;
}

async fn incidents(lake: &Lake) -> i64 {
    let (_, batches) = analytics::query(lake, "SELECT count(*) AS n FROM incidents").await.unwrap();
    arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batches[0].column(0)).value(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_with_a_cached_log_sees_later_commits_and_maintenance() {
    let folder = tempdir().unwrap();
    let (reader, writer) = (lake_at(folder.path()), lake_at(folder.path()));
    writer.init().await.unwrap();
    assert_eq!(incidents(&reader).await, 0);
    let mut written = 0;
    for round in 0..4 {
        // One commit each: more than a checkpoint interval.
        write(&writer, (0..60).map(|n| format!("r{round}-{n}"))).await;
        written += 60;
        if round == 1 {
            ops::settle(&writer).await.unwrap();
        }
        if round == 2 {
            // Files are merged, and commits before the checkpoints are removed.
            maintenance::maintain(&writer, TimeDelta::hours(0), |_| {}).await.unwrap();
        }
        assert_eq!(incidents(&reader).await, written);
        let newest = reader.table(AUDIT_LOG).newest_log().await.unwrap();
        let reloaded = reader.table(AUDIT_LOG).log().await.unwrap();
        assert_eq!((newest.version, &newest.files, &newest.head), (reloaded.version, &reloaded.files, &reloaded.head));
        assert!(!newest.checkpoint_due() || reloaded.checkpoint_due());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_created_again_with_the_same_version_is_reloaded() {
    let folder = tempdir().unwrap();
    let (reader, other) = (lake_at(folder.path()), lake_at(folder.path()));
    other.init().await.unwrap();
    write(&other, (0..5).map(|n| format!("r{n}"))).await;
    assert_eq!(incidents(&reader).await, 5);
    let before = reader.table(IncidentState::TABLE).newest_log().await.unwrap();
    fs::remove_dir_all(folder.path().join(IncidentState::TABLE.name)).unwrap();
    rebuild::rebuild(&other, |_, _| {}).await.unwrap();
    let after = reader.table(IncidentState::TABLE).newest_log().await.unwrap();
    assert_eq!(before.version, after.version, "otherwise this test proves nothing");
    assert_ne!(before.files, after.files);
    assert_eq!(incidents(&reader).await, 5);
}

/// Returns a digest of all rows, independent of their order.
async fn content(lake: &Lake, def: &'static TableDef) -> (usize, String) {
    digest(&batches(lake, def).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_projected_table_is_rebuilt_by_the_next_query() {
    let folder = tempdir().unwrap();
    let other = lake_at(folder.path());
    other.init().await.unwrap();
    write(&other, (0..5).map(|n| format!("r{n}"))).await;
    assert_eq!(incidents(&other).await, 5);
    for def in PROJECTIONS {
        let before = content(&other, def).await;
        // Also leave an entry to be projected.
        write(&other, [format!("beside-{}", def.name)]).await;
        fs::remove_dir_all(folder.path().join(def.name)).unwrap();
        let lake = lake_at(folder.path());
        analytics::query(&lake, &format!("SELECT count(*) FROM {}", def.name)).await.unwrap();
        let after = content(&lake, def).await;
        assert!(after.0 >= before.0, "{}: {after:?} after {before:?}", def.name);
        let rebuilt = rebuild::rebuild(&lake, |_, _| {}).await.unwrap();
        assert!(rebuilt.iter().all(|table| !table.replaced && !table.missing), "{}: {rebuilt:?}", def.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_concurrent_projection_includes_the_callers_writes() {
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    lake.init().await.unwrap();
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    let writers: Vec<_> = (0..48)
        .map(|n| {
            let (lake, ledger) = (lake.clone(), ledger.clone());
            tokio::spawn(async move {
                for number in 0..4 {
                    let seq = ledger.submit(submission(&format!("w{n}-{number}"))).await.unwrap().receipt.seq;
                    let result = projector::project(&lake, |_, _| {}).await.unwrap();
                    assert!(result.projected_to >= seq, "{} of {seq}", result.projected_to);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    drop(ledger);
    committer.finished().await;
    // All tables are complete, and each projection served many calls.
    assert_eq!(incidents(&lake).await, 48 * 4);
    let progress_table = lake.table(projector::PROGRESS_TABLE).log().await.unwrap();
    assert!(progress_table.version < 48 * 4, "{}", progress_table.version);
}
