//! Compliance settings: the enabled rules, their severities, the values that fixes set, and exempt jobs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use toml::{Spanned, de::DeValue};

use super::{
    Policy,
    reader::{Reader, SECRETS_HINT, TomlTable},
};
use crate::domain::{check::Severity, compliance::rule::JobRule, problems::child};

/// One week: the longest timeout.
const MAX_SECONDS: u32 = 604_800;

/// Compliance settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompliancePolicy {
    pub(super) rules: BTreeMap<JobRule, RuleSetting>,
    /// Number of retries that a fix sets.
    pub max_retries: u32,
    /// Seconds between retries that a fix sets.
    pub retry_interval_seconds: u32,
    /// Timeout that a fix sets.
    pub timeout_seconds: u32,
    /// Duration after which a fix lets a run send a duration warning.
    pub duration_seconds: u32,
    /// E-mail address for failure notifications that a fix sets. `None`: the creator of the job.
    pub email: Option<String>,
    /// Service principal that a fix sets as `run_as`: an application id.
    pub service_principal: Option<String>,
    /// Cluster policy that a fix sets.
    pub policy_id: Option<String>,
    /// Databricks Runtime release that a fix sets, such as 16.4.
    pub runtime: String,
    /// A runtime fails the check if its support ends within this many days.
    pub runtime_days_ahead: u32,
    pub exempt: Vec<Exemption>,
}

/// State of one rule and the severity of its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RuleSetting {
    pub enabled: bool,
    pub severity: Severity,
}

/// Jobs that are exempt from some or all rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exemption {
    pub jobs: Vec<u64>,
    /// `key` or `key=value`.
    pub tags: Vec<String>,
    /// Rules from which the jobs are exempt. Empty: all.
    pub rules: Vec<JobRule>,
    pub reason: String,
}

impl Default for CompliancePolicy {
    fn default() -> Self {
        let setting =
            |rule: JobRule| RuleSetting { enabled: rule.is_on_by_default(), severity: rule.default_severity() };
        Self {
            rules: JobRule::ALL.iter().map(|rule| (*rule, setting(*rule))).collect(),
            max_retries: 3,
            retry_interval_seconds: 120,
            // Long enough for working jobs; it only stops hanging runs. Teams set shorter timeouts themselves.
            timeout_seconds: 86_400,
            duration_seconds: 14_400,
            email: None,
            service_principal: None,
            policy_id: None,
            runtime: "16.4".into(),
            runtime_days_ahead: 0,
            exempt: Vec::new(),
        }
    }
}

impl CompliancePolicy {
    pub fn rule(&self, rule: JobRule) -> RuleSetting {
        let default = RuleSetting { enabled: rule.is_on_by_default(), severity: rule.default_severity() };
        self.rules.get(&rule).copied().unwrap_or(default)
    }
}

impl Exemption {
    /// Returns true if the exemption applies to a job with this id and these tags.
    pub fn matches(&self, job: u64, tags: Option<&Map<String, Value>>) -> bool {
        let tagged = |wanted: &String| {
            let (key, value) =
                wanted.split_once('=').map_or((wanted.as_str(), None), |(key, value)| (key, Some(value)));
            let found = tags.and_then(|tags| tags.get(key));
            found.is_some_and(|found| value.is_none_or(|value| found.as_str() == Some(value)))
        };
        self.jobs.contains(&job) || self.tags.iter().any(tagged)
    }

    pub fn covers(&self, rule: JobRule) -> bool {
        self.rules.is_empty() || self.rules.contains(&rule)
    }

