//! Cases, their executions, and the plan of what to record about them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{IncidentNote, NewIncident, NoteTarget, SweepContext, SweepPlan, TaskOutput, wording};
use crate::domain::{
    ids::{Id, IncidentId},
    run::{Execution, Run, Task, outcome::RunOutcome},
    time::Timestamp,
};

/// Maximum number of task outputs that are read for an execution.
const MAX_OUTPUTS: usize = 3;
/// Prefix of request ids.
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

/// An execution of a case that has ended.
#[derive(Debug)]
pub(super) struct CaseExecution<'a> {
    pub run: &'a Run,
    pub execution: Cow<'a, Execution>,
    pub outcome: RunOutcome,
    /// Tasks that failed themselves.
    pub causes: Vec<&'a Task>,
    /// Tasks that did not run because of them.
    pub consequences: Vec<&'a Task>,
    /// Its suffix in request ids. Empty for the first execution of its case.
    suffix: String,
}

impl CaseExecution<'_> {
    pub fn at(&self) -> Timestamp {
        self.execution.ended_at.or(self.run.ended_at).unwrap_or(self.run.started_at)
    }

    /// Returns the task runs whose output is read. An execution that never started has none.
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

/// Returns the ended executions of a case in order.
fn case_executions<'a>(case: &Id, runs: &[&'a Run]) -> Vec<CaseExecution<'a>> {
    let mut case_executions = Vec::new();
    for run in runs {
        let whole = Execution {
            repair: None,
            state: run.state.clone(),
            started_at: Some(run.started_at),
            ended_at: run.ended_at,
            task_runs: Vec::new(),
        };
        let mut executions: Vec<Cow<'a, Execution>> = run.executions.iter().map(Cow::Borrowed).collect();
        executions.sort_by_key(|execution| (execution.repair.is_some(), execution.started_at));
        if executions.is_empty() {
            executions.push(Cow::Owned(whole));
        }
        let retry = if run.id == *case { String::new() } else { format!("-retry-{}", run.id) };
        for execution in executions.into_iter().filter(|execution| execution.state.is_over()) {
            let tasks = run.tasks_of(&execution);
            let outcome = match execution.state.outcome() {
                RunOutcome::NeverStarted if tasks.iter().any(|task| task.has_run()) => RunOutcome::Failed,
                outcome => outcome,
            };
            let repair = execution.repair.as_ref().map(|repair| format!("-repair-{repair}")).unwrap_or_default();
            let (causes, rest): (Vec<&Task>, Vec<&Task>) = tasks.into_iter().partition(|task| task.is_cause());
            let consequences = rest.into_iter().filter(|task| task.is_consequence()).collect();
            case_executions.push(CaseExecution {
                run,
                execution,
                outcome,
                causes,
                consequences,
                suffix: format!("{retry}{repair}"),
            });
        }
    }
    case_executions
}

fn opening_id(context: &SweepContext<'_>, case: &Id) -> String {
    format!("{PREFIX}-{}-{case}", context.workspace.id)
}

/// The record that an execution leads to.
enum ExecutionDisposition<'a> {
    /// It is already recorded, in this incident.
    Recorded(IncidentId),
    /// It opens the incident of the case.
    OpensIncident,
    /// It failed because this run, which it started, failed.
    CausedBy(&'a Id),
    /// It adds a note to an incident.
    AddsNote,
    /// It is not recorded.
    Ignored,
}

/// Returns the executions of a case with their dispositions.
fn dispositions<'a>(
    case: &'a Id,
    runs: &[&'a Run],
    context: &SweepContext<'a>,
) -> Vec<(CaseExecution<'a>, ExecutionDisposition<'a>)> {
    let opening = opening_id(context, case);
    let opened = context.recorded.get(&opening);
    let mut seen_opening = false;
    let mut found = Vec::new();
    for execution in case_executions(case, runs) {
        let own = format!("{opening}{}", if execution.is_first() { "-because" } else { &execution.suffix });
        let disposition = match (context.recorded.get(&own), execution.outcome) {
            (Some(incident), _) => ExecutionDisposition::Recorded(*incident),
            (None, outcome) if outcome.is_failure() => match (opened, child(&execution, context)) {
                // The first failure of the case has the id of the opening request.
                (Some(incident), _) if !seen_opening => {
                    seen_opening = true;
                    ExecutionDisposition::Recorded(*incident)
                }
                (_, Some(child)) => ExecutionDisposition::CausedBy(child),
                _ if !seen_opening => {
                    seen_opening = true;
                    ExecutionDisposition::OpensIncident
                }
                _ => ExecutionDisposition::AddsNote,
            },
            (None, RunOutcome::Succeeded | RunOutcome::Stopped) if !execution.is_first() => {
                ExecutionDisposition::AddsNote
            }
            _ => ExecutionDisposition::Ignored,
        };
        found.push((execution, disposition));
    }
    found
}

/// Returns the run that caused the failure: each failed task ran another job.
fn child<'a>(execution: &CaseExecution<'a>, context: &SweepContext<'a>) -> Option<&'a Id> {
    let only = !execution.causes.is_empty() && execution.causes.iter().all(|task| task.runs_job);
    let started = |task: &&Task| match context.outputs.get(&task.run_id)? {
        TaskOutput::Retrieved { child, .. } => child.as_ref(),
        TaskOutput::Missing { .. } => None,
    };
    execution.causes.iter().filter(|_| only).find_map(started)
}

