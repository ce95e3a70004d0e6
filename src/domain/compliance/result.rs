//! Result of a compliance check of a workspace: counts and changes.

use serde::Serialize;

use super::RuleFinding;
use crate::domain::{
    check::{CheckStatus, Severity},
    compliance::rule::{GapEvent, JobRule},
    ids::{Id, IncidentId},
    policy::compliance::CompliancePolicy,
};

/// Result of a compliance check of the jobs of a workspace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComplianceResult {
    pub workspace_id: Id,
    /// True if nothing was recorded, as requested.
    pub dry_run: bool,
    /// Number of checked jobs, without exempt ones.
    pub jobs: usize,
    /// Number of jobs with a failed rule.
    pub failing: usize,
    /// Counts by rule, in the order of the rules.
    pub rules: Vec<RuleCount>,
    /// Changes since the previous check.
    pub changes: Vec<JobChange>,
    /// Exemptions of jobs.
    pub exempt: Vec<ExemptJob>,
    /// Jobs that could not be read.
    pub unread: Vec<UnreadJob>,
}

/// Numbers of jobs by result of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RuleCount {
    pub rule: JobRule,
    pub category: &'static str,
    pub severity: Severity,
    pub enabled: bool,
    pub pass: usize,
    pub fail: usize,
    /// Jobs with incomplete data.
    pub partial: usize,
}

/// A job with changed results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobChange {
    pub job_id: u64,
    /// Name from outside; it must be escaped in all outputs.
    pub name: Option<String>,
    pub event: GapEvent,
    /// Incident about the job's settings. `None`: no rule ever failed, or nothing was recorded.
    pub incident_id: Option<IncidentId>,
    /// Rules that fail now.
    pub failing: Vec<JobRule>,
}

/// A job with an exemption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExemptJob {
    pub job_id: u64,
    pub name: Option<String>,
    /// Exempt rules. Empty: all rules.
    pub rules: Vec<JobRule>,
    pub reason: String,
}

/// A job that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadJob {
    pub job_id: u64,
    pub reason: String,
    /// Incident about its settings, which stays open.
    pub incident_id: Option<IncidentId>,
}

impl ComplianceResult {
    pub fn new(workspace_id: Id, comply: &CompliancePolicy) -> Self {
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

    /// Adds the findings of one job to the counts.
    pub fn add(&mut self, findings: &[RuleFinding]) {
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

/// Returns the rules that fail.
pub fn failing(findings: &[RuleFinding]) -> Vec<JobRule> {
    findings.iter().filter(|finding| finding.status == CheckStatus::Fail).map(|finding| finding.rule).collect()
}
