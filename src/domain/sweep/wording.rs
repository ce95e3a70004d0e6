//! The sentences and the evidence that a sweep records. Texts of the platform are redacted before they come here.

use std::collections::BTreeMap;

use super::{ACTOR, JobSettings, Known, Opening, TaskOutput, case::Turn};
use crate::domain::{
    ids::Id,
    problems::cut,
    report::{ErrorInfo, Event, Evidence, Incident, Rca, Report, Resource, SCHEMA_VERSION},
    run::{Run, RunState, Task},
    time::Timestamp,
    words::{Confidence, EventKind, IncidentType, RunOutcome, Status},
};

/// Characters kept of a name, and of a message of the platform.
const NAME: usize = 120;
const MESSAGE: usize = 400;
/// Tasks named one by one.
const NAMED: usize = 10;
const RUN_OUTPUT: &str = "run_output";

/// The report that opens the incident of a case. It names no root cause.
pub fn report(request_id: Id, turn: &Turn<'_>, known: &Known<'_>) -> Report {
    let at = turn.at();
    let history = at < known.first_swept_at;
    Report {
        schema_version: SCHEMA_VERSION,
        report_id: Some(request_id),
        actor: id(ACTOR),
        workspace: known.workspace.clone(),
        history,
        told_with: None,
        incident: Incident {
            kind: IncidentType::JobFailure,
            slug: id(slug(turn.outcome)),
            title: title(turn),
            reporter: id(ACTOR),
            impact_started_at: Some(at),
            // How long ago the first sweep was says nothing about how fast failures are noticed.
            detected_at: (!history).then_some(known.now),
            reported_at: at,
            status: Status::Investigating,
        },
        resources: resources(turn),
        timeline: timeline(turn, known),
        rca: unknown_cause(turn, known),
        checks: Vec::new(),
        remediation: Vec::new(),
        compliance_impact: None,
        lessons_learned: Vec::new(),
    }
}

