//! The tools: names, hints, schemas, and what each calls.

use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::model::{JsonObject, Tool as Described, ToolAnnotations};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{
    answer::{Said, Wrong},
    reading::{self, GetDigest, GetIncident, VerifyAudit},
    recording::{self, ReportRecorded, StepRecorded},
    server::{Call, Server},
};
use crate::{
    domain::{
        problems::report_schema,
        similar::Similar,
        steps::{
            AcknowledgeEscalation, CloseIncident, LogEvent, OpenIncident, RecordRemediation, RecordRootCause,
            RecordVerification,
        },
    },
    ops::{
        artefacts::Artefacts,
        question::RunQuery,
        reading::{GetRunbook, ListEscalations, ListRecurring, SearchIncidents},
        similar::SimilarIncidents,
    },
};

/// A tool.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    title: &'static str,
    /// What the schema does not say of itself.
    more: &'static str,
    does: Does,
    input: fn() -> Value,
    output: fn() -> Value,
    pub call: for<'a> fn(&'a Server, Value, &'a Call) -> BoxFuture<'a, Result<Said, Wrong>>,
}

/// What a call changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Nothing is recorded.
    Reads,
    /// Something is added to the audit log, once however often it is called. Nothing is ever changed or removed.
    RecordsReport,
    /// The same, of a request that carries an id and an actor.
    RecordsStep,
}

macro_rules! tool {
    ($name:literal, $title:literal, $does:ident, $Input:ty => $Output:ty, $call:expr, $more:literal) => {
        Tool {
            name: $name,
            title: $title,
            more: $more,
            does: Does::$does,
            input: schema::<$Input>,
            output: schema::<$Output>,
            call: |server, arguments, call| Box::pin($call(server, arguments, call)),
        }
    };
}

static TOOLS: [Tool; 17] = [
    Tool {
        name: "record_report",
        title: "Record an analysis",
        more: "Call it once, when the analysis is done and before you answer, with everything you found. Returns timeline, \
               runbook, escalation alerts, audit log entry and recurring issues: show the texts unaltered. Give a report_id \
               to be able to send it again; it is recorded once.",
        does: Does::RecordsReport,
        input: || report_schema().clone(),
        output: schema::<ReportRecorded>,
        call: |server, arguments, call| Box::pin(recording::report(server, arguments, call)),
    },
    tool!("open_incident", "Open an incident", RecordsStep, OpenIncident => StepRecorded, recording::open,
          "For an incident that you log while you work on it. Returns its id."),
    tool!("log_event", "Log an event", RecordsStep, LogEvent => StepRecorded, recording::step::<LogEvent>,
          "Call it after each discovery, each tool call that fetched evidence, each conclusion."),
    tool!("record_root_cause", "Record the root cause", RecordsStep, RecordRootCause => StepRecorded,
          recording::step::<RecordRootCause>,
          "Say in missing_evidence what could not be read: the confidence is then LOW, and somebody is told."),
    tool!("record_remediation", "Record a remediation step", RecordsStep, RecordRemediation => StepRecorded,
          recording::step::<RecordRemediation>,
          "It becomes part of the runbook. Give captured_settings as they were read before the change: they make the \
           rollback."),
    tool!("record_verification", "Record a verification", RecordsStep, RecordVerification => StepRecorded,
          recording::step::<RecordVerification>, ""),
    tool!("close_incident", "Close an incident", RecordsStep, CloseIncident => ReportRecorded, recording::close,
          "Returns timeline, runbook, escalation alerts, audit log entry and recurring issues: show the texts unaltered."),
    tool!("get_incident", "Get an incident", Reads, GetIncident => Artefacts, reading::incident, ""),
    tool!("search_incidents", "Search incidents", Reads, SearchIncidents => reading::Incidents, reading::search, ""),
    tool!("similar_incidents", "Find similar incidents", Reads, SimilarIncidents => Similar, reading::similar,
          "Give incident_id or cause. Ask it before you propose a fix."),
    tool!("get_runbook", "Get a runbook", Reads, GetRunbook => reading::RunbookShown, reading::runbook,
          "Show the text unaltered: it is quoted for the shell."),
    tool!("list_escalations", "List escalations", Reads, ListEscalations => reading::Escalations, reading::escalations, ""),
    tool!("acknowledge_escalation", "Acknowledge an escalation", RecordsStep, AcknowledgeEscalation => StepRecorded,
          recording::step::<AcknowledgeEscalation>, ""),
    tool!("list_recurring", "List recurring issues", Reads, ListRecurring => reading::Recurring, reading::recurring, ""),
    tool!("get_digest", "Get a weekly digest", Reads, GetDigest => reading::DigestShown, reading::digest, ""),
    tool!("verify_audit", "Verify the audit log", Reads, VerifyAudit => reading::Verified, reading::verify, ""),
    tool!("run_query", "Run a named query", Reads, RunQuery => reading::Rows, reading::query,
          "Such as cause_ranking, weekly_counts, repeat_offenders, durations, open_incidents_ageing, escalation_outcomes, or \
           the views incidents, timeline, checks."),
];

pub fn all() -> &'static [Tool] {
    &TOOLS
}

impl Tool {
    /// As clients are told. With `has_actor` the server knows who acts when a call does not say.
    pub fn described(&self, has_actor: bool) -> Described {
        let mut input = (self.input)();
        without_formats(&mut input);
        let mut input = object(input);
        let own = input.remove("description");
        let own = own.as_ref().and_then(Value::as_str).unwrap_or_default();
        let description = [own, self.more].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        if self.does == Does::RecordsStep {
            requires(&mut input, "request_id", true);
            requires(&mut input, "actor", !has_actor);
        }
        let mut output = (self.output)();
        without_formats(&mut output);
        without_descriptions(&mut output);
        let reads = self.does == Does::Reads;
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(reads)
            .destructive(false)
            .idempotent(true)
            .open_world(false);
        Described::new(self.name, description, Arc::new(input))
            .with_title(self.title)
            .with_raw_output_schema(Arc::new(object(output)))
            .with_annotations(annotations)
    }
}

fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

fn object(schema: Value) -> JsonObject {
    let mut object = match schema {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    for key in ["$schema", "$id", "title"] {
        object.remove(key);
    }
    object
}

/// Whether a property must be given.
fn requires(schema: &mut JsonObject, name: &str, required: bool) {
    let Some(names) = schema.entry("required").or_insert_with(|| Value::Array(Vec::new())).as_array_mut() else {
        return;
    };
    names.retain(|known| known != name);
    if required {
        names.push(name.into());
        // What must be there is not null.
        if let Some(property) = schema.get_mut("properties").and_then(|properties| properties.get_mut(name))
            && let Some(types) = property.get_mut("type")
            && types.is_array()
        {
            *types = "string".into();
        }
    }
}

/// Names of Rust's numbers mean nothing to others, and some warn of them.
fn without_formats(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let is_number = |format: &Value| {
                format.as_str().is_some_and(|it| it.starts_with("int") || it.starts_with("uint") || it == "double")
            };
            if object.get("format").is_some_and(is_number) {
                object.remove("format");
            }
            object.values_mut().for_each(without_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(without_formats),
        _ => {}
    }
}

/// What an answer means is told by its text; every word of a schema costs the agent's attention.
fn without_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("description").is_some_and(Value::is_string) {
                object.remove("description");
            }
            object.values_mut().for_each(without_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_descriptions),
        _ => {}
    }
}
