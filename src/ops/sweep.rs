//! Looking for failed runs in a workspace. What was found is gathered first, decided by the domain, and then recorded: incidents,
//! what is added to them, and last the runs, so that whoever comes after a crash finds the same things to do.

mod gather;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::{Consequences, OpsError, consequences, opening, prepare, prepare_step, settle};
use crate::{
    analytics::engine::Engine,
    databricks::{Client, runs::Runs},
    domain::{
        entry::{Entry, RecordJobRuns, Request, canonical},
        ids::{Id, IncidentId, sha256_hex},
        incident::Refusal,
        problems::Problem,
        redact::{Redactions, Redactor},
        report::Workspace,
        run::Run,
        steps::{LogEvent, RecordVerification},
        sweep::{
            self, ACTOR, Added, Cases, Decided, Found, Known, Left, Note, Opening, Place, RecordedRun, SeenRun, Swept,
            Told,
        },
        time::{Since, Timestamp},
        words::{Interface, LogKind, RemediationResult, Trigger},
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Recorded, Submission},
    },
    tables::catalog::AUDIT_LOG,
};
use gather::Gathered;

/// How far the first sweep of a workspace looks back.
pub const FIRST_LOOK_BACK: TimeDelta = TimeDelta::days(7);
/// How far before the end of the last one a sweep begins: clocks differ, and a list may be late.
pub const OVERLAP: TimeDelta = TimeDelta::hours(1);
/// A run that did not succeed is asked about for so long, because it may be repaired.
pub const REPAIRED_WITHIN: TimeDelta = TimeDelta::hours(48);
/// So many of those in one sweep, the last ended first.
const MAX_WATCHED: usize = 200;
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// Runs in one row of the ledger.
const RUNS_IN_ROW: usize = 2_000;
/// How often it is worked out anew what is news because another sweep recorded runs first.
const MAX_ROUNDS: u32 = 20;
/// Characters of a workspace's id.
const MAX_WORKSPACE_ID: usize = 64;

/// Why a run was left out.
const UNTIMED: &str = "the workspace gives no start time for it, and none of its tasks; look at it there";

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Look back so far; at least to the last sweep.
    pub since: Option<Since>,
    /// The workspace's id. `None`: it says so itself.
    pub workspace_id: Option<Id>,
}

/// What is being done, and how much of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Listing(usize),
    /// Runs that were under way or failed at the last sweep, and what there is to know about failures.
    Looking(usize),
    Recording,
}

/// What sweeps recorded about a workspace.
#[derive(Debug)]
struct Before {
    /// The ledger's last row.
    head: u64,
    first_swept_at: Option<Timestamp>,
    last: Option<(u64, RecordJobRuns)>,
}

impl Before {
    async fn of(lake: &Lake, workspace: &Id) -> Result<Self, OpsError> {
        #[derive(Deserialize)]
        struct Ends {
            first: Option<u64>,
            last: Option<u64>,
        }
        let table = lake.table(AUDIT_LOG);
        let log = table.newest().await?;
        let head = ledger::head(&table, &log).await?.chain.seq;
        settle(lake).await?;
        let of = [("workspace".into(), workspace.as_str().into())];
        let ends = Engine::Local(lake).rows::<Ends>(ENDS, &of).await?.pop();
        let read = async |seq: Option<u64>| -> Result<Option<(u64, RecordJobRuns)>, OpsError> {
            let Some(seq) = seq else { return Ok(None) };
            let log = table.newest().await?;
            let found = ledger::entries(&table, &log, seq - 1, seq).await?.pop();
            let damaged = || LakeError::Corrupt(format!("row {seq} should tell of runs"));
            let entry = Entry::parse(&found.ok_or_else(damaged)?.1).map_err(|_| damaged())?;
            match entry.request {
                Request::RecordJobRuns(request) => Ok(Some((seq, *request))),
                _ => Err(damaged().into()),
            }
        };
        let first = read(ends.as_ref().and_then(|ends| ends.first)).await?;
        Ok(Self {
            head,
            first_swept_at: first.map(|(_, request)| request.until),
            last: read(ends.and_then(|ends| ends.last)).await?,
        })
    }

