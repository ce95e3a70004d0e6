//! Settings that may have any shape: what is absent, what is there, and what is something else than it should be.

use serde_json::{Map, Value};

use crate::domain::{problems::quote, settings::set};

/// Names in one sentence.
const NAMED: usize = 5;

/// It is there, and has the wrong type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Odd;

/// A whole number. A null is absent.
pub fn whole(settings: &Map<String, Value>, name: &str) -> Result<Option<i64>, Odd> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(Odd),
    }
}

/// A text that says something. A null and an empty one are absent.
pub fn text<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Odd> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(Odd),
    }
}

/// An object. A null is absent.
pub fn object<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, Odd> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_object().map(Some).ok_or(Odd),
    }
}

/// A list. A null and an absent one are empty.
pub fn list<'a>(settings: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Odd> {
    match settings.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or(Odd),
    }
}

/// A task that runs something. Of a loop it is the task inside.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    pub key: &'a str,
    pub settings: &'a Map<String, Value>,
    /// The loop around it.
    outer: Option<&'a Map<String, Value>>,
}

impl Task<'_> {
    /// What to change in the task with this key, so that its work gets `new` settings.
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
pub struct Tasks<'a> {
    /// Those that run something: not switched off, and no mere condition.
    pub working: Vec<Task<'a>>,
    /// Why the list is not whole.
    pub unclear: Option<String>,
}

/// The tasks of a job's settings.
pub fn tasks(settings: &Map<String, Value>) -> Tasks<'_> {
    let Ok(entries) = list(settings, "tasks") else {
        return Tasks { unclear: Some("its tasks are no list".into()), ..Tasks::default() };
    };
    if entries.is_empty() {
        return Tasks { unclear: Some("no tasks were told".into()), ..Tasks::default() };
    }
    let mut tasks = Tasks::default();
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
            Ok(None) => Some(Task { key, settings, outer: None }),
            Ok(Some(outer)) => match object(outer, "task") {
                Ok(Some(inner)) => Some(Task { key, settings: inner, outer: Some(outer) }),
                _ => None,
            },
            Err(Odd) => None,
        };
        match task {
            Some(task) => tasks.working.push(task),
            None => unclear += 1,
        }
    }
    tasks.unclear =
        (unclear > 0).then(|| format!("{unclear} of {} could not be understood", counted(entries.len(), "task")));
    tasks
}

/// Some names, quoted, and how many more there are.
pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text: Vec<String> = names.iter().take(NAMED).map(|name| quote(name)).collect();
    if names.len() > NAMED {
        text.push(format!("{} more", names.len() - NAMED));
    }
    text.join(", ")
}

/// `1 task`, `2 tasks`.
pub fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Whether some runs start by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// A schedule or a trigger starts runs.
    ByItself,
    /// One run follows another.
    Continuously,
    /// All schedules and triggers are paused.
    Paused,
    /// People or other programs start runs.
    OnDemand,
}

/// How runs of a job start.
pub fn starts(settings: &Map<String, Value>) -> Result<Starts, Odd> {
    let mut found = Starts::OnDemand;
    let of = |name: &str| object(settings, name).map(|found| found.map(|one| (one, name == "continuous")));
    let single = [of("schedule")?, of("trigger")?, of("continuous")?].into_iter().flatten();
    let several = list(settings, "triggers")?.iter().filter_map(Value::as_object);
    for (one, continuous) in single.chain(several.map(|one| (one, one.contains_key("continuous")))) {
        let paused = text(one, "pause_status")?.is_some_and(|status| status == "PAUSED");
        found = match (paused, continuous, found) {
            (false, true, _) => Starts::Continuously,
            (false, false, Starts::Continuously) => Starts::Continuously,
            (false, false, _) => Starts::ByItself,
            (true, _, Starts::OnDemand) => Starts::Paused,
            (true, _, found) => found,
        };
    }
    Ok(found)
}
