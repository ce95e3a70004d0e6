//! Plans what to record from the findings and the recorded results of a job. The request ids follow from both, so equal
//! results give equal requests.
//!
//! A job has exactly one incident about its settings. It is opened at the first failure, closed when no rule fails, and
//! reopened at the next failure.

use serde::Serialize;

use super::{CheckedJob, RuleFinding, exemptions, remediation};
use crate::domain::{
    check::{CheckStatus, Severity},
    compliance::rule::{GapEvent, JobRule},
    entry::{RecordCompliance, Request, canonical},
    ids::{Id, IncidentId, sha256_hex},
    incident::{
        classification::{IncidentType, Status},
        timeline::EventKind,
    },
    policy::compliance::CompliancePolicy,
    report::{Check, Event, Incident, Report, Resource, SCHEMA_VERSION, Workspace},
    steps::{CloseIncident, ReopenIncident, event},
    time::Timestamp,
};

/// Actor of compliance checks. The ids of its requests begin with `comply-`.
const ACTOR: &str = "system:comply";
/// Slug of the incidents about job settings.
const SLUG: &str = "job_settings_gap";
/// Maximum number of characters of a job's name in a title.
const TITLE: usize = 120;

/// Recorded results of a job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordedJob {
    /// Ledger row of the latest checks; 0 if there are none.
    pub seq: u64,
    /// Latest checks.
    pub checks: Vec<RecordedCheck>,
    /// Incident about its settings.
    pub gap: Option<GapIncident>,
}

/// Latest recorded result of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCheck {
    pub category: String,
    pub name: String,
    pub status: CheckStatus,
    pub severity: Option<Severity>,
    pub finding: Option<String>,
    /// Latest ledger row in which it failed.
    pub last_failed: Option<u64>,
}

/// Incident about the settings of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapIncident {
    pub id: IncidentId,
    pub status: Status,
    /// Ledger row that last resolved it; 0 if it was never resolved.
    pub closed: u64,
}

/// Common inputs of all plans of one check.
#[derive(Debug, Clone, Copy)]
pub struct PlanContext<'a> {
    pub workspace: &'a Workspace,
    /// Last ledger row when the recorded results were read.
    pub based_on: u64,
    pub comply: &'a CompliancePolicy,
    pub now: Timestamp,
}

/// Requests to record for a job.
#[derive(Debug, Clone, PartialEq)]
pub struct CompliancePlan {
    pub event: GapEvent,
    /// In this order.
    pub requests: Vec<(Id, Request)>,
}

/// Plans the requests for a job. `None`: its results are unchanged.
///
/// # Errors
/// A value that cannot be serialised as JSON, or an invalid id; settings cause neither.
pub fn plan(
    subject: &CheckedJob<'_>,
    findings: &[RuleFinding],
    recorded: &RecordedJob,
    context: PlanContext<'_>,
) -> Result<Option<CompliancePlan>, String> {
    let planner = Planner { subject, findings, recorded, context, resource: remediation::resource(subject)? };
    let is_open = |gap: &GapIncident| gap.status != Status::Resolved;
    if let Some(exempt) = exemptions(subject, context.comply).into_iter().find(|exempt| exempt.is_whole()) {
        let Some(gap) = recorded.gap.filter(is_open) else { return Ok(None) };
        let message = format!("The job is exempt from these checks: {}", exempt.reason);
        return Ok(Some(CompliancePlan {
            event: GapEvent::Closed,
            requests: vec![planner.close(gap, message, None)?],
        }));
    }
    let fails = findings.iter().any(|finding| finding.status == CheckStatus::Fail);
    let differs = planner.differs();
    let (event, requests) = match recorded.gap {
        None if fails => (GapEvent::Opened, vec![planner.open()?]),
        Some(gap) if fails && !is_open(&gap) => {
            let message = format!("Fails again: {}", planner.names(planner.failing()));
            let found = planner.event(EventKind::Discover, planner.details(planner.failing()));
            (GapEvent::Reopened, vec![planner.reopen(gap, message)?, planner.checks(Some(gap), Some(found))?])
        }
        Some(gap) if is_open(&gap) && (fails || planner.is_unclear(gap)) => {
            if !differs {
                return Ok(None);
            }
            let (event, found) = planner.changed();
            (event, vec![planner.checks(Some(gap), Some(found))?])
        }
        Some(gap) if is_open(&gap) => {
            let mut requests = Vec::new();
            if differs {
                let fixed = planner.names(planner.failed_since(gap));
                let what = if fixed.is_empty() { String::new() } else { format!(": {fixed} fixed") };
                let found = planner.event(EventKind::Verify, format!("No check fails any more{what}"));
                requests.push(planner.checks(Some(gap), Some(found))?);
            }
            requests.push(planner.close(gap, "No check fails any more".into(), planner.impact(gap))?);
            (GapEvent::Closed, requests)
        }
        _ if differs => (GapEvent::Checked, vec![planner.checks(None, None)?]),
        _ => return Ok(None),
    };
    Ok(Some(CompliancePlan { event, requests }))
}

