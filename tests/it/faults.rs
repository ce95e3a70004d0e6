//! What must not be lost is not lost: killed processes, and a store that fails in every way a store can.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::Read,
    ops::Range,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use ops_runbook::lake::{Context, Lake, ledger::Ledger, projector, rebuild, verify};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::tempdir;
use url::Url;

use crate::{
    support::{LakeLocation, assert_intact, binary, json_lines, report, submission},
    wait::{LIMIT, repetitions},
};

const FILES: usize = 12;
const REPORTS_PER_FILE: usize = 40;

#[test]
fn kills_lose_nothing_that_was_acknowledged() {
    let folder = tempdir().unwrap();
    assert_kills_lose_nothing(&folder.path().join("lake"), repetitions(60, 300), 450);
}

/// At least so many kills, each within so many milliseconds of the start. The time grows while too few reports are acknowledged,
/// as on a slow machine.
pub fn assert_kills_lose_nothing(lake: &(impl LakeLocation + ?Sized), kills_wanted: usize, mut longest: u64) {
    let folder = tempdir().unwrap();
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    let mut kills = 0;
    let mut rounds = 0;
    let mut acknowledged: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut written = BTreeSet::new();
    while kills < kills_wanted || acknowledged.len() <= REPORTS_PER_FILE {
        assert!(rounds < 10 * kills_wanted + 60, "{kills} kills and {} acknowledgements", acknowledged.len());
        let mut children: Vec<(Child, Option<usize>)> = (0..3)
            .map(|_| {
                // Some rounds bring new reports, some send old ones again.
                let number = rounds / 4 % FILES + FILES * dice.random_range(0..3);
                let file = folder.path().join(format!("{number}.jsonl"));
                if written.insert(number) {
                    let text: String =
                        (0..REPORTS_PER_FILE).map(|n| format!("{}\n", report(&format!("f{number}-{n}")))).collect();
                    fs::write(&file, text).unwrap();
                }
                let child = binary(lake)
                    .args(["--json", "record"])
                    .arg(file)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                (child, Some(number))
            })
            .collect();
        let maintain = binary(lake).arg("maintain").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        children.push((maintain, None));
        std::thread::sleep(Duration::from_millis(dice.random_range(1..longest)));
        for (child, _) in &mut children {
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                kills += 1;
            }
        }
        for (mut child, number) in children {
            let mut text = String::new();
            if let Some(mut stdout) = child.stdout.take() {
                stdout.read_to_string(&mut text).unwrap();
            }
            child.wait().unwrap();
            // A last line may have been cut by the kill; a whole one is an acknowledgement.
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n') && number.is_some()) {
                let answer: Value = serde_json::from_str(line).unwrap();
                let id = answer["request_id"].as_str().unwrap().to_owned();
                let place = (answer["seq"].as_u64().unwrap(), answer["entry_hash"].as_str().unwrap().to_owned());
                let before = acknowledged.entry(id).or_insert_with(|| place.clone());
                assert_eq!(*before, place, "an acknowledgement changed");
            }
        }
        if acknowledged.len() <= REPORTS_PER_FILE {
            longest = (longest + longest / 10).min(20_000);
        }
        rounds += 1;
    }
    for number in &written {
        let file = folder.path().join(format!("{number}.jsonl"));
        for answer in json_lines(lake, &["record", file.to_str().unwrap()]) {
            let place = (answer["seq"].as_u64().unwrap(), answer["entry_hash"].as_str().unwrap().to_owned());
            let id = answer["request_id"].as_str().unwrap();
            if let Some(before) = acknowledged.get(id) {
                assert_eq!((before, &answer["known"]), (&place, &Value::Bool(true)), "{id} was lost");
            }
        }
    }
    assert_intact(lake, (written.len() * REPORTS_PER_FILE) as u64);
    println!(
        "{kills} kills in {rounds} rounds, {} reports acknowledged before a kill, {} in all",
        acknowledged.len(),
        written.len() * REPORTS_PER_FILE
    );
}

