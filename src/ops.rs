//! What the binary can do. The only async orchestration: gather → decide → append → project.
//!
//! - here: reports and steps are prepared, recorded, and what came of them is gathered
//! - [`recurrence`] looks for issues that keep coming back, [`causes`] says what counts as one
//! - [`escalations`] evaluates triggers when nobody handed in anything new
//! - [`comply`] checks the jobs of a workspace, [`capture`] reads what runbooks change, [`verify`] watches the runs after a fix
//! - [`digest`] tells what a week was like
//! - [`deliver`] tells people what is due
//! - [`demo`] makes a lake of invented history
//! - [`ingest`] takes documents from an inbox
//! - [`login`] checks the login to a workspace
//! - [`sweep`] looks for failed runs in a workspace
//! - [`reading`] and [`question`] answer what is asked about the lake, [`similar`] looks for incidents of the same kind
//! - [`artefacts`] gathers everything that is shown after an analysis
//! - [`bundle`] writes the folder that the Databricks CLI deploys
//! - [`tables`] shows the lake in a catalog, [`warehouse`] makes sure that a warehouse reads this lake

pub mod artefacts;
pub mod bundle;
pub mod capture;
pub mod causes;
pub mod comply;
pub mod deliver;
pub mod demo;
pub mod digest;
pub mod escalations;
pub mod ingest;
pub mod login;
pub mod question;
pub mod reading;
pub mod recurrence;
pub mod similar;
pub mod sweep;
pub mod tables;
pub mod verify;
pub mod warehouse;

use std::sync::Arc;

use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    analytics::{self, QueryError},
    databricks::error::ApiError,
    domain::{
        copies::CopyComparison,
        decide,
        entry::{Entry, Request, canonical},
        ids::{AlertRef, Id, IncidentId},
        incident::Refusal,
        problems::{Problem, parse_report, parse_step},
        redact::Redactor,
        steps::{OpenIncident, Step},
        time::Timestamp,
        words::{AlertEvent, Interface},
    },
    inbox::InboxError,
    lake::{
        Lake, LakeError,
        ledger::{self, Committer, Ledger, Recorded, Submission},
        maintenance, projector,
        scan::{AuditFilter, Order, Scan},
    },
    render::runbook::NoVersion,
    tables::{
        catalog::AUDIT_LOG,
        project::Projections,
        rows::{AuditRow, EscalationEvent, RecurrenceEvent},
    },
};

/// Requests under way at once.
const IN_FLIGHT: usize = 256;
/// Ledger rows held in memory at a time.
const CHUNK: usize = 2_000;