/// Returns true if outputs are missing and the reason of each is denied access.
fn is_denied(execution: &CaseExecution<'_>, context: &SweepContext<'_>) -> bool {
    let mut missing = execution.outputs().into_iter().filter_map(|task_run| match context.outputs.get(task_run)? {
        TaskOutput::Missing { is_denied, .. } => Some(*is_denied),
        TaskOutput::Retrieved { .. } => None,
    });
    missing.next().is_some_and(|first| first && missing.all(|denied| denied))
}

/// Returns the task runs whose output [`decide`] needs: those of failed executions that are not recorded.
pub fn wanted_outputs(cases: &Cases<'_>, context: &SweepContext<'_>) -> BTreeSet<Id> {
    let mut wanted = BTreeSet::new();
    for (case, runs) in &cases.0 {
        for (execution, disposition) in dispositions(case, runs, context) {
            if execution.outcome.is_failure() && !matches!(disposition, ExecutionDisposition::Recorded(_)) {
                wanted.extend(execution.outputs().into_iter().cloned());
            }
        }
    }
    wanted
}

/// Returns the plan of what to record about the failures of the cases.
pub fn decide(cases: &Cases<'_>, context: &SweepContext<'_>) -> SweepPlan {
    let mut builder = PlanBuilder { cases, context, targets: BTreeMap::new(), plan: SweepPlan::default() };
    for case in cases.0.keys() {
        builder.target(case);
    }
    let mut plan = builder.plan;
    plan.openings
        .sort_by(|a, b| (a.report.incident.reported_at, &a.case).cmp(&(b.report.incident.reported_at, &b.case)));
    plan.notes.sort_by(|a, b| (a.at, &a.request_id).cmp(&(b.at, &b.request_id)));
    plan
}

struct PlanBuilder<'a, 'b> {
    cases: &'b Cases<'a>,
    context: &'b SweepContext<'b>,
    /// Target of the failures of each case. `None`: the case has none, or it is being visited.
    targets: BTreeMap<Id, Option<NoteTarget>>,
    plan: SweepPlan,
}

impl PlanBuilder<'_, '_> {
    /// Returns the target of the failures of a case. Plans the case on its first visit.
    fn target(&mut self, case: &Id) -> Option<NoteTarget> {
        if let Some(target) = self.targets.get(case) {
            return target.clone();
        }
        let (context, cases) = (self.context, self.cases);
        let Some((case, runs)) = cases.0.get_key_value(case) else {
            let opening = opening_id(context, case);
            let because = context.recorded.get(&format!("{opening}-because"));
            return context.recorded.get(&opening).or(because).map(|incident| NoteTarget::Incident(*incident));
        };
        self.targets.insert((*case).clone(), None);
        let opened = context.recorded.get(&opening_id(context, case));
        let mut own = None;
        let mut other = None;
        for (execution, disposition) in dispositions(case, runs, context) {
            match disposition {
                ExecutionDisposition::Recorded(incident) if execution.outcome.is_failure() => {
                    let target = Some(NoteTarget::Incident(incident));
                    if opened == Some(&incident) { own = own.or(target) } else { other = other.or(target) }
                }
                ExecutionDisposition::Recorded(_) | ExecutionDisposition::Ignored => {}
                ExecutionDisposition::CausedBy(child) => match self.target_of_run(child) {
                    Some(target) => {
                        let message = wording::caused_by(&execution, child);
                        self.add(case, &execution, target.clone(), message);
                        other = other.or(Some(target));
                    }
                    None => self.own(case, &execution, &mut own),
                },
                ExecutionDisposition::OpensIncident | ExecutionDisposition::AddsNote
                    if execution.outcome.is_failure() =>
                {
                    self.own(case, &execution, &mut own)
                }
                ExecutionDisposition::OpensIncident | ExecutionDisposition::AddsNote => {
                    if let Some(target) = own.clone().or_else(|| other.clone()) {
                        let message = wording::progress(&execution);
                        self.add(case, &execution, target, message);
                    }
                }
            }
        }
        let target = own.or(other);
        self.targets.insert((*case).clone(), target.clone());
        target
    }

    fn target_of_run(&mut self, run: &Id) -> Option<NoteTarget> {
        let case =
            self.cases.0.values().flatten().find(|context| context.id == *run).map_or(run, |run| run.case()).clone();
        self.target(&case)
    }

    /// Plans a failure of the case itself.
    fn own(&mut self, case: &Id, execution: &CaseExecution<'_>, own: &mut Option<NoteTarget>) {
        if let Some(target) = own.clone() {
            let message = wording::progress(execution);
            self.add(case, execution, target, message);
            return;
        }
        let Ok(request_id) = Id::new(opening_id(self.context, case)) else { return };
        self.plan.openings.push(NewIncident {
            case: case.clone(),
            job_id: execution.run.job_id.clone(),
            outcome: execution.outcome,
            failed_tasks: execution.causes.iter().map(|task| task.key.clone()).collect(),
            is_denied: is_denied(execution, self.context),
            report: wording::report(request_id, execution, self.context),
        });
        *own = Some(NoteTarget::Case(case.clone()));
    }

    fn add(&mut self, case: &Id, execution: &CaseExecution<'_>, to: NoteTarget, message: String) {
        let suffix = if execution.is_first() { "-because" } else { &execution.suffix };
        let Ok(request_id) = Id::new(format!("{}{suffix}", opening_id(self.context, case))) else { return };
        self.plan.notes.push(IncidentNote {
            case: case.clone(),
            to,
            request_id,
            at: execution.at(),
            message,
            evidence: wording::evidence(execution, self.context),
            is_recovery: execution.outcome == RunOutcome::Succeeded,
        });
    }
}