/// A store that fails, delays, answers late, and repeats.
#[derive(Debug)]
struct Faulty {
    inner: Arc<InMemory>,
    dice: Mutex<ChaCha8Rng>,
    faults: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Faulty {
    fn roll(&self) -> u32 {
        self.dice.lock().unwrap().random_range(0..100)
    }

    fn fault(&self, kind: &'static str) -> Error {
        *self.faults.lock().unwrap().entry(kind).or_default() += 1;
        Error::Generic { store: "faulty", source: kind.into() }
    }

    async fn delay(&self) {
        let micros = self.dice.lock().unwrap().random_range(0..3_000);
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.delay().await;
        match self.roll() {
            0..10 => Err(self.fault("put failed")),
            10..20 => {
                let _ = self.inner.put_opts(location, payload, options).await;
                Err(self.fault("put timed out after landing"))
            }
            20..30 if matches!(options.mode, PutMode::Create) => {
                let _ = self.fault("put repeated by the client underneath");
                let _ = self.inner.put_opts(location, payload.clone(), options.clone()).await;
                self.inner.put_opts(location, payload, options).await
            }
            _ => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.delay().await;
        // Parquet reads have no retry of their own; a fault there ends the request, and the caller sends it again.
        match self.roll() {
            0..5 if location.as_ref().contains("_delta_log") => Err(self.fault("get failed")),
            5 => Err(self.fault("get failed")),
            _ => self.inner.get_opts(location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn lake_on(store: Arc<dyn ObjectStore>) -> Lake {
    Lake::with_store(Url::parse("memory:///lake/").unwrap(), store, Path::from("lake"), Context::system())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_in_every_way_records_everything_once() {
    const WRITERS: u64 = 4;
    const REPORTS: usize = 60;
    for seed in 0..repetitions(1, 20) {
        let inner = Arc::new(InMemory::new());
        let clean = lake_on(Arc::clone(&inner) as Arc<dyn ObjectStore>);
        clean.init().await.unwrap();
        let faults = Arc::new(Mutex::new(BTreeMap::new()));
        let faulty = |writer| {
            lake_on(Arc::new(Faulty {
                inner: Arc::clone(&inner),
                dice: Mutex::new(ChaCha8Rng::seed_from_u64(seed * WRITERS + writer)),
                faults: Arc::clone(&faults),
            }))
        };
        assert_writers_record_everything_once(&clean, faulty, WRITERS, REPORTS).await;
        let faults = faults.lock().unwrap();
        println!("seed {seed}, faults: {faults:?}");
        assert!(faults.len() == 4 && faults.values().all(|count| *count > 10), "seed {seed}: {faults:?}");
    }
}

/// Writers in one process, each with a store of its own on one lake; some of their reports are the same. A writer retries what
/// failed.
pub async fn assert_writers_record_everything_once(
    clean: &Lake,
    of_writer: impl Fn(u64) -> Lake,
    writers: u64,
    reports: usize,
) {
    let running: Vec<_> = (0..writers)
        .map(|writer| {
            let lake = of_writer(writer);
            tokio::spawn(async move {
                let mut receipts = BTreeMap::new();
                let mut ledger = None;
                for n in 0..reports {
                    // Every fourth report is sent by all writers.
                    let id = if n % 4 == 0 { format!("shared-{n}") } else { format!("w{writer}-{n}") };
                    let begun = Instant::now();
                    let receipt = loop {
                        assert!(begun.elapsed() < LIMIT, "{id} failed for {} s", LIMIT.as_secs());
                        let open: &Ledger = match &ledger {
                            Some(open) => open,
                            None => match Ledger::open(&lake).await {
                                Ok((open, _)) => ledger.insert(open),
                                Err(_) => continue,
                            },
                        };
                        if let Ok(recorded) = open.submit(submission(&id)).await {
                            break recorded.receipt;
                        }
                    };
                    receipts.insert(id, receipt);
                    if n % 10 == 0 {
                        let _ = projector::project(&lake, |_, _| {}).await;
                    }
                    if n % 20 == 0 {
                        ledger = None;
                    }
                }
                receipts
            })
        })
        .collect();
    let mut receipts = BTreeMap::new();
    for writer in running {
        for (id, receipt) in writer.await.unwrap() {
            let before = receipts.entry(id).or_insert_with(|| receipt.clone());
            assert_eq!(*before, receipt, "two answers for one request");
        }
    }
    let verification = verify::verify(clean, None, |_, _| {}).await.unwrap();
    assert!(verification.intact(), "{:?}", verification.tampering);
    assert_eq!(verification.rows, receipts.len() as u64, "rows and distinct requests");
    assert!(rebuild::rebuild(clean, |_, _| {}).await.unwrap().iter().all(|table| !table.replaced));
}

/// A clock that is set by hand.
fn set_clock() -> (Arc<std::sync::atomic::AtomicI64>, Context) {
    let micros = Arc::new(std::sync::atomic::AtomicI64::new(Context::system().now().micros()));
    let reading = Arc::clone(&micros);
    let clock = move || {
        let micros = reading.load(std::sync::atomic::Ordering::Relaxed);
        ops_runbook::domain::time::Timestamp::from_micros(micros).unwrap()
    };
    (micros, Context::new(Arc::new(clock), 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_slept_through_a_log_cleanup_does_not_write_into_the_past() {
    let folder = tempdir().unwrap();
    let (clock, context) = set_clock();
    let sleeper = Lake::at(folder.path().to_str().unwrap(), context).unwrap();
    sleeper.init().await.unwrap();
    let (sleeping, _committer) = Ledger::open(&sleeper).await.unwrap();
    sleeping.submit(submission("before")).await.unwrap();

    let others = crate::support::lake_at(folder.path());
    let (ledger, committer) = Ledger::open(&others).await.unwrap();
    for n in 0..5 {
        ledger.submit(submission(&format!("meanwhile-{n}"))).await.unwrap();
    }
    drop(ledger);
    committer.finished().await;
    // Two hours later another process removes everything that is older than one hour.
    clock.fetch_add(2 * 3_600_000_000, std::sync::atomic::Ordering::Relaxed);
    let hour = chrono::TimeDelta::hours(1);
    let round = ops_runbook::lake::maintenance::maintain(&sleeper, hour, |_| {}).await.unwrap();
    assert!(matches!(round, ops_runbook::lake::maintenance::MaintenanceResult::Done(_)));
    let first_free_to_the_sleeper = folder.path().join("audit_log/_delta_log/00000000000000000002.json");
    assert!(!first_free_to_the_sleeper.exists(), "nothing was cleaned, so nothing is tested");

    let known = sleeping.submit(submission("meanwhile-3")).await.unwrap();
    let new = sleeping.submit(submission("after")).await.unwrap();
    assert_eq!((known.known, known.receipt.seq), (true, 5));
    assert_eq!((new.known, new.receipt.seq), (false, 7));
    assert!(!first_free_to_the_sleeper.exists(), "it was written into the past");
    let verification = verify::verify(&others, None, |_, _| {}).await.unwrap();
    assert!(verification.intact() && verification.rows == 7, "{verification:?}");
}