fn differences(found: &[CopyComparison]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What can go wrong with an operation.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// An error of a commit, shared by all requests in it.
    #[error(transparent)]
    Commit(#[from] Arc<LakeError>),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Workspace(#[from] ApiError),
    #[error(transparent)]
    Inbox(#[from] InboxError),
    #[error("there is no incident {0} in this lake")]
    NoIncident(IncidentId),
    #[error("there is no audit log row {0} in this lake")]
    NoAuditRow(u64),
    #[error("there is no alert {0} in this lake")]
    NoAlert(AlertRef),
    #[error("there is no cause {0:?} in this lake")]
    NoCause(String),
    #[error("there is no recurring issue {0:?} in this lake")]
    NoEpisode(String),
    #[error(transparent)]
    NoVersion(#[from] NoVersion),
    #[error("there is no query or view {0:?}")]
    NoQuery(String),
    #[error("the workspace does not say its id")]
    NoWorkspaceId,
    #[error("the warehouse's tables are not this lake's: row {0} of the audit log is not the same there")]
    OtherLake(u64),
    #[error("the tables in {schema} are not copies of this lake: {}", differences(.tables))]
    DifferentTables { schema: String, tables: Vec<CopyComparison> },
    /// A request about causes that cannot be right, and what to do.
    #[error("{0}")]
    Refused(Refusal),
}

/// A report, parsed and redacted, ready to be recorded.
///
/// # Errors
/// Every problem of the document at once.
pub fn prepare(
    bytes: &[u8],
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    let (report, redactions) = parse_report(bytes, redactor, now)?;
    let request_id = request_id(report.report_id.as_ref(), &report).map_err(|why| vec![unrepresentable(why)])?;
    Ok(Submission {
        request_id,
        request: Request::RecordReport(Box::new(report)),
        redactions,
        interface,
        size: bytes.len(),
    })
}

/// A step, checked and redacted, ready to be recorded. It happened at `now` unless it says when.
///
/// # Errors
/// Every problem of the step at once.
pub fn prepare_step<S: Step + JsonSchema + Into<Request>>(
    step: S,
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    let value = serde_json::to_value(&step).map_err(|error| vec![unrepresentable(error.to_string())])?;
    prepare_step_json::<S>(value, redactor, now, interface)
}

/// [`prepare_step`] of a step in JSON.
///
/// # Errors
/// As [`prepare_step`], its shape included.
pub fn prepare_step_json<S: Step + JsonSchema + Into<Request>>(
    mut value: Value,
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    if let Some(step) = value.as_object_mut()
        && !S::CORRECTS
        && step.get("at").is_none_or(Value::is_null)
    {
        step.insert("at".into(), now.to_string().into());
    }
    let size = value.to_string().len();
    let (step, redactions) = parse_step::<S>(value, redactor, now)?;
    let given = step.request_id().cloned();
    let request = step.into();
    let request_id = request_id(given.as_ref(), &request).map_err(|why| vec![unrepresentable(why)])?;
    Ok(Submission { request_id, request, redactions, interface, size })
}

/// The request that opens an incident, checked and redacted like the report that would say the same.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_opening(
    step: OpenIncident,
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    let report = step.report(now).map_err(|why| vec![unrepresentable(why)])?;
    let bytes = serde_json::to_vec(&report).map_err(|error| vec![unrepresentable(error.to_string())])?;
    prepare(&bytes, redactor, now, interface).map(opening)
}

/// [`prepare_opening`] of a request in JSON.
///
/// # Errors
/// As [`prepare_opening`], its shape included.
pub fn prepare_opening_json(
    value: Value,
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    // The report that it becomes is redacted, and tells what was.
    parse_step::<OpenIncident>(value.clone(), redactor, now)?;
    let unfit = |error: serde_json::Error| vec![unrepresentable(redactor.text(&error.to_string()).into_owned())];
    let step = serde_json::from_value(value).map_err(unfit)?;
    prepare_opening(step, redactor, now, interface)
}

/// An incident that is logged step by step after what the report says.
fn opening(submission: Submission) -> Submission {
    match submission.request {
        Request::RecordReport(report) => Submission { request: Request::OpenIncident(report), ..submission },
        _ => submission,
    }
}

fn unrepresentable(reason: String) -> Problem {
    Problem { pointer: String::new(), message: reason, hint: None }
}

/// The request's own id, or one made from its content.
fn request_id(given: Option<&Id>, content: &impl Serialize) -> Result<Id, String> {
    match given {
        Some(id) => Ok(id.clone()),
        None => {
            let content = canonical(content).map_err(|error| error.to_string())?;
            decide::minted_id(&content).ok_or_else(|| "no id could be made for it".into())
        }
    }
}

/// Opens the ledger, making the lake first if there is none.
///
/// # Errors
/// [`LakeError`].
pub async fn open_ledger(lake: &Lake) -> Result<(Ledger, Committer), LakeError> {
    match Ledger::open(lake).await {
        Err(LakeError::NoLake(_)) => {
            lake.init().await?;
            Ledger::open(lake).await
        }
        opened => opened,
    }
}

/// Records requests, sharing commits; each answer comes as soon as its commit stands, in the order of the requests.
///
/// After an error the requests answered before stay recorded, and all may be sent again.
pub fn record(ledger: &Ledger, submissions: Vec<Submission>) -> impl Stream<Item = Result<Recorded, OpsError>> + use<> {
    let ledger = ledger.clone();
    futures::stream::iter(submissions)
        .map(move |submission| {
            let ledger = ledger.clone();
            async move { ledger.submit(submission).await.map_err(OpsError::Commit) }
        })
        .buffered(IN_FLIGHT)
}

/// What came of requests beyond their own rows.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Every evaluation and change of an alert.
    pub alerts: Vec<EscalationEvent>,
    /// Episodes that were opened, changed or closed.
    pub recurring: Vec<RecurrenceEvent>,
}

impl Consequences {
    /// Alerts that people are to be told of.
    pub fn told(&self) -> impl Iterator<Item = &EscalationEvent> {
        self.alerts.iter().filter(|event| event.event == AlertEvent::Fired)
    }

    /// Those of them that no route leads to anybody.
    pub fn unrouted(&self) -> impl Iterator<Item = &EscalationEvent> {
        self.told().filter(|event| event.reaches_nobody())
    }
}

/// What comes after the acknowledgement: projection, the recurrence of the causes that the rows `new` are about, upkeep
/// where it is due.
///
/// # Errors
/// The lake's or the query's; nothing acknowledged depends on it.
pub async fn consequences(lake: &Lake, ledger: &Ledger, new: &[u64]) -> Result<Consequences, OpsError> {
    settle(lake).await?;
    let mut recorded = projections_of(lake, new).await?;
    let mut causes: Vec<String> = recorded.root_causes.iter().filter_map(|row| row.cause_fingerprint.clone()).collect();
    causes.sort_unstable();
    causes.dedup();
    if !causes.is_empty() {
        let found = recorded.root_causes.iter().map(|row| row.found_at).min();
        let followed = recurrence::follow(lake, ledger, &causes, found).await?;
        recorded.escalation_events.extend(followed.alerts);
        recorded.recurrence_events.extend(followed.recurring);
    }
    Ok(Consequences { alerts: recorded.escalation_events, recurring: recorded.recurrence_events })
}

/// What rows of the ledger say of alerts, episodes and causes.
async fn projections_of(lake: &Lake, seqs: &[u64]) -> Result<Projections, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest().await?;
    let mut wanted = Projections::default();
    let mut seqs = seqs.to_vec();
    seqs.sort_unstable();
    seqs.dedup();
    // What lies far apart is not read in one go: all that lies between would be read too.
    let near = seqs.chunk_by(|one, next| next - one <= CHUNK as u64);
    for chunk in near.flat_map(|near| near.chunks(CHUNK)) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
        let mut projections = Projections::default();
        for (seq, text) in ledger::entries(&table, &log, first - 1, *last).await? {
            if chunk.binary_search(&seq).is_ok() {
                let entry = Entry::parse(&text).map_err(|error| LakeError::Corrupt(format!("entry {seq}: {error}")))?;
                projections.add(&entry).map_err(LakeError::from)?;
            }
        }
        wanted.escalation_events.append(&mut projections.escalation_events);
        wanted.recurrence_events.append(&mut projections.recurrence_events);
        wanted.root_causes.append(&mut projections.root_causes);
    }
    Ok(wanted)
}

