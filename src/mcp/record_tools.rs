//! The tools that record requests.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    server::{Server, ToolCall},
    tool_output::{ToolError, ToolOutput},
};
use crate::{
    domain::{
        entry::{Receipt, Request},
        ids::IncidentId,
        interface::Interface,
        problems::Problem,
        recurrence::event::EpisodeEvent,
        steps::{CloseIncident, Step},
    },
    lake::ledger::{Submission, SubmissionResult},
    ops::{self, Consequences, artifacts::Artifacts},
    render::{alert, plain, receipt, recurring},
};

/// The output of a tool that records a step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepRecorded {
    #[serde(flatten)]
    receipt: Receipt,
    /// Whether the same request was recorded before. Then nothing was added.
    known: bool,
    /// The texts of the alerts that fired because of it.
    alerts: Vec<String>,
    /// The texts of the recurring issues that it belongs to.
    recurring: Vec<String>,
    warnings: Vec<String>,
}

/// The output of a tool that records a report or closes an incident.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReportRecorded {
    #[serde(flatten)]
    receipt: Receipt,
    /// Whether the same request was recorded before. Then nothing was added.
    known: bool,
    /// Null when they could not be computed. A warning has the reason.
    artefacts: Option<Artifacts>,
    warnings: Vec<String>,
}

/// A recorded request and its consequences.
struct RecordedRequest {
    recorded: SubmissionResult,
    /// `None` when they could not be computed. A warning has the reason.
    consequences: Option<Arc<Consequences>>,
    warnings: Vec<String>,
}

pub async fn report(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let bytes = serde_json::to_vec(&arguments).map_err(crate::lake::LakeError::from)?;
    let submission = ops::prepare(&bytes, server.redactor(), server.lake().context.now(), Interface::Mcp);
    let recorded = record_submission(server, submission.map_err(ToolError::Input)?).await?;
    report_output(server, recorded).await
}

pub async fn open(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let given = StepArguments::of(server, arguments);
    let now = server.lake().context.now();
    let submission = ops::prepare_opening_json(given.arguments, server.redactor(), now, Interface::Mcp);
    step_output(record_submission(server, checked(submission, given.problem)?).await?)
}

pub async fn step<S: Step + JsonSchema + Into<Request>>(
    server: &Server,
    arguments: Value,
    _: &ToolCall,
) -> Result<ToolOutput, ToolError> {
    step_output(record_step::<S>(server, arguments).await?)
}

pub async fn close(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let recorded = record_step::<CloseIncident>(server, arguments).await?;
    report_output(server, recorded).await
}

async fn record_step<S: Step + JsonSchema + Into<Request>>(
    server: &Server,
    arguments: Value,
) -> Result<RecordedRequest, ToolError> {
    let given = StepArguments::of(server, arguments);
    let now = server.lake().context.now();
    let submission = ops::prepare_step_json::<S>(given.arguments, server.redactor(), now, Interface::Mcp);
    let submission = checked(submission, given.problem)?;
    ops::existing_lake(server.lake()).await?;
    let mut request = record_submission(server, submission).await?;
    if !given.is_dated {
        // A repeated step without a time has another default time: that is no other content.
        request.warnings.retain(|warning| *warning != receipt::other_content(&request.recorded.receipt.request_id));
    }
    Ok(request)
}

/// The arguments of a step.
struct StepArguments {
    /// The arguments, with the default actor of the server.
    arguments: Value,
    /// Whether the arguments have a time.
    is_dated: bool,
    /// The problem of a missing request id. Without an id a step cannot be repeated safely.
    problem: Option<Problem>,
}

impl StepArguments {
    fn of(server: &Server, mut arguments: Value) -> Self {
        let is_given = |arguments: &Value, name: &str| arguments.get(name).is_some_and(|value| !value.is_null());
        if let Some(actor) = server.actor().filter(|_| !is_given(&arguments, "actor"))
            && let Some(object) = arguments.as_object_mut()
        {
            object.insert("actor".into(), actor.as_str().into());
        }
        let problem = (!is_given(&arguments, "request_id")).then(|| Problem {
            pointer: "/request_id".into(),
            message: "is missing".into(),
            hint: Some(
                "give a unique id for this step of this incident, such as daily-etl-2026-02-11-rca; a repeated id is \
                 recorded once"
                    .into(),
            ),
        });
        Self { is_dated: is_given(&arguments, "at"), arguments, problem }
    }
}

