//! Rows of the audit log as OCSF 1.8.0 events, for security tools.
//!
//! One event per row. Its class follows from the request:
//!
//! | request | class |
//! | --- | --- |
//! | `record_report` with checks, of type validation-gap, security-finding or compliance | Compliance Finding 2003 |
//! | `record_compliance` | Compliance Finding 2003 |
//! | any other `record_report`, and every request about one incident | Incident Finding 2005 |
//! | `record_remediation` that applied something | Remediation Activity 7001 |
//! | any other request, including kinds that this version does not know | API Activity 6003 |
//!
//! - `time` is when the ledger recorded the request; the finding has the times of the incident.
//! - A PARTIAL check is incomplete data: status 99 Other, never 2 Warning. The same holds for a compliance finding with
//!   PARTIAL and without FAIL checks.
//! - The severity is that of the worst failed check, else 0 Unknown. Classes without a finding have 1 Informational.
//! - The schema requires an assignee for every incident, which the log does not have: it is the actor of the request.
//! - Values without an attribute in the class are in `unmapped`, with the hashes. `seq` and `entry_hash` identify the row.

use serde_json::{Map, Value, json};

use crate::{
    domain::{
        check::{CheckStatus, Severity},
        incident::classification::{Confidence, IncidentType},
        time::Timestamp,
    },
    tables::rows::AuditRow,
};

/// The version of the schema.
pub const VERSION: &str = "1.8.0";

#[derive(Clone, Copy, PartialEq, Eq)]
enum EventClass {
    ComplianceFinding,
    IncidentFinding,
    RemediationActivity,
    ApiActivity,
}

impl EventClass {
    /// The ids and names of category and class.
    fn names(self) -> (u32, &'static str, u32, &'static str) {
        match self {
            Self::ComplianceFinding => (2, "Findings", 2003, "Compliance Finding"),
            Self::IncidentFinding => (2, "Findings", 2005, "Incident Finding"),
            Self::RemediationActivity => (7, "Remediation", 7001, "Remediation Activity"),
            Self::ApiActivity => (6, "Application Activity", 6003, "API Activity"),
        }
    }
}

/// A value of one of the schema's enumerations, and its caption.
type CodedValue = (u32, &'static str);

/// The event of a row. If the entry cannot be read, attributes that only the entry has are missing.
pub fn event(row: &AuditRow) -> Value {
    let entry: Value = serde_json::from_str(&row.entry).unwrap_or(Value::Null);
    let body = &entry["request"]["body"];
    let class = class(row, body);
    let (category_uid, category_name, class_uid, class_name) = class.names();
    let (activity_id, activity_name) = activity(row, class);
    let (severity_id, severity) = severity(body, class);
    let title = body.pointer("/incident/title").and_then(Value::as_str);
    let slug = row.incident_slug.as_ref().map(|slug| slug.as_str());

    let mut event = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            event.insert(name.into(), value);
        }
    };
    put("activity_id", activity_id.into());
    put("activity_name", activity_name.into());
    put("category_uid", category_uid.into());
    put("category_name", category_name.into());
    put("class_uid", class_uid.into());
    put("class_name", class_name.into());
    put("type_uid", (class_uid * 100 + activity_id).into());
    put("type_name", format!("{class_name}: {activity_name}").into());
    put("severity_id", severity_id.into());
    put("severity", severity.into());
    put("time", millis(row.recorded_at.micros()));
    put("timezone_offset", 0.into());
    put("message", text(title.or(slug).unwrap_or(&row.request_kind)));
    put("metadata", metadata(row));
    match class {
        EventClass::ComplianceFinding => {
            put("finding_info", finding_info(row, body));
            put("compliance", compliance(row, body));
            put("resources", resources(row, body));
            let (id, caption) = if row.status == "COMPLETE" { (4, "Resolved") } else { finding_status(row) };
            put("status_id", id.into());
            put("status", caption.into());
            confidence(row, &mut put);
        }
        EventClass::IncidentFinding => {
            put("finding_info_list", json!([finding_info(row, body)]));
            put("desc", body.pointer("/rca/summary").and_then(Value::as_str).map_or(Value::Null, text));
            put("assignee", user(row));
            let (id, caption) = if row.status == "COMPLETE" { (4, "Resolved") } else { finding_status(row) };
            put("status_id", id.into());
            put("status", caption.into());
            confidence(row, &mut put);
        }
        EventClass::RemediationActivity => {
            let (id, caption) = result(body);
            put("command_uid", text(row.request_id.as_str()));
            put("status_id", id.into());
            put("status", caption.into());
            let title = steps(body).find_map(|step| step["title"].as_str());
            put("remediation", title.map_or(Value::Null, |title| json!({ "desc": text(title) })));
        }
        EventClass::ApiActivity => {
            put("actor", json!({ "user": user(row) }));
            put("api", json!({ "operation": text(&row.request_kind), "service": { "name": "ops-runbook" } }));
            put("src_endpoint", json!({ "name": row.interface.as_str(), "svc_name": "ops-runbook" }));
            put("status_id", 1.into());
            put("status", "Success".into());
            put("resources", resources(row, body));
        }
    }
    put("unmapped", unmapped(row));
    Value::Object(event)
}

