//! From what is found of a job, and what is recorded of it, to what there is to record. The ids follow from both: whoever finds the
//! same sends the same.
//!
//! A job has one incident for all of its settings, for ever: it is opened when something fails first, closed when nothing does
//! any more, and opened again when something fails again.

use serde::Serialize;

use super::{Finding, Subject, exemptions, fix};
use crate::domain::{
    entry::{RecordCompliance, Request, canonical},
    ids::{Id, IncidentId, sha256_hex},
    policy::comply::Comply,
    report::{Check, Event, Incident, Report, Resource, SCHEMA_VERSION, Workspace},
    steps::{CloseIncident, ReopenIncident, event},
    time::Timestamp,
    words::{CheckStatus, EventKind, GapEvent, IncidentType, JobRule, Severity, Status},
};

/// Who checks jobs. The ids of all of its requests begin with `comply-`.
const ACTOR: &str = "system:comply";
/// The machine name of every incident about the settings of a job.
const SLUG: &str = "job_settings_gap";
/// Characters of a job's name in a title.
const TITLE: usize = 120;

/// What is recorded of a job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recorded {
    /// The ledger's row with the latest checks; 0 while there are none.
    pub seq: u64,
    /// The latest checks.
    pub checks: Vec<RecordedCheck>,
    /// The incident about its settings.
    pub gap: Option<Gap>,
}

/// A check as it was recorded last.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedCheck {
    pub category: String,
    pub name: String,
    pub status: CheckStatus,
    pub severity: Option<Severity>,
    pub finding: Option<String>,
    /// The ledger's last row in which it failed.
    pub last_failed: Option<u64>,
}

/// The incident about the settings of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub id: IncidentId,
    pub status: Status,
    /// The ledger's last row from which on it was resolved; 0 while it never was.
    pub closed: u64,
}

/// What all plans of one look have in common.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'a> {
    pub workspace: &'a Workspace,
    /// The ledger's last row when what is recorded was read.
    pub based_on: u64,
    pub comply: &'a Comply,
    pub now: Timestamp,
}

/// What there is to record of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub event: GapEvent,
    /// In this order.
    pub requests: Vec<(Id, Request)>,
}

/// What there is to record; `None`: everything stands as it was recorded.
///
/// # Errors
/// When a value cannot be JSON, or an id is none; neither comes of settings.
pub fn plan(
    subject: &Subject<'_>,
    findings: &[Finding],
    recorded: &Recorded,
    basis: Basis<'_>,
) -> Result<Option<Plan>, String> {
    let planner = Planner { subject, findings, recorded, basis, resource: fix::resource(subject)? };
    let is_open = |gap: &Gap| gap.status != Status::Resolved;
    if let Some(exempt) = exemptions(subject, basis.comply).into_iter().find(|exempt| exempt.is_whole()) {
        let Some(gap) = recorded.gap.filter(is_open) else { return Ok(None) };
        let message = format!("The job is exempt from these checks: {}", exempt.reason);
        return Ok(Some(Plan { event: GapEvent::Closed, requests: vec![planner.close(gap, message, None)?] }));
    }
    let fails = findings.iter().any(|finding| finding.status == CheckStatus::Fail);
    let news = planner.differs();
    let (event, requests) = match recorded.gap {
        None if fails => (GapEvent::Opened, vec![planner.open()?]),
        Some(gap) if fails && !is_open(&gap) => {
            let message = format!("Fails again: {}", planner.names(planner.failing()));
            let found = planner.event(EventKind::Discover, planner.told(planner.failing()));
            (GapEvent::Reopened, vec![planner.reopen(gap, message)?, planner.checks(Some(gap), Some(found))?])
        }
        Some(gap) if is_open(&gap) && (fails || planner.is_unclear(gap)) => {
            if !news {
                return Ok(None);
            }
            let (event, found) = planner.changed();
            (event, vec![planner.checks(Some(gap), Some(found))?])
        }
        Some(gap) if is_open(&gap) => {
            let mut requests = Vec::new();
            if news {
                let fixed = planner.names(planner.failed_since(gap));
                let what = if fixed.is_empty() { String::new() } else { format!(": {fixed} fixed") };
                let found = planner.event(EventKind::Verify, format!("Nothing fails any more{what}"));
                requests.push(planner.checks(Some(gap), Some(found))?);
            }
            requests.push(planner.close(gap, "Nothing fails any more".into(), planner.impact(gap))?);
            (GapEvent::Closed, requests)
        }
        _ if news => (GapEvent::Checked, vec![planner.checks(None, None)?]),
        _ => return Ok(None),
    };
    Ok(Some(Plan { event, requests }))
}

struct Planner<'a> {
    subject: &'a Subject<'a>,
    findings: &'a [Finding],
    recorded: &'a Recorded,
    basis: Basis<'a>,
    resource: Resource,
}

