//! Sweeps a workspace for failed job runs. Runs are gathered, the domain decides, then the results are recorded: incidents,
//! additions to them, and the runs last, so that a sweep after a crash repeats the missing steps.

mod gather;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use super::{Consequences, OpsError, consequences, opening, prepare, prepare_step, settle};
use crate::{
    analytics::engine::Engine,
    databricks::{Client, runs::RunSelection},
    domain::{
        entry::{Entry, RecordJobRuns, Request, canonical},
        escalation::trigger::Trigger,
        ids::{Id, IncidentId, sha256_hex},
        incident::{Refusal, timeline::LogKind},
        interface::Interface,
        problems::Problem,
        redact::{Redactions, Redactor},
        remediation::RemediationResult,
        report::Workspace,
        run::Run,
        steps::{LogEvent, RecordVerification},
        sweep::{
            self, ACTOR, AddedNote, Cases, EndedRun, IncidentNote, NewIncident, NoteTarget, OutputAccessAlert,
            RecordedRun, SkippedRun, SweepContext, SweepPlan, SweepResult, SweptIncident,
        },
        time::{Since, Timestamp},
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Submission, SubmissionResult},
    },
    tables::catalog::AUDIT_LOG,
};
use gather::GatheredRuns;

/// The time range of the first sweep of a workspace.
pub const FIRST_SWEEP_RANGE: TimeDelta = TimeDelta::days(7);
/// The overlap with the previous sweep: clocks differ, and a list may be delayed.
pub const OVERLAP: TimeDelta = TimeDelta::hours(1);
/// How long a run that did not succeed is checked again, because it may be repaired.
pub const REPAIR_WINDOW: TimeDelta = TimeDelta::hours(48);
/// Maximum number of these runs in one sweep, the latest first.
const MAX_REPAIRABLE: usize = 200;
/// Concurrent requests to the workspace.
const REQUESTS_IN_FLIGHT: usize = 8;
/// Maximum number of runs in one row of the ledger.
const RUNS_IN_ROW: usize = 2_000;
/// How often the new runs are computed again after a conflict with a concurrent sweep.
const MAX_RETRIES: u32 = 20;
/// Maximum length of a workspace's id.
const MAX_WORKSPACE_ID: usize = 64;

/// The reason for skipping a run without times.
const UNTIMED: &str = "the workspace returns no start time of the run or its tasks; check the run there";

/// The parameters of a sweep.
#[derive(Debug, Clone, Default)]
pub struct SweepOptions {
    /// The start of the time range. It always reaches back to the last sweep.
    pub since: Option<Since>,
    /// The id of the workspace. `None`: taken from its responses.
    pub workspace_id: Option<Id>,
}

/// The progress of a sweep, with the number of items so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepProgress {
    Listing(usize),
    /// Reads earlier runs that may have changed, and the details of failures.
    Examining(usize),
    Recording,
}

/// The earlier sweeps of a workspace.
#[derive(Debug)]
struct SweepHistory {
    /// The ledger's last row.
    head: u64,
    first_swept_at: Option<Timestamp>,
    last: Option<(u64, RecordJobRuns)>,
}

