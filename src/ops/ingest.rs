//! Ingests the files of an inbox: each document is recorded, or rejected with a reason.
//!
//! The order of the steps loses no document: first its record is acknowledged, then the reason of a rejection is written, then the
//! file is moved. If a run is killed in between, the next one finds the file again, and the ledger detects the duplicates.
//! Concurrent runs repeat work, but record it once.
//!
//! - here: processes the inbox in batches, and runs the consequences of what was recorded
//! - [`file_reader`] splits a file into documents and prepares their requests

mod file_reader;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::{Consequences, IN_FLIGHT, OpsError, projections_of, recurrence, settle};
use crate::{
    domain::{
        decide,
        entry::{RejectInput, Request, canonical},
        escalation::status::AlertEvent,
        ids::Id,
        inbox::{ACTOR, IngestResult, Rejection, other_content, rejection_id},
        interface::Interface,
        problems::Problem,
        redact::{Redactions, Redactor},
        time::Timestamp,
    },
    inbox::{FileVersion, Inbox, InboxError, InboxFile, ListedItem, MoveResult, ReadResult, file_names::ResultFolder},
    lake::{
        Lake, LakeError,
        ledger::{Ledger, Submission, SubmissionResult},
    },
};
use file_reader::{FileReader, PreparedDocument};

/// Files between one projection and the next.
const BATCH: usize = 2_000;
/// Files that are read concurrently.
const READ_AT_ONCE: usize = 32;
/// Files that are moved concurrently.
const MOVED_AT_ONCE: usize = 32;
/// Memory for documents before they are parsed, in KiB.
const MEMORY_BUDGET_KIB: usize = 24 << 10;
/// Documents after which recurrence is scanned before the end of the run, and
const SCAN_AFTER_DOCUMENTS: u64 = 20_000;
/// the pause after a scan, as a multiple of its duration: scans of a long history must not dominate the run.
const SCAN_INTERVAL_FACTOR: u32 = 5;
/// Maximum number of listings of the inbox. New files may arrive, and a listing may miss files while the inbox changes.
const MAX_LISTINGS: u32 = 8;
/// Alerts that are returned one by one; further ones are counted.
const MAX_ALERTS: usize = 20;

/// How long to wait for a file that may still be written.
#[derive(Debug, Clone, Copy)]
pub struct IngestTiming {
    /// A file that changed more recently is skipped.
    pub settle: TimeDelta,
    /// A file that ends within a document and changed more recently is skipped too.
    pub wait: TimeDelta,
}

