//! Which causes are near each other, and how often a fix kept one away.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cause::normalise,
    ids::{Id, IncidentId},
    time::Timestamp,
    words::{RemediationKind, RemediationResult, Status},
};

/// From this likeness on a cause is near.
pub const NEAR: f64 = 0.4;

/// How much of their words two causes share: twice the distinct words of both normal forms over the sum of those of each, from
/// 0 to 1 (the Sørensen–Dice coefficient). Masks count as words.
pub fn likeness(first: &str, second: &str) -> f64 {
    let words = |text: &str| normalise(text).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let (first, second): (BTreeSet<String>, BTreeSet<String>) = (words(first), words(second));
    match first.len() + second.len() {
        0 => 0.0,
        all => 2.0 * first.intersection(&second).count() as f64 / all as f64,
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Similar {
    /// The cause that was looked for, as it counts today. Null when its words were never found before.
    pub cause: Option<String>,
    /// In words.
    pub root_cause: String,
    /// Those with the same cause first, then by likeness; within one cause the latest first.
    pub incidents: Vec<Like>,
    /// How many there are, beyond those listed too.
    pub found: u64,
    /// What was done in all of them, and how often it held.
    pub fixes: Vec<Fix>,
    /// Hours for which a cause must stay away from a resource for a fix to have held.
    pub window_hours: i32,
}

/// An incident with a cause like the one that was looked for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Like {
    /// It counts as the same cause.
    pub is_same: bool,
    /// Twice the words that both causes share, over all words of each; 1 where the cause is the same.
    pub likeness: f64,
    #[serde(flatten)]
    pub case: Case,
}

/// An incident of which the cause is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    pub incident_id: IncidentId,
    pub reported_at: Timestamp,
    pub status: Status,
    pub title: String,
    /// What its cause counts as.
    pub cause: String,
    /// The cause in the words of its report.
    pub root_cause: String,
    pub workspace_id: Id,
    pub resource_kind: Option<Id>,
    pub resource_id: Option<Id>,
    pub resource_name: Option<String>,
    pub resolved_at: Option<Timestamp>,
}

impl Case {
    /// The same thing failed: the first affected resource is the same.
    fn is_about_the_same(&self, other: &Self) -> bool {
        self.resource_id.is_some()
            && (&self.workspace_id, &self.resource_kind, &self.resource_id)
                == (&other.workspace_id, &other.resource_kind, &other.resource_id)
    }
}

/// A remediation step that was done.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Done {
    pub incident_id: IncidentId,
    pub kind: RemediationKind,
    pub title: String,
    pub changes: Option<String>,
    pub statement: Option<String>,
    pub command: Option<String>,
    pub result: Option<RemediationResult>,
}

impl Done {
    /// What was done, so that the same done to another job is the same fix.
    fn what(&self) -> String {
        self.changes
            .clone()
            .or_else(|| self.statement.as_deref().map(normalise))
            .or_else(|| self.command.as_deref().map(normalise))
            .unwrap_or_else(|| normalise(&self.title))
    }
}

/// What became of a fix in one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The cause has stayed away from the resource for a window after the incident was resolved.
    Held,
    /// The cause came back to the resource within a window.
    CameBack,
    /// The step failed.
    Failed,
    /// The incident is open, or was resolved less than a window ago, or names no resource.
    Undecided,
}

/// A fix, and how often it held. `applied` = `held` + `came_back` + `failed` + `undecided`; each incident counts once.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fix {
    pub kind: RemediationKind,
    /// In the words of its latest step.
    pub title: String,
    /// The settings, statement or command, where the step has one.
    pub what: Option<String>,
    /// In how many incidents it was done.
    pub applied: u32,
    /// The incident was resolved, and the cause stayed away from the resource for a window.
    pub held: u32,
    /// The cause came back to the resource within a window.
    pub came_back: u32,
    /// The step failed.
    pub failed: u32,
    /// The incident is open, or was resolved less than a window ago, or names no resource.
    pub undecided: u32,
    /// The incidents, the latest first.
    pub incidents: Vec<IncidentId>,
}

/// Every fix that was applied in `cases`, those that held most often first. `window` is how long a cause must stay away.
pub fn fixes(cases: &[Case], done: &[Done], window: TimeDelta, as_of: Timestamp) -> Vec<Fix> {
    let by_id: BTreeMap<IncidentId, &Case> = cases.iter().map(|case| (case.incident_id, case)).collect();
    let mut latest_first: Vec<&Done> = done.iter().filter(|step| by_id.contains_key(&step.incident_id)).collect();
    latest_first.sort_by_key(|step| std::cmp::Reverse(step.incident_id));
    let mut fixes: BTreeMap<(RemediationKind, String), Fix> = BTreeMap::new();
    for step in latest_first {
        let Some(case) = by_id.get(&step.incident_id) else { continue };
        let what = step.changes.clone().or_else(|| step.statement.clone()).or_else(|| step.command.clone());
        let fix = fixes.entry((step.kind, step.what())).or_insert_with(|| Fix {
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
            Outcome::Held => fix.held += 1,
            Outcome::CameBack => fix.came_back += 1,
            Outcome::Failed => fix.failed += 1,
            Outcome::Undecided => fix.undecided += 1,
        }
    }
    let mut fixes: Vec<Fix> = fixes.into_values().collect();
    fixes.sort_by(|a, b| {
        let by_use = (b.held, b.applied, a.came_back + a.failed).cmp(&(a.held, a.applied, b.came_back + b.failed));
        by_use.then_with(|| a.title.cmp(&b.title))
    });
    fixes
}

fn outcome(case: &Case, step: &Done, cases: &[Case], window: TimeDelta, as_of: Timestamp) -> Outcome {
    if step.result == Some(RemediationResult::Failed) {
        return Outcome::Failed;
    }
    let Some(resolved_at) = case.resolved_at.filter(|_| case.status == Status::Resolved) else {
        return Outcome::Undecided;
    };
    let back = |other: &&Case| {
        other.incident_id != case.incident_id
            && other.cause == case.cause
            && other.is_about_the_same(case)
            && other.reported_at > resolved_at
            && other.reported_at <= resolved_at.plus(window)
    };
    match cases.iter().find(back) {
        Some(_) => Outcome::CameBack,
        None if case.resource_id.is_none() || resolved_at.plus(window) > as_of => Outcome::Undecided,
        None => Outcome::Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn case(ordinal: u64, reported: &str, resolved: Option<&str>, resource: &str) -> Case {
        Case {
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

    fn done(ordinal: u64, changes: &str, result: Option<RemediationResult>) -> Done {
        Done {
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
    fn likeness_is_one_for_the_same_words_and_counts_shared_ones() {
        assert_eq!(likeness("Executor out of memory", "executor out of MEMORY!"), 1.0);
        assert_eq!(likeness("", ""), 0.0);
        assert_eq!(likeness("a b", "b c"), 0.5);
        assert!(likeness("executor out of memory", "driver ran out of memory") >= NEAR);
        assert!(likeness("no retry policies", "Job retry policies not configured (max_retries=0)") >= NEAR);
        assert!(likeness("executor out of memory", "table was dropped") < NEAR);
    }

    #[test]
    fn a_fix_holds_when_its_cause_stays_away_from_the_same_resource() {
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
        let told: Vec<_> =
            found.iter().map(|it| (it.applied, it.held, it.came_back, it.failed, it.undecided)).collect();
        assert_eq!(told, [(6, 2, 1, 1, 2), (1, 1, 0, 0, 0)]);
        assert_eq!(found[0].incidents[0], IncidentId::from_ordinal(6));
    }
}
