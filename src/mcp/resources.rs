//! Resources that clients can browse: incidents, runbooks, digests.

use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde::Deserialize;

use super::tool_output::ToolError;
use crate::{
    analytics::engine::Engine,
    domain::{
        ids::IncidentId,
        week::{Week, WeekNumber},
    },
    lake::{Lake, LakeError},
    ops::{
        self, OpsError,
        artifacts::record,
        digest::DigestStatus,
        reading::{SearchIncidents, incidents, newest_runbook},
    },
    render::{self, digest::markdown::markdown, plain, timeline},
};

const INCIDENTS: &str = "ops-runbook:///incidents/";
const RUNBOOKS: &str = "ops-runbook:///runbooks/";
const DIGESTS: &str = "ops-runbook:///digests/";
/// Maximum number of listed resources of each kind.
const LISTED: u64 = 50;

pub fn templates() -> Vec<ResourceTemplate> {
    let template = |prefix: &str, variable: &str, name: &str, description: &str, kind: &str| {
        ResourceTemplate::new(format!("{prefix}{{{variable}}}"), name)
            .with_description(description)
            .with_mime_type(kind)
    };
    vec![
        template(INCIDENTS, "incident_id", "incident", "The timeline of an incident, such as INC-1042", "text/plain"),
        template(RUNBOOKS, "incident_id", "runbook", "The runbook of an incident, safe to paste", "text/markdown"),
        template(DIGESTS, "week", "digest", "The recorded digest of an ISO week, such as 2026-W08", "text/markdown"),
    ]
}

/// Lists the latest incidents, runbooks and recorded digests. A lake that does not exist has none.
///
/// # Errors
/// An error of the lake.
pub async fn list(lake: &Lake) -> Result<Vec<Resource>, ToolError> {
    #[derive(Deserialize)]
    struct NamedResource {
        name: String,
    }
    let ask = SearchIncidents { status: None, incident_type: None, text: None, limit: LISTED };
    let found = match incidents(lake, &ask).await {
        Err(OpsError::Lake(LakeError::NoLake(_))) => return Ok(Vec::new()),
        found => found?,
    };
    let mut resources = Vec::new();
    for incident in found {
        let title = plain::line(&incident.title).into_owned();
        let id = incident.incident_id;
        resources.push(
            Resource::new(format!("{INCIDENTS}{id}"), id.to_string()).with_title(title).with_mime_type("text/plain"),
        );
    }
    let sql = format!(
        "SELECT incident_id AS name FROM runbooks GROUP BY incident_id ORDER BY max(seq) DESC NULLS LAST LIMIT {LISTED}"
    );
    for NamedResource { name } in ops::rows::<NamedResource>(lake, &sql).await? {
        let title = format!("Runbook of {name}");
        resources.push(
            Resource::new(format!("{RUNBOOKS}{name}"), format!("{name} runbook"))
                .with_title(title)
                .with_mime_type("text/markdown"),
        );
    }
    let zone = lake.context.policy.digest.time_zone;
    // An IANA name has no quotes.
    let sql = format!(
        "SELECT week AS name FROM digests WHERE time_zone = '{}' GROUP BY week ORDER BY week DESC NULLS LAST LIMIT {LISTED}",
        zone.name()
    );
    for NamedResource { name } in ops::rows::<NamedResource>(lake, &sql).await? {
        let title = format!("Digest of {name}");
        resources.push(
            Resource::new(format!("{DIGESTS}{name}"), format!("{name} digest"))
                .with_title(title)
                .with_mime_type("text/markdown"),
        );
    }
    Ok(resources)
}

/// Reads a resource.
///
/// # Errors
/// [`ToolError::Input`] for an unknown resource, or an error of the lake.
pub async fn read(lake: &Lake, uri: &str) -> Result<ReadResourceResult, ToolError> {
    let wrong = |message: String| {
        ToolError::with("/uri", message, "resources/list and resources/templates/list list the resources")
    };
    let (text, kind) = if let Some(id) = uri.strip_prefix(INCIDENTS) {
        let (rows, projections) = ops::incident(lake, id.parse().map_err(wrong)?).await?;
        (timeline::incident(&record(&rows, &projections)), "text/plain")
    } else if let Some(id) = uri.strip_prefix(RUNBOOKS) {
        let id: IncidentId = id.parse().map_err(wrong)?;
        let (_, projections) = ops::incident(lake, id).await?;
        let runbook = newest_runbook(id, &projections);
        let none = || wrong(format!("{id} has no runbook: no remediation step was recorded"));
        (render::runbook::markdown(&runbook.ok_or_else(none)?), "text/markdown")
    } else if let Some(week) = uri.strip_prefix(DIGESTS) {
        let number: WeekNumber = week.parse().map_err(wrong)?;
        ops::existing_lake(lake).await?;
        let week = Week::new(number, lake.context.policy.digest.time_zone);
        let result = ops::digest::read(lake, Engine::Local(lake), week).await?;
        if result.status == DigestStatus::Preview {
            return Err(wrong(format!("no digest of {number} is recorded")));
        }
        (markdown(&result.digest), "text/markdown")
    } else {
        return Err(wrong("is not a resource of this server".into()));
    };
    Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(kind)]))
}
