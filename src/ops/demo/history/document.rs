//! Builds the report documents of the planned failures and reviews.

use chrono::{TimeDelta, Timelike};
use serde_json::{Map, Value, json};

use super::{
    DemoFailure, SeededRandom,
    catalog::{
        Compute, DemoJob, DemoWorkspace, Fault, FaultFix, NO_EVIDENCE, PRACTICES, Schedule, UPSTREAM_5XX, WORKSPACES,
        WorkspaceReview,
    },
    on_day,
};
use crate::domain::{
    check::CheckStatus,
    incident::{
        classification::{IncidentType, Status},
        timeline::EventKind,
    },
    time::Timestamp,
};

/// Builds a timeline event by event.
struct TimelineBuilder {
    now: Timestamp,
    events: Vec<(Timestamp, EventKind, Value)>,
}

impl TimelineBuilder {
    fn add(&mut self, after_seconds: i64, kind: EventKind, message: impl Into<String>, more: Value) {
        self.now = self.now.plus(TimeDelta::seconds(after_seconds));
        let mut event = json!({ "at": self.now, "kind": kind, "message": message.into() });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        self.events.push((self.now, kind, event));
    }

    /// Returns the events up to `as_of`, and whether the incident was closed by then.
    fn until(self, as_of: Timestamp) -> (Vec<Value>, bool) {
        let happened: Vec<_> = self.events.into_iter().filter(|(at, ..)| *at <= as_of).collect();
        let closed = happened.iter().any(|(_, kind, _)| *kind == EventKind::Close);
        (happened.into_iter().map(|(.., event)| event).collect(), closed)
    }
}

/// Returns the time of the report, an id that may not be unique yet, and the document of a job failure.
pub fn failure_report(
    failure: &DemoFailure,
    as_of: Timestamp,
    random: &mut SeededRandom,
) -> (Timestamp, String, Value) {
    let DemoFailure { job, fault, failed_at, .. } = *failure;
    let placeholders = Placeholders { job, n: random.between(3, 58), status: random.pick(&["502", "503", "504"]) };
    let run_id = run_id(random);
    let task_run_id = self::run_id(random);
    let unknown = fault.key == NO_EVIDENCE.key;

    // In a few reports the clock of the detecting machine is behind.
    let detected_after = if random.percent(3) { -random.between(5, 40) } else { random.between(45, 20 * 60) };
    let detected_at = failed_at.plus(TimeDelta::seconds(detected_after));
    let reported_at = failed_at.plus(TimeDelta::seconds(detected_after.max(0) + random.between(10, 240)));
    let by_person = random.percent(25);
    let on_call = format!("oncall-{}@example.test", job.team);

    let mut incident = Map::new();
    incident.insert("type".into(), json!(IncidentType::JobFailure));
    incident.insert("slug".into(), format!("job_failure_{}", fault.key).into());
    incident.insert("title".into(), format!("{} failed: {}", job.name, fault.headline).into());
    incident.insert("reporter".into(), if by_person { on_call.as_str() } else { "schedule:failure-sweep" }.into());
    if random.percent(85) {
        incident.insert("impact_started_at".into(), json!(failed_at));
    }
    if random.percent(92) {
        incident.insert("detected_at".into(), json!(detected_at));
    }
    incident.insert("reported_at".into(), json!(reported_at));

    let cause = placeholders.fill(random.pick(fault.wordings));
    let confidence = match random.below(100) {
        _ if unknown => "LOW",
        0..75 => "HIGH",
        _ => "MEDIUM",
    };
    let events =
        failure_timeline(failure, &placeholders, &cause, confidence, reported_at, (&run_id, &task_run_id), random);
    let (timeline, closed) = events.until(as_of);
    let status = match failure.status {
        Status::Resolved if !closed => Status::Investigating,
        status => status,
    };
    incident.insert("status".into(), json!(status));

    let mut report = Map::new();
    report.insert("schema_version".into(), 1.into());
    report.insert("report_id".into(), Value::Null);
    let actor = if by_person { format!("user:{on_call}") } else { "agent:databricks_mcp_agent".into() };
    report.insert("actor".into(), actor.into());
    report.insert("workspace".into(), workspace(&WORKSPACES[job.workspace % WORKSPACES.len()]));
    report.insert("incident".into(), incident.into());
    report.insert("resources".into(), resources(job, fault, &run_id, &task_run_id));
    report.insert("timeline".into(), timeline.into());
    report.insert("rca".into(), rca(fault, &placeholders, &cause, confidence));
    let resolved = status == Status::Resolved;
    if let FaultFix::TaskSettings(..) = fault.fix
        && fault.key == UPSTREAM_5XX.key
    {
        let evidence = format!("job_id={}, task {} max_retries: 0", job.id, job.task);
        report.insert(
            "checks".into(),
            json!([{ "category": "Reliability", "name": "Job retry policy", "status": CheckStatus::Fail,
                "severity": "MEDIUM", "finding": "No retry policy", "evidence": evidence }]),
        );
        if resolved {
            report.insert("compliance_impact".into(), "Reliability category moved from FAIL to PASS".into());
        }
    }
    if let Some(step) = remediation(fault, &placeholders, resolved, random.percent(60)) {
        report.insert("remediation".into(), json!([step]));
    }
    if resolved && random.percent(40) {
        report.insert("lessons_learned".into(), json!([fault.lesson]));
    }
    (reported_at, report_id(reported_at, job.name, fault.key), report.into())
}