impl SweepHistory {
    async fn of(lake: &Lake, workspace: &Id) -> Result<Self, OpsError> {
        #[derive(Deserialize)]
        struct SweepRows {
            first: Option<u64>,
            last: Option<u64>,
        }
        let table = lake.table(AUDIT_LOG);
        let log = table.newest_log().await?;
        let head = ledger::head(&table, &log).await?.chain.seq;
        settle(lake).await?;
        let of = [("workspace".into(), workspace.as_str().into())];
        let ends = Engine::Local(lake).rows::<SweepRows>(FIRST_AND_LAST_SWEEP, &of).await?.pop();
        let read = async |seq: Option<u64>| -> Result<Option<(u64, RecordJobRuns)>, OpsError> {
            let Some(seq) = seq else { return Ok(None) };
            let log = table.newest_log().await?;
            let found = ledger::entries(&table, &log, seq - 1, seq).await?.pop();
            let damaged = || LakeError::Corrupt(format!("row {seq} does not record job runs"));
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

    /// Returns the start of the time range in which runs are listed.
    fn since(&self, given: Option<Since>, now: Timestamp) -> Timestamp {
        let given = given.map(|since| since.before(now));
        match &self.last {
            None => given.unwrap_or_else(|| now.plus(-FIRST_SWEEP_RANGE)),
            Some((_, last)) => {
                let needed = if last.more { last.since } else { last.until.plus(-OVERLAP) };
                given.map_or(needed, |given| given.min(needed))
            }
        }
    }
}

const FIRST_AND_LAST_SWEEP: &str = "SELECT min(seq) AS first, max(seq) AS last FROM audit_log \
                    WHERE request_kind = 'record_job_runs' AND workspace_id = :workspace";

/// Reads the latest record of each run that started or ended at `since` or later.
async fn recorded_runs(lake: &Lake, workspace: &Id, since: Timestamp) -> Result<BTreeMap<Id, RecordedRun>, OpsError> {
    let parameters = [("workspace".into(), workspace.as_str().into()), ("since".into(), since.into())];
    let rows: Vec<RecordedRun> = Engine::Local(lake).rows(RUNS, &parameters).await?;
    Ok(rows.into_iter().map(|run| (run.run_id.clone(), run)).collect())
}

const RUNS: &str = "SELECT run_id, ended_at, result_state, termination_code, retried_tasks FROM job_runs \
                    WHERE workspace_id = :workspace AND (started_at >= :since OR ended_at >= :since) \
                    ORDER BY seq NULLS FIRST";

/// Reads the incidents that sweeps recorded, by request id.
async fn recorded_incidents(lake: &Lake) -> Result<BTreeMap<String, IncidentId>, OpsError> {
    #[derive(Deserialize)]
    struct IncidentRow {
        request_id: String,
        incident_id: IncidentId,
    }
    let rows: Vec<IncidentRow> = Engine::Local(lake).rows(INCIDENTS, &[]).await?;
    Ok(rows.into_iter().map(|row| (row.request_id, row.incident_id)).collect())
}

const INCIDENTS: &str =
    "SELECT request_id, incident_id FROM audit_log WHERE interface = 'sweep' AND incident_id IS NOT NULL";

/// Sweeps a workspace and records what it finds.
///
/// # Errors
/// [`OpsError`]. Requests that were recorded before the error stay recorded; the next sweep continues from there.
pub async fn sweep(
    lake: &Lake,
    client: &Client,
    ledger: &Ledger,
    options: &SweepOptions,
    redactor: &Redactor,
    progress: impl Fn(SweepProgress),
) -> Result<(SweepResult, Consequences), OpsError> {
    let now = lake.context.now();
    let workspace_id = workspace_id(client, options.workspace_id.as_ref()).await?;
    let workspace = Workspace { id: workspace_id.clone(), url: Some(client.workspace().to_string()) };
    let history = SweepHistory::of(lake, &workspace_id).await?;
    let since = history.since(options.since, now);

    let mut gathered = GatheredRuns::new(client, redactor);
    gathered.list(RunSelection::Active, |count| progress(SweepProgress::Listing(count))).await?;
    let active: BTreeSet<Id> = gathered.listed().map(|run| run.id.clone()).collect();
    gathered.list(RunSelection::Since(since), |count| progress(SweepProgress::Listing(active.len() + count))).await?;
    let (runs_to_recheck, not_asked_about) = runs_to_recheck(lake, &workspace_id, &history, &gathered, now).await?;
    gathered.get(runs_to_recheck, |count| progress(SweepProgress::Examining(count))).await?;

    let earliest = gathered.listed().map(|run| run.started_at).min().unwrap_or(since);
    let recorded = recorded_runs(lake, &workspace_id, earliest).await?;
    let news = sweep::unrecorded_runs(gathered.listed(), &recorded);
    let wanted: BTreeSet<Id> = news
        .iter()
        .filter(|seen| gathered.may_hold_failures(&seen.run_id) || recorded.contains_key(&seen.run_id))
        .map(|seen| seen.run_id.clone())
        .collect();
    let incidents = if wanted.is_empty() { BTreeMap::new() } else { recorded_incidents(lake).await? };
    let first_swept_at = history.first_swept_at.unwrap_or(now);
    let nothing = BTreeMap::new();
    let known = SweepContext { workspace: &workspace, recorded: &incidents, outputs: &nothing, first_swept_at, now };
    gathered.examine(&wanted, &recorded, &known, |count| progress(SweepProgress::Examining(count))).await?;
    let known = SweepContext { outputs: gathered.outputs(), ..known };
    let SweepPlan { openings, notes } = sweep::decide(&Cases::of(gathered.examined()), &known);
    let settings = gathered.settings(&openings).await;
    let openings: Vec<NewIncident> = openings
        .into_iter()
        .map(|opening| match settings.get(&opening.job_id) {
            Some(settings) => sweep::with_settings(opening, settings, now),
            None => opening,
        })
        .collect();

    progress(SweepProgress::Recording);
    let mut swept = SweepResult {
        workspace_id,
        since,
        until: now,
        first: history.last.is_none(),
        runs: counts(gathered.listed()),
        news: news.len(),
        missing_outputs: gathered.missing_outputs(),
        told_with: None,
        not_asked_about,
        incidents: Vec::new(),
        added: Vec::new(),
        left: gathered.untimed().map(|run| SkippedRun { run_id: run.clone(), reason: UNTIMED.into() }).collect(),
    };
    let last_alert = history.last.as_ref().and_then(|(_, last)| last.told);
    let cool_down = lake.context.policy.cool_down(Trigger::AccessIssue);
    let recording = SweepRecorder { ledger, gathered: &gathered, redactor, now };
    let mut told_with = last_alert.filter(|alert| alert.holds(now, cool_down));
    let mut new = recording.open(openings, &mut told_with, &mut swept).await?;
    new.extend(recording.add(notes, &mut swept).await?);
    let newest_alert = told_with.or(last_alert);
    let active_runs = gathered.active_runs();
    new.extend(record_runs(lake, ledger, history, &swept, &gathered, active_runs, news, newest_alert, earliest).await?);
    let followed = consequences(lake, ledger, &new).await?;
    Ok((swept, followed))
}

/// Returns the id of the workspace from its responses. A `given` id must be equal.
async fn workspace_id(client: &Client, given: Option<&Id>) -> Result<Id, OpsError> {
    let refuse = |message: String| {
        OpsError::Refused(Refusal { message, hint: "check DATABRICKS_HOST and --workspace-id".into() })
    };
    if let Some(given) = given.filter(|given| given.as_str().len() > MAX_WORKSPACE_ID) {
        return Err(refuse(format!("{} is not the id of a workspace", given.as_str().escape_debug())));
    }
    let reported_id = match client.workspace_id().await {
        // With a given id the request is only a check, so its error is ignored.
        Err(_) if given.is_some() => None,
        reported_id => reported_id?,
    };
    match (reported_id, given) {
        (Some(reported_id), Some(given)) if reported_id != given.as_str() => Err(refuse(format!(
            "the workspace is {}, not {}",
            reported_id.escape_debug(),
            given.as_str().escape_debug()
        ))),
        (_, Some(given)) => Ok(given.clone()),
        (Some(reported_id), None) => match Id::new(reported_id) {
            Ok(id) if id.as_str().len() <= MAX_WORKSPACE_ID => Ok(id),
            _ => Err(OpsError::NoWorkspaceId),
        },
        (None, None) => Err(OpsError::NoWorkspaceId),
    }
}

/// Returns unlisted runs to check again: runs that were active at the last sweep, and failed runs that may have been
/// repaired. Also returns the number of runs beyond the maximum.
async fn runs_to_recheck(
    lake: &Lake,
    workspace: &Id,
    history: &SweepHistory,
    gathered: &GatheredRuns<'_>,
    now: Timestamp,
) -> Result<(Vec<Id>, usize), OpsError> {
    let mut runs_to_recheck: Vec<Id> = history.last.iter().flat_map(|(_, last)| last.active.clone()).collect();
    let recent = now.plus(-REPAIR_WINDOW);
    let runs = recorded_runs(lake, workspace, recent).await?;
    let mut repairable: Vec<&RecordedRun> = runs
        .values()
        .filter(|run| run.may_change() && run.ended_at.is_some_and(|at| at >= recent) && !gathered.has(&run.run_id))
        .collect();
    repairable.sort_by_key(|run| std::cmp::Reverse(run.ended_at));
    let left = repairable.len().saturating_sub(MAX_REPAIRABLE);
    runs_to_recheck.extend(repairable.into_iter().take(MAX_REPAIRABLE).map(|run| run.run_id.clone()));
    runs_to_recheck.retain(|run| !gathered.has(run));
    runs_to_recheck.sort_unstable();
    runs_to_recheck.dedup();
    Ok((runs_to_recheck, left))
}

fn counts<'a>(runs: impl Iterator<Item = &'a Run>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for run in runs {
        *counts.entry(run.outcome().as_str()).or_default() += 1;
    }
    counts
}

/// Records the results of a sweep.
struct SweepRecorder<'a> {
    ledger: &'a Ledger,
    gathered: &'a GatheredRuns<'a>,
    redactor: &'a Redactor,
    now: Timestamp,
}

