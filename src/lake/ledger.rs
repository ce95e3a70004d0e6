//! The ledger: appends to `audit_log`. A request is acknowledged only after its commit is stored.
//!
//! One committer task per process collects waiting requests into one file and one commit. Between processes, put-if-absent
//! orders commits. After a conflict the committer reads the new commits, decides and chains its requests again, and retries.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, path::Path};
use parquet::{arrow::ParquetRecordBatchStreamBuilder, bloom_filter::Sbbf};
use rand::RngExt;
use serde::Deserialize;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    Lake, LakeError, Result,
    log::{AddFile, Commit, CommitNote, LedgerHead, Log},
    maintenance,
    reader::DataFileReader,
    table::{CONCURRENT_READS, CommitDraft, CommitResponse, RowSelection, Table},
};
use crate::{
    domain::{
        chain::Head,
        entry::{ENTRY_VERSION, Entry, Facts, Receipt, Request, canonical},
        ids::{Id, IncidentId, RequestKey, sha256_hex},
        incident::{History, Refusal, opening_facts},
        interface::Interface,
        redact::Redactions,
        time::Timestamp,
    },
    tables::{catalog::AUDIT_LOG, from_batch, project::audit_row, rows::AuditRow, to_batch},
};

/// The maximum number of requests in one commit. Requests that were submitted together are not split.
const MAX_GROUP: usize = 512;
/// The maximum bytes of requests in one commit, without the first request.
const MAX_GROUP_BYTES: usize = 16 << 20;
/// The number of incidents whose history is kept in memory between commits.
const MAX_HISTORIES: usize = 256;
/// Conflicts in a row after which the commit fails with an error.
const MAX_CONFLICTS: u32 = 500;

/// For so long after a concurrent writer's row was seen, that writer is assumed to be active.
const CONCURRENT_WRITER_ACTIVE: Duration = Duration::from_secs(10);
/// A committer that writes without a pause, and has seen no concurrent writer, makes a pause this often: another writer may have
/// lost every time.
const PAUSE_EVERY: Duration = Duration::from_secs(8);
/// The longest fairness delay, in commits of our own. A concurrent writer needs about three: it has to read the new commits before
/// it can write.
const FAIRNESS_COMMITS: u32 = 6;
/// The longest time that counts as one commit. Longer ones include other work than a file and a commit.
const MAX_COMMIT_TIME: Duration = Duration::from_secs(1);

/// A parsed and redacted request, ready to be recorded.
#[derive(Debug, Clone)]
pub struct Submission {
    pub request_id: Id,
    pub request: Request,
    pub redactions: Redactions,
    pub interface: Interface,
    /// The approximate size of the request in bytes.
    pub size: usize,
}

/// The result of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmissionResult {
    pub receipt: Receipt,
    /// True if the request was recorded before. Nothing was added.
    pub known: bool,
    /// False if the recorded request has other content. The new content is not recorded.
    pub same_content: bool,
}

/// The columns of a receipt.
#[derive(Deserialize)]
struct ReceiptRow {
    seq: u64,
    recorded_at: Timestamp,
    request_id: Id,
    request_key: RequestKey,
    request_hash: String,
    incident_id: Option<IncidentId>,
    entry_hash: String,
}

const RECEIPT_COLUMNS: [&str; 7] =
    ["seq", "recorded_at", "request_id", "request_key", "request_hash", "incident_id", "entry_hash"];

impl From<ReceiptRow> for Receipt {
    fn from(row: ReceiptRow) -> Self {
        Self {
            request_id: row.request_id,
            incident_id: row.incident_id,
            seq: row.seq,
            recorded_at: row.recorded_at,
            entry_hash: row.entry_hash,
            request_hash: row.request_hash,
        }
    }
}

struct PendingSubmission {
    submission: Submission,
    key: RequestKey,
    request_hash: String,
    reply: oneshot::Sender<SubmissionReply>,
}

type SubmissionReply = Result<SubmissionResult, Arc<LakeError>>;

