//! Finds similar incidents: the same cause or a similar one, the fixes, and how often they held.

use std::collections::BTreeMap;

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OpsError, causes, existing_lake, recurrence};
use crate::{
    analytics::{
        self,
        engine::{Engine, Parameters},
    },
    domain::{
        ids::IncidentId,
        incident::Refusal,
        recurrence::current_aliases,
        redact::Redactor,
        similar::{IncidentWithCause, NEAR, RemediationDone, SimilarIncident, SimilarIncidents, fixes, likeness},
    },
    lake::Lake,
};

/// Maximum number of similar causes, the most similar first.
const MAX_NEAR: usize = 20;

/// Find incidents with the same or a similar cause, their fixes, and how often the fixes held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct FindSimilarIncidents {
    /// Similar to the cause of this incident, such as INC-1042; or give --cause
    #[arg(value_name = "INC", required_unless_present = "cause", conflicts_with = "cause")]
    pub incident_id: Option<IncidentId>,
    /// Similar to this cause: a wording, a fingerprint from `cause list`, or code:NAME
    #[arg(long, value_name = "CAUSE")]
    pub cause: Option<String>,
    /// At most this many incidents
    #[arg(long, default_value_t = 10)]
    #[serde(default = "limit")]
    pub limit: usize,
}

fn limit() -> usize {
    10
}

/// Finds incidents with the same or a similar cause.
///
/// # Errors
/// [`OpsError::Refused`] unless exactly one of incident and cause is given; [`OpsError::NoIncident`], [`OpsError::NoCause`],
/// or the lake's.
pub async fn find(
    lake: &Lake,
    request: &FindSimilarIncidents,
    redactor: &Redactor,
) -> Result<SimilarIncidents, OpsError> {
    existing_lake(lake).await?;
    let wanted = match (&request.incident_id, &request.cause) {
        (Some(id), None) => id.to_string(),
        (None, Some(cause)) => redactor.text(cause).into_owned(),
        _ => {
            return Err(OpsError::Refused(Refusal {
                message: "similar incidents need an incident or a cause".into(),
                hint: "give either an incident id or a cause".into(),
            }));
        }
    };
    let known = causes::known(lake).await?;
    let by_fingerprint = known.iter().map(|cause| (cause.cause_fingerprint.clone(), cause.clone())).collect();
    let (root_cause, fingerprint) = causes::find(lake, &wanted, &by_fingerprint).await?;
    let aliases = analytics::recurrence::aliases(Engine::Local(lake)).await?;
    let current = current_aliases(&aliases);
    let now = |cause: &str| current.get(cause).map_or_else(|| cause.to_owned(), |now| (*now).to_owned());
    let cause = fingerprint.as_deref().map(now);
    // Merged causes get the highest similarity of their wordings.
    let mut near: BTreeMap<String, f64> = BTreeMap::new();
    for other in &known {
        let counts_as = now(&other.cause_fingerprint);
        let alike = if Some(&counts_as) == cause.as_ref() { 1.0 } else { likeness(&root_cause, &other.root_cause) };
        if alike >= NEAR {
            let nearest = near.entry(counts_as).or_insert(alike);
            *nearest = nearest.max(alike);
        }
    }
    let is_same = |other: &str| cause.as_deref() == Some(other);
    let mut ranked: Vec<(String, f64)> = near.into_iter().collect();
    ranked.sort_by(|a, b| is_same(&b.0).cmp(&is_same(&a.0)).then(b.1.total_cmp(&a.1)).then_with(|| a.0.cmp(&b.0)));
    ranked.truncate(MAX_NEAR);
    let (mut cases, mut done) = cases(lake, &ranked).await?;
    let rule = recurrence::rule(lake);
    // The requested incident's own fix is not judged yet. The incident itself counts: an earlier fix may not have held.
    done.retain(|step| Some(step.incident_id) != request.incident_id);
    let fixes = fixes(&cases, &done, rule.window(), lake.context.now());
    cases.retain(|case| Some(case.incident_id) != request.incident_id);
    let found = cases.len() as u64;
    let mut incidents = Vec::new();
    for (of, likeness) in &ranked {
        let own = cases.iter().filter(|case| case.cause == *of);
        incidents.extend(own.map(|case| SimilarIncident {
            is_same: is_same(of),
            likeness: *likeness,
            case: case.clone(),
        }));
    }
    incidents.truncate(request.limit);
    Ok(SimilarIncidents { cause, root_cause, incidents, found, fixes, window_hours: rule.window_hours })
}

/// Reads the incidents whose current finding is one of `causes`, the latest first, and their applied steps.
async fn cases(
    lake: &Lake,
    causes: &[(String, f64)],
) -> Result<(Vec<IncidentWithCause>, Vec<RemediationDone>), OpsError> {
    if causes.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut parameters = Parameters::new();
    let mut names = Vec::new();
    for (at, (cause, _)) in causes.iter().enumerate() {
        parameters.push((format!("cause_{at}"), cause.as_str().into()));
        names.push(format!(":cause_{at}"));
    }
    let found = format!(
        "SELECT incident_id, cause, root_cause FROM cause_findings WHERE superseded_at IS NULL AND cause IN ({})",
        names.join(", ")
    );
    let engine = Engine::Local(lake);
    let cases = engine
        .rows(
            &format!(
                "SELECT incidents.incident_id, reported_at, status, title, found.cause, found.root_cause, workspace_id, \
                 resource_kind, resource_id, resource_name, resolved_at FROM incidents INNER JOIN ({found}) AS found ON \
                 found.incident_id = incidents.incident_id ORDER BY reported_at DESC NULLS LAST, seq DESC NULLS LAST"
            ),
            &parameters,
        )
        .await?;
    let done = engine
        .rows(
            &format!(
                "SELECT runbooks.incident_id, kind, title, changes, statement, command, result FROM runbooks INNER JOIN \
                 ({found}) AS found ON found.incident_id = runbooks.incident_id WHERE applied ORDER BY runbooks.seq, ordinal"
            ),
            &parameters,
        )
        .await?;
    Ok((cases, done))
}
