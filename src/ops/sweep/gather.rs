//! Reads job runs, outputs and settings from a workspace for a sweep. Every text is redacted immediately.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::{OpsError, REQUESTS_IN_FLIGHT};
use crate::{
    databricks::{
        Client,
        error::ApiError,
        runs::{FetchedRun, RunOutput, RunSelection, UntimedRun},
    },
    domain::{
        ids::Id,
        problems::cut,
        redact::{Redactions, Redactor},
        run::Run,
        sweep::{Cases, JobSettings, NewIncident, RecordedRun, SweepContext, TaskOutput, wanted_outputs},
    },
};

/// Maximum depth of runs that start other runs.
const MAX_DEPTH: usize = 6;
/// Characters of an error's text, and of the end of its stack trace or log.
const ERROR_CHARS: usize = 800;
const TRACE_CHARS: usize = 1_600;
/// Bytes of a text that are searched for these.
const MAX_SCANNED_BYTES: usize = 256 << 10;
/// Maximum size of settings, in bytes.
const MAX_SETTINGS_BYTES: usize = 64 << 10;

/// The runs of a workspace that were read so far.
#[derive(Debug)]
pub struct GatheredRuns<'a> {
    client: &'a Client,
    redactor: &'a Redactor,
    /// Runs from lists, or read one by one.
    listed: BTreeMap<Id, Run>,
    /// Runs that may contain failures, with all details.
    examined: BTreeMap<Id, Run>,
    outputs: BTreeMap<Id, TaskOutput>,
    /// Runs by the task run that started them.
    started: HashMap<Id, Id>,
    redacted: BTreeMap<Id, Redactions>,
    /// Runs without times, by id, and whether each has ended.
    untimed: BTreeMap<Id, bool>,
}

impl<'a> GatheredRuns<'a> {
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

    /// Returns the runs that have not ended. The next sweep reads them again.
    pub fn active_runs(&self) -> Vec<Id> {
        let listed = self.listed().filter(|run| !run.state.is_over()).map(|run| &run.id);
        listed.chain(self.untimed.iter().filter(|(_, has_ended)| !**has_ended).map(|(id, _)| id)).cloned().collect()
    }

    /// Returns the runs that were skipped because they have no times.
    pub fn untimed(&self) -> impl Iterator<Item = &Id> {
        self.untimed.keys()
    }

    pub fn missing_outputs(&self) -> usize {
        self.outputs.values().filter(|output| matches!(output, TaskOutput::Missing { .. })).count()
    }

    /// Returns the redactions in the runs of a case.
    pub fn redactions(&self, case: &Id) -> Redactions {
        let mut all = Redactions::default();
        for run in self.examined.values().filter(|run| run.case() == case) {
            let ids = std::iter::once(&run.id).chain(run.tasks.iter().map(|task| &task.run_id));
            ids.filter_map(|id| self.redacted.get(id)).for_each(|redactions| all.add(redactions));
        }
        all
    }

    /// Returns the redactions in the names of all listed runs.
    pub fn all_redactions(&self) -> Redactions {
        let mut all = Redactions::default();
        self.listed.keys().filter_map(|id| self.redacted.get(id)).for_each(|redactions| all.add(redactions));
        all
    }

    /// Returns whether a run or an earlier attempt of it failed.
    pub fn may_hold_failures(&self, run: &Id) -> bool {
        self.listed.get(run).is_some_and(|run| {
            run.outcome().is_failure()
                || run.retried_tasks() > 0
                || !run.executions.is_empty()
                || run.original.is_some()
        })
    }

    /// Lists runs and adds them.
    pub async fn list(&mut self, wanted: RunSelection, progress: impl Fn(usize)) -> Result<(), OpsError> {
        for answer in self.client.runs(wanted, progress).await? {
            let Some(run) = self.timed(answer) else { continue };
            let run = self.redact(run);
            if let Some(task_run) = &run.started_by {
                self.started.insert(task_run.clone(), run.id.clone());
            }
            self.listed.insert(run.id.clone(), run);
        }
        Ok(())
    }

    /// Reads runs one by one. Deleted runs are skipped.
    pub async fn get(&mut self, wanted: Vec<Id>, progress: impl Fn(usize)) -> Result<(), OpsError> {
        for run in self.fetch(wanted, progress).await? {
            self.listed.insert(run.id.clone(), run);
        }
        Ok(())
    }

