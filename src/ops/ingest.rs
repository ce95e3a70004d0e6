//! Taking what anybody dropped into an inbox: each document becomes a record, or is put aside with the reason.
//!
//! The order is what loses nothing: a document is recorded and that is acknowledged, then the reason is written where there is
//! one, then the file is moved. Killed anywhere in between, the next ingest finds the file where it was, learns from the ledger what
//! is known, and goes on. Two at once do the same work twice and record it once.
//!
//! - here: batch by batch, and what follows from what was recorded
//! - [`reading`] makes requests of a file as its bytes come

mod reading;

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
        ids::Id,
        inbox::{ACTOR, Ingested, Rejection, other_content, rejection_id},
        problems::Problem,
        redact::{Redactions, Redactor},
        time::Timestamp,
        words::{AlertEvent, Interface},
    },
    inbox::{Entry, Found, Inbox, InboxError, Moved, Read, Seen, names::Folder},
    lake::{
        Lake, LakeError,
        ledger::{Ledger, Recorded, Submission},
    },
};
use reading::{Prepared, Reading};

/// Files between one projection and the next.
const BATCH: usize = 2_000;
/// Files that are opened, read and checked at once.
const READ_AT_ONCE: usize = 32;
/// Files that are moved at once.
const MOVED_AT_ONCE: usize = 32;
/// KiB of documents in memory at once, before they are parsed.
const BUDGET: usize = 24 << 10;
/// Documents after which it is looked for what recurs, before the end, and
const FOLLOWED_AFTER: u64 = 20_000;
/// after so many times as long as the last look took: a look at a long history must not be most of the work.
const LOOKS_APART: u32 = 5;
/// How often the inbox is listed anew for what came meanwhile, or was left out of a list that changed.
const MAX_PASSES: u32 = 8;
/// Alerts that are kept to be told one by one; the rest is counted.
const TOLD: usize = 20;

/// How long a file is given to be written.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// A file that changed within so long is left alone.
    pub settle: TimeDelta,
    /// One that ends in the middle of a document, too, within so long.
    pub wait: TimeDelta,
}

/// What there is to say while it goes on.
#[derive(Debug)]
pub enum News<'a> {
    Progress(&'a Ingested),
    Rejected(&'a Rejection),
    Unreadable { source: &'a str, reason: &'a str },
}

/// Is told what there is to say.
pub type Told<'a> = &'a (dyn Fn(News<'_>) + Sync);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub ingested: Ingested,
    /// The first alerts that people are to be told of, and every change of a recurring issue.
    pub consequences: Consequences,
    pub more_alerts: u64,
}

/// Takes everything that is in the inbox.
///
/// # Errors
/// [`OpsError`]: what was recorded until then stays, and another ingest goes on from there.
pub async fn ingest(
    lake: &Lake,
    ledger: &Ledger,
    inbox: &Inbox,
    patience: Patience,
    redactor: &Redactor,
    told: Told<'_>,
) -> Result<Outcome, OpsError> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let display = redactor.text(&inbox.display()).into_owned();
    let results = |folder| redactor.text(&inbox.display_of(folder)).into_owned();
    let (done_in, rejected_in) = (results(Folder::Done), results(Folder::Rejected));
    let run = Run {
        lake,
        ledger,
        inbox,
        patience,
        redactor,
        told,
        counted: Mutex::new(Ingested { inbox: display.clone(), done_in, rejected_in, ..Ingested::default() }),
        display,
        memory: Arc::new(Semaphore::new(BUDGET)),
        cores: Arc::new(Semaphore::new(cores)),
    };
    let mut outcome = Outcome::default();
    let mut causes = Causes::default();
    let mut left = BTreeSet::new();
    let mut waited = false;
    let mut young = 0;
    for _ in 0..MAX_PASSES {
        let pass = run.pass(&mut outcome, &mut causes, &mut left).await?;
        young = pass.young;
        if young > 0 && !waited {
            // Long enough for what was young to be settled, if nobody goes on writing.
            tokio::time::sleep(run.patience.settle.to_std().unwrap_or(Duration::ZERO)).await;
            waited = true;
        } else if pass.taken == 0 {
            break;
        }
    }
    run.count(|counted| counted.waiting += young);
    run.follow(&mut outcome, &mut causes).await?;
    outcome.ingested = run.counted.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(outcome)
}

/// What all of it shares.
struct Run<'a> {
    lake: &'a Lake,
    ledger: &'a Ledger,
    inbox: &'a Inbox,
    patience: Patience,
    redactor: &'a Redactor,
    told: Told<'a>,
    counted: Mutex<Ingested>,
    display: String,
    /// Of documents that are held, in KiB.
    memory: Arc<Semaphore>,
    /// Checking a document is work for one of these.
    cores: Arc<Semaphore>,
}

