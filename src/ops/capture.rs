//! Reading the live settings that the steps of a runbook change, and recording them where none were captured.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use serde_json::{Map, Value};

use super::{OpsError, comply, consequences, incident, prepare_step};
use crate::{
    databricks::Client,
    domain::{
        entry::canonical,
        ids::{Id, IncidentId, sha256_hex},
        problems::is_exact,
        redact::Redactor,
        report::{MAX_REPORT_BYTES, Resource},
        steps::{RecordRemediation, Settings},
        words::{Interface, RemediationKind},
    },
    lake::{Lake, LakeError, ledger::Ledger},
    render::runbook::{
        drift::{Outcome, Seen, Standing, standing},
        standing_steps,
    },
    tables::rows::RunbookStep,
};

/// Settings as they are now, and as the steps so far leave them.
struct Live {
    now: Map<String, Value>,
    after: Map<String, Value>,
}

/// Reads what the steps of an incident change, captures what was not captured, and says what has drifted. With `anew`, what has
/// drifted is captured as it is now.
///
/// # Errors
/// [`OpsError`]; what was recorded until then stays.
pub async fn capture(
    lake: &Lake,
    client: &Client,
    ledger: &Ledger,
    id: IncidentId,
    actor: &Id,
    anew: bool,
    redactor: &Redactor,
) -> Result<Vec<Seen>, OpsError> {
    let (_, projections) = incident(lake, id).await?;
    let state = projections.incident_states.iter().max_by_key(|state| state.seq);
    comply::workspace(client, state.map(|state| &state.workspace_id)).await?;
    let mut live: BTreeMap<(RemediationKind, Id), Result<Live, String>> = BTreeMap::new();
    let (mut seen, mut new) = (Vec::new(), Vec::new());
    for (number, step) in (1..).zip(standing_steps(&projections.runbooks)) {
        let outcome = match &step.resource_id {
            Some(resource) if !step.applied && changes_settings(step.kind) => {
                let settings = match live.entry((step.kind, resource.clone())) {
                    Slot::Occupied(known) => known.into_mut(),
                    Slot::Vacant(slot) => {
                        let read = read(client, step.kind, resource, redactor).await?;
                        slot.insert(read.map(|now| Live { after: now.clone(), now }))
                    }
                };
                match settings {
                    Err(reason) => Outcome::Unread { reason: reason.clone() },
                    Ok(Live { now, after }) => {
                        // A step may have been captured as things are, or as the steps before leave them.
                        let (found, left) = standing(&step, after);
                        let found = found.closer(standing(&step, now).0);
                        // What comes later is captured as this step leaves it: the steps are done in their order.
                        let before = std::mem::replace(after, left);
                        let drifted = matches!(found, Standing::Drifted { .. });
                        if found == Standing::NotCaptured || (drifted && anew) {
                            match recorded(lake, ledger, id, actor, &step, before, redactor).await? {
                                Ok(Some(seq)) => {
                                    new.push(seq);
                                    Outcome::Captured
                                }
                                Ok(None) => Outcome::Captured,
                                Err(reason) => Outcome::Unread { reason },
                            }
                        } else {
                            Outcome::Compared(found)
                        }
                    }
                }
            }
            _ => Outcome::Skipped,
        };
        seen.push(Seen { number, title: step.title.clone(), outcome });
    }
    consequences(lake, ledger, &new).await?;
    Ok(seen)
}

fn changes_settings(kind: RemediationKind) -> bool {
    match kind {
        RemediationKind::JobSettings | RemediationKind::ClusterSettings | RemediationKind::WarehouseSettings => true,
        RemediationKind::Sql | RemediationKind::Command => false,
    }
}

/// Live settings, redacted; or why they could not be read.
async fn read(
    client: &Client,
    kind: RemediationKind,
    id: &Id,
    redactor: &Redactor,
) -> Result<Result<Map<String, Value>, String>, OpsError> {
    let answer = match kind {
        RemediationKind::JobSettings => match id.as_str().parse() {
            Ok(job) => client.job(job).await.map(|job| job.settings),
            Err(_) => return Ok(Err(format!("{id} is not the id of a job"))),
        },
        RemediationKind::ClusterSettings => client.cluster(id.as_str()).await,
        _ => client.warehouse(id.as_str()).await,
    };
    match answer {
        Ok(settings) => Ok(Ok(comply::redacted(settings, redactor))),
        Err(error) if error.concerns_every_request() => Err(error.into()),
        Err(error) => Ok(Err(redactor.text(&error.to_string()).into_owned())),
    }
}

/// Records the step again, with what was captured: its row, unless it was recorded before.
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
            "a number in the settings is too large to be kept exactly; the runbook captures them itself".into()
        ));
    }
    if text.len() > MAX_REPORT_BYTES {
        return Ok(Err("the settings are too large to be recorded; the runbook captures them itself".into()));
    }
    let named = (incident_id, step.kind, &step.resource_id, &step.task_keys, &step.changes, &text);
    let digest = sha256_hex(canonical(&named).map_err(LakeError::from)?);
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
        changes: object(changes).map(Settings),
        captured_settings: object(Some(settings)).map(Settings),
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
            Ok(Err(format!("what was read cannot be recorded: {first}")))
        }
        Ok(submission) => {
            let answer = ledger.submit(submission).await?;
            Ok(Ok((!answer.known).then_some(answer.receipt.seq)))
        }
    }
}
