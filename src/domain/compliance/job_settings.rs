//! Readers for job settings, which may have unexpected types.

use serde_json::{Map, Value};

use crate::domain::{problems::quote, settings::set};

/// Maximum number of names in one sentence.
const NAMED: usize = 5;

/// A setting has an unexpected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongType;

/// Reads a whole number. Null counts as absent.
pub fn whole(settings: &Map<String, Value>, name: &str) -> Result<Option<i64>, WrongType> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(WrongType),
    }
}

/// Reads a text. Null and an empty text count as absent.
pub fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, WrongType> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(WrongType),
    }
}

/// Reads an object. Null counts as absent.
pub fn object<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, WrongType> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_object().map(Some).ok_or(WrongType),
    }
}

/// Reads a list. Null and an absent list are empty.
pub fn list<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], WrongType> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or(WrongType),
    }
}

/// A task that runs something. For a loop, the task inside it.
#[derive(Debug, Clone, Copy)]
pub struct JobTask<'a> {
    pub key: &'a str,
    pub settings: &'a Map<String, Value>,
    /// Settings of the surrounding loop.
    outer: Option<&'a Map<String, Value>>,
}

impl JobTask<'_> {
    /// Returns the changes of the task with this key that give its work the `new` settings.
    pub fn change(&self, new: Map<String, Value>) -> Map<String, Value> {
        let Some(outer) = self.outer else { return new };
        let mut inner = self.settings.clone();
        set(&mut inner, &new);
        let mut outer = outer.clone();
        outer.insert("task".into(), Value::Object(inner));
        Map::from_iter([("for_each_task".to_owned(), Value::Object(outer))])
    }
}

/// The tasks of a job.
#[derive(Debug, Default)]
pub struct JobTasks<'a> {
    /// Tasks that run something: not disabled, and not conditions.
    pub working: Vec<JobTask<'a>>,
    /// Why the list is incomplete.
    pub unclear: Option<String>,
}

/// Returns the tasks of a job.
pub fn tasks(settings: &Map<String, Value>) -> JobTasks<'_> {
    let Ok(entries) = list(settings, "tasks") else {
        return JobTasks { unclear: Some("its tasks are not a list".into()), ..JobTasks::default() };
    };
    if entries.is_empty() {
        return JobTasks { unclear: Some("its tasks are unknown".into()), ..JobTasks::default() };
    }
    let mut tasks = JobTasks::default();
    let mut unclear = 0_usize;
    for entry in entries {
        let Some(settings) = entry.as_object() else {
            unclear += 1;
            continue;
        };
        let Ok(Some(key)) = text(settings, "task_key") else {
            unclear += 1;
            continue;
        };
        if settings.get("disabled") == Some(&Value::Bool(true)) || settings.contains_key("condition_task") {
            continue;
        }
        let task = match object(settings, "for_each_task") {
            Ok(None) => Some(JobTask { key, settings, outer: None }),
            Ok(Some(outer)) => match object(outer, "task") {
                Ok(Some(inner)) => Some(JobTask { key, settings: inner, outer: Some(outer) }),
                _ => None,
            },
            Err(WrongType) => None,
        };
        match task {
            Some(task) => tasks.working.push(task),
            None => unclear += 1,
        }
    }
    tasks.unclear =
        (unclear > 0).then(|| format!("{unclear} of {} with unexpected settings", counted(entries.len(), "task")));
    tasks
}

/// Joins the first few names, quoted, and the number of the others.
pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text: Vec<String> = names.iter().take(NAMED).map(|name| quote(name)).collect();
    if names.len() > NAMED {
        text.push(format!("{} more", names.len() - NAMED));
    }
    text.join(", ")
}

/// Returns a text such as `1 task` or `2 tasks`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// How runs of a job start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartMode {
    /// A schedule or trigger starts runs.
    Automatic,
    /// Runs follow each other continuously.
    Continuously,
    /// All schedules and triggers are paused.
    Paused,
    /// People or other programs start runs.
    OnDemand,
}

/// Returns how runs of a job start.
pub fn starts(settings: &Map<String, Value>) -> Result<StartMode, WrongType> {
    let mut found = StartMode::OnDemand;
    let of = |name: &str| object(settings, name).map(|found| found.map(|one| (one, name == "continuous")));
    let single = [of("schedule")?, of("trigger")?, of("continuous")?].into_iter().flatten();
    let several = list(settings, "triggers")?.iter().filter_map(Value::as_object);
    for (one, continuous) in single.chain(several.map(|one| (one, one.contains_key("continuous")))) {
        let paused = text(one, "pause_status")?.is_some_and(|status| status == "PAUSED");
        found = match (paused, continuous, found) {
            (false, true, _) => StartMode::Continuously,
            (false, false, StartMode::Continuously) => StartMode::Continuously,
            (false, false, _) => StartMode::Automatic,
            (true, _, StartMode::OnDemand) => StartMode::Paused,
            (true, _, found) => found,
        };
    }
    Ok(found)
}
