//! Similar incidents: the similarity of causes, and the success rate of earlier fixes.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cause::normalise,
    ids::{Id, IncidentId},
    incident::classification::Status,
    remediation::{RemediationKind, RemediationResult},
    time::Timestamp,
};

/// Minimum similarity of a similar cause.
pub const NEAR: f64 = 0.4;

/// Returns the similarity of two causes from 0 to 1: the Sørensen–Dice coefficient of the distinct words of their normal forms.
/// Masks count as words.
pub fn likeness(first: &str, second: &str) -> f64 {
    let words = |text: &str| normalise(text).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let (first, second): (BTreeSet<String>, BTreeSet<String>) = (words(first), words(second));
    match first.len() + second.len() {
        0 => 0.0,
        all => 2.0 * first.intersection(&second).count() as f64 / all as f64,
    }
}

/// Incidents with a similar cause, and the fixes that were applied in them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SimilarIncidents {
    /// The cause of the search, after merges and splits. Null if its text was never found before.
    pub cause: Option<String>,
    /// Text of the cause.
    pub root_cause: String,
    /// Incidents with the same cause first, then by similarity; within one cause the latest first.
    pub incidents: Vec<SimilarIncident>,
    /// Number of similar incidents, including those that are not listed.
    pub found: u64,
    /// Fixes that were applied in all of them, with their success rates.
    pub fixes: Vec<FixRecord>,
    /// A fix worked if the cause did not recur on the resource for this many hours.
    pub window_hours: i32,
}

/// An incident with a similar cause.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SimilarIncident {
    /// True if it counts as the same cause.
    pub is_same: bool,
    /// Similarity of the causes, from 0 to 1; 1 for the same cause.
    pub likeness: f64,
    #[serde(flatten)]
    pub case: IncidentWithCause,
}

/// An incident with a known cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentWithCause {
    pub incident_id: IncidentId,
    pub reported_at: Timestamp,
    pub status: Status,
    pub title: String,
    /// Its cause, after merges and splits.
    pub cause: String,
    /// Text of the cause in its report.
    pub root_cause: String,
    pub workspace_id: Id,
    pub resource_kind: Option<Id>,
    pub resource_id: Option<Id>,
    pub resource_name: Option<String>,
    pub resolved_at: Option<Timestamp>,
}

impl IncidentWithCause {
    /// Returns true if the first affected resource is the same.
    fn has_same_resource(&self, other: &Self) -> bool {
        self.resource_id.is_some()
            && (&self.workspace_id, &self.resource_kind, &self.resource_id)
                == (&other.workspace_id, &other.resource_kind, &other.resource_id)
    }
}

/// A recorded remediation step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RemediationDone {
    pub incident_id: IncidentId,
    pub kind: RemediationKind,
    pub title: String,
    pub changes: Option<String>,
    pub statement: Option<String>,
    pub command: Option<String>,
    pub result: Option<RemediationResult>,
}

impl RemediationDone {
    /// Returns the identity of the fix; the same change to another job is the same fix.
    fn fix_key(&self) -> String {
        self.changes
            .clone()
            .or_else(|| self.statement.as_deref().map(normalise))
            .or_else(|| self.command.as_deref().map(normalise))
            .unwrap_or_else(|| normalise(&self.title))
    }
}

/// Result of a fix in one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FixOutcome {
    /// The cause did not recur on the resource for a window after the incident was resolved.
    Held,
    /// The cause recurred on the resource within a window.
    CameBack,
    /// The step failed.
    Failed,
    /// The incident is open, was resolved less than a window ago, or has no resource.
    Undecided,
}

/// A fix with its success rate. `applied` = `held` + `came_back` + `failed` + `undecided`; each incident counts once.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FixRecord {
    pub kind: RemediationKind,
    /// Title of its latest step.
    pub title: String,
    /// The settings, statement or command, where the step has one.
    pub what: Option<String>,
    /// Number of incidents in which it was applied.
    pub applied: u32,
    /// Number of incidents in which the cause did not recur on the resource for a window after the resolution.
    pub held: u32,
    /// Number of incidents in which the cause recurred on the resource within a window.
    pub came_back: u32,
    /// Number of incidents in which the step failed.
    pub failed: u32,
    /// Number of incidents that are open, were resolved less than a window ago, or have no resource.
    pub undecided: u32,
    /// The incidents with the fix, the latest first.
    pub incidents: Vec<IncidentId>,
}