    /// Returns true if the jobs are exempt from all rules.
    pub fn is_whole(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Reader<'_> {
    pub(super) fn comply(&mut self, table: TomlTable, policy: &mut Policy) {
        let rules = JobRule::ALL.iter().map(|rule| rule.as_str());
        self.refuse_unknown_keys(table, &rules.chain(["exempt"]).collect::<Vec<_>>());
        let comply = &mut policy.comply;
        for &rule in JobRule::ALL {
            self.table(table, rule.as_str(), |reader, table| {
                let own: &[&str] = match rule {
                    JobRule::Retries => &["max_retries", "interval_seconds"],
                    JobRule::Timeout | JobRule::DurationWarning => &["seconds"],
                    JobRule::FailureNotification => &["email"],
                    JobRule::RunAs => &["service_principal"],
                    JobRule::ClusterPolicy => &["policy_id"],
                    JobRule::Runtime => &["release", "days_ahead"],
                    JobRule::BoundedRetries | JobRule::Queue | JobRule::SharedCode | JobRule::JobCompute => &[],
                };
                reader.refuse_unknown_keys(table, &[&["enabled", "severity"], own].concat());
                let mut setting = comply.rule(rule);
                setting.enabled = reader.boolean(table, "enabled").unwrap_or(setting.enabled);
                if let Some((value, pointer)) = table.get("severity") {
                    let severity = reader.choice(value, &pointer, Severity::ALL, Severity::as_str);
                    setting.severity = severity.unwrap_or(setting.severity);
                }
                comply.rules.insert(rule, setting);
                reader.parameters(rule, table, comply);
            });
        }
        let exempt = &mut comply.exempt;
        self.tables(table, "exempt", "exemption as [[comply.exempt]]", |reader, table| {
            exempt.extend(reader.exemption(table));
        });
    }

    fn parameters(&mut self, rule: JobRule, table: TomlTable, comply: &mut CompliancePolicy) {
        let mut number = |key: &str, range, to: &mut u32| *to = self.integer(table, key, range).unwrap_or(*to);
        match rule {
            JobRule::Retries => {
                number("max_retries", 1..=100, &mut comply.max_retries);
                number("interval_seconds", 0..=86_400, &mut comply.retry_interval_seconds);
            }
            JobRule::Timeout => number("seconds", 1..=MAX_SECONDS, &mut comply.timeout_seconds),
            JobRule::DurationWarning => number("seconds", 1..=MAX_SECONDS, &mut comply.duration_seconds),
            JobRule::Runtime => {
                number("days_ahead", 0..=3650, &mut comply.runtime_days_ahead);
                if let Some(release) = self.settings_text(table, "release") {
                    comply.runtime = release;
                }
            }
            JobRule::FailureNotification => comply.email = self.settings_text(table, "email"),
            JobRule::RunAs => comply.service_principal = self.settings_text(table, "service_principal"),
            JobRule::ClusterPolicy => comply.policy_id = self.settings_text(table, "policy_id"),
            JobRule::BoundedRetries | JobRule::Queue | JobRule::SharedCode | JobRule::JobCompute => {}
        }
    }

    /// Reads a text that becomes part of job settings: no white space, no secrets.
    fn settings_text(&mut self, table: TomlTable, key: &str) -> Option<String> {
        let (value, pointer) = table.get(key)?;
        let text = self.text_of(value, &pointer)?;
        let (message, hint) = if self.holds_secret(&text) {
            ("contains a secret", Some(SECRETS_HINT.to_owned()))
        } else if text.is_empty() || text.chars().count() > 200 {
            ("is empty or longer than 200 characters", None)
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            ("contains white space", None)
        } else {
            return Some(text);
        };
        self.problem(value.span().start, &pointer, message, hint);
        None
    }

    fn exemption(&mut self, table: TomlTable) -> Option<Exemption> {
        self.refuse_unknown_keys(table, &["jobs", "tags", "rules", "reason"]);
        let jobs = table.get("jobs").map(|(value, pointer)| self.job_ids(value, &pointer)).unwrap_or_default();
        let tags = self.texts(table, "tags").unwrap_or_default();
        let rules = self.choices(table, "rules", JobRule::ALL, JobRule::as_str).unwrap_or_default();
        if table.get("jobs").or_else(|| table.get("tags")).is_none() {
            let hint = "name jobs by id, or tags such as \"sandbox\" or \"team=research\"";
            self.problem(table.offset, table.pointer, "names no jobs and no tags", Some(hint.into()));
        }
        let Some((value, pointer)) = table.get("reason") else {
            let hint = "give a reason; it is shown with the exempt jobs";
            self.problem(table.offset, &child(table.pointer, "reason"), "is missing", Some(hint.into()));
            return None;
        };
        let reason = self.text_of(value, &pointer)?;
        let (reason, redacted) = (reason.trim().to_owned(), self.holds_secret(&reason));
        if reason.is_empty() || redacted {
            let message = if redacted { "contains a secret" } else { "is empty" };
            self.problem(value.span().start, &pointer, message, redacted.then(|| SECRETS_HINT.into()));
            return None;
        }
        Some(Exemption { jobs, tags, rules, reason })
    }

    fn job_ids(&mut self, value: &Spanned<DeValue>, pointer: &str) -> Vec<u64> {
        let mut ids = Vec::new();
        for (item, pointer) in self.items(value, pointer, "leave it out, and name tags") {
            let Some(text) = self.text_of(item, &pointer) else { continue };
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(_) => {
                    let message = format!("{} is not a job id", self.shown(&text));
                    self.problem(item.span().start, &pointer, message, None);
                }
            }
        }
        ids
    }
}
