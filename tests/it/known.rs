//! A process that reads a lake again and again, while others write it, tidy it and make parts of it anew.

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
async fn what_others_wrote_and_tidied_is_seen_by_whoever_read_before() {
    let folder = tempdir().unwrap();
    let (reader, writer) = (lake_at(folder.path()), lake_at(folder.path()));
    writer.init().await.unwrap();
    assert_eq!(incidents(&reader).await, 0);
    let mut written = 0;
    for round in 0..4 {
        // A commit each: beyond a checkpoint, which the ledger makes by the way.
        write(&writer, (0..60).map(|n| format!("r{round}-{n}"))).await;
        written += 60;
        if round == 1 {
            ops::settle(&writer).await.unwrap();
        }
        if round == 2 {
            // Everything is merged, and what came before the checkpoints is gone.
            maintenance::maintain(&writer, TimeDelta::hours(0), |_| {}).await.unwrap();
        }
        assert_eq!(incidents(&reader).await, written);
        let newest = reader.table(AUDIT_LOG).newest().await.unwrap();
        let anew = reader.table(AUDIT_LOG).log().await.unwrap();
        assert_eq!((newest.version, &newest.files, &newest.head), (anew.version, &anew.files, &anew.head));
        assert!(!newest.checkpoint_due() || anew.checkpoint_due());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_made_anew_under_the_same_version_is_read_anew() {
    let folder = tempdir().unwrap();
    let (reader, other) = (lake_at(folder.path()), lake_at(folder.path()));
    other.init().await.unwrap();
    write(&other, (0..5).map(|n| format!("r{n}"))).await;
    assert_eq!(incidents(&reader).await, 5);
    let before = reader.table(IncidentState::TABLE).newest().await.unwrap();
    fs::remove_dir_all(folder.path().join(IncidentState::TABLE.name)).unwrap();
    rebuild::rebuild(&other, |_, _| {}).await.unwrap();
    let after = reader.table(IncidentState::TABLE).newest().await.unwrap();
    assert_eq!(before.version, after.version, "otherwise this test shows nothing");
    assert_ne!(before.files, after.files);
    assert_eq!(incidents(&reader).await, 5);
}

/// All rows, whatever their order.
async fn content(lake: &Lake, def: &'static TableDef) -> (usize, String) {
    digest(&batches(lake, def).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projected_table_that_is_missing_is_made_by_the_next_query() {
    let folder = tempdir().unwrap();
    let other = lake_at(folder.path());
    other.init().await.unwrap();
    write(&other, (0..5).map(|n| format!("r{n}"))).await;
    assert_eq!(incidents(&other).await, 5);
    for def in PROJECTIONS {
        let before = content(&other, def).await;
        // Something waits to be projected, too.
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
async fn whoever_projects_beside_others_sees_what_it_wrote() {
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    lake.init().await.unwrap();
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    let writers: Vec<_> = (0..48)
        .map(|n| {
            let (lake, ledger) = (lake.clone(), ledger.clone());
            tokio::spawn(async move {
                for turn in 0..4 {
                    let seq = ledger.submit(submission(&format!("w{n}-{turn}"))).await.unwrap().receipt.seq;
                    let pass = projector::project(&lake, |_, _| {}).await.unwrap();
                    assert!(pass.projected_to >= seq, "{} of {seq}", pass.projected_to);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    drop(ledger);
    committer.finished().await;
    // All tables up to the end, and each pass for many.
    assert_eq!(incidents(&lake).await, 48 * 4);
    let lead = lake.table(projector::LEAD).log().await.unwrap();
    assert!(lead.version < 48 * 4, "{}", lead.version);
}
