//! Prevention: what keeps a cause from coming back, and whether it did.
//!
//! Advice comes from a [`catalog`] and aims at surfaces that exist. A cluster policy can't hold task settings, so retries
//! and timeouts are never advised as one.

pub mod catalog;

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use catalog::policy_template;

use super::{
    cause,
    ids::IncidentId,
    recurrence::{Alias, Occurrence, Rule, current_aliases, pattern::Attributes},
    time::Timestamp,
    words::PreventionState,
};

/// Where a preventive action is put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Surface {
    /// A resource file of a bundle, or a check of it before it is deployed.
    BundleYaml,
    /// Settings of a job, as the Jobs API spells them.
    JobSettings,
    /// A check of live settings that runs on a schedule and prints what breaks the rule.
    SweepRule,
    /// `health` and notifications of a job.
    HealthRule,
    /// The definition of a compute policy: attributes of the Clusters API only.
    ClusterPolicy,
}

impl Surface {
    /// For people.
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

/// What a cause is about, as far as the catalogue can tell.
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

/// An action as an alert recommends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecommendedAction {
    /// Its name in the catalogue, such as `bundle-retry-policy`.
    pub name: String,
    pub title: String,
    pub surface: Surface,
    /// Text for the surface.
    pub snippet: String,
    /// How far it has come against this cause.
    pub state: PreventionState,
}

/// Settings that would have prevented the cause, valid JSON for their surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTemplate {
    pub surface: Surface,
    /// Which part of the surface the definition is, such as `fields of each task`.
    pub part: String,
    pub definition: Value,
}

/// What is needed of a row of `preventive_actions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// As it was recorded; causes that were merged since count as one.
    #[serde(rename = "cause_fingerprint")]
    pub cause: String,
    pub seq: u64,
    pub ordinal: i32,
    pub action: String,
    pub state: PreventionState,
    pub occurred_at: Timestamp,
}

/// An adopted action that did not keep the cause away.
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

/// A new state of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    pub action: String,
    pub state: PreventionState,
    pub note: String,
}

/// What a cause is about: by its code, else by its words, else by attributes of the resource that explain it.
pub fn recognise(code: Option<&str>, words: &str, attributes: Option<&Attributes>) -> Topic {
    let by_text = |text: &str| {
        let text = format!(" {}", cause::normalise(text).replace('_', " "));
        TOPICS.iter().find(|(_, words)| words.is_match(&text)).map(|(topic, _)| *topic)
    };
    let is_zero = |name: &str| attributes.and_then(|attributes| attributes.get(name)).is_some_and(|value| value == "0");
    code.and_then(|code| by_text(&code.replace(['-', '.', ':', '/'], " "))).or_else(|| by_text(words)).unwrap_or_else(
        || match (is_zero("max_retries"), is_zero("timeout_seconds")) {
            (true, _) => Topic::Retries,
            (_, true) => Topic::Timeouts,
            _ => Topic::Generic,
        },
    )
}

/// The first that matches counts, so what is told more exactly stands first. Digits are masked in what is matched.
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
    .map(|(topic, words)| (topic, Regex::new(words).expect("a valid expression")))
    .collect()
});

/// The catalogue's actions on a topic, with the latest recorded state of each; what nobody recorded yet is proposed.
pub fn recommended(topic: Topic, steps: &[Step]) -> Vec<RecommendedAction> {
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

fn latest<'a>(steps: &'a [Step], action: &str) -> Option<&'a Step> {
    steps.iter().filter(|step| step.action == action).max_by_key(|step| (step.seq, step.ordinal))
}

/// When an action was put in place last, if it is not merely proposed (again).
fn adopted_at(steps: &[Step], action: &str) -> Option<Timestamp> {
    if latest(steps, action)?.state == PreventionState::Proposed {
        return None;
    }
    let adoptions = steps.iter().filter(|step| step.action == action && step.state == PreventionState::Adopted);
    adoptions.max_by_key(|step| (step.seq, step.ordinal)).map(|step| step.occurred_at)
}

/// When the first of the actions that count as adopted was put in place.
pub fn first_adoption(steps: &[Step]) -> Option<Timestamp> {
    names(steps).into_iter().filter_map(|action| adopted_at(steps, action)).min()
}

/// The steps against `cause` and the causes that count as it by today's aliases.
pub fn steps_against(cause: &str, steps: &[Step], aliases: &[Alias]) -> Vec<Step> {
    let current = current_aliases(aliases);
    let counts_as = |step: &&Step| current.get(step.cause.as_str()).copied().unwrap_or(&step.cause) == cause;
    steps.iter().filter(counts_as).cloned().collect()
}

/// Names of all actions, each once, in the order in which they were recorded first.
fn names(steps: &[Step]) -> Vec<&str> {
    let mut sorted: Vec<&Step> = steps.iter().collect();
    sorted.sort_by_key(|step| (step.seq, step.ordinal));
    let mut names: Vec<&str> = Vec::new();
    for step in sorted {
        if !names.contains(&step.action.as_str()) {
            names.push(&step.action);
        }
    }
    names
}

/// The adopted actions after whose adoption there were occurrences. `steps` and `occurrences` are those of one cause.
pub fn recurred_after(steps: &[Step], occurrences: &[Occurrence]) -> Vec<RecurredAfter> {
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

/// The actions whose state is not what it should be at `as_of`, with that state: recurred when the cause came after the
/// adoption, effective when a whole window went by without. `steps` and `occurrences` are those of one cause.
pub fn advance(steps: &[Step], occurrences: &[Occurrence], as_of: Timestamp, rule: Rule) -> Vec<Advance> {
    let known: Vec<Occurrence> = occurrences.iter().filter(|one| one.occurred_at <= as_of).cloned().collect();
    let recurred = recurred_after(steps, &known);
    let mut advances = Vec::new();
    for action in names(steps) {
        let Some(adopted_at) = adopted_at(steps, action).filter(|adopted| *adopted <= as_of) else { continue };
        let (state, note) = match recurred.iter().find(|recurred| recurred.action == action) {
            Some(again) => (
                PreventionState::Recurred,
                format!("{} came at {}, after it was adopted at {adopted_at}", again.first_incident_id, again.first_at),
            ),
            None if !rule.spans(adopted_at, as_of) => (
                PreventionState::Effective,
                format!("no occurrence within {} h after it was adopted at {adopted_at}", rule.window_hours),
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
