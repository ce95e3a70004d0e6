//! What a sweep asks a workspace for. Every text is redacted as it comes in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::{AT_ONCE, OpsError};
use crate::{
    databricks::{
        Client,
        error::ApiError,
        runs::{FoundRun, Output, Runs, Untimed},
    },
    domain::{
        ids::Id,
        problems::cut,
        redact::{Redactions, Redactor},
        run::Run,
        sweep::{Cases, JobSettings, Known, Opening, RecordedRun, TaskOutput, wanted_outputs},
    },
};

/// Runs that started runs that started runs.
const MAX_DEPTH: usize = 6;
/// Characters of an error's text, and of the end of its stack trace or of what was printed.
const ERROR: usize = 800;
const TRACE: usize = 1_600;
/// Bytes of a text that are looked at to find these.
const READ: usize = 256 << 10;
/// Bytes of settings that are kept.
const SETTINGS: usize = 64 << 10;

/// What is known of a workspace so far.
#[derive(Debug)]
pub struct Gathered<'a> {
    client: &'a Client,
    redactor: &'a Redactor,
    /// As they were listed, or asked for one by one.
    listed: BTreeMap<Id, Run>,
    /// Those that may hold failures, with all there is to know.
    examined: BTreeMap<Id, Run>,
    outputs: BTreeMap<Id, TaskOutput>,
    /// Runs by the task run that started them.
    started: HashMap<Id, Id>,
    redacted: BTreeMap<Id, Redactions>,
    /// Runs without any time, by id; whether each has ended.
    untimed: BTreeMap<Id, bool>,
}

impl<'a> Gathered<'a> {
    pub fn new(client: &'a Client, redactor: &'a Redactor) -> Self {
        Self {
            client,
            redactor,
            listed: BTreeMap::new(),
            examined: BTreeMap::new(),
            outputs: BTreeMap::new(),
            started: HashMap::new(),
            redacted: BTreeMap::new(),
            untimed: BTreeMap::new(),
        }
    }

    pub fn listed(&self) -> impl Iterator<Item = &Run> {
        self.listed.values()
    }

    pub fn examined(&self) -> impl Iterator<Item = &Run> {
        self.examined.values()
    }

    pub fn outputs(&self) -> &BTreeMap<Id, TaskOutput> {
        &self.outputs
    }

    pub fn has(&self, run: &Id) -> bool {
        self.listed.contains_key(run)
    }

    /// Runs that are not over: the next sweep asks for them again.
    pub fn under_way(&self) -> Vec<Id> {
        let listed = self.listed().filter(|run| !run.state.is_over()).map(|run| &run.id);
        listed.chain(self.untimed.iter().filter(|(_, is_over)| !**is_over).map(|(id, _)| id)).cloned().collect()
    }

    /// Runs that were left out, because they have no time at all.
    pub fn untimed(&self) -> impl Iterator<Item = &Id> {
        self.untimed.keys()
    }

    pub fn missing_outputs(&self) -> usize {
        self.outputs.values().filter(|output| matches!(output, TaskOutput::Missing { .. })).count()
    }

    /// How many secrets the runs of a case held.
    pub fn redactions(&self, case: &Id) -> Redactions {
        let mut all = Redactions::default();
        for run in self.examined.values().filter(|run| run.case() == case) {
            let ids = std::iter::once(&run.id).chain(run.tasks.iter().map(|task| &task.run_id));
            ids.filter_map(|id| self.redacted.get(id)).for_each(|redactions| all.add(redactions));
        }
        all
    }

    /// How many secrets stood in what is kept of every run: its name.
    pub fn all_redactions(&self) -> Redactions {
        let mut all = Redactions::default();
        self.listed.keys().filter_map(|id| self.redacted.get(id)).for_each(|redactions| all.add(redactions));
        all
    }

    /// Something failed in it, or did at first.
    pub fn may_hold_failures(&self, run: &Id) -> bool {
        self.listed.get(run).is_some_and(|run| {
            run.outcome().is_failure() || run.retried_tasks() > 0 || !run.rounds.is_empty() || run.original.is_some()
        })
    }

    pub async fn list(&mut self, wanted: Runs, told: impl Fn(usize)) -> Result<(), OpsError> {
        for answer in self.client.runs(wanted, told).await? {
            let Some(run) = self.timed(answer) else { continue };
            let run = self.redact(run);
            if let Some(task_run) = &run.started_by {
                self.started.insert(task_run.clone(), run.id.clone());
            }
            self.listed.insert(run.id.clone(), run);
        }
        Ok(())
    }

