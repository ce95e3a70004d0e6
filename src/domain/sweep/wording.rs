//! The messages and the evidence that a sweep records. Texts of the platform are already redacted.

use std::collections::BTreeMap;

use super::{ACTOR, JobSettings, NewIncident, SweepContext, TaskOutput, case::CaseExecution};
use crate::domain::{
    ids::Id,
    incident::{
        classification::{Confidence, IncidentType, Status},
        timeline::EventKind,
    },
    problems::cut,
    report::{ErrorInfo, Event, Evidence, Incident, Rca, Report, Resource, SCHEMA_VERSION},
    run::{Run, RunState, Task, outcome::RunOutcome},
    time::Timestamp,
};

/// Maximum number of characters of a name and of a message of the platform.
const NAME: usize = 120;
const MESSAGE: usize = 400;
/// Maximum number of tasks that are named.
const NAMED: usize = 10;
const RUN_OUTPUT: &str = "run_output";

/// Returns the report that opens the incident of a case. It has no root cause.
pub fn report(request_id: Id, execution: &CaseExecution<'_>, context: &SweepContext<'_>) -> Report {
    let at = execution.at();
    let history = at < context.first_swept_at;
    Report {
        schema_version: SCHEMA_VERSION,
        report_id: Some(request_id),
        actor: id(ACTOR),
        workspace: context.workspace.clone(),
        history,
        told_with: None,
        incident: Incident {
            kind: IncidentType::JobFailure,
            slug: id(slug(execution.outcome)),
            title: title(execution),
            reporter: id(ACTOR),
            impact_started_at: Some(at),
            // Failures before the first sweep were detected at an unknown time.
            detected_at: (!history).then_some(context.now),
            reported_at: at,
            status: Status::Investigating,
        },
        resources: resources(execution),
        timeline: timeline(execution, context),
        rca: unknown_cause(execution, context),
        checks: Vec::new(),
        remediation: Vec::new(),
        compliance_impact: None,
        lessons_learned: Vec::new(),
    }
}

/// Adds the job's settings to the new incident as evidence.
pub fn with_settings(mut opening: NewIncident, settings: &JobSettings, now: Timestamp) -> NewIncident {
    let job = &opening.job_id;
    let (message, excerpt) = match settings {
        JobSettings::Retrieved(Some(json)) => (format!("Captured the settings of job {job}"), Some(json.clone())),
        JobSettings::Retrieved(None) => (format!("Read the settings of job {job}, which are too long to store"), None),
        JobSettings::Missing { reason } => {
            (format!("The settings of job {job} could not be retrieved: {}", cut(reason, MESSAGE)), None)
        }
    };
    let evidence = excerpt.map(|excerpt| Evidence {
        kind: id("job_settings"),
        reference: id(&format!("job:{job}")),
        excerpt: Some(excerpt),
    });
    opening.report.timeline.push(Event {
        at: now,
        kind: EventKind::Fetch,
        message,
        tool: Some("jobs/get".into()),
        evidence: evidence.into_iter().collect(),
    });
    opening
}

/// Returns the message about an execution after the first one of its case.
pub fn progress(execution: &CaseExecution<'_>) -> String {
    let again = if execution.outcome.is_failure() { " again" } else { "" };
    let what = match execution.outcome {
        RunOutcome::Succeeded => "succeeded".to_owned(),
        RunOutcome::Stopped => "was cancelled".to_owned(),
        outcome => format!("{}{again}{}", verb(outcome), reason(&execution.execution.state)),
    };
    let mut text = format!("{} {what}", subject(execution));
    text.push_str(&consequences(execution).map(|sentence| format!("; {sentence}")).unwrap_or_default());
    text
}

/// Returns the message about an execution that failed because of another run, in the incident of that run.
pub fn caused_by(execution: &CaseExecution<'_>, child: &Id) -> String {
    let tasks = names(&execution.causes);
    let noun = if execution.causes.len() == 1 { "task" } else { "tasks" };
    format!(
        "{} {} because of run {child}, which its {noun} {tasks} started",
        subject(execution),
        verb(execution.outcome)
    )
}

/// Returns the outputs of the tasks that failed in an execution.
pub fn evidence(execution: &CaseExecution<'_>, context: &SweepContext<'_>) -> Vec<Evidence> {
    if !execution.outcome.is_failure() {
        return Vec::new();
    }
    execution.outputs().into_iter().filter_map(|task_run| output(task_run, context)).collect()
}