/// What one list of the inbox led to.
#[derive(Debug, Default)]
struct Pass {
    taken: u64,
    /// Files that were left alone because they had just changed.
    young: u64,
}

/// Causes of what was recorded, each with the earliest moment at which it was found.
#[derive(Debug, Default)]
struct Causes {
    found: BTreeMap<String, Timestamp>,
    documents: u64,
    /// When the last look for what recurs ended, and how long it took.
    looked: Option<(Instant, Duration)>,
}

/// A file, and what is still to be done about it.
struct Took {
    entry: Entry,
    fate: Fate,
    /// Rows of the ledger that are new.
    new: Vec<u64>,
    causes: Causes,
}

enum Fate {
    /// To be moved; a single document that was rejected has its reason.
    Take {
        seen: Seen,
        hash: String,
        reason: Option<String>,
    },
    /// It had just changed.
    Young,
    /// It seems to be cut short, and is not old.
    Waits,
    Gone,
    Unreadable(String),
}

/// What became of a document.
enum Document {
    Recorded {
        seq: u64,
        known: bool,
        cause: Option<(String, Timestamp)>,
    },
    Rejected(Rejection),
    /// It may go on.
    Waits,
}

impl Run<'_> {
    fn count(&self, change: impl FnOnce(&mut Ingested)) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counted);
        (self.told)(News::Progress(&counted));
    }

    /// Everything that a list of the inbox names, batch by batch, but what was `left` before.
    async fn pass(
        &self,
        outcome: &mut Outcome,
        causes: &mut Causes,
        left: &mut BTreeSet<String>,
    ) -> Result<Pass, OpsError> {
        let mut pass = Pass::default();
        let mut listing = self.inbox.list().await?;
        loop {
            let found = listing.next(BATCH).await?;
            if found.is_empty() {
                return Ok(pass);
            }
            let mut entries = Vec::new();
            for found in found {
                match found {
                    Found::Entry(entry) if left.contains(&entry.name) => {}
                    Found::Entry(entry) => entries.push(entry),
                    Found::Unreadable { name, reason } => self.cannot_read(left, name, &reason),
                }
            }
            let mut took: Vec<Took> = stream::iter(entries)
                .map(|entry| self.open(entry))
                .buffer_unordered(READ_AT_ONCE)
                .map(|opened| async move { self.record(opened?).await })
                .buffer_unordered(IN_FLIGHT)
                .try_collect()
                .await?;
            settle(self.lake).await?;
            let new: Vec<u64> = took.iter().flat_map(|took| took.new.iter().copied()).collect();
            self.alerts(outcome, &new).await?;
            for took in &mut took {
                causes.merge(std::mem::take(&mut took.causes));
            }
            if causes.look_is_due() {
                self.follow(outcome, causes).await?;
            }
            let mut moves =
                std::pin::pin!(stream::iter(took).map(|took| self.take(took)).buffer_unordered(MOVED_AT_ONCE));
            while let Some(moved) = moves.next().await {
                match moved? {
                    Ending::Taken => {
                        pass.taken += 1;
                        self.count(|counted| counted.taken += 1);
                    }
                    Ending::Young => pass.young += 1,
                    Ending::Waits(name) => {
                        left.insert(name);
                        self.count(|counted| counted.waiting += 1);
                    }
                    Ending::Unreadable(name, reason) => self.cannot_read(left, name, &reason),
                    Ending::NotOurs => {}
                }
            }
        }
    }

    fn cannot_read(&self, left: &mut BTreeSet<String>, name: String, reason: &str) {
        if !left.contains(&name) {
            (self.told)(News::Unreadable { source: &self.source(&name), reason });
            self.count(|counted| counted.unreadable += 1);
            left.insert(name);
        }
    }

    /// What people are to be told of rows that were just projected.
    async fn alerts(&self, outcome: &mut Outcome, new: &[u64]) -> Result<(), OpsError> {
        let recorded = projections_of(self.lake, new).await?;
        for event in recorded.escalation_events.into_iter().filter(|event| event.event == AlertEvent::Fired) {
            if outcome.consequences.alerts.len() < TOLD {
                outcome.consequences.alerts.push(event);
            } else {
                outcome.more_alerts += 1;
            }
        }
        Ok(())
    }

    /// Looks for what recurs.
    async fn follow(&self, outcome: &mut Outcome, causes: &mut Causes) -> Result<(), OpsError> {
        let begun = Instant::now();
        let found = std::mem::take(&mut causes.found);
        let earliest = found.values().min().copied();
        let fingerprints: Vec<String> = found.into_keys().collect();
        if !fingerprints.is_empty() {
            let followed = recurrence::follow(self.lake, self.ledger, &fingerprints, earliest).await?;
            outcome.consequences.alerts.extend(followed.alerts);
            outcome.consequences.recurring.extend(followed.recurring);
        }
        causes.documents = 0;
        causes.looked = Some((Instant::now(), begun.elapsed()));
        Ok(())
    }

    /// Where a file is, as it may be told.
    fn source(&self, name: &str) -> String {
        format!("{}/{}", self.display, self.redactor.text(name))
    }

    fn is_younger(&self, seen: &Seen, than: TimeDelta) -> bool {
        let age = self.lake.context.now().micros() - seen.modified.micros();
        // Clocks differ: a file can come from the future.
        self.inbox.shows_unfinished() && age.abs() < than.num_microseconds().unwrap_or(i64::MAX)
    }

    /// The beginning of a file, checked.
    async fn open(&self, entry: Entry) -> Result<(Entry, Result<(Reading, Vec<Prepared>), Fate>), OpsError> {
        let opened = match self.inbox.read(&entry).await? {
            Read::Opened(opened) if self.is_younger(&opened.seen, self.patience.settle) => Err(Fate::Young),
            Read::Opened(opened) => Ok(opened),
            Read::Gone => Err(Fate::Gone),
            Read::Unreadable(reason) => Err(Fate::Unreadable(reason)),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(fate) => return Ok((entry, Err(fate))),
        };
        let now = self.lake.context.now();
        let (memory, cores) = (Arc::clone(&self.memory), Arc::clone(&self.cores));
        let mut reading = Reading::new(&entry.name, opened, self.redactor.clone(), now, memory, cores).await;
        let first = reading.next().await;
        Ok((entry, or_unreadable(first)?.map(|first| (reading, first))))
    }

    /// Records what is in a file, to its end.
    async fn record(&self, (entry, opened): (Entry, Result<(Reading, Vec<Prepared>), Fate>)) -> Result<Took, OpsError> {
        let mut took = Took { entry, fate: Fate::Gone, new: Vec::new(), causes: Causes::default() };
        let (mut reading, mut prepared) = match opened {
            Ok(opened) => opened,
            Err(fate) => return Ok(Took { fate, ..took }),
        };
        let may_go_on = self.is_younger(reading.seen(), self.patience.wait);
        let mut waits = false;
        let mut reason = None;
        loop {
            let submitted = stream::iter(prepared).map(|document| self.settle_one(&took.entry, document, may_go_on));
            let mut submitted = submitted.buffered(IN_FLIGHT).boxed();
            while let Some(document) = submitted.next().await {
                match document? {
                    Document::Recorded { seq, known, cause } => {
                        took.causes.add(cause);
                        took.new.extend((!known).then_some(seq));
                    }
                    Document::Rejected(only) if only.line.is_none() => {
                        reason = Some(only.text().map_err(LakeError::from)?);
                    }
                    Document::Rejected(_) => {}
                    Document::Waits => waits = true,
                }
            }
            drop(submitted);
            if reading.is_over() {
                break;
            }
            prepared = match or_unreadable(reading.next().await)? {
                Ok(more) => more,
                Err(fate) => return Ok(Took { fate, ..took }),
            };
        }
        let (seen, hash) = reading.end();
        took.fate = if waits { Fate::Waits } else { Fate::Take { seen, hash, reason } };
        Ok(took)
    }

    /// One document, recorded or rejected.
    async fn settle_one(&self, entry: &Entry, document: Prepared, may_go_on: bool) -> Result<Document, OpsError> {
        let Prepared { line, bytes, hash, is_cut_short, outcome } = document;
        let problems = match outcome {
            Ok(submission) => {
                let cause = cause(&submission.request);
                match self.ledger.submit(submission).await? {
                    Recorded { receipt, known: true, same_content: false } => vec![other_content(receipt.seq)],
                    Recorded { receipt, known, .. } => {
                        self.count(|counted| *(if known { &mut counted.known } else { &mut counted.recorded }) += 1);
                        return Ok(Document::Recorded { seq: receipt.seq, known, cause });
                    }
                }
            }
            Err(_) if is_cut_short && may_go_on => return Ok(Document::Waits),
            Err(problems) => problems,
        };
        let rejection = self.reject(self.source(&entry.name), line, hash, problems).await?;
        if let Some(line) = line {
            let reason = rejection.text().map_err(LakeError::from)?;
            let bytes = bytes.map(Bytes::from);
            self.inbox.put_aside(entry, line, &rejection.input_hash, bytes, reason).await?;
        }
        (self.told)(News::Rejected(&rejection));
        self.count(|counted| counted.rejected += 1);
        Ok(Document::Rejected(rejection))
    }

    /// Records that an input was rejected, and why.
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

    /// Moves a file of which everything is recorded.
    async fn take(&self, took: Took) -> Result<Ending, OpsError> {
        let (seen, hash, reason) = match took.fate {
            Fate::Take { seen, hash, reason } => (seen, hash, reason),
            Fate::Young => return Ok(Ending::Young),
            Fate::Waits => return Ok(Ending::Waits(took.entry.name)),
            Fate::Unreadable(reason) => return Ok(Ending::Unreadable(took.entry.name, reason)),
            Fate::Gone => return Ok(Ending::NotOurs),
        };
        let into = if reason.is_some() { Folder::Rejected } else { Folder::Done };
        Ok(match self.inbox.take(&took.entry, &seen, &hash, into, reason).await? {
            Moved::Moved => Ending::Taken,
            Moved::Gone | Moved::Changed => Ending::NotOurs,
        })
    }
}