fn failure_timeline(
    failure: &DemoFailure,
    placeholders: &Placeholders,
    cause: &str,
    confidence: &str,
    reported_at: Timestamp,
    (run_id, task_run_id): (&str, &str),
    random: &mut SeededRandom,
) -> TimelineBuilder {
    let DemoFailure { job, fault, status, .. } = *failure;
    let night = reported_at.utc().hour() < 6;
    let mut events = TimelineBuilder { now: reported_at, events: Vec::new() };

    let discovered = format!("{}: run {run_id} ended with {}", job.name, fault.termination_code);
    events.add(random.between(4, 60), EventKind::Discover, discovered, json!({ "tool": "list_runs" }));
    if random.percent(45) {
        let seconds = if night { random.between(240, 1_500) } else { random.between(40, 600) };
        events.add(seconds, EventKind::Ack, format!("oncall-{}@example.test is looking", job.team), Value::Null);
    }
    if fault.key == NO_EVIDENCE.key {
        let message = format!("{} for run {run_id}", fault.analysis);
        events.add(random.between(8, 90), EventKind::Fetch, message, json!({ "tool": "get_run_output" }));
        events.add(
            random.between(60, 300),
            EventKind::Rca,
            "No evidence, cause unknown -> LOW confidence",
            Value::Null,
        );
    } else {
        let output = json!({
            "tool": "get_run_output",
            "evidence": [{
                "kind": "run_output", "ref": format!("task_run:{task_run_id}"), "excerpt": placeholders.fill(fault.error_message),
            }],
        });
        let fetched = format!("Retrieved run output; error: {}", fault.error_class);
        events.add(random.between(8, 90), EventKind::Fetch, fetched, output);
        events.add(random.between(60, 600), EventKind::Analyze, placeholders.fill(fault.analysis), Value::Null);
        events.add(random.between(45, 400), EventKind::Rca, format!("{cause} -> {confidence} confidence"), Value::Null);
    }
    if status == Status::Escalated || (status == Status::Resolved && random.percent(8)) {
        events.add(
            random.between(60, 900),
            EventKind::Escalate,
            "Handed over to platform-oncall@example.test",
            Value::Null,
        );
    }
    if status != Status::Resolved {
        if random.percent(50) {
            events.add(
                random.between(600, 2_400),
                EventKind::Note,
                "Consumers were told that data is late",
                Value::Null,
            );
        }
        return events;
    }
    let (least, most) = fault.minutes_to_fix;
    let seconds = random.between(least * 60, most * 60);
    match fix_title(&fault.fix) {
        Some(title) => {
            events.add(seconds, EventKind::Remediate, format!("Applied: {}", placeholders.fill(title)), Value::Null);
            let verified = format!("Re-ran {}; SUCCESS", job.name);
            events.add(random.between(180, 1_800), EventKind::Verify, verified, json!({ "tool": "run_job" }));
            events.add(random.between(20, 400), EventKind::Close, "Incident resolved", Value::Null);
        }
        None => events.add(seconds, EventKind::Close, "Next run succeeded", Value::Null),
    }
    events
}

