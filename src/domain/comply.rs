//! Rules about jobs: what is checked, why, and how it is put right. Pure functions over settings.
//!
//! - here: the rules, a job under examination, what is found
//! - [`shape`] reads settings that may have any shape
//! - [`reliability`], [`operations`], [`compute`] are the rules
//! - [`runtimes`] knows until when a runtime is supported
//! - [`fix`] makes steps of a runbook of what is found
//! - [`plan`] says what to record, [`look`] what was seen

mod compute;
mod fix;
pub mod look;
mod operations;
pub mod plan;
mod reliability;
mod runtimes;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    policy::comply::{Comply, Exemption},
    settings::Change,
    time::Timestamp,
    words::{CheckStatus, JobRule, Severity},
};

/// A job as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Unique in its workspace only.
    pub id: u64,
    /// As the API spells them. Texts in it are hostile.
    pub settings: &'a Map<String, Value>,
    /// As whom it runs. `None`: that was not told.
    pub run_as: Option<&'a str>,
    /// Who made it.
    pub creator: Option<&'a str>,
    /// All-purpose clusters, by id, as far as they could be read.
    pub clusters: &'a BTreeMap<String, Map<String, Value>>,
}

/// What a rule says of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub rule: JobRule,
    pub severity: Severity,
    pub status: CheckStatus,
    /// What was found; names in it are quoted.
    pub text: String,
}

/// How a failure is put right.
#[derive(Debug, Clone, PartialEq)]
enum Fix {
    /// By these settings, in this order.
    Settings(Vec<Change>),
    /// By somebody who knows what settings do not say.
    ByHand(String),
}

/// What a rule finds, before it is known how bad that is.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Pass(String),
    Fail(String, Fix),
    /// What the answer depends on is not known.
    Partial(String),
}

impl JobRule {
    /// What a failure is about, as the digest counts it.
    pub fn category(self) -> &'static str {
        match self {
            Self::Retries | Self::Timeout | Self::Queue => "Reliability",
            Self::FailureNotification | Self::DurationWarning | Self::SharedCode => "Operations",
            Self::RunAs | Self::Runtime => "Security",
            Self::BoundedRetries | Self::JobCompute | Self::ClusterPolicy => "Cost Optimization",
        }
    }

    /// How bad a failure is unless the configuration says otherwise. A security finding of HIGH or CRITICAL pages somebody for
    /// every job, so none is that bad by itself.
    pub fn default_severity(self) -> Severity {
        match self {
            Self::Retries
            | Self::Timeout
            | Self::FailureNotification
            | Self::RunAs
            | Self::Runtime
            | Self::JobCompute => Severity::Medium,
            Self::BoundedRetries | Self::Queue | Self::DurationWarning | Self::SharedCode | Self::ClusterPolicy => {
                Severity::Low
            }
        }
    }

    /// How long a run may take is for people to say, so that rule waits until somebody does.
    pub fn is_on_by_default(self) -> bool {
        self != Self::DurationWarning
    }

    /// Why it matters, in one sentence.
    pub fn rationale(self) -> &'static str {
        match self {
            Self::Retries => "A task without a retry policy turns every passing error into a failed run.",
            Self::BoundedRetries => "A task that is retried without end costs money until somebody notices.",
            Self::Timeout => "A run without a time-out can hang for ever, and hold back every later one.",
            Self::Queue => "Without queueing a run that cannot start at once is skipped, and its data is missing.",
            Self::FailureNotification => "A failure that nobody is told of is found by those who miss the data.",
            Self::DurationWarning => "A run that gets slower is the first sign of one that will fail.",
            Self::SharedCode => "What stands in the folder of a person changes or goes with that person.",
            Self::RunAs => "A job that runs as a person has all rights of that person, and stops when they leave.",
            Self::Runtime => "A runtime out of support gets no security fixes, and can be removed without notice.",
            Self::JobCompute => {
                "All-purpose compute costs more than job compute, and other work on it disturbs the job."
            }
            Self::ClusterPolicy => "A cluster under no policy can be of any size and kind.",
        }
    }
}

/// What all rules say of a job, in the order of [`JobRule::ALL`]. Rules that are off, or that the job is exempt from, say
/// nothing.
pub fn examine(subject: &Subject<'_>, comply: &Comply, now: Timestamp) -> Vec<Finding> {
    let exemptions = exemptions(subject, comply);
    let judged = JobRule::ALL
        .iter()
        .copied()
        .filter(|rule| comply.rule(*rule).enabled && !exemptions.iter().any(|exempt| exempt.covers(*rule)));
    let finding = |rule| {
        let (status, text) = match judge(rule, subject, comply, now) {
            Verdict::Pass(text) => (CheckStatus::Pass, text),
            Verdict::Partial(text) => (CheckStatus::Partial, text),
            Verdict::Fail(text, _) => (CheckStatus::Fail, text),
        };
        Finding { rule, severity: comply.rule(rule).severity, status, text }
    };
    judged.map(finding).collect()
}

fn judge(rule: JobRule, subject: &Subject<'_>, comply: &Comply, now: Timestamp) -> Verdict {
    let tasks = shape::tasks(subject.settings);
    match rule {
        JobRule::Retries => reliability::retries(subject, &tasks, comply),
        JobRule::BoundedRetries => reliability::bounded_retries(&tasks, comply),
        JobRule::Timeout => reliability::timeout(subject, &tasks, comply),
        JobRule::Queue => reliability::queue(subject),
        JobRule::FailureNotification => operations::failure_notification(subject, comply),
        JobRule::DurationWarning => operations::duration_warning(subject, comply),
        JobRule::SharedCode => operations::shared_code(subject, &tasks),
        JobRule::RunAs => operations::run_as(subject, comply),
        JobRule::JobCompute => compute::job_compute(subject, &tasks),
        JobRule::Runtime => compute::runtime(subject, &tasks, comply, now),
        JobRule::ClusterPolicy => compute::cluster_policy(subject, &tasks, comply),
    }
}

/// The all-purpose clusters that a job's tasks run on.
pub fn shared_clusters(settings: &Map<String, Value>) -> BTreeSet<String> {
    compute::on_shared(&shape::tasks(settings)).into_iter().map(|(_, id)| id.to_owned()).collect()
}

/// Why some rules do not hold for this job. An exemption from all rules stands alone.
pub fn exemptions<'a>(subject: &Subject<'_>, comply: &'a Comply) -> Vec<&'a Exemption> {
    let tags = subject.settings.get("tags").and_then(Value::as_object);
    let matching: Vec<&Exemption> = comply.exempt.iter().filter(|exempt| exempt.matches(subject.id, tags)).collect();
    match matching.iter().find(|exempt| exempt.is_whole()) {
        Some(whole) => vec![whole],
        None => matching,
    }
}
