//! Steps of a runbook that put a finding right.
//!
//! What a step is compared with before it writes is the job as the steps before it leave it: several steps may change the same
//! tasks, and are done in their order.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Finding, Fix, Subject, Verdict, judge};
use crate::domain::{
    entry::canonical,
    ids::Id,
    policy::comply::Comply,
    problems::is_exact,
    report::{Remediation, Resource},
    settings::Change,
    time::Timestamp,
    words::{CheckStatus, JobRule, RemediationKind},
};

/// Captures of one job are at most so many bytes, all together; without a capture a runbook begins with capturing.
const MAX_CAPTURES: usize = 1 << 20;
/// One rule takes at most so many steps; nobody pastes more.
pub const MAX_STEPS: usize = 20;
/// New settings are at most so many bytes, all together.
const MAX_CHANGES: usize = 1 << 20;
const TOO_MUCH: &str =
    "the settings are more, or hold larger numbers, than a runbook can; change the job where it is deployed from";

/// Tasks that get the same settings, in one change.
pub fn by_task<'a>(changes: impl IntoIterator<Item = (&'a str, Map<String, Value>)>) -> Vec<Change> {
    let mut grouped: Vec<Change> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (key, task) in changes {
        // Equal settings of one rule come with their names in the same order.
        let place = *places.entry(Value::Object(task.clone()).to_string()).or_insert(grouped.len());
        match grouped.get_mut(place) {
            Some(change) => change.task_keys.push(key.to_owned()),
            None => grouped.push(Change { task_keys: vec![key.to_owned()], task, ..Change::default() }),
        }
    }
    grouped
}

/// The steps for what fails of `findings`, in the order of the rules.
pub fn steps(
    subject: &Subject<'_>,
    resource: &Resource,
    findings: &[Finding],
    comply: &Comply,
    now: Timestamp,
) -> Vec<Remediation> {
    let mut expected = subject.settings.clone();
    let (mut room, mut room_for_changes) = (MAX_CAPTURES, MAX_CHANGES);
    let mut steps = Vec::new();
    for finding in findings.iter().filter(|finding| finding.status == CheckStatus::Fail) {
        let step =
            |kind| Remediation { title: title(finding.rule).into(), resource: Some(resource.clone()), ..empty(kind) };
        // What is left to do after the steps before.
        let changes = match judge(finding.rule, &Subject { settings: &expected, ..*subject }, comply, now) {
            Verdict::Pass(_) | Verdict::Partial(_) => continue,
            Verdict::Fail(_, Fix::ByHand(hand)) => {
                steps.push(Remediation { command: Some(hand), ..step(RemediationKind::Command) });
                continue;
            }
            Verdict::Fail(_, Fix::Settings(changes)) if changes.len() > MAX_STEPS => {
                steps.push(Remediation { command: Some(TOO_MUCH.into()), ..step(RemediationKind::Command) });
                continue;
            }
            Verdict::Fail(_, Fix::Settings(changes)) => changes,
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
        JobRule::Retries => "Retry tasks that fail",
        JobRule::BoundedRetries => "End retries some time",
        JobRule::Timeout => "End runs that hang",
        JobRule::Queue => "Let runs wait for their turn",
        JobRule::FailureNotification => "Tell somebody about failures",
        JobRule::DurationWarning => "Watch how long runs take",
        JobRule::SharedCode => "Run code that belongs to nobody alone",
        JobRule::RunAs => "Run as a service principal",
        JobRule::Runtime => "Use a runtime that is supported",
        JobRule::JobCompute => "Run on compute of its own",
        JobRule::ClusterPolicy => "Put clusters under a policy",
    }
}

/// What the change is compared with, and whether a bundle deployed the job. `None` when it cannot be kept exactly.
fn capture(settings: &Map<String, Value>, change: &Change, room: &mut usize) -> Option<Map<String, Value>> {
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

/// The job, as incidents and checks name it.
///
/// # Errors
/// Never for a number.
pub fn resource(subject: &Subject<'_>) -> Result<Resource, String> {
    let name = subject.settings.get("name").and_then(Value::as_str).filter(|name| !name.trim().is_empty());
    Ok(Resource {
        kind: Id::new("job")?,
        id: Id::new(subject.id.to_string())?,
        name: name.map(str::to_owned),
        attributes: std::collections::BTreeMap::new(),
    })
}
