//! Compares live settings with the captured ones of a step, as the first block of an entry does. Reads only.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    RunbookTool,
    change::{SettingsChange, parse_change},
    quote::json_line,
    shell::Shell,
};
use crate::{
    domain::settings::SettingChange,
    render::plain::{line, na},
    tables::rows::RunbookStep,
};

/// The state of live settings compared with a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "drift")]
pub enum DriftState {
    /// There is no capture, or it cannot be used.
    NotCaptured,
    /// Nothing has drifted.
    AsCaptured,
    /// The change is in place, and nothing else has drifted.
    AsChanged,
    Drifted {
        differences: Vec<SettingDifference>,
    },
    /// The step cannot be turned into a command.
    Unclear {
        reason: String,
    },
}

impl DriftState {
    /// Returns the one of two states with fewer differences.
    pub fn nearer(self, other: Self) -> Self {
        let far = |drift_state: &Self| match drift_state {
            Self::Drifted { differences } => differences.len(),
            _ => 0,
        };
        if far(&other) < far(&self) { other } else { self }
    }
}

/// A setting that differs from its captured value. `None`: it is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingDifference {
    /// The path of the setting, such as `tasks`, `extract`, `max_retries`.
    pub setting: Vec<String>,
    pub captured: Option<Value>,
    pub now: Option<Value>,
}

/// The result of capturing one step of a runbook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepCapture {
    /// The number of the entry in the runbook.
    pub number: usize,
    pub title: String,
    #[serde(flatten)]
    pub outcome: CaptureResult,
}

/// The result of a capture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum CaptureResult {
    /// The live settings were recorded.
    Captured,
    /// There was a capture, and the live settings were compared with it.
    Compared(DriftState),
    /// The step changes no settings, or was already applied.
    Skipped,
    /// The live settings could not be read, and nothing was recorded.
    Unread { reason: String },
}

