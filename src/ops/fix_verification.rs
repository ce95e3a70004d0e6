//! Watches the runs of a job after a fix and records whether the fix holds. Only reads from the workspace.

use super::{OpsError, compliance, consequences, prepare_step};
use crate::{
    databricks::{
        Client,
        runs::{FetchedRun, RunSelection},
    },
    domain::{
        entry::{Entry, canonical},
        fix_verification::{CountedRun, FixVerification, verify_fix},
        ids::{Id, IncidentId, sha256_hex},
        incident::{History, Refusal},
        interface::Interface,
        redact::Redactor,
        remediation::RemediationResult,
        report::Evidence,
        steps::RecordVerification,
        time::Timestamp,
    },
    lake::{
        Lake, LakeError,
        ledger::{Ledger, SubmissionResult},
    },
};

/// The actor of fix verifications.
const ACTOR: &str = "system:verify";

/// The job and the runs to watch.
#[derive(Debug, Clone)]
pub struct FixWatch {
    pub incident_id: IncidentId,
    pub job_id: u64,
    /// The time of the fix: runs that start later count.
    pub since: Timestamp,
    /// How many runs must succeed.
    pub runs: usize,
}

/// Determines the job and the start time for an incident. Default: the incident's job, and the time of its latest fix.
///
/// # Errors
/// [`OpsError::NoIncident`]; [`OpsError::Refused`] if the incident has no job or no recorded fix, or belongs to another
/// workspace than `client`'s.
pub async fn plan_watch(
    lake: &Lake,
    client: &Client,
    incident_id: IncidentId,
    job: Option<u64>,
    since: Option<Timestamp>,
    runs: usize,
) -> Result<FixWatch, OpsError> {
    let (rows, _) = super::incident(lake, incident_id).await?;
    let entries = rows.iter().map(|row| Entry::parse(&row.entry)).collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(LakeError::from)?;
    let lost = || LakeError::Corrupt(format!("the first row about {incident_id} does not open it"));
    let history = History::replay(&entries).ok_or_else(lost)?;
    let refuse = |message: String, hint: &str| OpsError::Refused(Refusal { message, hint: hint.to_owned() });
    let mut jobs = history.incident.resources.iter().filter(|resource| resource.kind.as_str() == "job");
    let own = jobs.find_map(|resource| resource.id.as_str().parse().ok());
    let job_id = job
        .or(own)
        .ok_or_else(|| refuse(format!("{incident_id} has no job among its resources"), "name one with --job"))?;
    let since = since.or_else(|| history.fixed_at()).ok_or_else(|| {
        let hint = "record the fix with `incident remediate --applied`, or give the time of the fix with --since";
        refuse(format!("no fix of {incident_id} is recorded"), hint)
    })?;
    compliance::workspace(client, Some(&history.incident.workspace.id)).await?;
    Ok(FixWatch { incident_id, job_id, since, runs })
}

/// Reads the runs and judges the fix. Records the result once it is decided.
///
/// # Errors
/// [`OpsError`].
pub async fn check_runs(
    lake: &Lake,
    client: &Client,
    ledger: &Ledger,
    watch: &FixWatch,
    redactor: &Redactor,
) -> Result<(FixVerification, Option<SubmissionResult>), OpsError> {
    // Runs are judged in the order of their start. A run without times has not started yet; if it has ended without one, it
    // cannot be judged.
    let found = client.runs(RunSelection::OfJob(watch.job_id, watch.since), |_| {}).await?;
    let has_started = |run: &FetchedRun| !matches!(run, FetchedRun::Untimed(run) if !run.has_ended);
    let mut runs = found.into_iter().filter(has_started).map(FetchedRun::timed).collect::<Result<Vec<_>, _>>()?;
    for text in runs.iter_mut().flat_map(|run| run.texts_mut()) {
        *text = redactor.text(text).into_owned();
    }
    let verification = verify_fix(&runs, watch.since, watch.runs);
    let (result, message, counted) = match &verification {
        FixVerification::Waiting { .. } => return Ok((verification, None)),
        FixVerification::Succeeded { runs } => {
            let message = format!(
                "The next {} of job {} since {} succeeded: {}",
                if runs.len() == 1 { "run".to_owned() } else { format!("{} runs", runs.len()) },
                watch.job_id,
                watch.since,
                ids(runs)
            );
            (RemediationResult::Success, message, runs.clone())
        }
        FixVerification::Failed { run, after } => {
            let detail = run.message.as_deref().map_or_else(String::new, |message| format!(": {message}"));
            let result = run.result.as_deref().unwrap_or("no result");
            let before = if after.is_empty() { String::new() } else { format!(", after {} succeeded", ids(after)) };
            let message = format!(
                "Run {} of job {} since {} ended as {result}{before}{detail}",
                run.run_id, watch.job_id, watch.since
            );
            let all = after.iter().chain([run]).cloned().collect();
            (RemediationResult::Failed, message, all)
        }
    };
    let at = counted.iter().filter_map(|run| run.ended_at).max();
    let content = (watch.incident_id, watch.job_id, watch.since, watch.runs, result, &counted);
    let digest = sha256_hex(canonical(&content).map_err(LakeError::from)?);
    let id = |text: &str| Id::new(text).map_err(LakeError::Corrupt);
    let evidence = counted
        .iter()
        .map(|run| Ok(Evidence { kind: id("job_run")?, reference: run.run_id.clone(), excerpt: run.result.clone() }))
        .collect::<Result<Vec<_>, LakeError>>()?;
    let step = RecordVerification {
        incident_id: watch.incident_id,
        message,
        result,
        tool: Some("jobs/runs/list".into()),
        evidence,
        actor: id(ACTOR)?,
        at: Some(at.unwrap_or_else(|| lake.context.now())),
        request_id: Some(id(&format!("verify-{}", &digest[..32]))?),
    };
    let submission = prepare_step(step, redactor, lake.context.now(), Interface::Scan)
        .map_err(|problems| LakeError::Corrupt(format!("a fix verification cannot be recorded: {problems:?}")))?;
    let recorded = ledger.submit(submission).await?;
    if !recorded.known {
        consequences(lake, ledger, &[recorded.receipt.seq]).await?;
    }
    Ok((verification, Some(recorded)))
}

fn ids(runs: &[CountedRun]) -> String {
    runs.iter().map(|run| run.run_id.to_string()).collect::<Vec<_>>().join(", ")
}