impl PendingSubmission {
    fn of(submission: Submission) -> Result<(Self, oneshot::Receiver<SubmissionReply>), Arc<LakeError>> {
        let (reply, answer) = oneshot::channel();
        let request_hash =
            canonical(&submission.request).map(sha256_hex).map_err(|error| Arc::new(LakeError::from(error)))?;
        let key = RequestKey::of(&submission.request_id);
        Ok((Self { submission, key, request_hash, reply }, answer))
    }
}

async fn answered(answer: oneshot::Receiver<SubmissionReply>) -> SubmissionReply {
    answer.await.map_err(|_| Arc::new(LakeError::Stopped))?
}

/// A handle on the committer task. Clones share the task.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Requests that are sent together go into one commit if they fit.
    sender: mpsc::Sender<Vec<PendingSubmission>>,
}

/// The committer task. It ends when every [`Ledger`] is dropped.
#[derive(Debug)]
pub struct Committer {
    task: JoinHandle<()>,
}

impl Committer {
    /// Waits until all submissions are answered and running maintenance is done. Drop the ledgers first.
    pub async fn finished(self) {
        let _ = self.task.await;
    }
}

impl Ledger {
    /// Opens the ledger: reads its log from the last checkpoint on, and checks that the newest data file is complete.
    ///
    /// # Errors
    /// [`LakeError::NoLake`], [`LakeError::Torn`], [`LakeError::Corrupt`], or errors of the store.
    pub async fn open(lake: &Lake) -> Result<(Self, Committer)> {
        let state = CommitterState::open(lake).await?;
        let (sender, receiver) = mpsc::channel(MAX_GROUP * 2);
        Ok((Self { sender }, Committer { task: tokio::spawn(state.run(receiver)) }))
    }

    /// Records a request once, however often it is sent.
    ///
    /// # Errors
    /// [`LakeError::Refused`], [`LakeError::NoIncident`] or [`LakeError::Stale`] if the request is not allowed in the current
    /// state; nothing is recorded then. All requests of a commit share other errors, hence the [`Arc`]. After such an error it
    /// is safe to submit the request again.
    pub async fn submit(&self, submission: Submission) -> Result<SubmissionResult, Arc<LakeError>> {
        let (pending, answer) = PendingSubmission::of(submission)?;
        self.sender.send(vec![pending]).await.map_err(|_| Arc::new(LakeError::Stopped))?;
        answered(answer).await
    }

