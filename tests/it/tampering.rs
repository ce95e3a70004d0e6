//! `audit verify` detects and names changes of the log.

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array},
    compute::{concat_batches, sort_to_indices, take_record_batch},
    datatypes::{DataType, Int64Type, TimestampMicrosecondType},
};
use ops_runbook::{
    domain::chain::{Head, entry_hash},
    lake::{
        Lake, LakeError,
        ledger::Ledger,
        log::{AddFile, CommitNote, RemoveFile, commit_path},
        table::{CommitDraft, CommitResponse},
        verify::{HeadSource, Tampering, verify},
    },
    ops,
    tables::{catalog::AUDIT_LOG, from_batch, rows::AuditRow, to_batch},
};
use std::{fs, sync::Arc};
use tempfile::{TempDir, tempdir};

use crate::support::{batches, example, lake_at, run, submission};

const ROWS: usize = 6;

async fn lake() -> (TempDir, Lake) {
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    lake.init().await.unwrap();
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    for n in 0..ROWS {
        ledger.submit(submission(&format!("r{n}"))).await.unwrap();
    }
    drop(ledger);
    committer.finished().await;
    ops::settle(&lake).await.unwrap();
    (folder, lake)
}

/// Replaces the rows of the log, as an attacker with write access to the files could.
async fn replace(lake: &Lake, batch: &RecordBatch) {
    let table = lake.table(AUDIT_LOG);
    let log = table.log().await.unwrap();
    let removes = log.files.values().map(remove).collect();
    let adds = vec![table.write_file(batch, true).await.unwrap()];
    let note = CommitNote::new(lake.context.uuid(), 0);
    let draft = CommitDraft { operation: "WRITE", adds, removes, projected_to: None, note };
    assert_eq!(table.commit(&log, &draft).await.unwrap(), CommitResponse::Committed);
}

fn remove(file: &AddFile) -> RemoveFile {
    RemoveFile {
        path: file.path.clone(),
        deletion_timestamp: Some(0),
        data_change: true,
        extended_file_metadata: None,
        partition_values: None,
        size: None,
    }
}

async fn whole(lake: &Lake) -> RecordBatch {
    let all = concat_batches(&AUDIT_LOG.arrow_schema(), &batches(lake, AUDIT_LOG).await).unwrap();
    let order = sort_to_indices(all.column_by_name("seq").unwrap(), None, None).unwrap();
    take_record_batch(&all, &order).unwrap()
}

async fn tampering(lake: &Lake) -> Vec<Tampering> {
    verify(lake, None, |_, _| {}).await.unwrap().tampering
}