    /// Asks for runs one by one; those that are gone are left out.
    pub async fn get(&mut self, wanted: Vec<Id>, told: impl Fn(usize)) -> Result<(), OpsError> {
        for run in self.fetch(wanted, told).await? {
            self.listed.insert(run.id.clone(), run);
        }
        Ok(())
    }

    async fn fetch(&mut self, wanted: Vec<Id>, told: impl Fn(usize)) -> Result<Vec<Run>, OpsError> {
        let client = self.client;
        let mut answers = futures::stream::iter(wanted)
            .map(|id| async move {
                match client.run(&id).await {
                    Ok(run) => Ok(Some(run)),
                    Err(ApiError::NotFound(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(AT_ONCE);
        let mut runs = Vec::new();
        while let Some(run) = answers.try_next().await? {
            runs.extend(run);
            told(runs.len());
        }
        drop(answers);
        Ok(runs.into_iter().filter_map(|answer| self.timed(answer).map(|run| self.redact(run))).collect())
    }

    /// Keeps the id of a run without any time.
    fn timed(&mut self, answer: FoundRun) -> Option<Run> {
        match answer {
            FoundRun::Run(run) => {
                self.untimed.remove(&run.id);
                Some(*run)
            }
            FoundRun::Untimed(Untimed { id, is_over }) => {
                self.untimed.insert(id, is_over);
                None
            }
        }
    }

    /// Looks closely at runs: their repairs and retries, the outputs of what failed, the runs that they started.
    pub async fn examine(
        &mut self,
        wanted: &BTreeSet<Id>,
        recorded: &BTreeMap<Id, RecordedRun>,
        known: &Known<'_>,
        told: impl Fn(usize),
    ) -> Result<(), OpsError> {
        let mut next: BTreeSet<Id> = wanted.clone();
        for _ in 0..MAX_DEPTH {
            self.look_at(&next, recorded, &told).await?;
            let known = Known { outputs: &self.outputs, ..*known };
            let asked: Vec<Id> = wanted_outputs(&Cases::of(self.examined.values()), &known)
                .into_iter()
                .filter(|task_run| !self.outputs.contains_key(task_run))
                .collect();
            let client = self.client;
            let answers: Vec<(Id, Result<Output, ApiError>)> = futures::stream::iter(asked)
                .map(|id| async move {
                    let answer = client.run_output(&id).await;
                    (id, answer)
                })
                .buffered(AT_ONCE)
                .collect()
                .await;
            for (task_run, answer) in answers {
                let output = self.output(&task_run, answer);
                self.outputs.insert(task_run, output);
                told(self.examined.len() + self.outputs.len());
            }
            next = self
                .outputs
                .values()
                .filter_map(|output| match output {
                    TaskOutput::Had { child: Some(child), .. } => Some(child),
                    _ => None,
                })
                .filter(|child| !self.examined.contains_key(child))
                .cloned()
                .collect();
            if next.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Runs with their history where they have one, and the first attempts of those that are retries.
    async fn look_at(
        &mut self,
        wanted: &BTreeSet<Id>,
        recorded: &BTreeMap<Id, RecordedRun>,
        told: impl Fn(usize),
    ) -> Result<(), OpsError> {
        let mut asked = Vec::new();
        for id in wanted {
            match self.listed.get(id) {
                Some(run) if run.retried_tasks() == 0 && run.rounds.is_empty() && !recorded.contains_key(id) => {
                    self.examined.insert(id.clone(), run.clone());
                }
                // It was asked for by itself.
                Some(run) if !run.rounds.is_empty() => drop(self.examined.insert(id.clone(), run.clone())),
                listed => {
                    // Should it be gone meanwhile, what was listed is what is known.
                    if let Some(run) = listed {
                        self.examined.insert(id.clone(), run.clone());
                    }
                    asked.push(id.clone());
                }
            }
        }
        for run in self.fetch(asked, &told).await? {
            self.examined.insert(run.id.clone(), run);
        }
        let originals: BTreeSet<Id> =
            self.examined.values().filter_map(|run| run.original.clone()).collect::<BTreeSet<_>>();
        let missing: Vec<Id> = originals.into_iter().filter(|original| !self.examined.contains_key(original)).collect();
        for run in self.fetch(missing, told).await? {
            self.examined.insert(run.id.clone(), run);
        }
        Ok(())
    }

    fn output(&mut self, task_run: &Id, answer: Result<Output, ApiError>) -> TaskOutput {
        let started = self.started.get(task_run).cloned();
        match answer {
            Ok(output) => {
                let child = output.child.clone().or(started);
                let (headline, excerpt) = self.error(task_run, &output);
                TaskOutput::Had { headline, excerpt, child }
            }
            // The run that it started says more than its own output would.
            Err(_) if started.is_some() => TaskOutput::Had { headline: None, excerpt: None, child: started },
            Err(error) => {
                let is_denied = matches!(error, ApiError::Forbidden(_));
                TaskOutput::Missing { reason: self.redacted(task_run, error.to_string()), is_denied }
            }
        }
    }

    /// The error in a line, and with the end of what led to it. Cut after secrets are out: half of one is not recognised.
    fn error(&mut self, task_run: &Id, output: &Output) -> (Option<String>, Option<String>) {
        let error = output.error.as_deref().map(|error| self.redacted(task_run, plain(head(error))));
        let rest = output.trace.as_deref().or(output.logs.as_deref().filter(|_| error.is_none()));
        let rest = rest.map(|rest| self.redacted(task_run, plain(tail(rest))));
        let said = |line: &&str| !line.trim().is_empty();
        let headline = match (&error, &rest) {
            (Some(error), _) => error.lines().find(said),
            // What was printed ends with what ended it.
            (None, Some(rest)) => rest.lines().rev().find(said),
            (None, None) => None,
        };
        let headline = headline.map(|line| cut(line.trim(), ERROR));
        let parts = error.map(|error| cut(&error, ERROR)).into_iter().chain(rest.map(|rest| end(&rest, TRACE)));
        let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
        (headline, (!parts.is_empty()).then(|| parts.join("\n\n")))
    }

    fn redacted(&mut self, about: &Id, text: String) -> String {
        let mut value = Value::String(text);
        let redactions = self.redactor.value(&mut value);
        if !redactions.is_empty() {
            self.redacted.entry(about.clone()).or_default().add(&redactions);
        }
        match value {
            Value::String(text) => text,
            _ => String::new(),
        }
    }

    fn redact(&mut self, mut run: Run) -> Run {
        // Asked for again, it counts once.
        self.redacted.remove(&run.id);
        let id = run.id.clone();
        for text in run.texts_mut() {
            *text = self.redacted(&id, std::mem::take(text));
        }
        run
    }

    /// The settings of the jobs of which incidents are opened, as they are now.
    pub async fn settings(&self, openings: &[Opening]) -> BTreeMap<Id, JobSettings> {
        let jobs: BTreeMap<&Id, Vec<&str>> = openings.iter().fold(BTreeMap::new(), |mut jobs, opening| {
            let tasks: &mut Vec<&str> = jobs.entry(&opening.job_id).or_default();
            tasks.extend(opening.failed_tasks.iter().map(String::as_str));
            jobs
        });
        futures::stream::iter(jobs)
            .map(|(id, failed)| async move {
                let settings = match id.as_str().parse() {
                    Err(_) => JobSettings::Missing { reason: "its id is no number".into() },
                    Ok(number) => match self.client.job(number).await {
                        Ok(job) => self.kept(Value::Object(job.settings), &failed),
                        Err(error) => {
                            JobSettings::Missing { reason: self.redactor.text(&error.to_string()).into_owned() }
                        }
                    },
                };
                (id.clone(), settings)
            })
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    /// All of them, or without the tasks that did not fail.
    fn kept(&self, mut settings: Value, failed: &[&str]) -> JobSettings {
        self.redactor.value(&mut settings);
        let whole = settings.to_string();
        if whole.len() <= SETTINGS {
            return JobSettings::Had(Some(whole));
        }
        if let Some(tasks) = settings.get_mut("tasks").and_then(Value::as_array_mut) {
            tasks.retain(|task| task["task_key"].as_str().is_some_and(|key| failed.contains(&key)));
        }
        let part = settings.to_string();
        JobSettings::Had((part.len() <= SETTINGS).then_some(part))
    }
}

/// Without the colours of a terminal.
fn plain(text: &str) -> String {
    console::strip_ansi_codes(text).into_owned()
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(READ)]
}

fn tail(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(READ))..]
}

/// The last characters.
fn end(text: &str, most: usize) -> String {
    match text.char_indices().nth_back(most) {
        Some((start, character)) => format!("…{}", &text[start + character.len_utf8()..]),
        None => text.to_owned(),
    }
}