    /// From when on runs are listed.
    fn since(&self, given: Option<Since>, now: Timestamp) -> Timestamp {
        let given = given.map(|since| since.before(now));
        match &self.last {
            None => given.unwrap_or_else(|| now.plus(-FIRST_LOOK_BACK)),
            Some((_, last)) => {
                let needed = if last.more { last.since } else { last.until.plus(-OVERLAP) };
                given.map_or(needed, |given| given.min(needed))
            }
        }
    }
}

const ENDS: &str = "SELECT min(seq) AS first, max(seq) AS last FROM audit_log \
                    WHERE request_kind = 'record_job_runs' AND workspace_id = :workspace";

/// Runs as they are recorded, the latest word about each. Those that began, or ended, at `since` or later.
async fn recorded_runs(lake: &Lake, workspace: &Id, since: Timestamp) -> Result<BTreeMap<Id, RecordedRun>, OpsError> {
    let parameters = [("workspace".into(), workspace.as_str().into()), ("since".into(), since.into())];
    let rows: Vec<RecordedRun> = Engine::Local(lake).rows(RUNS, &parameters).await?;
    Ok(rows.into_iter().map(|run| (run.run_id.clone(), run)).collect())
}

const RUNS: &str = "SELECT run_id, ended_at, result_state, termination_code, retried_tasks FROM job_runs \
                    WHERE workspace_id = :workspace AND (started_at >= :since OR ended_at >= :since) \
                    ORDER BY seq NULLS FIRST";

/// The incidents of everything that sweeps recorded.
async fn recorded_incidents(lake: &Lake) -> Result<BTreeMap<String, IncidentId>, OpsError> {
    #[derive(Deserialize)]
    struct Row {
        request_id: String,
        incident_id: IncidentId,
    }
    let rows: Vec<Row> = Engine::Local(lake).rows(INCIDENTS, &[]).await?;
    Ok(rows.into_iter().map(|row| (row.request_id, row.incident_id)).collect())
}

const INCIDENTS: &str =
    "SELECT request_id, incident_id FROM audit_log WHERE interface = 'sweep' AND incident_id IS NOT NULL";

/// Sweeps a workspace, and records what it finds.
///
/// # Errors
/// [`OpsError`]: what was recorded until then stays, and another sweep goes on from there.
pub async fn sweep(
    lake: &Lake,
    client: &Client,
    ledger: &Ledger,
    options: &Options,
    redactor: &Redactor,
    told: impl Fn(Progress),
) -> Result<(Swept, Consequences), OpsError> {
    let now = lake.context.now();
    let workspace_id = workspace_id(client, options.workspace_id.as_ref()).await?;
    let workspace = Workspace { id: workspace_id.clone(), url: Some(client.workspace().to_string()) };
    let before = Before::of(lake, &workspace_id).await?;
    let since = before.since(options.since, now);

    let mut gathered = Gathered::new(client, redactor);
    gathered.list(Runs::Active, |count| told(Progress::Listing(count))).await?;
    let active: BTreeSet<Id> = gathered.listed().map(|run| run.id.clone()).collect();
    gathered.list(Runs::Since(since), |count| told(Progress::Listing(active.len() + count))).await?;
    let (watched, not_asked_about) = watched(lake, &workspace_id, &before, &gathered, now).await?;
    gathered.get(watched, |count| told(Progress::Looking(count))).await?;

    let earliest = gathered.listed().map(|run| run.started_at).min().unwrap_or(since);
    let recorded = recorded_runs(lake, &workspace_id, earliest).await?;
    let news = sweep::news(gathered.listed(), &recorded);
    let wanted: BTreeSet<Id> = news
        .iter()
        .filter(|seen| gathered.may_hold_failures(&seen.run_id) || recorded.contains_key(&seen.run_id))
        .map(|seen| seen.run_id.clone())
        .collect();
    let incidents = if wanted.is_empty() { BTreeMap::new() } else { recorded_incidents(lake).await? };
    let first_swept_at = before.first_swept_at.unwrap_or(now);
    let nothing = BTreeMap::new();
    let known = Known { workspace: &workspace, recorded: &incidents, outputs: &nothing, first_swept_at, now };
    gathered.examine(&wanted, &recorded, &known, |count| told(Progress::Looking(count))).await?;
    let known = Known { outputs: gathered.outputs(), ..known };
    let Decided { openings, notes } = sweep::decide(&Cases::of(gathered.examined()), &known);
    let settings = gathered.settings(&openings).await;
    let openings: Vec<Opening> = openings
        .into_iter()
        .map(|opening| match settings.get(&opening.job_id) {
            Some(settings) => sweep::with_settings(opening, settings, now),
            None => opening,
        })
        .collect();

    told(Progress::Recording);
    let mut swept = Swept {
        workspace_id,
        since,
        until: now,
        first: before.last.is_none(),
        runs: counts(gathered.listed()),
        news: news.len(),
        missing_outputs: gathered.missing_outputs(),
        told_with: None,
        not_asked_about,
        incidents: Vec::new(),
        added: Vec::new(),
        left: gathered.untimed().map(|run| Left { run_id: run.clone(), reason: UNTIMED.into() }).collect(),
    };
    let last_told = before.last.as_ref().and_then(|(_, last)| last.told);
    let cool_down = lake.context.policy.cool_down(Trigger::AccessIssue);
    let recording = Recording { ledger, gathered: &gathered, redactor, now };
    let mut told_with = last_told.filter(|told| told.holds(now, cool_down));
    let mut new = recording.open(openings, &mut told_with, &mut swept).await?;
    new.extend(recording.add(notes, &mut swept).await?);
    let told_last = told_with.or(last_told);
    let under_way = gathered.under_way();
    new.extend(record_runs(lake, ledger, before, &swept, &gathered, under_way, news, told_last, earliest).await?);
    let followed = consequences(lake, ledger, &new).await?;
    Ok((swept, followed))
}

