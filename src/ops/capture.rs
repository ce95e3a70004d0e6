//! Captures the live settings that the steps of a runbook change, and compares captured settings with live ones.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use serde_json::{Map, Value};

use super::{OpsError, compliance, consequences, incident, prepare_step};
use crate::{
    databricks::Client,
    domain::{
        entry::canonical,
        ids::{Id, IncidentId, sha256_hex},
        interface::Interface,
        problems::is_exact,
        redact::Redactor,
        remediation::RemediationKind,
        report::{MAX_REPORT_BYTES, Resource},
        steps::{RecordRemediation, SettingValues},
    },
    lake::{Lake, LakeError, ledger::Ledger},
    render::runbook::{
        current_steps,
        drift::{CaptureResult, DriftState, StepCapture, drift_state},
    },
    tables::rows::RunbookStep,
};

/// The current settings of a resource, and the settings after the steps so far.
struct LiveSettings {
    now: Map<String, Value>,
    after: Map<String, Value>,
}

/// Reads the settings that the steps of an incident change. Captures the ones that are not captured yet and compares the
/// others. With `recapture`, drifted settings are captured again.
///
/// # Errors
/// [`OpsError`]; steps that were recorded before the error stay recorded.
pub async fn capture(
    lake: &Lake,
    client: &Client,
    ledger: &Ledger,
    id: IncidentId,
    actor: &Id,
    recapture: bool,
    redactor: &Redactor,
) -> Result<Vec<StepCapture>, OpsError> {
    let (_, projections) = incident(lake, id).await?;
    let state = projections.incident_states.iter().max_by_key(|state| state.seq);
    compliance::workspace(client, state.map(|state| &state.workspace_id)).await?;
    let mut live: BTreeMap<(RemediationKind, Id), Result<LiveSettings, String>> = BTreeMap::new();
    let (mut captures, mut new) = (Vec::new(), Vec::new());
    for (number, step) in (1..).zip(current_steps(&projections.runbooks)) {
        let outcome = match &step.resource_id {
            Some(resource) if !step.applied && changes_settings(step.kind) => {
                let settings = match live.entry((step.kind, resource.clone())) {
                    Slot::Occupied(known) => known.into_mut(),
                    Slot::Vacant(slot) => {
                        let read = read(client, step.kind, resource, redactor).await?;
                        slot.insert(read.map(|now| LiveSettings { after: now.clone(), now }))
                    }
                };
                match settings {
                    Err(reason) => CaptureResult::Unread { reason: reason.clone() },
                    Ok(LiveSettings { now, after }) => {
                        // The captured settings may be the current ones, or the ones after the earlier steps.
                        let (found, left) = drift_state(&step, after);
                        let found = found.nearer(drift_state(&step, now).0);
                        // Later steps are captured with the settings after this step: steps are applied in order.
                        let before = std::mem::replace(after, left);
                        let drifted = matches!(found, DriftState::Drifted { .. });
                        if found == DriftState::NotCaptured || (drifted && recapture) {
                            match recorded(lake, ledger, id, actor, &step, before, redactor).await? {
                                Ok(Some(seq)) => {
                                    new.push(seq);
                                    CaptureResult::Captured
                                }
                                Ok(None) => CaptureResult::Captured,
                                Err(reason) => CaptureResult::Unread { reason },
                            }
                        } else {
                            CaptureResult::Compared(found)
                        }
                    }
                }
            }
            _ => CaptureResult::Skipped,
        };
        captures.push(StepCapture { number, title: step.title.clone(), outcome });
    }
    consequences(lake, ledger, &new).await?;
    Ok(captures)
}

fn changes_settings(kind: RemediationKind) -> bool {
    match kind {
        RemediationKind::JobSettings | RemediationKind::ClusterSettings | RemediationKind::WarehouseSettings => true,
        RemediationKind::Sql | RemediationKind::Command => false,
    }
}

/// LiveSettings settings, redacted; or why they could not be read.
async fn read(
    client: &Client,
    kind: RemediationKind,
    id: &Id,
    redactor: &Redactor,
) -> Result<Result<Map<String, Value>, String>, OpsError> {
    let settings = match kind {
        RemediationKind::JobSettings => match id.as_str().parse() {
            Ok(job) => client.job(job).await.map(|job| job.settings),
            Err(_) => return Ok(Err(format!("{id} is not the id of a job"))),
        },
        RemediationKind::ClusterSettings => client.cluster(id.as_str()).await,
        _ => client.warehouse(id.as_str()).await,
    };
    match settings {
        Ok(settings) => Ok(Ok(compliance::redacted(settings, redactor))),
        Err(error) if error.concerns_every_request() => Err(error.into()),
        Err(error) => Ok(Err(redactor.text(&error.to_string()).into_owned())),
    }
}

/// Records the step again with the captured settings. Returns its row, unless it was recorded before.
async fn recorded(
    lake: &Lake,
    ledger: &Ledger,
    incident_id: IncidentId,
    actor: &Id,
    step: &RunbookStep,
    settings: Map<String, Value>,
    redactor: &Redactor,
) -> Result<Result<Option<u64>, String>, OpsError> {
    let settings = Value::Object(settings);
    let text = canonical(&settings).map_err(LakeError::from)?;
    if !is_exact(&settings) {
        return Ok(Err(
            "a number in the settings is too large to be stored exactly; the runbook captures the settings when it runs".into()
        ));
    }
    if text.len() > MAX_REPORT_BYTES {
        return Ok(Err("the settings are too large to be recorded; the runbook captures them when it runs".into()));
    }
    let content = (incident_id, step.kind, &step.resource_id, &step.task_keys, &step.changes, &text);
    let digest = sha256_hex(canonical(&content).map_err(LakeError::from)?);
    let request_id = Id::new(format!("capture-{}", &digest[..32])).map_err(LakeError::Corrupt)?;
    let column = |text: &Option<String>| text.as_deref().map(serde_json::from_str::<Value>).transpose();
    let (changes, task_keys) =
        (column(&step.changes).map_err(LakeError::from)?, column(&step.task_keys).map_err(LakeError::from)?);
    let object = |value: Option<Value>| value.and_then(|value| value.as_object().cloned());
    let resource = step.resource_kind.clone().zip(step.resource_id.clone()).map(|(kind, id)| Resource {
        kind,
        id,
        name: step.resource_name.clone(),
        attributes: BTreeMap::new(),
    });
    let request = RecordRemediation {
        incident_id,
        title: step.title.clone(),
        kind: step.kind,
        resource,
        task_keys: task_keys.map(serde_json::from_value).transpose().map_err(LakeError::from)?.unwrap_or_default(),
        changes: object(changes).map(SettingValues),
        captured_settings: object(Some(settings)).map(SettingValues),
        statement: None,
        command: None,
        applied: false,
        result: None,
        actor: actor.clone(),
        at: None,
        request_id: Some(request_id),
    };
    match prepare_step(request, redactor, lake.context.now(), Interface::Cli) {
        Err(problems) => {
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            Ok(Err(format!("the settings cannot be recorded: {first}")))
        }
        Ok(submission) => {
            let recorded = ledger.submit(submission).await?;
            Ok(Ok((!recorded.known).then_some(recorded.receipt.seq)))
        }
    }
}
