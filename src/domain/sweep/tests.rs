use super::*;
use crate::domain::run::{Execution, RunState, Task};

const HOUR: i64 = 3_600_000_000;
const START: i64 = 1_770_000_000_000_000;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_micros(START + hour * HOUR).unwrap()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// `FAILED`, or `FAILED CLUSTER_ERROR`.
fn state(text: &str) -> RunState {
    let mut words = text.split(' ');
    let (result, code) = (words.next().unwrap(), words.next());
    let life_cycle = match result {
        "RUNNING" | "SKIPPED" | "INTERNAL_ERROR" => result,
        _ => "TERMINATED",
    };
    RunState {
        life_cycle: life_cycle.to_owned().into(),
        result: Some(result).filter(|result| *result != life_cycle).map(|result| result.to_owned().into()),
        code: code.map(|code| code.to_owned().into()),
        kind: None,
        message: None,
    }
}

/// `extract FAILED`, or `child* FAILED` for a task that runs a job. The id of its task run ends in its index.
fn task(run: &str, place: usize, text: &str, ended: i64) -> Task {
    let (key, words) = text.split_once(' ').unwrap();
    Task {
        run_id: id(&format!("{run}{place}")),
        key: key.trim_end_matches('*').into(),
        attempt: 0,
        state: state(words),
        started_at: Some(at(ended - 1)),
        ended_at: Some(at(ended)),
        depends_on: Vec::new(),
        runs_job: key.ends_with('*'),
    }
}

fn run(run: &str, words: &str, tasks: &[&str]) -> Run {
    Run {
        id: id(run),
        job_id: id("7"),
        name: Some("daily-etl".into()),
        state: state(words),
        trigger: None,
        started_by: None,
        original: None,
        attempt: 0,
        started_at: at(0),
        ended_at: (words != "RUNNING").then(|| at(1)),
        page_url: None,
        queued_because: None,
        tasks: tasks.iter().enumerate().map(|(place, text)| task(run, place, text, 1)).collect(),
        executions: Vec::new(),
    }
}

/// A run that is repaired every hour: the state of its first execution and of each repair.
fn repaired(name: &str, executions: &[&str]) -> Run {
    let last = executions.last().unwrap();
    let mut repaired = run(name, last, &[]);
    repaired.ended_at = (*last != "RUNNING").then(|| at(executions.len() as i64));
    for (place, words) in executions.iter().enumerate() {
        let ended = place as i64 + 1;
        let task = Task { attempt: place as u32, ..task(name, place, &format!("a {words}"), ended) };
        repaired.executions.push(Execution {
            repair: (place > 0).then(|| id(&place.to_string())),
            state: state(words),
            started_at: Some(at(ended - 1)),
            ended_at: (*words != "RUNNING").then(|| at(ended)),
            task_runs: vec![task.run_id.clone()],
        });
        repaired.tasks.push(task);
    }
    repaired
}

#[derive(Default)]
struct World {
    recorded: BTreeMap<String, IncidentId>,
    outputs: BTreeMap<Id, TaskOutput>,
    history_until: i64,
}

impl World {
    fn started(mut self, task_run: &str, child: &str) -> Self {
        self.outputs
            .insert(id(task_run), TaskOutput::Retrieved { headline: None, excerpt: None, child: Some(id(child)) });
        self
    }

    fn recorded(mut self, request: &str, incident: u64) -> Self {
        self.recorded.insert(format!("sweep-1-{request}"), IncidentId::from_ordinal(incident));
        self
    }

