//! Checks the jobs of a workspace against the compliance rules and records changes. The domain decides; the ledger records
//! every change once, also if several checks run concurrently.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Consequences, IN_FLIGHT, OpsError, consequences, prepare, rows, settle};
use crate::{
    databricks::{Client, error::ApiError, jobs},
    domain::{
        check::{CheckStatus, Severity},
        compliance::{
            self, CheckedJob, RuleFinding, evaluate,
            plan::{CompliancePlan, GapIncident, PlanContext, RecordedCheck, RecordedJob, plan},
            result::{ComplianceResult, ExemptJob, JobChange, UnreadJob, failing},
            rule::JobRule,
        },
        entry::{Request, canonical},
        ids::{Id, IncidentId},
        incident::{Refusal, classification::Status},
        interface::Interface,
        redact::{Redactions, Redactor},
        report::Workspace,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Submission},
    },
    tables::catalog::AUDIT_LOG,
};

/// How often plans are computed again after a conflict with a concurrent check.
const MAX_ROUNDS: u32 = 20;
/// In so many first rounds a refused request is treated as a conflict.
const REFUSED_ROUNDS: u32 = 3;
/// Concurrent requests to the workspace. Its rate limits are per user and shared with other programs.
const REQUESTS_IN_FLIGHT: usize = 8;

/// Which jobs to check.
#[derive(Debug, Clone, Default)]
pub struct JobSelection {
    /// Ids of jobs. Empty: all jobs.
    pub jobs: Vec<u64>,
    /// The id of the workspace, if its responses do not contain it.
    pub workspace_id: Option<Id>,
}

/// Reports progress: the activity, the number done, and the total if it is known.
pub type ComplianceProgress<'a> = &'a (dyn Fn(&'static str, usize, Option<usize>) + Sync);

/// A job with everything that the rules evaluate, redacted.
#[derive(Debug)]
struct GatheredJob {
    id: u64,
    settings: Map<String, Value>,
    run_as: Option<String>,
    creator: Option<String>,
}

/// The jobs and clusters of a workspace, redacted.
#[derive(Debug, Default)]
struct GatheredWorkspace {
    jobs: Vec<GatheredJob>,
    unread: Vec<(u64, String)>,
    clusters: BTreeMap<String, Map<String, Value>>,
}

/// Checks jobs and records changes. Without a `ledger` nothing is recorded: the result shows what would be recorded.
///
/// # Errors
/// [`OpsError`]. Changes that were recorded before the error stay recorded; the next check continues from there. A single
/// job that cannot be read is not an error.
pub async fn check(
    lake: &Lake,
    client: &Client,
    ledger: Option<&Ledger>,
    selection: &JobSelection,
    redactor: &Redactor,
    progress: ComplianceProgress<'_>,
) -> Result<(ComplianceResult, Consequences), OpsError> {
    let workspace = workspace(client, selection.workspace_id.as_ref()).await?;
    let known = match ledger {
        Some(_) => {
            settle(lake).await?;
            recorded(lake, &workspace.id).await?
        }
        None => without_lake(recorded(lake, &workspace.id).await)?,
    };
    let gathered = gather(lake, client, selection, &known, redactor, progress).await?;
    let comply = &lake.context.policy.comply;
    let now = lake.context.now();
    let mut result =
        ComplianceResult { dry_run: ledger.is_none(), ..ComplianceResult::new(workspace.id.clone(), comply) };
    let mut examined: Vec<(&GatheredJob, Vec<RuleFinding>)> = Vec::new();
    for job in &gathered.jobs {
        let subject = job.subject(&gathered);
        let mut findings = evaluate(&subject, comply, now);
        for finding in &mut findings {
            finding.text = redactor.text(&finding.text).into_owned();
        }
        let exemptions = compliance::exemptions(&subject, comply);
        result.exempt.extend(exemptions.iter().map(|exempt| ExemptJob {
            job_id: job.id,
            name: job.name(),
            rules: exempt.rules.clone(),
            reason: exempt.reason.clone(),
        }));
        if !exemptions.iter().any(|exempt| exempt.is_whole()) {
            result.add(&findings);
        }
        examined.push((job, findings));
    }
    for (job_id, reason) in &gathered.unread {
        let gap = known.get(job_id).and_then(|known| known.gap).filter(|gap| gap.status != Status::Resolved);
        result.unread.push(UnreadJob { job_id: *job_id, reason: reason.clone(), incident_id: gap.map(|gap| gap.id) });
    }
    let mut new = Vec::new();
    for round in 0..MAX_ROUNDS {
        let based_on = match ledger {
            // Read before the queries: a concurrent change during the queries makes the requests stale.
            Some(_) => {
                ledger::head(&lake.table(AUDIT_LOG), &lake.table(AUDIT_LOG).newest_log().await?).await?.chain.seq
            }
            None => 0,
        };
        let known = if round == 0 && ledger.is_none() { &known } else { &recorded(lake, &workspace.id).await? };
        let basis = PlanContext { workspace: &workspace, based_on, comply, now: lake.context.now() };
        let mut plans = Vec::new();
        for (job, findings) in &examined {
            let fresh = RecordedJob::default();
            let before = known.get(&job.id).unwrap_or(&fresh);
            match plan(&job.subject(&gathered), findings, before, basis) {
                Ok(Some(plan)) => plans.push(PlannedJob::new(job, plan, before.gap, failing(findings))),
                Ok(None) => {}
                Err(reason) => return Err(LakeError::Corrupt(reason).into()),
            }
        }
        let Some(ledger) = ledger else {
            result.changes.extend(plans.iter().map(PlannedJob::change));
            break;
        };
        progress("recording", 0, Some(plans.len()));
        let conflict =
            record(ledger, &mut plans, redactor, lake, &mut result, &mut new, round < REFUSED_ROUNDS).await?;
        settle(lake).await?;
        if !conflict {
            new.sort_unstable();
            result.changes.sort_by_key(|change| (change.event, change.job_id));
            return Ok((result, consequences(lake, ledger, &new).await?));
        }
    }
    match ledger {
        None => Ok((result, Consequences::default())),
        Some(_) => Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into()),
    }
}

/// The plan of one job and the progress of recording it.
struct PlannedJob<'a> {
    job: &'a GatheredJob,
    plan: CompliancePlan,
    incident_id: Option<IncidentId>,
    failing: Vec<JobRule>,
    /// This check recorded some of the plan.
    ours: bool,
    /// The rest of the plan is not submitted, because of a conflict or a refusal.
    stopped: bool,
}

