//! A query about some weeks reads only the files of those weeks.

use std::{fs, path::Path};

use datafusion::common::ScalarValue;
use ops_runbook::{
    analytics::{self, engine::ParameterValue, header::SqlHeader, weekly::WeekParameters},
    domain::{time::Timestamp, week::Week},
    lake::Lake,
};
use tempfile::tempdir;

use crate::support::{json_lines, lake_at, ok, report};

/// Records three reports in each of four months: every table has one file per month.
fn four_months(lake: &Path) {
    for month in 1..=4 {
        let reports = (1..=3).map(|day| {
            let mut one = report(&format!("r{month}-{day}"));
            one["incident"]["reported_at"] = format!("2026-0{month}-0{day}T12:00:00Z").into();
            one["timeline"] = serde_json::json!([]);
            format!("{one}\n")
        });
        let file = lake.with_extension("jsonl");
        fs::write(&file, reports.collect::<String>()).unwrap();
        ok(lake, &["record", file.to_str().unwrap()]);
    }
}

fn moment(text: &str) -> ScalarValue {
    let at: Timestamp = text.parse().unwrap();
    ScalarValue::TimestampMicrosecond(Some(at.micros()), Some("UTC".into()))
}

/// Returns the number of files that each scan of a Delta table has read, the largest first. Tables with one file are left out.
async fn files_read(lake: &Lake, sql: &str, parameters: &[(&str, ScalarValue)]) -> Vec<usize> {
    let (_, batches) = analytics::query_with(lake, &format!("EXPLAIN ANALYZE\n{sql}"), parameters).await.unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
    let counts = text.split("count_files_scanned=").skip(1);
    let mut counts: Vec<usize> =
        counts.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

#[tokio::test]
async fn a_filter_on_time_in_views_and_queries_prunes_files() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("lake");
    four_months(&path);
    let lake = lake_at(&path);
    let april = "TIMESTAMP '2026-03-15 00:00:00'";
    for (sql, all, some) in [
        ("SELECT incident_id, opened_at FROM incidents", vec![4, 4], vec![1, 1]),
        ("SELECT incident_id, superseded_at FROM cause_findings", vec![4, 4], vec![1, 1]),
    ] {
        let time = if sql.contains("incidents") { "reported_at" } else { "found_at" };
        let no_empty = |counts: Vec<usize>| counts.into_iter().filter(|count| *count > 0).collect::<Vec<_>>();
        assert_eq!(no_empty(files_read(&lake, sql, &[]).await), all, "{sql}");
        let filtered = format!("{sql} WHERE {time} >= {april}");
        assert_eq!(no_empty(files_read(&lake, &filtered, &[]).await), some, "{filtered}");
    }
    for name in
        ["recurrence", "recurrence_members", "cause_counts", "cause_occurrences", "cause_impact", "cause_resources"]
    {
        let (_, sql) = analytics::queries().find(|(known, _)| *known == name).unwrap();
        let most = async |since: &str| {
            let parameters = [
                ("since", moment(since)),
                ("as_of", moment("2026-05-01T00:00:00Z")),
                ("threshold", 3.into()),
                ("window_hours", 168.into()),
                ("cause", "any".into()),
            ];
            let own: Vec<_> =
                parameters.into_iter().filter(|(parameter, _)| sql.contains(&format!(":{parameter}"))).collect();
            files_read(&lake, sql, &own).await.first().copied()
        };
        assert_eq!(most("1700-01-01T00:00:00Z").await, Some(4), "{name} reads everything it is asked about");
        assert_eq!(most("2026-03-15T00:00:00Z").await, Some(1), "{name} reads no more than it is asked about");
    }
}

/// Months after the last report no file is read: neither for the figures of a week nor, after an earlier digest, for open incidents.
#[tokio::test]
async fn the_queries_about_a_week_read_no_old_files() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("lake");
    four_months(&path);
    let lake = lake_at(&path);
    let week = Week::new("2026-W40".parse().unwrap(), chrono_tz::Tz::UTC);
    let at = WeekParameters { week, known_from: week.earlier(30).start() };
    let rows = json_lines(&path, &["sql", "SELECT max(seq) AS seq FROM audit_log"])[0]["seq"].as_i64().unwrap();
    for (name, sql) in analytics::queries() {
        let header = SqlHeader::of(sql);
        if !header.parameters.iter().any(|parameter| parameter.name == "week_end") {
            continue;
        }
        let value = |parameter: &str| match parameter {
            "known_until" => ParameterValue::from(week.start()),
            "known_seq" => ParameterValue::Int(rows),
            parameter => at.value(name, parameter).unwrap(),
        };
        let given: Vec<(String, ParameterValue)> =
            header.parameters.iter().map(|parameter| (parameter.name.clone(), value(&parameter.name))).collect();
        let given: Vec<(&str, ScalarValue)> = given.iter().map(|(name, value)| (name.as_str(), value.into())).collect();
        let read: usize = files_read(&lake, sql, &given).await.into_iter().sum();
        assert_eq!(read, 0, "{name}");
    }
}
