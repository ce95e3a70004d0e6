//! What the binary can do. The only async orchestration: gather → decide → append → project.

pub mod demo;

use std::sync::Arc;

use futures::{Stream, StreamExt};

use crate::{
    analytics::{self, QueryError},
    domain::{
        decide,
        entry::{Entry, Request, canonical},
        ids::{Id, IncidentId},
        problems::{Problem, parse_report},
        redact::Redactor,
        report::Report,
        time::Timestamp,
        words::Interface,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Committer, Ledger, Recorded, Submission},
        maintenance, projector,
    },
    tables::{catalog::AUDIT_LOG, project::Projections, rows::AuditRow},
};

/// Requests under way at once.
const IN_FLIGHT: usize = 256;

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
    #[error("there is no incident {0} in this lake")]
    NoIncident(IncidentId),
    #[error("there is no audit log row {0} in this lake")]
    NoAuditRow(u64),
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
    let unrepresentable = |reason: String| vec![Problem { pointer: String::new(), message: reason, hint: None }];
    let request_id = request_id(&report).map_err(unrepresentable)?;
    Ok(Submission {
        request_id,
        request: Request::RecordReport(Box::new(report)),
        redactions,
        interface,
        size: bytes.len(),
    })
}

/// The report's own id, or one made from its content.
fn request_id(report: &Report) -> Result<Id, String> {
    match &report.report_id {
        Some(id) => Ok(id.clone()),
        None => {
            let content = canonical(report).map_err(|error| error.to_string())?;
            decide::minted_report_id(&content).ok_or_else(|| "no id could be made for it".into())
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

/// What comes after the acknowledgement: projection, and upkeep where it is due.
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
    let log = existing(lake, table.log().await)?;
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
    let log = existing(lake, table.log().await)?;
    ledger::rows_between(&table, &log, seq.saturating_sub(1), seq).await?.pop().ok_or(OpsError::NoAuditRow(seq))
}

/// The newest `limit` rows of the audit log, newest first.
///
/// # Errors
/// The lake's.
pub async fn newest_audit_rows(lake: &Lake, limit: u64) -> Result<Vec<AuditRow>, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = existing(lake, table.log().await)?;
    let head = ledger::head(&table, &log).await?.chain.seq;
    let mut rows = ledger::rows_between(&table, &log, head.saturating_sub(limit), head).await?;
    rows.reverse();
    Ok(rows)
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
    existing(lake, lake.table(AUDIT_LOG).log().await)?;
    let (_, batches) = analytics::query(lake, sql).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let part: Vec<T> = serde_arrow::from_record_batch(batch)
            .map_err(|error| LakeError::Corrupt(format!("a row of the query has an unexpected shape: {error}")))?;
        rows.extend(part);
    }
    Ok(rows)
}
