//! Commands of the audit log: filters, exports and signed checkpoints.

use std::{fs, path::Path};

use ops_runbook::{
    domain::chain::{GENESIS_HASH, entry_hash},
    lake::{
        ledger::{Ledger, rows_between},
        log::{CommitNote, RemoveFile},
        scan::{AuditFilter, AuditScan, ScanOrder},
        table::{CommitDraft, CommitResponse},
    },
    tables::{catalog::AUDIT_LOG, rows::AuditRow, to_batch},
};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{binary, demo_lake, example, finish, json_lines, lake_at, ok, run, submission};

const EXAMPLES: [&str; 4] =
    ["01-daily-etl-no-retries", "04-run-output-unavailable", "05-workspace-validation", "06-hostile-names-and-secrets"];

fn recorded() -> TempDir {
    let folder = tempdir().unwrap();
    for name in EXAMPLES {
        ok(&folder.path().join("lake"), &["record", &example(name)]);
    }
    folder
}

fn seqs(lake: &Path, command: &[&str]) -> Vec<u64> {
    let lines = json_lines(lake, command);
    let rows = match lines.as_slice() {
        [Value::Array(rows)] => rows.clone(),
        lines => lines.to_vec(),
    };
    rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect()
}

#[test]
fn filters_find_the_rows_that_match_all_of_them() {
    let folder = recorded();
    let lake = folder.path().join("lake");
    let times: Vec<String> = json_lines(&lake, &["audit", "export"])
        .iter()
        .map(|row| row["recorded_at"].as_str().unwrap().to_owned())
        .collect();
    let check = |filter: &[&str], expected: &[u64]| {
        assert_eq!(seqs(&lake, &[&["audit", "export"], filter].concat()), expected, "{filter:?}");
        let newest_first: Vec<u64> = expected.iter().rev().copied().collect();
        assert_eq!(seqs(&lake, &[&["audit", "list"], filter].concat()), newest_first, "{filter:?}");
    };
    // Rows 2 and 6 are recurrence evaluations of the causes in rows 1 and 5.
    check(&[], &[1, 2, 3, 4, 5, 6]);
    check(&["--actor", "agent:databricks_mcp_agent"], &[1, 3, 4, 5]);
    check(&["--actor", "agent:databricks"], &[]);
    check(&["--incident", "INC-1002"], &[3]);
    check(&["--incident", "INC-1099"], &[]);
    check(&["--resource", "job_id=360515640572923"], &[1]);
    check(&["--resource", "236083407514246"], &[1, 3]);
    check(&["--resource", "7405612783315468"], &[1, 3, 4, 5]);
    check(&["--resource", "740561278331546"], &[]);
    check(&["--since", &times[1], "--until", &times[3]], &[2, 3]);
    check(&["--since", &times[2]], &[3, 4, 5, 6]);
    check(&["--until", &times[0]], &[]);
    check(&["--since", &times[1], "--resource", "236083407514246"], &[3]);
    assert_eq!(seqs(&lake, &["audit", "list", "--limit", "2"]), [6, 5]);
    assert_eq!(run(&lake, &["audit", "list", "--since", "yesterday"]).status.code(), Some(2));
    assert_eq!(run(&lake, &["audit", "list", "--resource", ""]).status.code(), Some(2));
}

#[test]
fn an_export_is_complete_and_ordered_after_maintenance() {
    let folder = tempdir().unwrap();
    demo_lake(folder.path());
    let before = ok(folder.path(), &["audit", "export"]);
    ok(folder.path(), &["maintain"]);
    assert_eq!(ok(folder.path(), &["audit", "export"]), before);
    let mut hash = GENESIS_HASH.to_owned();
    for (seq, line) in (1..).zip(before.lines()) {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["seq"], seq);
        assert_eq!(row["prev_hash"], hash.as_str());
        hash = entry_hash(&hash, row["entry"].as_str().unwrap());
        assert_eq!(row["entry_hash"], hash.as_str());
    }
    let rows = before.lines().count();
    assert!(rows > 20, "{rows}");

    let events = ok(folder.path(), &["audit", "export", "--format", "ocsf"]);
    assert_eq!(events.lines().count(), rows);
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["version"] == "1.8.0"));

    let file = folder.path().join("rows.csv");
    ok(folder.path(), &["audit", "export", "--format", "csv", "--out", file.to_str().unwrap()]);
    let mut reader = csv::Reader::from_path(&file).unwrap();
    assert_eq!(reader.records().map(|record| record.unwrap().len()).collect::<Vec<_>>(), vec![21; rows]);
    assert!(!folder.path().join("rows.csv.partial").exists());
}

