//! The ledger: appends to `audit_log`, and nothing is acknowledged before it stands there.
//!
//! One committer task per process collects what is waiting into one file and one commit; across processes the
//! put-if-absent of a commit keeps writers correct. Whoever loses reads the winners, chains again, checks again, tries
//! again.

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
    reader::DataFile,
    table::{Draft, Put, READ_AT_ONCE, Rows, Table},
};
use crate::{
    domain::{
        chain::Head,
        entry::{ENTRY_VERSION, Entry, Facts, Receipt, Request, canonical},
        ids::{Id, IncidentId, RequestKey, sha256_hex},
        incident::{History, Refusal, opening_facts},
        redact::Redactions,
        time::Timestamp,
        words::Interface,
    },
    tables::{catalog::AUDIT_LOG, from_batch, project::audit_row, rows::AuditRow, to_batch},
};

/// Requests in one commit, at most; what comes together is not split for it.
const MAX_GROUP: usize = 512;
/// Bytes of requests in one commit, at most, beyond the first request.
const MAX_GROUP_BYTES: usize = 16 << 20;
/// Incidents whose history is kept in memory between commits.
const MAX_HISTORIES: usize = 256;
/// How often a commit is tried against other writers before the caller is told.
const MAX_CONFLICTS: u32 = 500;

/// Somebody else's row that was seen so lately says that they may be waiting to write another.
const RIVALS_WAIT: Duration = Duration::from_secs(10);
/// Whoever writes without a pause, and has seen nobody else, leaves one so often: somebody may have lost all the time.
const PAUSE_EVERY: Duration = Duration::from_secs(8);
/// Whoever has written leaves up to so many of its own turns to others. These need about three: they have to read who won, and
/// what, before they can write.
const TURNS_LEFT: u32 = 6;
/// A turn longer than this was not spent on a file and a commit.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// A request that has been parsed and redacted, ready to be recorded.
#[derive(Debug, Clone)]
pub struct Submission {
    pub request_id: Id,
    pub request: Request,
    pub redactions: Redactions,
    pub interface: Interface,
    /// About how many bytes the request is.
    pub size: usize,
}

/// How a submission ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub receipt: Receipt,
    /// It had been recorded before; nothing was added.
    pub known: bool,
    /// False when it was known with another content, which was left out.
    pub same_content: bool,
}

/// The columns a receipt is made of.
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

struct Pending {
    submission: Submission,
    key: RequestKey,
    request_hash: String,
    reply: oneshot::Sender<Answer>,
}

type Answer = Result<Recorded, Arc<LakeError>>;

impl Pending {
    fn of(submission: Submission) -> Result<(Self, oneshot::Receiver<Answer>), Arc<LakeError>> {
        let (reply, answer) = oneshot::channel();
        let request_hash =
            canonical(&submission.request).map(sha256_hex).map_err(|error| Arc::new(LakeError::from(error)))?;
        let key = RequestKey::of(&submission.request_id);
        Ok((Self { submission, key, request_hash, reply }, answer))
    }
}

async fn answered(answer: oneshot::Receiver<Answer>) -> Answer {
    answer.await.map_err(|_| Arc::new(LakeError::Stopped))?
}

/// A handle on the committer. Clones share it.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// What comes together goes into one commit, if it fits.
    sender: mpsc::Sender<Vec<Pending>>,
}

/// Ends the committer when every [`Ledger`] is gone.
#[derive(Debug)]
pub struct Committer {
    task: JoinHandle<()>,
}

impl Committer {
    /// Waits until everything submitted is answered and the tables' upkeep that was begun is done. Drop the ledgers first.
    pub async fn finished(self) {
        let _ = self.task.await;
    }
}

impl Ledger {
    /// Opens the ledger: reads its log from the last checkpoint on and checks that its end is whole.
    ///
    /// # Errors
    /// [`LakeError::NoLake`], [`LakeError::Torn`], [`LakeError::Corrupt`], or the store's.
    pub async fn open(lake: &Lake) -> Result<(Self, Committer)> {
        let state = State::open(lake).await?;
        let (sender, receiver) = mpsc::channel(MAX_GROUP * 2);
        Ok((Self { sender }, Committer { task: tokio::spawn(state.run(receiver)) }))
    }

