//! Questions about what is recorded. One struct per question, which is its command line, its JSON and its JSON Schema at
//! once.

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OpsError, existing_lake, incident};
use crate::{
    analytics::engine::{Engine, Parameters, Value},
    domain::{
        ids::IncidentId,
        words::{AlertStatus, IncidentType, Status, Trigger},
    },
    lake::Lake,
    render::{
        listing::IncidentLine,
        runbook::{self, Runbook, Sources, Tool},
    },
    tables::{
        project::Projections,
        rows::{Delivery, EscalationEvent, RecurrenceEvent},
    },
};

/// Rows of a list, unless told otherwise.
const LIMIT: u64 = 50;

fn limit() -> u64 {
    LIMIT
}

/// Find incidents, the newest report first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct SearchIncidents {
    /// Only those of this status
    #[arg(long)]
    pub status: Option<Status>,
    /// Only those of this type
    #[arg(long = "type")]
    #[serde(rename = "type")]
    pub incident_type: Option<IncidentType>,
    /// Only those with this text, in upper or lower case, in the title, the root cause, or the name or id of what is affected
    #[arg(long)]
    pub text: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = LIMIT)]
    #[serde(default = "limit")]
    pub limit: u64,
}

/// List alerts as they stand, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct ListEscalations {
    /// Only those of this status; open, acknowledged and suppressed ones unless given
    #[arg(long)]
    pub status: Option<AlertStatus>,
    /// Only those of this trigger
    #[arg(long)]
    pub trigger: Option<Trigger>,
    /// Resolved ones too
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
    /// Closed ones too
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
    /// With which program the blocks reach the workspace
    #[arg(long, value_name = "TOOL", default_value = "cli")]
    #[serde(default)]
    pub with: Tool,
}

/// # Errors
/// [`LakeError::NoLake`](crate::lake::LakeError::NoLake) inside, or the query's.
pub async fn incidents(lake: &Lake, ask: &SearchIncidents) -> Result<Vec<IncidentLine>, OpsError> {
    existing_lake(lake).await?;
    // Only our own words and a number stand in this text.
    let status = ask.status.map_or_else(String::new, |status| format!(" AND status = '{status}'"));
    let kind = ask.incident_type.map_or_else(String::new, |kind| format!(" AND incident_type = '{kind}'"));
    let mut parameters = Parameters::new();
    let mut text = String::new();
    if let Some(wanted) = &ask.text {
        parameters.push(("wanted".into(), Value::Text(wanted.to_lowercase())));
        let columns = ["title", "root_cause", "resource_name", "resource_id"];
        let found = columns.map(|column| format!("strpos(lower(coalesce({column}, '')), :wanted) > 0"));
        text = format!(" AND ({})", found.join(" OR "));
    }
    let sql = format!(
        "SELECT incident_id, reported_at, incident_type, status, title, resource_name, confidence, time_to_resolve_s \
         FROM incidents WHERE true{status}{kind}{text} ORDER BY reported_at DESC NULLS LAST, seq DESC NULLS LAST LIMIT {}",
        ask.limit
    );
    Ok(Engine::Local(lake).rows(&sql, &parameters).await?)
}

/// Alerts: the latest event of each, the newest first.
///
/// # Errors
/// As [`incidents`].
pub async fn alerts(lake: &Lake, ask: &ListEscalations) -> Result<Vec<EscalationEvent>, OpsError> {
    super::rows(lake, &format!("SELECT * {}", latest(ask))).await
}

/// All events of the alerts that [`alerts`] finds: since when one stands as it does takes them.
///
/// # Errors
/// As [`incidents`].
pub async fn events_of_alerts(lake: &Lake, ask: &ListEscalations) -> Result<Vec<EscalationEvent>, OpsError> {
    let keys = format!("SELECT dedup_key {}", latest(ask));
    super::rows(lake, &format!("SELECT * FROM escalation_events WHERE dedup_key IN ({keys})")).await
}

/// What people were told of an alert, and what came of it, in the order in which it happened.
///
/// # Errors
/// As [`incidents`].
pub async fn deliveries(lake: &Lake, dedup_key: &str) -> Result<Vec<Delivery>, OpsError> {
    let parameters = [("dedup_key".to_owned(), dedup_key.into())];
    Ok(Engine::Local(lake).rows(DELIVERIES, &parameters).await?)
}

/// What was told later stands in lanes of its own, and so does that nobody could be told.
const DELIVERIES: &str = "SELECT * FROM deliveries WHERE lane = :dedup_key OR lane LIKE concat(:dedup_key, '/after-%') \
                          OR lane LIKE concat('undelivered/%/', :dedup_key) ORDER BY seq, ordinal";

fn latest(ask: &ListEscalations) -> String {
    // Only our own words and a number stand in this text.
    let status = match ask.status {
        Some(status) => format!("status = '{status}'"),
        None if ask.all => "true".into(),
        None => format!("status <> '{}'", AlertStatus::Resolved),
    };
    let trigger = ask.trigger.map_or_else(String::new, |trigger| format!(" AND trigger = '{trigger}'"));
    format!(
        "FROM escalations WHERE {status}{trigger} ORDER BY occurred_at DESC NULLS LAST, seq DESC NULLS LAST, \
         ordinal DESC NULLS LAST LIMIT {}",
        ask.limit
    )
}

/// Recurring issues: the latest event of each episode, the latest occurrence first.
///
/// # Errors
/// As [`incidents`].
pub async fn recurring(lake: &Lake, ask: &ListRecurring) -> Result<Vec<RecurrenceEvent>, OpsError> {
    let open = if ask.all { "" } else { "WHERE event <> 'closed' " };
    let sql = format!(
        "SELECT * FROM recurring_issues {open}ORDER BY last_at DESC NULLS LAST, seq DESC NULLS LAST LIMIT {}",
        ask.limit
    );
    super::rows(lake, &sql).await
}

/// # Errors
/// [`OpsError::NoIncident`], [`OpsError::NoVersion`], or the lake's.
pub async fn runbook(lake: &Lake, ask: &GetRunbook) -> Result<Runbook, OpsError> {
    let (_, projections) = incident(lake, ask.incident_id).await?;
    Ok(runbook::runbook(ask.incident_id, sources(&projections), ask.version, ask.with)?)
}

/// The newest version; `None` when there are no steps.
pub fn newest_runbook(id: IncidentId, projections: &Projections) -> Option<Runbook> {
    if projections.runbooks.is_empty() {
        return None;
    }
    runbook::runbook(id, sources(projections), None, Tool::default()).ok()
}

fn sources(projections: &Projections) -> Sources<'_> {
    Sources { steps: &projections.runbooks, states: &projections.incident_states, causes: &projections.root_causes }
}
