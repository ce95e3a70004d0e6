//! Checking the jobs of a workspace against rules, and recording what is new. The domain decides, the ledger takes every change
//! once, whoever finds it first.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Consequences, IN_FLIGHT, OpsError, consequences, prepare, rows, settle};
use crate::{
    databricks::{Client, error::ApiError, jobs},
    domain::{
        comply::{
            self, Finding, Subject, examine,
            look::{Exempt, JobChange, Look, Unread, failing},
            plan::{Basis, Gap, Plan, Recorded, RecordedCheck, plan},
        },
        entry::{Request, canonical},
        ids::{Id, IncidentId},
        incident::Refusal,
        redact::{Redactions, Redactor},
        report::Workspace,
        words::{CheckStatus, Interface, JobRule, Severity, Status},
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Submission},
    },
    tables::catalog::AUDIT_LOG,
};

/// How often plans are made anew because somebody else recorded a change first.
const MAX_ROUNDS: u32 = 20;
/// In so many rounds a refusal means that somebody else was faster.
const REFUSED_ROUNDS: u32 = 3;
/// Requests to the workspace under way at once: its limits are per user, and others ask, too.
const ASKED_AT_ONCE: usize = 8;

/// Which jobs to check.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Empty: all.
    pub jobs: Vec<u64>,
    /// The id of the workspace, where its answers do not tell.
    pub workspace_id: Option<Id>,
}

/// Tells how far a look is: what is being done, how much of it, of how much where that is known.
pub type Progress<'a> = &'a (dyn Fn(&'static str, usize, Option<usize>) + Sync);

/// A job with everything that rules look at, redacted.
#[derive(Debug)]
struct Read {
    id: u64,
    settings: Map<String, Value>,
    run_as: Option<String>,
    creator: Option<String>,
}

/// What was read of the workspace, redacted.
#[derive(Debug, Default)]
struct Gathered {
    jobs: Vec<Read>,
    unread: Vec<(u64, String)>,
    clusters: BTreeMap<String, Map<String, Value>>,
}

/// Checks jobs, and records what is new. Without a `ledger` nothing is recorded: the look tells what would be.
///
/// # Errors
/// [`OpsError`]; what was recorded until then stays, and another look goes on from there. A single job that cannot be read is
/// no error.
pub async fn check(
    lake: &Lake,
    client: &Client,
    ledger: Option<&Ledger>,
    asked: &Asked,
    redactor: &Redactor,
    progress: Progress<'_>,
) -> Result<(Look, Consequences), OpsError> {
    let workspace = workspace(client, asked.workspace_id.as_ref()).await?;
    let known = match ledger {
        Some(_) => {
            settle(lake).await?;
            recorded(lake, &workspace.id).await?
        }
        None => without_lake(recorded(lake, &workspace.id).await)?,
    };
    let gathered = gather(lake, client, asked, &known, redactor, progress).await?;
    let comply = &lake.context.policy.comply;
    let now = lake.context.now();
    let mut look = Look { dry_run: ledger.is_none(), ..Look::new(workspace.id.clone(), comply) };
    let mut judged: Vec<(&Read, Vec<Finding>)> = Vec::new();
    for job in &gathered.jobs {
        let subject = job.subject(&gathered);
        let mut findings = examine(&subject, comply, now);
        for finding in &mut findings {
            finding.text = redactor.text(&finding.text).into_owned();
        }
        let exemptions = comply::exemptions(&subject, comply);
        look.exempt.extend(exemptions.iter().map(|exempt| Exempt {
            job_id: job.id,
            name: job.name(),
            rules: exempt.rules.clone(),
            reason: exempt.reason.clone(),
        }));
        if !exemptions.iter().any(|exempt| exempt.is_whole()) {
            look.add(&findings);
        }
        judged.push((job, findings));
    }
    for (job_id, reason) in &gathered.unread {
        let gap = known.get(job_id).and_then(|known| known.gap).filter(|gap| gap.status != Status::Resolved);
        look.unread.push(Unread { job_id: *job_id, reason: reason.clone(), incident_id: gap.map(|gap| gap.id) });
    }
    let mut new = Vec::new();
    for round in 0..MAX_ROUNDS {
        let based_on = match ledger {
            // Before the queries: what is recorded while they run makes the requests outdated.
            Some(_) => ledger::head(&lake.table(AUDIT_LOG), &lake.table(AUDIT_LOG).newest().await?).await?.chain.seq,
            None => 0,
        };
        let known = if round == 0 && ledger.is_none() { &known } else { &recorded(lake, &workspace.id).await? };
        let basis = Basis { workspace: &workspace, based_on, comply, now: lake.context.now() };
        let mut plans = Vec::new();
        for (job, findings) in &judged {
            let fresh = Recorded::default();
            let before = known.get(&job.id).unwrap_or(&fresh);
            match plan(&job.subject(&gathered), findings, before, basis) {
                Ok(Some(plan)) => plans.push(Planned::new(job, plan, before.gap, failing(findings))),
                Ok(None) => {}
                Err(reason) => return Err(LakeError::Corrupt(reason).into()),
            }
        }
        let Some(ledger) = ledger else {
            look.changes.extend(plans.iter().map(Planned::change));
            break;
        };
        progress("recording", 0, Some(plans.len()));
        let again = record(ledger, &mut plans, redactor, lake, &mut look, &mut new, round < REFUSED_ROUNDS).await?;
        settle(lake).await?;
        if !again {
            new.sort_unstable();
            look.changes.sort_by_key(|change| (change.event, change.job_id));
            return Ok((look, consequences(lake, ledger, &new).await?));
        }
    }
    match ledger {
        None => Ok((look, Consequences::default())),
        Some(_) => Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into()),
    }
}

/// What is planned about a job, and how far it has come.
struct Planned<'a> {
    job: &'a Read,
    plan: Plan,
    incident_id: Option<IncidentId>,
    failing: Vec<JobRule>,
    /// Some of it was recorded by this look.
    ours: bool,
    /// Somebody else came first: what is left is not sent.
    stopped: bool,
}