/// Returns the same for a review of a workspace.
pub fn review_report(
    review: &WorkspaceReview,
    as_of: Timestamp,
    random: &mut SeededRandom,
) -> (Timestamp, String, Value) {
    let reported_at = on_day(as_of, review.days_ago, TimeDelta::seconds(6 * 3_600 + random.between(0, 900)));
    let mut events = TimelineBuilder { now: reported_at, events: Vec::new() };
    events.add(random.between(3, 30), EventKind::Discover, review.discovered, Value::Null);
    events.add(random.between(60, 400), EventKind::Analyze, "Compared the findings with last week's", Value::Null);
    if let Some((cause, _)) = review.cause {
        events.add(random.between(60, 600), EventKind::Rca, format!("{cause} -> HIGH confidence"), Value::Null);
    }
    match review.status {
        Status::Resolved => {
            events.add(random.between(5_400, 90_000), EventKind::Ack, "Owner found", Value::Null);
            events.add(random.between(3_600, 40_000), EventKind::Remediate, "Findings fixed or accepted", Value::Null);
            events.add(random.between(600, 7_200), EventKind::Close, "Review done", Value::Null);
        }
        Status::Escalated => {
            events.add(
                random.between(60, 300),
                EventKind::Escalate,
                "Handed over to security@example.test",
                Value::Null,
            );
        }
        Status::Investigating => {
            events.add(random.between(60, 3_000), EventKind::Note, "Owner is being looked for", Value::Null)
        }
    }
    let (timeline, closed) = events.until(as_of);
    let status = if review.status == Status::Resolved && !closed { Status::Investigating } else { review.status };

    let reviewed = &WORKSPACES[review.workspace % WORKSPACES.len()];
    let mut report = Map::new();
    report.insert("schema_version".into(), 1.into());
    report.insert("report_id".into(), Value::Null);
    report.insert("actor".into(), "agent:databricks_mcp_agent".into());
    report.insert("workspace".into(), workspace(reviewed));
    report.insert(
        "incident".into(),
        json!({
            "type": review.kind, "slug": format!("workspace_{}", review.key), "title": review.title,
            "reporter": "schedule:weekly-validation", "detected_at": reported_at, "reported_at": reported_at, "status": status,
        }),
    );
    report.insert("resources".into(), json!([{ "kind": "workspace", "id": reviewed.id }]));
    report.insert("timeline".into(), timeline.into());
    if let Some((cause, code)) = review.cause {
        report.insert(
            "rca".into(),
            json!({ "root_cause": cause, "code": code, "confidence": "HIGH", "evidence": ["workspace_settings"], "missing_evidence": [] }),
        );
    }
    if !review.checks.is_empty() {
        report.insert("checks".into(), checks(review));
    }
    if status == Status::Resolved && review.checks.contains(&CheckStatus::Fail) {
        report.insert("compliance_impact".into(), "Failed checks were fixed or accepted by their owner".into());
    }
    (reported_at, report_id(reported_at, reviewed.id, review.key), report.into())
}

