//! Changes of job settings, with the names of the Jobs API.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Settings of a job that a task does not have, by Jobs API 2.2.
const JOB_ONLY: &[&str] = &[
    "access_control_list",
    "budget_policy_id",
    "continuous",
    "deployment",
    "edit_mode",
    "environments",
    "format",
    "git_source",
    "job_clusters",
    "max_concurrent_runs",
    "name",
    "parameters",
    "parent_path",
    "performance_target",
    "queue",
    "run_as",
    "schedule",
    "tags",
    "trigger",
    "triggers",
    "usage_policy_id",
];

/// Settings of a task that a job does not have; all names that end in `_task` also belong to a task.
const TASK_ONLY: &[&str] = &[
    "compute",
    "depends_on",
    "disable_auto_optimization",
    "disabled",
    "environment_key",
    "existing_cluster_id",
    "job_cluster_key",
    "libraries",
    "max_retries",
    "min_retry_interval_millis",
    "new_cluster",
    "retry_on_timeout",
    "run_if",
];

/// Returns true for a setting that only jobs have.
pub fn is_of_job(name: &str) -> bool {
    JOB_ONLY.contains(&name)
}

/// Returns true for a setting that only tasks have.
pub fn is_of_task(name: &str) -> bool {
    TASK_ONLY.contains(&name) || name.ends_with("_task")
}

/// A change of the settings of tasks and of the resource itself. A null removes a setting.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SettingChange {
    pub task_keys: Vec<String>,
    pub task: Map<String, Value>,
    pub fields: Map<String, Value>,
}

impl SettingChange {
    /// Returns the path and the new value of each changed setting. A null removes it.
    ///
    /// A path is `["tasks", TASK_KEY, NAME]` or `[NAME]`.
    pub fn wanted(&self) -> Vec<(Vec<&str>, &Value)> {
        let tasks = self.task_keys.iter().flat_map(|key| {
            self.task.iter().map(move |(name, value)| (vec!["tasks", key.as_str(), name.as_str()], value))
        });
        tasks.chain(self.fields.iter().map(|(name, value)| (vec![name.as_str()], value))).collect()
    }

    /// Returns the captured settings with the change applied.
    pub fn applied_to(&self, captured: &Map<String, Value>) -> Map<String, Value> {
        let mut after = captured.clone();
        let keys: BTreeSet<&str> = self.task_keys.iter().map(String::as_str).collect();
        for task in after.get_mut("tasks").and_then(Value::as_array_mut).into_iter().flatten() {
            let changed = task.get("task_key").and_then(Value::as_str).is_some_and(|key| keys.contains(key));
            if let (true, Some(task)) = (changed, task.as_object_mut()) {
                set(task, &self.task);
            }
        }
        set(&mut after, &self.fields);
        after
    }
}

/// Sets each setting of `new`; a null removes it.
pub fn set(settings: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (name, value) in new {
        if value.is_null() {
            settings.remove(name)
        } else {
            settings.insert(name.clone(), value.clone())
        };
    }
}
