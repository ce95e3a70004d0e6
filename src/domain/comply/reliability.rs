//! Runs that fail for a moment, hang, or cannot start at once.

use serde_json::{Map, Value, json};

use super::{
    Fix, Subject, Verdict,
    fix::by_task,
    shape::{Odd, Starts, Task, Tasks, counted, named, object, starts, whole},
};
use crate::domain::{policy::comply::Comply, settings::Change};

/// Every task of a job that runs by itself has a retry policy.
pub fn retries(subject: &Subject<'_>, tasks: &Tasks<'_>, comply: &Comply) -> Verdict {
    match starts(subject.settings) {
        Err(Odd) => return Verdict::Partial("its schedule or trigger could not be understood".into()),
        Ok(Starts::OnDemand) => return Verdict::Pass("runs are started on demand, by whoever sees them fail".into()),
        Ok(Starts::Paused) => return Verdict::Pass("its schedule or trigger is paused".into()),
        Ok(Starts::Continuously) => return Verdict::Pass("a continuous job is started again when it fails".into()),
        Ok(Starts::ByItself) => {}
    }
    let none = |task: &Task<'_>| match whole(task.settings, "max_retries") {
        Ok(retries) => Ok(retries.unwrap_or(0) == 0),
        Err(Odd) => Err("max_retries"),
    };
    let fixed = || retry_policy(comply);
    of_tasks(tasks, none, fixed, |missing, all| match missing.len() {
        0 => format!("every task is retried ({})", counted(all, "task")),
        few => format!("{few} of {} without retry policy: {}", counted(all, "task"), keys(missing)),
    })
}

/// No task is retried without end.
pub fn bounded_retries(tasks: &Tasks<'_>, comply: &Comply) -> Verdict {
    let endless = |task: &Task<'_>| match whole(task.settings, "max_retries") {
        Ok(retries) => Ok(retries.is_some_and(|retries| retries < 0)),
        Err(Odd) => Err("max_retries"),
    };
    let fixed = || Map::from_iter([("max_retries".to_owned(), json!(comply.max_retries))]);
    of_tasks(tasks, endless, fixed, |endless, all| match endless.len() {
        0 => format!("no task is retried without end ({})", counted(all, "task")),
        few => format!("{few} of {} retried without end (max_retries -1): {}", counted(all, "task"), keys(endless)),
    })
}

fn retry_policy(comply: &Comply) -> Map<String, Value> {
    Map::from_iter([
        ("max_retries".to_owned(), json!(comply.max_retries)),
        ("min_retry_interval_millis".to_owned(), json!(u64::from(comply.retry_interval_seconds) * 1000)),
        ("retry_on_timeout".to_owned(), json!(true)),
    ])
}

/// A rule about every task: `bad` says whether one fails, or which of its settings is none.
fn of_tasks(
    tasks: &Tasks<'_>,
    bad: impl Fn(&Task<'_>) -> Result<bool, &'static str>,
    fixed: impl Fn() -> Map<String, Value>,
    told: impl Fn(&[Task<'_>], usize) -> String,
) -> Verdict {
    let mut failed: Vec<Task<'_>> = Vec::new();
    let mut unclear: Vec<String> = tasks.unclear.iter().cloned().collect();
    for task in &tasks.working {
        match bad(task) {
            Ok(true) => failed.push(*task),
            Ok(false) => {}
            Err(name) => unclear.push(format!("{name} of task {} is no number", named([task.key]))),
        }
    }
    let text = told(&failed, tasks.working.len());
    let text = if unclear.is_empty() { text } else { format!("{text}; {}", some_of(&unclear)) };
    match (failed.is_empty(), unclear.is_empty()) {
        (true, true) => Verdict::Pass(text),
        (true, false) => Verdict::Partial(some_of(&unclear)),
        (false, _) => {
            let changes = failed.iter().map(|task| (task.key, task.change(fixed())));
            Verdict::Fail(text, Fix::Settings(by_task(changes)))
        }
    }
}

fn keys(tasks: &[Task<'_>]) -> String {
    named(tasks.iter().map(|task| task.key))
}

/// The first few of many reasons.
fn some_of(reasons: &[String]) -> String {
    match reasons {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}; {second}; {third}; and {} more", rest.len())
        }
        reasons => reasons.join("; "),
    }
}

/// A run ends some time: the job has a time-out, or every task has one.
pub fn timeout(subject: &Subject<'_>, tasks: &Tasks<'_>, comply: &Comply) -> Verdict {
    match starts(subject.settings) {
        Err(Odd) => return Verdict::Partial("its schedule or trigger could not be understood".into()),
        Ok(Starts::Continuously) => return Verdict::Pass("a continuous job has no end to wait for".into()),
        Ok(_) => {}
    }
    let limit = |settings| whole(settings, "timeout_seconds");
    match limit(subject.settings) {
        Err(Odd) => return Verdict::Partial("timeout_seconds of the job is no number".into()),
        Ok(Some(seconds)) if seconds > 0 => return Verdict::Pass(format!("the job has a time-out of {seconds} s")),
        Ok(_) => {}
    }
    let mut without = Vec::new();
    for task in &tasks.working {
        match limit(task.settings) {
            Err(Odd) => {
                return Verdict::Partial(format!("timeout_seconds of task {} is no number", named([task.key])));
            }
            Ok(Some(seconds)) if seconds > 0 => {}
            Ok(_) => without.push(task.key),
        }
    }
    if without.is_empty() {
        return match &tasks.unclear {
            Some(why) => Verdict::Partial(why.clone()),
            None => Verdict::Pass(format!("every task has a time-out ({})", counted(tasks.working.len(), "task"))),
        };
    }
    let text = format!(
        "the job has no time-out, and {} of {} none either: {}",
        without.len(),
        counted(tasks.working.len(), "task"),
        named(without)
    );
    Verdict::Fail(text, of_job("timeout_seconds", json!(comply.timeout_seconds)))
}

/// A run that cannot start at once waits.
pub fn queue(subject: &Subject<'_>) -> Verdict {
    match starts(subject.settings) {
        Err(Odd) => return Verdict::Partial("its schedule or trigger could not be understood".into()),
        Ok(Starts::Continuously) => return Verdict::Pass("a continuous job has one run at a time".into()),
        Ok(_) => {}
    }
    let enabled = match object(subject.settings, "queue") {
        Err(Odd) => return Verdict::Partial("queue is no object".into()),
        Ok(queue) => queue.and_then(|queue| queue.get("enabled")),
    };
    match enabled {
        Some(Value::Bool(true)) => Verdict::Pass("queueing is enabled".into()),
        None | Some(Value::Null | Value::Bool(false)) => {
            Verdict::Fail("queueing is not enabled".into(), of_job("queue", json!({ "enabled": true })))
        }
        Some(_) => Verdict::Partial("queue.enabled is neither true nor false".into()),
    }
}

/// One new setting of the job itself.
pub fn of_job(name: &str, value: Value) -> Fix {
    let fields = Map::from_iter([(name.to_owned(), value)]);
    Fix::Settings(vec![Change { fields, ..Change::default() }])
}
