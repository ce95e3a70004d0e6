//! How jobs are checked: which rules hold, how bad each failure is, what fixes say, which jobs are exempt.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use toml::{Spanned, de::DeValue};

use super::{
    Policy,
    reader::{Place, Reader, SECRETS_HINT},
};
use crate::domain::{
    problems::child,
    words::{JobRule, Severity},
};

/// A week: longer is no time-out.
const MAX_SECONDS: u32 = 604_800;

/// How jobs are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comply {
    pub(super) rules: BTreeMap<JobRule, RuleSetting>,
    /// How often a fix lets a task be tried again.
    pub max_retries: u32,
    /// How long a fix lets it wait before that.
    pub retry_interval_seconds: u32,
    /// The time-out that a fix sets.
    pub timeout_seconds: u32,
    /// After how long a fix lets somebody be told that a run takes long.
    pub duration_seconds: u32,
    /// Whom a fix lets be told; whoever made the job unless given.
    pub email: Option<String>,
    /// As whom a fix lets jobs run: an application id.
    pub service_principal: Option<String>,
    /// Under which policy a fix puts clusters.
    pub policy_id: Option<String>,
    /// The release that a fix chooses, such as 16.4.
    pub runtime: String,
    /// A runtime that is out of support within so many days fails already.
    pub runtime_days_ahead: u32,
    pub exempt: Vec<Exemption>,
}

/// Whether a rule holds, and how bad a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RuleSetting {
    pub enabled: bool,
    pub severity: Severity,
}

/// Jobs for which some rules, or all, do not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exemption {
    pub jobs: Vec<u64>,
    /// `key` or `key=value`.
    pub tags: Vec<String>,
    /// Empty: all.
    pub rules: Vec<JobRule>,
    pub reason: String,
}

impl Default for Comply {
    fn default() -> Self {
        let setting =
            |rule: JobRule| RuleSetting { enabled: rule.is_on_by_default(), severity: rule.default_severity() };
        Self {
            rules: JobRule::ALL.iter().map(|rule| (*rule, setting(*rule))).collect(),
            max_retries: 3,
            retry_interval_seconds: 120,
            // Cuts off what hangs, and nothing that works: how long its runs take is for the team to say.
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

impl Comply {
    pub fn rule(&self, rule: JobRule) -> RuleSetting {
        let default = RuleSetting { enabled: rule.is_on_by_default(), severity: rule.default_severity() };
        self.rules.get(&rule).copied().unwrap_or(default)
    }
}

impl Exemption {
    /// Whether it is about a job with this id and these tags.
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

    /// No rule holds.
    pub fn is_whole(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Reader<'_> {
    pub(super) fn comply(&mut self, place: Place, policy: &mut Policy) {
        let rules = JobRule::ALL.iter().map(|rule| rule.as_str());
        self.only(place, &rules.chain(["exempt"]).collect::<Vec<_>>());
        let comply = &mut policy.comply;
        for &rule in JobRule::ALL {
            self.table(place, rule.as_str(), |reader, place| {
                let own: &[&str] = match rule {
                    JobRule::Retries => &["max_retries", "interval_seconds"],
                    JobRule::Timeout | JobRule::DurationWarning => &["seconds"],
                    JobRule::FailureNotification => &["email"],
                    JobRule::RunAs => &["service_principal"],
                    JobRule::ClusterPolicy => &["policy_id"],
                    JobRule::Runtime => &["release", "days_ahead"],
                    JobRule::BoundedRetries | JobRule::Queue | JobRule::SharedCode | JobRule::JobCompute => &[],
                };
                reader.only(place, &[&["enabled", "severity"], own].concat());
                let mut setting = comply.rule(rule);
                setting.enabled = reader.boolean(place, "enabled").unwrap_or(setting.enabled);
                if let Some((value, pointer)) = place.get("severity") {
                    let severity = reader.word(value, &pointer, Severity::ALL, Severity::as_str);
                    setting.severity = severity.unwrap_or(setting.severity);
                }
                comply.rules.insert(rule, setting);
                reader.parameters(rule, place, comply);
            });
        }
        let exempt = &mut comply.exempt;
        self.tables(place, "exempt", "exemption as [[comply.exempt]]", |reader, place| {
            exempt.extend(reader.exemption(place));
        });
    }

    fn parameters(&mut self, rule: JobRule, place: Place, comply: &mut Comply) {
        let mut number = |key: &str, range, to: &mut u32| *to = self.integer(place, key, range).unwrap_or(*to);
        match rule {
            JobRule::Retries => {
                number("max_retries", 1..=100, &mut comply.max_retries);
                number("interval_seconds", 0..=86_400, &mut comply.retry_interval_seconds);
            }
            JobRule::Timeout => number("seconds", 1..=MAX_SECONDS, &mut comply.timeout_seconds),
            JobRule::DurationWarning => number("seconds", 1..=MAX_SECONDS, &mut comply.duration_seconds),
            JobRule::Runtime => {
                number("days_ahead", 0..=3650, &mut comply.runtime_days_ahead);
                if let Some(release) = self.plain(place, "release") {
                    comply.runtime = release;
                }
            }
            JobRule::FailureNotification => comply.email = self.plain(place, "email"),
            JobRule::RunAs => comply.service_principal = self.plain(place, "service_principal"),
            JobRule::ClusterPolicy => comply.policy_id = self.plain(place, "policy_id"),
            JobRule::BoundedRetries | JobRule::Queue | JobRule::SharedCode | JobRule::JobCompute => {}
        }
    }

    /// A word that becomes part of settings: no blanks, no secrets.
    fn plain(&mut self, place: Place, key: &str) -> Option<String> {
        let (value, pointer) = place.get(key)?;
        let text = self.text_of(value, &pointer)?;
        let (message, hint) = if self.holds_secret(&text) {
            ("holds a secret", Some(SECRETS_HINT.to_owned()))
        } else if text.is_empty() || text.chars().count() > 200 {
            ("is empty or longer than 200 characters", None)
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            ("holds white space", None)
        } else {
            return Some(text);
        };
        self.problem(value.span().start, &pointer, message, hint);
        None
    }

    fn exemption(&mut self, place: Place) -> Option<Exemption> {
        self.only(place, &["jobs", "tags", "rules", "reason"]);
        let jobs = place.get("jobs").map(|(value, pointer)| self.job_ids(value, &pointer)).unwrap_or_default();
        let tags = self.texts(place, "tags").unwrap_or_default();
        let rules = self.words(place, "rules", JobRule::ALL, JobRule::as_str).unwrap_or_default();
        if place.get("jobs").or_else(|| place.get("tags")).is_none() {
            let hint = "name jobs by id, or tags such as \"sandbox\" or \"team=research\"";
            self.problem(place.offset, place.pointer, "names no jobs and no tags", Some(hint.into()));
        }
        let Some((value, pointer)) = place.get("reason") else {
            let hint = "say why: it is shown wherever these jobs are left out";
            self.problem(place.offset, &child(place.pointer, "reason"), "is missing", Some(hint.into()));
            return None;
        };
        let reason = self.text_of(value, &pointer)?;
        let (reason, redacted) = (reason.trim().to_owned(), self.holds_secret(&reason));
        if reason.is_empty() || redacted {
            let message = if redacted { "holds a secret" } else { "is empty" };
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
                    let message = format!("{} is not the id of a job", self.shown(&text));
                    self.problem(item.span().start, &pointer, message, None);
                }
            }
        }
        ids
    }
}