    /// Records requests that belong together, in their order, in as few commits as possible. Returns one result for each.
    pub async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<Result<SubmissionResult, Arc<LakeError>>> {
        let mut answers = Vec::with_capacity(submissions.len());
        let (mut together, mut bytes) = (Vec::new(), 0);
        let mut groups = Vec::new();
        for submission in submissions {
            let size = submission.size;
            if together.len() == MAX_GROUP || bytes + size > MAX_GROUP_BYTES && !together.is_empty() {
                groups.push(std::mem::take(&mut together));
                bytes = 0;
            }
            match PendingSubmission::of(submission) {
                Ok((pending, answer)) => {
                    bytes += size;
                    together.push(pending);
                    answers.push(Ok(answer));
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        groups.push(together);
        for group in groups.into_iter().filter(|group| !group.is_empty()) {
            // If the committer has ended, each reply is dropped, and its waiter gets `Stopped`.
            let _ = self.sender.send(group).await;
        }
        let mut recorded = Vec::with_capacity(answers.len());
        for answer in answers {
            recorded.push(match answer {
                Ok(answer) => answered(answer).await,
                Err(error) => Err(error),
            });
        }
        recorded
    }
}

/// Returns the ledger's newest position, from its log or, if the log does not hold it, from its rows.
///
/// # Errors
/// As [`Ledger::open`].
pub async fn head(table: &Table, log: &Log) -> Result<LedgerHead> {
    match &log.head {
        Some(head) => Ok(head.clone()),
        None => head_from_rows(table, log).await,
    }
}

async fn head_from_rows(table: &Table, log: &Log) -> Result<LedgerHead> {
    #[derive(Deserialize)]
    struct Last {
        seq: u64,
        entry_hash: String,
        incident_id: Option<IncidentId>,
    }
    let mut head = LedgerHead { chain: Head::genesis(), incidents: 0 };
    let files: Vec<&AddFile> = log.files.values().collect();
    for batch in table.read(&files, &["seq", "entry_hash", "incident_id"], RowSelection::All).await? {
        let rows: Vec<Last> =
            serde_arrow::from_record_batch(&batch).map_err(|error| LakeError::Corrupt(error.to_string()))?;
        for row in rows {
            head.incidents = head.incidents.max(row.incident_id.map_or(0, IncidentId::ordinal));
            if row.seq > head.chain.seq {
                head.chain = Head { seq: row.seq, hash: row.entry_hash };
            }
        }
    }
    Ok(head)
}

/// Checks that the newest data file exists and is complete: a commit may outlive the data that it names.
///
/// # Errors
/// [`LakeError::Torn`].
pub async fn check_newest_file(table: &Table, log: &Log) -> Result<()> {
    let Some(newest) = log.files.values().max_by_key(|file| (file.modification_time, &file.path)) else {
        return Ok(());
    };
    let torn = |detail: String| LakeError::Torn { table: table.name().into(), file: newest.path.clone(), detail };
    match table.store.head(&Path::from(newest.path.as_str())).await {
        Ok(meta) if meta.size == newest.size as u64 => Ok(()),
        Ok(meta) => Err(torn(format!("it has {} of {} bytes", meta.size, newest.size))),
        Err(object_store::Error::NotFound { .. }) => Err(torn("it is missing, though a commit names it".into())),
        Err(error) => Err(error.into()),
    }
}

/// Requests as rows of the ledger, valid unless a concurrent writer commits first.
#[derive(Default)]
struct DecidedGroup {
    rows: Vec<AuditRow>,
    declined: HashMap<Id, DeclineReason>,
    /// The number of incidents after the commit.
    incidents: u64,
    /// Histories of the incidents that the requests are about, after the commit.
    histories: HashMap<IncidentId, History>,
}

/// Why a request was not recorded although no error occurred.
#[derive(Debug, Clone)]
enum DeclineReason {
    Refused(Refusal),
    NoIncident(IncidentId),
    Stale,
}

impl From<DeclineReason> for LakeError {
    fn from(declined: DeclineReason) -> Self {
        match declined {
            DeclineReason::Refused(refusal) => Self::Refused(refusal),
            DeclineReason::NoIncident(id) => Self::NoIncident(id),
            DeclineReason::Stale => Self::Stale,
        }
    }
}

/// Returns whether `request` conflicts with one of `wanted`.
fn conflicts_with_any(wanted: &[&PendingSubmission], request: &Request) -> bool {
    wanted.iter().any(|pending| pending.submission.request.conflicts_with(request))
}

/// Returns whether the state that a request was computed from has changed. Examples: another scan of the same cause, other
/// aliases, other checks of the same job, another digest of the same week, another sweep of the same workspace, other
/// deliveries over the same channel.
fn is_stale(request: &Request, recorded: &[LaterRequest]) -> bool {
    let Some(based_on) = request.based_on() else { return false };
    let holds_at = match request.after() {
        None => based_on,
        // The request that must come first was valid when it was recorded.
        Some(after) => match recorded.iter().find(|other| other.request_id == *after) {
            Some(before) => before.seq.max(based_on),
            None => return true,
        },
    };
    recorded.iter().any(|other| other.seq > holds_at && request.conflicts_with(&other.request))
}

/// A request that was recorded after other requests were computed.
struct LaterRequest {
    seq: u64,
    request_id: Id,
    request: Request,
}

fn parse_entry(row: &AuditRow) -> Result<Entry> {
    Entry::parse(&row.entry).map_err(|error| LakeError::Corrupt(format!("entry {}: {error}", row.seq)))
}

/// The state of the committer task.
struct CommitterState {
    lake: Lake,
    table: Table,
    log: Log,
    head: LedgerHead,
    /// Bloom filters over the keys of files that are older than this process, read on first use.
    filters: HashMap<String, Vec<Sbbf>>,
    /// Histories of incidents at the head. Cleared when a concurrent writer has committed.
    histories: HashMap<IncidentId, History>,
    /// True after an error: the log must be read again before this state is used.
    stale: bool,
    /// The version of the newest checkpoint that maintenance in this process has written.
    checkpoint: Arc<AtomicU64>,
    maintenance_task: Option<JoinHandle<()>>,
    /// When a concurrent writer's row was last seen.
    concurrent_writer_seen: Option<Instant>,
    /// When our last commit was stored, and how long it took from the decision on.
    last_commit: Option<(Instant, Duration)>,
    /// The end of the last pause in which a concurrent writer could have committed.
    busy_since: Instant,
}

impl CommitterState {
    async fn open(lake: &Lake) -> Result<Self> {
        let table = lake.table(AUDIT_LOG);
        let Some(log) = table.try_log().await? else {
            return Err(LakeError::NoLake(lake.display()));
        };
        check_newest_file(&table, &log).await?;
        let head = head(&table, &log).await?;
        let checkpoint = Arc::new(AtomicU64::new(log.checkpoint.unwrap_or(0)));
        Ok(Self {
            lake: lake.clone(),
            table,
            log,
            head,
            filters: HashMap::new(),
            histories: HashMap::new(),
            stale: false,
            checkpoint,
            maintenance_task: None,
            concurrent_writer_seen: None,
            last_commit: None,
            busy_since: Instant::now(),
        })
    }

    async fn run(mut self, mut receiver: mpsc::Receiver<Vec<PendingSubmission>>) {
        while let Some(first) = receiver.recv().await {
            let fairness_delay = self.fairness_delay();
            if !fairness_delay.is_zero() {
                tokio::time::sleep(fairness_delay).await;
            }
            let mut group = first;
            // The first request does not count: a single large request is accepted.
            let mut bytes: usize = group.iter().skip(1).map(|pending| pending.submission.size).sum();
            while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
                let Ok(next) = receiver.try_recv() else { break };
                bytes += next.iter().map(|pending| pending.submission.size).sum::<usize>();
                group.extend(next);
            }
            match self.record(&group).await {
                Ok(answers) => {
                    for (pending, answer) in group.into_iter().zip(answers) {
                        // The request is recorded even if its caller no longer waits.
                        let _ = pending.reply.send(answer.map_err(Arc::new));
                    }
                }
                Err(error) => {
                    self.stale = true;
                    let error = Arc::new(error);
                    for pending in group {
                        let _ = pending.reply.send(Err(Arc::clone(&error)));
                    }
                }
            }
            self.start_due_maintenance();
        }
        if let Some(maintenance_task) = self.maintenance_task {
            let _ = maintenance_task.await;
        }
    }

    /// Returns how long to wait so that concurrent writers can commit. The writer of the newest commit knows the head and would
    /// otherwise always be first.
    fn fairness_delay(&mut self) -> Duration {
        let Some((stood, took)) = self.last_commit else { return Duration::ZERO };
        let most = took.min(MAX_COMMIT_TIME) * FAIRNESS_COMMITS;
        let idle = stood.elapsed();
        if idle >= most {
            self.busy_since = Instant::now();
            return Duration::ZERO;
        }
        if self.concurrent_writer_seen.is_some_and(|seen| seen.elapsed() < CONCURRENT_WRITER_ACTIVE) {
            return most.mul_f64(rand::rng().random_range(0.0..1.0)).saturating_sub(idle);
        }
        if self.busy_since.elapsed() < PAUSE_EVERY {
            return Duration::ZERO;
        }
        self.busy_since = Instant::now();
        most.saturating_sub(idle)
    }

    /// Starts checkpoint and compaction in the background when they are due.
    fn start_due_maintenance(&mut self) {
        self.log.checkpoint = Some(self.checkpoint.load(Ordering::Relaxed)).filter(|version| *version > 0);
        if !self.log.checkpoint_due() || self.maintenance_task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (lake, checkpoint) = (self.lake.clone(), Arc::clone(&self.checkpoint));
        self.maintenance_task = Some(tokio::spawn(async move {
            // Maintenance can run later, and the command `maintain` reports the error.
            if let Ok(Some(version)) = maintenance::maintain_if_due(&lake, AUDIT_LOG).await {
                checkpoint.store(version, Ordering::Relaxed);
            }
        }));
    }

    async fn refresh(&mut self) -> Result<()> {
        self.table.refresh(&mut self.log).await?;
        self.adopt_head();
        Ok(())
    }

    /// Adopts the head of the log after commits of concurrent writers.
    fn adopt_head(&mut self) {
        if let Some(head) = &self.log.head {
            if head.chain != self.head.chain {
                self.histories.clear();
                self.concurrent_writer_seen = Some(Instant::now());
            }
            self.head = head.clone();
        }
    }

    /// Records the requests of a group. Returns one result for each, in order.
    async fn record(&mut self, group: &[PendingSubmission]) -> Result<Vec<Result<SubmissionResult>>> {
        if self.stale || !self.table.is_fresh(&self.log) {
            self.refresh().await?;
            self.stale = false;
        }
        let mut known: HashMap<&str, Receipt> = HashMap::new();
        let mut searched_before = None;
        let mut written: Option<(DecidedGroup, AddFile)> = None;
        for conflicts in 0..MAX_CONFLICTS {
            let mut receipts = self.recorded_recently(group, &known).await?;
            // Older files are searched once, and again only after the log was reloaded.
            if searched_before != Some(self.log.indexed_from) {
                receipts.extend(self.recorded_earlier(group).await?);
                searched_before = Some(self.log.indexed_from);
            }
            for pending in group {
                let id = &pending.submission.request_id;
                if let Some(receipt) = receipts.iter().find(|receipt| receipt.request_id == *id) {
                    known.insert(id.as_str(), receipt.clone());
                }
            }
            let mut ids = HashSet::new();
            let wanted: Vec<&PendingSubmission> = group
                .iter()
                .filter(|pending| {
                    let id = pending.submission.request_id.as_str();
                    !known.contains_key(id) && ids.insert(id)
                })
                .collect();
            // Only new rows move the head: after concurrent maintenance the written file is still valid.
            let begun = Instant::now();
            let reusable = written
                .take_if(|(decided, _)| decided.rows.first().is_some_and(|row| row.prev_hash == self.head.chain.hash));
            // A file that lost a conflict is never named by a commit.
            let lost = written.take().map(|(_, file)| file).into_iter().collect::<Vec<_>>();
            let (decided, file) = match reusable {
                Some(reusable) => reusable,
                None => {
                    let decided = self.decide(&wanted).await?;
                    // A commit proves that there was no concurrent writer. A refusal is final only after the log was read again.
                    if !decided.declined.is_empty() {
                        let seen = self.head.chain.clone();
                        self.refresh().await?;
                        if self.head.chain != seen {
                            self.table.discard(&lost);
                            continue;
                        }
                    }
                    if decided.rows.is_empty() {
                        self.table.discard(&lost);
                        return Ok(answers(group, &known, decided));
                    }
                    let batch = to_batch(&decided.rows)?;
                    self.table.discard(&lost);
                    let file = self.table.write_file(&batch, true).await?;
                    (decided, file)
                }
            };
            let commit = self.draft(&decided, file.clone());
            match self.table.commit_or_catch_up(&mut self.log, &commit).await? {
                CommitResponse::Committed => {
                    self.last_commit = Some((Instant::now(), begun.elapsed()));
                    self.log.apply(&Commit {
                        version: self.log.version + 1,
                        note: Some(commit.note.clone()),
                        adds: commit.adds,
                        ..Commit::default()
                    });
                    if let Some(head) = commit.note.head {
                        self.head = head;
                    }
                    if self.histories.len() > MAX_HISTORIES {
                        self.histories.clear();
                    }
                    self.histories.extend(decided.histories.clone());
                    return Ok(answers(group, &known, decided));
                }
                CommitResponse::Conflict => {
                    written = Some((decided, file));
                    self.adopt_head();
                    // After repeated conflicts, wait a random time and read the log again.
                    if conflicts > 0 {
                        let pause = rand::rng().random_range(0..=u64::from(conflicts.min(8)) * 3);
                        tokio::time::sleep(Duration::from_millis(pause)).await;
                        self.refresh().await?;
                    }
                }
            }
        }
        self.table.discard(&written.map(|(_, file)| file).into_iter().collect::<Vec<_>>());
        Err(LakeError::TooBusy { table: self.table.name().into(), attempts: MAX_CONFLICTS })
    }

    /// Numbers, decides and chains requests onto the head. A refused request gets no number.
    async fn decide(&self, wanted: &[&PendingSubmission]) -> Result<DecidedGroup> {
        let mut decided = DecidedGroup { incidents: self.head.incidents, ..DecidedGroup::default() };
        decided.histories = self.gather(wanted).await?;
        // Includes earlier requests of this commit, which the later ones have not seen.
        let mut since = self.recorded_since(wanted).await?;
        let policy = &self.lake.context.policy;
        let mut head = self.head.chain.clone();
        for pending in wanted {
            let Submission { request_id, request, redactions, interface, .. } = &pending.submission;
            let (seq, now) = (head.seq + 1, self.lake.context.now());
            let facts = match (request, request.incident_id()) {
                _ if is_stale(request, &since) => Err(DeclineReason::Stale),
                (Request::RecordReport(report) | Request::OpenIncident(report), _) => {
                    let id = IncidentId::from_ordinal(decided.incidents + 1);
                    Ok(opening_facts(report, id, &pending.key, policy, now))
                }
                (_, None) => Ok(Facts::default()),
                (_, Some(id)) => match decided.histories.get(&id) {
                    Some(history) => history.decide(request, policy, seq, now).map_err(DeclineReason::Refused),
                    None => Err(DeclineReason::NoIncident(id)),
                },
            };
            let facts = match facts {
                Ok(facts) => Facts { redactions: redactions.clone(), ..facts },
                Err(why) => {
                    decided.declined.insert(request_id.clone(), why);
                    continue;
                }
            };
            let entry = Entry {
                version: ENTRY_VERSION,
                seq,
                recorded_at: now,
                interface: *interface,
                request_id: request_id.clone(),
                request: request.clone(),
                facts,
            };
            if let Some(history) = request.incident_id().and_then(|id| decided.histories.get_mut(&id)) {
                history.apply(&entry);
            } else if entry.facts.incident_id.is_some() {
                decided.incidents += 1;
            }
            let row = audit_row(&entry, entry.canonical()?, head.hash)?;
            head = Head { seq, hash: row.entry_hash.clone() };
            decided.rows.push(row);
            if conflicts_with_any(wanted, request) {
                since.push(LaterRequest { seq, request_id: request_id.clone(), request: request.clone() });
            }
        }
        Ok(decided)
    }

    /// Loads the histories of the incidents that requests are about.
    async fn gather(&self, wanted: &[&PendingSubmission]) -> Result<HashMap<IncidentId, History>> {
        let mut histories = HashMap::new();
        let mut missing = Vec::new();
        for id in wanted.iter().filter_map(|pending| pending.submission.request.incident_id()) {
            match self.histories.get(&id) {
                Some(history) => drop(histories.insert(id, history.clone())),
                None if missing.contains(&id) => {}
                None => missing.push(id),
            }
        }
        if missing.is_empty() {
            return Ok(histories);
        }
        let names: Vec<String> = missing.iter().map(IncidentId::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut entries: HashMap<IncidentId, Vec<Entry>> = HashMap::new();
        for row in whole_rows(&self.table, &self.log, RowSelection::Where("incident_id", &names)).await? {
            let entry = parse_entry(&row)?;
            if let Some(id) = entry.facts.incident_id {
                entries.entry(id).or_default().push(entry);
            }
        }
        for (id, entries) in entries {
            let history = History::replay(&entries)
                .ok_or_else(|| LakeError::Corrupt(format!("the first row about {id} does not open it")))?;
            histories.insert(id, history);
        }
        Ok(histories)
    }

    /// Reads the requests that were recorded after `wanted` were computed, and that conflict with one of them.
    async fn recorded_since(&self, wanted: &[&PendingSubmission]) -> Result<Vec<LaterRequest>> {
        let Some(since) = wanted.iter().filter_map(|pending| pending.submission.request.based_on()).min() else {
            return Ok(Vec::new());
        };
        let mut recorded = Vec::new();
        for row in rows_between(&self.table, &self.log, since, self.head.chain.seq).await? {
            let entry = parse_entry(&row)?;
            if conflicts_with_any(wanted, &entry.request) {
                recorded.push(LaterRequest { seq: row.seq, request_id: row.request_id, request: entry.request });
            }
        }
        Ok(recorded)
    }

    fn draft(&self, decided: &DecidedGroup, file: AddFile) -> CommitDraft {
        let last = decided.rows.last().map(|row| Head { seq: row.seq, hash: row.entry_hash.clone() });
        let head = LedgerHead { chain: last.unwrap_or_else(|| self.head.chain.clone()), incidents: decided.incidents };
        let note = CommitNote {
            head: Some(head),
            keys: decided.rows.iter().map(|row| row.request_key.clone()).collect(),
            ..self.table.note()
        };
        CommitDraft { operation: "WRITE", adds: vec![file], removes: Vec::new(), projected_to: None, note }
    }

    /// Returns receipts of requests in the part of the log that this process has read.
    async fn recorded_recently(
        &self,
        group: &[PendingSubmission],
        known: &HashMap<&str, Receipt>,
    ) -> Result<Vec<Receipt>> {
        let found: Vec<(&RequestKey, u64)> = group
            .iter()
            .filter(|pending| !known.contains_key(pending.submission.request_id.as_str()))
            .filter_map(|pending| Some((&pending.key, *self.log.recent.get(&pending.key)?)))
            .collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let files: Vec<&AddFile> = self
            .log
            .files
            .values()
            .filter(|file| {
                let stats = file.parse_stats();
                let (low, high) = (stats.min_u64("seq").unwrap_or(0), stats.max_u64("seq").unwrap_or(u64::MAX));
                found.iter().any(|(_, seq)| (low..=high).contains(seq))
            })
            .collect();
        let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
        self.receipts(&files, &keys, group).await
    }

    /// Returns receipts of requests in older files.
    async fn recorded_earlier(&mut self, group: &[PendingSubmission]) -> Result<Vec<Receipt>> {
        let from = self.log.indexed_from.unwrap_or(u64::MAX);
        let keys: Vec<&str> = group
            .iter()
            .filter(|p| !self.log.recent.contains_key(&p.key))
            .map(|pending| pending.key.as_str())
            .collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.filters.retain(|path, _| self.log.files.contains_key(path));
        let mut candidates: Vec<&AddFile> = self.log.files.values().collect();
        candidates.retain(|file| {
            let stats = file.parse_stats();
            stats.min_u64("seq").is_none_or(|seq| seq < from)
                && keys.iter().any(|key| stats.may_hold("request_key", key))
        });
        let unread: Vec<_> = candidates.iter().filter(|file| !self.filters.contains_key(&file.path)).collect();
        let reading: Vec<_> = unread
            .into_iter()
            .map(|file| async { Ok::<_, LakeError>((file.path.clone(), key_filters(&self.table, file).await?)) })
            .collect();
        let read: Vec<_> = stream::iter(reading).buffered(CONCURRENT_READS).try_collect().await?;
        self.filters.extend(read);
        candidates.retain(|file| {
            let filters = self.filters.get(&file.path).map_or(&[][..], Vec::as_slice);
            keys.iter().any(|key| filters.is_empty() || filters.iter().any(|filter| filter.check(*key)))
        });
        self.receipts(&candidates, &keys, group).await
    }

    async fn receipts(&self, files: &[&AddFile], keys: &[&str], group: &[PendingSubmission]) -> Result<Vec<Receipt>> {
        let mut receipts = Vec::new();
        for batch in self.table.read(files, &RECEIPT_COLUMNS, RowSelection::Where("request_key", keys)).await? {
            let rows: Vec<ReceiptRow> =
                serde_arrow::from_record_batch(&batch).map_err(|error| LakeError::Corrupt(error.to_string()))?;
            // The key is a hash; the id decides.
            receipts.extend(
                rows.into_iter()
                    .filter(|row| {
                        group.iter().any(|pending| {
                            pending.key == row.request_key && pending.submission.request_id == row.request_id
                        })
                    })
                    .map(Receipt::from),
            );
        }
        Ok(receipts)
    }
}

/// Reads a file's Bloom filters over `request_key`, one per row group. Empty if a row group has none.
async fn key_filters(table: &Table, file: &AddFile) -> Result<Vec<Sbbf>> {
    let mut builder = ParquetRecordBatchStreamBuilder::new(DataFileReader::new(&table.store, file)).await?;
    let Some(column) = table.def.columns.iter().position(|column| column.name == "request_key") else {
        return Ok(Vec::new());
    };
    let mut filters = Vec::new();
    for group in 0..builder.metadata().num_row_groups() {
        match builder.get_row_group_column_bloom_filter(group, column).await? {
            Some(filter) => filters.push(filter),
            None => return Ok(Vec::new()),
        }
    }
    Ok(filters)
}

impl From<&AuditRow> for Receipt {
    fn from(row: &AuditRow) -> Self {
        Self {
            request_id: row.request_id.clone(),
            incident_id: row.incident_id,
            seq: row.seq,
            recorded_at: row.recorded_at,
            entry_hash: row.entry_hash.clone(),
            request_hash: row.request_hash.clone(),
        }
    }
}

/// Returns one result for each request. Of several requests with one id the first was recorded; the others are already recorded.
fn answers(
    group: &[PendingSubmission],
    known: &HashMap<&str, Receipt>,
    decided: DecidedGroup,
) -> Vec<Result<SubmissionResult>> {
    let new: HashMap<&str, Receipt> =
        decided.rows.iter().map(|row| (row.request_id.as_str(), Receipt::from(row))).collect();
    let mut taken = HashSet::new();
    let mut answers = Vec::with_capacity(group.len());
    for pending in group {
        let id = &pending.submission.request_id;
        let fresh = taken.insert(id.as_str()) && new.contains_key(id.as_str());
        answers.push(match new.get(id.as_str()).or_else(|| known.get(id.as_str())) {
            Some(receipt) => Ok(SubmissionResult {
                known: !fresh,
                same_content: receipt.request_hash == pending.request_hash,
                receipt: receipt.clone(),
            }),
            None => Err(decided.declined.get(id).cloned().unwrap_or(DeclineReason::Stale).into()),
        });
    }
    answers
}

/// Reads entries with `seq` in `after + 1 ..= last`, ascending.
///
/// # Errors
/// Errors of the store; [`LakeError::Corrupt`] if a row cannot be read.
pub async fn entries(table: &Table, log: &Log, after: u64, last: u64) -> Result<Vec<(u64, String)>> {
    #[derive(Deserialize)]
    struct SeqEntry {
        seq: u64,
        entry: String,
    }
    let files: Vec<&AddFile> = log.files.values().collect();
    let mut entries = Vec::new();
    for batch in table.read(&files, &["seq", "entry"], RowSelection::Seq { after, last }).await? {
        let rows: Vec<SeqEntry> =
            serde_arrow::from_record_batch(&batch).map_err(|error| LakeError::Corrupt(error.to_string()))?;
        entries.extend(rows.into_iter().map(|row| (row.seq, row.entry)));
    }
    entries.sort_unstable_by_key(|(seq, _)| *seq);
    Ok(entries)
}

/// Reads all columns of the ledger rows where `column` is `value`, in order of `seq`.
///
/// # Errors
/// As [`entries`].
pub async fn rows_where(table: &Table, log: &Log, column: &str, value: &str) -> Result<Vec<AuditRow>> {
    whole_rows(table, log, RowSelection::Where(column, &[value])).await
}

/// Reads all columns of the ledger rows with `seq` in `after + 1 ..= last`, ascending.
///
/// # Errors
/// As [`entries`].
pub async fn rows_between(table: &Table, log: &Log, after: u64, last: u64) -> Result<Vec<AuditRow>> {
    whole_rows(table, log, RowSelection::Seq { after, last }).await
}

async fn whole_rows(table: &Table, log: &Log, wanted: RowSelection<'_>) -> Result<Vec<AuditRow>> {
    let columns: Vec<&str> = AUDIT_LOG.columns.iter().map(|column| column.name).collect();
    let files: Vec<&AddFile> = log.files.values().collect();
    let mut rows: Vec<AuditRow> = Vec::new();
    for batch in table.read(&files, &columns, wanted).await? {
        rows.extend(from_batch(&batch)?);
    }
    rows.sort_unstable_by_key(|row| row.seq);
    Ok(rows)
}