/// Compaction merges small files around large ones, which gives overlapping ranges.
#[tokio::test(flavor = "multi_thread")]
async fn rows_from_overlapping_files_are_ordered() {
    let folder = tempdir().unwrap();
    let lake = lake_at(folder.path());
    lake.init().await.unwrap();
    let (ledger, committer) = Ledger::open(&lake).await.unwrap();
    for n in 0..6 {
        ledger.submit(submission(&format!("r{n}"))).await.unwrap();
    }
    drop(ledger);
    committer.finished().await;
    let table = lake.table(AUDIT_LOG);
    let log = table.log().await.unwrap();
    let rows = rows_between(&table, &log, 0, 6).await.unwrap();
    let mut adds = Vec::new();
    for file in [&[1, 4, 5][..], &[2, 3], &[6]] {
        let part: Vec<AuditRow> = rows.iter().filter(|row| file.contains(&row.seq)).cloned().collect();
        adds.push(table.write_file(&to_batch(&part).unwrap(), false).await.unwrap());
    }
    let removes = log.files.values().map(|file| RemoveFile {
        path: file.path.clone(),
        deletion_timestamp: Some(0),
        data_change: false,
        extended_file_metadata: None,
        partition_values: None,
        size: None,
    });
    let note = CommitNote::new(lake.context.uuid(), 0);
    let draft = CommitDraft { operation: "OPTIMIZE", adds, removes: removes.collect(), projected_to: None, note };
    assert_eq!(table.commit(&log, &draft).await.unwrap(), CommitResponse::Committed);

    for (order, expected) in
        [(ScanOrder::OldestFirst, [1, 2, 3, 4, 5, 6]), (ScanOrder::NewestFirst, [6, 5, 4, 3, 2, 1])]
    {
        let mut scan = AuditScan::begin(&lake, AuditFilter::default(), order).await.unwrap();
        let mut found = Vec::new();
        while let Some(rows) = scan.next().await.unwrap() {
            found.extend(rows.iter().map(|row| row.seq));
        }
        assert_eq!(found, expected);
        assert_eq!(scan.left(), 0);
    }
}

#[test]
fn formulas_are_escaped_in_csv() {
    let folder = tempdir().unwrap();
    ok(folder.path(), &["init"]);
    let text = ok(folder.path(), &["sql", "SELECT '=1+1' AS \"@a\", '-1' AS b, -1 AS c, 'x' AS d", "--format", "csv"]);
    assert_eq!(text, "'@a,b,c,d\n'=1+1,'-1,-1,x\n");
}

struct Keys {
    folder: TempDir,
    public: String,
}

impl Keys {
    fn new() -> Self {
        let folder = recorded();
        let key = folder.path().join("key");
        let public =
            ok(folder.path(), &["audit", "keygen", "--name", "lakes.test/one", "--out", key.to_str().unwrap()]);
        Self { folder, public: public.trim().into() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().into()
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run(&self.folder.path().join("lake"), arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    fn sign(&self, file: &str) -> (Option<i32>, String) {
        self.run(&["audit", "checkpoint", "--key", &self.path("key"), "--out", &self.path(file)])
    }

    fn verify(&self, file: &str) -> (Option<i32>, String) {
        self.run(&["audit", "verify", "--checkpoint", &self.path(file), "--public-key", &self.public])
    }
}

#[test]
fn a_key_is_readable_by_its_owner_only_and_never_overwritten() {
    let keys = Keys::new();
    let key = keys.path("key");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions()) & 0o777, 0o600);
    let secret = fs::read_to_string(&key).unwrap();
    assert!(secret.starts_with("PRIVATE+KEY+lakes.test/one+"));
    assert!(keys.public.starts_with("lakes.test/one+"));

    let (code, printed) = keys.run(&["audit", "keygen", "--out", &key]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("never overwritten"), "{printed}");
    assert_eq!(fs::read_to_string(&key).unwrap(), secret);
    let (code, printed) = keys.run(&["audit", "keygen", "--name", "two words", "--out", &keys.path("other")]);
    assert_eq!(code, Some(3), "{printed}");
    assert!(!Path::new(&keys.path("other")).exists());
}

#[test]
fn a_checkpoint_is_verified_with_its_key_only() {
    let keys = Keys::new();
    assert_eq!(keys.sign("note").0, Some(0));
    let (code, printed) = keys.verify("note");
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("the checkpoint is signed by the given key and matches this log"), "{printed}");

