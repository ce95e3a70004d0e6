//! The tools that record something.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::{Said, Wrong},
    server::{Call, Server},
};
use crate::{
    domain::{
        entry::{Receipt, Request},
        ids::IncidentId,
        problems::Problem,
        steps::{CloseIncident, Step},
        words::{EpisodeEvent, Interface},
    },
    lake::ledger::{Recorded, Submission},
    ops::{self, Consequences, artefacts::Artefacts},
    render::{alert, plain, receipt, recurring},
};

/// That something was recorded, and where.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepRecorded {
    #[serde(flatten)]
    receipt: Receipt,
    /// It had been recorded before; nothing was added.
    known: bool,
    /// The alerts that people are told of because of it, as they are shown.
    alerts: Vec<String>,
    /// The recurring issues that it is part of, as they are shown.
    recurring: Vec<String>,
    warnings: Vec<String>,
}

/// The same, with everything that is shown after an analysis.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReportRecorded {
    #[serde(flatten)]
    receipt: Receipt,
    /// It had been recorded before; nothing was added.
    known: bool,
    /// Null when it could not be made; then a warning says why.
    artefacts: Option<Artefacts>,
    warnings: Vec<String>,
}

/// What came of a submission.
struct Taken {
    recorded: Recorded,
    /// `None` when it could not be worked out; then a warning says why.
    consequences: Option<Arc<Consequences>>,
    warnings: Vec<String>,
}

pub async fn report(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let bytes = serde_json::to_vec(&arguments).map_err(crate::lake::LakeError::from)?;
    let submission = ops::prepare(&bytes, server.redactor(), server.lake().context.now(), Interface::Mcp);
    let taken = take(server, submission.map_err(Wrong::Input)?).await?;
    shown(server, taken).await
}

pub async fn open(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let given = Given::of(server, arguments);
    let now = server.lake().context.now();
    let submission = ops::prepare_opening_json(given.arguments, server.redactor(), now, Interface::Mcp);
    told(take(server, checked(submission, given.problem)?).await?)
}

pub async fn step<S: Step + JsonSchema + Into<Request>>(
    server: &Server,
    arguments: Value,
    _: &Call,
) -> Result<Said, Wrong> {
    told(taken::<S>(server, arguments).await?)
}

pub async fn close(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let taken = taken::<CloseIncident>(server, arguments).await?;
    shown(server, taken).await
}

async fn taken<S: Step + JsonSchema + Into<Request>>(server: &Server, arguments: Value) -> Result<Taken, Wrong> {
    let given = Given::of(server, arguments);
    let now = server.lake().context.now();
    let submission = ops::prepare_step_json::<S>(given.arguments, server.redactor(), now, Interface::Mcp);
    let submission = checked(submission, given.problem)?;
    ops::existing_lake(server.lake()).await?;
    let mut taken = take(server, submission).await?;
    if !given.is_dated {
        // The time was ours, and another one now.
        taken.warnings.retain(|warning| *warning != receipt::other_content(&taken.recorded.receipt.request_id));
    }
    Ok(taken)
}

/// The arguments of a step.
struct Given {
    /// With the actor that the server knows.
    arguments: Value,
    /// They say when it happened.
    is_dated: bool,
    /// A request without an id could not be made again.
    problem: Option<Problem>,
}

impl Given {
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
                "make one up that names this step of this incident for ever, such as daily-etl-2026-02-11-rca; the same \
                 again is recorded once"
                    .into(),
            ),
        });
        Self { is_dated: is_given(&arguments, "at"), arguments, problem }
    }
}

/// A submission, or everything that is wrong with it.
fn checked(submission: Result<Submission, Vec<Problem>>, missing: Option<Problem>) -> Result<Submission, Wrong> {
    match (submission, missing) {
        (Ok(submission), None) => Ok(submission),
        (submission, missing) => {
            Err(Wrong::Input(missing.into_iter().chain(submission.err().unwrap_or_default()).collect()))
        }
    }
}

/// Records, and works out what comes of it.
async fn take(server: &Server, submission: Submission) -> Result<Taken, Wrong> {
    let (ledger, follower) = server.writer().await?;
    let recorded = ledger.submit(submission).await?;
    let mut warnings = Vec::new();
    if !recorded.same_content {
        warnings.push(receipt::other_content(&recorded.receipt.request_id));
    }
    let consequences = match follower.of(recorded.receipt.seq).await {
        Ok(consequences) => {
            let own = consequences.unrouted().filter(|event| Some(event.incident_id) == recorded.receipt.incident_id);
            warnings.extend(own.map(|event| {
                let key = plain::line(&event.dedup_key).into_owned();
                format!("nobody is told of {key}: no route of the configuration leads to anybody")
            }));
            Some(consequences)
        }
        Err(error) => {
            let error = plain::line(&server.redactor().text(&error.to_string())).into_owned();
            warnings.push(format!("recorded, but the tables are not up to date yet: {error}"));
            None
        }
    };
    Ok(Taken { recorded, consequences, warnings })
}

fn told(taken: Taken) -> Result<Said, Wrong> {
    let Taken { recorded: Recorded { receipt, known, .. }, consequences, warnings } = taken;
    let (mut alerts, mut issues) = (Vec::new(), Vec::new());
    if let (Some(consequences), Some(id)) = (&consequences, receipt.incident_id) {
        alerts.extend(consequences.told().filter(|event| event.incident_id == id).map(alert::alert));
        let about = |id: IncidentId| {
            let events = consequences.recurring.iter();
            events.filter(move |event| event.incident_id == id && event.event != EpisodeEvent::Closed)
        };
        issues.extend(about(id).map(recurring::event));
    }
    let first = first_line(&receipt, known, &warnings);
    let texts: Vec<String> = [first].into_iter().chain(alerts.clone()).chain(issues.clone()).collect();
    Said::new(texts, &StepRecorded { receipt, known, alerts, recurring: issues, warnings })
}

async fn shown(server: &Server, taken: Taken) -> Result<Said, Wrong> {
    let Taken { recorded: Recorded { receipt, known, .. }, consequences, mut warnings } = taken;
    // What came of a request that was known came when it was new.
    let fresh = consequences.as_ref().filter(|_| !known).map(|it| it.recurring.as_slice());
    let artefacts = match receipt.incident_id {
        Some(id) => match Artefacts::of(server.lake(), id, Some(receipt.seq), fresh).await {
            Ok(artefacts) => Some(artefacts),
            Err(error) => {
                let error = plain::line(&server.redactor().text(&error.to_string())).into_owned();
                warnings.push(format!("recorded, but it cannot be shown now: {error}; get_incident shows it later"));
                None
            }
        },
        None => None,
    };
    let texts: Vec<String> = [first_line(&receipt, known, &warnings)]
        .into_iter()
        .chain(artefacts.iter().flat_map(Artefacts::texts))
        .collect();
    Said::new(texts, &ReportRecorded { receipt, known, artefacts, warnings })
}

fn first_line(receipt: &Receipt, known: bool, warnings: &[String]) -> String {
    let mut text = receipt::recorded(receipt, known);
    for warning in warnings {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    text
}