/// An event during a run.
#[derive(Debug)]
pub enum IngestProgress<'a> {
    Counts(&'a IngestResult),
    Rejected(&'a Rejection),
    Unreadable { source: &'a str, reason: &'a str },
}

/// Receives the events of a run.
pub type IngestObserver<'a> = &'a (dyn Fn(IngestProgress<'_>) + Sync);

/// The result of a run.
#[derive(Debug, Default)]
pub struct IngestSummary {
    pub ingested: IngestResult,
    /// The first alerts that fired, and every change of a recurring issue.
    pub consequences: Consequences,
    /// The number of further alerts that fired.
    pub more_alerts: u64,
}

/// Ingests all files of the inbox.
///
/// # Errors
/// [`OpsError`]. Documents that were recorded before the error stay recorded; the next run continues from there.
pub async fn ingest(
    lake: &Lake,
    ledger: &Ledger,
    inbox: &Inbox,
    timing: IngestTiming,
    redactor: &Redactor,
    observer: IngestObserver<'_>,
) -> Result<IngestSummary, OpsError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let display = redactor.text(&inbox.display()).into_owned();
    let results = |folder| redactor.text(&inbox.display_of(folder)).into_owned();
    let (done_in, rejected_in) = (results(ResultFolder::Done), results(ResultFolder::Rejected));
    let run = IngestRun {
        lake,
        ledger,
        inbox,
        timing,
        redactor,
        observer,
        counted: Mutex::new(IngestResult { inbox: display.clone(), done_in, rejected_in, ..IngestResult::default() }),
        display,
        memory: Arc::new(Semaphore::new(MEMORY_BUDGET_KIB)),
        cores: Arc::new(Semaphore::new(cores)),
    };
    let mut outcome = IngestSummary::default();
    let mut causes = RecordedCauses::default();
    let mut left = BTreeSet::new();
    let mut waited = false;
    let mut settling = 0;
    for _ in 0..MAX_LISTINGS {
        let listed = run.ingest_listing(&mut outcome, &mut causes, &mut left).await?;
        settling = listed.settling;
        if settling > 0 && !waited {
            // Long enough for recently changed files to settle, unless they are still being written.
            tokio::time::sleep(run.timing.settle.to_std().unwrap_or(Duration::ZERO)).await;
            waited = true;
        } else if listed.moved == 0 {
            break;
        }
    }
    run.count(|counted| counted.waiting += settling);
    run.scan_recurrence(&mut outcome, &mut causes).await?;
    outcome.ingested = run.counted.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(outcome)
}

/// The shared state of a run.
struct IngestRun<'a> {
    lake: &'a Lake,
    ledger: &'a Ledger,
    inbox: &'a Inbox,
    timing: IngestTiming,
    redactor: &'a Redactor,
    observer: IngestObserver<'a>,
    counted: Mutex<IngestResult>,
    display: String,
    /// Memory for documents, in KiB.
    memory: Arc<Semaphore>,
    /// Limits the number of documents that are checked in parallel.
    cores: Arc<Semaphore>,
}

/// The result of one listing of the inbox.
#[derive(Debug, Default)]
struct ListingResult {
    moved: u64,
    /// Files that were skipped because they had just changed.
    settling: u64,
}

/// The causes in the recorded documents, each with the earliest time at which it was found.
#[derive(Debug, Default)]
struct RecordedCauses {
    found: BTreeMap<String, Timestamp>,
    documents: u64,
    /// The end and the duration of the last recurrence scan.
    last_scan: Option<(Instant, Duration)>,
}

/// A file whose documents were submitted, and what to do with it.
struct ProcessedFile {
    entry: InboxFile,
    disposition: FileDisposition,
    /// Rows of the ledger that are new.
    new: Vec<u64>,
    causes: RecordedCauses,
}

enum FileDisposition {
    /// All documents are recorded: the file is to be moved. `reason`: why its only document was rejected.
    Complete {
        seen: FileVersion,
        hash: String,
        reason: Option<String>,
    },
    /// It changed too recently: a writer may still be writing it.
    Settling,
    /// It ends within a document and changed recently: the rest may follow.
    Incomplete,
    /// It was removed or replaced.
    Gone,
    Unreadable(String),
}

/// The result of submitting a document.
enum DocumentResult {
    Recorded {
        seq: u64,
        known: bool,
        cause: Option<(String, Timestamp)>,
    },
    Rejected(Rejection),
    /// It is cut short, and the rest may follow.
    Incomplete,
}

impl IngestRun<'_> {
    fn count(&self, change: impl FnOnce(&mut IngestResult)) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counted);
        (self.observer)(IngestProgress::Counts(&counted));
    }

    /// Ingests the files of one listing of the inbox in batches, without the ones that were `left` before.
    async fn ingest_listing(
        &self,
        outcome: &mut IngestSummary,
        causes: &mut RecordedCauses,
        left: &mut BTreeSet<String>,
    ) -> Result<ListingResult, OpsError> {
        let mut listed = ListingResult::default();
        let mut listing = self.inbox.list().await?;
        loop {
            let found = listing.next(BATCH).await?;
            if found.is_empty() {
                return Ok(listed);
            }
            let mut entries = Vec::new();
            for found in found {
                match found {
                    ListedItem::File(entry) if left.contains(&entry.name) => {}
                    ListedItem::File(entry) => entries.push(entry),
                    ListedItem::Unreadable { name, reason } => self.report_unreadable(left, name, &reason),
                }
            }
            let mut files: Vec<ProcessedFile> = stream::iter(entries)
                .map(|entry| self.open(entry))
                .buffer_unordered(READ_AT_ONCE)
                .map(|opened| async move { self.record(opened?).await })
                .buffer_unordered(IN_FLIGHT)
                .try_collect()
                .await?;
            settle(self.lake).await?;
            let new: Vec<u64> = files.iter().flat_map(|file| file.new.iter().copied()).collect();
            self.collect_alerts(outcome, &new).await?;
            for file in &mut files {
                causes.merge(std::mem::take(&mut file.causes));
            }
            if causes.scan_is_due() {
                self.scan_recurrence(outcome, causes).await?;
            }
            let mut moves =
                std::pin::pin!(stream::iter(files).map(|file| self.move_file(file)).buffer_unordered(MOVED_AT_ONCE));
            while let Some(moved) = moves.next().await {
                match moved? {
                    MoveOutcome::Moved => {
                        listed.moved += 1;
                        self.count(|counted| counted.taken += 1);
                    }
                    MoveOutcome::Settling => listed.settling += 1,
                    MoveOutcome::Incomplete(name) => {
                        left.insert(name);
                        self.count(|counted| counted.waiting += 1);
                    }
                    MoveOutcome::Unreadable(name, reason) => self.report_unreadable(left, name, &reason),
                    MoveOutcome::Superseded => {}
                }
            }
        }
    }

    fn report_unreadable(&self, left: &mut BTreeSet<String>, name: String, reason: &str) {
        if !left.contains(&name) {
            (self.observer)(IngestProgress::Unreadable { source: &self.source(&name), reason });
            self.count(|counted| counted.unreadable += 1);
            left.insert(name);
        }
    }

    /// Collects the alerts that fired in rows that were just projected.
    async fn collect_alerts(&self, outcome: &mut IngestSummary, new: &[u64]) -> Result<(), OpsError> {
        let recorded = projections_of(self.lake, new).await?;
        for event in recorded.escalation_events.into_iter().filter(|event| event.event == AlertEvent::Fired) {
            if outcome.consequences.alerts.len() < MAX_ALERTS {
                outcome.consequences.alerts.push(event);
            } else {
                outcome.more_alerts += 1;
            }
        }
        Ok(())
    }

    /// Scans the recurrence of the causes recorded so far.
    async fn scan_recurrence(&self, outcome: &mut IngestSummary, causes: &mut RecordedCauses) -> Result<(), OpsError> {
        let started = Instant::now();
        let found = std::mem::take(&mut causes.found);
        let earliest = found.values().min().copied();
        let fingerprints: Vec<String> = found.into_keys().collect();
        if !fingerprints.is_empty() {
            let followed = recurrence::scan_causes(self.lake, self.ledger, &fingerprints, earliest).await?;
            outcome.consequences.alerts.extend(followed.alerts);
            outcome.consequences.recurring.extend(followed.recurring);
        }
        causes.documents = 0;
        causes.last_scan = Some((Instant::now(), started.elapsed()));
        Ok(())
    }

    /// Returns the path of a file, redacted.
    fn source(&self, name: &str) -> String {
        format!("{}/{}", self.display, self.redactor.text(name))
    }

    fn is_younger(&self, seen: &FileVersion, than: TimeDelta) -> bool {
        let age = self.lake.context.now().micros() - seen.modified.micros();
        // Clocks differ: the time of a file may be in the future.
        self.inbox.shows_unfinished() && age.abs() < than.num_microseconds().unwrap_or(i64::MAX)
    }

    /// Opens a file and prepares the documents at its beginning.
    async fn open(
        &self,
        entry: InboxFile,
    ) -> Result<(InboxFile, Result<(FileReader, Vec<PreparedDocument>), FileDisposition>), OpsError> {
        let opened = match self.inbox.read(&entry).await? {
            ReadResult::Opened(opened) if self.is_younger(&opened.seen, self.timing.settle) => {
                Err(FileDisposition::Settling)
            }
            ReadResult::Opened(opened) => Ok(opened),
            ReadResult::Gone => Err(FileDisposition::Gone),
            ReadResult::Unreadable(reason) => Err(FileDisposition::Unreadable(reason)),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(disposition) => return Ok((entry, Err(disposition))),
        };
        let now = self.lake.context.now();
        let (memory, cores) = (Arc::clone(&self.memory), Arc::clone(&self.cores));
        let mut reader = FileReader::new(&entry.name, opened, self.redactor.clone(), now, memory, cores).await;
        let first = reader.next().await;
        Ok((entry, or_skipped(first)?.map(|first| (reader, first))))
    }

    /// Submits all documents of a file.
    async fn record(
        &self,
        (entry, opened): (InboxFile, Result<(FileReader, Vec<PreparedDocument>), FileDisposition>),
    ) -> Result<ProcessedFile, OpsError> {
        let mut file = ProcessedFile {
            entry,
            disposition: FileDisposition::Gone,
            new: Vec::new(),
            causes: RecordedCauses::default(),
        };
        let (mut reader, mut prepared) = match opened {
            Ok(opened) => opened,
            Err(disposition) => return Ok(ProcessedFile { disposition, ..file }),
        };
        let may_go_on = self.is_younger(reader.seen(), self.timing.wait);
        let mut is_incomplete = false;
        let mut reason = None;
        loop {
            let submitted =
                stream::iter(prepared).map(|document| self.record_document(&file.entry, document, may_go_on));
            let mut submitted = submitted.buffered(IN_FLIGHT).boxed();
            while let Some(document) = submitted.next().await {
                match document? {
                    DocumentResult::Recorded { seq, known, cause } => {
                        file.causes.add(cause);
                        file.new.extend((!known).then_some(seq));
                    }
                    DocumentResult::Rejected(only) if only.line.is_none() => {
                        reason = Some(only.text().map_err(LakeError::from)?);
                    }
                    DocumentResult::Rejected(_) => {}
                    DocumentResult::Incomplete => is_incomplete = true,
                }
            }
            drop(submitted);
            if reader.is_over() {
                break;
            }
            prepared = match or_skipped(reader.next().await)? {
                Ok(more) => more,
                Err(disposition) => return Ok(ProcessedFile { disposition, ..file }),
            };
        }
        let (seen, hash) = reader.end();
        file.disposition =
            if is_incomplete { FileDisposition::Incomplete } else { FileDisposition::Complete { seen, hash, reason } };
        Ok(file)
    }

    /// Records or rejects one document.
    async fn record_document(
        &self,
        entry: &InboxFile,
        document: PreparedDocument,
        may_go_on: bool,
    ) -> Result<DocumentResult, OpsError> {
        let PreparedDocument { line, bytes, hash, is_cut_short, outcome } = document;
        let problems = match outcome {
            Ok(submission) => {
                let cause = cause(&submission.request);
                match self.ledger.submit(submission).await? {
                    SubmissionResult { receipt, known: true, same_content: false } => vec![other_content(receipt.seq)],
                    SubmissionResult { receipt, known, .. } => {
                        self.count(|counted| *(if known { &mut counted.known } else { &mut counted.recorded }) += 1);
                        return Ok(DocumentResult::Recorded { seq: receipt.seq, known, cause });
                    }
                }
            }
            Err(_) if is_cut_short && may_go_on => return Ok(DocumentResult::Incomplete),
            Err(problems) => problems,
        };
        let rejection = self.reject(self.source(&entry.name), line, hash, problems).await?;
        if let Some(line) = line {
            let reason = rejection.text().map_err(LakeError::from)?;
            let bytes = bytes.map(Bytes::from);
            self.inbox.reject_line(entry, line, &rejection.input_hash, bytes, reason).await?;
        }
        (self.observer)(IngestProgress::Rejected(&rejection));
        self.count(|counted| counted.rejected += 1);
        Ok(DocumentResult::Rejected(rejection))
    }

    /// Records the rejection of a document.
    async fn reject(
        &self,
        source: String,
        line: Option<u64>,
        input_hash: String,
        problems: Vec<Problem>,
    ) -> Result<Rejection, OpsError> {
        let problems: Vec<Problem> = problems.into_iter().map(|problem| redacted(problem, self.redactor)).collect();
        let request_id = rejection_id(&input_hash, line).map_err(LakeError::Corrupt)?;
        let request = RejectInput {
            actor: Id::new(ACTOR).map_err(LakeError::Corrupt)?,
            source: source.clone(),
            line,
            input_hash: input_hash.clone(),
            problems: problems.clone(),
        };
        let size = canonical(&request).map_err(LakeError::from)?.len();
        let submission = Submission {
            request_id,
            request: Request::RejectInput(Box::new(request)),
            redactions: Redactions::default(),
            interface: Interface::Inbox,
            size,
        };
        let receipt = self.ledger.submit(submission).await?.receipt;
        Ok(Rejection { source, line, problems, input_hash, audit_seq: receipt.seq, recorded_at: receipt.recorded_at })
    }

    /// Moves a file whose documents are all recorded.
    async fn move_file(&self, file: ProcessedFile) -> Result<MoveOutcome, OpsError> {
        let (seen, hash, reason) = match file.disposition {
            FileDisposition::Complete { seen, hash, reason } => (seen, hash, reason),
            FileDisposition::Settling => return Ok(MoveOutcome::Settling),
            FileDisposition::Incomplete => return Ok(MoveOutcome::Incomplete(file.entry.name)),
            FileDisposition::Unreadable(reason) => return Ok(MoveOutcome::Unreadable(file.entry.name, reason)),
            FileDisposition::Gone => return Ok(MoveOutcome::Superseded),
        };
        let into = if reason.is_some() { ResultFolder::Rejected } else { ResultFolder::Done };
        Ok(match self.inbox.move_file(&file.entry, &seen, &hash, into, reason).await? {
            MoveResult::Moved => MoveOutcome::Moved,
            MoveResult::Gone | MoveResult::Changed => MoveOutcome::Superseded,
        })
    }
}