impl<'a> PlannedJob<'a> {
    fn new(job: &'a GatheredJob, plan: CompliancePlan, gap: Option<GapIncident>, failing: Vec<JobRule>) -> Self {
        Self { job, plan, incident_id: gap.map(|gap| gap.id), failing, ours: false, stopped: false }
    }

    fn change(&self) -> JobChange {
        JobChange {
            job_id: self.job.id,
            name: self.job.name(),
            event: self.plan.event,
            incident_id: self.incident_id,
            failing: self.failing.clone(),
        }
    }
}

impl GatheredJob {
    fn of(job: jobs::Job, redactor: &Redactor) -> Self {
        let text = |text: Option<String>| text.map(|text| redactor.text(&text).into_owned());
        Self {
            id: job.id,
            settings: redacted(job.settings, redactor),
            run_as: text(job.run_as),
            creator: text(job.creator),
        }
    }

    fn subject<'a>(&'a self, gathered: &'a GatheredWorkspace) -> CheckedJob<'a> {
        CheckedJob {
            id: self.id,
            settings: &self.settings,
            run_as: self.run_as.as_deref(),
            creator: self.creator.as_deref(),
            clusters: &gathered.clusters,
        }
    }

    fn name(&self) -> Option<String> {
        self.settings.get("name").and_then(Value::as_str).map(str::to_owned)
    }
}

