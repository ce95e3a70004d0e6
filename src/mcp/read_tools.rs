//! The tools that only read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    server::{Server, ToolCall},
    tool_output::{ToolError, ToolOutput},
};
use crate::{
    analytics::engine::Engine,
    domain::{
        chain::Head,
        ids::IncidentId,
        problems::{Problem, parse_question},
        week::{Week, WeekNumber, Zone},
    },
    lake::{
        LakeError,
        verify::{self, HeadSource},
    },
    ops::{
        self,
        artifacts::Artifacts,
        digest::DigestStatus,
        named_query::{self, RunQuery},
        reading::{self, GetRunbook, ListEscalations, ListRecurring, SearchIncidents},
        similar::FindSimilarIncidents,
    },
    render::{
        self, alert,
        digest::markdown::markdown,
        listing, plain,
        recurring::{self as recurring_text, EpisodeLine},
    },
    tables::rows::{EscalationEvent, RecurrenceEvent},
};

/// Width of text tables, in columns.
const WIDTH: usize = 160;
/// Maximum number of rows in the output of a query.
const MAX_ROWS: usize = 500;

/// Get the artifacts of an incident: timeline, runbook, evaluated triggers, last audit log entry, recurring issues.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetIncident {
    /// The incident, such as INC-1042
    incident_id: IncidentId,
}

/// Get the digest of a week: the last recorded one, or a preview if none is recorded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetDigest {
    /// ISO week such as 2026-W08; the last complete week unless given
    week: Option<WeekNumber>,
    /// IANA time zone of the week; the configured one unless given
    tz: Option<Zone>,
}

/// Verify the audit log and the tables computed from it: hashes, links, columns, rows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// SEQ:HASH from an earlier digest or verification: detects rows that were removed or rewritten at the end of the log
    head: Option<String>,
}

