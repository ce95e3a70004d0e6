//! The AUDIT LOG ENTRY: one row of the audit log for an auditor.

use std::fmt::Write;

use serde_json::Value;

use super::plain::{NA, line, na};
use crate::tables::rows::AuditRow;

/// The row in the layout of the specification.
pub fn entry(row: &AuditRow) -> String {
    let fields = [
        ("Timestamp", row.recorded_at.to_string()),
        ("Actor", line(row.actor.as_str()).into_owned()),
        ("Action", format!("[{}]", line(&row.action))),
        ("Resource", na(row.resources.as_deref().map(line))),
        ("Incident", na(row.incident_slug.as_ref().map(|slug| line(slug.as_str())))),
        ("FindingConfidence", na(row.finding_confidence)),
        ("RemediationApplied", na(row.remediation_applied.as_deref().map(settings))),
        ("ComplianceImpact", na(row.compliance_impact.as_deref().map(line))),
        ("Status", line(&row.status).into_owned()),
        ("Incident ID", na(row.incident_id)),
        ("Sequence", row.seq.to_string()),
        ("Request", line(row.request_id.as_str()).into_owned()),
        ("Prev hash", line(&row.prev_hash).into_owned()),
        ("Entry hash", line(&row.entry_hash).into_owned()),
        ("Hash rule", "Entry hash = lower-case hex SHA-256 of Prev hash followed by the column entry".into()),
    ];
    let mut text = "AUDIT LOG ENTRY\n===============\n".to_owned();
    for (name, value) in fields {
        let _ = writeln!(text, "{name}: {value}");
    }
    text
}

/// `{max_retries: 3, timeout_seconds: 3600}` from JSON. Quotes around plain names are dropped.
fn settings(json: &str) -> String {
    match serde_json::from_str::<Value>(json) {
        Ok(value) => {
            let mut text = String::new();
            write_unquoted(&mut text, &value);
            line(&text).into_owned()
        }
        Err(_) => line(json).into_owned(),
    }
}

