//! Tables with features that this program does not support: they are not damaged, and refused.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StructArray},
    datatypes::{DataType, FieldRef},
};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    spark,
    support::{example, ok, run},
};

const READS: [&[&str]; 3] = [&["audit", "verify"], &["sql", "SELECT * FROM audit_log"], &["doctor"]];

/// Returns a lake with two reports, whose tables have a checkpoint and as few files as possible.
fn lake() -> TempDir {
    let folder = tempdir().unwrap();
    for name in ["01-daily-etl-no-retries", "02-hourly-sync-no-retries"] {
        ok(folder.path(), &["record", &example(name)]);
    }
    ok(folder.path(), &["maintain"]);
    folder
}

fn log_of(lake: &Path, table: &str) -> PathBuf {
    lake.join(table).join("_delta_log")
}

/// Returns the newest version of a table, and the actions of its commit.
fn newest(lake: &Path, table: &str) -> (u64, Vec<Value>) {
    let names = fs::read_dir(log_of(lake, table)).unwrap().map(|entry| entry.unwrap().file_name());
    let versions = names.filter_map(|name| name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok());
    let version = versions.max().unwrap();
    let text = fs::read_to_string(log_of(lake, table).join(format!("{version:020}.json"))).unwrap();
    (version, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Commits as another program. Returns the name of the file.
fn commit(lake: &Path, table: &str, actions: &[Value]) -> String {
    let name = format!("{:020}.json", newest(lake, table).0 + 1);
    let info = json!({ "commitInfo": { "operation": "DELETE", "engineInfo": "another" } });
    let lines: String = [&[info][..], actions].concat().iter().map(|action| format!("{action}\n")).collect();
    fs::write(log_of(lake, table).join(&name), lines).unwrap();
    name
}

/// Returns actions that add a deletion vector to the newest data file.
fn with_deletion_vector(lake: &Path, table: &str) -> Vec<Value> {
    let (_, actions) = newest(lake, table);
    let mut add = actions.into_iter().rfind(|action| action.get("add").is_some()).unwrap();
    let remove = json!({ "remove": { "path": add["add"]["path"], "dataChange": true, "deletionTimestamp": 0 } });
    add["add"]["deletionVector"] = json!({ "storageType": "i", "pathOrInlineDv": "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L", "sizeInBytes": 40, "cardinality": 1 });
    vec![remove, add]
}

fn assert_refused(lake: &Path, commands: &[&[&str]], expected: &[&str]) {
    for command in commands {
        let output = run(lake, command);
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).join(" ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
        for part in expected {
            assert!(text.contains(part), "{part:?} of {command:?} is not in {text}");
        }
    }
}

/// Commands that read the audit log, and those that write it.
fn all<'a>(record: &'a [&'a str]) -> Vec<&'a [&'a str]> {
    READS.into_iter().chain([record, &["maintain"]]).collect()
}

#[test]
fn a_deletion_vector_in_a_commit_is_refused_by_every_command_and_names_the_file() {
    let report = example("03-nightly-backup-no-retries");
    let record = ["record", report.as_str()];
    let folder = lake();
    let file = commit(folder.path(), "audit_log", &with_deletion_vector(folder.path(), "audit_log"));
    let version = format!("its version {}", newest(folder.path(), "audit_log").0);
    let expected = [
        "audit_log cannot be read",
        &file,
        &version,
        "has a deletion vector for \"part-",
        "restore the folder audit_log",
    ];
    assert_refused(folder.path(), &all(&record), &expected);
    fs::remove_file(log_of(folder.path(), "audit_log").join(file)).unwrap();
    ok(folder.path(), &["audit", "verify"]);

    let file = commit(folder.path(), "timeline_events", &with_deletion_vector(folder.path(), "timeline_events"));
    let select = ["sql", "SELECT * FROM timeline_events"];
    let expected = [
        "timeline_events cannot be read",
        &file,
        "has a deletion vector",
        "move the folder timeline_events away: the next command that needs the table rebuilds it",
    ];
    assert_refused(folder.path(), &[&select, &["doctor"], &["maintain"]], &expected);
    fs::remove_dir_all(folder.path().join("timeline_events")).unwrap();
    ok(folder.path(), &select);
}

#[test]
fn unsupported_reader_features_are_refused_at_read_and_writer_features_at_write() {
    let report = example("03-nightly-backup-no-retries");
    let record = ["record", report.as_str()];
    let folder = lake();
    let check = |protocol: Value, commands: &[&[&str]], expected: &[&str]| {
        let file = commit(folder.path(), "audit_log", &[json!({ "protocol": protocol })]);
        assert_refused(folder.path(), commands, &[&[file.as_str()][..], expected].concat());
        fs::remove_file(log_of(folder.path(), "audit_log").join(file)).unwrap();
    };
    check(
        json!({ "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["typeWidening"], "writerFeatures": ["typeWidening"] }),
        &all(&record),
        &["audit_log cannot be read", "requires the reader features \"typeWidening\""],
    );
    check(json!({ "minReaderVersion": 2, "minWriterVersion": 5 }), &all(&record), &["requires reader version 2"]);

    let writers =
        json!({ "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["appendOnly", "rowTracking"] });
    let writing: [&[&str]; 2] = [&record, &["maintain"]];
    let expected = ["audit_log cannot be written", "requires the writer features \"rowTracking\""];
    check(writers.clone(), &writing, &expected);
    check(json!({ "minReaderVersion": 1, "minWriterVersion": 4 }), &writing, &["requires writer version 4"]);
    commit(folder.path(), "audit_log", &[json!({ "protocol": writers })]);
    ok(folder.path(), &["audit", "verify"]);
    ok(folder.path(), &["sql", "SELECT * FROM audit_log"]);
    assert_refused(folder.path(), &[&["doctor"]], &["audit_log: reader 1, writer 7"]);
    let known = json!({ "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["appendOnly", "invariants"] });
    commit(folder.path(), "audit_log", &[json!({ "protocol": known })]);
    ok(folder.path(), &record);
}

/// Sets a field of the checkpoint's actions of one kind to other values.
fn rewrite_checkpoint(lake: &Path, table: &str, action: &str, field: &str) -> String {
    let file = fs::read_dir(log_of(lake, table)).unwrap().map(|entry| entry.unwrap().path());
    let mut checkpoints = file.filter(|path| path.to_str().unwrap().ends_with(".checkpoint.parquet"));
    let path = checkpoints.next().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batches[0].schema(), None).unwrap();
    for batch in batches {
        let (schema, mut columns, _) = batch.into_parts();
        let index = schema.index_of(action).unwrap();
        let (fields, mut values, nulls) = columns[index].as_struct().clone().into_parts();
        let (position, found) = fields.find(field).unwrap();
        values[position] = filled(found, &values[position], nulls.clone());
        columns[index] = Arc::new(StructArray::new(fields, values, nulls));
        writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    }
    writer.close().unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// 4, "4", or a structure of these.
fn filled(field: &FieldRef, before: &ArrayRef, nulls: Option<arrow::buffer::NullBuffer>) -> ArrayRef {
    let rows = before.len();
    match field.data_type() {
        DataType::Int32 => Arc::new(Int32Array::from(vec![4; rows])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![4; rows])),
        DataType::Utf8 => Arc::new(StringArray::from(vec!["4"; rows])),
        DataType::Struct(fields) => {
            let values = fields.iter().zip(before.as_struct().columns());
            let values = values.map(|(field, before)| filled(field, before, None)).collect();
            Arc::new(StructArray::new(fields.clone(), values, nulls))
        }
        other => panic!("nothing to fill {other} with"),
    }
}

#[test]
fn a_checkpoint_with_unsupported_requirements_is_refused_by_every_command() {
    let report = example("03-nightly-backup-no-retries");
    let record = ["record", report.as_str()];
    let folder = lake();
    let file = rewrite_checkpoint(folder.path(), "audit_log", "add", "deletionVector");
    assert_refused(folder.path(), &all(&record), &["audit_log cannot be read", &file, "has a deletion vector for"]);

    let folder = lake();
    let file = rewrite_checkpoint(folder.path(), "audit_log", "protocol", "minReaderVersion");
    assert_refused(folder.path(), &all(&record), &["audit_log cannot be read", &file, "requires reader version 4"]);

    let folder = lake();
    let file = rewrite_checkpoint(folder.path(), "audit_log", "protocol", "minWriterVersion");
    let writing: [&[&str]; 2] = [&record, &["maintain"]];
    assert_refused(folder.path(), &writing, &["audit_log cannot be written", &file, "requires writer version 4"]);
    ok(folder.path(), &["audit", "verify"]);

    let folder = lake();
    let hint = log_of(folder.path(), "audit_log").join("_last_checkpoint");
    let mut last: Value = serde_json::from_slice(&fs::read(&hint).unwrap()).unwrap();
    last["parts"] = 2.into();
    fs::write(&hint, last.to_string()).unwrap();
    assert_refused(folder.path(), &all(&record), &["_last_checkpoint", "is a multi-part checkpoint"]);
}

#[test]
fn rows_that_spark_deletes_by_deletion_vectors_are_refused_from_commits_and_from_a_checkpoint() {
    let report = example("03-nightly-backup-no-retries");
    let record = ["record", report.as_str()];
    let folder = lake();
    let table = folder.path().join("audit_log");
    let table = format!("delta.`{}`", table.display());
    let properties = "'delta.appendOnly' = 'false', 'delta.enableDeletionVectors' = 'true'";
    let statements = [
        format!("ALTER TABLE {table} SET TBLPROPERTIES ({properties}, 'delta.checkpointInterval' = '1')"),
        format!("DELETE FROM {table} WHERE seq = 1"),
    ];
    spark::ask(&json!({ "run": { "statements": statements } })).unwrap();
    let (version, actions) = newest(folder.path(), "audit_log");
    assert!(actions.iter().any(|action| action["add"]["deletionVector"].is_object()), "{actions:#?}");
    let checkpoint = format!("{version:020}.checkpoint.parquet");
    let expected = ["audit_log cannot be read", "deletionVectors"];
    assert_refused(folder.path(), &all(&record), &[expected[0], expected[1], &checkpoint]);
    let log = log_of(folder.path(), "audit_log");
    for entry in fs::read_dir(&log).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().contains("checkpoint") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_refused(folder.path(), &all(&record), &expected);
}
