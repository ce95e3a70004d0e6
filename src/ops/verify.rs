//! Watching the runs after a fix, and recording whether it holds. Only reads the workspace.

use super::{OpsError, comply, consequences, prepare_step};
use crate::{
    databricks::{
        Client,
        runs::{FoundRun, Runs},
    },
    domain::{
        entry::{Entry, canonical},
        ids::{Id, IncidentId, sha256_hex},
        incident::{History, Refusal},
        redact::Redactor,
        report::Evidence,
        steps::RecordVerification,
        time::Timestamp,
        verification::{Counted, Verification, judge},
        words::{Interface, RemediationResult},
    },
    lake::{
        Lake, LakeError,
        ledger::{Ledger, Recorded},
    },
};

/// Who verifies.
const ACTOR: &str = "system:verify";

/// What to watch.
#[derive(Debug, Clone)]
pub struct Watch {
    pub incident_id: IncidentId,
    pub job_id: u64,
    /// When the fix was put in place.
    pub since: Timestamp,
    /// How many runs must succeed.
    pub runs: usize,
}

/// What to watch of an incident: its job, and the runs since the latest fix, unless told otherwise.
///
/// # Errors
/// [`OpsError::NoIncident`]; [`OpsError::Refused`] when the incident is about no job or knows of no fix, or is about another
/// workspace than `client`'s.
pub async fn watch(
    lake: &Lake,
    client: &Client,
    incident_id: IncidentId,
    job: Option<u64>,
    since: Option<Timestamp>,
    runs: usize,
) -> Result<Watch, OpsError> {
    let (rows, _) = super::incident(lake, incident_id).await?;
    let entries = rows.iter().map(|row| Entry::parse(&row.entry)).collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(LakeError::from)?;
    let lost = || LakeError::Corrupt(format!("the first row about {incident_id} does not open it"));
    let history = History::replay(&entries).ok_or_else(lost)?;
    let refuse = |message: String, hint: &str| OpsError::Refused(Refusal { message, hint: hint.to_owned() });
    let mut jobs = history.incident.resources.iter().filter(|resource| resource.kind.as_str() == "job");
    let own = jobs.find_map(|resource| resource.id.as_str().parse().ok());
    let job_id = job.or(own).ok_or_else(|| refuse(format!("{incident_id} is about no job"), "name one with --job"))?;
    let since = since.or_else(|| history.fixed_at()).ok_or_else(|| {
        let hint = "record the fix with `incident remediate --applied`, or say with --since from when on runs count";
        refuse(format!("no fix of {incident_id} is recorded"), hint)
    })?;
    comply::workspace(client, Some(&history.incident.workspace.id)).await?;
    Ok(Watch { incident_id, job_id, since, runs })
}

/// How far it is; once that is decided, it is recorded.
///
/// # Errors
/// [`OpsError`].
pub async fn look(
    lake: &Lake,
    client: &Client,
    ledger: &Ledger,
    watch: &Watch,
    redactor: &Redactor,
) -> Result<(Verification, Option<Recorded>), OpsError> {
    // Judged in the order in which they started. One without any time has not started yet, unless it is over: then there is
    // nothing to judge.
    let found = client.runs(Runs::OfJob(watch.job_id, watch.since), |_| {}).await?;
    let has_started = |run: &FoundRun| !matches!(run, FoundRun::Untimed(run) if !run.is_over);
    let mut runs = found.into_iter().filter(has_started).map(FoundRun::timed).collect::<Result<Vec<_>, _>>()?;
    for text in runs.iter_mut().flat_map(|run| run.texts_mut()) {
        *text = redactor.text(text).into_owned();
    }
    let found = judge(&runs, watch.since, watch.runs);
    let (result, message, counted) = match &found {
        Verification::Waiting { .. } => return Ok((found, None)),
        Verification::Succeeded { runs } => {
            let message = format!(
                "The next {} of job {} since {} succeeded: {}",
                if runs.len() == 1 { "run".to_owned() } else { format!("{} runs", runs.len()) },
                watch.job_id,
                watch.since,
                ids(runs)
            );
            (RemediationResult::Success, message, runs.clone())
        }
        Verification::Failed { run, after } => {
            let said = run.message.as_deref().map_or_else(String::new, |message| format!(": {message}"));
            let result = run.result.as_deref().unwrap_or("no result");
            let before = if after.is_empty() { String::new() } else { format!(", after {} succeeded", ids(after)) };
            let message = format!(
                "Run {} of job {} since {} ended as {result}{before}{said}",
                run.run_id, watch.job_id, watch.since
            );
            let all = after.iter().chain([run]).cloned().collect();
            (RemediationResult::Failed, message, all)
        }
    };
    let at = counted.iter().filter_map(|run| run.ended_at).max();
    let named = (watch.incident_id, watch.job_id, watch.since, watch.runs, result, &counted);
    let digest = sha256_hex(canonical(&named).map_err(LakeError::from)?);
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
        .map_err(|problems| LakeError::Corrupt(format!("a verification cannot be recorded: {problems:?}")))?;
    let recorded = ledger.submit(submission).await?;
    if !recorded.known {
        consequences(lake, ledger, &[recorded.receipt.seq]).await?;
    }
    Ok((found, Some(recorded)))
}

fn ids(runs: &[Counted]) -> String {
    runs.iter().map(|run| run.run_id.to_string()).collect::<Vec<_>>().join(", ")
}