/// Recursive. `serde_json` parses at most 128 levels, which bounds the depth.
fn write_unquoted(text: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            text.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                let comma = if index > 0 { ", " } else { "" };
                let _ = match is_word(name) {
                    true => write!(text, "{comma}{name}: "),
                    false => write!(text, "{comma}{}: ", Value::from(name.as_str())),
                };
                write_unquoted(text, member);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_unquoted(text, item);
            }
            text.push(']');
        }
        Value::Null => text.push_str(NA),
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        domain::ids::Id,
        render::example::{DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, VALIDATION, assert_safe, hostile_text, recorded, report},
    };

    fn row(json: &str) -> AuditRow {
        recorded(report(json)).audit.remove(0)
    }

    #[test]
    fn a_remediated_incident_is_complete() {
        insta::assert_snapshot!(entry(&row(DAILY_ETL)), @"
        AUDIT LOG ENTRY
        ===============
        Timestamp: 2026-02-20T12:36:00Z
        Actor: agent:databricks_mcp_agent
        Action: [INVESTIGATE, RCA, REMEDIATE, VALIDATE]
        Resource: job_id=360515640572923, job_run_id=236083407514246, task_run_id=236083407514299, workspace_id=7405612783315468
        Incident: job_failure_timeouts_without_retries
        FindingConfidence: HIGH
        RemediationApplied: {max_retries: 3, min_retry_interval_millis: 120000, retry_on_timeout: true, timeout_seconds: 3600}
        ComplianceImpact: Reliability category moved from FAIL to PASS
        Status: COMPLETE
        Incident ID: INC-1042
        Sequence: 17
        Request: rca-2026-02-11-daily-etl-236083407514246
        Prev hash: 0000000000000000000000000000000000000000000000000000000000000000
        Entry hash: 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        Hash rule: Entry hash = lower-case hex SHA-256 of Prev hash followed by the column entry
        ");
    }

    #[test]
    fn an_open_incident_leaves_what_is_unknown_na() {
        insta::assert_snapshot!(entry(&row(NO_RUN_OUTPUT)), @"
        AUDIT LOG ENTRY
        ===============
        Timestamp: 2026-02-20T12:36:00Z
        Actor: agent:databricks_mcp_agent
        Action: [INVESTIGATE, RCA]
        Resource: job_id=99887766554433, job_run_id=236083407514246, workspace_id=7405612783315468
        Incident: job_failure_unknown
        FindingConfidence: LOW
        RemediationApplied: n/a
        ComplianceImpact: n/a
        Status: OPEN
        Incident ID: INC-1042
        Sequence: 17
        Request: rca-2026-02-18-run-236083407514246
        Prev hash: 0000000000000000000000000000000000000000000000000000000000000000
        Entry hash: 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        Hash rule: Entry hash = lower-case hex SHA-256 of Prev hash followed by the column entry
        ");
    }

    #[test]
    fn a_validation_has_no_finding() {
        insta::assert_snapshot!(entry(&row(VALIDATION)), @"
        AUDIT LOG ENTRY
        ===============
        Timestamp: 2026-02-20T12:36:00Z
        Actor: agent:databricks_mcp_agent
        Action: [INVESTIGATE, VALIDATE]
        Resource: workspace_id=7405612783315468
        Incident: workspace_validation_2026_02_19
        FindingConfidence: n/a
        RemediationApplied: n/a
        ComplianceImpact: n/a
        Status: OPEN
        Incident ID: INC-1042
        Sequence: 17
        Request: validate-2026-02-19-ws-7405612783315468
        Prev hash: 0000000000000000000000000000000000000000000000000000000000000000
        Entry hash: 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        Hash rule: Entry hash = lower-case hex SHA-256 of Prev hash followed by the column entry
        ");
    }

    #[test]
    fn hostile_names_are_shown_and_do_nothing() {
        let text = entry(&row(HOSTILE));
        assert_safe(&text);
        insta::assert_snapshot!(text, @"
        AUDIT LOG ENTRY
        ===============
        Timestamp: 2026-02-20T12:36:00Z
        Actor: agent:databricks_mcp_agent
        Action: [INVESTIGATE, RCA]
        Resource: job_id=1, workspace_id=7405612783315468
        Incident: job_failure_bad_credentials
        FindingConfidence: MEDIUM
        RemediationApplied: n/a
        ComplianceImpact: n/a
        Status: OPEN
        Incident ID: INC-1042
        Sequence: 17
        Request: rca-2026-02-20-hostile
        Prev hash: 0000000000000000000000000000000000000000000000000000000000000000
        Entry hash: 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c
        Hash rule: Entry hash = lower-case hex SHA-256 of Prev hash followed by the column entry
        ");
    }

    #[test]
    fn a_row_about_no_incident_is_all_na() {
        let text = entry(&AuditRow {
            incident_id: None,
            incident_type: None,
            incident_slug: None,
            workspace_id: None,
            resources: None,
            finding_confidence: None,
            remediation_applied: None,
            compliance_impact: None,
            ..row(DAILY_ETL)
        });
        assert_eq!(text.lines().filter(|line| line.ends_with(": n/a")).count(), 6);
    }

    #[test]
    fn settings_keep_their_quotes_where_they_are_needed() {
        fn check(json: &str, shown: &str) {
            assert_eq!(settings(json), shown);
        }
        check(r#"{"max_retries":3,"timeout_seconds":3600}"#, "{max_retries: 3, timeout_seconds: 3600}");
        check(r#"[{"max_retries":3},{"retry_on_timeout":true}]"#, "[{max_retries: 3}, {retry_on_timeout: true}]");
        check(r#"{"a, b":"}, x: \"1\""}"#, r#"{"a, b": "}, x: \"1\""}"#);
        check(
            r#"{"spark_conf":{"spark.a":"8g"},"tags":[],"x":null}"#,
            r#"{spark_conf: {spark.a: "8g"}, tags: [], x: n/a}"#,
        );
        check("not json\n", r"not json\n");
    }

    proptest! {
        #[test]
        fn nothing_hostile_gets_out_or_adds_a_line(text in hostile_text()) {
            prop_assume!(!text.trim().is_empty());
            let name = Id::new(text.clone()).unwrap();
            let output = entry(&AuditRow {
                actor: name.clone(),
                action: text.clone(),
                request_id: name.clone(),
                incident_slug: Some(name),
                resources: Some(text.clone()),
                remediation_applied: Some(json!({ text.clone(): text.clone() }).to_string()),
                compliance_impact: Some(text.clone()),
                status: text.clone(),
                prev_hash: text.clone(),
                entry_hash: text,
                ..row(DAILY_ETL)
            });
            assert_safe(&output);
            prop_assert_eq!(output.lines().count(), 17);
        }
    }
}