fn class(row: &AuditRow, body: &Value) -> EventClass {
    let has_checks = body["checks"].as_array().is_some_and(|checks| !checks.is_empty());
    let about_checks = row.incident_type.is_some_and(|kind| {
        matches!(kind, IncidentType::Compliance | IncidentType::SecurityFinding | IncidentType::ValidationGap)
    });
    match row.request_kind.as_str() {
        "record_report" if has_checks && about_checks => EventClass::ComplianceFinding,
        "record_compliance" => EventClass::ComplianceFinding,
        "record_remediation" if row.remediation_applied.is_some() => EventClass::RemediationActivity,
        "record_report"
        | "open_incident"
        | "log_event"
        | "acknowledge_incident"
        | "record_root_cause"
        | "record_remediation"
        | "record_verification"
        | "escalate_incident"
        | "close_incident"
        | "reopen_incident"
        | "correct_event"
            if row.incident_id.is_some() =>
        {
            EventClass::IncidentFinding
        }
        _ => EventClass::ApiActivity,
    }
}

fn activity(row: &AuditRow, class: EventClass) -> CodedValue {
    match (class, row.request_kind.as_str()) {
        (EventClass::ComplianceFinding | EventClass::IncidentFinding, kind) => match kind {
            "record_report" | "open_incident" => (1, "Create"),
            "close_incident" => (3, "Close"),
            _ => (2, "Update"),
        },
        (EventClass::RemediationActivity, _) => (99, "Apply"),
        (EventClass::ApiActivity, kind) => match kind {
            "evaluate_escalations" | "evaluate_recurrence" | "record_digest" | "record_job_runs" | "reject_input" => {
                (1, "Create")
            }
            "acknowledge_escalation"
            | "resolve_escalation"
            | "suppress_escalation"
            | "alias_causes"
            | "adopt_prevention" => (3, "Update"),
            _ => (99, "Record"),
        },
    }
}

fn finding_status(row: &AuditRow) -> CodedValue {
    if row.request_kind == "open_incident" { (1, "New") } else { (2, "In Progress") }
}

fn severity(body: &Value, class: EventClass) -> CodedValue {
    if matches!(class, EventClass::RemediationActivity | EventClass::ApiActivity) {
        return (1, "Informational");
    }
    let failed = checks(body).filter(|check| word::<CheckStatus>(&check["status"]) == Some(CheckStatus::Fail));
    failed.filter_map(|check| word::<Severity>(&check["severity"])).max().map_or((0, "Unknown"), severity_code)
}

fn severity_code(severity: Severity) -> CodedValue {
    match severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn confidence(row: &AuditRow, put: &mut impl FnMut(&str, Value)) {
    let Some(confidence) = row.finding_confidence else { return };
    let (id, caption) = match confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    };
    put("confidence_id", id.into());
    put("confidence", caption.into());
}

fn metadata(row: &AuditRow) -> Value {
    let mut metadata = json!({
        "version": VERSION,
        "product": { "name": "ops-runbook", "vendor_name": "ops-runbook", "version": env!("CARGO_PKG_VERSION") },
        "uid": text(row.request_id.as_str()),
        "event_code": text(&row.request_kind),
        "log_name": "audit_log",
        "logged_time": millis(row.recorded_at.micros()),
    });
    // The schema's integers have 32 bits.
    if let Ok(sequence) = i32::try_from(row.seq) {
        metadata["sequence"] = sequence.into();
    }
    if let Some(incident) = row.incident_id {
        metadata["correlation_uid"] = incident.to_string().into();
    }
    if let Some(workspace) = &row.workspace_id {
        metadata["tenant_uid"] = text(workspace.as_str());
    }
    metadata
}

fn user(row: &AuditRow) -> Value {
    let (type_id, caption) = match row.actor.as_str().split_once(':') {
        Some(("user", _)) => (1, "User"),
        Some(("agent" | "schedule" | "service", _)) => (4, "Service"),
        _ => (0, "Unknown"),
    };
    json!({ "name": text(row.actor.as_str()), "type_id": type_id, "type": caption })
}

