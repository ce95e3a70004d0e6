//! The operations of the program. The only async orchestration: gather → decide → append → project.
//!
//! - here: prepares and records reports and steps, and gathers their consequences
//! - [`recurrence`] finds recurring issues, [`causes`] merges, splits and lists root causes
//! - [`escalations`] evaluates escalation triggers without a new report
//! - [`compliance`] checks the jobs of a workspace
//! - [`capture`] captures the settings that runbooks change, [`fix_verification`] watches the runs after a fix
//! - [`digest`] makes the digest of a week
//! - [`notify`] sends due notifications
//! - [`demo`] records invented history in a lake
//! - [`ingest`] records documents from an inbox
//! - [`login`] checks the login to a workspace
//! - [`sweep`] finds failed runs in a workspace
//! - [`reading`] reads incidents, alerts and runbooks, [`named_query`] runs named queries, [`similar`] finds similar incidents
//! - [`artifacts`] gathers everything that is shown after an analysis
//! - [`bundle`] writes the folder that the Databricks CLI deploys
//! - [`tables`] registers or copies the lake's tables in a catalog, [`warehouse`] checks that a warehouse reads this lake

pub mod artifacts;
pub mod bundle;
pub mod capture;
pub mod causes;
pub mod compliance;
pub mod demo;
pub mod digest;
pub mod escalations;
pub mod fix_verification;
pub mod ingest;
pub mod login;
pub mod named_query;
pub mod notify;
pub mod reading;
pub mod recurrence;
pub mod similar;
pub mod sweep;
pub mod tables;
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
        escalation::status::AlertEvent,
        ids::{AlertRef, Id, IncidentId},
        incident::Refusal,
        interface::Interface,
        problems::{Problem, parse_report, parse_step},
        redact::Redactor,
        steps::{OpenIncident, Step},
        time::Timestamp,
    },
    inbox::InboxError,
    lake::{
        Lake, LakeError,
        ledger::{self, Committer, Ledger, Submission, SubmissionResult},
        maintenance, projector,
        scan::{AuditFilter, AuditScan, ScanOrder},
    },
    render::runbook::UnknownVersion,
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

/// An error of an operation.
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
    UnknownVersion(#[from] UnknownVersion),
    #[error("there is no query or view {0:?}")]
    NoQuery(String),
    #[error("the workspace does not return its id")]
    NoWorkspaceId,
    #[error("the tables of the warehouse belong to another lake: row {0} of the audit log differs there")]
    OtherLake(u64),
    #[error("the tables in {schema} are not copies of this lake: {}", differences(.tables))]
    DifferentTables { schema: String, tables: Vec<CopyComparison> },
    /// A request that cannot be carried out, with a hint.
    #[error("{0}")]
    Refused(Refusal),
}

/// Parses and redacts a report. Returns it ready to be recorded.
///
/// # Errors
/// All problems of the document.
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

/// Checks and redacts a step. Returns it ready to be recorded. A step without a time gets `now`.
///
/// # Errors
/// All problems of the step.
pub fn prepare_step<S: Step + JsonSchema + Into<Request>>(
    step: S,
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    let value = serde_json::to_value(&step).map_err(|error| vec![unrepresentable(error.to_string())])?;
    prepare_step_json::<S>(value, redactor, now, interface)
}

/// As [`prepare_step`], from JSON.
///
/// # Errors
/// As [`prepare_step`], and problems of the JSON's shape.
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

/// Prepares the request that opens an incident. It is checked and redacted like a report with the same content.
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

/// As [`prepare_opening`], from JSON.
///
/// # Errors
/// As [`prepare_opening`], and problems of the JSON's shape.
pub fn prepare_opening_json(
    value: Value,
    redactor: &Redactor,
    now: Timestamp,
    interface: Interface,
) -> Result<Submission, Vec<Problem>> {
    // Only checks the shape: `prepare_opening` redacts the report and counts the redactions.
    parse_step::<OpenIncident>(value.clone(), redactor, now)?;
    let unfit = |error: serde_json::Error| vec![unrepresentable(redactor.text(&error.to_string()).into_owned())];
    let step = serde_json::from_value(value).map_err(unfit)?;
    prepare_opening(step, redactor, now, interface)
}

/// Turns a recorded report into the request that opens an incident to be logged step by step.
fn opening(submission: Submission) -> Submission {
    match submission.request {
        Request::RecordReport(report) => Submission { request: Request::OpenIncident(report), ..submission },
        _ => submission,
    }
}

fn unrepresentable(reason: String) -> Problem {
    Problem { pointer: String::new(), message: reason, hint: None }
}

/// Returns the request's own id, or one derived from its content.
fn request_id(given: Option<&Id>, content: &impl Serialize) -> Result<Id, String> {
    match given {
        Some(id) => Ok(id.clone()),
        None => {
            let content = canonical(content).map_err(|error| error.to_string())?;
            decide::minted_id(&content).ok_or_else(|| "no id could be derived from its content".into())
        }
    }
}