/// Returns the submission, or all its problems.
fn checked(submission: Result<Submission, Vec<Problem>>, missing: Option<Problem>) -> Result<Submission, ToolError> {
    match (submission, missing) {
        (Ok(submission), None) => Ok(submission),
        (submission, missing) => {
            Err(ToolError::Input(missing.into_iter().chain(submission.err().unwrap_or_default()).collect()))
        }
    }
}

/// Records a submission, and computes its consequences.
async fn record_submission(server: &Server, submission: Submission) -> Result<RecordedRequest, ToolError> {
    let (ledger, tracker) = server.writer().await?;
    let recorded = ledger.submit(submission).await?;
    let mut warnings = Vec::new();
    if !recorded.same_content {
        warnings.push(receipt::other_content(&recorded.receipt.request_id));
    }
    let consequences = match tracker.of(recorded.receipt.seq).await {
        Ok(consequences) => {
            let own = consequences.unrouted().filter(|event| Some(event.incident_id) == recorded.receipt.incident_id);
            warnings.extend(own.map(|event| {
                let key = plain::line(&event.dedup_key).into_owned();
                format!("no notification for {key}: no route of the configuration matches")
            }));
            Some(consequences)
        }
        Err(error) => {
            let error = plain::line(&server.redactor().text(&error.to_string())).into_owned();
            warnings.push(format!("recorded, but the tables are not up to date yet: {error}"));
            None
        }
    };
    Ok(RecordedRequest { recorded, consequences, warnings })
}

fn step_output(request: RecordedRequest) -> Result<ToolOutput, ToolError> {
    let RecordedRequest { recorded: SubmissionResult { receipt, known, .. }, consequences, warnings } = request;
    let (mut alerts, mut issues) = (Vec::new(), Vec::new());
    if let (Some(consequences), Some(id)) = (&consequences, receipt.incident_id) {
        alerts.extend(consequences.fired().filter(|event| event.incident_id == id).map(alert::alert));
        let about = |id: IncidentId| {
            let events = consequences.recurring.iter();
            events.filter(move |event| event.incident_id == id && event.event != EpisodeEvent::Closed)
        };
        issues.extend(about(id).map(recurring::event));
    }
    let first = first_line(&receipt, known, &warnings);
    let texts: Vec<String> = [first].into_iter().chain(alerts.clone()).chain(issues.clone()).collect();
    ToolOutput::new(texts, &StepRecorded { receipt, known, alerts, recurring: issues, warnings })
}

async fn report_output(server: &Server, request: RecordedRequest) -> Result<ToolOutput, ToolError> {
    let RecordedRequest { recorded: SubmissionResult { receipt, known, .. }, consequences, mut warnings } = request;
    // A repeated request has no new recurring issues.
    let fresh = consequences.as_ref().filter(|_| !known).map(|it| it.recurring.as_slice());
    let artifacts = match receipt.incident_id {
        Some(id) => match Artifacts::of(server.lake(), id, Some(receipt.seq), fresh).await {
            Ok(artifacts) => Some(artifacts),
            Err(error) => {
                let error = plain::line(&server.redactor().text(&error.to_string())).into_owned();
                warnings.push(format!(
                    "recorded, but the artifacts cannot be computed now: {error}; get_incident shows them later"
                ));
                None
            }
        },
        None => None,
    };
    let texts: Vec<String> = [first_line(&receipt, known, &warnings)]
        .into_iter()
        .chain(artifacts.iter().flat_map(Artifacts::texts))
        .collect();
    ToolOutput::new(texts, &ReportRecorded { receipt, known, artefacts: artifacts, warnings })
}

fn first_line(receipt: &Receipt, known: bool, warnings: &[String]) -> String {
    let mut text = receipt::recorded(receipt, known);
    for warning in warnings {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    text
}
