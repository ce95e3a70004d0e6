//! Prevention: actions that prevent a cause from recurring, and their effect.
//!
//! Recommendations come from a [`catalog`] of actions for existing surfaces. A cluster policy cannot contain task settings, so it
//! is never recommended for retries and timeouts.

pub mod catalog;
pub mod state;

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use catalog::policy_template;

use super::{
    cause,
    ids::IncidentId,
    prevention::state::PreventionState,
    recurrence::{CauseMapping, Occurrence, RecurrenceRule, current_aliases, pattern::Attributes},
    time::Timestamp,
};

/// Place in which a preventive action is implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// A resource file of a bundle, or a check before its deployment.
    BundleYaml,
    /// Job settings of the Jobs API.
    JobSettings,
    /// A scheduled check of live settings that prints violations.
    SweepRule,
    /// `health` and notification settings of a job.
    HealthRule,
    /// The definition of a cluster policy, which can contain only attributes of the Clusters API.
    ClusterPolicy,
}

impl Surface {
    /// Returns the name of the surface in texts for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BundleYaml => "bundle YAML",
            Self::JobSettings => "job settings",
            Self::SweepRule => "sweep rule, daily",
            Self::HealthRule => "health rule",
            Self::ClusterPolicy => "cluster policy",
        }
    }
}

/// Topic of a cause in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    Retries,
    Timeouts,
    Memory,
    Access,
    Upstream,
    Schema,
    Runtime,
    Data,
    Capacity,
    Concurrency,
    IdleCompute,
    /// None of the others.
    Generic,
}

/// A preventive action that an alert recommends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecommendedAction {
    /// Its name in the catalogue, such as `bundle-retry-policy`.
    pub name: String,
    pub title: String,
    pub surface: Surface,
    /// Text for the surface.
    pub snippet: String,
    /// State of the action against this cause.
    pub state: PreventionState,
}

/// Settings that would have prevented the cause, valid JSON for their surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTemplate {
    pub surface: Surface,
    /// Part of the surface that the definition belongs to, such as `fields of each task`.
    pub part: String,
    pub definition: Value,
}

/// The columns of a `preventive_actions` row that prevention needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PreventionStep {
    /// The cause as it was recorded; causes that were merged since then count as one.
    #[serde(rename = "cause_fingerprint")]
    pub cause: String,
    pub seq: u64,
    pub ordinal: i32,
    pub action: String,
    pub state: PreventionState,
    pub occurred_at: Timestamp,
}

/// An adopted action after which the cause recurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurredAfter {
    /// Its name in the catalogue.
    pub action: String,
    pub adopted_at: Timestamp,
    /// Occurrences since then.
    pub occurrences: u64,
    pub first_at: Timestamp,
    pub first_incident_id: IncidentId,
}

/// A state change of a preventive action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    pub action: String,
    pub state: PreventionState,
    pub note: String,
}

/// Returns the topic of a cause by its code, else by its text, else by attributes of the resource.
pub fn recognise(code: Option<&str>, cause_text: &str, attributes: Option<&Attributes>) -> Topic {
    let by_text = |text: &str| {
        let text = format!(" {}", cause::normalise(text).replace('_', " "));
        TOPICS.iter().find(|(_, pattern)| pattern.is_match(&text)).map(|(topic, _)| *topic)
    };
    let is_zero = |name: &str| attributes.and_then(|attributes| attributes.get(name)).is_some_and(|value| value == "0");
    code.and_then(|code| by_text(&code.replace(['-', '.', ':', '/'], " ")))
        .or_else(|| by_text(cause_text))
        .unwrap_or_else(|| match (is_zero("max_retries"), is_zero("timeout_seconds")) {
            (true, _) => Topic::Retries,
            (_, true) => Topic::Timeouts,
            _ => Topic::Generic,
        })
}

/// Patterns of the topics. The first match counts, so specific patterns come first. Digits are masked in the text.
static TOPICS: LazyLock<Vec<(Topic, Regex)>> = LazyLock::new(|| {
    [
        (Topic::Upstream, " (max retries exceeded|retries exhausted)"),
        (Topic::Retries, " (no|without|zero|missing) (task |job )?retr| retr(y|ies) (policy|policies|not|disabled|missing)| max retries| not retried"),
        (Topic::Concurrency, " (max(imum)? )?concurrent runs?| concurrency limit| (run )?queue (is )?full| overlapping runs?"),
        (Topic::Memory, " out of memory| outofmemory| oom( |$)| oomkilled| heap space| memory limit| gc overhead"),
        (Topic::IdleCompute, " auto ?termination| idle (cluster|compute|warehouse)"),
        (Topic::Capacity, " cluster (start|launch|creation)| cluster.* (did not|failed to|could not) start| capacity| insufficient instances?| stockout| quota| spot (instance|preempt|evict)| instance pool"),
        (Topic::Upstream, " throttl| rate limit| too many requests| service unavailable| temporarily unavailable| (bad )?gateway| upstream| connection (reset|refused|timed out|timeout)| (connect|read) (timeout|timed out)| transient"),
        (Topic::Timeouts, " (no|without|missing) timeout| timeout( seconds)? (not|missing)| timed out| timeout| hung| ran too long| run duration"),
        (Topic::Access, " expired? (token|credential|secret|certificate|password)| (token|credentials?|secret|certificate|password)s? .*expired| permission| unauthori[sz]ed| forbidden| access denied| authentication| credential"),
        (Topic::Schema, " schema| column .*(missing|not found|renamed|dropped)| type mismatch| incompatible type| unresolved column"),
        (Topic::Runtime, " deprecat| end of (life|support)| runtime version| spark version| library (version|conflict)| dependency (version|conflict)| modulenotfound| no module named| nosuchmethod"),
        (Topic::Data, " (data|file|files|partition|table|input|source) .*(missing|late|delayed|not found|not there|empty|stale|not arrived)| (missing|late|stale|empty) (data|file|files|input|partition|table)| backlog"),
    ]
    .into_iter()
    .map(|(topic, pattern)| (topic, Regex::new(pattern).expect("a valid expression")))
    .collect()
});