    /// Records a request, once, whoever sends it however often.
    ///
    /// # Errors
    /// [`LakeError::Refused`], [`LakeError::NoIncident`] or [`LakeError::Outdated`] when it is not legal as things stand;
    /// nothing is recorded then. Others are shared by all requests of a commit, hence the [`Arc`]; after one it is safe to
    /// submit again.
    pub async fn submit(&self, submission: Submission) -> Result<Recorded, Arc<LakeError>> {
        let (pending, answer) = Pending::of(submission)?;
        self.sender.send(vec![pending]).await.map_err(|_| Arc::new(LakeError::Stopped))?;
        answered(answer).await
    }

    /// Records requests that belong together, in their order: in one commit, or in as few as hold them. One answer each.
    pub async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<Result<Recorded, Arc<LakeError>>> {
        let mut answers = Vec::with_capacity(submissions.len());
        let (mut together, mut bytes) = (Vec::new(), 0);
        let mut groups = Vec::new();
        for submission in submissions {
            let size = submission.size;
            if together.len() == MAX_GROUP || bytes + size > MAX_GROUP_BYTES && !together.is_empty() {
                groups.push(std::mem::take(&mut together));
                bytes = 0;
            }
            match Pending::of(submission) {
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
            // Whoever waits for an answer is told that nobody gives one any more.
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

/// The ledger's newest position, from its log or, where that does not tell, from its rows.
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
    for batch in table.read(&files, &["seq", "entry_hash", "incident_id"], Rows::All).await? {
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

/// The newest data file must be there and whole: a commit may have outlived the data it names.
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

/// Requests as they will stand in the ledger, if nobody else comes first.
#[derive(Default)]
struct Decided {
    rows: Vec<AuditRow>,
    declined: HashMap<Id, Declined>,
    /// How many incidents there will be.
    incidents: u64,
    /// Of the incidents that the requests are about, as they will be.
    histories: HashMap<IncidentId, History>,
}

/// Why a request was not recorded, though nothing went wrong.
#[derive(Debug, Clone)]
enum Declined {
    Refused(Refusal),
    NoIncident(IncidentId),
    Outdated,
}

impl From<Declined> for LakeError {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::Refused(refusal) => Self::Refused(refusal),
            Declined::NoIncident(id) => Self::NoIncident(id),
            Declined::Outdated => Self::Outdated,
        }
    }
}

/// Whether `request` may overtake one of `wanted`.
fn overtakes(wanted: &[&Pending], request: &Request) -> bool {
    wanted.iter().any(|pending| pending.submission.request.overtaken_by(request))
}

/// Whether what a request was computed from has changed: another scan of the same cause, other aliases, other checks of the
/// same job, another digest of the same week, another sweep of the same workspace, other deliveries over the same channel.
fn outdated(request: &Request, recorded: &[Since]) -> bool {
    let Some(based_on) = request.based_on() else { return false };
    let holds_at = match request.after() {
        None => based_on,
        // What goes before it held when it was recorded.
        Some(after) => match recorded.iter().find(|other| other.request_id == *after) {
            Some(before) => before.seq.max(based_on),
            None => return true,
        },
    };
    recorded.iter().any(|other| other.seq > holds_at && request.overtaken_by(&other.request))
}

/// A request that was recorded since others were computed.
struct Since {
    seq: u64,
    request_id: Id,
    request: Request,
}

fn parse_entry(row: &AuditRow) -> Result<Entry> {
    Entry::parse(&row.entry).map_err(|error| LakeError::Corrupt(format!("entry {}: {error}", row.seq)))
}

/// What the committer knows.
struct State {
    lake: Lake,
    table: Table,
    log: Log,
    head: LedgerHead,
    /// Bloom filters over the keys of files from before this process, read when first needed.
    filters: HashMap<String, Vec<Sbbf>>,
    /// Histories of incidents, as of the head. Emptied when somebody else has written.
    histories: HashMap<IncidentId, History>,
    /// After an error nothing in memory is trusted before the log is read again.
    stale: bool,
    /// Version of the newest checkpoint that upkeep in this process has made.
    checkpoint: Arc<AtomicU64>,
    upkeep: Option<JoinHandle<()>>,
    /// When a row of somebody else was last seen.
    rival_seen: Option<Instant>,
    /// When the last commit of our own stood, and how long it took from the decision on.
    last_turn: Option<(Instant, Duration)>,
    /// Since when there was no pause in which somebody else could have written.
    busy_since: Instant,
}

impl State {
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
            upkeep: None,
            rival_seen: None,
            last_turn: None,
            busy_since: Instant::now(),
        })
    }

