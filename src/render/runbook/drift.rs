//! Whether live settings still equal what a step was captured with: what the first block of an entry finds out, for reading only.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Tool,
    change::{Understood, understand},
    quote::json_line,
    shell::Shell,
};
use crate::{
    domain::settings::Change,
    render::plain::{line, na},
    tables::rows::RunbookStep,
};

/// How a step stands against live settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "stands")]
pub enum Standing {
    /// Nothing was captured, or what was cannot be used.
    NotCaptured,
    /// Nothing has drifted.
    AsCaptured,
    /// The change is in place, and nothing else has drifted.
    AsChanged,
    Drifted {
        differences: Vec<Difference>,
    },
    /// No command can be made of the step.
    Unclear {
        reason: String,
    },
}

impl Standing {
    /// The one of two that differs less.
    pub fn closer(self, other: Self) -> Self {
        let far = |standing: &Self| match standing {
            Self::Drifted { differences } => differences.len(),
            _ => 0,
        };
        if far(&other) < far(&self) { other } else { self }
    }
}

/// A setting that is not as it was captured. `None`: it is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where it is, such as `tasks`, `extract`, `max_retries`.
    pub setting: Vec<String>,
    pub captured: Option<Value>,
    pub now: Option<Value>,
}

/// What became of one step of a runbook.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    /// As the runbook counts them.
    pub number: usize,
    pub title: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What was found, and done about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The settings as they are now were recorded.
    Captured,
    /// There was a capture: how the live settings stand against it.
    Compared(Standing),
    /// It changes no settings, or was applied: there is nothing to capture.
    Skipped,
    /// Nothing is known now, and nothing was recorded.
    Unread { reason: String },
}

/// A step against live settings, and these settings as the step leaves them.
pub fn standing(step: &RunbookStep, live: &Map<String, Value>) -> (Standing, Map<String, Value>) {
    let shell = Shell { tool: Tool::default(), workspace: None };
    let Understood { change, captured, .. } = match understand(step, &shell) {
        Ok(understood) => understood,
        // Of a step that says no tasks, all that are there now are meant.
        Err(_) if step.captured_settings.is_none() => return (Standing::NotCaptured, live.clone()),
        Err(reason) => return (Standing::Unclear { reason }, live.clone()),
    };
    let after = change.applied_to(live);
    let Some(captured) = captured else { return (Standing::NotCaptured, after) };
    let changed = facts(&change.applied_to(&captured), &change);
    let (before, now) = (facts(&captured, &change), facts(live, &change));
    let standing = if now == before {
        Standing::AsCaptured
    } else if now == changed {
        Standing::AsChanged
    } else {
        let mut paths: Vec<&Vec<String>> = before.keys().chain(now.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let different = paths.into_iter().filter(|path| before.get(*path) != now.get(*path));
        let difference = |path: &Vec<String>| Difference {
            setting: path.clone(),
            captured: before.get(path).cloned(),
            now: now.get(path).cloned(),
        };
        Standing::Drifted { differences: different.map(difference).collect() }
    };
    (standing, after)
}

/// What became of every step, one line each and one for each difference.
pub fn text(seen: &[Seen]) -> String {
    let mut lines = Vec::new();
    for Seen { number, title, outcome } in seen {
        let told = match outcome {
            Outcome::Captured => "captured as it is now".to_owned(),
            Outcome::Skipped => "nothing to capture".to_owned(),
            Outcome::Unread { reason } => format!("not captured: {}", line(reason)),
            Outcome::Compared(Standing::NotCaptured) => "not captured".to_owned(),
            Outcome::Compared(Standing::AsCaptured) => "nothing has drifted since the capture".to_owned(),
            Outcome::Compared(Standing::AsChanged) => "the change is in place, and nothing else has drifted".to_owned(),
            Outcome::Compared(Standing::Unclear { reason }) => format!("not compared: {}", line(reason)),
            Outcome::Compared(Standing::Drifted { .. }) => {
                "drifted since the capture; --anew captures it anew".to_owned()
            }
        };
        lines.push(format!("step {number}, {}: {told}", line(title)));
        if let Outcome::Compared(Standing::Drifted { differences }) = outcome {
            for Difference { setting, captured, now } in differences {
                let value = |value: &Option<Value>| na(value.as_ref().map(json_line));
                let setting: Vec<_> = setting.iter().map(|part| line(part)).collect();
                lines.push(format!("  {}: captured {}, now {}", setting.join("/"), value(captured), value(now)));
            }
        }
    }
    lines.join("\n")
}

/// Every value that says something, by its place, of the settings that the change is about. A value that says nothing counts as
/// absent: the platform fills such defaults in. Tasks and job clusters stand by their keys, so that their order means nothing.
fn facts(settings: &Map<String, Value>, change: &Change) -> BTreeMap<Vec<String>, Value> {
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
        let check = |live: Value, expected: &Standing| {
            let (standing, _) = standing(&step, &object(&live));
            assert_eq!(standing, *expected, "{live}");
        };
        check(captured.clone(), &Standing::AsCaptured);
        // In another order, with defaults filled in, and with settings that nobody asks about.
        check(
            json!({ "name": "x", "tasks": [
                { "task_key": "b", "timeout_seconds": 5, "run_if": "ALL_SUCCESS" }, { "task_key": "a", "max_retries": 0, "libraries": [] },
            ] }),
            &Standing::AsCaptured,
        );
        let mut changed = captured.clone();
        changed["tasks"][0]["max_retries"] = 3.into();
        check(changed, &Standing::AsChanged);
        let mut drifted = captured.clone();
        drifted["tasks"][1]["timeout_seconds"] = 6.into();
        drifted["tasks"][0]["max_retries"] = 9.into();
        let place = |task: &str, name: &str| ["tasks", task, name].map(str::to_owned).to_vec();
        let differences = vec![
            Difference { setting: place("a", "max_retries"), captured: None, now: Some(9.into()) },
            Difference { setting: place("b", "timeout_seconds"), captured: Some(5.into()), now: Some(6.into()) },
        ];
        check(drifted, &Standing::Drifted { differences });
    }

    #[test]
    fn a_step_without_a_usable_capture_is_not_captured() {
        let live = object(&json!({ "tasks": [{ "task_key": "a" }] }));
        assert_eq!(standing(&step(&json!({ "max_retries": 3 }), None), &live).0, Standing::NotCaptured);
        let other = json!({ "tasks": [{ "task_key": "other" }] });
        let (found, after) = standing(&step(&json!({ "max_retries": 3 }), Some(&other)), &live);
        assert_eq!(found, Standing::NotCaptured);
        assert_eq!(after["tasks"][0]["max_retries"], 3);
        let redacted = step(&json!({ "max_retries": "[REDACTED:token]" }), Some(&other));
        assert!(matches!(standing(&redacted, &live).0, Standing::Unclear { .. }));
    }
}