fn finding_info(row: &AuditRow, body: &Value) -> Value {
    let incident = &body["incident"];
    let uid = row.incident_id.map_or_else(|| row.request_id.to_string(), |id| id.to_string());
    let mut info = json!({ "uid": text(&uid) });
    let slug = row.incident_slug.as_ref().map(|slug| slug.as_str());
    let checked = body.pointer("/resource/name").and_then(Value::as_str);
    if let Some(title) = incident["title"].as_str().or(slug).or(checked) {
        info["title"] = text(title);
    }
    if let Some(cause) = body.pointer("/rca/root_cause").and_then(Value::as_str) {
        info["desc"] = text(cause);
    }
    if let Some(kind) = row.incident_type {
        info["types"] = json!([kind.as_str()]);
    }
    for (name, moment) in [("created_time", "reported_at"), ("first_seen_time", "impact_started_at")] {
        let moment = incident[moment].as_str().and_then(|moment| moment.parse::<Timestamp>().ok());
        if let Some(moment) = moment {
            info[name] = millis(moment.micros());
        }
    }
    info
}

fn compliance(row: &AuditRow, body: &Value) -> Value {
    let statuses: Vec<_> = checks(body).map(|check| word::<CheckStatus>(&check["status"])).collect();
    let (id, caption) = if statuses.contains(&Some(CheckStatus::Fail)) {
        (3, "Fail")
    } else if statuses.iter().all(|status| *status == Some(CheckStatus::Pass)) {
        (1, "Pass")
    } else {
        (99, "PARTIAL")
    };
    let checks: Vec<Value> = checks(body).map(check).collect();
    let mut compliance = json!({ "status_id": id, "status": caption, "checks": checks });
    if let Some(impact) = &row.compliance_impact {
        compliance["desc"] = text(impact);
    }
    compliance
}

fn check(check: &Value) -> Value {
    let (id, caption) = match word::<CheckStatus>(&check["status"]) {
        Some(CheckStatus::Pass) => (1, "Pass"),
        Some(CheckStatus::Fail) => (3, "Fail"),
        Some(CheckStatus::Partial) => (99, "PARTIAL"),
        None => (0, "Unknown"),
    };
    let mut mapped = json!({ "status_id": id, "status": caption });
    let [category, name] = [&check["category"], &check["name"]].map(|part| part.as_str().unwrap_or("n/a"));
    mapped["name"] = text(&format!("{category} / {name}"));
    if let Some(finding) = check["finding"].as_str() {
        mapped["desc"] = text(finding);
    }
    if let Some((id, caption)) = word::<Severity>(&check["severity"]).map(severity_code) {
        mapped["severity_id"] = id.into();
        mapped["severity"] = caption.into();
    }
    mapped
}

/// The workspace last, as in the column `resources`.
fn resources(row: &AuditRow, body: &Value) -> Value {
    let mut resources = Vec::new();
    let several = body["resources"].as_array().into_iter().flatten();
    for resource in several.chain(body.get("resource")) {
        let (Some(kind), Some(id)) = (resource["kind"].as_str(), resource["id"].as_str()) else { continue };
        if kind == "workspace" {
            continue;
        }
        let mut mapped = json!({ "type": text(kind), "uid": text(id) });
        if let Some(name) = resource["name"].as_str() {
            mapped["name"] = text(name);
        }
        resources.push(mapped);
    }
    if let Some(workspace) = &row.workspace_id {
        resources.push(json!({ "type": "workspace", "uid": text(workspace.as_str()) }));
    }
    if resources.is_empty() { Value::Null } else { resources.into() }
}

/// The remediation steps of a request: the body itself, below a name, or a list.
fn steps(body: &Value) -> impl Iterator<Item = &Value> {
    let several = body["remediation"].as_array().into_iter().flatten();
    several.chain([&body["remediation"], &body["step"], body]).filter(|step| step["title"].is_string())
}

fn result(body: &Value) -> CodedValue {
    let mut results = steps(body).filter_map(|step| step["result"].as_str());
    match results.next() {
        Some("SUCCESS") => (1, "Success"),
        Some("FAILED") => (2, "Failure"),
        _ => (0, "Unknown"),
    }
}

fn unmapped(row: &AuditRow) -> Value {
    let columns = [
        ("seq", row.seq.into()),
        ("prev_hash", text(&row.prev_hash)),
        ("entry_hash", text(&row.entry_hash)),
        ("request_hash", text(&row.request_hash)),
        ("request_kind", text(&row.request_kind)),
        ("interface", row.interface.as_str().into()),
        ("actor", text(row.actor.as_str())),
        ("action", text(&row.action)),
        ("status", text(&row.status)),
        ("incident_slug", row.incident_slug.as_ref().map_or(Value::Null, |slug| text(slug.as_str()))),
        ("resources", row.resources.as_deref().map_or(Value::Null, text)),
        ("remediation_applied", row.remediation_applied.as_deref().map_or(Value::Null, text)),
        ("compliance_impact", row.compliance_impact.as_deref().map_or(Value::Null, text)),
    ];
    columns.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn checks(body: &Value) -> impl Iterator<Item = &Value> {
    body["checks"].as_array().into_iter().flatten()
}

fn word<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn text(text: &str) -> Value {
    text.into()
}

fn millis(micros: i64) -> Value {
    micros.div_euclid(1_000).into()
}

#[cfg(test)]
mod tests;
