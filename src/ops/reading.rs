//! Reads incidents, alerts, recurring issues and runbooks. Each request is one struct: its command line, JSON and JSON Schema.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OpsError, existing_lake, incident};
use crate::{
    analytics::engine::{Engine, ParameterValue, Parameters},
    domain::{
        escalation::{status::AlertStatus, trigger::Trigger},
        ids::IncidentId,
        incident::classification::{IncidentType, Status},
    },
    lake::Lake,
    render::{
        listing::IncidentLine,
        runbook::{self, Runbook, RunbookRows, RunbookTool},
    },
    tables::{
        project::Projections,
        rows::{Delivery, EscalationEvent, RecurrenceEvent},
    },
};

/// The default number of rows of a list.
const LIMIT: u64 = 50;

fn limit() -> u64 {
    LIMIT
}

/// Find incidents, the newest report first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct SearchIncidents {
    /// Only incidents of this status
    #[arg(long)]
    pub status: Option<Status>,
    /// Only incidents of this type
    #[arg(long = "type")]
    #[serde(rename = "type")]
    pub incident_type: Option<IncidentType>,
    /// Only incidents with this text (any case) in the title, the root cause, or the name or id of a resource
    #[arg(long)]
    pub text: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = LIMIT)]
    #[serde(default = "limit")]
    pub limit: u64,
}

/// List alerts in their current state, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct ListEscalations {
    /// Only alerts of this status; default: open, acknowledged and suppressed ones
    #[arg(long)]
    pub status: Option<AlertStatus>,
    /// Only alerts of this trigger
    #[arg(long)]
    pub trigger: Option<Trigger>,
    /// Include resolved alerts
    #[arg(long, conflicts_with = "status")]
    #[serde(default)]
    pub all: bool,
    /// At most this many
    #[arg(long, default_value_t = LIMIT)]
    #[serde(default = "limit")]
    pub limit: u64,
}

/// List recurring issues, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct ListRecurring {
    /// Include closed issues
    #[arg(long)]
    #[serde(default)]
    pub all: bool,
    /// At most this many
    #[arg(long, default_value_t = LIMIT)]
    #[serde(default = "limit")]
    pub limit: u64,
}

/// Show the runbook of an incident: every remediation step as blocks to paste into bash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct GetRunbook {
    /// The incident, such as INC-1042
    #[arg(value_name = "INC")]
    pub incident_id: IncidentId,
    /// An earlier version; without it, the latest
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    /// Program that the blocks use to call the workspace
    #[arg(long, value_name = "TOOL", default_value = "cli")]
    #[serde(default)]
    pub with: RunbookTool,
}

/// Finds incidents, the newest report first.
///
/// # Errors
/// [`LakeError::NoLake`](crate::lake::LakeError::NoLake) inside, or the query's.
pub async fn incidents(lake: &Lake, request: &SearchIncidents) -> Result<Vec<IncidentLine>, OpsError> {
    existing_lake(lake).await?;
    // Safe to format: only values of our own enums and a number.
    let status = request.status.map_or_else(String::new, |status| format!(" AND status = '{status}'"));
    let kind = request.incident_type.map_or_else(String::new, |kind| format!(" AND incident_type = '{kind}'"));
    let mut parameters = Parameters::new();
    let mut text = String::new();
    if let Some(wanted) = &request.text {
        parameters.push(("wanted".into(), ParameterValue::Text(wanted.to_lowercase())));
        let columns = ["title", "root_cause", "resource_name", "resource_id"];
        let found = columns.map(|column| format!("strpos(lower(coalesce({column}, '')), :wanted) > 0"));
        text = format!(" AND ({})", found.join(" OR "));
    }
    let sql = format!(
        "SELECT incident_id, reported_at, incident_type, status, title, resource_name, confidence, time_to_resolve_s \
         FROM incidents WHERE true{status}{kind}{text} ORDER BY reported_at DESC NULLS LAST, seq DESC NULLS LAST LIMIT {}",
        request.limit
    );
    Ok(Engine::Local(lake).rows(&sql, &parameters).await?)
}

