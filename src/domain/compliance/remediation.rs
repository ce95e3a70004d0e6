//! Runbook steps that remediate the findings.
//!
//! Each step captures the settings as the previous steps leave them, because several steps may change the same tasks in
//! order.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{CheckedJob, RuleFinding, RuleFix, RuleVerdict, evaluate_rule};
use crate::domain::{
    check::CheckStatus,
    compliance::rule::JobRule,
    entry::canonical,
    ids::Id,
    policy::compliance::CompliancePolicy,
    problems::is_exact,
    remediation::RemediationKind,
    report::{Remediation, Resource},
    settings::SettingChange,
    time::Timestamp,
};

/// Maximum total size of the captured settings of one job, bytes. A runbook without captured settings begins with the
/// capture.
const MAX_CAPTURES: usize = 1 << 20;
/// Maximum number of steps for one rule, because people paste them.
pub const MAX_STEPS: usize = 20;
/// Maximum total size of the new settings, bytes.
const MAX_CHANGES: usize = 1 << 20;
const TOO_MUCH: &str = "the settings are too large for a runbook, or contain numbers that it cannot represent exactly; change the job in the \
     source that deploys it";

/// JobTasks that get the same settings, in one change.
pub fn by_task<'a>(changes: impl IntoIterator<Item = (&'a str, Map<String, Value>)>) -> Vec<SettingChange> {
    let mut grouped: Vec<SettingChange> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for (key, task) in changes {
        // Equal settings of one rule have their names in the same order.
        let position = *positions.entry(Value::Object(task.clone()).to_string()).or_insert(grouped.len());
        match grouped.get_mut(position) {
            Some(change) => change.task_keys.push(key.to_owned()),
            None => grouped.push(SettingChange { task_keys: vec![key.to_owned()], task, ..SettingChange::default() }),
        }
    }
    grouped
}

/// Returns the steps for the failed findings, in the order of the rules.
pub fn steps(
    subject: &CheckedJob<'_>,
    resource: &Resource,
    findings: &[RuleFinding],
    comply: &CompliancePolicy,
    now: Timestamp,
) -> Vec<Remediation> {
    let mut expected = subject.settings.clone();
    let (mut room, mut room_for_changes) = (MAX_CAPTURES, MAX_CHANGES);
    let mut steps = Vec::new();
    for finding in findings.iter().filter(|finding| finding.status == CheckStatus::Fail) {
        let step =
            |kind| Remediation { title: title(finding.rule).into(), resource: Some(resource.clone()), ..empty(kind) };
        // The changes that are still needed after the previous steps.
        let changes = match evaluate_rule(finding.rule, &CheckedJob { settings: &expected, ..*subject }, comply, now) {
            RuleVerdict::Pass(_) | RuleVerdict::Partial(_) => continue,
            RuleVerdict::Fail(_, RuleFix::ByHand(hand)) => {
                steps.push(Remediation { command: Some(hand), ..step(RemediationKind::Command) });
                continue;
            }
            RuleVerdict::Fail(_, RuleFix::Settings(changes)) if changes.len() > MAX_STEPS => {
                steps.push(Remediation { command: Some(TOO_MUCH.into()), ..step(RemediationKind::Command) });
                continue;
            }
            RuleVerdict::Fail(_, RuleFix::Settings(changes)) => changes,
        };
        for change in changes {
            let wanted: Map<String, Value> =
                change.task.iter().chain(&change.fields).map(|(name, value)| (name.clone(), value.clone())).collect();
            let size = canonical(&(&wanted, &change.task_keys)).map_or(usize::MAX, |text| text.len());
            if size > room_for_changes || !is_exact(&Value::Object(wanted.clone())) {
                steps.push(Remediation { command: Some(TOO_MUCH.into()), ..step(RemediationKind::Command) });
                break;
            }
            room_for_changes -= size;
            steps.push(Remediation {
                task_keys: change.task_keys.clone(),
                changes: wanted,
                captured_settings: capture(&expected, &change, &mut room),
                ..step(RemediationKind::JobSettings)
            });
            expected = change.applied_to(&expected);
        }
    }
    steps
}

fn empty(kind: RemediationKind) -> Remediation {
    Remediation {
        kind,
        title: String::new(),
        resource: None,
        task_keys: Vec::new(),
        changes: Map::new(),
        captured_settings: None,
        statement: None,
        command: None,
        applied: false,
        result: None,
    }
}

fn title(rule: JobRule) -> &'static str {
    match rule {
        JobRule::Retries => "Retry failed tasks",
        JobRule::BoundedRetries => "Limit the number of retries",
        JobRule::Timeout => "Set a timeout for runs",
        JobRule::Queue => "Queue runs that cannot start at once",
        JobRule::FailureNotification => "Notify about failures",
        JobRule::DurationWarning => "Notify about long runs",
        JobRule::SharedCode => "Move code out of personal folders",
        JobRule::RunAs => "Run as a service principal",
        JobRule::Runtime => "Use a supported runtime",
        JobRule::JobCompute => "Use job compute",
        JobRule::ClusterPolicy => "Use a cluster policy",
    }
}

/// Returns the current values of the changed settings, and the bundle deployment of the job. `None` if they cannot be stored
/// exactly.
fn capture(settings: &Map<String, Value>, change: &SettingChange, room: &mut usize) -> Option<Map<String, Value>> {
    let mut captured = settings.clone();
    captured.retain(|name, _| {
        name == "deployment" || change.fields.contains_key(name) || (name == "tasks" && !change.task.is_empty())
    });
    let captured = Value::Object(captured);
    let size = canonical(&captured).ok()?.len();
    if size > *room || !is_exact(&captured) {
        return None;
    }
    *room -= size;
    match captured {
        Value::Object(captured) => Some(captured),
        _ => None,
    }
}

/// Returns the job as a resource of incidents and checks.
///
/// # Errors
/// An invalid id, which a number never is.
pub fn resource(subject: &CheckedJob<'_>) -> Result<Resource, String> {
    let name = subject.settings.get("name").and_then(Value::as_str).filter(|name| !name.trim().is_empty());
    Ok(Resource {
        kind: Id::new("job")?,
        id: Id::new(subject.id.to_string())?,
        name: name.map(str::to_owned),
        attributes: std::collections::BTreeMap::new(),
    })
}
