//! What exactly a settings step changes: which task or field, in which resource, known from which capture.

use serde_json::{Map, Value};

use super::{
    object,
    quote::{is_redacted, shown},
    shell::Shell,
};
use crate::{
    domain::{
        settings::{Change, is_of_job, is_of_task},
        words::RemediationKind,
    },
    tables::rows::RunbookStep,
};

/// What is changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    Job(u64),
    Cluster(String),
    Warehouse(String),
}

impl Resource {
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

/// A settings step, understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Understood {
    pub resource: Resource,
    pub change: Change,
    /// The part of the captured settings that the change needs; `None` when it must be captured first.
    pub captured: Option<Map<String, Value>>,
    /// A bundle deployed the job.
    pub bundle: bool,
    pub notes: Vec<String>,
}

/// Reads a step of one of the kinds that change settings.
///
/// # Errors
/// Why no command can be made of it, in words for the reader of the runbook.
pub fn understand(step: &RunbookStep, shell: &Shell) -> Result<Understood, String> {
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
        Resource::Job(_) => job_change(step, changes, captured.as_ref())?,
        Resource::Cluster(_) => Change { fields: with_size(changes), ..Change::default() },
        Resource::Warehouse(_) => Change { fields: changes, ..Change::default() },
    };
    let mut notes = Vec::new();
    let bundle = captured.as_ref().is_some_and(|settings| {
        settings.get("deployment").and_then(|deployment| deployment.get("kind")).is_some_and(|kind| kind == "BUNDLE")
    });
    let captured = match captured.map(|settings| needed(settings, &change)) {
        None => None,
        Some(Ok(captured)) => Some(captured),
        Some(Err(why)) => {
            notes.push(format!("The recorded capture cannot be used, because {why}: the first step captures anew."));
            None
        }
    };
    for (name, new) in &change.fields {
        let old = captured.as_ref().and_then(|captured| captured.get(name)).and_then(Value::as_object);
        if let (Some(old), Some(new)) = (old, new.as_object()) {
            let lost: Vec<&str> = old.keys().filter(|key| !new.contains_key(*key)).map(String::as_str).collect();
            if !lost.is_empty() {
                notes.push(format!(
                    "The new {} replaces the old one whole, without {}.",
                    shown(name),
                    shown(&lost.join(", "))
                ));
            }
        }
    }
    Ok(Understood { resource, change, captured, bundle, notes })
}

fn resource(step: &RunbookStep, shell: &Shell) -> Result<Resource, String> {
    let (Some(kind), Some(id)) = (&step.resource_kind, &step.resource_id) else {
        return Err("what is to be changed was not recorded; record a resource with kind and id".into());
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
        shell.can_say(id)?;
        return Ok(Resource::Job(id));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !id.bytes().all(plain) || id.starts_with('-') {
        return Err(format!("{} is not the id of a {expected}: letters, digits, - and _", shown(id)));
    }
    Ok(if expected == "cluster" { Resource::Cluster(id.into()) } else { Resource::Warehouse(id.into()) })
}

/// A job id: digits, 64 bits.
///
/// # Errors
/// That it is none.
pub fn job_id(text: &str) -> Result<u64, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let id = text.parse().ok().filter(|id| digits && i64::try_from(*id).is_ok());
    id.ok_or_else(|| format!("{} is not the id of a job, which is a number of at most 64 bits", shown(text)))
}

/// A cluster has either a number of workers or a range: setting one takes the other away.
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
) -> Result<Change, String> {
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
    Ok(Change { task_keys, task, fields })
}

/// The part of the captured settings that a change touches.
fn needed(mut settings: Map<String, Value>, change: &Change) -> Result<Map<String, Value>, String> {
    settings.retain(|name, _| change.fields.contains_key(name) || (name == "tasks" && !change.task.is_empty()));
    if !change.task.is_empty() {
        let tasks = settings.get("tasks").and_then(Value::as_array).ok_or("it holds no tasks")?;
        let mut keys: Vec<&str> = tasks.iter().filter_map(|task| task.get("task_key")?.as_str()).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        if count != tasks.len() || keys.len() != count {
            return Err("its tasks have no keys of their own".into());
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
