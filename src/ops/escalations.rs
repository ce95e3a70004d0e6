//! Evaluating escalation triggers when nobody handed in anything new.

use futures::TryStreamExt;

use super::{
    Consequences, OpsError, existing_lake, open_ledger, prepare_step, projections_of, record, recurrence, settle,
};
use crate::{
    analytics::engine::Engine,
    domain::{
        ids::{Id, IncidentId},
        redact::Redactor,
        steps::EvaluateEscalations,
        words::Interface,
    },
    lake::{Lake, LakeError},
};

/// Evaluates the triggers of `incidents`, or of all that are not resolved, and the recurrence of every cause.
///
/// # Errors
/// [`OpsError`]; what was recorded until then stays.
pub async fn evaluate(
    lake: &Lake,
    incidents: &[IncidentId],
    actor: &Id,
    redactor: &Redactor,
    interface: Interface,
    progress: impl Fn(u64, u64),
) -> Result<Consequences, OpsError> {
    #[derive(serde::Deserialize)]
    struct Open {
        incident_id: IncidentId,
    }
    existing_lake(lake).await?;
    let wanted = if incidents.is_empty() {
        let open: Vec<Open> = super::rows(lake, "SELECT incident_id FROM open_incidents ORDER BY seq").await?;
        open.into_iter().map(|open| open.incident_id).collect()
    } else {
        incidents.to_vec()
    };
    let now = lake.context.now();
    let submissions = wanted
        .iter()
        .map(|incident_id| {
            let (incident_id, actor) = (*incident_id, actor.clone());
            let step = EvaluateEscalations { incident_id, actor, at: None, request_id: None };
            prepare_step(step, redactor, now, interface)
                .map_err(|problems| LakeError::Corrupt(format!("an evaluation cannot be asked for: {problems:?}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (ledger, committer) = open_ledger(lake).await?;
    let mut answers = Box::pin(record(&ledger, submissions));
    let mut new = Vec::new();
    while let Some(recorded) = answers.try_next().await? {
        new.push(recorded.receipt.seq);
        progress(new.len() as u64, wanted.len() as u64);
    }
    drop(answers);
    new.sort_unstable();
    settle(lake).await?;
    let recorded = projections_of(lake, &new).await?;
    let mut consequences = recurrence::scan(lake, Engine::Local(lake), &ledger, Some(now), None).await?;
    drop(ledger);
    committer.finished().await;
    settle(lake).await?;
    consequences.alerts.splice(0..0, recorded.escalation_events);
    Ok(consequences)
}
