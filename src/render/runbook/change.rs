//! Parses a settings step: the resource, the changed tasks and fields, and the captured settings.

use serde_json::{Map, Value};

use super::{
    object,
    quote::{is_redacted, shown},
    shell::Shell,
};
use crate::{
    domain::{
        remediation::RemediationKind,
        settings::{SettingChange, is_of_job, is_of_task},
    },
    tables::rows::RunbookStep,
};

/// The resource that is changed.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangedResource {
    Job(u64),
    Cluster(String),
    Warehouse(String),
}

impl ChangedResource {
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Job(_) => "job",
            Self::Cluster(_) => "cluster",
            Self::Warehouse(_) => "warehouse",
        }
    }

    pub fn id(&self) -> String {
        match self {
            Self::Job(id) => id.to_string(),
            Self::Cluster(id) | Self::Warehouse(id) => id.clone(),
        }
    }
}

/// A parsed settings step.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsChange {
    pub resource: ChangedResource,
    pub change: SettingChange,
    /// The part of the captured settings that the change needs; `None` if the settings must be captured first.
    pub captured: Option<Map<String, Value>>,
    /// Whether a bundle deployed the job.
    pub bundle: bool,
    pub notes: Vec<String>,
}

/// Parses a step of a kind that changes settings.
///
/// # Errors
/// The reason why there can be no block for it, as text for the runbook.
pub fn parse_change(step: &RunbookStep, shell: &Shell) -> Result<SettingsChange, String> {
    let resource = resource(step, shell)?;
    let changes = object(step.changes.as_deref()).filter(|changes| !changes.is_empty());
    let changes = changes.ok_or("no change was recorded; record changes such as {\"max_retries\": 3}")?;
    if is_redacted(&Value::Object(changes.clone())) {
        return Err(
            "a new value holds a secret, which was redacted when it was recorded; make this change by hand".into()
        );
    }
    let captured = object(step.captured_settings.as_deref());
    let change = match resource {
        ChangedResource::Job(_) => job_change(step, changes, captured.as_ref())?,
        ChangedResource::Cluster(_) => SettingChange { fields: with_size(changes), ..SettingChange::default() },
        ChangedResource::Warehouse(_) => SettingChange { fields: changes, ..SettingChange::default() },
    };
    let mut notes = Vec::new();
    let bundle = captured.as_ref().is_some_and(|settings| {
        settings.get("deployment").and_then(|deployment| deployment.get("kind")).is_some_and(|kind| kind == "BUNDLE")
    });
    let captured = match captured.map(|settings| needed(settings, &change)) {
        None => None,
        Some(Ok(captured)) => Some(captured),
        Some(Err(why)) => {
            notes.push(format!(
                "The recorded capture cannot be used, because {why}. Step 1 captures the settings again."
            ));
            None
        }
    };
    for (name, new) in &change.fields {
        let old = captured.as_ref().and_then(|captured| captured.get(name)).and_then(Value::as_object);
        if let (Some(old), Some(new)) = (old, new.as_object()) {
            let lost: Vec<&str> = old.keys().filter(|key| !new.contains_key(*key)).map(String::as_str).collect();
            if !lost.is_empty() {
                notes.push(format!(
                    "The new {} replaces the old one entirely; {} is removed.",
                    shown(name),
                    shown(&lost.join(", "))
                ));
            }
        }
    }
    Ok(SettingsChange { resource, change, captured, bundle, notes })
}

fn resource(step: &RunbookStep, shell: &Shell) -> Result<ChangedResource, String> {
    let (Some(kind), Some(id)) = (&step.resource_kind, &step.resource_id) else {
        return Err("the resource was not recorded; record a resource with kind and id".into());
    };
    let expected = match step.kind {
        RemediationKind::JobSettings => "job",
        RemediationKind::ClusterSettings => "cluster",
        _ => "warehouse",
    };
    if !matches!((expected, kind.as_str()), ("warehouse", "sql_warehouse")) && kind.as_str() != expected {
        return Err(format!("the resource is a {}, and {} change a {expected}", shown(kind.as_str()), step.kind));
    }
    let id = id.as_str();
    if expected == "job" {
        let id = job_id(id)?;
        shell.supports_id(id)?;
        return Ok(ChangedResource::Job(id));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !id.bytes().all(plain) || id.starts_with('-') {
        return Err(format!("{} is not the id of a {expected}: letters, digits, - and _", shown(id)));
    }
    Ok(if expected == "cluster" { ChangedResource::Cluster(id.into()) } else { ChangedResource::Warehouse(id.into()) })
}

/// A job id: digits, 64 bits.
///
/// # Errors
/// If the text is not a job id.
pub fn job_id(text: &str) -> Result<u64, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let id = text.parse().ok().filter(|id| digits && i64::try_from(*id).is_ok());
    id.ok_or_else(|| format!("{} is not the id of a job, which is a number of at most 64 bits", shown(text)))
}

/// Adds the removal of the other size setting: a cluster has either a number of workers or a range.
fn with_size(mut changes: Map<String, Value>) -> Map<String, Value> {
    for (one, other) in [("num_workers", "autoscale"), ("autoscale", "num_workers")] {
        if changes.contains_key(one) && !changes.contains_key(other) {
            changes.insert(other.into(), Value::Null);
            break;
        }
    }
    changes
}

fn job_change(
    step: &RunbookStep,
    changes: Map<String, Value>,
    captured: Option<&Map<String, Value>>,
) -> Result<SettingChange, String> {
    if let Some(name) = ["tasks", "task_key"].into_iter().find(|name| changes.contains_key(*name)) {
        return Err(format!("{name} cannot be changed as a setting; give task_keys, and the settings of these tasks"));
    }
    let mut task_keys: Vec<String> =
        step.task_keys.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    task_keys.dedup();
    let to_tasks = |name: &str| if task_keys.is_empty() { is_of_task(name) } else { !is_of_job(name) };
    let (task, fields): (Map<_, _>, Map<_, _>) = changes.into_iter().partition(|(name, _)| to_tasks(name));
    if task.is_empty() {
        task_keys.clear();
    } else if task_keys.is_empty() {
        let tasks = captured.and_then(|settings| settings.get("tasks")).and_then(Value::as_array);
        let all = tasks.into_iter().flatten().filter_map(|task| task.get("task_key")?.as_str());
        task_keys = all.map(str::to_owned).collect();
        if task_keys.is_empty() {
            let names: Vec<&str> = task.keys().map(String::as_str).collect();
            return Err(format!(
                "{} exists on tasks only, and neither task_keys nor the tasks of the job were recorded",
                shown(&names.join(", "))
            ));
        }
    }
    Ok(SettingChange { task_keys, task, fields })
}

/// The part of the captured settings that a change affects.
fn needed(mut settings: Map<String, Value>, change: &SettingChange) -> Result<Map<String, Value>, String> {
    settings.retain(|name, _| change.fields.contains_key(name) || (name == "tasks" && !change.task.is_empty()));
    if !change.task.is_empty() {
        let tasks = settings.get("tasks").and_then(Value::as_array).ok_or("it holds no tasks")?;
        let mut keys: Vec<&str> = tasks.iter().filter_map(|task| task.get("task_key")?.as_str()).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        if count != tasks.len() || keys.len() != count {
            return Err("its tasks have no unique keys".into());
        }
        if let Some(missing) = change.task_keys.iter().find(|key| !keys.contains(&key.as_str())) {
            return Err(format!("it lacks the task {}", shown(missing)));
        }
    }
    if is_redacted(&Value::Object(settings.clone())) {
        return Err("a secret in it was redacted".into());
    }
    Ok(settings)
}
