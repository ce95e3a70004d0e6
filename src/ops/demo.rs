//! The demo: a lake with six weeks of invented history, six real-shaped reports and the digest of the last week. The same bytes every time.

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
        problems::Problem,
        redact::Redactor,
        time::Timestamp,
        week::Week,
        words::Interface,
    },
    lake::{Context, Lake, LakeError, ledger, ledger::Recorded},
    tables::catalog::AUDIT_LOG,
};

/// The reports every demo ends with.
const EXAMPLES: [&str; 6] = [
    include_str!("../../tests/examples/01-daily-etl-no-retries.json"),
    include_str!("../../tests/examples/02-hourly-sync-no-retries.json"),
    include_str!("../../tests/examples/03-nightly-backup-no-retries.json"),
    include_str!("../../tests/examples/04-run-output-unavailable.json"),
    include_str!("../../tests/examples/05-workspace-validation.json"),
    include_str!("../../tests/examples/06-hostile-names-and-secrets.json"),
];

/// The day the demo plays on unless another is asked for.
pub const AS_OF: &str = "2026-02-20T12:00:00Z";

/// Why there was no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("{lake} holds records that are not the demo's; they are left alone")]
    NotADemo { lake: String },
    #[error("a demo report is not a report: {0:?}")]
    Report(Vec<Problem>),
    #[error(transparent)]
    Ops(#[from] OpsError),
}

impl From<LakeError> for DemoError {
    fn from(error: LakeError) -> Self {
        Self::Ops(error.into())
    }
}

/// How often the demo's schedule looks for recurring issues.
const SCANS: TimeDelta = TimeDelta::days(7);

/// How long after the end of a week the demo's schedule makes its digest.
const DIGEST_AFTER: TimeDelta = TimeDelta::hours(7);

/// What a demo made.
#[derive(Debug)]
pub struct Demo {
    pub lake: Lake,
    /// Every report, in the order they were made.
    pub recorded: Vec<Recorded>,
    /// Of the week the demo plays in.
    pub digest: Digest,
}

/// A clock that stands where it was put.
#[derive(Debug, Clone)]
struct StageClock(Arc<AtomicI64>);

impl StageClock {
    fn set(&self, moment: Timestamp) {
        self.0.store(moment.micros(), Ordering::Relaxed);
    }

    fn now(&self, otherwise: Timestamp) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed)).unwrap_or(otherwise)
    }
}

/// Makes the demo in the lake that `open` opens, report by report in the order they were made. Recording it again adds nothing.
///
/// # Errors
/// [`DemoError`].
pub async fn make(
    open: impl FnOnce(Context) -> Result<Lake, LakeError>,
    as_of: Timestamp,
    seed: u64,
    redactor: &Redactor,
    progress: impl Fn(usize, usize),
) -> Result<Demo, DemoError> {
    let clock = StageClock(Arc::new(AtomicI64::new(as_of.micros())));
    let reading = clock.clone();
    let now = move || reading.now(as_of);
    let lake = open(Context::new(Arc::new(now), seed))?;
    refuse_foreign(&lake).await?;

    let mut documents = Vec::new();
    let examples = EXAMPLES.iter().map(|text| serde_json::from_str::<Value>(text));
    for document in history::history(as_of, seed).into_iter().map(Ok).chain(examples) {
        let bytes = document.and_then(|document| serde_json::to_vec(&document)).map_err(LakeError::from)?;
        // An example may be from after --as-of; it is a document all the same.
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
        // Agents hand in their report a few minutes later.
        let now = reported_at.plus(TimeDelta::minutes(25));
        while let Some(due) = next_scan.filter(|due| *due <= now) {
            clock.set(due);
            recurrence::scan(&lake, Engine::Local(&lake), &ledger, Some(due), None).await?;
            next_scan = Some(due.plus(SCANS));
        }
        clock.set(now);
        recorded.push(ledger.submit(submission).await.map_err(OpsError::from)?);
        next_scan = next_scan.or(Some(now.plus(SCANS)));
        progress(done, total);
    }
    clock.set(clock.now(as_of).max(as_of));
    recurrence::scan(&lake, Engine::Local(&lake), &ledger, None, None).await?;
    settle(&lake).await?;
    // On Monday morning the week is summed up.
    let week = Week::of(clock.now(as_of), lake.context.policy.digest.time_zone);
    clock.set(week.end().plus(DIGEST_AFTER));
    let made = digest::make(&lake, Engine::Local(&lake), &ledger, week).await?;
    drop(ledger);
    committer.finished().await;
    Ok(Demo { lake, recorded, digest: made.digest })
}

/// Invented incidents have no place among real ones.
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