    async fn run(mut self, mut receiver: mpsc::Receiver<Vec<Pending>>) {
        while let Some(first) = receiver.recv().await {
            let courtesy = self.courtesy();
            if !courtesy.is_zero() {
                tokio::time::sleep(courtesy).await;
            }
            let mut group = first;
            // Beyond the first request: one that is large by itself is taken all the same.
            let mut bytes: usize = group.iter().skip(1).map(|pending| pending.submission.size).sum();
            while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES {
                let Ok(next) = receiver.try_recv() else { break };
                bytes += next.iter().map(|pending| pending.submission.size).sum::<usize>();
                group.extend(next);
            }
            match self.record(&group).await {
                Ok(answers) => {
                    for (pending, answer) in group.into_iter().zip(answers) {
                        // A caller that has gone away was recorded all the same.
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
            self.keep_up();
        }
        if let Some(upkeep) = self.upkeep {
            let _ = upkeep.await;
        }
    }

    /// How long to wait so that others get a turn. Whoever has just written knows the head and would always be first again.
    fn courtesy(&mut self) -> Duration {
        let Some((stood, took)) = self.last_turn else { return Duration::ZERO };
        let most = took.min(LONGEST_TURN) * TURNS_LEFT;
        let idle = stood.elapsed();
        if idle >= most {
            self.busy_since = Instant::now();
            return Duration::ZERO;
        }
        if self.rival_seen.is_some_and(|seen| seen.elapsed() < RIVALS_WAIT) {
            return most.mul_f64(rand::rng().random_range(0.0..1.0)).saturating_sub(idle);
        }
        if self.busy_since.elapsed() < PAUSE_EVERY {
            return Duration::ZERO;
        }
        self.busy_since = Instant::now();
        most.saturating_sub(idle)
    }

    /// Starts checkpoint and compaction beside the committer when they are due.
    fn keep_up(&mut self) {
        self.log.checkpoint = Some(self.checkpoint.load(Ordering::Relaxed)).filter(|version| *version > 0);
        if !self.log.checkpoint_due() || self.upkeep.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (lake, checkpoint) = (self.lake.clone(), Arc::clone(&self.checkpoint));
        self.upkeep = Some(tokio::spawn(async move {
            // Upkeep can always be done later, and whoever runs `maintain` is told what is wrong.
            if let Ok(Some(version)) = maintenance::tend(&lake, AUDIT_LOG).await {
                checkpoint.store(version, Ordering::Relaxed);
            }
        }));
    }

    async fn refresh(&mut self) -> Result<()> {
        self.table.refresh(&mut self.log).await?;
        self.take_over_head();
        Ok(())
    }

    /// What others have written moves the head.
    fn take_over_head(&mut self) {
        if let Some(head) = &self.log.head {
            if head.chain != self.head.chain {
                self.histories.clear();
                self.rival_seen = Some(Instant::now());
            }
            self.head = head.clone();
        }
    }

    /// One answer per request, in order.
    async fn record(&mut self, group: &[Pending]) -> Result<Vec<Result<Recorded>>> {
        if self.stale || !self.table.is_fresh(&self.log) {
            self.refresh().await?;
            self.stale = false;
        }
        let mut known: HashMap<&str, Receipt> = HashMap::new();
        let mut looked_before = None;
        let mut written: Option<(Decided, AddFile)> = None;
        for conflicts in 0..MAX_CONFLICTS {
            let mut receipts = self.recorded_recently(group, &known).await?;
            // What lies before the index needs one look only, unless the log had to be read anew.
            if looked_before != Some(self.log.indexed_from) {
                receipts.extend(self.recorded_earlier(group).await?);
                looked_before = Some(self.log.indexed_from);
            }
            for pending in group {
                let id = &pending.submission.request_id;
                if let Some(receipt) = receipts.iter().find(|receipt| receipt.request_id == *id) {
                    known.insert(id.as_str(), receipt.clone());
                }
            }
            let mut ids = HashSet::new();
            let wanted: Vec<&Pending> = group
                .iter()
                .filter(|pending| {
                    let id = pending.submission.request_id.as_str();
                    !known.contains_key(id) && ids.insert(id)
                })
                .collect();
            // Only another row moves the head: after somebody's maintenance what was decided and written still fits.
            let begun = Instant::now();
            let reusable = written
                .take_if(|(decided, _)| decided.rows.first().is_some_and(|row| row.prev_hash == self.head.chain.hash));
            // What lost can never be named by a commit.
            let lost = written.take().map(|(_, file)| file).into_iter().collect::<Vec<_>>();
            let (decided, file) = match reusable {
                Some(reusable) => reusable,
                None => {
                    let decided = self.decide(&wanted).await?;
                    // A commit proves that nobody else had written; a refusal proves nothing before the log is read again.
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
                Put::Committed => {
                    self.last_turn = Some((Instant::now(), begun.elapsed()));
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
                Put::Conflict => {
                    written = Some((decided, file));
                    self.take_over_head();
                    // Whoever keeps losing steps aside, and looks again after that.
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

    /// Numbers, decides and chains requests onto the head; what is not legal is refused and takes no number.
    async fn decide(&self, wanted: &[&Pending]) -> Result<Decided> {
        let mut decided = Decided { incidents: self.head.incidents, ..Decided::default() };
        decided.histories = self.gather(wanted).await?;
        // And those in this commit, of which the later ones have not seen the earlier.
        let mut since = self.recorded_since(wanted).await?;
        let policy = &self.lake.context.policy;
        let mut head = self.head.chain.clone();
        for pending in wanted {
            let Submission { request_id, request, redactions, interface, .. } = &pending.submission;
            let (seq, now) = (head.seq + 1, self.lake.context.now());
            let facts = match (request, request.incident_id()) {
                _ if outdated(request, &since) => Err(Declined::Outdated),
                (Request::RecordReport(report) | Request::OpenIncident(report), _) => {
                    let id = IncidentId::from_ordinal(decided.incidents + 1);
                    Ok(opening_facts(report, id, &pending.key, policy, now))
                }
                (_, None) => Ok(Facts::default()),
                (_, Some(id)) => match decided.histories.get(&id) {
                    Some(history) => history.decide(request, policy, seq, now).map_err(Declined::Refused),
                    None => Err(Declined::NoIncident(id)),
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
            if overtakes(wanted, request) {
                since.push(Since { seq, request_id: request_id.clone(), request: request.clone() });
            }
        }
        Ok(decided)
    }

    /// What was recorded of the incidents that requests are about.
    async fn gather(&self, wanted: &[&Pending]) -> Result<HashMap<IncidentId, History>> {
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
        for row in whole_rows(&self.table, &self.log, Rows::Where("incident_id", &names)).await? {
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

    /// Rows of the kinds that requests were computed from, recorded since.
    async fn recorded_since(&self, wanted: &[&Pending]) -> Result<Vec<Since>> {
        let Some(since) = wanted.iter().filter_map(|pending| pending.submission.request.based_on()).min() else {
            return Ok(Vec::new());
        };
        let mut recorded = Vec::new();
        for row in rows_between(&self.table, &self.log, since, self.head.chain.seq).await? {
            let entry = parse_entry(&row)?;
            if overtakes(wanted, &entry.request) {
                recorded.push(Since { seq: row.seq, request_id: row.request_id, request: entry.request });
            }
        }
        Ok(recorded)
    }

    fn draft(&self, decided: &Decided, file: AddFile) -> Draft {
        let last = decided.rows.last().map(|row| Head { seq: row.seq, hash: row.entry_hash.clone() });
        let head = LedgerHead { chain: last.unwrap_or_else(|| self.head.chain.clone()), incidents: decided.incidents };
        let note = CommitNote {
            head: Some(head),
            keys: decided.rows.iter().map(|row| row.request_key.clone()).collect(),
            ..self.table.note()
        };
        Draft { operation: "WRITE", adds: vec![file], removes: Vec::new(), projected_to: None, note }
    }

    /// Receipts of requests that are in the part of the log this process has read.
    async fn recorded_recently(&self, group: &[Pending], known: &HashMap<&str, Receipt>) -> Result<Vec<Receipt>> {
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

    /// Receipts of requests that are in files from before that.
    async fn recorded_earlier(&mut self, group: &[Pending]) -> Result<Vec<Receipt>> {
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
        let read: Vec<_> = stream::iter(reading).buffered(READ_AT_ONCE).try_collect().await?;
        self.filters.extend(read);
        candidates.retain(|file| {
            let filters = self.filters.get(&file.path).map_or(&[][..], Vec::as_slice);
            keys.iter().any(|key| filters.is_empty() || filters.iter().any(|filter| filter.check(*key)))
        });
        self.receipts(&candidates, &keys, group).await
    }

    async fn receipts(&self, files: &[&AddFile], keys: &[&str], group: &[Pending]) -> Result<Vec<Receipt>> {
        let mut receipts = Vec::new();
        for batch in self.table.read(files, &RECEIPT_COLUMNS, Rows::Where("request_key", keys)).await? {
            let rows: Vec<ReceiptRow> =
                serde_arrow::from_record_batch(&batch).map_err(|error| LakeError::Corrupt(error.to_string()))?;
            // The key is a digest; the id decides.
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

/// A file's Bloom filters over `request_key`, one per row group; none when a row group has none.
async fn key_filters(table: &Table, file: &AddFile) -> Result<Vec<Sbbf>> {
    let mut builder = ParquetRecordBatchStreamBuilder::new(DataFile::new(&table.store, file)).await?;
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

/// The first of several requests with one id is the one that was recorded; the others learn that it is known.
fn answers(group: &[Pending], known: &HashMap<&str, Receipt>, decided: Decided) -> Vec<Result<Recorded>> {
    let new: HashMap<&str, Receipt> =
        decided.rows.iter().map(|row| (row.request_id.as_str(), Receipt::from(row))).collect();
    let mut taken = HashSet::new();
    let mut answers = Vec::with_capacity(group.len());
    for pending in group {
        let id = &pending.submission.request_id;
        let fresh = taken.insert(id.as_str()) && new.contains_key(id.as_str());
        answers.push(match new.get(id.as_str()).or_else(|| known.get(id.as_str())) {
            Some(receipt) => Ok(Recorded {
                known: !fresh,
                same_content: receipt.request_hash == pending.request_hash,
                receipt: receipt.clone(),
            }),
            None => Err(decided.declined.get(id).cloned().unwrap_or(Declined::Outdated).into()),
        });
    }
    answers
}

/// Entries with `seq` in `after + 1 ..= last`, ascending.
///
/// # Errors
/// The store's, and [`LakeError::Corrupt`] when a row cannot be read.
pub async fn entries(table: &Table, log: &Log, after: u64, last: u64) -> Result<Vec<(u64, String)>> {
    #[derive(Deserialize)]
    struct SeqEntry {
        seq: u64,
        entry: String,
    }
    let files: Vec<&AddFile> = log.files.values().collect();
    let mut entries = Vec::new();
    for batch in table.read(&files, &["seq", "entry"], Rows::Seq { after, last }).await? {
        let rows: Vec<SeqEntry> =
            serde_arrow::from_record_batch(&batch).map_err(|error| LakeError::Corrupt(error.to_string()))?;
        entries.extend(rows.into_iter().map(|row| (row.seq, row.entry)));
    }
    entries.sort_unstable_by_key(|(seq, _)| *seq);
    Ok(entries)
}

/// Whole ledger rows where `column` is `value`, in order of `seq`.
///
/// # Errors
/// As [`entries`].
pub async fn rows_where(table: &Table, log: &Log, column: &str, value: &str) -> Result<Vec<AuditRow>> {
    whole_rows(table, log, Rows::Where(column, &[value])).await
}

/// Whole ledger rows with `seq` in `after + 1 ..= last`, ascending.
///
/// # Errors
/// As [`entries`].
pub async fn rows_between(table: &Table, log: &Log, after: u64, last: u64) -> Result<Vec<AuditRow>> {
    whole_rows(table, log, Rows::Seq { after, last }).await
}

async fn whole_rows(table: &Table, log: &Log, wanted: Rows<'_>) -> Result<Vec<AuditRow>> {
    let columns: Vec<&str> = AUDIT_LOG.columns.iter().map(|column| column.name).collect();
    let files: Vec<&AddFile> = log.files.values().collect();
    let mut rows: Vec<AuditRow> = Vec::new();
    for batch in table.read(&files, &columns, wanted).await? {
        rows.extend(from_batch(&batch)?);
    }
    rows.sort_unstable_by_key(|row| row.seq);
    Ok(rows)
}