/// Compares a step with live settings. Also returns the live settings with the step applied.
pub fn drift_state(step: &RunbookStep, live: &Map<String, Value>) -> (DriftState, Map<String, Value>) {
    let shell = Shell { tool: RunbookTool::default(), workspace: None };
    let SettingsChange { change, captured, .. } = match parse_change(step, &shell) {
        Ok(parsed) => parsed,
        // a step without tasks applies to all current tasks
        Err(_) if step.captured_settings.is_none() => return (DriftState::NotCaptured, live.clone()),
        Err(reason) => return (DriftState::Unclear { reason }, live.clone()),
    };
    let after = change.applied_to(live);
    let Some(captured) = captured else { return (DriftState::NotCaptured, after) };
    let changed = facts(&change.applied_to(&captured), &change);
    let (before, now) = (facts(&captured, &change), facts(live, &change));
    let drift_state = if now == before {
        DriftState::AsCaptured
    } else if now == changed {
        DriftState::AsChanged
    } else {
        let mut paths: Vec<&Vec<String>> = before.keys().chain(now.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let different = paths.into_iter().filter(|path| before.get(*path) != now.get(*path));
        let difference = |path: &Vec<String>| SettingDifference {
            setting: path.clone(),
            captured: before.get(path).cloned(),
            now: now.get(path).cloned(),
        };
        DriftState::Drifted { differences: different.map(difference).collect() }
    };
    (drift_state, after)
}

/// The result of every step, one line each, and one line for each difference.
pub fn text(seen: &[StepCapture]) -> String {
    let mut lines = Vec::new();
    for StepCapture { number, title, outcome } in seen {
        let result = match outcome {
            CaptureResult::Captured => "captured".to_owned(),
            CaptureResult::Skipped => "nothing to capture".to_owned(),
            CaptureResult::Unread { reason } => format!("not captured: {}", line(reason)),
            CaptureResult::Compared(DriftState::NotCaptured) => "not captured".to_owned(),
            CaptureResult::Compared(DriftState::AsCaptured) => "nothing has drifted since the capture".to_owned(),
            CaptureResult::Compared(DriftState::AsChanged) => {
                "the change is in place, and nothing else has drifted".to_owned()
            }
            CaptureResult::Compared(DriftState::Unclear { reason }) => format!("not compared: {}", line(reason)),
            CaptureResult::Compared(DriftState::Drifted { .. }) => {
                "drifted since the capture; --recapture captures it again".to_owned()
            }
        };
        lines.push(format!("step {number}, {}: {result}", line(title)));
        if let CaptureResult::Compared(DriftState::Drifted { differences }) = outcome {
            for SettingDifference { setting, captured, now } in differences {
                let value = |value: &Option<Value>| na(value.as_ref().map(json_line));
                let setting: Vec<_> = setting.iter().map(|part| line(part)).collect();
                lines.push(format!("  {}: captured {}, now {}", setting.join("/"), value(captured), value(now)));
            }
        }
    }
    lines.join("\n")
}

/// The non-default values of the settings that the change is about, by path. Empty and default values count as absent, because
/// the platform fills them in. Tasks and job clusters are keyed, so that their order does not matter.
fn facts(settings: &Map<String, Value>, change: &SettingChange) -> BTreeMap<Vec<String>, Value> {
    let mut found = BTreeMap::new();
    for (name, value) in settings {
        if change.fields.contains_key(name) || (name == "tasks" && !change.task.is_empty()) {
            let key = match name.as_str() {
                "tasks" => Some("task_key"),
                "job_clusters" => Some("job_cluster_key"),
                _ => None,
            };
            walk(value, vec![name.clone()], key, &mut found);
        }
    }
    found
}

fn walk(value: &Value, place: Vec<String>, key: Option<&str>, found: &mut BTreeMap<Vec<String>, Value>) {
    let inner = |part: String| [place.as_slice(), &[part]].concat();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, inner(name.clone()), None, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let named = key.and_then(|key| item.get(key)?.as_str()).map(str::to_owned);
                walk(item, inner(named.unwrap_or_else(|| index.to_string())), None, found);
            }
        }
        Value::Null | Value::Bool(false) => {}
        Value::Number(number) if number.as_f64() == Some(0.0) => {}
        Value::String(text) if text.is_empty() || text == "ALL_SUCCESS" => {}
        scalar => {
            found.insert(place, scalar.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::example::{DAILY_ETL, recorded, report};

    fn step(changes: &Value, captured: Option<&Value>) -> RunbookStep {
        let mut step = recorded(report(DAILY_ETL)).projections.runbooks.remove(0);
        step.task_keys = Some("[\"a\"]".into());
        step.changes = Some(changes.to_string());
        step.captured_settings = captured.map(Value::to_string);
        step
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn live_settings_are_as_captured_as_changed_or_drifted() {
        let captured =
            json!({ "tasks": [{ "task_key": "a", "max_retries": 0 }, { "task_key": "b", "timeout_seconds": 5 }] });
        let step = step(&json!({ "max_retries": 3 }), Some(&captured));
        let check = |live: Value, expected: &DriftState| {
            let (drift_state, _) = drift_state(&step, &object(&live));
            assert_eq!(drift_state, *expected, "{live}");
        };
        check(captured.clone(), &DriftState::AsCaptured);
        // another order, filled-in defaults, and unrelated settings
        check(
            json!({ "name": "x", "tasks": [
                { "task_key": "b", "timeout_seconds": 5, "run_if": "ALL_SUCCESS" }, { "task_key": "a", "max_retries": 0, "libraries": [] },
            ] }),
            &DriftState::AsCaptured,
        );
        let mut changed = captured.clone();
        changed["tasks"][0]["max_retries"] = 3.into();
        check(changed, &DriftState::AsChanged);
        let mut drifted = captured.clone();
        drifted["tasks"][1]["timeout_seconds"] = 6.into();
        drifted["tasks"][0]["max_retries"] = 9.into();
        let place = |task: &str, name: &str| ["tasks", task, name].map(str::to_owned).to_vec();
        let differences = vec![
            SettingDifference { setting: place("a", "max_retries"), captured: None, now: Some(9.into()) },
            SettingDifference { setting: place("b", "timeout_seconds"), captured: Some(5.into()), now: Some(6.into()) },
        ];
        check(drifted, &DriftState::Drifted { differences });
    }

    #[test]
    fn a_step_without_a_usable_capture_is_not_captured() {
        let live = object(&json!({ "tasks": [{ "task_key": "a" }] }));
        assert_eq!(drift_state(&step(&json!({ "max_retries": 3 }), None), &live).0, DriftState::NotCaptured);
        let other = json!({ "tasks": [{ "task_key": "other" }] });
        let (found, after) = drift_state(&step(&json!({ "max_retries": 3 }), Some(&other)), &live);
        assert_eq!(found, DriftState::NotCaptured);
        assert_eq!(after["tasks"][0]["max_retries"], 3);
        let redacted = step(&json!({ "max_retries": "[REDACTED:token]" }), Some(&other));
        assert!(matches!(drift_state(&redacted, &live).0, DriftState::Unclear { .. }));
    }
}