    async fn fetch(&mut self, wanted: Vec<Id>, progress: impl Fn(usize)) -> Result<Vec<Run>, OpsError> {
        let client = self.client;
        let mut answers = futures::stream::iter(wanted)
            .map(|id| async move {
                match client.run(&id).await {
                    Ok(run) => Ok(Some(run)),
                    Err(ApiError::NotFound(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffered(REQUESTS_IN_FLIGHT);
        let mut runs = Vec::new();
        while let Some(run) = answers.try_next().await? {
            runs.extend(run);
            progress(runs.len());
        }
        drop(answers);
        Ok(runs.into_iter().filter_map(|answer| self.timed(answer).map(|run| self.redact(run))).collect())
    }

    /// Returns a run with times. Remembers the id of one without.
    fn timed(&mut self, answer: FetchedRun) -> Option<Run> {
        match answer {
            FetchedRun::Run(run) => {
                self.untimed.remove(&run.id);
                Some(*run)
            }
            FetchedRun::Untimed(UntimedRun { id, has_ended }) => {
                self.untimed.insert(id, has_ended);
                None
            }
        }
    }

    /// Reads the details of runs: repairs and retries, outputs of failed tasks, and the runs that they started.
    pub async fn examine(
        &mut self,
        wanted: &BTreeSet<Id>,
        recorded: &BTreeMap<Id, RecordedRun>,
        known: &SweepContext<'_>,
        progress: impl Fn(usize),
    ) -> Result<(), OpsError> {
        let mut next: BTreeSet<Id> = wanted.clone();
        for _ in 0..MAX_DEPTH {
            self.load_details(&next, recorded, &progress).await?;
            let known = SweepContext { outputs: &self.outputs, ..*known };
            let to_read: Vec<Id> = wanted_outputs(&Cases::of(self.examined.values()), &known)
                .into_iter()
                .filter(|task_run| !self.outputs.contains_key(task_run))
                .collect();
            let client = self.client;
            let answers: Vec<(Id, Result<RunOutput, ApiError>)> = futures::stream::iter(to_read)
                .map(|id| async move {
                    let answer = client.run_output(&id).await;
                    (id, answer)
                })
                .buffered(REQUESTS_IN_FLIGHT)
                .collect()
                .await;
            for (task_run, answer) in answers {
                let output = self.output(&task_run, answer);
                self.outputs.insert(task_run, output);
                progress(self.examined.len() + self.outputs.len());
            }
            next = self
                .outputs
                .values()
                .filter_map(|output| match output {
                    TaskOutput::Retrieved { child: Some(child), .. } => Some(child),
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

    /// Reads runs with their repair history, and the first attempts of retried runs.
    async fn load_details(
        &mut self,
        wanted: &BTreeSet<Id>,
        recorded: &BTreeMap<Id, RecordedRun>,
        progress: impl Fn(usize),
    ) -> Result<(), OpsError> {
        let mut to_read = Vec::new();
        for id in wanted {
            match self.listed.get(id) {
                Some(run) if run.retried_tasks() == 0 && run.executions.is_empty() && !recorded.contains_key(id) => {
                    self.examined.insert(id.clone(), run.clone());
                }
                // It was read one by one, with its history.
                Some(run) if !run.executions.is_empty() => drop(self.examined.insert(id.clone(), run.clone())),
                listed => {
                    // If it was deleted meanwhile, the listed run remains.
                    if let Some(run) = listed {
                        self.examined.insert(id.clone(), run.clone());
                    }
                    to_read.push(id.clone());
                }
            }
        }
        for run in self.fetch(to_read, &progress).await? {
            self.examined.insert(run.id.clone(), run);
        }
        let originals: BTreeSet<Id> =
            self.examined.values().filter_map(|run| run.original.clone()).collect::<BTreeSet<_>>();
        let missing: Vec<Id> = originals.into_iter().filter(|original| !self.examined.contains_key(original)).collect();
        for run in self.fetch(missing, progress).await? {
            self.examined.insert(run.id.clone(), run);
        }
        Ok(())
    }

    fn output(&mut self, task_run: &Id, answer: Result<RunOutput, ApiError>) -> TaskOutput {
        let started = self.started.get(task_run).cloned();
        match answer {
            Ok(output) => {
                let child = output.child.clone().or(started);
                let (headline, excerpt) = self.error(task_run, &output);
                TaskOutput::Retrieved { headline, excerpt, child }
            }
            // The started run has more details than this output.
            Err(_) if started.is_some() => TaskOutput::Retrieved { headline: None, excerpt: None, child: started },
            Err(error) => {
                let is_denied = matches!(error, ApiError::Forbidden(_));
                TaskOutput::Missing { reason: self.redacted(task_run, error.to_string()), is_denied }
            }
        }
    }

    /// Returns the error in one line, and an excerpt with the end of its trace. Truncated after redaction, because a part of a
    /// secret is not detected.
    fn error(&mut self, task_run: &Id, output: &RunOutput) -> (Option<String>, Option<String>) {
        let error = output.error.as_deref().map(|error| self.redacted(task_run, plain(head(error))));
        let rest = output.trace.as_deref().or(output.logs.as_deref().filter(|_| error.is_none()));
        let rest = rest.map(|rest| self.redacted(task_run, plain(tail(rest))));
        let is_not_blank = |line: &&str| !line.trim().is_empty();
        let headline = match (&error, &rest) {
            (Some(error), _) => error.lines().find(is_not_blank),
            // The last line of a log is usually the error.
            (None, Some(rest)) => rest.lines().rev().find(is_not_blank),
            (None, None) => None,
        };
        let headline = headline.map(|line| cut(line.trim(), ERROR_CHARS));
        let parts =
            error.map(|error| cut(&error, ERROR_CHARS)).into_iter().chain(rest.map(|rest| end(&rest, TRACE_CHARS)));
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
        // A run that is read again counts once.
        self.redacted.remove(&run.id);
        let id = run.id.clone();
        for text in run.texts_mut() {
            *text = self.redacted(&id, std::mem::take(text));
        }
        run
    }

    /// Reads the current settings of the jobs for which incidents are opened.
    pub async fn settings(&self, openings: &[NewIncident]) -> BTreeMap<Id, JobSettings> {
        let jobs: BTreeMap<&Id, Vec<&str>> = openings.iter().fold(BTreeMap::new(), |mut jobs, opening| {
            let tasks: &mut Vec<&str> = jobs.entry(&opening.job_id).or_default();
            tasks.extend(opening.failed_tasks.iter().map(String::as_str));
            jobs
        });
        futures::stream::iter(jobs)
            .map(|(id, failed)| async move {
                let settings = match id.as_str().parse() {
                    Err(_) => JobSettings::Missing { reason: "its id is not a number".into() },
                    Ok(number) => match self.client.job(number).await {
                        Ok(job) => self.kept(Value::Object(job.settings), &failed),
                        Err(error) => {
                            JobSettings::Missing { reason: self.redactor.text(&error.to_string()).into_owned() }
                        }
                    },
                };
                (id.clone(), settings)
            })
            .buffered(REQUESTS_IN_FLIGHT)
            .collect()
            .await
    }

    /// Returns the settings, reduced to the failed tasks if they are too large.
    fn kept(&self, mut settings: Value, failed: &[&str]) -> JobSettings {
        self.redactor.value(&mut settings);
        let whole = settings.to_string();
        if whole.len() <= MAX_SETTINGS_BYTES {
            return JobSettings::Retrieved(Some(whole));
        }
        if let Some(tasks) = settings.get_mut("tasks").and_then(Value::as_array_mut) {
            tasks.retain(|task| task["task_key"].as_str().is_some_and(|key| failed.contains(&key)));
        }
        let part = settings.to_string();
        JobSettings::Retrieved((part.len() <= MAX_SETTINGS_BYTES).then_some(part))
    }
}

/// Returns the text without terminal colours.
fn plain(text: &str) -> String {
    console::strip_ansi_codes(text).into_owned()
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_SCANNED_BYTES)]
}

fn tail(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_SCANNED_BYTES))..]
}

/// Returns the last characters, at most `most`.
fn end(text: &str, most: usize) -> String {
    match text.char_indices().nth_back(most) {
        Some((start, character)) => format!("…{}", &text[start + character.len_utf8()..]),
        None => text.to_owned(),
    }
}
