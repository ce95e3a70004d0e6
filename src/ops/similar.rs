//! Incidents of the same kind: the same cause or a near one, what fixed them, how often that held.

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
        similar::{Case, Done, Like, NEAR, Similar, fixes, likeness},
    },
    lake::Lake,
};

/// Near causes that are looked at, the nearest first.
const MAX_NEAR: usize = 20;

/// Find incidents with the same cause or a near one, what fixed them, and how often that held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Args)]
#[serde(deny_unknown_fields)]
pub struct SimilarIncidents {
    /// Like that of this incident, such as INC-1042; or give --cause
    #[arg(value_name = "INC", required_unless_present = "cause", conflicts_with = "cause")]
    pub incident_id: Option<IncidentId>,
    /// Like this cause: words, a fingerprint as causes are listed with, or code:NAME
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

/// # Errors
/// [`OpsError::Refused`] when nothing, or too much, is looked for; [`OpsError::NoIncident`], [`OpsError::NoCause`], or the
/// lake's.
pub async fn find(lake: &Lake, ask: &SimilarIncidents, redactor: &Redactor) -> Result<Similar, OpsError> {
    existing_lake(lake).await?;
    let wanted = match (&ask.incident_id, &ask.cause) {
        (Some(id), None) => id.to_string(),
        (None, Some(cause)) => redactor.text(cause).into_owned(),
        _ => {
            return Err(OpsError::Refused(Refusal {
                message: "either an incident or a cause is looked for".into(),
                hint: "give one of the two".into(),
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
    // Of what counts as one cause the words that are nearest.
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
    // What was done in the incident that asks says nothing yet; but that it is there may say that an earlier fix did not hold.
    done.retain(|step| Some(step.incident_id) != ask.incident_id);
    let fixes = fixes(&cases, &done, rule.window(), lake.context.now());
    cases.retain(|case| Some(case.incident_id) != ask.incident_id);
    let found = cases.len() as u64;
    let mut incidents = Vec::new();
    for (of, likeness) in &ranked {
        let own = cases.iter().filter(|case| case.cause == *of);
        incidents.extend(own.map(|case| Like { is_same: is_same(of), likeness: *likeness, case: case.clone() }));
    }
    incidents.truncate(ask.limit);
    Ok(Similar { cause, root_cause, incidents, found, fixes, window_hours: rule.window_hours })
}

/// The incidents of which the finding that counts is one of `causes`, the latest first, and what was done in them.
async fn cases(lake: &Lake, causes: &[(String, f64)]) -> Result<(Vec<Case>, Vec<Done>), OpsError> {
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