/// The incidents that match, the newest report first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IncidentList {
    incidents: Vec<listing::IncidentLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct EscalationList {
    escalations: Vec<EscalationEvent>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct RecurringIssues {
    recurring: Vec<RecurrenceEvent>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct RunbookOutput {
    incident_id: IncidentId,
    /// The RUNBOOK ENTRY of every step; show it unaltered.
    text: String,
    /// The runbook as JSON, as `runbook show --json` prints it.
    #[schemars(with = "Map<String, Value>")]
    runbook: render::runbook::Runbook,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct DigestOutput {
    week: String,
    /// Its row in the audit log; null for a preview.
    seq: Option<u64>,
    markdown: String,
    /// As `schema digest` describes it.
    #[schemars(with = "Map<String, Value>")]
    digest: crate::domain::digest::Digest,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct VerificationReport {
    intact: bool,
    rows: u64,
    /// The last row of the log as SEQ:HASH. Keep it to prove later that no row up to it was changed.
    head: String,
    problems: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct QueryRows {
    name: String,
    /// Number of rows of the result.
    found: usize,
    /// The first rows of the result.
    rows: Vec<Map<String, Value>>,
}

fn parse<Q: DeserializeOwned + JsonSchema>(arguments: &Value) -> Result<Q, ToolError> {
    parse_question(arguments).map_err(ToolError::Input)
}

pub async fn incident(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let GetIncident { incident_id } = parse(&arguments)?;
    let artefacts = Artifacts::of(server.lake(), incident_id, None, None).await?;
    ToolOutput::new(artefacts.texts(), &artefacts)
}

pub async fn search(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: SearchIncidents = parse(&arguments)?;
    let incidents = reading::incidents(server.lake(), &ask).await?;
    let text = listing::incidents(&incidents, server.lake().context.now(), WIDTH);
    ToolOutput::new([text], &IncidentList { incidents })
}

pub async fn similar(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: FindSimilarIncidents = parse(&arguments)?;
    let found = ops::similar::find(server.lake(), &ask, server.redactor()).await?;
    ToolOutput::new([render::similar::text(&found, WIDTH)], &found)
}

pub async fn runbook(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: GetRunbook = parse(&arguments)?;
    let runbook = reading::runbook(server.lake(), &ask).await?;
    let text = render::runbook::text(&runbook);
    ToolOutput::new([text.clone()], &RunbookOutput { incident_id: ask.incident_id, text, runbook })
}

pub async fn escalations(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: ListEscalations = parse(&arguments)?;
    let escalations = reading::alerts(server.lake(), &ask).await?;
    let events = reading::events_of_alerts(server.lake(), &ask).await?;
    ToolOutput::new([alert::alerts_list(&events, WIDTH)], &EscalationList { escalations })
}

pub async fn recurring(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: ListRecurring = parse(&arguments)?;
    let recurring = reading::recurring(server.lake(), &ask).await?;
    let lines: Vec<EpisodeLine> = recurring.iter().map(EpisodeLine::of).collect();
    ToolOutput::new([recurring_text::episodes(&lines, WIDTH)], &RecurringIssues { recurring })
}

pub async fn digest(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: GetDigest = parse(&arguments)?;
    let lake = server.lake();
    ops::existing_lake(lake).await?;
    let zone = ask.tz.map_or(lake.context.policy.digest.time_zone, |zone| zone.0);
    let now = lake.context.now();
    let week = ask.week.map_or_else(|| Week::last_complete(now, zone), |number| Week::new(number, zone));
    if week.start() > now {
        return Err(ToolError::with(
            "/week",
            format!("{week} begins at {}", week.start()),
            "give a week that has begun",
        ));
    }
    let result = ops::digest::read(lake, Engine::Local(lake), week).await?;
    let seq = match result.status {
        DigestStatus::Recorded(seq) | DigestStatus::Known(seq) => Some(seq),
        DigestStatus::Preview => None,
    };
    let text = markdown(&result.digest);
    let shown = DigestOutput { week: week.to_string(), seq, markdown: text.clone(), digest: result.digest };
    ToolOutput::new([text], &shown)
}

pub async fn verify(server: &Server, arguments: Value, call: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: VerifyAudit = parse(&arguments)?;
    let head = ask.head.map(|head| head.parse::<Head>()).transpose();
    let head =
        head.map_err(|message| ToolError::Input(vec![Problem { pointer: "/head".into(), message, hint: None }]))?;
    let remembered: Vec<_> = head.into_iter().map(|head| (head, HeadSource::Given)).collect();
    let found = verify::verify(server.lake(), remembered, |done, total| call.advance(done, total)).await?;
    let verified = VerificationReport {
        intact: found.intact(),
        rows: found.rows,
        head: found.head.to_string(),
        problems: found.tampering.iter().map(|tampering| plain::line(&tampering.to_string()).into_owned()).collect(),
    };
    let text = if verified.intact {
        format!(
            "intact: {} rows, every hash, link and column checked, and every projected table matches\nhead: {}",
            verified.rows, verified.head
        )
    } else {
        let problems: Vec<String> = verified.problems.iter().map(|problem| format!("- {problem}")).collect();
        format!("NOT INTACT: {} findings in {} rows\n{}", problems.len(), verified.rows, problems.join("\n"))
    };
    ToolOutput::new([text], &verified)
}

pub async fn query(server: &Server, arguments: Value, _: &ToolCall) -> Result<ToolOutput, ToolError> {
    let ask: RunQuery = parse(&arguments)?;
    let lake = server.lake();
    let asked = named_query::bind(lake, &ask).await?.map_err(|problems| {
        let problem = |message| Problem { pointer: "/parameters".into(), message, hint: None };
        ToolError::Input(problems.into_iter().map(problem).collect())
    })?;
    let (_, batch) = named_query::run(Engine::Local(lake), &asked).await?;
    let found = batch.num_rows();
    let first = batch.slice(0, found.min(MAX_ROWS));
    let unfit = |error: arrow::error::ArrowError| LakeError::Corrupt(error.to_string());
    let text = named_query::json_lines(&[first]).map_err(unfit)?;
    let rows: Result<Vec<Map<String, Value>>, _> = text.lines().map(serde_json::from_str).collect();
    let rows = rows.map_err(LakeError::from)?;
    let text = match found {
        0 => format!("{}: no rows", ask.name),
        found if found > MAX_ROWS => {
            format!("{}: the first {MAX_ROWS} of {found} rows, one per line\n{text}", ask.name)
        }
        found => format!("{}: {found} rows, one per line\n{text}", ask.name),
    };
    ToolOutput::new([text], &QueryRows { name: ask.name, found, rows })
}
