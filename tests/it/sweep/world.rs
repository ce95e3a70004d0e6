//! A fake workspace with job runs. Its responses depend on the clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::warehouse::fake::{Fake, Reply, Request, error};

pub const WORKSPACE: &str = "7405612783315468";
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// The result of a task in one round.
#[derive(Debug, Clone)]
pub struct Play {
    pub key: &'static str,
    pub result: &'static str,
    /// Number of attempts before the last one.
    pub retries: i64,
    /// The run that it starts.
    pub child: Option<i64>,
}

pub fn play(key: &'static str, result: &'static str) -> Play {
    Play { key, result, retries: 0, child: None }
}

/// The run or one of its repairs. Times are in milliseconds.
#[derive(Debug, Clone)]
pub struct Act {
    pub start: i64,
    pub end: i64,
    pub result: &'static str,
    pub code: &'static str,
    pub tasks: Vec<Play>,
}

#[derive(Debug, Clone)]
pub struct Script {
    pub id: i64,
    pub job: i64,
    pub acts: Vec<Act>,
    pub started_by: Option<i64>,
}

impl Script {
    pub fn new(id: i64, start: i64, end: i64, result: &'static str, code: &'static str) -> Self {
        let tasks = match result {
            "SUCCESS" => vec![play("extract", "SUCCESS"), play("load", "SUCCESS")],
            "SUCCESS_WITH_FAILURES" => vec![play("extract", "SUCCESS"), play("report", "FAILED")],
            "MAXIMUM_CONCURRENT_RUNS_REACHED" => Vec::new(),
            result => vec![play("extract", result), play("load", "UPSTREAM_FAILED")],
        };
        Self { id, job: id % 500, acts: vec![Act { start, end, result, code, tasks }], started_by: None }
    }

    pub fn repaired(mut self, start: i64, end: i64, result: &'static str) -> Self {
        let code = if result == "SUCCESS" { "SUCCESS" } else { "RUN_EXECUTION_ERROR" };
        let tasks = vec![play("extract", result)];
        self.acts.push(Act { start, end, result, code, tasks });
        self
    }

    pub fn task_run(&self, act: usize, task: usize) -> i64 {
        self.id * 1_000 + act as i64 * 10 + task as i64
    }
}

/// The state of the fake workspace.
pub struct World {
    pub scripts: BTreeMap<i64, Script>,
    /// Milliseconds.
    pub now: Arc<AtomicI64>,
    /// Runs whose responses contain no times before this moment, in milliseconds.
    pub untimed: BTreeMap<i64, i64>,
    /// Runs whose responses contain only the start times of their tasks.
    pub startless: BTreeSet<i64>,
    /// Responses to requests for outputs that are not outputs.
    pub refused_outputs: BTreeMap<i64, u16>,
    /// Whether reading outputs is denied.
    pub denies_outputs: bool,
}

impl World {
    pub fn new(scripts: impl IntoIterator<Item = Script>, now: i64) -> Self {
        let scripts = scripts.into_iter().map(|script| (script.id, script)).collect();
        Self {
            scripts,
            now: Arc::new(AtomicI64::new(now)),
            untimed: BTreeMap::new(),
            startless: BTreeSet::new(),
            refused_outputs: BTreeMap::new(),
            denies_outputs: false,
        }
    }

    pub async fn serve(self) -> Fake {
        Fake::answering(move |request| self.answer(request)).await
    }

