//! Compliance rules for job settings: checks, reasons and remediation. Pure functions over settings.
//!
//! - this file: the checked job, the findings, and the evaluation of all rules
//! - [`job_settings`]: reads settings, which may have unexpected types
//! - [`reliability`], [`operations`], [`compute`]: the rules
//! - [`runtimes`]: end of support of the Databricks runtimes
//! - [`remediation`]: runbook steps for the findings
//! - [`plan`]: plans what to record; [`result`]: result of a check of a workspace

mod compute;
mod job_settings;
mod operations;
pub mod plan;
mod reliability;
mod remediation;
pub mod result;
pub mod rule;
mod runtimes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    check::{CheckStatus, Severity},
    compliance::rule::JobRule,
    policy::compliance::{CompliancePolicy, Exemption},
    settings::SettingChange,
    time::Timestamp,
};

/// A job whose settings are checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckedJob<'a> {
    /// Job id, unique in its workspace.
    pub id: u64,
    /// Settings in the format of the API. Texts in them are untrusted.
    pub settings: &'a Map<String, Value>,
    /// Identity as which the job runs. `None`: unknown.
    pub run_as: Option<&'a str>,
    /// User who created the job.
    pub creator: Option<&'a str>,
    /// Settings of the all-purpose clusters that could be read, by id.
    pub clusters: &'a BTreeMap<String, Map<String, Value>>,
}

/// Result of one rule for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleFinding {
    pub rule: JobRule,
    pub severity: Severity,
    pub status: CheckStatus,
    /// Explanation; names in it are quoted.
    pub text: String,
}

/// Remediation of a failed rule.
#[derive(Debug, Clone, PartialEq)]
enum RuleFix {
    /// Changes of settings, in this order.
    Settings(Vec<SettingChange>),
    /// Instruction for a person.
    ByHand(String),
}

/// Result of one rule, without its severity.
#[derive(Debug, Clone, PartialEq)]
enum RuleVerdict {
    Pass(String),
    Fail(String, RuleFix),
    /// The data is incomplete.
    Partial(String),
}

impl JobRule {
    /// Returns the check category of the rule, by which the digest counts.
    pub fn category(self) -> &'static str {
        match self {
            Self::Retries | Self::Timeout | Self::Queue => "Reliability",
            Self::FailureNotification | Self::DurationWarning | Self::SharedCode => "Operations",
            Self::RunAs | Self::Runtime => "Security",
            Self::BoundedRetries | Self::JobCompute | Self::ClusterPolicy => "Cost Optimization",
        }
    }

    /// Returns the severity of a failure unless it is configured. It is at most MEDIUM, because a security finding of HIGH
    /// or CRITICAL would page for every job.
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

    /// Returns true if the rule is enabled by default. The duration warning is not, because its limit must be configured.
    pub fn is_on_by_default(self) -> bool {
        self != Self::DurationWarning
    }

    /// Returns the reason for the rule, in one sentence.
    pub fn rationale(self) -> &'static str {
        match self {
            Self::Retries => "Without a retry policy, every temporary error makes the run fail.",
            Self::BoundedRetries => "A task with unlimited retries causes costs until it is noticed.",
            Self::Timeout => "A run without a timeout can hang indefinitely and block later runs.",
            Self::Queue => "Without queueing, a run that cannot start at once is skipped, and its data is missing.",
            Self::FailureNotification => "A failure without a notification is noticed only when the data is missing.",
            Self::DurationWarning => "Increasing run durations often precede failures.",
            Self::SharedCode => "Code in a person's folder changes or disappears with that person.",
            Self::RunAs => "A job that runs as a person has all permissions of that person, and stops when they leave.",
            Self::Runtime => "An unsupported runtime gets no security fixes and can be removed without notice.",
            Self::JobCompute => {
                "All-purpose compute costs more than job compute, and other workloads on it affect the job."
            }
            Self::ClusterPolicy => "A cluster without a policy can have any size and type.",
        }
    }
}

/// Evaluates the rules for a job, in the order of [`JobRule::ALL`]. Disabled rules and exemptions are left out.
pub fn evaluate(subject: &CheckedJob<'_>, comply: &CompliancePolicy, now: Timestamp) -> Vec<RuleFinding> {
    let exemptions = exemptions(subject, comply);
    let rules = JobRule::ALL
        .iter()
        .copied()
        .filter(|rule| comply.rule(*rule).enabled && !exemptions.iter().any(|exempt| exempt.covers(*rule)));
    let finding = |rule| {
        let (status, text) = match evaluate_rule(rule, subject, comply, now) {
            RuleVerdict::Pass(text) => (CheckStatus::Pass, text),
            RuleVerdict::Partial(text) => (CheckStatus::Partial, text),
            RuleVerdict::Fail(text, _) => (CheckStatus::Fail, text),
        };
        RuleFinding { rule, severity: comply.rule(rule).severity, status, text }
    };
    rules.map(finding).collect()
}

fn evaluate_rule(rule: JobRule, subject: &CheckedJob<'_>, comply: &CompliancePolicy, now: Timestamp) -> RuleVerdict {
    let tasks = job_settings::tasks(subject.settings);
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

/// Returns the ids of the all-purpose clusters on which the job's tasks run.
pub fn shared_clusters(settings: &Map<String, Value>) -> BTreeSet<String> {
    compute::on_shared(&job_settings::tasks(settings)).into_iter().map(|(_, id)| id.to_owned()).collect()
}

/// Returns the exemptions of a job. An exemption from all rules replaces the others.
pub fn exemptions<'a>(subject: &CheckedJob<'_>, comply: &'a CompliancePolicy) -> Vec<&'a Exemption> {
    let tags = subject.settings.get("tags").and_then(Value::as_object);
    let matching: Vec<&Exemption> = comply.exempt.iter().filter(|exempt| exempt.matches(subject.id, tags)).collect();
    match matching.iter().find(|exempt| exempt.is_whole()) {
        Some(whole) => vec![whole],
        None => matching,
    }
}