fn output(task_run: &Id, context: &SweepContext<'_>) -> Option<Evidence> {
    match context.outputs.get(task_run)? {
        TaskOutput::Retrieved { excerpt, .. } => Some(Evidence {
            kind: id(RUN_OUTPUT),
            reference: id(&format!("task_run:{task_run}")),
            excerpt: excerpt.clone(),
        }),
        TaskOutput::Missing { .. } => None,
    }
}

fn timeline(execution: &CaseExecution<'_>, context: &SweepContext<'_>) -> Vec<Event> {
    let plain = |at, kind, message| Event { at, kind, message, tool: None, evidence: Vec::new() };
    let at = execution.at();
    let run = execution.run;
    let mut events = vec![Event {
        evidence: vec![Evidence {
            kind: id("job_run"),
            reference: id(&format!("run:{}", run.id)),
            excerpt: run.page_url.clone(),
        }],
        ..plain(
            at,
            EventKind::Discover,
            format!("{} {}{}", subject(execution), verb(execution.outcome), reason(&execution.execution.state)),
        )
    }];
    if let Some(why) = run.queued_because.as_deref().filter(|_| execution.outcome == RunOutcome::NeverStarted) {
        events.push(plain(at, EventKind::Discover, format!("It waited in a queue: {}", cut(why, MESSAGE))));
    }
    let mut outputs = execution.outputs();
    for task in execution.causes.iter().take(NAMED) {
        let mut event = plain(task.ended_at.unwrap_or(at), EventKind::Discover, task_failure(task));
        if let Some(place) = outputs.iter().position(|task_run| **task_run == task.run_id) {
            outputs.remove(place);
            add_output(&mut event, &task.run_id, context);
        }
        events.push(event);
    }
    // A run without tasks has its own output.
    for task_run in outputs {
        let mut event = plain(at, EventKind::Fetch, "Requested its output".to_owned());
        add_output(&mut event, task_run, context);
        events.push(event);
    }
    if let Some(more) = execution.causes.len().checked_sub(NAMED).filter(|more| *more > 0) {
        events.push(plain(at, EventKind::Discover, format!("{more} more tasks failed")));
    }
    if let Some(sentence) = consequences(execution) {
        events.push(plain(at, EventKind::Discover, capitalised(&sentence)));
    }
    events
}

fn add_output(event: &mut Event, task_run: &Id, context: &SweepContext<'_>) {
    event.tool = Some("jobs/runs/get-output".into());
    event.evidence.extend(output(task_run, context));
    match context.outputs.get(task_run) {
        Some(TaskOutput::Missing { reason, .. }) => {
            event.message.push_str(&format!("; its output could not be retrieved: {}", cut(reason, MESSAGE)));
        }
        Some(TaskOutput::Retrieved { headline: Some(headline), .. }) => {
            event.message.push_str(&format!("; its error: {}", cut(headline, MESSAGE)));
        }
        Some(TaskOutput::Retrieved { excerpt: None, .. }) => event.message.push_str("; its output contains no error"),
        _ => {}
    }
}

fn task_failure(task: &Task) -> String {
    let attempts = match task.attempt {
        0 => String::new(),
        earlier => format!(" in its attempt {}", earlier.saturating_add(1)),
    };
    let what = verb(task.state.outcome());
    format!("Task \"{}\" {what}{attempts}{}", cut(&task.key, NAME), reason(&task.state))
}

/// `tasks "b", "c" did not run because of "a"`.
fn consequences(execution: &CaseExecution<'_>) -> Option<String> {
    let noun = match execution.consequences.len() {
        0 => return None,
        1 => "task",
        _ => "tasks",
    };
    let because = match execution.causes.as_slice() {
        [] => String::new(),
        causes => format!(" because of {}", names(causes)),
    };
    Some(format!("{noun} {} did not run{because}", names(&execution.consequences)))
}

