//! Helpers of the integration tests: the binary, reports, lakes, and assertions about them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType},
};
use ops_runbook::{
    analytics,
    domain::{interface::Interface, redact::Redactor},
    lake::{
        Context, Lake, StoreEnvironment,
        ledger::Submission,
        log::{CommitNote, RemoveFile},
        rebuild::rebuild,
        table::{CommitDraft, CommitResponse, RowSelection},
        verify::verify,
    },
    ops,
    tables::{TableDef, catalog::AUDIT_LOG, from_batch, rows::AuditRow, to_batch},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::wait;

pub const EXAMPLES: [&str; 6] = [
    "01-daily-etl-no-retries",
    "02-hourly-sync-no-retries",
    "03-nightly-backup-no-retries",
    "04-run-output-unavailable",
    "05-workspace-validation",
    "06-hostile-names-and-secrets",
];

pub fn example(name: &str) -> String {
    format!("{}/tests/examples/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

/// The location of a lake, as given on the command line.
pub trait LakeLocation {
    fn uri(&self) -> String;

    /// Returns the environment variables that give access to the location.
    fn variables(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl LakeLocation for Path {
    fn uri(&self) -> String {
        self.to_str().unwrap().to_owned()
    }
}

impl LakeLocation for PathBuf {
    fn uri(&self) -> String {
        self.as_path().uri()
    }
}

/// Returns the binary with the option `--lake`.
pub fn binary(lake: &(impl LakeLocation + ?Sized)) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops-runbook"));
    for name in [
        "OPS_RUNBOOK_ACTOR",
        "OPS_RUNBOOK_CATALOG_ROOT",
        "OPS_RUNBOOK_CHECKPOINT_KEY",
        "OPS_RUNBOOK_CHECKPOINT_PUBLIC_KEY",
        "OPS_RUNBOOK_CONFIG",
        "OPS_RUNBOOK_REDACTION_KEY",
        "OPS_RUNBOOK_VOLUME_PATH",
    ] {
        command.env_remove(name);
    }
    command.env("USER", "tester").arg("--lake").arg(lake.uri());
    // The tests' machine may have credentials of workspaces and stores. No test may use them.
    for (name, _) in std::env::vars() {
        let prefixes = ["ACTIONS_ID_TOKEN_", "ARM_", "AWS_", "AZURE_", "DATABRICKS_", "GOOGLE_"];
        if prefixes.iter().any(|own| name.starts_with(own)) {
            command.env_remove(name);
        }
    }
    command.env("DATABRICKS_CONFIG_FILE", "/dev/null").envs(lake.variables());
    command
}

pub fn run(lake: &(impl LakeLocation + ?Sized), arguments: &[&str]) -> Output {
    finish(binary(lake).args(arguments))
}

/// Runs a command, which must exit within [`wait::LIMIT`].
pub fn finish(command: &mut Command) -> Output {
    let arguments: Vec<String> = command.get_args().map(|one| one.to_string_lossy().into_owned()).collect();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait::output_of(&arguments.join(" "), child)
}

/// Runs the binary, which must succeed. Returns standard output.
pub fn ok(lake: &(impl LakeLocation + ?Sized), arguments: &[&str]) -> String {
    let output = run(lake, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the binary with `--json`, which must succeed. Returns the lines of standard output.
pub fn json_lines(lake: &(impl LakeLocation + ?Sized), arguments: &[&str]) -> Vec<Value> {
    let text = ok(lake, &[arguments, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns a small, valid report.
pub fn report(id: &str) -> Value {
    json!({
        "schema_version": 1,
        "report_id": id,
        "actor": "agent:test",
        "workspace": { "id": "1" },
        "incident": { "type": "job-failure", "slug": "job_failed", "title": format!("{id} failed"), "reporter": "test",
                      "reported_at": "2026-02-11T12:21:00Z", "status": "investigating" },
        "resources": [{ "kind": "job", "id": "7", "name": "etl" }],
        "timeline": [
            { "at": "2026-02-11T12:22:00Z", "kind": "DISCOVER", "message": "1 failed run" },
            { "at": "2026-02-11T12:25:00Z", "kind": "RCA", "message": "out of memory" }
        ],
        "rca": { "root_cause": "executor out of memory", "confidence": "HIGH", "evidence": ["run_output"], "missing_evidence": [] }
    })
}

pub fn submission(id: &str) -> Submission {
    let bytes = serde_json::to_vec(&report(id)).unwrap();
    let now = Context::system().now();
    ops::prepare(&bytes, &Redactor::new(None), now, Interface::Cli).unwrap()
}

pub fn lake_at(folder: &Path) -> Lake {
    Lake::at(folder.to_str().unwrap(), Context::system()).unwrap()
}

/// Returns all rows of a table.
pub async fn batches(lake: &Lake, def: &'static TableDef) -> Vec<RecordBatch> {
    let table = lake.table(def);
    let log = table.log().await.unwrap();
    let columns: Vec<&str> = def.columns.iter().map(|column| column.name).collect();
    table.read(&log.files.values().collect::<Vec<_>>(), &columns, RowSelection::All).await.unwrap()
}

/// Returns the number of rows and their checksum as defined in tests/peers/reading.py.
pub fn digest(batches: &[RecordBatch]) -> (usize, String) {
    let mut sum = 0_u64;
    let mut count = 0;
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = batch.columns().iter().map(|column| cell(column.as_ref(), row)).collect();
            let hash = Sha256::digest(cells.join("\u{1f}").as_bytes());
            sum = sum.wrapping_add(u64::from_be_bytes(hash[..8].try_into().unwrap()));
            count += 1;
        }
    }
    (count, format!("{sum:016x}"))
}

fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return "\u{2400}".into();
    }
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Float64 => format!("{:016x}", column.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Date32 => column.as_primitive::<Date32Type>().value_as_date(row).unwrap().to_string(),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        other => panic!("no digest for {other}"),
    }
}

/// Changes one character of the entry of a report's row, by its seq.
pub fn tamper(folder: &Path, seq: u64) {
    let lake = lake_at(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let table = lake.table(AUDIT_LOG);
        let log = table.log().await.unwrap();
        let mut rows: Vec<AuditRow> = Vec::new();
        for batch in batches(&lake, AUDIT_LOG).await {
            rows.extend(from_batch::<AuditRow>(&batch).unwrap());
        }
        let row = rows.iter_mut().find(|row| row.seq == seq).unwrap();
        let altered = row.entry.replacen("job", "jab", 1);
        assert_ne!(std::mem::replace(&mut row.entry, altered.clone()), altered);
        let adds = vec![table.write_file(&to_batch(&rows).unwrap(), true).await.unwrap()];
        let removes = log.files.values().map(|file| RemoveFile {
            path: file.path.clone(),
            deletion_timestamp: Some(0),
            data_change: true,
            extended_file_metadata: None,
            partition_values: None,
            size: None,
        });
        let note = CommitNote::new(lake.context.uuid(), 0);
        let draft = CommitDraft { operation: "WRITE", adds, removes: removes.collect(), projected_to: None, note };
        assert_eq!(table.commit(&log, &draft).await.unwrap(), CommitResponse::Committed);
    });
}

/// Returns the files below a folder by their relative paths.
pub fn files_below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Returns the files of the lake that `demo` creates, by their relative paths.
pub fn demo_files() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        ok(folder.path(), &["demo"]);
        files_below(folder.path())
    })
}

/// Writes the demo lake to a folder. The command `demo` runs once for all tests of a process.
pub fn demo_lake(to: &Path) {
    for (name, bytes) in demo_files() {
        let file = to.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
}

/// Runs async work on a new runtime in a new thread, so sync and async tests can call it.
fn on_own_runtime<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(work()));
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Opens a lake in this process. Returns `None` if only a workspace knows its location.
fn opened(lake: &(impl LakeLocation + ?Sized)) -> Option<Lake> {
    let variables = lake.variables().into_iter().collect();
    let store_environment = StoreEnvironment { variables, ..StoreEnvironment::default() };
    let uri = lake.uri();
    (!uri.starts_with("uc://")).then(|| Lake::open(&uri, &store_environment, Context::system()).unwrap())
}

async fn rows_of(lake: &Lake, statement: &str) -> Vec<Value> {
    let (_, batches) = analytics::query(lake, statement).await.unwrap();
    let text = ops::named_query::json_lines(&batches).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the rows of a statement as `sql --json` prints them. They are computed in this process if possible.
pub fn sql_rows(lake: &(impl LakeLocation + ?Sized), statement: &str) -> Vec<Value> {
    match opened(lake) {
        Some(lake) => on_own_runtime(async || rows_of(&lake, statement).await),
        None => json_lines(lake, &["sql", statement]),
    }
}

const REPORTS: &str = "SELECT count(*) AS n FROM audit_log WHERE request_kind = 'record_report'";

/// Asserts that a lake is intact, that it has this number of reports, and that a rebuild changes nothing. The checks run in this
/// process if possible.
pub fn assert_intact(lake: &(impl LakeLocation + ?Sized), reports_recorded: u64) {
    let Some(lake) = opened(lake) else { return assert_intact_by_binary(lake, reports_recorded) };
    on_own_runtime(async || {
        let verification = verify(&lake, None, |_, _| {}).await.unwrap();
        assert!(verification.intact(), "{:?}", verification.tampering);
        assert_eq!(rows_of(&lake, REPORTS).await, [json!({ "n": reports_recorded })]);
        for table in rebuild(&lake, |_, _| {}).await.unwrap() {
            assert_eq!((table.replaced, table.missing), (false, false), "{table:?}");
        }
    });
}

/// Like [`assert_intact`], with the commands of the binary.
pub fn assert_intact_by_binary(lake: &(impl LakeLocation + ?Sized), reports_recorded: u64) {
    let verification = &json_lines(lake, &["audit", "verify"])[0];
    assert_eq!(verification["intact"], true, "{verification:#}");
    assert_eq!(json_lines(lake, &["sql", REPORTS]), [json!({ "n": reports_recorded })]);
    let rebuilt = &json_lines(lake, &["rebuild"])[0];
    for table in rebuilt.as_array().unwrap() {
        assert_eq!((&table["replaced"], &table["missing"]), (&json!(false), &json!(false)), "{table:#}");
    }
}