    fn answer(&self, request: &Request) -> Reply {
        let url = url::Url::parse(&format!("http://x{}", request.line.trim_start_matches("GET "))).unwrap();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let number = |name: &str| query.get(name).map(|text| text.parse::<i64>().unwrap());
        let reply: Reply = match url.path() {
            "/api/2.0/preview/scim/v2/Me" => json!({ "userName": "sweeper" }).into(),
            "/api/2.2/jobs/runs/list" => self.list(&query),
            "/api/2.2/jobs/runs/get" => {
                let with_history = query.get("include_history").is_some_and(|text| text == "true");
                match self.scripts.get(&number("run_id").unwrap()).and_then(|run| self.run(run, with_history)) {
                    Some(run) => run.into(),
                    None => error(404, "RESOURCE_DOES_NOT_EXIST", "Run does not exist."),
                }
            }
            "/api/2.2/jobs/runs/get-output" => self.output(number("run_id").unwrap()),
            "/api/2.2/jobs/get" => {
                let job = number("job_id").unwrap();
                let task = json!({ "task_key": "extract", "max_retries": 0 });
                json!({ "job_id": job, "settings": { "name": format!("job-{job}"), "tasks": [task] } }).into()
            }
            other => error(404, "ENDPOINT_NOT_FOUND", other),
        };
        Reply { workspace_id: Some(WORKSPACE), ..reply }
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Reply {
        let limit: usize = query["limit"].parse().unwrap();
        assert!(limit < 25, "the API takes less than 25");
        let offset: usize = query.get("page_token").map_or(0, |token| token.parse().unwrap());
        let from: i64 = query.get("start_time_from").map_or(0, |text| text.parse().unwrap());
        let active = query.get("active_only").is_some_and(|text| text == "true");
        let now = self.now.load(Ordering::SeqCst);
        let is_active = |run: &&Script| run.acts.iter().any(|act| act.start <= now && act.end > now);
        let mut runs: Vec<&Script> = self
            .scripts
            .values()
            .filter(|run| run.acts[0].start >= from && run.acts[0].start <= now && (!active || is_active(run)))
            .collect();
        runs.sort_by_key(|run| (-run.acts[0].start, -run.id));
        let page: Vec<Value> = runs.iter().skip(offset).take(limit).map(|run| self.run(run, false).unwrap()).collect();
        let next = (offset + limit < runs.len()).then(|| (offset + limit).to_string());
        json!({ "runs": page, "next_page_token": next }).into()
    }

    /// Returns the current state of a run. `None`: it has not started.
    fn run(&self, run: &Script, with_history: bool) -> Option<Value> {
        let now = self.now.load(Ordering::SeqCst);
        let begun: Vec<(usize, &Act)> = run.acts.iter().enumerate().filter(|(_, act)| act.start <= now).collect();
        let (_, last) = begun.last()?;
        let mut tasks: BTreeMap<(&str, usize), Value> = BTreeMap::new();
        for (place, act) in &begun {
            for (index, task) in act.tasks.iter().enumerate() {
                let mut value = json!({
                    "run_id": run.task_run(*place, index), "task_key": task.key,
                    "attempt_number": task.retries + *place as i64,
                    "start_time": act.start, "end_time": if act.end > now { 0 } else { act.end },
                });
                set_state(&mut value, run.id, act.end <= now, task.result, "");
                if task.child.is_some() {
                    value["run_job_task"] = json!({ "job_id": 1 });
                }
                tasks.insert((task.key, if with_history { *place } else { 0 }), value);
            }
        }
        let over = last.end <= now;
        let mut value = json!({
            "run_id": run.id, "job_id": run.job, "run_name": format!("job-{}", run.job),
            "start_time": run.acts[0].start, "end_time": if over { last.end } else { 0 },
            "tasks": tasks.into_values().collect::<Vec<_>>(), "run_page_url": format!("https://x.test/#job/{}/run/{}", run.job, run.id),
            "trigger": "PERIODIC", "attempt_number": 0, "unknown_field": { "a": [1] },
        });
        if let Some(task_run) = run.started_by {
            value["trigger_info"] = json!({ "run_id": task_run });
        }
        set_state(&mut value, run.id, over, last.result, last.code);
        if with_history {
            let rounds = begun.iter().map(|(place, act)| {
                let over = act.end <= now;
                let mut round = json!({
                    "type": if *place == 0 { "ORIGINAL" } else { "REPAIR" }, "start_time": act.start,
                    "end_time": if over { act.end } else { 0 },
                    "task_run_ids": (0..act.tasks.len()).map(|index| run.task_run(*place, index)).collect::<Vec<_>>(),
                });
                if *place > 0 {
                    round["id"] = json!(run.id * 10 + *place as i64);
                }
                set_state(&mut round, run.id, over, act.result, act.code);
                round
            });
            value["repair_history"] = rounds.collect::<Vec<_>>().into();
        }
        if self.startless.contains(&run.id) {
            value["start_time"] = 0.into();
        }
        if self.untimed.get(&run.id).is_some_and(|until| now < *until) {
            without_times(&mut value);
        }
        Some(value)
    }

    fn output(&self, task_run: i64) -> Reply {
        let denied = self.denies_outputs.then_some(&403);
        if let Some(status) = self.refused_outputs.get(&task_run).or(denied) {
            return error(
                *status,
                "PERMISSION_DENIED",
                "No permission to view run output, token=dapi0123456789abcdef0123456789abcdef",
            );
        }
        let run = &self.scripts[&(task_run / 1_000)];
        let task = &run.acts[(task_run / 10 % 100) as usize].tasks[(task_run % 10) as usize];
        let mut value = json!({ "error": format!("{} went wrong; password=hunter22hunter", task.key), "error_trace": "Traceback …\nValueError", "metadata": {} });
        if let Some(child) = task.child {
            value["run_job_output"] = json!({ "run_id": child });
        }
        value.into()
    }
}

fn without_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "start_time" && name != "end_time");
            fields.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// Sets the state of a run: in the old format, the new one, or both.
