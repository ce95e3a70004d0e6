//! Cases and their rounds.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{Decided, Known, Note, Opening, Place, TaskOutput, wording};
use crate::domain::{
    ids::{Id, IncidentId},
    run::{Round, Run, Task},
    time::Timestamp,
    words::RunOutcome,
};

/// Outputs looked at for each round.
const MAX_OUTPUTS: usize = 3;
/// What the ids of requests begin with.
const PREFIX: &str = "sweep";

/// Runs by case, each with its retries in order.
#[derive(Debug, Default)]
pub struct Cases<'a>(BTreeMap<&'a Id, Vec<&'a Run>>);

impl<'a> Cases<'a> {
    pub fn of(runs: impl IntoIterator<Item = &'a Run>) -> Self {
        let mut cases: BTreeMap<&Id, Vec<&Run>> = BTreeMap::new();
        for run in runs {
            cases.entry(run.case()).or_default().push(run);
        }
        for runs in cases.values_mut() {
            runs.sort_by_key(|run| (run.attempt, run.started_at));
        }
        Self(cases)
    }
}

/// A round of a case.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub run: &'a Run,
    pub round: Cow<'a, Round>,
    pub outcome: RunOutcome,
    /// Tasks that failed themselves.
    pub causes: Vec<&'a Task>,
    /// Tasks that did not run because of them.
    pub consequences: Vec<&'a Task>,
    /// What it is called in the ids of requests. Empty for the first of its case.
    suffix: String,
}

impl Turn<'_> {
    pub fn at(&self) -> Timestamp {
        self.round.ended_at.or(self.run.ended_at).unwrap_or(self.run.started_at)
    }

    /// Task runs of which the output is looked at. What never started left nothing behind.
    pub fn outputs(&self) -> Vec<&Id> {
        match self.outcome {
            RunOutcome::NeverStarted => Vec::new(),
            _ if self.run.tasks.is_empty() => vec![&self.run.id],
            _ => self.causes.iter().take(MAX_OUTPUTS).map(|task| &task.run_id).collect(),
        }
    }

    fn is_first(&self) -> bool {
        self.suffix.is_empty()
    }
}

/// The rounds that ended, in order.
fn turns<'a>(case: &Id, runs: &[&'a Run]) -> Vec<Turn<'a>> {
    let mut turns = Vec::new();
    for run in runs {
        let whole = Round {
            repair: None,
            state: run.state.clone(),
            started_at: Some(run.started_at),
            ended_at: run.ended_at,
            task_runs: Vec::new(),
        };
        let mut rounds: Vec<Cow<'a, Round>> = run.rounds.iter().map(Cow::Borrowed).collect();
        rounds.sort_by_key(|round| (round.repair.is_some(), round.started_at));
        if rounds.is_empty() {
            rounds.push(Cow::Owned(whole));
        }
        let retry = if run.id == *case { String::new() } else { format!("-retry-{}", run.id) };
        for round in rounds.into_iter().filter(|round| round.state.is_over()) {
            let tasks = run.tasks_of(&round);
            let outcome = match round.state.outcome() {
                RunOutcome::NeverStarted if tasks.iter().any(|task| task.has_run()) => RunOutcome::Failed,
                outcome => outcome,
            };
            let repair = round.repair.as_ref().map(|repair| format!("-repair-{repair}")).unwrap_or_default();
            let (causes, rest): (Vec<&Task>, Vec<&Task>) = tasks.into_iter().partition(|task| task.is_cause());
            let consequences = rest.into_iter().filter(|task| task.is_consequence()).collect();
            turns.push(Turn { run, round, outcome, causes, consequences, suffix: format!("{retry}{repair}") });
        }
    }
    turns
}

fn opening_id(known: &Known<'_>, case: &Id) -> String {
    format!("{PREFIX}-{}-{case}", known.workspace.id)
}

/// What one round gives, before it is known where it belongs.
enum Told<'a> {
    /// It is recorded already, there.
    Before(IncidentId),
    /// The case's incident begins with it.
    Opens,
    /// The run that it started failed.
    Because(&'a Id),
    Adds,
    Nothing,
}

/// The rounds of a case, and what each of them gives.
fn read<'a>(case: &'a Id, runs: &[&'a Run], known: &Known<'a>) -> Vec<(Turn<'a>, Told<'a>)> {
    let opening = opening_id(known, case);
    let opened = known.recorded.get(&opening);
    let mut seen_opening = false;
    let mut read = Vec::new();
    for turn in turns(case, runs) {
        let own = format!("{opening}{}", if turn.is_first() { "-because" } else { &turn.suffix });
        let told = match (known.recorded.get(&own), turn.outcome) {
            (Some(incident), _) => Told::Before(*incident),
            (None, outcome) if outcome.is_failure() => match (opened, child(&turn, known)) {
                // Only the first failure of its own has no id of its own.
                (Some(incident), _) if !seen_opening => {
                    seen_opening = true;
                    Told::Before(*incident)
                }
                (_, Some(child)) => Told::Because(child),
                _ if !seen_opening => {
                    seen_opening = true;
                    Told::Opens
                }
                _ => Told::Adds,
            },
            (None, RunOutcome::Succeeded | RunOutcome::Stopped) if !turn.is_first() => Told::Adds,
            _ => Told::Nothing,
        };
        read.push((turn, told));
    }
    read
}