fn checks(review: &WorkspaceReview) -> Value {
    let checks = PRACTICES.iter().zip(review.checks).map(|(practice, status)| match status {
        CheckStatus::Pass => json!({
            "category": practice.category, "name": practice.name, "status": status, "finding": practice.passed,
        }),
        CheckStatus::Fail => json!({
            "category": practice.category, "name": practice.name, "status": status, "severity": practice.severity,
            "finding": practice.failed,
        }),
        CheckStatus::Partial => json!({
            "category": practice.category, "name": practice.name, "status": status, "finding": "The API call timed out",
        }),
    });
    checks.collect()
}

/// `demo-2026-01-14-orders-ingest-executor-oom`
fn report_id(reported_at: Timestamp, place: &str, key: &str) -> String {
    format!("demo-{}-{place}-{}", reported_at.utc().date_naive(), key.replace('_', "-"))
}

fn run_id(random: &mut SeededRandom) -> String {
    random.between(100_000_000_000_000, 999_999_999_999_999).to_string()
}

fn workspace(workspace: &DemoWorkspace) -> Value {
    json!({ "id": workspace.id, "url": workspace.url })
}

fn resources(job: &DemoJob, fault: &Fault, run_id: &str, task_run_id: &str) -> Value {
    let mut attributes = match job.compute {
        Compute::Serverless => json!({ "compute": "serverless" }),
        Compute::JobCluster => json!({ "compute": "job-cluster", "node_type_id": "Standard_E8ds_v5" }),
        Compute::Shared(id) => json!({ "compute": "all-purpose-cluster", "cluster_id": id }),
    };
    if fault.key == UPSTREAM_5XX.key {
        attributes["max_retries"] = "0".into();
    }
    attributes["deployment"] = if job.bundled { "bundle" } else { "manual" }.into();
    json!([
        { "kind": "job", "id": job.id, "name": job.name, "attributes": attributes },
        { "kind": "job_run", "id": run_id },
        { "kind": "task_run", "id": task_run_id, "name": job.task },
    ])
}

fn rca(fault: &Fault, placeholders: &Placeholders, cause: &str, confidence: &str) -> Value {
    if fault.key == NO_EVIDENCE.key {
        return json!({
            "root_cause": cause, "confidence": confidence, "evidence": [], "missing_evidence": ["run_output"],
            "missing_reasons": { "run_output": "PERMISSION_DENIED: the agent lacks CAN_VIEW on the job" },
            "error": { "termination_code": fault.termination_code },
        });
    }
    let mut rca = Map::new();
    rca.insert("root_cause".into(), cause.into());
    if let Some(code) = fault.code {
        rca.insert("code".into(), code.into());
    }
    rca.insert("summary".into(), format!("{} failed: {}.", placeholders.job.name, fault.headline).into());
    rca.insert("confidence".into(), confidence.into());
    rca.insert("evidence".into(), json!(["run_output"]));
    rca.insert("missing_evidence".into(), json!([]));
    rca.insert(
        "error".into(),
        json!({
            "class": fault.error_class, "message": placeholders.fill(fault.error_message), "termination_code": fault.termination_code,
        }),
    );
    rca.into()
}

fn fix_title(fix: &FaultFix) -> Option<&'static str> {
    match fix {
        FaultFix::Wait => None,
        FaultFix::TaskSettings(title, _)
        | FaultFix::JobSettings(title, _)
        | FaultFix::ClusterSettings(title, _)
        | FaultFix::Sql(title, _)
        | FaultFix::Command(title, _) => Some(title),
    }
}