/// Projection, and upkeep where it is due.
///
/// # Errors
/// [`LakeError`]; nothing acknowledged depends on it.
pub async fn settle(lake: &Lake) -> Result<(), LakeError> {
    projector::project(lake, |_, _| {}).await?;
    maintenance::tend_all(lake).await
}

/// Everything recorded about an incident: its audit rows and what they project to.
///
/// # Errors
/// [`OpsError::NoIncident`], or the lake's.
pub async fn incident(lake: &Lake, id: IncidentId) -> Result<(Vec<AuditRow>, Projections), OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = existing(lake, table.newest().await)?;
    let rows = ledger::rows_where(&table, &log, "incident_id", &id.to_string()).await?;
    if rows.is_empty() {
        return Err(OpsError::NoIncident(id));
    }
    let mut projections = Projections::default();
    for row in &rows {
        let entry =
            Entry::parse(&row.entry).map_err(|error| LakeError::Corrupt(format!("entry {}: {error}", row.seq)))?;
        projections.add(&entry).map_err(LakeError::from)?;
    }
    Ok((rows, projections))
}

/// One row of the audit log.
///
/// # Errors
/// [`OpsError::NoAuditRow`], or the lake's.
pub async fn audit_row(lake: &Lake, seq: u64) -> Result<AuditRow, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = existing(lake, table.newest().await)?;
    ledger::rows_between(&table, &log, seq.saturating_sub(1), seq).await?.pop().ok_or(OpsError::NoAuditRow(seq))
}

/// The rows of the audit log that match, a few at a time.
///
/// # Errors
/// The lake's.
pub async fn audit_rows(lake: &Lake, filter: AuditFilter, order: Order) -> Result<Scan, OpsError> {
    Ok(existing(lake, Scan::begin(lake, filter, order).await)?)
}

/// There is a lake: only what opens an incident makes one.
///
/// # Errors
/// [`LakeError::NoLake`].
pub async fn existing_lake(lake: &Lake) -> Result<(), LakeError> {
    existing(lake, lake.table(AUDIT_LOG).newest().await).map(drop)
}

/// A missing audit log means that there is no lake.
fn existing<T>(lake: &Lake, outcome: Result<T, LakeError>) -> Result<T, LakeError> {
    match outcome {
        Err(LakeError::NoLake(_)) => Err(LakeError::NoLake(lake.display())),
        outcome => outcome,
    }
}

/// Rows of a view or table as `T`.
///
/// # Errors
/// The query's, or that a row does not fit.
pub async fn rows<T: serde::de::DeserializeOwned>(lake: &Lake, sql: &str) -> Result<Vec<T>, OpsError> {
    existing(lake, lake.table(AUDIT_LOG).newest().await)?;
    let (_, batches) = analytics::query(lake, sql).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let part: Vec<T> = serde_arrow::from_record_batch(batch)
            .map_err(|error| LakeError::Corrupt(format!("a row of the query has an unexpected shape: {error}")))?;
        rows.extend(part);
    }
    Ok(rows)
}