impl Planner<'_> {
    fn failing(&self) -> impl Iterator<Item = &Finding> + Clone {
        self.findings.iter().filter(|finding| finding.status == CheckStatus::Fail)
    }

    fn before(&self, rule: JobRule) -> Option<&RecordedCheck> {
        self.recorded.checks.iter().find(|check| check.name == rule.as_str())
    }

    /// Whether the checks say something else than the recorded ones.
    fn differs(&self) -> bool {
        let same = |finding: &Finding| {
            self.before(finding.rule).is_some_and(|before| {
                (before.status, before.severity, before.finding.as_deref())
                    == (finding.status, Some(finding.severity), Some(finding.text.as_str()))
            })
        };
        !self.findings.is_empty()
            && (self.findings.len() != self.recorded.checks.len() || !self.findings.iter().all(same))
    }

    /// What failed at some time since the incident was opened, or opened again.
    fn failed_since(&self, gap: Gap) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| {
            self.before(finding.rule).is_some_and(|before| {
                before.status == CheckStatus::Fail || before.last_failed.is_some_and(|seq| seq > gap.closed)
            })
        })
    }

    /// Something failed, and now nobody can say whether it still does.
    fn is_unclear(&self, gap: Gap) -> bool {
        self.failed_since(gap).any(|finding| finding.status == CheckStatus::Partial)
    }

    /// How the checks differ while the incident goes on.
    fn changed(&self) -> (GapEvent, Event) {
        let failed = |finding: &&Finding| self.before(finding.rule).is_some_and(|one| one.status == CheckStatus::Fail);
        let new: Vec<&Finding> = self.failing().filter(|finding| !failed(finding)).collect();
        if !new.is_empty() {
            let message = format!("Fails too: {}", self.told(new.into_iter()));
            return (GapEvent::Grew, self.event(EventKind::Discover, message));
        }
        let over: Vec<&Finding> =
            self.findings.iter().filter(|finding| failed(finding) && finding.status == CheckStatus::Pass).collect();
        let unclear: Vec<&Finding> =
            self.findings.iter().filter(|finding| failed(finding) && finding.status == CheckStatus::Partial).collect();
        let parts = [
            (!over.is_empty()).then(|| format!("Fixed: {}", self.names(over.into_iter()))),
            (!unclear.is_empty()).then(|| format!("Not known any more: {}", self.told(unclear.into_iter()))),
            self.failing().next().map(|_| format!("Still fails: {}", self.told(self.failing()))),
        ];
        let message: Vec<String> = parts.into_iter().flatten().collect();
        let message = if message.is_empty() { "Checked again".to_owned() } else { message.join(". ") };
        (GapEvent::Changed, self.event(EventKind::Note, message))
    }

    fn names<'f>(&self, findings: impl Iterator<Item = &'f Finding>) -> String {
        findings.map(|finding| finding.rule.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn told<'f>(&self, findings: impl Iterator<Item = &'f Finding>) -> String {
        findings.map(|finding| format!("{} ({})", finding.rule, finding.text)).collect::<Vec<_>>().join("; ")
    }

    fn event(&self, kind: EventKind, message: String) -> Event {
        event(self.basis.now, kind, message)
    }

    /// The name of the job, for people; or its id.
    fn name(&self) -> String {
        match &self.resource.name {
            Some(name) => name.chars().take(TITLE).collect(),
            None => self.resource.id.to_string(),
        }
    }

    /// Categories that failed at some time since the incident was opened, and how they stand now.
    fn impact(&self, gap: Gap) -> Option<String> {
        let mut categories: Vec<&str> = self.failed_since(gap).map(|finding| finding.rule.category()).collect();
        categories.sort_unstable();
        categories.dedup();
        let now = |category: &str| {
            let partial = |finding: &Finding| finding.status == CheckStatus::Partial;
            let any = self.findings.iter().any(|finding| finding.rule.category() == category && partial(finding));
            if any { CheckStatus::Partial } else { CheckStatus::Pass }
        };
        let moved: Vec<String> = categories
            .iter()
            .map(|category| format!("{category} category moved from FAIL to {}", now(category).as_str()))
            .collect();
        (!moved.is_empty()).then(|| moved.join("; "))
    }

    fn check(&self, finding: &Finding, resource: Option<Resource>) -> Result<Check, String> {
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
        let Basis { workspace, comply, now, .. } = self.basis;
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
            // Nothing has failed yet; a cause would make every habit of a team a recurring issue.
            rca: None,
            checks: self
                .findings
                .iter()
                .map(|finding| self.check(finding, Some(self.resource.clone())))
                .collect::<Result<_, _>>()?,
            remediation: fix::steps(self.subject, &self.resource, self.findings, comply, now),
            compliance_impact: Some(format!("FAIL: {}", categories.join(", "))),
            lessons_learned: Vec::new(),
        };
        Ok((request_id, Request::RecordReport(Box::new(report))))
    }

    fn checks(&self, gap: Option<Gap>, event: Option<Event>) -> Result<(Id, Request), String> {
        let Basis { workspace, comply, now, based_on } = self.basis;
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
            remediation: fix::steps(self.subject, &self.resource, self.findings, comply, now),
        };
        Ok((request_id, Request::RecordCompliance(Box::new(request))))
    }

    fn reopen(&self, gap: Gap, message: String) -> Result<(Id, Request), String> {
        let request_id = self.id("reopen", &(gap.id, gap.closed))?;
        let (actor, at) = (Id::new(ACTOR)?, Some(self.basis.now));
        let step = ReopenIncident { incident_id: gap.id, message, actor, at, request_id: Some(request_id.clone()) };
        Ok((request_id, step.into()))
    }

    fn close(&self, gap: Gap, message: String, impact: Option<String>) -> Result<(Id, Request), String> {
        let request_id = self.id("close", &(gap.id, gap.closed))?;
        let step = CloseIncident {
            incident_id: gap.id,
            message,
            compliance_impact: impact,
            lessons_learned: Vec::new(),
            actor: Id::new(ACTOR)?,
            at: Some(self.basis.now),
            request_id: Some(request_id.clone()),
        };
        Ok((request_id, step.into()))
    }

    fn id(&self, what: &str, of: &impl Serialize) -> Result<Id, String> {
        let named = (what, &self.basis.workspace.id, &self.resource.id, of);
        let text = canonical(&named).map_err(|error| error.to_string())?;
        Id::new(format!("comply-{what}-{}", &sha256_hex(text)[..32]))
    }
}
