//! The result of an ingest does not depend on the order of documents or their distribution over files.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use ops_runbook::{
    domain::redact::Redactor,
    inbox::Inbox as Opened,
    lake::{Context, Lake, StoreEnvironment},
    ops::{self, ingest::IngestTiming},
    tables::catalog,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::Value;
use tempfile::tempdir;

use super::{
    broken, hash,
    place::{Folder, Inbox},
};
use crate::{support::report, wait::repetitions};

/// One document in the inbox.
#[derive(Debug, Clone)]
struct Piece {
    id: u8,
    good: bool,
    /// Pieces of the same file become its lines.
    file: u8,
}

impl Piece {
    fn text(&self) -> String {
        let id = format!("p{}", self.id);
        let mut document = if self.good { report(&id) } else { broken(&id) };
        document["incident"]["reported_at"] = format!("2026-02-11T{:02}:21:00Z", self.id % 24).into();
        document["timeline"] = Value::Array(Vec::new());
        document.to_string()
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (any::<u8>(), prop::bool::weighted(0.8), 0_u8..8).prop_map(|(id, good, file)| Piece { id, good, file });
    prop::collection::vec(piece, 1..40)
}

/// Returns the incidents of a lake, without fields that depend on the order.
fn incidents(lake: &Lake, runtime: &tokio::runtime::Runtime) -> Vec<String> {
    let sql = "SELECT title, slug, status, reported_at, cause_fingerprint, confidence, workspace_id FROM incidents";
    let (_, batches) = runtime.block_on(ops_runbook::analytics::query(lake, sql)).unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let one = arrow::util::pretty::pretty_format_batches(&[batch.slice(row, 1)]).unwrap().to_string();
            rows.push(one);
        }
    }
    rows.sort();
    rows
}

fn taken(pieces: &[Piece], runtime: &tokio::runtime::Runtime) -> (Vec<String>, BTreeSet<String>, Folder) {
    let inbox = Folder::new();
    for file in 0..8 {
        let lines: Vec<String> = pieces.iter().filter(|piece| piece.file == file).map(Piece::text).collect();
        if !lines.is_empty() {
            inbox.drop(&format!("{file}.jsonl"), lines.join("\n").as_bytes());
        }
    }
    let folder = tempdir().unwrap();
    let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
    let rejected = runtime.block_on(async {
        let (ledger, committer) = ops::open_ledger(&lake).await.unwrap();
        let opened = Opened::open(&inbox.uri(), &StoreEnvironment::default()).unwrap();
        let timing = IngestTiming { settle: TimeDelta::zero(), wait: TimeDelta::zero() };
        let redactor = Redactor::new(None);
        ops::ingest::ingest(&lake, &ledger, &opened, timing, &redactor, &|_| {}).await.unwrap();
        drop(ledger);
        committer.finished().await;
        let mut hashes = BTreeSet::new();
        let rejected = catalog::all().find(|def| def.name == "rejected_inputs").unwrap();
        for batch in crate::support::batches(&lake, rejected).await {
            let rows: Vec<ops_runbook::tables::rows::RejectedInput> = ops_runbook::tables::from_batch(&batch).unwrap();
            hashes.extend(rows.into_iter().map(|row| row.input_hash));
        }
        hashes
    });
    (incidents(&lake, runtime), rejected, inbox)
}

#[test]
fn order_and_files_do_not_matter() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: repetitions(6, 100), failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(
            &(pieces().prop_flat_map(|pieces| (Just(pieces.clone()), Just(pieces).prop_shuffle()))),
            |(pieces, mut others)| {
                // Other files, too.
                for (n, piece) in others.iter_mut().enumerate() {
                    piece.file = (n % 3) as u8;
                }
                let (first, rejected, inbox) = taken(&pieces, &runtime);
                let (second, others_rejected, _) = taken(&others, &runtime);
                prop_assert_eq!(&first, &second);
                prop_assert_eq!(&rejected, &others_rejected);
                let good: BTreeSet<u8> = pieces.iter().filter(|piece| piece.good).map(|piece| piece.id).collect();
                let bad: BTreeSet<String> =
                    pieces.iter().filter(|piece| !piece.good).map(|piece| hash(piece.text().as_bytes())).collect();
                prop_assert_eq!(first.len(), good.len());
                prop_assert_eq!(rejected, bad);
                prop_assert!(inbox.left().is_empty());
                Ok(())
            },
        )
        .unwrap();
}
