//! Loads the state of a sender from the tables: the outbox without settled notifications, and incident summaries.

use std::sync::Arc;

use serde::Deserialize;

use super::super::OpsError;
use crate::{
    analytics::engine::{Engine, ParameterValue},
    domain::{
        ids::{Id, IncidentId},
        incident::Incident,
        notification::{
            IncidentContext,
            channel::ChannelKind,
            outbox::{NotifiedStream, Outbox},
        },
        time::Timestamp,
    },
    lake::Lake,
};

const LEDGER_POSITION: &str = "SELECT max(settled_to) AS settled_to, max(occurred_at) AS claimed_at FROM deliveries";

/// Streams of unresolved alerts whose trigger was sent, or may have been sent, and whose resolution was not. Compares the rows
/// of the source events, because a claim becomes stale when its incident changes.
const OPEN_STREAMS: &str = "\
WITH unresolved AS (
  SELECT dedup_key
  FROM escalation_events
  WHERE seq <= :settled_to AND status IS NOT NULL AND event <> 'not-fired'
  GROUP BY dedup_key
  HAVING max(seq) > max(CASE WHEN status = 'resolved' THEN seq ELSE 0 END)
)
SELECT deliveries.channel, deliveries.channel_kind AS kind, deliveries.lane, unresolved.dedup_key,
  min(CASE WHEN deliveries.says <> 'resolve' THEN deliveries.receipt END) AS receipt
FROM deliveries
INNER JOIN unresolved
  ON unresolved.dedup_key = split_part(deliveries.lane, '/after-', 1)
WHERE deliveries.says IN ('trigger', 'again', 'resolve')
  AND deliveries.event IN ('claimed', 'delivered')
  AND deliveries.source_seq <= :settled_to
GROUP BY deliveries.channel, deliveries.channel_kind, deliveries.lane, unresolved.dedup_key
HAVING max(CASE WHEN deliveries.says <> 'resolve' THEN deliveries.source_seq ELSE 0 END)
  > max(CASE WHEN deliveries.says = 'resolve' THEN deliveries.source_seq ELSE 0 END)
ORDER BY deliveries.channel, deliveries.lane";

/// Loads the outbox as of the last settled row of the ledger.
pub async fn outbox(lake: &Lake) -> Result<Outbox, OpsError> {
    #[derive(Deserialize)]
    struct LedgerPosition {
        settled_to: Option<u64>,
        claimed_at: Option<Timestamp>,
    }
    #[derive(Deserialize)]
    struct StreamRow {
        channel: Id,
        kind: ChannelKind,
        lane: String,
        dedup_key: String,
        receipt: Option<String>,
    }
    let engine = Engine::Local(lake);
    let policy = Arc::clone(&lake.context.policy);
    let last: Option<LedgerPosition> = engine.rows(LEDGER_POSITION, &[]).await?.pop();
    let Some(LedgerPosition { settled_to: Some(settled_to), claimed_at }) = last else {
        return Ok(Outbox::new(policy, 0, Vec::new(), None));
    };
    let parameters = [("settled_to".to_owned(), ParameterValue::Int(settled_to.try_into().unwrap_or(i64::MAX)))];
    let rows: Vec<StreamRow> = engine.rows(OPEN_STREAMS, &parameters).await?;
    let streams = rows.into_iter().map(|StreamRow { channel, kind, lane, dedup_key, receipt }| NotifiedStream {
        channel,
        kind,
        stream: lane,
        dedup_key,
        receipt,
    });
    Ok(Outbox::new(policy, settled_to, streams.collect(), claimed_at))
}

/// Returns the summary of an incident for notifications.
pub fn incident_summary(incident: &Incident) -> IncidentContext {
    let resource = incident.resources.first();
    IncidentContext {
        title: incident.title.clone(),
        workspace_id: Some(incident.workspace.id.to_string()),
        workspace_url: incident.workspace.url.clone(),
        resource: resource
            .map(|resource| resource_text(resource.kind.as_str(), resource.id.as_str(), resource.name.as_deref())),
    }
}

fn resource_text(kind: &str, id: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{kind} {name} ({id})"),
        None => format!("{kind} {id}"),
    }
}

/// Reads the summaries of incidents from the tables.
pub async fn incident_summaries(
    lake: &Lake,
    incidents: &[IncidentId],
) -> Result<Vec<(IncidentId, IncidentContext)>, OpsError> {
    #[derive(Deserialize)]
    struct IncidentRow {
        incident_id: IncidentId,
        title: String,
        workspace_id: String,
        workspace_url: Option<String>,
        resource_kind: Option<String>,
        resource_id: Option<String>,
        resource_name: Option<String>,
    }
    let names: Vec<String> = incidents.iter().map(|incident| format!("'{incident}'")).collect();
    let sql = format!(
        "SELECT incident_id, title, workspace_id, workspace_url, resource_kind, resource_id, resource_name \
         FROM incidents WHERE incident_id IN ({})",
        names.join(", ")
    );
    let rows: Vec<IncidentRow> = Engine::Local(lake).rows(&sql, &[]).await?;
    let summary = |row: IncidentRow| {
        let resource = match (row.resource_kind, row.resource_id) {
            (Some(kind), Some(id)) => Some(resource_text(&kind, &id, row.resource_name.as_deref())),
            _ => None,
        };
        let IncidentRow { incident_id, title, workspace_id, workspace_url, .. } = row;
        (incident_id, IncidentContext { title, workspace_id: Some(workspace_id), workspace_url, resource })
    };
    Ok(rows.into_iter().map(summary).collect())
}