/// Returns the actions of the catalogue for a topic with their latest recorded state; the default state is proposed.
pub fn recommended(topic: Topic, steps: &[PreventionStep]) -> Vec<RecommendedAction> {
    catalog::ACTIONS
        .iter()
        .filter(|action| action.topics.contains(&topic))
        .map(|action| RecommendedAction {
            name: action.name.into(),
            title: action.title.into(),
            surface: action.surface,
            snippet: action.snippet.into(),
            state: latest(steps, action.name).map_or(PreventionState::Proposed, |step| step.state),
        })
        .collect()
}

fn latest<'a>(steps: &'a [PreventionStep], action: &str) -> Option<&'a PreventionStep> {
    steps.iter().filter(|step| step.action == action).max_by_key(|step| (step.seq, step.ordinal))
}

/// Returns the time of the last adoption of an action, unless its current state is proposed.
fn adopted_at(steps: &[PreventionStep], action: &str) -> Option<Timestamp> {
    if latest(steps, action)?.state == PreventionState::Proposed {
        return None;
    }
    let adoptions = steps.iter().filter(|step| step.action == action && step.state == PreventionState::Adopted);
    adoptions.max_by_key(|step| (step.seq, step.ordinal)).map(|step| step.occurred_at)
}

/// Returns the earliest adoption time of the adopted actions.
pub fn first_adoption(steps: &[PreventionStep]) -> Option<Timestamp> {
    names(steps).into_iter().filter_map(|action| adopted_at(steps, action)).min()
}

/// Returns the steps against `cause` and against causes that count as it by the current aliases.
pub fn steps_against(cause: &str, steps: &[PreventionStep], aliases: &[CauseMapping]) -> Vec<PreventionStep> {
    let current = current_aliases(aliases);
    let counts_as = |step: &&PreventionStep| current.get(step.cause.as_str()).copied().unwrap_or(&step.cause) == cause;
    steps.iter().filter(counts_as).cloned().collect()
}

/// Returns the names of all actions in the order of their first record.
fn names(steps: &[PreventionStep]) -> Vec<&str> {
    let mut sorted: Vec<&PreventionStep> = steps.iter().collect();
    sorted.sort_by_key(|step| (step.seq, step.ordinal));
    let mut names: Vec<&str> = Vec::new();
    for step in sorted {
        if !names.contains(&step.action.as_str()) {
            names.push(&step.action);
        }
    }
    names
}

/// Returns the adopted actions with occurrences after their adoption. `steps` and `occurrences` are those of one cause.
pub fn recurred_after(steps: &[PreventionStep], occurrences: &[Occurrence]) -> Vec<RecurredAfter> {
    let mut found = Vec::new();
    for action in names(steps) {
        let Some(adopted_at) = adopted_at(steps, action) else { continue };
        let after: Vec<&Occurrence> = occurrences.iter().filter(|one| one.occurred_at > adopted_at).collect();
        if let Some(first) = after.iter().min_by_key(|one| (one.occurred_at, one.incident_id)) {
            found.push(RecurredAfter {
                action: action.into(),
                adopted_at,
                occurrences: after.len() as u64,
                first_at: first.occurred_at,
                first_incident_id: first.incident_id,
            });
        }
    }
    found
}

/// Returns the state changes of actions that are due at `as_of`: recurred if the cause occurred after the adoption, effective if a
/// whole window passed without it. `steps` and `occurrences` are those of one cause.
pub fn advance(
    steps: &[PreventionStep],
    occurrences: &[Occurrence],
    as_of: Timestamp,
    rule: RecurrenceRule,
) -> Vec<Advance> {
    let known: Vec<Occurrence> = occurrences.iter().filter(|one| one.occurred_at <= as_of).cloned().collect();
    let recurred = recurred_after(steps, &known);
    let mut advances = Vec::new();
    for action in names(steps) {
        let Some(adopted_at) = adopted_at(steps, action).filter(|adopted| *adopted <= as_of) else { continue };
        let (state, note) = match recurred.iter().find(|recurred| recurred.action == action) {
            Some(found) => (
                PreventionState::Recurred,
                format!(
                    "{} occurred at {}, after the adoption at {adopted_at}",
                    found.first_incident_id, found.first_at
                ),
            ),
            None if !rule.spans(adopted_at, as_of) => (
                PreventionState::Effective,
                format!("no occurrence within {} h after the adoption at {adopted_at}", rule.window_hours),
            ),
            None => continue,
        };
        if latest(steps, action).is_some_and(|step| step.state != state) {
            advances.push(Advance { action: action.into(), state, note });
        }
    }
    advances
}

#[cfg(test)]
mod tests;