    fn with<T>(&self, with_context: impl FnOnce(&SweepContext<'_>) -> T) -> T {
        let workspace = Workspace { id: id("1"), url: None };
        with_context(&SweepContext {
            workspace: &workspace,
            recorded: &self.recorded,
            outputs: &self.outputs,
            first_swept_at: at(self.history_until),
            now: at(100),
        })
    }

    fn decide(&self, runs: &[Run]) -> SweepPlan {
        self.with(|context| decide(&Cases::of(runs), context))
    }

    /// `open 5`, `5 -> 6: sweep-1-5-because`.
    fn planned(&self, runs: &[Run]) -> Vec<String> {
        let decided = self.decide(runs);
        let opened = decided.openings.iter().map(|opening| format!("open {}", opening.case));
        let noted = decided.notes.iter().map(|note| {
            let to = match &note.to {
                NoteTarget::Case(case) => case.to_string(),
                NoteTarget::Incident(incident) => incident.to_string(),
            };
            format!("{} -> {to}{}", note.request_id, if note.is_recovery { ", recovered" } else { "" })
        });
        opened.chain(noted).collect()
    }
}

#[test]
fn failed_runs_open_incidents_and_repairs_add_notes() {
    fn check(world: World, runs: &[Run], expected: &[&str]) {
        assert_eq!(world.planned(runs), expected, "{runs:#?}");
    }
    let new = World::default;
    // Each failed run opens one incident, other runs open none.
    check(new(), &[run("5", "FAILED", &["a FAILED"])], &["open 5"]);
    check(new(), &[run("5", "TIMEDOUT", &[])], &["open 5"]);
    check(new(), &[run("5", "SUCCESS_WITH_FAILURES", &["a FAILED", "b SUCCESS"])], &["open 5"]);
    check(new(), &[run("5", "MAXIMUM_CONCURRENT_RUNS_REACHED", &[])], &["open 5"]);
    check(new(), &[run("5", "FAILED CLUSTER_ERROR", &[])], &["open 5"]);
    for ignored in ["SUCCESS", "CANCELED", "DISABLED", "UPSTREAM_CANCELED", "RUNNING", "MELTED"] {
        check(new(), &[run("5", ignored, &[])], &[]);
    }
    // A repair belongs to its run, whenever it is ended.
    let recovered = ["open 5", "sweep-1-5-repair-1 -> 5", "sweep-1-5-repair-2 -> 5, recovered"];
    check(new(), &[repaired("5", &["FAILED", "FAILED", "SUCCESS"])], &recovered);
    check(new(), &[repaired("5", &["FAILED", "RUNNING"])], &["open 5"]);
    let later = ["sweep-1-5-repair-2 -> INC-1003, recovered"];
    let known = || new().recorded("5", 3);
    check(known(), &[repaired("5", &["FAILED", "RUNNING"])], &[]);
    check(known(), &[repaired("5", &["FAILED", "FAILED"])], &["sweep-1-5-repair-1 -> INC-1003"]);
    check(known().recorded("5-repair-1", 3), &[repaired("5", &["FAILED", "FAILED", "SUCCESS"])], &later);
    check(known().recorded("5-repair-1", 3).recorded("5-repair-2", 3), &[repaired("5", &["FAILED"; 3])], &[]);
    // A cancelled run is no failure, but its failed repair is.
    check(new(), &[repaired("5", &["CANCELED", "FAILED"])], &["open 5"]);
    check(known(), &[repaired("5", &["CANCELED", "FAILED"])], &[]);
    // A retry of the whole run also belongs to it.
    let retry = |words: &str| Run { original: Some(id("5")), attempt: 1, ..run("6", words, &[]) };
    check(new(), &[run("5", "FAILED", &[]), retry("SUCCESS")], &["open 5", "sweep-1-5-retry-6 -> 5, recovered"]);
    check(known(), &[run("5", "FAILED", &[]), retry("FAILED")], &["sweep-1-5-retry-6 -> INC-1003"]);
}

#[test]
fn a_run_that_failed_because_of_another_adds_a_note_to_its_incident() {
    fn check(world: World, runs: &[Run], expected: &[&str]) {
        assert_eq!(world.planned(runs), expected);
    }
    let parent = || run("5", "FAILED", &["t* FAILED", "z UPSTREAM_FAILED"]);
    let child = || run("6", "FAILED", &["a FAILED"]);
    let linked = || World::default().started("50", "6");
    check(linked(), &[parent(), child()], &["open 6", "sweep-1-5-because -> 6"]);
    check(linked().recorded("6", 2), &[parent()], &["sweep-1-5-because -> INC-1002"]);
    check(linked().recorded("6", 2).recorded("5-because", 2), &[parent()], &[]);
    // Through a chain.
    let between = Run { id: id("6"), ..run("6", "FAILED", &["u* FAILED"]) };
    let chain = linked().started("60", "8");
    check(
        chain,
        &[parent(), between, run("8", "FAILED", &[])],
        &["open 8", "sweep-1-5-because -> 8", "sweep-1-6-because -> 8"],
    );
    // It also failed for another reason, or the other run did not fail.
    check(linked(), &[run("5", "FAILED", &["t* FAILED", "b FAILED"]), child()], &["open 5", "open 6"]);
    check(linked(), &[parent(), run("6", "CANCELED", &[])], &["open 5"]);
    check(World::default(), &[parent(), child()], &["open 5", "open 6"]);
    // Two runs that name each other as parent do not lead to an endless loop.
    let cyclic = linked().started("60", "5");
    assert_eq!(cyclic.decide(&[parent(), run("6", "FAILED", &["u* FAILED"])]).openings.len(), 1);
}

#[test]
fn the_outputs_of_failed_tasks_are_wanted_once() {
    let wanted = |world: &World, runs: &[Run]| -> Vec<String> {
        let wanted = world.with(|context| wanted_outputs(&Cases::of(runs), context));
        wanted.iter().map(ToString::to_string).collect()
    };
    let failed = run("5", "FAILED", &["a FAILED", "b UPSTREAM_FAILED", "c SUCCESS", "d TIMEDOUT", "e EXCLUDED"]);
    assert_eq!(wanted(&World::default(), std::slice::from_ref(&failed)), ["50", "53"]);
    assert_eq!(wanted(&World::default().recorded("5", 1), &[failed]), [""; 0]);
    assert_eq!(wanted(&World::default(), &[run("5", "FAILED", &["a FAILED"; 9].map(|_| "a FAILED"))]), ["58"]);
    assert_eq!(wanted(&World::default(), &[run("5", "FAILED", &[])]), ["5"], "a run without tasks has its own output");
    assert_eq!(
        wanted(&World::default(), &[run("5", "SKIPPED", &[])]),
        [""; 0],
        "a run that never started has no output"
    );
}

#[test]
fn consequences_are_named_with_their_cause() {
    let runs =
        [run("5", "FAILED RUN_EXECUTION_ERROR", &["extract FAILED", "load UPSTREAM_FAILED", "mart UPSTREAM_FAILED"])];
    let report = World::default().decide(&runs).openings.remove(0).report;
    let messages: Vec<&str> = report.timeline.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Run 5 of job 7 \"daily-etl\" failed: RUN_EXECUTION_ERROR",
            "Task \"extract\" failed: FAILED",
            "Tasks \"load\", \"mart\" did not run because of \"extract\"",
        ]
    );
    assert_eq!(report.incident.title, "daily-etl failed: RUN_EXECUTION_ERROR");
    assert_eq!(report.rca, None, "a sweep names no cause");
    assert_eq!((report.incident.reported_at, report.incident.detected_at), (at(1), Some(at(100))));
    let kinds: Vec<&str> = report.resources.iter().map(|resource| resource.kind.as_str()).collect();
    assert_eq!(kinds, ["job", "job_run", "task_run"]);
}