fn names(tasks: &[&Task]) -> String {
    let mut names: Vec<String> = tasks.iter().take(NAMED).map(|task| format!("\"{}\"", cut(&task.key, NAME))).collect();
    if let Some(more) = tasks.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Returns an unknown root cause with the missing evidence, if an output could not be retrieved.
fn unknown_cause(execution: &CaseExecution<'_>, context: &SweepContext<'_>) -> Option<Rca> {
    let asked: Vec<&TaskOutput> =
        execution.outputs().into_iter().filter_map(|task_run| context.outputs.get(task_run)).collect();
    let why = asked.iter().find_map(|output| match output {
        TaskOutput::Missing { reason, .. } => Some(cut(reason, MESSAGE)),
        TaskOutput::Retrieved { .. } => None,
    })?;
    let retrieved = asked.iter().any(|output| matches!(output, TaskOutput::Retrieved { .. }));
    let state = &execution.execution.state;
    Some(Rca {
        root_cause: "unknown".into(),
        code: None,
        summary: None,
        confidence: Confidence::Low,
        evidence: retrieved.then(|| id(RUN_OUTPUT)).into_iter().collect(),
        missing_evidence: vec![id(RUN_OUTPUT)],
        missing_reasons: BTreeMap::from([(RUN_OUTPUT.to_owned(), why)]),
        error: Some(ErrorInfo {
            class: None,
            message: state.message.as_deref().map(|message| cut(message, MESSAGE)),
            termination_code: state.code.as_ref().map(ToString::to_string),
        }),
    })
}

fn resources(execution: &CaseExecution<'_>) -> Vec<Resource> {
    let run = execution.run;
    let resource = |kind: &str, of: &Id, name: Option<String>, attributes: Vec<(&str, Option<String>)>| Resource {
        kind: id(kind),
        id: of.clone(),
        name,
        attributes: attributes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect(),
    };
    let ended = |state: &RunState| {
        vec![
            ("result_state", state.result_text().map(str::to_owned)),
            ("termination_code", state.code.as_ref().map(ToString::to_string)),
            ("termination_type", state.kind.as_ref().map(ToString::to_string)),
        ]
    };
    let trigger = run.trigger.as_ref().map(ToString::to_string);
    // Retries count for the first attempt, so that one run is one occurrence.
    let mut resources = vec![
        resource("job", &run.job_id, name(run), vec![("trigger", trigger)]),
        resource("job_run", run.case(), None, ended(&execution.execution.state)),
    ];
    for task in execution.causes.iter().take(NAMED) {
        let mut attributes = ended(&task.state);
        attributes.push(("attempt", Some(task.attempt.saturating_add(1).to_string())));
        resources.push(resource("task_run", &task.run_id, Some(cut(&task.key, NAME)), attributes));
    }
    resources
}

fn title(execution: &CaseExecution<'_>) -> String {
    let state = &execution.execution.state;
    let why = state.code.as_ref().map(ToString::to_string).or_else(|| state.result_text().map(str::to_owned));
    let job = name(execution.run).unwrap_or_else(|| format!("job {}", execution.run.job_id));
    format!("{job} {}{}", verb(execution.outcome), why.map(|why| format!(": {}", cut(&why, NAME))).unwrap_or_default())
}

fn subject(execution: &CaseExecution<'_>) -> String {
    let run = execution.run;
    let job = match name(run) {
        Some(name) => format!("job {} \"{name}\"", run.job_id),
        None => format!("job {}", run.job_id),
    };
    let retry = if run.original.is_some() { format!("Retry {} as run", run.attempt) } else { "Run".to_owned() };
    match &execution.execution.repair {
        Some(repair) => format!("Repair {repair} of run {} of {job}", run.id),
        None => format!("{retry} {} of {job}", run.id),
    }
}

fn verb(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::TimedOut => "timed out",
        RunOutcome::PartlyFailed => "failed in part",
        RunOutcome::NeverStarted => "never started",
        RunOutcome::Running => "is under way",
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Stopped => "was cancelled",
        RunOutcome::Failed | RunOutcome::Unknown => "failed",
    }
}

fn slug(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::TimedOut => "job_run_timed_out",
        RunOutcome::PartlyFailed => "job_run_failed_in_part",
        RunOutcome::NeverStarted => "job_run_never_started",
        _ => "job_run_failed",
    }
}

/// `: RUN_EXECUTION_ERROR, Task a failed …`.
fn reason(state: &RunState) -> String {
    let code = state.code.as_ref().map(ToString::to_string).or_else(|| state.result_text().map(str::to_owned));
    let parts: Vec<String> = code.into_iter().chain(state.message.clone()).map(|part| cut(&part, MESSAGE)).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn name(run: &Run) -> Option<String> {
    run.name.as_deref().map(|name| cut(name, NAME))
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Converts our own ids and the platform's numbers, which are short and never blank.
fn id(text: &str) -> Id {
    Id::new(text).expect("a short id")
}