/// Where a file ended up.
enum Ending {
    Taken,
    Young,
    Waits(String),
    Unreadable(String, String),
    /// Somebody else moved it, or put another in its place.
    NotOurs,
}

impl Causes {
    fn look_is_due(&self) -> bool {
        let is_over = |(ended, took): (Instant, Duration)| ended.elapsed() >= took * LOOKS_APART;
        self.documents >= FOLLOWED_AFTER && self.looked.is_none_or(is_over)
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

/// The cause that a report names, and when it was found, as the ledger decides it.
fn cause(request: &Request) -> Option<(String, Timestamp)> {
    let Request::RecordReport(report) = request else { return None };
    let cause = decide::finding(report.rca.as_ref()?).cause?;
    Some((cause.fingerprint, report.incident.reported_at))
}

/// What concerns one file only leaves the others alone.
fn or_unreadable<T>(outcome: Result<T, InboxError>) -> Result<Result<T, Fate>, OpsError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(InboxError::File { source, .. }) => Ok(Err(Fate::Unreadable(source.to_string()))),
        // The object was replaced or removed while it was read.
        Err(InboxError::Store(object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. })) => {
            Ok(Err(Fate::Gone))
        }
        Err(error) => Err(error.into()),
    }
}

/// What is wrong may quote what is wrong.
fn redacted(problem: Problem, redactor: &Redactor) -> Problem {
    let text = |text: String| redactor.text(&text).into_owned();
    Problem { pointer: text(problem.pointer), message: text(problem.message), hint: problem.hint.map(text) }
}