    // After new rows, the old checkpoint is still valid, and a new one replaces it.
    keys.run(&["record", &example("02-hourly-sync-no-retries")]);
    assert_eq!(keys.verify("note").0, Some(0));
    assert_eq!(keys.sign("note"), (Some(0), format!("signed the head of 8 rows into {}\n", keys.path("note"))));

    // The key can be given in a file or in the environment.
    fs::write(keys.path("public"), format!("{}\n", keys.public)).unwrap();
    let arguments = ["audit", "verify", "--checkpoint", &keys.path("note"), "--public-key", &keys.path("public")];
    assert_eq!(keys.run(&arguments).0, Some(0));
    let mut command = binary(&keys.folder.path().join("lake"));
    command.args(&arguments[..4]).env("OPS_RUNBOOK_CHECKPOINT_PUBLIC_KEY", &keys.public);
    assert!(finish(&mut command).status.success());
    let mut command = binary(&keys.folder.path().join("lake"));
    let secret = fs::read_to_string(keys.path("key")).unwrap();
    let note = finish(command.args(["audit", "checkpoint"]).env("OPS_RUNBOOK_CHECKPOINT_KEY", secret));
    assert_eq!(String::from_utf8(note.stdout).unwrap(), fs::read_to_string(keys.path("note")).unwrap());

    // Without a key, the command is rejected. With another key, verification fails.
    assert_eq!(keys.run(&arguments[..4]).0, Some(2));
    let other = ok(keys.folder.path(), &["audit", "keygen", "--out", &keys.path("other-key")]);
    let (code, printed) =
        keys.run(&["audit", "verify", "--checkpoint", &keys.path("note"), "--public-key", other.trim()]);
    assert_eq!(code, Some(5));
    assert!(printed.contains("the checkpoint proves nothing: the note has no signature of ops-runbook+"), "{printed}");

    // A changed checkpoint fails too.
    let note = fs::read_to_string(keys.path("note")).unwrap();
    fs::write(keys.path("note"), note.replace("\n8\n", "\n4\n")).unwrap();
    let (code, printed) = keys.verify("note");
    assert_eq!(code, Some(5));
    assert!(printed.contains("does not match the text"), "{printed}");

    // An invalid or missing note or key is an error.
    fs::write(keys.path("note"), "hello").unwrap();
    let (code, printed) = keys.verify("note");
    assert_eq!(code, Some(3));
    assert!(printed.contains("not a signed note"), "{printed}");
    assert_eq!(keys.verify("none").0, Some(1));
    let (code, printed) = keys.run(&["audit", "checkpoint", "--key", &keys.path("public")]);
    assert_eq!(code, Some(3));
    assert!(printed.contains("not a signing key"), "{printed}");
}

#[test]
fn a_rewritten_log_contradicts_its_checkpoint_and_is_not_signed() {
    let keys = Keys::new();
    keys.sign("note");
    fs::rename(keys.path("lake"), keys.path("old")).unwrap();
    // A different, valid log with one report less.
    for name in &EXAMPLES[1..] {
        keys.run(&["record", &example(name)]);
    }
    assert_eq!(keys.run(&["audit", "verify"]).0, Some(0));
    let (code, printed) = keys.verify("note");
    assert_eq!(code, Some(5));
    assert!(printed.contains("the signed checkpoint names row 6, the log ends at row 4"), "{printed}");
    let signed = fs::read(keys.path("note")).unwrap();
    let (code, printed) = keys.sign("note");
    assert_eq!(code, Some(5));
    assert!(printed.contains("nothing was signed"), "{printed}");
    keys.run(&["record", &example(EXAMPLES[0])]);
    let (code, printed) = keys.sign("note");
    assert_eq!(code, Some(5));
    assert!(printed.contains("row 6 is not the row that the signed checkpoint names"), "{printed}");
    assert_eq!(fs::read(keys.path("note")).unwrap(), signed);

    // A file that is not a checkpoint of this key is not replaced.
    fs::write(keys.path("letter"), "dear all").unwrap();
    assert_eq!(keys.sign("letter").0, Some(3));
    assert_eq!(fs::read_to_string(keys.path("letter")).unwrap(), "dear all");
}
