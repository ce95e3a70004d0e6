use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        ids::{Id, IncidentId},
        incident::classification::IncidentType,
    },
    render::example::{DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, VALIDATION, hostile_text, recorded, report},
};

/// The requirements of the published schema; tests/peers/ocsf_requirements.py derives it.
static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../tests/it/ocsf-1.8.0.json")).unwrap());

/// The violations of the schema in an event.
fn violations(event: &Value) -> Vec<String> {
    let class = &SCHEMA["classes"][event["class_uid"].to_string()];
    let mut found = Vec::new();
    if class.is_null() {
        return vec![format!("there is no class {}", event["class_uid"])];
    }
    fields(class, event, "", &mut found);
    let [class_uid, activity_id] = ["class_uid", "activity_id"].map(|name| event[name].as_u64().unwrap());
    if event["type_uid"] != class_uid * 100 + activity_id {
        found.push("type_uid is not class_uid × 100 + activity_id".into());
    }
    if event["metadata"]["version"] != SCHEMA["version"] {
        found.push("metadata.version is another".into());
    }
    found
}

fn fields(described: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(members) = value.as_object() else {
        found.push(format!("{at} is no object"));
        return;
    };
    let known = described["fields"].as_object().unwrap();
    for (name, field) in known {
        if field["requirement"] == "required" && !members.contains_key(name) {
            found.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, value) in members {
        let at = format!("{at}.{name}");
        match (known.get(name), value) {
            (None, _) => found.push(format!("{at} is unknown")),
            (Some(field), Value::Array(items)) if field["array"] == true => {
                items.iter().for_each(|item| one(field, item, &at, found));
            }
            (Some(field), _) if field["array"] == true => found.push(format!("{at} is no array")),
            (Some(field), value) => one(field, value, &at, found),
        }
    }
    let present =
        |names: &Value| names.as_array().unwrap().iter().filter(|n| value.get(n.as_str().unwrap()).is_some()).count();
    let constraints = &described["constraints"];
    if !constraints["at_least_one"].is_null() && present(&constraints["at_least_one"]) == 0 {
        found.push(format!("{at} has none of {}", constraints["at_least_one"]));
    }
    if !constraints["just_one"].is_null() && present(&constraints["just_one"]) != 1 {
        found.push(format!("{at} has not one of {}", constraints["just_one"]));
    }
}

fn one(field: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let name = field["type"].as_str().unwrap();
    let kind = &SCHEMA["types"][name];
    let base = kind["type"].as_str().unwrap_or(name);
    let fits = match base {
        "string_t" => value.is_string(),
        "integer_t" => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
        "long_t" => value.is_i64(),
        "boolean_t" => value.is_boolean(),
        "object" => value.is_object(),
        "json_t" => true,
        object => {
            fields(&SCHEMA["objects"][object], value, at, found);
            true
        }
    };
    if !fits {
        found.push(format!("{at} is no {base}: {value}"));
    }
    let enumerated = field["enum"].as_array().is_none_or(|values| {
        values
            .iter()
            .any(|known| known.as_str() == Some(value.as_str().map_or(value.to_string(), str::to_owned).as_str()))
    });
    if !enumerated {
        found.push(format!("{at} may not be {value}"));
    }
}

fn row(json: &str) -> AuditRow {
    recorded(report(json)).audit.remove(0)
}

/// A row of another request, whose kind may be unknown to this version.
fn other(kind: &str, incident: bool, applied: bool) -> AuditRow {
    let row = row(DAILY_ETL);
    let entry: Value = serde_json::from_str(&row.entry).unwrap();
    let body = if applied { entry["request"]["body"]["remediation"][0].clone() } else { json!({ "message": "x" }) };
    AuditRow {
        request_kind: kind.into(),
        entry: json!({ "seq": 17, "request": { "kind": kind, "body": body } }).to_string(),
        incident_id: row.incident_id.filter(|_| incident),
        incident_type: row.incident_type.filter(|_| incident),
        incident_slug: row.incident_slug.clone().filter(|_| incident),
        workspace_id: row.workspace_id.clone().filter(|_| incident),
        resources: None,
        finding_confidence: None,
        remediation_applied: row.remediation_applied.clone().filter(|_| applied),
        compliance_impact: None,
        status: "OPEN".into(),
        ..row
    }
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn the_requirements_are_those_of_the_published_schema() {
    assert_eq!(SCHEMA["version"], VERSION);
    let required = |class: &str| {
        let fields = SCHEMA["classes"][class]["fields"].as_object().unwrap();
        fields.iter().filter(|(_, field)| field["requirement"] == "required").count()
    };
    assert_eq!(["2003", "2005", "6003", "7001"].map(required), [9, 9, 10, 8]);
}

#[test]
fn every_example_is_an_event_the_schema_allows() {
    for (json, class, type_uid) in [
        (DAILY_ETL, 2005, 200_501),
        (NO_RUN_OUTPUT, 2005, 200_501),
        (VALIDATION, 2003, 200_301),
        (HOSTILE, 2005, 200_501),
    ] {
        let event = event(&row(json));
        assert_eq!(violations(&event), none(), "{event:#}");
        assert_eq!((&event["class_uid"], &event["type_uid"]), (&json!(class), &json!(type_uid)));
    }
}

#[test]
fn every_kind_of_request_has_its_class_and_an_unknown_one_is_api_activity() {
    fn check(kind: &str, incident: bool, applied: bool, type_uid: u64) {
        let event = event(&other(kind, incident, applied));
        assert_eq!(violations(&event), none(), "{kind}: {event:#}");
        assert_eq!(event["type_uid"], type_uid, "{kind}");
    }
    for kind in [
        "log_event",
        "acknowledge_incident",
        "record_root_cause",
        "record_verification",
        "escalate_incident",
        "correct_event",
    ] {
        check(kind, true, false, 200_502);
        check(kind, false, false, 600_399);
    }
    check("open_incident", true, false, 200_501);
    check("close_incident", true, false, 200_503);
    check("reopen_incident", true, false, 200_502);
    check("record_remediation", true, true, 700_199);
    check("record_remediation", false, true, 700_199);
    check("record_remediation", true, false, 200_502);
    check("evaluate_escalations", true, false, 600_301);
    check("acknowledge_escalation", true, false, 600_303);
    check("resolve_escalation", true, false, 600_303);
    check("suppress_escalation", true, false, 600_303);
    check("evaluate_recurrence", false, false, 600_301);
    check("record_compliance", true, false, 200_302);
    check("record_compliance", false, false, 200_302);
    check("record_digest", false, false, 600_301);
    check("record_job_runs", false, false, 600_301);
    check("reject_input", false, false, 600_301);
    check("alias_causes", false, false, 600_303);
    check("adopt_prevention", false, false, 600_303);
    check("kind_of_a_later_version", false, false, 600_399);
    check("kind_of_a_later_version", true, true, 600_399);
}

#[test]
fn a_resolved_incident_as_an_event() {
    let mut event = event(&row(DAILY_ETL));
    event["metadata"]["product"]["version"] = "0".into();
    event["unmapped"]["request_hash"] = "made up".into();
    insta::assert_snapshot!(format!("{event:#}"), @r#"
    {
      "activity_id": 1,
      "activity_name": "Create",
      "category_uid": 2,
      "category_name": "Findings",
      "class_uid": 2005,
      "class_name": "Incident Finding",
      "type_uid": 200501,
      "type_name": "Incident Finding: Create",
      "severity_id": 3,
      "severity": "Medium",
      "time": 1771590960000,
      "timezone_offset": 0,
      "message": "daily-etl failed: transient timeout, no retry policy",
      "metadata": {
        "version": "1.8.0",
        "product": {
          "name": "ops-runbook",
          "vendor_name": "ops-runbook",
          "version": "0"
        },
        "uid": "rca-2026-02-11-daily-etl-236083407514246",
        "event_code": "record_report",
        "log_name": "audit_log",
        "logged_time": 1771590960000,
        "sequence": 17,
        "correlation_uid": "INC-1042",
        "tenant_uid": "7405612783315468"
      },
      "finding_info_list": [
        {
          "uid": "INC-1042",
          "title": "daily-etl failed: transient timeout, no retry policy",
          "desc": "Job retry policies not configured (max_retries=0)",
          "types": [
            "job-failure"
          ],
          "created_time": 1770812460000,
          "first_seen_time": 1770811511000
        }
      ],
      "desc": "Job \"daily-etl\" failed due to no retry policy; transient workload error -> no automatic recovery.",
      "assignee": {
        "name": "agent:databricks_mcp_agent",
        "type_id": 4,
        "type": "Service"
      },
      "status_id": 4,
      "status": "Resolved",
      "confidence_id": 3,
      "confidence": "High",
      "unmapped": {
        "seq": 17,
        "prev_hash": "0000000000000000000000000000000000000000000000000000000000000000",
        "entry_hash": "9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c",
        "request_hash": "made up",
        "request_kind": "record_report",
        "interface": "cli",
        "actor": "agent:databricks_mcp_agent",
        "action": "INVESTIGATE, RCA, REMEDIATE, VALIDATE",
        "status": "COMPLETE",
        "incident_slug": "job_failure_timeouts_without_retries",
        "resources": "job_id=360515640572923, job_run_id=236083407514246, task_run_id=236083407514299, workspace_id=7405612783315468",
        "remediation_applied": "{\"max_retries\":3,\"min_retry_interval_millis\":120000,\"retry_on_timeout\":true,\"timeout_seconds\":3600}",
        "compliance_impact": "Reliability category moved from FAIL to PASS"
      }
    }
    "#);
}

#[test]
fn partial_is_other_and_never_a_warning() {
    let event = event(&row(VALIDATION));
    let statuses: Vec<_> =
        event["compliance"]["checks"].as_array().unwrap().iter().map(|c| c["status_id"].clone()).collect();
    assert_eq!(json!(statuses), json!([3, 3, 99, 99, 99, 99, 99, 1]));
    assert_eq!((&event["compliance"]["status_id"], &event["severity_id"]), (&json!(3), &json!(4)));
    assert_eq!(event["compliance"]["checks"][2]["status"], "PARTIAL");

    let mut partly: Value = serde_json::from_str(VALIDATION).unwrap();
    partly["checks"].as_array_mut().unwrap().drain(..2);
    let event = super::event(&row(&partly.to_string()));
    assert_eq!((&event["compliance"]["status_id"], &event["severity_id"]), (&json!(99), &json!(0)));
}

#[test]
fn a_remediation_has_its_result() {
    let event = event(&other("record_remediation", true, true));
    assert_eq!(event["status"], "Success");
    assert_eq!(event["remediation"]["desc"], "Fix Job Retry Policies - daily-etl");
    let silent = super::event(&AuditRow { entry: "no entry at all".into(), ..other("record_remediation", true, true) });
    assert_eq!(violations(&silent), none());
    assert_eq!(silent["status"], "Unknown");
}

#[test]
fn the_validator_can_fail() {
    let valid = event(&row(DAILY_ETL));
    for (pointer, value, problem) in [
        ("/status_id", json!(6), ".status_id may not be 6"),
        ("/status_id", json!("4"), ".status_id is no integer_t: \"4\""),
        ("/class_uid", json!(2004), "there is no class 2004"),
        ("/type_uid", json!(1), "type_uid is not"),
        ("/finding_info_list", json!([{ "title": "x" }]), ".finding_info_list.uid is missing"),
        ("/finding_info_list", json!({}), ".finding_info_list is no array"),
        ("/metadata/product", json!({ "version": "1" }), ".metadata.product has none of"),
        ("/metadata/uid", json!(1), ".metadata.uid is no string_t"),
        ("/assignee", json!({ "nickname": "x" }), ".assignee.nickname is unknown"),
    ] {
        let mut event = valid.clone();
        *event.pointer_mut(pointer).unwrap() = value;
        let found = violations(&event);
        assert!(found.iter().any(|one| one.contains(problem)), "{pointer}: {found:?}");
    }
    let mut event = valid;
    event.as_object_mut().unwrap().remove("assignee");
    assert!(violations(&event)[0].contains("has none of"));
}

proptest! {
    #[test]
    fn any_row_is_an_event_the_schema_allows(
        words in hostile_text(),
        kind in prop_oneof![Just("record_report".to_owned()), Just("log_event".into()), Just("record_remediation".into()), hostile_text()],
        incident_type in prop::sample::select(IncidentType::ALL),
        incident: Option<u8>,
        seq: u64,
        long: bool,
    ) {
        prop_assume!(!words.trim().is_empty());
        let name = Id::new(words.clone()).unwrap();
        let words = if long { words.repeat(3_000) } else { words };
        let body = json!({
            "incident": { "title": words, "reported_at": words, "impact_started_at": "2026-02-11T12:05:11Z" },
            "resources": [{ "kind": words, "id": words, "name": words }, { "kind": 1 }, 2],
            "rca": { "root_cause": words, "summary": words },
            "checks": [{ "category": words, "name": words, "status": "FAIL", "severity": "HIGH", "finding": words }, { "status": words }, 3],
            "remediation": [{ "title": words, "result": words }],
        });
        let row = AuditRow {
            seq,
            actor: name.clone(),
            action: words.clone(),
            request_kind: kind,
            request_id: name.clone(),
            request_hash: words.clone(),
            incident_id: incident.map(|n| IncidentId::from_ordinal(n.into())),
            incident_type: Some(incident_type),
            incident_slug: Some(name.clone()),
            workspace_id: Some(name),
            resources: Some(words.clone()),
            remediation_applied: Some(words.clone()),
            compliance_impact: Some(words.clone()),
            status: words.clone(),
            entry: json!({ "request": { "body": body } }).to_string(),
            prev_hash: words.clone(),
            entry_hash: words,
            ..row(DAILY_ETL)
        };
        let event = event(&row);
        prop_assert_eq!(violations(&event), none());
        prop_assert_eq!(event["unmapped"]["seq"].as_u64(), Some(seq));
    }
}
