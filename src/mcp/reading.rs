//! The tools that answer questions. They record nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    answer::{Said, Wrong},
    server::{Call, Server},
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
        verify::{self, Witness},
    },
    ops::{
        self,
        artefacts::Artefacts,
        digest::Standing,
        question::{self, RunQuery},
        reading::{self, GetRunbook, ListEscalations, ListRecurring, SearchIncidents},
        similar::SimilarIncidents,
    },
    render::{
        self, alert,
        digest::markdown::markdown,
        listing, plain,
        recurring::{self as recurring_text, EpisodeLine},
    },
    tables::rows::{EscalationEvent, RecurrenceEvent},
};

/// Columns of a table of text.
const WIDTH: usize = 160;
/// Rows that a query answers with, at most: an agent reads no more.
const MAX_ROWS: usize = 500;

/// Get everything about an incident that is shown: timeline, runbook, what every trigger said, its last audit log entry, the
/// recurring issues that it is part of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetIncident {
    /// The incident, such as INC-1042
    incident_id: IncidentId,
}

/// Get the digest of a week: the last one that was recorded, or a preview where there is none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetDigest {
    /// ISO week such as 2026-W08; the last one that is over unless given
    week: Option<WeekNumber>,
    /// IANA name of the time zone that the week is in; the configuration's unless given
    tz: Option<Zone>,
}

/// Verify the whole audit log and everything computed from it: hashes, links, columns, tables.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// SEQ:HASH of an earlier day, as a digest or an earlier verification says it: shows a log whose end was cut off or rewritten
    head: Option<String>,
}

