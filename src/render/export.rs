//! Rows of the audit log for other programs: JSON Lines, CSV, OCSF events.
//!
//! Control and invisible characters are escaped. In JSON the escape changes no value. CSV has no escapes: there they are
//! shown as in [`super::plain::line`], except in `entry`, whose hash must stay verifiable. A cell that a spreadsheet would
//! take for a formula gets a leading apostrophe.

use std::{borrow::Cow, fmt::Write, io};

use serde::Serialize;

use super::{
    ocsf,
    plain::{is_unsafe, line},
};
use crate::tables::{Row, rows::AuditRow};

/// One line of JSON per row: every column of the table.
///
/// # Errors
/// If a value cannot be serialised as JSON.
pub fn jsonl(rows: &[AuditRow]) -> io::Result<String> {
    lines(rows.iter())
}

/// One OCSF event per row and line.
///
/// # Errors
/// If a value cannot be serialised as JSON.
pub fn ocsf(rows: &[AuditRow]) -> io::Result<String> {
    lines(rows.iter().map(ocsf::event))
}

fn lines(values: impl Iterator<Item = impl Serialize>) -> io::Result<String> {
    let mut text = String::new();
    for value in values {
        text.push_str(&escaped(&serde_json::to_string(&value)?));
        text.push('\n');
    }
    Ok(text)
}

/// JSON with unsafe characters escaped. They occur in strings only, where JSON has an escape for each.
fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unsafe) {
        return json.into();
    }
    let mut text = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_unsafe(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text.into()
}

/// The names of the columns as a CSV line.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn csv_header() -> io::Result<Vec<u8>> {
    records([AuditRow::TABLE.columns.iter().map(|column| Cow::Borrowed(column.name)).collect()])
}

/// One CSV record per row, RFC 4180.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn csv(rows: &[AuditRow]) -> io::Result<Vec<u8>> {
    records(rows.iter().map(cells))
}

fn records<'a>(records: impl IntoIterator<Item = Vec<Cow<'a, str>>>) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for record in records {
        writer.write_record(record.iter().map(|cell| cell.as_bytes()))?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

/// Cells in the order of the columns. An unknown value is an empty cell.
fn cells(row: &AuditRow) -> Vec<Cow<'_, str>> {
    fn value<'a>(value: Option<impl ToString>) -> Cow<'a, str> {
        value.map_or(Cow::Borrowed(""), |value| value.to_string().into())
    }
    fn outside<'a>(text: impl Into<Option<&'a str>>) -> Cow<'a, str> {
        text.into().map_or(Cow::Borrowed(""), |text| match line(&defused(text)) {
            Cow::Borrowed(same) if same.len() == text.len() => text.into(),
            changed => changed.into_owned().into(),
        })
    }
    vec![
        value(Some(row.seq)),
        value(Some(row.recorded_at)),
        outside(row.actor.as_str()),
        row.interface.as_str().into(),
        outside(row.action.as_str()),
        outside(row.request_kind.as_str()),
        outside(row.request_id.as_str()),
        row.request_key.as_str().into(),
        row.request_hash.as_str().into(),
        value(row.incident_id),
        value(row.incident_type),
        outside(row.incident_slug.as_ref().map(|slug| slug.as_str())),
        outside(row.workspace_id.as_ref().map(|id| id.as_str())),
        outside(row.resources.as_deref()),
        value(row.finding_confidence),
        outside(row.remediation_applied.as_deref()),
        outside(row.compliance_impact.as_deref()),
        outside(row.status.as_str()),
        row.entry.as_str().into(),
        row.prev_hash.as_str().into(),
        row.entry_hash.as_str().into(),
    ]
}

/// Text that no spreadsheet takes for a formula. An apostrophe goes before `=`, `+`, `-`, `@`, their full-width forms, a tab
/// and a carriage return.
pub fn defused(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::{
        domain::{chain::entry_hash, ids::Id},
        render::example::{DAILY_ETL, HOSTILE, VALIDATION, assert_safe, hostile_text, recorded, report},
    };

    fn row(json: &str) -> AuditRow {
        recorded(report(json)).audit.remove(0)
    }

    fn read(csv: &[u8]) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
        reader.records().map(|record| record.unwrap().iter().map(ToOwned::to_owned).collect()).collect()
    }

    #[test]
    fn json_lines_hold_every_column_in_its_order() {
        let text = jsonl(&[row(DAILY_ETL), row(VALIDATION)]).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            let names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(names, AuditRow::TABLE.columns.iter().map(|column| column.name).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_column_has_its_cell() {
        let rows = [row(DAILY_ETL), row(HOSTILE)];
        let text = [csv_header().unwrap(), csv(&rows).unwrap()].concat();
        let read = read(&text);
        for (record, row) in read[1..].iter().zip(&rows) {
            let value = serde_json::to_value(row).unwrap();
            for (name, cell) in read[0].iter().zip(record) {
                let expected = match &value[name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(*cell, expected, "{name}");
            }
        }
        assert!(text.ends_with(b"\r\n"));
    }

    #[test]
    fn a_cell_that_looks_like_a_formula_gets_an_apostrophe() {
        fn check(text: &str, cell: &str) {
            let row = AuditRow { compliance_impact: Some(text.into()), ..row(DAILY_ETL) };
            assert_eq!(read(&csv(&[row]).unwrap())[0][16], cell, "{text:?}");
        }
        check("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0");
        check("+1", "'+1");
        check("-1", "'-1");
        check("@SUM(A1)", "'@SUM(A1)");
        check("\t=1", "'\\t=1");
        check("\r=1", "'\\r=1");
        check("＝1", "'＝1");
        check("a\0b\nc\u{202e}", "a\\u{0}b\\nc\\u{202e}");
        check("moved from FAIL = bad, \"PASS\" = good", "moved from FAIL = bad, \"PASS\" = good");
        check("", "");
    }

    proptest! {
        #[test]
        fn hostile_rows_are_one_record_each_and_hashes_can_be_checked(text in hostile_text()) {
            prop_assume!(!text.trim().is_empty());
            let name = Id::new(text.clone()).unwrap();
            let entry = serde_json::to_string(&text).unwrap();
            let original = row(DAILY_ETL);
            let row = AuditRow {
                actor: name.clone(),
                request_kind: text.clone(),
                request_id: name.clone(),
                resources: Some(text.clone()),
                remediation_applied: Some(text.clone()),
                compliance_impact: Some(text.clone()),
                entry_hash: entry_hash(&original.prev_hash, &entry),
                entry,
                ..original
            };
            let rows = [row.clone(), row.clone()];
            for json in [jsonl(&rows).unwrap(), ocsf(&rows).unwrap()] {
                assert_safe(&json);
                prop_assert_eq!(json.lines().count(), 2);
            }
            let back: AuditRow = serde_json::from_str(jsonl(&rows).unwrap().lines().next().unwrap()).unwrap();
            prop_assert_eq!(&back, &row);

            let records = read(&csv(&rows).unwrap());
            prop_assert_eq!(records.len(), 2);
            let [entry, prev, hash] = [18, 19, 20].map(|column| &records[1][column]);
            prop_assert_eq!(&entry_hash(prev, entry), hash);
            for cell in &records[0][..18] {
                prop_assert_eq!(line(cell), cell.as_str());
                prop_assert!(!cell.starts_with(['=', '+', '-', '@']));
            }
        }
    }
}