/// Opens the ledger. Creates the lake first if it does not exist.
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

/// Records requests, several in one commit. Returns the results in the order of the requests, each after its commit.
///
/// After an error the earlier requests stay recorded, and all requests may be sent again.
pub fn record(
    ledger: &Ledger,
    submissions: Vec<Submission>,
) -> impl Stream<Item = Result<SubmissionResult, OpsError>> + use<> {
    let ledger = ledger.clone();
    futures::stream::iter(submissions)
        .map(move |submission| {
            let ledger = ledger.clone();
            async move { ledger.submit(submission).await.map_err(OpsError::Commit) }
        })
        .buffered(IN_FLIGHT)
}

/// The events that follow from recorded requests.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Every evaluation and change of an alert.
    pub alerts: Vec<EscalationEvent>,
    /// Episodes that were opened, changed or closed.
    pub recurring: Vec<RecurrenceEvent>,
}

impl Consequences {
    /// Returns the alerts that fired.
    pub fn fired(&self) -> impl Iterator<Item = &EscalationEvent> {
        self.alerts.iter().filter(|event| event.event == AlertEvent::Fired)
    }

    /// Returns the alerts that fired and have no recipient.
    pub fn unrouted(&self) -> impl Iterator<Item = &EscalationEvent> {
        self.fired().filter(|event| event.has_no_recipient())
    }
}

/// Runs what follows an acknowledgement: projection, recurrence of the causes in the rows `new`, and maintenance
/// if it is due.
///
/// # Errors
/// The lake's or the query's. Acknowledged requests stay recorded.
pub async fn consequences(lake: &Lake, ledger: &Ledger, new: &[u64]) -> Result<Consequences, OpsError> {
    settle(lake).await?;
    let mut recorded = projections_of(lake, new).await?;
    let mut causes: Vec<String> = recorded.root_causes.iter().filter_map(|row| row.cause_fingerprint.clone()).collect();
    causes.sort_unstable();
    causes.dedup();
    if !causes.is_empty() {
        let found = recorded.root_causes.iter().map(|row| row.found_at).min();
        let followed = recurrence::scan_causes(lake, ledger, &causes, found).await?;
        recorded.escalation_events.extend(followed.alerts);
        recorded.recurrence_events.extend(followed.recurring);
    }
    Ok(Consequences { alerts: recorded.escalation_events, recurring: recorded.recurrence_events })
}

/// Reads rows of the ledger and projects their alerts, recurrence episodes and causes.
async fn projections_of(lake: &Lake, seqs: &[u64]) -> Result<Projections, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest_log().await?;
    let mut wanted = Projections::default();
    let mut seqs = seqs.to_vec();
    seqs.sort_unstable();
    seqs.dedup();
    // Distant rows are read separately: one read would include all rows between them.
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

/// Projects the ledger and runs maintenance that is due.
///
/// # Errors
/// [`LakeError`]. Acknowledged requests stay recorded.
pub async fn settle(lake: &Lake) -> Result<(), LakeError> {
    projector::project(lake, |_, _| {}).await?;
    maintenance::maintain_due_tables(lake).await
}

/// Reads an incident: its audit rows and their projections.
///
/// # Errors
/// [`OpsError::NoIncident`], or the lake's.
pub async fn incident(lake: &Lake, id: IncidentId) -> Result<(Vec<AuditRow>, Projections), OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest_log().await?;
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

/// Reads one row of the audit log.
///
/// # Errors
/// [`OpsError::NoAuditRow`], or the lake's.
pub async fn audit_row(lake: &Lake, seq: u64) -> Result<AuditRow, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest_log().await?;
    ledger::rows_between(&table, &log, seq.saturating_sub(1), seq).await?.pop().ok_or(OpsError::NoAuditRow(seq))
}

/// Scans the rows of the audit log that match, in small batches.
///
/// # Errors
/// The lake's.
pub async fn audit_rows(lake: &Lake, filter: AuditFilter, order: ScanOrder) -> Result<AuditScan, OpsError> {
    Ok(AuditScan::begin(lake, filter, order).await?)
}

/// Checks that the lake exists. Only operations that open an incident create one.
///
/// # Errors
/// [`LakeError::NoLake`].
pub async fn existing_lake(lake: &Lake) -> Result<(), LakeError> {
    lake.table(AUDIT_LOG).newest_log().await.map(drop)
}

/// Runs a query and returns its rows as `T`.
///
/// # Errors
/// The query's; [`LakeError::Corrupt`] if a row does not have the shape of `T`.
pub async fn rows<T: serde::de::DeserializeOwned>(lake: &Lake, sql: &str) -> Result<Vec<T>, OpsError> {
    existing_lake(lake).await?;
    let (_, batches) = analytics::query(lake, sql).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let part: Vec<T> = serde_arrow::from_record_batch(batch)
            .map_err(|error| LakeError::Corrupt(format!("a row of the query has an unexpected shape: {error}")))?;
        rows.extend(part);
    }
    Ok(rows)
}