/// The result of moving a file.
enum MoveOutcome {
    Moved,
    Settling,
    Incomplete(String),
    Unreadable(String, String),
    /// A concurrent run moved it, or a writer replaced it.
    Superseded,
}

impl RecordedCauses {
    fn scan_is_due(&self) -> bool {
        let pause_elapsed = |(ended, took): (Instant, Duration)| ended.elapsed() >= took * SCAN_INTERVAL_FACTOR;
        self.documents >= SCAN_AFTER_DOCUMENTS && self.last_scan.is_none_or(pause_elapsed)
    }

    fn add(&mut self, cause: Option<(String, Timestamp)>) {
        self.documents += 1;
        if let Some((fingerprint, at)) = cause {
            let earliest = self.found.entry(fingerprint).or_insert(at);
            *earliest = (*earliest).min(at);
        }
    }

    fn merge(&mut self, other: Self) {
        let documents = self.documents + other.documents;
        other.found.into_iter().for_each(|cause| self.add(Some(cause)));
        self.documents = documents;
    }
}

/// Returns the fingerprint of the cause in a report and when it was found, as the ledger decides it.
fn cause(request: &Request) -> Option<(String, Timestamp)> {
    let Request::RecordReport(report) = request else { return None };
    let cause = decide::finding(report.rca.as_ref()?).cause?;
    Some((cause.fingerprint, report.incident.reported_at))
}

/// Turns an error that concerns only one file into its disposition.
fn or_skipped<T>(outcome: Result<T, InboxError>) -> Result<Result<T, FileDisposition>, OpsError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(InboxError::File { source, .. }) => Ok(Err(FileDisposition::Unreadable(source.to_string()))),
        // The object was replaced or removed while it was read.
        Err(InboxError::Store(object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. })) => {
            Ok(Err(FileDisposition::Gone))
        }
        Err(error) => Err(error.into()),
    }
}

/// Redacts a problem, because its message may quote the document.
fn redacted(problem: Problem, redactor: &Redactor) -> Problem {
    let text = |text: String| redactor.text(&text).into_owned();
    Problem { pointer: text(problem.pointer), message: text(problem.message), hint: problem.hint.map(text) }
}