fn set_state(value: &mut Value, run: i64, over: bool, result: &str, code: &str) {
    let skipped = result == "MAXIMUM_CONCURRENT_RUNS_REACHED";
    let life_cycle = match (over, skipped) {
        (false, _) => "RUNNING",
        (true, true) => "SKIPPED",
        (true, false) => "TERMINATED",
    };
    let spelling = if code.is_empty() { 0 } else { run % 3 };
    if spelling != 1 || result == "TIMEDOUT" || result == "CANCELED" {
        value["state"] = json!({ "life_cycle_state": life_cycle, "state_message": "" });
        if over {
            value["state"]["result_state"] = result.into();
        }
    }
    if spelling != 0 {
        let state = if over { "TERMINATED" } else { "RUNNING" };
        value["status"] = json!({ "state": state });
        if over {
            let kind = if result == "SUCCESS" { "SUCCESS" } else { "CLIENT_ERROR" };
            value["status"]["termination_details"] = json!({ "code": code, "type": kind, "message": "what happened" });
        }
    }
}

/// A realistic mix: 500 jobs with runs over the days before `now`.
pub fn mixed(runs: i64, now: i64, days: i64, seed: u64) -> Vec<Script> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut scripts = Vec::new();
    for id in 1..=runs {
        let start = now - days * DAY + rng.random_range(0..days * DAY - HOUR);
        let end = start + rng.random_range(MINUTE..40 * MINUTE);
        let (result, code) = match rng.random_range(0..1_000) {
            0..30 => ("FAILED", "RUN_EXECUTION_ERROR"),
            30..38 => ("TIMEDOUT", "CANCELED"),
            38..44 => ("SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES"),
            44..48 => ("MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED"),
            48..52 => ("FAILED", "CLUSTER_ERROR"),
            52..60 => ("CANCELED", "USER_CANCELED"),
            _ => ("SUCCESS", "SUCCESS"),
        };
        let mut script = Script::new(id, start, end, result, code);
        if result == "SUCCESS" && rng.random_bool(0.02) {
            script.acts[0].tasks[0].retries = 1;
        }
        if result == "FAILED" && rng.random_bool(0.3) {
            let again = end + rng.random_range(MINUTE..4 * HOUR);
            let result = if rng.random_bool(0.6) { "SUCCESS" } else { "FAILED" };
            script = script.repaired(again, again + 10 * MINUTE, result);
            if result == "FAILED" && rng.random_bool(0.5) {
                script = script.repaired(again + HOUR, again + HOUR + 5 * MINUTE, "SUCCESS");
            }
        } else if result == "FAILED" && code == "RUN_EXECUTION_ERROR" && rng.random_bool(0.15) {
            // Started by another job.
            let parent = runs + id;
            let mut starts = Script::new(parent, start - MINUTE, end + MINUTE, "FAILED", "RUN_EXECUTION_ERROR");
            starts.acts[0].tasks[0].child = Some(id);
            script.started_by = Some(starts.task_run(0, 0));
            scripts.push(starts);
        }
        scripts.push(script);
    }
    scripts
}
