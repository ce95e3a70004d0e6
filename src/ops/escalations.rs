//! Evaluates escalation triggers without a new report, and replays them with other rules.

use futures::TryStreamExt;

use super::{
    CHUNK, Consequences, OpsError, existing_lake, open_ledger, prepare_step, projections_of, record, recurrence, settle,
};
use crate::{
    analytics::engine::Engine,
    domain::{
        entry::Entry,
        escalation::replay::{EscalationReplay, ReplayResult},
        ids::{Id, IncidentId},
        interface::Interface,
        policy::Policy,
        redact::Redactor,
        steps::EvaluateEscalations,
        time::Timestamp,
    },
    lake::{Lake, LakeError, ledger},
    tables::catalog::AUDIT_LOG,
};

/// Evaluates the triggers of `incidents` (all unresolved ones if empty) and the recurrence of every cause.
///
/// # Errors
/// [`OpsError`]; evaluations that were recorded before the error stay recorded.
pub async fn evaluate(
    lake: &Lake,
    incidents: &[IncidentId],
    actor: &Id,
    redactor: &Redactor,
    interface: Interface,
    progress: impl Fn(u64, u64),
) -> Result<Consequences, OpsError> {
    #[derive(serde::Deserialize)]
    struct OpenIncidentRow {
        incident_id: IncidentId,
    }
    existing_lake(lake).await?;
    let incident_ids = if incidents.is_empty() {
        let open: Vec<OpenIncidentRow> =
            super::rows(lake, "SELECT incident_id FROM open_incidents ORDER BY seq").await?;
        open.into_iter().map(|open| open.incident_id).collect()
    } else {
        incidents.to_vec()
    };
    let now = lake.context.now();
    let submissions = incident_ids
        .iter()
        .map(|incident_id| {
            let (incident_id, actor) = (*incident_id, actor.clone());
            let step = EvaluateEscalations { incident_id, actor, at: None, request_id: None };
            prepare_step(step, redactor, now, interface)
                .map_err(|problems| LakeError::Corrupt(format!("an evaluation cannot be requested: {problems:?}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (ledger, committer) = open_ledger(lake).await?;
    let mut results = Box::pin(record(&ledger, submissions));
    let mut new = Vec::new();
    while let Some(recorded) = results.try_next().await? {
        new.push(recorded.receipt.seq);
        progress(new.len() as u64, incident_ids.len() as u64);
    }
    drop(results);
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

/// Compares the notifications that `rules` would have caused since a moment with the ones that were sent. Records nothing.
///
/// # Errors
/// The lake's.
pub async fn replay(
    lake: &Lake,
    rules: Policy,
    since: Timestamp,
    progress: impl Fn(u64, u64),
) -> Result<ReplayResult, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest_log().await?;
    let head = ledger::head(&table, &log).await?.chain.seq;
    let mut replay = EscalationReplay::new(rules, since);
    for after in (0..head).step_by(CHUNK) {
        for (seq, text) in ledger::entries(&table, &log, after, after + CHUNK as u64).await? {
            let entry = Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}")))?;
            replay.add(entry);
        }
        progress((after + CHUNK as u64).min(head), head);
    }
    Ok(replay.found)
}