fn remediation(fault: &Fault, placeholders: &Placeholders, applied: bool, captured: bool) -> Option<Value> {
    let job = placeholders.job;
    let mut step = Map::new();
    let mut set = |name: &str, value: Value| step.insert(name.into(), value);
    set("title", placeholders.fill(fix_title(&fault.fix)?).into());
    match fault.fix {
        FaultFix::Wait => return None,
        FaultFix::TaskSettings(_, changes) | FaultFix::JobSettings(_, changes) => {
            set("kind", "job_settings".into());
            set("resource", json!({ "kind": "job", "id": job.id, "name": job.name }));
            if matches!(fault.fix, FaultFix::TaskSettings(..)) {
                set("task_keys", json!([job.task]));
            }
            set("changes", changes());
            if captured {
                set("captured_settings", captured_settings(job));
            }
        }
        FaultFix::ClusterSettings(_, changes) => {
            if let Compute::Shared(id) = job.compute {
                set("kind", "cluster_settings".into());
                set("resource", json!({ "kind": "cluster", "id": id, "name": "shared-streaming" }));
                set("changes", changes());
            } else {
                set("kind", "job_settings".into());
                set("resource", json!({ "kind": "job", "id": job.id, "name": job.name }));
                set("changes", json!({ "job_clusters": job_clusters(changes()) }));
                if captured {
                    set("captured_settings", captured_settings(job));
                }
            }
        }
        FaultFix::Sql(_, statement) => {
            set("kind", "sql".into());
            set("statement", placeholders.fill(statement).into());
        }
        FaultFix::Command(_, command) => {
            set("kind", "command".into());
            set("command", placeholders.fill(command).into());
        }
    }
    set("applied", applied.into());
    if applied {
        set("result", "SUCCESS".into());
    }
    Some(step.into())
}

/// Returns the settings of a job in the shape of a `jobs/get` response, shortened.
fn captured_settings(job: &DemoJob) -> Value {
    let cron = match job.start {
        Schedule::Daily { hour, minute } => format!("0 {minute} {hour} * * ?"),
        Schedule::Hourly { minute } => format!("0 {minute} * * * ?"),
    };
    let notebook =
        |task: &str| json!({ "notebook_path": format!("/Workspace/{}/{task}", job.name), "source": "WORKSPACE" });
    let mut settings = json!({
        "name": job.name,
        "max_concurrent_runs": 1,
        "schedule": { "quartz_cron_expression": cron, "timezone_id": "UTC", "pause_status": "UNPAUSED" },
        "tags": { "team": job.team },
        "tasks": [
            { "task_key": "prepare", "notebook_task": notebook("prepare") },
            {
                "task_key": job.task, "depends_on": [{ "task_key": "prepare" }], "notebook_task": notebook(job.task),
                "max_retries": 0, "timeout_seconds": 0,
            },
        ],
        "format": "MULTI_TASK",
    });
    let place = match job.compute {
        Compute::Serverless => None,
        Compute::JobCluster => Some(("job_cluster_key", "main")),
        Compute::Shared(id) => Some(("existing_cluster_id", id)),
    };
    if let Some((key, value)) = place {
        for task in settings["tasks"].as_array_mut().into_iter().flatten() {
            task[key] = value.into();
        }
    }
    if job.compute == Compute::JobCluster {
        settings["job_clusters"] = job_clusters(json!({}));
    }
    if job.bundled {
        settings["deployment"] = json!({
            "kind": "BUNDLE", "metadata_file_path": format!("/Workspace/bundles/{}/state/metadata.json", job.name),
        });
    }
    settings
}

/// Returns complete job clusters, because the API replaces the cluster with the same key.
fn job_clusters(changes: Value) -> Value {
    let mut cluster =
        json!({ "spark_version": "12.2.x-scala2.12", "node_type_id": "Standard_E8ds_v5", "num_workers": 4 });
    if let (Some(cluster), Value::Object(changes)) = (cluster.as_object_mut(), changes) {
        if changes.contains_key("autoscale") {
            cluster.shift_remove("num_workers");
        }
        cluster.extend(changes);
    }
    json!([{ "job_cluster_key": "main", "new_cluster": cluster }])
}

/// The values of the catalog's placeholders in one report.
struct Placeholders {
    job: &'static DemoJob,
    n: i64,
    status: &'static str,
}

impl Placeholders {
    fn fill(&self, template: &str) -> String {
        template
            .replace("{job}", self.job.name)
            .replace("{task}", self.job.task)
            .replace("{table}", self.job.table)
            .replace("{upstream}", self.job.upstream)
            .replace("{n}", &self.n.to_string())
            .replace("{status}", self.status)
    }
}
