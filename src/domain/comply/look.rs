//! What one look at the jobs of a workspace saw: counts, and what is new.

use serde::Serialize;

use super::Finding;
use crate::domain::{
    ids::{Id, IncidentId},
    policy::comply::Comply,
    words::{CheckStatus, GapEvent, JobRule, Severity},
};

/// One look at jobs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    pub workspace_id: Id,
    /// Nothing was recorded, because nothing was to be.
    pub dry_run: bool,
    /// Jobs that were checked, exempt ones left out.
    pub jobs: usize,
    /// Jobs of which something fails.
    pub failing: usize,
    /// In the order of the rules.
    pub rules: Vec<RuleCount>,
    /// What is new since the look before.
    pub changes: Vec<JobChange>,
    /// Rules that do not hold for a job: one for each exemption of a job.
    pub exempt: Vec<Exempt>,
    /// Jobs of which nothing is known now.
    pub unread: Vec<Unread>,
}

/// How many jobs a rule says what of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    pub rule: JobRule,
    pub category: &'static str,
    pub severity: Severity,
    pub enabled: bool,
    pub pass: usize,
    pub fail: usize,
    /// Incomplete data.
    pub partial: usize,
}

/// A job of which something is new.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobChange {
    pub job_id: u64,
    /// From outside: hostile in every output language.
    pub name: Option<String>,
    pub event: GapEvent,
    /// `None`: nothing ever failed, or nothing was recorded.
    pub incident_id: Option<IncidentId>,
    /// What fails now.
    pub failing: Vec<JobRule>,
}

/// A job for which rules do not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exempt {
    pub job_id: u64,
    pub name: Option<String>,
    /// Empty: none holds.
    pub rules: Vec<JobRule>,
    pub reason: String,
}

/// A job that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    pub job_id: u64,
    pub reason: String,
    /// The incident about its settings that stays open.
    pub incident_id: Option<IncidentId>,
}

impl Look {
    pub fn new(workspace_id: Id, comply: &Comply) -> Self {
        let count = |rule: JobRule| {
            let setting = comply.rule(rule);
            let (category, severity, enabled) = (rule.category(), setting.severity, setting.enabled);
            RuleCount { rule, category, severity, enabled, pass: 0, fail: 0, partial: 0 }
        };
        Self {
            workspace_id,
            dry_run: false,
            jobs: 0,
            failing: 0,
            rules: JobRule::ALL.iter().map(|rule| count(*rule)).collect(),
            changes: Vec::new(),
            exempt: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Counts a job that was checked.
    pub fn add(&mut self, findings: &[Finding]) {
        self.jobs += 1;
        self.failing += usize::from(!failing(findings).is_empty());
        for finding in findings {
            let Some(count) = self.rules.iter_mut().find(|count| count.rule == finding.rule) else { continue };
            match finding.status {
                CheckStatus::Pass => count.pass += 1,
                CheckStatus::Fail => count.fail += 1,
                CheckStatus::Partial => count.partial += 1,
            }
        }
    }
}

/// The rules that fail.
pub fn failing(findings: &[Finding]) -> Vec<JobRule> {
    findings.iter().filter(|finding| finding.status == CheckStatus::Fail).map(|finding| finding.rule).collect()
}