/// Returns the fixes that were applied in `cases`, the most successful first. A fix worked if the cause did not recur within
/// `window`.
pub fn fixes(
    cases: &[IncidentWithCause],
    done: &[RemediationDone],
    window: TimeDelta,
    as_of: Timestamp,
) -> Vec<FixRecord> {
    let by_id: BTreeMap<IncidentId, &IncidentWithCause> = cases.iter().map(|case| (case.incident_id, case)).collect();
    let mut latest_first: Vec<&RemediationDone> =
        done.iter().filter(|step| by_id.contains_key(&step.incident_id)).collect();
    latest_first.sort_by_key(|step| std::cmp::Reverse(step.incident_id));
    let mut fixes: BTreeMap<(RemediationKind, String), FixRecord> = BTreeMap::new();
    for step in latest_first {
        let Some(case) = by_id.get(&step.incident_id) else { continue };
        let what = step.changes.clone().or_else(|| step.statement.clone()).or_else(|| step.command.clone());
        let fix = fixes.entry((step.kind, step.fix_key())).or_insert_with(|| FixRecord {
            kind: step.kind,
            title: step.title.clone(),
            what,
            applied: 0,
            held: 0,
            came_back: 0,
            failed: 0,
            undecided: 0,
            incidents: Vec::new(),
        });
        if fix.incidents.contains(&step.incident_id) {
            continue;
        }
        fix.incidents.push(step.incident_id);
        fix.applied += 1;
        match outcome(case, step, cases, window, as_of) {
            FixOutcome::Held => fix.held += 1,
            FixOutcome::CameBack => fix.came_back += 1,
            FixOutcome::Failed => fix.failed += 1,
            FixOutcome::Undecided => fix.undecided += 1,
        }
    }
    let mut fixes: Vec<FixRecord> = fixes.into_values().collect();
    fixes.sort_by(|a, b| {
        let by_use = (b.held, b.applied, a.came_back + a.failed).cmp(&(a.held, a.applied, b.came_back + b.failed));
        by_use.then_with(|| a.title.cmp(&b.title))
    });
    fixes
}

fn outcome(
    case: &IncidentWithCause,
    step: &RemediationDone,
    cases: &[IncidentWithCause],
    window: TimeDelta,
    as_of: Timestamp,
) -> FixOutcome {
    if step.result == Some(RemediationResult::Failed) {
        return FixOutcome::Failed;
    }
    let Some(resolved_at) = case.resolved_at.filter(|_| case.status == Status::Resolved) else {
        return FixOutcome::Undecided;
    };
    let recurred = |other: &&IncidentWithCause| {
        other.incident_id != case.incident_id
            && other.cause == case.cause
            && other.has_same_resource(case)
            && other.reported_at > resolved_at
            && other.reported_at <= resolved_at.plus(window)
    };
    match cases.iter().find(recurred) {
        Some(_) => FixOutcome::CameBack,
        None if case.resource_id.is_none() || resolved_at.plus(window) > as_of => FixOutcome::Undecided,
        None => FixOutcome::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn case(ordinal: u64, reported: &str, resolved: Option<&str>, resource: &str) -> IncidentWithCause {
        IncidentWithCause {
            incident_id: IncidentId::from_ordinal(ordinal),
            reported_at: at(reported),
            status: if resolved.is_some() { Status::Resolved } else { Status::Investigating },
            title: "x failed".into(),
            cause: "code:no-retries".into(),
            root_cause: "no retries".into(),
            workspace_id: Id::new("1").unwrap(),
            resource_kind: Some(Id::new("job").unwrap()),
            resource_id: Some(Id::new(resource).unwrap()),
            resource_name: None,
            resolved_at: resolved.map(at),
        }
    }

    fn done(ordinal: u64, changes: &str, result: Option<RemediationResult>) -> RemediationDone {
        RemediationDone {
            incident_id: IncidentId::from_ordinal(ordinal),
            kind: RemediationKind::JobSettings,
            title: "set retries".into(),
            changes: Some(changes.into()),
            statement: None,
            command: None,
            result,
        }
    }

    #[test]
    fn similarity_is_the_share_of_common_words() {
        assert_eq!(likeness("Executor out of memory", "executor out of MEMORY!"), 1.0);
        assert_eq!(likeness("", ""), 0.0);
        assert_eq!(likeness("a b", "b c"), 0.5);
        assert!(likeness("executor out of memory", "driver ran out of memory") >= NEAR);
        assert!(likeness("no retry policies", "Job retry policies not configured (max_retries=0)") >= NEAR);
        assert!(likeness("executor out of memory", "table was dropped") < NEAR);
    }

    #[test]
    fn a_fix_worked_if_the_cause_does_not_recur_on_the_resource() {
        let window = TimeDelta::hours(168);
        let cases = [
            case(1, "2026-01-01T00:00:00Z", Some("2026-01-01T01:00:00Z"), "7"),
            case(2, "2026-01-05T00:00:00Z", Some("2026-01-05T01:00:00Z"), "7"),
            case(3, "2026-01-05T00:00:00Z", Some("2026-01-05T01:00:00Z"), "8"),
            case(4, "2026-02-01T00:00:00Z", Some("2026-02-01T01:00:00Z"), "9"),
            case(5, "2026-02-01T00:00:00Z", None, "9"),
            case(6, "2026-01-20T00:00:00Z", Some("2026-01-20T01:00:00Z"), "10"),
        ];
        let retries = r#"{"max_retries":3}"#;
        let steps = [
            done(1, retries, Some(RemediationResult::Success)),
            done(1, retries, Some(RemediationResult::Success)),
            done(2, retries, None),
            done(3, retries, None),
            done(4, retries, None),
            done(5, retries, None),
            done(6, retries, Some(RemediationResult::Failed)),
            done(6, r#"{"timeout_seconds":1}"#, None),
            done(99, retries, None),
        ];
        let found = fixes(&cases, &steps, window, at("2026-02-02T00:00:00Z"));
        let counts: Vec<_> =
            found.iter().map(|it| (it.applied, it.held, it.came_back, it.failed, it.undecided)).collect();
        assert_eq!(counts, [(6, 2, 1, 1, 2), (1, 1, 0, 0, 0)]);
        assert_eq!(found[0].incidents[0], IncidentId::from_ordinal(6));
    }
}
