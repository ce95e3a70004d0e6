//! Rules about reliability: retries, timeouts and queueing.

use serde_json::{Map, Value, json};

use super::{
    CheckedJob, RuleFix, RuleVerdict,
    job_settings::{JobTask, JobTasks, StartMode, WrongType, counted, named, object, starts, whole},
    remediation::by_task,
};
use crate::domain::{policy::compliance::CompliancePolicy, settings::SettingChange};

/// Checks that every task of a job that starts automatically has a retry policy.
pub fn retries(subject: &CheckedJob<'_>, tasks: &JobTasks<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    match starts(subject.settings) {
        Err(WrongType) => return RuleVerdict::Partial("its schedule or trigger has an unexpected format".into()),
        Ok(StartMode::OnDemand) => return RuleVerdict::Pass("runs are started on demand".into()),
        Ok(StartMode::Paused) => return RuleVerdict::Pass("its schedule or trigger is paused".into()),
        Ok(StartMode::Continuously) => {
            return RuleVerdict::Pass("a continuous job restarts automatically after a failure".into());
        }
        Ok(StartMode::Automatic) => {}
    }
    let none = |task: &JobTask<'_>| match whole(task.settings, "max_retries") {
        Ok(retries) => Ok(retries.unwrap_or(0) == 0),
        Err(WrongType) => Err("max_retries"),
    };
    let fixed = || retry_policy(comply);
    of_tasks(tasks, none, fixed, |missing, all| match missing.len() {
        0 => format!("every task is retried ({})", counted(all, "task")),
        few => format!("{few} of {} without retry policy: {}", counted(all, "task"), keys(missing)),
    })
}

/// Checks that no task has unlimited retries.
pub fn bounded_retries(tasks: &JobTasks<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    let is_unlimited = |task: &JobTask<'_>| match whole(task.settings, "max_retries") {
        Ok(retries) => Ok(retries.is_some_and(|retries| retries < 0)),
        Err(WrongType) => Err("max_retries"),
    };
    let fixed = || Map::from_iter([("max_retries".to_owned(), json!(comply.max_retries))]);
    of_tasks(tasks, is_unlimited, fixed, |unlimited, all| match unlimited.len() {
        0 => format!("no task has unlimited retries ({})", counted(all, "task")),
        few => {
            format!("{few} of {} with unlimited retries (max_retries -1): {}", counted(all, "task"), keys(unlimited))
        }
    })
}

fn retry_policy(comply: &CompliancePolicy) -> Map<String, Value> {
    Map::from_iter([
        ("max_retries".to_owned(), json!(comply.max_retries)),
        ("min_retry_interval_millis".to_owned(), json!(u64::from(comply.retry_interval_seconds) * 1000)),
        ("retry_on_timeout".to_owned(), json!(true)),
    ])
}

/// Evaluates a rule for every task. `bad` returns whether a task fails, or the name of its invalid setting.
fn of_tasks(
    tasks: &JobTasks<'_>,
    bad: impl Fn(&JobTask<'_>) -> Result<bool, &'static str>,
    fixed: impl Fn() -> Map<String, Value>,
    describe: impl Fn(&[JobTask<'_>], usize) -> String,
) -> RuleVerdict {
    let mut failed: Vec<JobTask<'_>> = Vec::new();
    let mut unclear: Vec<String> = tasks.unclear.iter().cloned().collect();
    for task in &tasks.working {
        match bad(task) {
            Ok(true) => failed.push(*task),
            Ok(false) => {}
            Err(name) => unclear.push(format!("{name} of task {} is not a number", named([task.key]))),
        }
    }
    let text = describe(&failed, tasks.working.len());
    let text = if unclear.is_empty() { text } else { format!("{text}; {}", some_of(&unclear)) };
    match (failed.is_empty(), unclear.is_empty()) {
        (true, true) => RuleVerdict::Pass(text),
        (true, false) => RuleVerdict::Partial(some_of(&unclear)),
        (false, _) => {
            let changes = failed.iter().map(|task| (task.key, task.change(fixed())));
            RuleVerdict::Fail(text, RuleFix::Settings(by_task(changes)))
        }
    }
}

fn keys(tasks: &[JobTask<'_>]) -> String {
    named(tasks.iter().map(|task| task.key))
}

/// Joins the first few reasons.
fn some_of(reasons: &[String]) -> String {
    match reasons {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}; {second}; {third}; and {} more", rest.len())
        }
        reasons => reasons.join("; "),
    }
}

/// Checks that every run has a timeout: the job has one, or every task has one.
pub fn timeout(subject: &CheckedJob<'_>, tasks: &JobTasks<'_>, comply: &CompliancePolicy) -> RuleVerdict {
    match starts(subject.settings) {
        Err(WrongType) => return RuleVerdict::Partial("its schedule or trigger has an unexpected format".into()),
        Ok(StartMode::Continuously) => return RuleVerdict::Pass("a continuous job needs no timeout".into()),
        Ok(_) => {}
    }
    let limit = |settings| whole(settings, "timeout_seconds");
    match limit(subject.settings) {
        Err(WrongType) => return RuleVerdict::Partial("timeout_seconds of the job is not a number".into()),
        Ok(Some(seconds)) if seconds > 0 => return RuleVerdict::Pass(format!("the job has a timeout of {seconds} s")),
        Ok(_) => {}
    }
    let mut without = Vec::new();
    for task in &tasks.working {
        match limit(task.settings) {
            Err(WrongType) => {
                return RuleVerdict::Partial(format!("timeout_seconds of task {} is not a number", named([task.key])));
            }
            Ok(Some(seconds)) if seconds > 0 => {}
            Ok(_) => without.push(task.key),
        }
    }
    if without.is_empty() {
        return match &tasks.unclear {
            Some(why) => RuleVerdict::Partial(why.clone()),
            None => RuleVerdict::Pass(format!("every task has a timeout ({})", counted(tasks.working.len(), "task"))),
        };
    }
    let text = format!(
        "the job has no timeout, and {} of {} have none: {}",
        without.len(),
        counted(tasks.working.len(), "task"),
        named(without)
    );
    RuleVerdict::Fail(text, of_job("timeout_seconds", json!(comply.timeout_seconds)))
}

/// Checks that a run that cannot start at once is queued.
pub fn queue(subject: &CheckedJob<'_>) -> RuleVerdict {
    match starts(subject.settings) {
        Err(WrongType) => return RuleVerdict::Partial("its schedule or trigger has an unexpected format".into()),
        Ok(StartMode::Continuously) => return RuleVerdict::Pass("a continuous job has one run at a time".into()),
        Ok(_) => {}
    }
    let enabled = match object(subject.settings, "queue") {
        Err(WrongType) => return RuleVerdict::Partial("queue is not an object".into()),
        Ok(queue) => queue.and_then(|queue| queue.get("enabled")),
    };
    match enabled {
        Some(Value::Bool(true)) => RuleVerdict::Pass("queueing is enabled".into()),
        None | Some(Value::Null | Value::Bool(false)) => {
            RuleVerdict::Fail("queueing is not enabled".into(), of_job("queue", json!({ "enabled": true })))
        }
        Some(_) => RuleVerdict::Partial("queue.enabled is neither true nor false".into()),
    }
}

/// Returns a fix that changes one setting of the job itself.
pub fn of_job(name: &str, value: Value) -> RuleFix {
    let fields = Map::from_iter([(name.to_owned(), value)]);
    RuleFix::Settings(vec![SettingChange { fields, ..SettingChange::default() }])
}
