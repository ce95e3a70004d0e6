//! The demo: a lake with six weeks of invented history, six example reports and the digest of the last week.
//! Reproducible byte for byte.

pub mod history;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::TimeDelta;
use serde_json::Value;

use super::{OpsError, digest, open_ledger, prepare, recurrence, settle};
use crate::{
    analytics::engine::Engine,
    domain::{
        digest::Digest,
        entry::{Entry, Request},
        interface::Interface,
        problems::Problem,
        redact::Redactor,
        time::Timestamp,
        week::Week,
    },
    lake::{
        Context, Lake, LakeError,
        ledger::{self, SubmissionResult},
    },
    tables::catalog::AUDIT_LOG,
};

/// The example reports that every demo contains.
const EXAMPLES: [&str; 6] = [
    include_str!("../../tests/examples/01-daily-etl-no-retries.json"),
    include_str!("../../tests/examples/02-hourly-sync-no-retries.json"),
    include_str!("../../tests/examples/03-nightly-backup-no-retries.json"),
    include_str!("../../tests/examples/04-run-output-unavailable.json"),
    include_str!("../../tests/examples/05-workspace-validation.json"),
    include_str!("../../tests/examples/06-hostile-names-and-secrets.json"),
];

/// The default time at which the demo ends.
pub const AS_OF: &str = "2026-02-20T12:00:00Z";

/// Why the demo could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{lake} contains records that are not of the demo; nothing was changed")]
    NotADemo { lake: String },
    #[error("a report of the demo is invalid: {0:?}")]
    Report(Vec<Problem>),
    #[error(transparent)]
    Ops(#[from] OpsError),
}

impl From<LakeError> for DemoError {
    fn from(error: LakeError) -> Self {
        Self::Ops(error.into())
    }
}

/// The interval of the demo's recurrence scans.
const SCAN_INTERVAL: TimeDelta = TimeDelta::days(7);

/// The time between the end of a week and its digest.
const DIGEST_AFTER: TimeDelta = TimeDelta::hours(7);

/// The result of recording the demo.
#[derive(Debug)]
pub struct DemoResult {
    pub lake: Lake,
    /// Every report, in the order in which it was recorded.
    pub recorded: Vec<SubmissionResult>,
    /// The digest of the week of `as_of`.
    pub digest: Digest,
}

/// A clock that is set explicitly and does not advance.
#[derive(Debug, Clone)]
struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    fn set(&self, moment: Timestamp) {
        self.0.store(moment.micros(), Ordering::Relaxed);
    }

    fn now(&self, otherwise: Timestamp) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed)).unwrap_or(otherwise)
    }
}

/// Records the demo in the lake that `open` opens, in the order of the reports. Recording it again adds nothing.
///
/// # Errors
/// [`DemoError`].
pub async fn make(
    open: impl FnOnce(Context) -> Result<Lake, LakeError>,
    as_of: Timestamp,
    seed: u64,
    redactor: &Redactor,
    progress: impl Fn(usize, usize),
) -> Result<DemoResult, DemoError> {
    let clock = ManualClock(Arc::new(AtomicI64::new(as_of.micros())));
    let reading = clock.clone();
    let now = move || reading.now(as_of);
    let lake = open(Context::new(Arc::new(now), seed))?;
    refuse_foreign(&lake).await?;

    let mut documents = Vec::new();
    let examples = EXAMPLES.iter().map(|text| serde_json::from_str::<Value>(text));
    for document in history::history(as_of, seed).into_iter().map(Ok).chain(examples) {
        let bytes = document.and_then(|document| serde_json::to_vec(&document)).map_err(LakeError::from)?;
        // An example may be dated after --as-of. It is recorded too.
        let submission = prepare(&bytes, redactor, as_of.plus(TimeDelta::days(3650)), Interface::Demo);
        let submission = submission.map_err(DemoError::Report)?;
        let Request::RecordReport(report) = &submission.request else { continue };
        documents.push((report.incident.reported_at, submission));
    }
    documents.sort_by(|(left, a), (right, b)| (left, &a.request_id).cmp(&(right, &b.request_id)));

    clock.set(documents.first().map_or(as_of, |(first, _)| *first));
    let (ledger, committer) = open_ledger(&lake).await?;
    let mut recorded = Vec::new();
    let total = documents.len();
    let mut next_scan = None;
    for (done, (reported_at, submission)) in (1..).zip(documents) {
        // Agents send their report some minutes after the incident was reported.
        let now = reported_at.plus(TimeDelta::minutes(25));
        while let Some(due) = next_scan.filter(|due| *due <= now) {
            clock.set(due);
            recurrence::scan(&lake, Engine::Local(&lake), &ledger, Some(due), None).await?;
            next_scan = Some(due.plus(SCAN_INTERVAL));
        }
        clock.set(now);
        recorded.push(ledger.submit(submission).await.map_err(OpsError::from)?);
        next_scan = next_scan.or(Some(now.plus(SCAN_INTERVAL)));
        progress(done, total);
    }
    clock.set(clock.now(as_of).max(as_of));
    recurrence::scan(&lake, Engine::Local(&lake), &ledger, None, None).await?;
    settle(&lake).await?;
    // The digest is made on Monday morning.
    let week = Week::of(clock.now(as_of), lake.context.policy.digest.time_zone);
    clock.set(week.end().plus(DIGEST_AFTER));
    let made = digest::make(&lake, Engine::Local(&lake), &ledger, week).await?;
    drop(ledger);
    committer.finished().await;
    Ok(DemoResult { lake, recorded, digest: made.digest })
}

/// Refuses a lake with records that are not of the demo: invented incidents must not mix with real ones.
async fn refuse_foreign(lake: &Lake) -> Result<(), DemoError> {
    let table = lake.table(AUDIT_LOG);
    let log = match table.log().await {
        Err(LakeError::NoLake(_)) => return Ok(()),
        log => log?,
    };
    let head = ledger::head(&table, &log).await?.chain.seq;
    for (seq, text) in ledger::entries(&table, &log, 0, head).await? {
        let entry = Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}")))?;
        if !matches!(entry.interface, Interface::Demo | Interface::Scan) {
            return Err(DemoError::NotADemo { lake: lake.display() });
        }
    }
    Ok(())
}