/// The id of the workspace: as it says itself, and not another than was given.
async fn workspace_id(client: &Client, given: Option<&Id>) -> Result<Id, OpsError> {
    let refuse = |message: String| {
        OpsError::Refused(Refusal { message, hint: "look at DATABRICKS_HOST, and at --workspace-id".into() })
    };
    if let Some(given) = given.filter(|given| given.as_str().len() > MAX_WORKSPACE_ID) {
        return Err(refuse(format!("{} is not the id of a workspace", given.as_str().escape_debug())));
    }
    let said = match client.workspace_id().await {
        // Who is given an id asks the workspace only to be sure.
        Err(_) if given.is_some() => None,
        said => said?,
    };
    match (said, given) {
        (Some(said), Some(given)) if said != given.as_str() => {
            Err(refuse(format!("the workspace is {}, not {}", said.escape_debug(), given.as_str().escape_debug())))
        }
        (_, Some(given)) => Ok(given.clone()),
        (Some(said), None) => match Id::new(said) {
            Ok(id) if id.as_str().len() <= MAX_WORKSPACE_ID => Ok(id),
            _ => Err(OpsError::NoWorkspaceId),
        },
        (None, None) => Err(OpsError::NoWorkspaceId),
    }
}

/// Runs that no list told of: those that were under way at the last sweep, and those that may have been repaired. Also how many
/// there are beyond what is asked about.
async fn watched(
    lake: &Lake,
    workspace: &Id,
    before: &Before,
    gathered: &Gathered<'_>,
    now: Timestamp,
) -> Result<(Vec<Id>, usize), OpsError> {
    let mut watched: Vec<Id> = before.last.iter().flat_map(|(_, last)| last.active.clone()).collect();
    let recent = now.plus(-REPAIRED_WITHIN);
    let runs = recorded_runs(lake, workspace, recent).await?;
    let mut repairable: Vec<&RecordedRun> = runs
        .values()
        .filter(|run| run.may_change() && run.ended_at.is_some_and(|at| at >= recent) && !gathered.has(&run.run_id))
        .collect();
    repairable.sort_by_key(|run| std::cmp::Reverse(run.ended_at));
    let left = repairable.len().saturating_sub(MAX_WATCHED);
    watched.extend(repairable.into_iter().take(MAX_WATCHED).map(|run| run.run_id.clone()));
    watched.retain(|run| !gathered.has(run));
    watched.sort_unstable();
    watched.dedup();
    Ok((watched, left))
}

fn counts<'a>(runs: impl Iterator<Item = &'a Run>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for run in runs {
        *counts.entry(run.outcome().as_str()).or_default() += 1;
    }
    counts
}

/// What findings are recorded with.
struct Recording<'a> {
    ledger: &'a Ledger,
    gathered: &'a Gathered<'a>,
    redactor: &'a Redactor,
    now: Timestamp,
}