#[test]
fn an_output_that_cannot_be_retrieved_is_missing_evidence() {
    let mut world = World::default();
    world.outputs.insert(id("50"), TaskOutput::Missing { reason: "not allowed".into(), is_denied: true });
    let report = world.decide(&[run("5", "FAILED", &["a FAILED"])]).openings.remove(0).report;
    let rca = report.rca.unwrap();
    assert_eq!((rca.root_cause.as_str(), rca.missing_evidence), ("unknown", vec![id("run_output")]));
    assert_eq!(rca.missing_reasons["run_output"], "not allowed");
    assert!(report.timeline[1].message.ends_with("; its output could not be retrieved: not allowed"));
}

#[test]
fn a_retrieved_output_is_evidence() {
    let mut world = World::default();
    let (headline, excerpt) = (Some("no such column".to_owned()), Some("no such column\n\nat line 1".to_owned()));
    world.outputs.insert(id("50"), TaskOutput::Retrieved { headline, excerpt: excerpt.clone(), child: None });
    let report = world.decide(&[run("5", "FAILED", &["a FAILED"])]).openings.remove(0).report;
    assert_eq!(report.timeline[1].message, "Task \"a\" failed: FAILED; its error: no such column");
    let evidence = &report.timeline[1].evidence[0];
    assert_eq!((evidence.kind.as_str(), evidence.reference.as_str()), ("run_output", "task_run:50"));
    assert_eq!(evidence.excerpt, excerpt);
    assert_eq!(report.rca, None);
}

#[test]
fn failures_before_the_first_sweep_are_history() {
    let reports = |history_until| {
        let world = World { history_until, ..World::default() };
        world.decide(&[run("5", "FAILED", &[])]).openings.remove(0).report
    };
    let (past, fresh) = (reports(50), reports(1));
    assert_eq!((past.history, past.incident.detected_at), (true, None));
    assert_eq!((fresh.history, fresh.incident.detected_at), (false, Some(at(100))));
}

#[test]
fn unrecorded_runs_are_those_whose_end_is_not_recorded() {
    let runs = [run("5", "FAILED", &[]), run("6", "SUCCESS", &[]), run("7", "RUNNING", &[])];
    let names = |news: &[EndedRun]| news.iter().map(|ended| ended.run_id.to_string()).collect::<Vec<_>>();
    let first = unrecorded_runs(runs.iter(), &BTreeMap::new());
    assert_eq!(names(&first), ["5", "6"]);
    let recorded: BTreeMap<Id, RecordedRun> = first
        .iter()
        .map(|ended| {
            let run = RecordedRun {
                run_id: ended.run_id.clone(),
                ended_at: ended.ended_at,
                result_state: ended.result_state.clone(),
                termination_code: ended.termination_code.clone(),
                retried_tasks: Some(0),
            };
            (ended.run_id.clone(), run)
        })
        .collect();
    assert_eq!(names(&unrecorded_runs(runs.iter(), &recorded)), [""; 0]);
    let later = [repaired("5", &["FAILED", "SUCCESS"])];
    assert_eq!(names(&unrecorded_runs(later.iter(), &recorded)), ["5"]);
    assert_eq!(unrecorded_runs(later.iter(), &recorded)[0].retried_tasks, 1);
}