/// What was found, the newest report first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Incidents {
    incidents: Vec<listing::IncidentLine>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Escalations {
    escalations: Vec<EscalationEvent>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Recurring {
    recurring: Vec<RecurrenceEvent>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct RunbookShown {
    incident_id: IncidentId,
    /// The RUNBOOK ENTRY of every step, to be shown as it is.
    text: String,
    /// The same in parts, as `runbook show --json` prints it.
    #[schemars(with = "Map<String, Value>")]
    runbook: render::runbook::Runbook,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct DigestShown {
    week: String,
    /// Its row in the audit log; null when it is a preview.
    seq: Option<u64>,
    markdown: String,
    /// As `schema digest` describes it.
    #[schemars(with = "Map<String, Value>")]
    digest: crate::domain::digest::Digest,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Verified {
    intact: bool,
    rows: u64,
    /// The end of the log: whoever keeps it can prove later that nothing before it was changed.
    head: String,
    problems: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Rows {
    name: String,
    /// How many rows there are.
    found: usize,
    /// The first of them.
    rows: Vec<Map<String, Value>>,
}

fn asked<Q: DeserializeOwned + JsonSchema>(arguments: &Value) -> Result<Q, Wrong> {
    parse_question(arguments).map_err(Wrong::Input)
}

pub async fn incident(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let GetIncident { incident_id } = asked(&arguments)?;
    let artefacts = Artefacts::of(server.lake(), incident_id, None, None).await?;
    Said::new(artefacts.texts(), &artefacts)
}

pub async fn search(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: SearchIncidents = asked(&arguments)?;
    let incidents = reading::incidents(server.lake(), &ask).await?;
    let text = listing::incidents(&incidents, server.lake().context.now(), WIDTH);
    Said::new([text], &Incidents { incidents })
}

pub async fn similar(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: SimilarIncidents = asked(&arguments)?;
    let found = ops::similar::find(server.lake(), &ask, server.redactor()).await?;
    Said::new([render::similar::text(&found, WIDTH)], &found)
}

pub async fn runbook(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: GetRunbook = asked(&arguments)?;
    let runbook = reading::runbook(server.lake(), &ask).await?;
    let text = render::runbook::text(&runbook);
    Said::new([text.clone()], &RunbookShown { incident_id: ask.incident_id, text, runbook })
}

pub async fn escalations(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: ListEscalations = asked(&arguments)?;
    let escalations = reading::alerts(server.lake(), &ask).await?;
    let events = reading::events_of_alerts(server.lake(), &ask).await?;
    Said::new([alert::alerts_list(&events, WIDTH)], &Escalations { escalations })
}

pub async fn recurring(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: ListRecurring = asked(&arguments)?;
    let recurring = reading::recurring(server.lake(), &ask).await?;
    let lines: Vec<EpisodeLine> = recurring.iter().map(EpisodeLine::of).collect();
    Said::new([recurring_text::episodes(&lines, WIDTH)], &Recurring { recurring })
}

pub async fn digest(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: GetDigest = asked(&arguments)?;
    let lake = server.lake();
    ops::existing_lake(lake).await?;
    let zone = ask.tz.map_or(lake.context.policy.digest.time_zone, |zone| zone.0);
    let now = lake.context.now();
    let week = ask.week.map_or_else(|| Week::last_complete(now, zone), |number| Week::new(number, zone));
    if week.start() > now {
        return Err(Wrong::with("/week", format!("{week} begins at {}", week.start()), "give a week that has begun"));
    }
    let made = ops::digest::read(lake, Engine::Local(lake), week).await?;
    let seq = match made.standing {
        Standing::Recorded(seq) | Standing::Known(seq) => Some(seq),
        Standing::Preview => None,
    };
    let text = markdown(&made.digest);
    let shown = DigestShown { week: week.to_string(), seq, markdown: text.clone(), digest: made.digest };
    Said::new([text], &shown)
}

pub async fn verify(server: &Server, arguments: Value, call: &Call) -> Result<Said, Wrong> {
    let ask: VerifyAudit = asked(&arguments)?;
    let head = ask.head.map(|head| head.parse::<Head>()).transpose();
    let head = head.map_err(|message| Wrong::Input(vec![Problem { pointer: "/head".into(), message, hint: None }]))?;
    let remembered: Vec<_> = head.into_iter().map(|head| (head, Witness::Given)).collect();
    let found = verify::verify(server.lake(), remembered, |done, total| call.advance(done, total)).await?;
    let verified = Verified {
        intact: found.intact(),
        rows: found.rows,
        head: found.head.to_string(),
        problems: found.tampering.iter().map(|tampering| plain::line(&tampering.to_string()).into_owned()).collect(),
    };
    let text = if verified.intact {
        format!(
            "intact: {} rows, every hash, link and column checked, and every projected table says the same\nhead: {}",
            verified.rows, verified.head
        )
    } else {
        let problems: Vec<String> = verified.problems.iter().map(|problem| format!("- {problem}")).collect();
        format!("NOT INTACT: {} findings in {} rows\n{}", problems.len(), verified.rows, problems.join("\n"))
    };
    Said::new([text], &verified)
}

pub async fn query(server: &Server, arguments: Value, _: &Call) -> Result<Said, Wrong> {
    let ask: RunQuery = asked(&arguments)?;
    let lake = server.lake();
    let asked = question::ask(lake, &ask).await?.map_err(|problems| {
        let problem = |message| Problem { pointer: "/parameters".into(), message, hint: None };
        Wrong::Input(problems.into_iter().map(problem).collect())
    })?;
    let (_, batch) = question::answer(Engine::Local(lake), &asked).await?;
    let found = batch.num_rows();
    let first = batch.slice(0, found.min(MAX_ROWS));
    let unfit = |error: arrow::error::ArrowError| LakeError::Corrupt(error.to_string());
    let text = question::json_lines(&[first]).map_err(unfit)?;
    let rows: Result<Vec<Map<String, Value>>, _> = text.lines().map(serde_json::from_str).collect();
    let rows = rows.map_err(LakeError::from)?;
    let told = match found {
        0 => format!("{}: no rows", ask.name),
        found if found > MAX_ROWS => {
            format!("{}: the first {MAX_ROWS} of {found} rows, one per line\n{text}", ask.name)
        }
        found => format!("{}: {found} rows, one per line\n{text}", ask.name),
    };
    Said::new([told], &Rows { name: ask.name, found, rows })
}