/// The opening with the job's settings as evidence.
pub fn with_settings(mut opening: Opening, settings: &JobSettings, now: Timestamp) -> Opening {
    let job = &opening.job_id;
    let (message, excerpt) = match settings {
        JobSettings::Had(Some(json)) => (format!("Captured the settings of job {job}"), Some(json.clone())),
        JobSettings::Had(None) => (format!("Read the settings of job {job}, which are too long to keep"), None),
        JobSettings::Missing { reason } => {
            (format!("The settings of job {job} could not be had: {}", cut(reason, MESSAGE)), None)
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

/// What a round amounts to, in a sentence.
pub fn told(turn: &Turn<'_>) -> String {
    let again = if turn.outcome.is_failure() { " again" } else { "" };
    let what = match turn.outcome {
        RunOutcome::Succeeded => "succeeded".to_owned(),
        RunOutcome::Stopped => "was cancelled".to_owned(),
        outcome => format!("{}{again}{}", verb(outcome), reason(&turn.round.state)),
    };
    let mut text = format!("{} {what}", subject(turn));
    text.push_str(&consequences(turn).map(|sentence| format!("; {sentence}")).unwrap_or_default());
    text
}

/// Why a round is told in the incident of another run.
pub fn because(turn: &Turn<'_>, child: &Id) -> String {
    let tasks = names(&turn.causes);
    let noun = if turn.causes.len() == 1 { "task" } else { "tasks" };
    format!("{} {} because of run {child}, which its {noun} {tasks} started", subject(turn), verb(turn.outcome))
}

/// The outputs of the tasks that failed in a round.
pub fn evidence(turn: &Turn<'_>, known: &Known<'_>) -> Vec<Evidence> {
    if !turn.outcome.is_failure() {
        return Vec::new();
    }
    turn.outputs().into_iter().filter_map(|task_run| output(task_run, known)).collect()
}

fn output(task_run: &Id, known: &Known<'_>) -> Option<Evidence> {
    match known.outputs.get(task_run)? {
        TaskOutput::Had { excerpt, .. } => Some(Evidence {
            kind: id(RUN_OUTPUT),
            reference: id(&format!("task_run:{task_run}")),
            excerpt: excerpt.clone(),
        }),
        TaskOutput::Missing { .. } => None,
    }
}

fn timeline(turn: &Turn<'_>, known: &Known<'_>) -> Vec<Event> {
    let plain = |at, kind, message| Event { at, kind, message, tool: None, evidence: Vec::new() };
    let at = turn.at();
    let run = turn.run;
    let mut events = vec![Event {
        evidence: vec![Evidence {
            kind: id("job_run"),
            reference: id(&format!("run:{}", run.id)),
            excerpt: run.page_url.clone(),
        }],
        ..plain(
            at,
            EventKind::Discover,
            format!("{} {}{}", subject(turn), verb(turn.outcome), reason(&turn.round.state)),
        )
    }];
    if let Some(why) = run.queued_because.as_deref().filter(|_| turn.outcome == RunOutcome::NeverStarted) {
        events.push(plain(at, EventKind::Discover, format!("It waited in a queue: {}", cut(why, MESSAGE))));
    }
    let mut looked_at = turn.outputs();
    for task in turn.causes.iter().take(NAMED) {
        let mut event = plain(task.ended_at.unwrap_or(at), EventKind::Discover, task_told(task));
        if let Some(place) = looked_at.iter().position(|task_run| **task_run == task.run_id) {
            looked_at.remove(place);
            add_output(&mut event, &task.run_id, known);
        }
        events.push(event);
    }
    // A run without tasks has an output of its own.
    for task_run in looked_at {
        let mut event = plain(at, EventKind::Fetch, "Asked for its output".to_owned());
        add_output(&mut event, task_run, known);
        events.push(event);
    }
    if let Some(more) = turn.causes.len().checked_sub(NAMED).filter(|more| *more > 0) {
        events.push(plain(at, EventKind::Discover, format!("{more} more tasks failed")));
    }
    if let Some(sentence) = consequences(turn) {
        events.push(plain(at, EventKind::Discover, capitalised(&sentence)));
    }
    events
}

fn add_output(event: &mut Event, task_run: &Id, known: &Known<'_>) {
    event.tool = Some("jobs/runs/get-output".into());
    event.evidence.extend(output(task_run, known));
    match known.outputs.get(task_run) {
        Some(TaskOutput::Missing { reason, .. }) => {
            event.message.push_str(&format!("; its output could not be had: {}", cut(reason, MESSAGE)));
        }
        Some(TaskOutput::Had { headline: Some(headline), .. }) => {
            event.message.push_str(&format!("; its error: {}", cut(headline, MESSAGE)));
        }
        Some(TaskOutput::Had { excerpt: None, .. }) => event.message.push_str("; its output holds no error"),
        _ => {}
    }
}

fn task_told(task: &Task) -> String {
    let attempts = match task.attempt {
        0 => String::new(),
        earlier => format!(" in its attempt {}", earlier.saturating_add(1)),
    };
    let what = verb(task.state.outcome());
    format!("Task \"{}\" {what}{attempts}{}", cut(&task.key, NAME), reason(&task.state))
}

/// `tasks "b", "c" did not run because of "a"`.
fn consequences(turn: &Turn<'_>) -> Option<String> {
    let noun = match turn.consequences.len() {
        0 => return None,
        1 => "task",
        _ => "tasks",
    };
    let because = match turn.causes.as_slice() {
        [] => String::new(),
        causes => format!(" because of {}", names(causes)),
    };
    Some(format!("{noun} {} did not run{because}", names(&turn.consequences)))
}

fn names(tasks: &[&Task]) -> String {
    let mut names: Vec<String> = tasks.iter().take(NAMED).map(|task| format!("\"{}\"", cut(&task.key, NAME))).collect();
    if let Some(more) = tasks.len().checked_sub(NAMED).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// Evidence that could not be had leaves the cause unknown, and says so to the triggers.
fn unknown_cause(turn: &Turn<'_>, known: &Known<'_>) -> Option<Rca> {
    let asked: Vec<&TaskOutput> =
        turn.outputs().into_iter().filter_map(|task_run| known.outputs.get(task_run)).collect();
    let why = asked.iter().find_map(|output| match output {
        TaskOutput::Missing { reason, .. } => Some(cut(reason, MESSAGE)),
        TaskOutput::Had { .. } => None,
    })?;
    let had = asked.iter().any(|output| matches!(output, TaskOutput::Had { .. }));
    let state = &turn.round.state;
    Some(Rca {
        root_cause: "unknown".into(),
        code: None,
        summary: None,
        confidence: Confidence::Low,
        evidence: had.then(|| id(RUN_OUTPUT)).into_iter().collect(),
        missing_evidence: vec![id(RUN_OUTPUT)],
        missing_reasons: BTreeMap::from([(RUN_OUTPUT.to_owned(), why)]),
        error: Some(ErrorInfo {
            class: None,
            message: state.message.as_deref().map(|message| cut(message, MESSAGE)),
            termination_code: state.code.as_ref().map(ToString::to_string),
        }),
    })
}

fn resources(turn: &Turn<'_>) -> Vec<Resource> {
    let run = turn.run;
    let resource = |kind: &str, of: &Id, name: Option<String>, attributes: Vec<(&str, Option<String>)>| Resource {
        kind: id(kind),
        id: of.clone(),
        name,
        attributes: attributes.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect(),
    };
    let ended = |state: &RunState| {
        vec![
            ("result_state", state.word().map(str::to_owned)),
            ("termination_code", state.code.as_ref().map(ToString::to_string)),
            ("termination_type", state.kind.as_ref().map(ToString::to_string)),
        ]
    };
    let trigger = run.trigger.as_ref().map(ToString::to_string);
    // Retries are about their first attempt: one run, one occurrence.
    let mut resources = vec![
        resource("job", &run.job_id, name(run), vec![("trigger", trigger)]),
        resource("job_run", run.case(), None, ended(&turn.round.state)),
    ];
    for task in turn.causes.iter().take(NAMED) {
        let mut attributes = ended(&task.state);
        attributes.push(("attempt", Some(task.attempt.saturating_add(1).to_string())));
        resources.push(resource("task_run", &task.run_id, Some(cut(&task.key, NAME)), attributes));
    }
    resources
}

fn title(turn: &Turn<'_>) -> String {
    let state = &turn.round.state;
    let why = state.code.as_ref().map(ToString::to_string).or_else(|| state.word().map(str::to_owned));
    let job = name(turn.run).unwrap_or_else(|| format!("job {}", turn.run.job_id));
    format!("{job} {}{}", verb(turn.outcome), why.map(|why| format!(": {}", cut(&why, NAME))).unwrap_or_default())
}

fn subject(turn: &Turn<'_>) -> String {
    let run = turn.run;
    let job = match name(run) {
        Some(name) => format!("job {} \"{name}\"", run.job_id),
        None => format!("job {}", run.job_id),
    };
    let retry = if run.original.is_some() { format!("Retry {} as run", run.attempt) } else { "Run".to_owned() };
    match &turn.round.repair {
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
    let code = state.code.as_ref().map(ToString::to_string).or_else(|| state.word().map(str::to_owned));
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

/// Ids of ours, and numbers of the platform's: short and never blank.
fn id(text: &str) -> Id {
    Id::new(text).expect("a short word")
}