struct Planner<'a> {
    subject: &'a CheckedJob<'a>,
    findings: &'a [RuleFinding],
    recorded: &'a RecordedJob,
    context: PlanContext<'a>,
    resource: Resource,
}

impl Planner<'_> {
    fn failing(&self) -> impl Iterator<Item = &RuleFinding> + Clone {
        self.findings.iter().filter(|finding| finding.status == CheckStatus::Fail)
    }

    fn before(&self, rule: JobRule) -> Option<&RecordedCheck> {
        self.recorded.checks.iter().find(|check| check.name == rule.as_str())
    }

    /// Returns true if the results differ from the recorded ones.
    fn differs(&self) -> bool {
        let same = |finding: &RuleFinding| {
            self.before(finding.rule).is_some_and(|before| {
                (before.status, before.severity, before.finding.as_deref())
                    == (finding.status, Some(finding.severity), Some(finding.text.as_str()))
            })
        };
        !self.findings.is_empty()
            && (self.findings.len() != self.recorded.checks.len() || !self.findings.iter().all(same))
    }

    /// Returns the rules that failed at any time since the incident was opened or reopened.
    fn failed_since(&self, gap: GapIncident) -> impl Iterator<Item = &RuleFinding> {
        self.findings.iter().filter(move |finding| {
            self.before(finding.rule).is_some_and(|before| {
                before.status == CheckStatus::Fail || before.last_failed.is_some_and(|seq| seq > gap.closed)
            })
        })
    }

    /// Returns true if a rule failed before and its result is now unknown.
    fn is_unclear(&self, gap: GapIncident) -> bool {
        self.failed_since(gap).any(|finding| finding.status == CheckStatus::Partial)
    }

    /// Returns the changes of the results while the incident stays open.
    fn changed(&self) -> (GapEvent, Event) {
        let failed =
            |finding: &&RuleFinding| self.before(finding.rule).is_some_and(|one| one.status == CheckStatus::Fail);
        let new: Vec<&RuleFinding> = self.failing().filter(|finding| !failed(finding)).collect();
        if !new.is_empty() {
            let message = format!("Also fails: {}", self.details(new.into_iter()));
            return (GapEvent::Grew, self.event(EventKind::Discover, message));
        }
        let fixed: Vec<&RuleFinding> =
            self.findings.iter().filter(|finding| failed(finding) && finding.status == CheckStatus::Pass).collect();
        let unclear: Vec<&RuleFinding> =
            self.findings.iter().filter(|finding| failed(finding) && finding.status == CheckStatus::Partial).collect();
        let parts = [
            (!fixed.is_empty()).then(|| format!("Fixed: {}", self.names(fixed.into_iter()))),
            (!unclear.is_empty()).then(|| format!("Result now unknown: {}", self.details(unclear.into_iter()))),
            self.failing().next().map(|_| format!("Still fails: {}", self.details(self.failing()))),
        ];
        let message: Vec<String> = parts.into_iter().flatten().collect();
        let message = if message.is_empty() { "Checked again".to_owned() } else { message.join(". ") };
        (GapEvent::Changed, self.event(EventKind::Note, message))
    }

    fn names<'f>(&self, findings: impl Iterator<Item = &'f RuleFinding>) -> String {
        findings.map(|finding| finding.rule.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn details<'f>(&self, findings: impl Iterator<Item = &'f RuleFinding>) -> String {
        findings.map(|finding| format!("{} ({})", finding.rule, finding.text)).collect::<Vec<_>>().join("; ")
    }

    fn event(&self, kind: EventKind, message: String) -> Event {
        event(self.context.now, kind, message)
    }

    /// Returns the name of the job for people, or its id.
    fn name(&self) -> String {
        match &self.resource.name {
            Some(name) => name.chars().take(TITLE).collect(),
            None => self.resource.id.to_string(),
        }
    }

    /// Describes the categories that failed since the incident was opened, with their current status.
    fn impact(&self, gap: GapIncident) -> Option<String> {
        let mut categories: Vec<&str> = self.failed_since(gap).map(|finding| finding.rule.category()).collect();
        categories.sort_unstable();
        categories.dedup();
        let now = |category: &str| {
            let partial = |finding: &RuleFinding| finding.status == CheckStatus::Partial;
            let any = self.findings.iter().any(|finding| finding.rule.category() == category && partial(finding));
            if any { CheckStatus::Partial } else { CheckStatus::Pass }
        };
        let moved: Vec<String> = categories
            .iter()
            .map(|category| format!("{category} category moved from FAIL to {}", now(category).as_str()))
            .collect();
        (!moved.is_empty()).then(|| moved.join("; "))
    }

    fn check(&self, finding: &RuleFinding, resource: Option<Resource>) -> Result<Check, String> {
        Ok(Check {
            category: Id::new(finding.rule.category())?,
            name: Id::new(finding.rule.as_str())?,
            resource,
            status: finding.status,
            severity: Some(finding.severity),
            finding: Some(finding.text.clone()),
            evidence: None,
        })
    }

    fn open(&self) -> Result<(Id, Request), String> {
        let PlanContext { workspace, comply, now, .. } = self.context;
        let request_id = self.id("open", &())?;
        let count = self.failing().count();
        let checks = if count == 1 { "check fails" } else { "checks fail" };
        let mut timeline = vec![self.event(
            EventKind::Discover,
            format!("{count} of {} checks of the job's settings fail", self.findings.len()),
        )];
        timeline.extend(self.failing().map(|finding| {
            let (rule, why) = (finding.rule, finding.rule.rationale());
            let message = format!("{rule} ({}, {}): {}. {why}", rule.category(), finding.severity, finding.text);
            self.event(EventKind::Analyze, message)
        }));
        let mut categories: Vec<&str> = self.failing().map(|finding| finding.rule.category()).collect();
        categories.sort_unstable();
        categories.dedup();
        let report = Report {
            schema_version: SCHEMA_VERSION,
            history: false,
            told_with: None,
            report_id: Some(request_id.clone()),
            actor: Id::new(ACTOR)?,
            workspace: workspace.clone(),
            incident: Incident {
                kind: IncidentType::ValidationGap,
                slug: Id::new(SLUG)?,
                title: format!("{}: {count} {checks}", self.name()),
                reporter: Id::new(ACTOR)?,
                impact_started_at: None,
                detected_at: Some(now),
                reported_at: now,
                status: Status::Investigating,
            },
            resources: vec![self.resource.clone()],
            timeline,
            // There is no failure to analyse. With a cause, equal settings of many jobs would count as a recurring issue.
            rca: None,
            checks: self
                .findings
                .iter()
                .map(|finding| self.check(finding, Some(self.resource.clone())))
                .collect::<Result<_, _>>()?,
            remediation: remediation::steps(self.subject, &self.resource, self.findings, comply, now),
            compliance_impact: Some(format!("FAIL: {}", categories.join(", "))),
            lessons_learned: Vec::new(),
        };
        Ok((request_id, Request::RecordReport(Box::new(report))))
    }

    fn checks(&self, gap: Option<GapIncident>, event: Option<Event>) -> Result<(Id, Request), String> {
        let PlanContext { workspace, comply, now, based_on } = self.context;
        let checks: Vec<Check> =
            self.findings.iter().map(|finding| self.check(finding, None)).collect::<Result<_, _>>()?;
        let incident_id = gap.map(|gap| gap.id);
        let request_id = self.id("checks", &(self.recorded.seq, incident_id, &checks))?;
        let request = RecordCompliance {
            actor: Id::new(ACTOR)?,
            at: now,
            workspace: workspace.clone(),
            resource: self.resource.clone(),
            incident_id,
            based_on,
            checks,
            event,
            remediation: remediation::steps(self.subject, &self.resource, self.findings, comply, now),
        };
        Ok((request_id, Request::RecordCompliance(Box::new(request))))
    }

    fn reopen(&self, gap: GapIncident, message: String) -> Result<(Id, Request), String> {
        let request_id = self.id("reopen", &(gap.id, gap.closed))?;
        let (actor, at) = (Id::new(ACTOR)?, Some(self.context.now));
        let step = ReopenIncident { incident_id: gap.id, message, actor, at, request_id: Some(request_id.clone()) };
        Ok((request_id, step.into()))
    }

    fn close(&self, gap: GapIncident, message: String, impact: Option<String>) -> Result<(Id, Request), String> {
        let request_id = self.id("close", &(gap.id, gap.closed))?;
        let step = CloseIncident {
            incident_id: gap.id,
            message,
            compliance_impact: impact,
            lessons_learned: Vec::new(),
            actor: Id::new(ACTOR)?,
            at: Some(self.context.now),
            request_id: Some(request_id.clone()),
        };
        Ok((request_id, step.into()))
    }

    fn id(&self, what: &str, of: &impl Serialize) -> Result<Id, String> {
        let named = (what, &self.context.workspace.id, &self.resource.id, of);
        let text = canonical(&named).map_err(|error| error.to_string())?;
        Id::new(format!("comply-{what}-{}", &sha256_hex(text)[..32]))
    }
}