impl SweepRecorder<'_> {
    /// Opens incidents. Returns the new rows.
    ///
    /// Incidents whose only problem is access to outputs share one alert, that of `told_with`; without one, the first of them
    /// fires it. It is recorded before the others, so that they never refer to an incident that does not exist.
    async fn open(
        &self,
        openings: Vec<NewIncident>,
        told_with: &mut Option<OutputAccessAlert>,
        swept: &mut SweepResult,
    ) -> Result<Vec<u64>, OpsError> {
        let (denied, others): (Vec<NewIncident>, Vec<NewIncident>) =
            openings.into_iter().partition(NewIncident::needs_only_output_access);
        swept.told_with = told_with.filter(|_| !denied.is_empty()).map(|alert| alert.incident_id);
        let mut new = Vec::new();
        let mut denied = denied.into_iter();
        while told_with.is_none()
            && let Some(first) = denied.next()
        {
            let case = first.case.clone();
            new.extend(self.open_all(vec![first], None, swept).await?);
            let opened = swept.incidents.iter().find(|found| found.run_id == case);
            swept.told_with = opened.map(|found| found.incident_id);
            *told_with = swept.told_with.map(|incident_id| OutputAccessAlert { incident_id, at: self.now });
        }
        new.extend(self.open_all(denied.collect(), swept.told_with, swept).await?);
        new.extend(self.open_all(others, None, swept).await?);
        swept.incidents.sort_by_key(|found| found.incident_id);
        Ok(new)
    }

    async fn open_all(
        &self,
        openings: Vec<NewIncident>,
        told_with: Option<IncidentId>,
        swept: &mut SweepResult,
    ) -> Result<Vec<u64>, OpsError> {
        let mut new = Vec::new();
        let mut submissions = Vec::new();
        for found in openings {
            let prepared = serde_json::to_vec(&found.report).map_err(|error| error.to_string()).and_then(|bytes| {
                prepare(&bytes, self.redactor, self.now, Interface::Sweep).map_err(|problems| join_problems(&problems))
            });
            match prepared {
                Ok(submission) => {
                    let mut submission = with_redactions(opening(submission), self.gathered, &found.case);
                    if let Request::OpenIncident(report) = &mut submission.request {
                        report.told_with = told_with;
                    }
                    submissions.push((found, submission));
                }
                Err(reason) => swept.left.push(SkippedRun { run_id: found.case, reason }),
            }
        }
        for (found, outcome) in submit(self.ledger, submissions).await? {
            match outcome {
                Ok(SubmissionResult { receipt, known, .. }) => {
                    let Some(incident_id) = receipt.incident_id else { continue };
                    if !known {
                        new.push(receipt.seq);
                    }
                    swept.incidents.push(SweptIncident {
                        incident_id,
                        run_id: found.case,
                        job_id: found.job_id,
                        title: found.report.incident.title,
                        outcome: found.outcome,
                        known,
                    });
                }
                Err(reason) => swept.left.push(SkippedRun { run_id: found.case, reason }),
            }
        }
        Ok(new)
    }

    /// Adds notes to incidents, including the ones that were just opened. Returns the new rows.
    async fn add(&self, notes: Vec<IncidentNote>, swept: &mut SweepResult) -> Result<Vec<u64>, OpsError> {
        let mut new = Vec::new();
        let mut submissions = Vec::new();
        for note in notes {
            let place = match &note.to {
                NoteTarget::Incident(incident) => Some(*incident),
                NoteTarget::Case(case) => {
                    swept.incidents.iter().find(|found| found.run_id == *case).map(|found| found.incident_id)
                }
            };
            // Its incident could not be opened, which is reported already.
            let Some(incident_id) = place else { continue };
            match step(&note, incident_id, self.redactor, self.now) {
                Ok(submission) => {
                    let submission = with_redactions(submission, self.gathered, &note.case);
                    submissions.push(((note, incident_id), submission));
                }
                Err(problems) => swept.left.push(SkippedRun { run_id: note.case, reason: join_problems(&problems) }),
            }
        }
        for ((note, incident_id), outcome) in submit(self.ledger, submissions).await? {
            match outcome {
                Ok(recorded) if !recorded.known => {
                    new.push(recorded.receipt.seq);
                    swept.added.push(AddedNote { incident_id, run_id: note.case, message: note.message });
                }
                Ok(_) => {}
                Err(reason) => swept.left.push(SkippedRun { run_id: note.case, reason }),
            }
        }
        Ok(new)
    }
}