impl Recording<'_> {
    /// Opens incidents. Returns the new rows.
    ///
    /// Of those in which outputs may not be read people are told with one, `told_with`; the first of them unless there is one.
    /// It is recorded before the others, so that nothing is silent because of an incident that is not there.
    async fn open(
        &self,
        openings: Vec<Opening>,
        told_with: &mut Option<Told>,
        swept: &mut Swept,
    ) -> Result<Vec<u64>, OpsError> {
        let (denied, others): (Vec<Opening>, Vec<Opening>) =
            openings.into_iter().partition(Opening::is_told_with_others);
        swept.told_with = told_with.filter(|_| !denied.is_empty()).map(|told| told.incident_id);
        let mut new = Vec::new();
        let mut denied = denied.into_iter();
        while told_with.is_none()
            && let Some(first) = denied.next()
        {
            let case = first.case.clone();
            new.extend(self.open_all(vec![first], None, swept).await?);
            let opened = swept.incidents.iter().find(|found| found.run_id == case);
            swept.told_with = opened.map(|found| found.incident_id);
            *told_with = swept.told_with.map(|incident_id| Told { incident_id, at: self.now });
        }
        new.extend(self.open_all(denied.collect(), swept.told_with, swept).await?);
        new.extend(self.open_all(others, None, swept).await?);
        swept.incidents.sort_by_key(|found| found.incident_id);
        Ok(new)
    }

    async fn open_all(
        &self,
        openings: Vec<Opening>,
        told_with: Option<IncidentId>,
        swept: &mut Swept,
    ) -> Result<Vec<u64>, OpsError> {
        let mut new = Vec::new();
        let mut submissions = Vec::new();
        for found in openings {
            let prepared = serde_json::to_vec(&found.report).map_err(|error| error.to_string()).and_then(|bytes| {
                prepare(&bytes, self.redactor, self.now, Interface::Sweep).map_err(|problems| said(&problems))
            });
            match prepared {
                Ok(submission) => {
                    let mut submission = with_redactions(opening(submission), self.gathered, &found.case);
                    if let Request::OpenIncident(report) = &mut submission.request {
                        report.told_with = told_with;
                    }
                    submissions.push((found, submission));
                }
                Err(reason) => swept.left.push(Left { run_id: found.case, reason }),
            }
        }
        for (found, outcome) in submit(self.ledger, submissions).await? {
            match outcome {
                Ok(Recorded { receipt, known, .. }) => {
                    let Some(incident_id) = receipt.incident_id else { continue };
                    if !known {
                        new.push(receipt.seq);
                    }
                    swept.incidents.push(Found {
                        incident_id,
                        run_id: found.case,
                        job_id: found.job_id,
                        title: found.report.incident.title,
                        outcome: found.outcome,
                        known,
                    });
                }
                Err(reason) => swept.left.push(Left { run_id: found.case, reason }),
            }
        }
        Ok(new)
    }

    /// Adds to incidents, also to those that were opened just now. Returns the new rows.
    async fn add(&self, notes: Vec<Note>, swept: &mut Swept) -> Result<Vec<u64>, OpsError> {
        let mut new = Vec::new();
        let mut submissions = Vec::new();
        for note in notes {
            let place = match &note.to {
                Place::Incident(incident) => Some(*incident),
                Place::Case(case) => {
                    swept.incidents.iter().find(|found| found.run_id == *case).map(|found| found.incident_id)
                }
            };
            // Its incident could not be opened, which is told.
            let Some(incident_id) = place else { continue };
            match step(&note, incident_id, self.redactor, self.now) {
                Ok(submission) => {
                    let submission = with_redactions(submission, self.gathered, &note.case);
                    submissions.push(((note, incident_id), submission));
                }
                Err(problems) => swept.left.push(Left { run_id: note.case, reason: said(&problems) }),
            }
        }
        for ((note, incident_id), outcome) in submit(self.ledger, submissions).await? {
            match outcome {
                Ok(recorded) if !recorded.known => {
                    new.push(recorded.receipt.seq);
                    swept.added.push(Added { incident_id, run_id: note.case, message: note.message });
                }
                Ok(_) => {}
                Err(reason) => swept.left.push(Left { run_id: note.case, reason }),
            }
        }
        Ok(new)
    }
}

