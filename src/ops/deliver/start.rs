//! What a deliverer knows before it reads on in the ledger: everything that is settled is left out.

use std::sync::Arc;

use serde::Deserialize;

use super::super::OpsError;
use crate::{
    analytics::engine::{Engine, Value},
    domain::{
        delivery::{
            About,
            outbox::{Outbox, Told},
        },
        ids::{Id, IncidentId},
        incident::Incident,
        time::Timestamp,
        words::ChannelKind,
    },
    lake::Lake,
};

const LAST: &str = "SELECT max(settled_to) AS settled_to, max(occurred_at) AS claimed_at FROM deliveries";

/// Channels that were told, or may have been, of alerts that were not over by then, and not that these are over. A claim stands
/// only while nothing else is recorded of its incident: what counts is when the event that is told of was recorded.
const TOLD: &str = "\
WITH standing AS (
  SELECT dedup_key
  FROM escalation_events
  WHERE seq <= :settled_to AND status IS NOT NULL AND event <> 'not-fired'
  GROUP BY dedup_key
  HAVING max(seq) > max(CASE WHEN status = 'resolved' THEN seq ELSE 0 END)
)
SELECT deliveries.channel, deliveries.channel_kind AS kind, deliveries.lane, standing.dedup_key,
  min(CASE WHEN deliveries.says <> 'resolve' THEN deliveries.receipt END) AS receipt
FROM deliveries
INNER JOIN standing
  ON standing.dedup_key = split_part(deliveries.lane, '/after-', 1)
WHERE deliveries.says IN ('trigger', 'again', 'resolve')
  AND deliveries.event IN ('claimed', 'delivered')
  AND deliveries.source_seq <= :settled_to
GROUP BY deliveries.channel, deliveries.channel_kind, deliveries.lane, standing.dedup_key
HAVING max(CASE WHEN deliveries.says <> 'resolve' THEN deliveries.source_seq ELSE 0 END)
  > max(CASE WHEN deliveries.says = 'resolve' THEN deliveries.source_seq ELSE 0 END)
ORDER BY deliveries.channel, deliveries.lane";

/// The outbox as of what is settled.
pub async fn outbox(lake: &Lake) -> Result<Outbox, OpsError> {
    #[derive(Deserialize)]
    struct Last {
        settled_to: Option<u64>,
        claimed_at: Option<Timestamp>,
    }
    #[derive(Deserialize)]
    struct Lane {
        channel: Id,
        kind: ChannelKind,
        lane: String,
        dedup_key: String,
        receipt: Option<String>,
    }
    let engine = Engine::Local(lake);
    let policy = Arc::clone(&lake.context.policy);
    let last: Option<Last> = engine.rows(LAST, &[]).await?.pop();
    let Some(Last { settled_to: Some(settled_to), claimed_at }) = last else {
        return Ok(Outbox::new(policy, 0, Vec::new(), None));
    };
    let parameters = [("settled_to".to_owned(), Value::Int(settled_to.try_into().unwrap_or(i64::MAX)))];
    let lanes: Vec<Lane> = engine.rows(TOLD, &parameters).await?;
    let told = lanes.into_iter().map(|Lane { channel, kind, lane, dedup_key, receipt }| Told {
        channel,
        kind,
        lane,
        dedup_key,
        receipt,
    });
    Ok(Outbox::new(policy, settled_to, told.collect(), claimed_at))
}

/// What people are told of an incident.
pub fn about(incident: &Incident) -> About {
    let resource = incident.resources.first();
    About {
        title: incident.title.clone(),
        workspace_id: Some(incident.workspace.id.to_string()),
        workspace_url: incident.workspace.url.clone(),
        resource: resource
            .map(|resource| named(resource.kind.as_str(), resource.id.as_str(), resource.name.as_deref())),
    }
}

fn named(kind: &str, id: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{kind} {name} ({id})"),
        None => format!("{kind} {id}"),
    }
}

/// [`about`] incidents, by what the tables say.
pub async fn abouts(lake: &Lake, incidents: &[IncidentId]) -> Result<Vec<(IncidentId, About)>, OpsError> {
    #[derive(Deserialize)]
    struct Row {
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
    let rows: Vec<Row> = Engine::Local(lake).rows(&sql, &[]).await?;
    let about = |row: Row| {
        let resource = match (row.resource_kind, row.resource_id) {
            (Some(kind), Some(id)) => Some(named(&kind, &id, row.resource_name.as_deref())),
            _ => None,
        };
        let Row { incident_id, title, workspace_id, workspace_url, .. } = row;
        (incident_id, About { title, workspace_id: Some(workspace_id), workspace_url, resource })
    };
    Ok(rows.into_iter().map(about).collect())
}