/// The run that a round failed because of: each task that failed ran another job.
fn child<'a>(turn: &Turn<'a>, known: &Known<'a>) -> Option<&'a Id> {
    let only = !turn.causes.is_empty() && turn.causes.iter().all(|task| task.runs_job);
    let started = |task: &&Task| match known.outputs.get(&task.run_id)? {
        TaskOutput::Had { child, .. } => child.as_ref(),
        TaskOutput::Missing { .. } => None,
    };
    turn.causes.iter().filter(|_| only).find_map(started)
}

/// Outputs of the round may not be read, and none is missing for another reason.
fn is_denied(turn: &Turn<'_>, known: &Known<'_>) -> bool {
    let mut missing = turn.outputs().into_iter().filter_map(|task_run| match known.outputs.get(task_run)? {
        TaskOutput::Missing { is_denied, .. } => Some(*is_denied),
        TaskOutput::Had { .. } => None,
    });
    missing.next().is_some_and(|first| first && missing.all(|denied| denied))
}

/// Task runs of which the output is wanted before [`decide`]: of rounds that failed and are not recorded.
pub fn wanted_outputs(cases: &Cases<'_>, known: &Known<'_>) -> BTreeSet<Id> {
    let mut wanted = BTreeSet::new();
    for (case, runs) in &cases.0 {
        for (turn, told) in read(case, runs, known) {
            if turn.outcome.is_failure() && !matches!(told, Told::Before(_)) {
                wanted.extend(turn.outputs().into_iter().cloned());
            }
        }
    }
    wanted
}

/// What there is to record about the failures among the cases.
pub fn decide(cases: &Cases<'_>, known: &Known<'_>) -> Decided {
    let mut deciding = Deciding { cases, known, places: BTreeMap::new(), decided: Decided::default() };
    for case in cases.0.keys() {
        deciding.place(case);
    }
    let mut decided = deciding.decided;
    decided
        .openings
        .sort_by(|a, b| (a.report.incident.reported_at, &a.case).cmp(&(b.report.incident.reported_at, &b.case)));
    decided.notes.sort_by(|a, b| (a.at, &a.request_id).cmp(&(b.at, &b.request_id)));
    decided
}

struct Deciding<'a, 'b> {
    cases: &'b Cases<'a>,
    known: &'b Known<'b>,
    /// Where the failures of a case are told. `None`: it has none, or it is being looked at.
    places: BTreeMap<Id, Option<Place>>,
    decided: Decided,
}

impl Deciding<'_, '_> {
    /// Where the failures of a case are told, decided now unless it was before.
    fn place(&mut self, case: &Id) -> Option<Place> {
        if let Some(place) = self.places.get(case) {
            return place.clone();
        }
        let (known, cases) = (self.known, self.cases);
        let Some((case, runs)) = cases.0.get_key_value(case) else {
            let opening = opening_id(known, case);
            let because = known.recorded.get(&format!("{opening}-because"));
            return known.recorded.get(&opening).or(because).map(|incident| Place::Incident(*incident));
        };
        self.places.insert((*case).clone(), None);
        let opened = known.recorded.get(&opening_id(known, case));
        let mut own = None;
        let mut elsewhere = None;
        for (turn, told) in read(case, runs, known) {
            match told {
                Told::Before(incident) if turn.outcome.is_failure() => {
                    let place = Some(Place::Incident(incident));
                    if opened == Some(&incident) { own = own.or(place) } else { elsewhere = elsewhere.or(place) }
                }
                Told::Before(_) | Told::Nothing => {}
                Told::Because(child) => match self.place_of_run(child) {
                    Some(place) => {
                        let message = wording::because(&turn, child);
                        self.add(case, &turn, place.clone(), message);
                        elsewhere = elsewhere.or(Some(place));
                    }
                    None => self.own(case, &turn, &mut own),
                },
                Told::Opens | Told::Adds if turn.outcome.is_failure() => self.own(case, &turn, &mut own),
                Told::Opens | Told::Adds => {
                    if let Some(place) = own.clone().or_else(|| elsewhere.clone()) {
                        let message = wording::told(&turn);
                        self.add(case, &turn, place, message);
                    }
                }
            }
        }
        let place = own.or(elsewhere);
        self.places.insert((*case).clone(), place.clone());
        place
    }

    fn place_of_run(&mut self, run: &Id) -> Option<Place> {
        let case = self.cases.0.values().flatten().find(|known| known.id == *run).map_or(run, |run| run.case()).clone();
        self.place(&case)
    }

    /// A failure of the case itself.
    fn own(&mut self, case: &Id, turn: &Turn<'_>, own: &mut Option<Place>) {
        if let Some(place) = own.clone() {
            let message = wording::told(turn);
            self.add(case, turn, place, message);
            return;
        }
        let Ok(request_id) = Id::new(opening_id(self.known, case)) else { return };
        self.decided.openings.push(Opening {
            case: case.clone(),
            job_id: turn.run.job_id.clone(),
            outcome: turn.outcome,
            failed_tasks: turn.causes.iter().map(|task| task.key.clone()).collect(),
            is_denied: is_denied(turn, self.known),
            report: wording::report(request_id, turn, self.known),
        });
        *own = Some(Place::Case(case.clone()));
    }

    fn add(&mut self, case: &Id, turn: &Turn<'_>, to: Place, message: String) {
        let suffix = if turn.is_first() { "-because" } else { &turn.suffix };
        let Ok(request_id) = Id::new(format!("{}{suffix}", opening_id(self.known, case))) else { return };
        self.decided.notes.push(Note {
            case: case.clone(),
            to,
            request_id,
            at: turn.at(),
            message,
            evidence: wording::evidence(turn, self.known),
            is_healing: turn.outcome == RunOutcome::Succeeded,
        });
    }
}