fn step(note: &Note, incident_id: IncidentId, redactor: &Redactor, now: Timestamp) -> Result<Submission, Vec<Problem>> {
    let actor = Id::new(ACTOR).map_err(|why| vec![super::unrepresentable(why)])?;
    let (message, evidence) = (note.message.clone(), note.evidence.clone());
    let (at, request_id, tool) = (Some(note.at), Some(note.request_id.clone()), None);
    if note.is_healing {
        let result = RemediationResult::Success;
        let step = RecordVerification { incident_id, message, result, tool, evidence, actor, at, request_id };
        prepare_step(step, redactor, now, Interface::Sweep)
    } else {
        let kind = LogKind::Discover;
        let step = LogEvent { incident_id, message, kind, tool, evidence, actor, at, request_id };
        prepare_step(step, redactor, now, Interface::Sweep)
    }
}

fn said(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What was redacted in the runs before they were looked at counts too.
fn with_redactions(mut submission: Submission, gathered: &Gathered<'_>, case: &Id) -> Submission {
    submission.redactions.add(&gathered.redactions(case));
    submission
}

/// Submits all at once; what is not legal as things stand is an outcome.
async fn submit<T>(
    ledger: &Ledger,
    submissions: Vec<(T, Submission)>,
) -> Result<Vec<(T, Result<Recorded, String>)>, OpsError> {
    futures::stream::iter(submissions)
        .map(|(what, submission)| async move {
            match ledger.submit(submission).await {
                Ok(recorded) => Ok((what, Ok(recorded))),
                Err(error) if matches!(*error, LakeError::Refused(_) | LakeError::NoIncident(_)) => {
                    Ok((what, Err(error.to_string())))
                }
                Err(error) => Err(OpsError::Commit(error)),
            }
        })
        .buffered(super::IN_FLIGHT)
        .try_collect()
        .await
}

/// Records the runs that are news, and up to when the workspace is swept. Nothing when there are none. Returns the new rows.
#[expect(clippy::too_many_arguments, reason = "all of it goes into one request")]
async fn record_runs(
    lake: &Lake,
    ledger: &Ledger,
    mut before: Before,
    swept: &Swept,
    gathered: &Gathered<'_>,
    active: Vec<Id>,
    mut news: Vec<SeenRun>,
    told: Option<Told>,
    earliest: Timestamp,
) -> Result<Vec<u64>, OpsError> {
    let mut new = Vec::new();
    'anew: for _ in 0..MAX_ROUNDS {
        // What was under way and is not any more is news itself; so is nothing lost by writing nothing.
        if news.is_empty() && before.last.is_some() {
            return Ok(new);
        }
        let mut follows = before.last.as_ref().map(|(seq, _)| *seq);
        let mut based_on = before.head;
        let rows: Vec<&[SeenRun]> = if news.is_empty() { vec![&[]] } else { news.chunks(RUNS_IN_ROW).collect() };
        for (place, runs) in rows.iter().enumerate() {
            let request = RecordJobRuns {
                actor: Id::new(ACTOR).map_err(LakeError::Corrupt)?,
                workspace_id: swept.workspace_id.clone(),
                since: swept.since,
                until: swept.until,
                more: place + 1 < rows.len(),
                based_on,
                follows,
                told,
                active: active.clone(),
                runs: runs.to_vec(),
            };
            match ledger.submit(submission(request, gathered.all_redactions())?).await {
                Ok(recorded) => {
                    if !recorded.known {
                        new.push(recorded.receipt.seq);
                    }
                    follows = Some(recorded.receipt.seq);
                    based_on = recorded.receipt.seq;
                }
                Err(error) if matches!(*error, LakeError::Outdated) => {
                    before = Before::of(lake, &swept.workspace_id).await?;
                    let recorded = recorded_runs(lake, &swept.workspace_id, earliest).await?;
                    news = sweep::news(gathered.listed(), &recorded);
                    continue 'anew;
                }
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(new);
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

/// The id follows from what was found and what stood there before: whoever finds the same sends the same.
fn submission(request: RecordJobRuns, redactions: Redactions) -> Result<Submission, OpsError> {
    let text = canonical(&(request.follows, &request.runs)).map_err(LakeError::from)?;
    let id = format!("sweep-{}-runs-{}", request.workspace_id, &sha256_hex(text)[..32]);
    let request_id = Id::new(id).map_err(LakeError::Corrupt)?;
    let size = canonical(&request).map_err(LakeError::from)?.len();
    Ok(Submission {
        request_id,
        request: Request::RecordJobRuns(Box::new(request)),
        redactions,
        interface: Interface::Sweep,
        size,
    })
}
