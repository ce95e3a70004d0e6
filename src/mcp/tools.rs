//! The tools: names, annotations, schemas and handlers.

use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{
    read_tools::{self, GetDigest, GetIncident, VerifyAudit},
    record_tools::{self, ReportRecorded, StepRecorded},
    server::{Server, ToolCall},
    tool_output::{ToolError, ToolOutput},
};
use crate::{
    domain::{
        problems::report_schema,
        similar::SimilarIncidents,
        steps::{
            AcknowledgeEscalation, CloseIncident, LogEvent, OpenIncident, RecordRemediation, RecordRootCause,
            RecordVerification,
        },
    },
    ops::{
        artifacts::Artifacts,
        named_query::RunQuery,
        reading::{GetRunbook, ListEscalations, ListRecurring, SearchIncidents},
        similar::FindSimilarIncidents,
    },
};

/// The definition of a tool.
#[derive(Debug)]
pub struct ToolDefinition {
    pub name: &'static str,
    title: &'static str,
    /// Text after the description of the input schema.
    more: &'static str,
    effect: ToolEffect,
    input: fn() -> Value,
    output: fn() -> Value,
    pub call: for<'a> fn(&'a Server, Value, &'a ToolCall) -> BoxFuture<'a, Result<ToolOutput, ToolError>>,
}

/// The effect of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToolEffect {
    /// Nothing is recorded.
    Reads,
    /// Records a report. A repeated call records nothing more. Nothing is changed or removed.
    RecordsReport,
    /// Records a step, whose request has an id and an actor. A repeated call records nothing more.
    RecordsStep,
}

macro_rules! tool {
    ($name:literal, $title:literal, $effect:ident, $Input:ty => $Output:ty, $call:expr, $more:literal) => {
        ToolDefinition {
            name: $name,
            title: $title,
            more: $more,
            effect: ToolEffect::$effect,
            input: schema::<$Input>,
            output: schema::<$Output>,
            call: |server, arguments, call| Box::pin($call(server, arguments, call)),
        }
    };
}

static TOOLS: [ToolDefinition; 17] = [
    ToolDefinition {
        name: "record_report",
        title: "Record an analysis",
        more: "Call it once, when the analysis is done and before you answer, with everything you found. Returns timeline, \
               runbook, escalation alerts, audit log entry and recurring issues: show the texts unaltered. Give a report_id \
               to be able to repeat the call; the report is recorded once.",
        effect: ToolEffect::RecordsReport,
        input: || report_schema().clone(),
        output: schema::<ReportRecorded>,
        call: |server, arguments, call| Box::pin(record_tools::report(server, arguments, call)),
    },
    tool!("open_incident", "Open an incident", RecordsStep, OpenIncident => StepRecorded, record_tools::open,
          "For an incident that you log while you work on it. Returns its id."),
    tool!("log_event", "Log an event", RecordsStep, LogEvent => StepRecorded, record_tools::step::<LogEvent>,
          "Call it after each discovery, each tool call that fetched evidence, each conclusion."),
    tool!("record_root_cause", "Record the root cause", RecordsStep, RecordRootCause => StepRecorded,
          record_tools::step::<RecordRootCause>,
          "List in missing_evidence what could not be read: the confidence is then LOW, and an alert is sent."),
    tool!("record_remediation", "Record a remediation step", RecordsStep, RecordRemediation => StepRecorded,
          record_tools::step::<RecordRemediation>,
          "It becomes part of the runbook. Give captured_settings as they were read before the change: the rollback \
           restores them."),
    tool!("record_verification", "Record a verification", RecordsStep, RecordVerification => StepRecorded,
          record_tools::step::<RecordVerification>, ""),
    tool!("close_incident", "Close an incident", RecordsStep, CloseIncident => ReportRecorded, record_tools::close,
          "Returns timeline, runbook, escalation alerts, audit log entry and recurring issues: show the texts unaltered."),
    tool!("get_incident", "Get an incident", Reads, GetIncident => Artifacts, read_tools::incident, ""),
    tool!("search_incidents", "Search incidents", Reads, SearchIncidents => read_tools::IncidentList, read_tools::search, ""),
    tool!("similar_incidents", "Find similar incidents", Reads, FindSimilarIncidents => SimilarIncidents, read_tools::similar,
          "Give incident_id or cause. Call it before you propose a fix."),
    tool!("get_runbook", "Get a runbook", Reads, GetRunbook => read_tools::RunbookOutput, read_tools::runbook,
          "Show the text unaltered: it is quoted for the shell."),
    tool!("list_escalations", "List escalations", Reads, ListEscalations => read_tools::EscalationList, read_tools::escalations, ""),
    tool!("acknowledge_escalation", "Acknowledge an escalation", RecordsStep, AcknowledgeEscalation => StepRecorded,
          record_tools::step::<AcknowledgeEscalation>, ""),
    tool!("list_recurring", "List recurring issues", Reads, ListRecurring => read_tools::RecurringIssues, read_tools::recurring, ""),
    tool!("get_digest", "Get a weekly digest", Reads, GetDigest => read_tools::DigestOutput, read_tools::digest, ""),
    tool!("verify_audit", "Verify the audit log", Reads, VerifyAudit => read_tools::VerificationReport, read_tools::verify, ""),
    tool!("run_query", "Run a named query", Reads, RunQuery => read_tools::QueryRows, read_tools::query,
          "Such as cause_ranking, weekly_counts, repeat_offenders, durations, open_incidents_ageing, escalation_outcomes, or \
           the views incidents, timeline, checks."),
];

pub fn all() -> &'static [ToolDefinition] {
    &TOOLS
}

impl ToolDefinition {
    /// Returns the tool as clients see it. With `has_actor` the server has a default actor, so `actor` is optional.
    pub fn descriptor(&self, has_actor: bool) -> Tool {
        let mut input = (self.input)();
        without_formats(&mut input);
        let mut input = object(input);
        let own = input.remove("description");
        let own = own.as_ref().and_then(Value::as_str).unwrap_or_default();
        let description = [own, self.more].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        if self.effect == ToolEffect::RecordsStep {
            requires(&mut input, "request_id", true);
            requires(&mut input, "actor", !has_actor);
        }
        let mut output = (self.output)();
        without_formats(&mut output);
        without_descriptions(&mut output);
        let reads = self.effect == ToolEffect::Reads;
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(reads)
            .destructive(false)
            .idempotent(true)
            .open_world(false);
        Tool::new(self.name, description, Arc::new(input))
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

/// Makes a property required or optional.
fn requires(schema: &mut JsonObject, name: &str, required: bool) {
    let Some(names) = schema.entry("required").or_insert_with(|| Value::Array(Vec::new())).as_array_mut() else {
        return;
    };
    names.retain(|known| known != name);
    if required {
        names.push(name.into());
        // A required property cannot be null.
        if let Some(property) = schema.get_mut("properties").and_then(|properties| properties.get_mut(name))
            && let Some(types) = property.get_mut("type")
            && types.is_array()
        {
            *types = "string".into();
        }
    }
}

/// Removes the formats of Rust's number types. Clients do not know them, and some warn about them.
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

/// Removes the descriptions of an output schema: the text content explains the output, and descriptions cost context.
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