impl<'a> Planned<'a> {
    fn new(job: &'a Read, plan: Plan, gap: Option<Gap>, failing: Vec<JobRule>) -> Self {
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

impl Read {
    fn of(job: jobs::Job, redactor: &Redactor) -> Self {
        let text = |text: Option<String>| text.map(|text| redactor.text(&text).into_owned());
        Self {
            id: job.id,
            settings: redacted(job.settings, redactor),
            run_as: text(job.run_as),
            creator: text(job.creator),
        }
    }

    fn subject<'a>(&'a self, gathered: &'a Gathered) -> Subject<'a> {
        Subject {
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

/// Settings without secrets, before anything looks at them.
pub(super) fn redacted(settings: Map<String, Value>, redactor: &Redactor) -> Map<String, Value> {
    let mut value = Value::Object(settings);
    redactor.value(&mut value);
    match value {
        Value::Object(settings) => settings,
        _ => Map::new(),
    }
}

/// The workspace, as its own answers name it; what was given must not contradict them.
pub(super) async fn workspace(client: &Client, given: Option<&Id>) -> Result<Workspace, OpsError> {
    let refuse = |message: String, hint: &str| OpsError::Refused(Refusal { message, hint: hint.to_owned() });
    let told = client.workspace_id().await?.and_then(|id| Id::new(id).ok());
    let id = match (given, told) {
        (Some(given), Some(told)) if *given != told => {
            let message = format!("the workspace at {} is {told}, not {given}", client.workspace());
            return Err(refuse(message, "look at DATABRICKS_HOST and --workspace-id"));
        }
        (Some(id), _) => id.clone(),
        (None, Some(id)) => id,
        (None, None) => {
            return Err(refuse("the workspace does not tell its id".into(), "give it with --workspace-id"));
        }
    };
    Ok(Workspace { id, url: Some(client.workspace().to_string()) })
}

/// Everything that rules look at. Jobs of open incidents are read by their ids when no list names them.
async fn gather(
    lake: &Lake,
    client: &Client,
    asked: &Asked,
    known: &BTreeMap<u64, Recorded>,
    redactor: &Redactor,
    progress: Progress<'_>,
) -> Result<Gathered, OpsError> {
    let mut read: Vec<Result<jobs::Job, jobs::Unread>> = Vec::new();
    let mut wanted: Vec<u64> = asked.jobs.clone();
    if wanted.is_empty() {
        read = client.jobs(|count| progress("reading jobs", count, None)).await?;
        let listed: BTreeSet<u64> =
            read.iter().map(|job| job.as_ref().map_or_else(|unread| unread.id, |job| job.id)).collect();
        let open = |known: &Recorded| known.gap.is_some_and(|gap| gap.status != Status::Resolved);
        wanted = known.iter().filter(|(id, known)| !listed.contains(id) && open(known)).map(|(id, _)| *id).collect();
    }
    // A list does not tell as whom a job runs.
    if lake.context.policy.comply.rule(JobRule::RunAs).enabled {
        let silent = |job: &jobs::Job| job.run_as.is_none() && !job.settings.contains_key("run_as");
        let (again, told): (Vec<_>, Vec<_>) = read.into_iter().partition(|job| job.as_ref().is_ok_and(silent));
        wanted.extend(again.into_iter().filter_map(Result::ok).map(|job| job.id));
        read = told;
    }
    wanted.sort_unstable();
    wanted.dedup();
    let total = wanted.len();
    let one_by_one = stream::iter(wanted).map(|id| client.readable_job(id)).buffered(ASKED_AT_ONCE).enumerate();
    let mut one_by_one = std::pin::pin!(one_by_one);
    while let Some((index, job)) = one_by_one.next().await {
        read.push(job?);
        progress("reading jobs one by one", index + 1, Some(total));
    }
    let mut gathered = Gathered::default();
    for job in read {
        match job {
            Ok(job) => gathered.jobs.push(Read::of(job, redactor)),
            Err(jobs::Unread { id, error }) => {
                gathered.unread.push((id, redactor.text(&error.to_string()).into_owned()));
            }
        }
    }
    gathered.jobs.sort_by_key(|job| job.id);
    gathered.jobs.dedup_by_key(|job| job.id);
    let shared: BTreeSet<String> =
        gathered.jobs.iter().flat_map(|job| comply::shared_clusters(&job.settings)).collect();
    let clusters = stream::iter(shared).map(|id| async move { readable_cluster(client, id).await });
    let clusters: Vec<_> = clusters.buffered(ASKED_AT_ONCE).try_collect().await?;
    let read = clusters.into_iter().flatten();
    gathered.clusters = read.map(|(id, settings)| (id, redacted(settings, redactor))).collect();
    Ok(gathered)
}

/// A cluster that is gone, or may not be seen, is one of which nothing is known.
async fn readable_cluster(client: &Client, id: String) -> Result<Option<(String, Map<String, Value>)>, ApiError> {
    match client.cluster(&id).await {
        Ok(settings) => Ok(Some((id, settings))),
        Err(error) if error.concerns_every_request() => Err(error),
        Err(_) => Ok(None),
    }
}

/// Sends what is planned, each job's requests in their order. Tells whether somebody else came first somewhere.
async fn record(
    ledger: &Ledger,
    plans: &mut [Planned<'_>],
    redactor: &Redactor,
    lake: &Lake,
    look: &mut Look,
    new: &mut Vec<u64>,
    may_repeat: bool,
) -> Result<bool, OpsError> {
    let mut again = false;
    let longest = plans.iter().map(|planned| planned.plan.requests.len()).max().unwrap_or(0);
    for step in 0..longest {
        let mut submissions = Vec::new();
        for planned in plans.iter_mut().filter(|planned| !planned.stopped) {
            let Some((request_id, request)) = planned.plan.requests.get(step).cloned() else { continue };
            match submission(request_id, request, redactor, lake) {
                Ok(submission) => submissions.push((planned, submission)),
                Err(reason) => {
                    planned.stopped = true;
                    look.unread.push(Unread { job_id: planned.job.id, reason, incident_id: planned.incident_id });
                }
            }
        }
        let sent = stream::iter(submissions).map(|(planned, submission)| async move {
            let answer = ledger.submit(submission).await;
            (planned, answer)
        });
        let mut answers = std::pin::pin!(sent.buffered(IN_FLIGHT));
        while let Some((planned, answer)) = answers.next().await {
            match answer {
                Ok(answer) => {
                    // An incident that was known, and not when this was planned: somebody else opened it.
                    if answer.known && planned.incident_id.is_none() && answer.receipt.incident_id.is_some() {
                        planned.stopped = true;
                        again = true;
                    }
                    planned.incident_id = answer.receipt.incident_id.or(planned.incident_id);
                    if !answer.known {
                        planned.ours = true;
                        new.push(answer.receipt.seq);
                    }
                }
                Err(error) if matches!(*error, LakeError::Outdated) || (may_repeat && is_refusal(&error)) => {
                    planned.stopped = true;
                    again = true;
                }
                // Such as an incident that was closed at a moment that is still to come.
                Err(error) if is_refusal(&error) => {
                    planned.stopped = true;
                    let (job_id, reason) = (planned.job.id, error.to_string());
                    look.unread.push(Unread { job_id, reason, incident_id: planned.incident_id });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    look.changes.extend(plans.iter().filter(|planned| planned.ours).map(Planned::change));
    Ok(again)
}

fn is_refusal(error: &LakeError) -> bool {
    matches!(error, LakeError::Refused(_))
}

/// A request, ready to be recorded; a report is checked like any other.
///
/// # Errors
/// Why it cannot be recorded.
fn submission(request_id: Id, request: Request, redactor: &Redactor, lake: &Lake) -> Result<Submission, String> {
    if let Request::RecordReport(report) = &request {
        let bytes = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        return prepare(&bytes, redactor, lake.context.now(), Interface::Scan).map_err(|problems| {
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            format!("what was found cannot be recorded: {first}")
        });
    }
    let mut value = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    let redactions: Redactions = redactor.value(&mut value);
    let request: Request = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let size = canonical(&request).map_err(|error| error.to_string())?.len();
    Ok(Submission { request_id, request, redactions, interface: Interface::Scan, size })
}

/// What is recorded of the jobs of a workspace, by id.
async fn recorded(lake: &Lake, workspace: &Id) -> Result<BTreeMap<u64, Recorded>, OpsError> {
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
    let mut found: BTreeMap<u64, Recorded> = BTreeMap::new();
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
        let gap = Gap { id: row.incident_id, status: row.status, closed: row.closed_seq.unwrap_or(0) };
        found.entry(job).or_default().gap = Some(gap);
    }
    Ok(found)
}

/// Where there is no lake, nothing is recorded.
fn without_lake<T: Default>(outcome: Result<T, OpsError>) -> Result<T, OpsError> {
    match outcome {
        Err(OpsError::Lake(LakeError::NoLake(_))) => Ok(T::default()),
        outcome => outcome,
    }
}