/// Returns settings with secrets redacted.
pub(super) fn redacted(settings: Map<String, Value>, redactor: &Redactor) -> Map<String, Value> {
    let mut value = Value::Object(settings);
    redactor.value(&mut value);
    match value {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

/// Returns the workspace. Its responses contain its id; a `given` id must be equal.
pub(super) async fn workspace(client: &Client, given: Option<&Id>) -> Result<Workspace, OpsError> {
    let refuse = |message: String, hint: &str| OpsError::Refused(Refusal { message, hint: hint.to_owned() });
    let reported = client.workspace_id().await?.and_then(|id| Id::new(id).ok());
    let id = match (given, reported) {
        (Some(given), Some(reported)) if *given != reported => {
            let message = format!("the workspace at {} is {reported}, not {given}", client.workspace());
            return Err(refuse(message, "check DATABRICKS_HOST and --workspace-id"));
        }
        (Some(id), _) => id.clone(),
        (None, Some(id)) => id,
        (None, None) => {
            return Err(refuse("the workspace does not return its id".into(), "give it with --workspace-id"));
        }
    };
    Ok(Workspace { id, url: Some(client.workspace().to_string()) })
}

/// Reads everything that the rules examine. Jobs with an open incident that the list lacks are read by id.
async fn gather(
    lake: &Lake,
    client: &Client,
    selection: &JobSelection,
    known: &BTreeMap<u64, RecordedJob>,
    redactor: &Redactor,
    progress: ComplianceProgress<'_>,
) -> Result<GatheredWorkspace, OpsError> {
    let mut read: Vec<Result<jobs::Job, jobs::UnreadableJob>> = Vec::new();
    let mut wanted: Vec<u64> = selection.jobs.clone();
    if wanted.is_empty() {
        read = client.jobs(|count| progress("reading jobs", count, None)).await?;
        let listed: BTreeSet<u64> =
            read.iter().map(|job| job.as_ref().map_or_else(|unread| unread.id, |job| job.id)).collect();
        let open = |known: &RecordedJob| known.gap.is_some_and(|gap| gap.status != Status::Resolved);
        wanted = known.iter().filter(|(id, known)| !listed.contains(id) && open(known)).map(|(id, _)| *id).collect();
    }
    // A list of jobs may lack the identity that a job runs as.
    if lake.context.policy.comply.rule(JobRule::RunAs).enabled {
        let lacks_run_as = |job: &jobs::Job| job.run_as.is_none() && !job.settings.contains_key("run_as");
        let (incomplete, complete): (Vec<_>, Vec<_>) =
            read.into_iter().partition(|job| job.as_ref().is_ok_and(lacks_run_as));
        wanted.extend(incomplete.into_iter().filter_map(Result::ok).map(|job| job.id));
        read = complete;
    }
    wanted.sort_unstable();
    wanted.dedup();
    let total = wanted.len();
    let one_by_one = stream::iter(wanted).map(|id| client.readable_job(id)).buffered(REQUESTS_IN_FLIGHT).enumerate();
    let mut one_by_one = std::pin::pin!(one_by_one);
    while let Some((index, job)) = one_by_one.next().await {
        read.push(job?);
        progress("reading jobs one by one", index + 1, Some(total));
    }
    let mut gathered = GatheredWorkspace::default();
    for job in read {
        match job {
            Ok(job) => gathered.jobs.push(GatheredJob::of(job, redactor)),
            Err(jobs::UnreadableJob { id, error }) => {
                gathered.unread.push((id, redactor.text(&error.to_string()).into_owned()));
            }
        }
    }
    gathered.jobs.sort_by_key(|job| job.id);
    gathered.jobs.dedup_by_key(|job| job.id);
    let shared: BTreeSet<String> =
        gathered.jobs.iter().flat_map(|job| compliance::shared_clusters(&job.settings)).collect();
    let clusters = stream::iter(shared).map(|id| async move { readable_cluster(client, id).await });
    let clusters: Vec<_> = clusters.buffered(REQUESTS_IN_FLIGHT).try_collect().await?;
    let read = clusters.into_iter().flatten();
    gathered.clusters = read.map(|(id, settings)| (id, redacted(settings, redactor))).collect();
    Ok(gathered)
}

/// Reads a cluster. `None` if it does not exist or may not be read.
async fn readable_cluster(client: &Client, id: String) -> Result<Option<(String, Map<String, Value>)>, ApiError> {
    match client.cluster(&id).await {
        Ok(settings) => Ok(Some((id, settings))),
        Err(error) if error.concerns_every_request() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Submits the planned requests, those of one job in order. Returns whether a conflict occurred.
async fn record(
    ledger: &Ledger,
    plans: &mut [PlannedJob<'_>],
    redactor: &Redactor,
    lake: &Lake,
    result: &mut ComplianceResult,
    new: &mut Vec<u64>,
    may_repeat: bool,
) -> Result<bool, OpsError> {
    let mut conflict = false;
    let longest = plans.iter().map(|planned| planned.plan.requests.len()).max().unwrap_or(0);
    for step in 0..longest {
        let mut submissions = Vec::new();
        for planned in plans.iter_mut().filter(|planned| !planned.stopped) {
            let Some((request_id, request)) = planned.plan.requests.get(step).cloned() else { continue };
            match submission(request_id, request, redactor, lake) {
                Ok(submission) => submissions.push((planned, submission)),
                Err(reason) => {
                    planned.stopped = true;
                    result.unread.push(UnreadJob { job_id: planned.job.id, reason, incident_id: planned.incident_id });
                }
            }
        }
        let sent = stream::iter(submissions).map(|(planned, submission)| async move {
            let submitted = ledger.submit(submission).await;
            (planned, submitted)
        });
        let mut results = std::pin::pin!(sent.buffered(IN_FLIGHT));
        while let Some((planned, submitted)) = results.next().await {
            match submitted {
                Ok(recorded) => {
                    // The incident is known now, but was not when the plan was made: a concurrent check opened it.
                    if recorded.known && planned.incident_id.is_none() && recorded.receipt.incident_id.is_some() {
                        planned.stopped = true;
                        conflict = true;
                    }
                    planned.incident_id = recorded.receipt.incident_id.or(planned.incident_id);
                    if !recorded.known {
                        planned.ours = true;
                        new.push(recorded.receipt.seq);
                    }
                }
                Err(error) if matches!(*error, LakeError::Stale) || (may_repeat && is_refusal(&error)) => {
                    planned.stopped = true;
                    conflict = true;
                }
                // For example, the incident was closed at a time in the future.
                Err(error) if is_refusal(&error) => {
                    planned.stopped = true;
                    let (job_id, reason) = (planned.job.id, error.to_string());
                    result.unread.push(UnreadJob { job_id, reason, incident_id: planned.incident_id });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    result.changes.extend(plans.iter().filter(|planned| planned.ours).map(PlannedJob::change));
    Ok(conflict)
}

fn is_refusal(error: &LakeError) -> bool {
    matches!(error, LakeError::Refused(_))
}

/// Prepares a request to be recorded. Reports are validated as usual.
///
/// # Errors
/// Why it cannot be recorded.
fn submission(request_id: Id, request: Request, redactor: &Redactor, lake: &Lake) -> Result<Submission, String> {
    if let Request::RecordReport(report) = &request {
        let bytes = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        return prepare(&bytes, redactor, lake.context.now(), Interface::Scan).map_err(|problems| {
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            format!("the findings cannot be recorded: {first}")
        });
    }
    let mut value = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    let redactions: Redactions = redactor.value(&mut value);
    let request: Request = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let size = canonical(&request).map_err(|error| error.to_string())?.len();
    Ok(Submission { request_id, request, redactions, interface: Interface::Scan, size })
}

/// Reads the recorded checks and incidents of a workspace's jobs, by job id.
async fn recorded(lake: &Lake, workspace: &Id) -> Result<BTreeMap<u64, RecordedJob>, OpsError> {
    #[derive(Deserialize)]
    struct CheckRow {
        workspace_id: Id,
        job_id: Id,
        seq: u64,
        category: String,
        name: String,
        status: CheckStatus,
        severity: Option<Severity>,
        finding: Option<String>,
        last_failed: Option<u64>,
    }
    #[derive(Deserialize)]
    struct GapRow {
        workspace_id: Id,
        job_id: Id,
        incident_id: IncidentId,
        status: Status,
        closed_seq: Option<u64>,
    }
    let mut found: BTreeMap<u64, RecordedJob> = BTreeMap::new();
    let checks: Vec<CheckRow> = rows(
        lake,
        "SELECT workspace_id, job_id, seq, category, name, status, severity, finding, last_failed FROM job_checks",
    )
    .await?;
    for row in checks.into_iter().filter(|row| row.workspace_id == *workspace) {
        let Ok(job) = row.job_id.as_str().parse() else { continue };
        let of_job = found.entry(job).or_default();
        of_job.seq = row.seq;
        of_job.checks.push(RecordedCheck {
            category: row.category,
            name: row.name,
            status: row.status,
            severity: row.severity,
            finding: row.finding,
            last_failed: row.last_failed,
        });
    }
    let gaps: Vec<GapRow> =
        rows(lake, "SELECT workspace_id, job_id, incident_id, status, closed_seq FROM job_gaps").await?;
    for row in gaps.into_iter().filter(|row| row.workspace_id == *workspace) {
        let Ok(job) = row.job_id.as_str().parse() else { continue };
        let gap = GapIncident { id: row.incident_id, status: row.status, closed: row.closed_seq.unwrap_or(0) };
        found.entry(job).or_default().gap = Some(gap);
    }
    Ok(found)
}

/// Treats a missing lake as one without records.
fn without_lake<T: Default>(outcome: Result<T, OpsError>) -> Result<T, OpsError> {
    match outcome {
        Err(OpsError::Lake(LakeError::NoLake(_))) => Ok(T::default()),
        outcome => outcome,
    }
}