fn step(
    note: &IncidentNote,
    incident_id: IncidentId,
    redactor: &Redactor,
    now: Timestamp,
) -> Result<Submission, Vec<Problem>> {
    let actor = Id::new(ACTOR).map_err(|why| vec![super::unrepresentable(why)])?;
    let (message, evidence) = (note.message.clone(), note.evidence.clone());
    let (at, request_id, tool) = (Some(note.at), Some(note.request_id.clone()), None);
    if note.is_recovery {
        let result = RemediationResult::Success;
        let step = RecordVerification { incident_id, message, result, tool, evidence, actor, at, request_id };
        prepare_step(step, redactor, now, Interface::Sweep)
    } else {
        let kind = LogKind::Discover;
        let step = LogEvent { incident_id, message, kind, tool, evidence, actor, at, request_id };
        prepare_step(step, redactor, now, Interface::Sweep)
    }
}

fn join_problems(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Adds the redactions in the runs of a case.
fn with_redactions(mut submission: Submission, gathered: &GatheredRuns<'_>, case: &Id) -> Submission {
    submission.redactions.add(&gathered.redactions(case));
    submission
}

/// Submits all requests concurrently. A refused request is a result, not an error.
async fn submit<T>(
    ledger: &Ledger,
    submissions: Vec<(T, Submission)>,
) -> Result<Vec<(T, Result<SubmissionResult, String>)>, OpsError> {
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

/// Records the new runs and the end of the swept time range. Records nothing without new runs. Returns the new rows.
#[expect(clippy::too_many_arguments, reason = "all of it goes into one request")]
async fn record_runs(
    lake: &Lake,
    ledger: &Ledger,
    mut history: SweepHistory,
    swept: &SweepResult,
    gathered: &GatheredRuns<'_>,
    active: Vec<Id>,
    mut news: Vec<EndedRun>,
    alert: Option<OutputAccessAlert>,
    earliest: Timestamp,
) -> Result<Vec<u64>, OpsError> {
    let mut new = Vec::new();
    'retry: for _ in 0..MAX_RETRIES {
        // A run that is no longer active counts as new, so no information is lost.
        if news.is_empty() && history.last.is_some() {
            return Ok(new);
        }
        let mut follows = history.last.as_ref().map(|(seq, _)| *seq);
        let mut based_on = history.head;
        let rows: Vec<&[EndedRun]> = if news.is_empty() { vec![&[]] } else { news.chunks(RUNS_IN_ROW).collect() };
        for (place, runs) in rows.iter().enumerate() {
            let request = RecordJobRuns {
                actor: Id::new(ACTOR).map_err(LakeError::Corrupt)?,
                workspace_id: swept.workspace_id.clone(),
                since: swept.since,
                until: swept.until,
                more: place + 1 < rows.len(),
                based_on,
                follows,
                told: alert,
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
                Err(error) if matches!(*error, LakeError::Stale) => {
                    history = SweepHistory::of(lake, &swept.workspace_id).await?;
                    let recorded = recorded_runs(lake, &swept.workspace_id, earliest).await?;
                    news = sweep::unrecorded_runs(gathered.listed(), &recorded);
                    continue 'retry;
                }
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(new);
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_RETRIES }.into())
}

/// Returns the request. Its id is derived from the runs and the row before, so that concurrent sweeps send the same id.
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