/// Lists alerts: the latest event of each, the newest first.
///
/// # Errors
/// As [`incidents`].
pub async fn alerts(lake: &Lake, request: &ListEscalations) -> Result<Vec<EscalationEvent>, OpsError> {
    super::rows(lake, &format!("SELECT * {}", latest(request))).await
}

/// Returns all events of the alerts that [`alerts`] returns, to show since when each has its status.
///
/// # Errors
/// As [`incidents`].
pub async fn events_of_alerts(lake: &Lake, request: &ListEscalations) -> Result<Vec<EscalationEvent>, OpsError> {
    let keys = format!("SELECT dedup_key {}", latest(request));
    super::rows(lake, &format!("SELECT * FROM escalation_events WHERE dedup_key IN ({keys})")).await
}

/// Returns the deliveries of an alert's notifications, in order.
///
/// # Errors
/// As [`incidents`].
pub async fn deliveries(lake: &Lake, dedup_key: &str) -> Result<Vec<Delivery>, OpsError> {
    let parameters = [("dedup_key".to_owned(), dedup_key.into())];
    Ok(Engine::Local(lake).rows(DELIVERIES, &parameters).await?)
}

/// Delayed notifications of an alert and failure notifications about it have their own streams.
const DELIVERIES: &str = "SELECT * FROM deliveries WHERE lane = :dedup_key OR lane LIKE concat(:dedup_key, '/after-%') \
                          OR lane LIKE concat('undelivered/%/', :dedup_key) ORDER BY seq, ordinal";

fn latest(request: &ListEscalations) -> String {
    // Safe to format: only values of our own enums and a number.
    let status = match request.status {
        Some(status) => format!("status = '{status}'"),
        None if request.all => "true".into(),
        None => format!("status <> '{}'", AlertStatus::Resolved),
    };
    let trigger = request.trigger.map_or_else(String::new, |trigger| format!(" AND trigger = '{trigger}'"));
    format!(
        "FROM escalations WHERE {status}{trigger} ORDER BY occurred_at DESC NULLS LAST, seq DESC NULLS LAST, \
         ordinal DESC NULLS LAST LIMIT {}",
        request.limit
    )
}

/// Lists recurring issues: the latest event of each episode, the latest occurrence first.
///
/// # Errors
/// As [`incidents`].
pub async fn recurring(lake: &Lake, request: &ListRecurring) -> Result<Vec<RecurrenceEvent>, OpsError> {
    let open = if request.all { "" } else { "WHERE event <> 'closed' " };
    let sql = format!(
        "SELECT * FROM recurring_issues {open}ORDER BY last_at DESC NULLS LAST, seq DESC NULLS LAST LIMIT {}",
        request.limit
    );
    super::rows(lake, &sql).await
}

/// Returns a version of the runbook of an incident.
///
/// # Errors
/// [`OpsError::NoIncident`], [`OpsError::UnknownVersion`], or the lake's.
pub async fn runbook(lake: &Lake, request: &GetRunbook) -> Result<Runbook, OpsError> {
    let (_, projections) = incident(lake, request.incident_id).await?;
    Ok(runbook::runbook(request.incident_id, sources(&projections), request.version, request.with)?)
}

/// Returns the newest version of a runbook. `None` if the incident has no remediation steps.
pub fn newest_runbook(id: IncidentId, projections: &Projections) -> Option<Runbook> {
    if projections.runbooks.is_empty() {
        return None;
    }
    runbook::runbook(id, sources(projections), None, RunbookTool::default()).ok()
}

fn sources(projections: &Projections) -> RunbookRows<'_> {
    RunbookRows { steps: &projections.runbooks, states: &projections.incident_states, causes: &projections.root_causes }
}