/// The same column with one byte of one cell changed.
fn altered(column: &ArrayRef, row: usize) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8 => {
            let cells = column.as_string::<i32>().iter().enumerate().map(|(at, cell)| match (at == row, cell) {
                (true, None) => Some("x".to_owned()),
                (true, Some(cell)) => {
                    let last = if cell.ends_with('0') { '1' } else { '0' };
                    Some(cell.chars().take(cell.chars().count().saturating_sub(1)).chain([last]).collect())
                }
                (false, cell) => cell.map(ToOwned::to_owned),
            });
            Arc::new(cells.collect::<StringArray>())
        }
        DataType::Int64 => {
            let cells = column.as_primitive::<Int64Type>().iter().enumerate();
            Arc::new(
                cells
                    .map(|(at, cell)| cell.map(|cell| if at == row { cell + 256 } else { cell }))
                    .collect::<Int64Array>(),
            )
        }
        DataType::Timestamp(..) => {
            let cells = column.as_primitive::<TimestampMicrosecondType>().iter().enumerate();
            let cells = cells.map(|(at, cell)| cell.map(|cell| if at == row { cell + 1 } else { cell }));
            Arc::new(cells.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        other => panic!("no byte to change in {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_in_any_column_is_found_with_its_row() {
    let (_folder, lake) = lake().await;
    let intact = whole(&lake).await;
    assert_eq!(tampering(&lake).await, []);
    for (index, column) in AUDIT_LOG.columns.iter().enumerate() {
        let mut columns = intact.columns().to_vec();
        columns[index] = altered(&columns[index], 2);
        replace(&lake, &RecordBatch::try_new(AUDIT_LOG.arrow_schema(), columns).unwrap()).await;
        let found = tampering(&lake).await;
        let named = |seq: u64| found.iter().any(|one| one.to_string().contains(&format!("row {seq} ")));
        // A changed seq moves the row.
        let seq = if column.name == "seq" { 3 + 256 } else { 3 };
        assert!(named(seq), "{}: {found:?}", column.name);
    }
    replace(&lake, &intact).await;
    assert_eq!(tampering(&lake).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_inserted_swapped_truncated_and_forked_rows_are_distinguished() {
    let (_folder, lake) = lake().await;
    let intact = whole(&lake).await;
    let rows: Vec<AuditRow> = from_batch(&intact).unwrap();
    let pick = |order: &[u32]| take_record_batch(&intact, &UInt32Array::from(order.to_vec())).unwrap();

    replace(&lake, &pick(&[0, 1, 3, 4, 5])).await;
    assert_eq!(tampering(&lake).await, [Tampering::Missing { from: 3, to: 3 }]);

    replace(&lake, &pick(&[0, 1, 2, 2, 3, 4, 5])).await;
    assert_eq!(tampering(&lake).await, [Tampering::Duplicate { seq: 3 }]);

    let mut swapped = rows.clone();
    swapped[2].seq = 4;
    swapped[3].seq = 3;
    replace(&lake, &to_batch(&swapped).unwrap()).await;
    let found = tampering(&lake).await;
    assert!(found.contains(&Tampering::Moved { seq: 4, entry_seq: 3 }), "{found:?}");
    assert!(found.contains(&Tampering::Moved { seq: 3, entry_seq: 4 }), "{found:?}");

    let mut inserted = rows.clone();
    let mut false_row = rows[3].clone();
    false_row.entry = false_row.entry.replace("out of memory", "an act of God");
    false_row.entry_hash = entry_hash(&false_row.prev_hash, &false_row.entry);
    inserted.insert(4, false_row.clone());
    replace(&lake, &to_batch(&inserted).unwrap()).await;
    assert!(tampering(&lake).await.contains(&Tampering::Fork { seq: 4 }));

    // A different end of the log with a valid chain from row 4.
    let mut forked: Vec<AuditRow> = rows[..3].to_vec();
    let mut before = rows[2].entry_hash.clone();
    for row in &rows[3..] {
        let mut other = row.clone();
        other.entry = other.entry.replace("out of memory", "an act of God");
        other.prev_hash = before;
        other.entry_hash = entry_hash(&other.prev_hash, &other.entry);
        before = other.entry_hash.clone();
        forked.push(other);
    }
    replace(&lake, &to_batch(&forked).unwrap()).await;
    let found = tampering(&lake).await;
    assert!(found.contains(&Tampering::Rewritten { seq: 6, witness: HeadSource::DeltaLog }), "{found:?}");

    replace(&lake, &pick(&[0, 1, 2, 3])).await;
    assert_eq!(tampering(&lake).await, [Tampering::TailCut { remembered: 6, found: 4, witness: HeadSource::DeltaLog }]);
    let remembered = Head { seq: 6, hash: rows[5].entry_hash.clone() };
    let found = verify(&lake, [(remembered, HeadSource::Given)], |_, _| {}).await.unwrap().tampering;
    assert!(found.contains(&Tampering::TailCut { remembered: 6, found: 4, witness: HeadSource::Given }), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_projection_is_named_and_rebuilt() {
    let (folder, lake) = lake().await;
    let lake_folder = folder.path().to_owned();
    let events = ops_runbook::tables::catalog::PROJECTIONS[1];
    let table = lake.table(events);
    let log = table.log().await.unwrap();
    let batch = batches(&lake, events).await.remove(0);
    let adds = vec![table.write_file(&batch.slice(1, batch.num_rows() - 1), true).await.unwrap()];
    let removes = log.files.values().take(1).map(remove).collect();
    let note = CommitNote::new(lake.context.uuid(), 0);
    let draft = CommitDraft { operation: "WRITE", adds, removes, projected_to: None, note };
    assert_eq!(table.commit(&log, &draft).await.unwrap(), CommitResponse::Committed);
    let found = tampering(&lake).await;
    assert!(matches!(&found[..], [Tampering::Projection(one)] if one.table == events.name), "{found:?}");

    let rebuilding = tokio::task::spawn_blocking(move || {
        fs::remove_dir_all(lake_folder.join("root_causes")).unwrap();
        run(&lake_folder, &["rebuild"])
    });
    let output = String::from_utf8(rebuilding.await.unwrap().stdout).unwrap();
    assert!(output.contains("timeline_events: differed at 1 ledger rows, rebuilt with 12 rows"), "{output}");
    assert!(output.contains("root_causes: was missing, rebuilt with 6 rows"), "{output}");
    assert_eq!(tampering(&lake).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_truncated_commit_is_an_error() {
    let (folder, lake) = lake().await;
    let newest = folder.path().join("audit_log").join(commit_path(ROWS as u64).to_string());
    let whole = fs::read(&newest).unwrap();
    let half = &whole[..whole.len() / 2];
    let first_line = &whole[..=whole.iter().position(|byte| *byte == b'\n').unwrap()];
    for torn in [&b""[..], b"\0\0\0\0", half, first_line] {
        fs::write(&newest, torn).unwrap();
        let error = Ledger::open(&lake).await.err().unwrap();
        assert!(matches!(&error, LakeError::Torn { .. }), "{error}");
        let folder = folder.path().to_owned();
        let outputs = tokio::task::spawn_blocking(move || {
            let example = example("01-daily-etl-no-retries");
            [
                run(&folder, &["sql", "SELECT * FROM audit_log"]),
                run(&folder, &["record", &example]),
                run(&folder, &["audit", "verify"]),
            ]
        });
        for output in outputs.await.unwrap() {
            assert_eq!(output.status.code(), Some(5), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("is damaged"), "{output:?}");
        }
    }
    fs::write(&newest, &whole).unwrap();
    assert_eq!(tampering(&lake).await, []);
    let data = lake.table(AUDIT_LOG).log().await.unwrap();
    let file = data.files.values().max_by_key(|file| file.modification_time).unwrap();
    fs::write(folder.path().join("audit_log").join(&file.path), b"").unwrap();
    assert!(matches!(Ledger::open(&lake).await, Err(LakeError::Torn { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_checkpoint_is_an_error() {
    let (folder, lake) = lake().await;
    ops_runbook::lake::maintenance::maintain(&lake, chrono::TimeDelta::hours(168), |_| {}).await.unwrap();
    let log = folder.path().join("audit_log/_delta_log");
    let checkpoint = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let checkpoint = checkpoint.into_iter().find(|path| path.to_string_lossy().contains("checkpoint.parquet")).unwrap();
    fs::write(checkpoint, b"").unwrap();
    assert!(matches!(Ledger::open(&lake).await, Err(LakeError::Torn { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_head_in_the_commits_the_head_is_read_from_the_rows() {
    let (folder, lake) = lake().await;
    ops_runbook::lake::maintenance::maintain(&lake, chrono::TimeDelta::hours(168), |_| {}).await.unwrap();
    let log = lake.table(AUDIT_LOG).log().await.unwrap();
    fs::remove_file(folder.path().join("audit_log").join(commit_path(log.version).to_string())).unwrap();
    assert_eq!(lake.table(AUDIT_LOG).log().await.unwrap().head, None);
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    let known = ledger.submit(submission("r2")).await.unwrap();
    let new = ledger.submit(submission("new")).await.unwrap();
    assert_eq!((known.known, known.receipt.seq), (true, 3));
    assert_eq!((new.known, new.receipt.seq), (false, ROWS as u64 + 1));
    assert_eq!(new.receipt.incident_id.unwrap().ordinal(), ROWS as u64 + 1);
    drop(ledger);
    committer.finished().await;
    assert_eq!(tampering(&lake).await, []);
}
