//! The tables as text: Delta's schema, `CREATE TABLE`, the data dictionary.

use std::fmt::Write;

use serde_json::{Value, json};

use super::TableDef;

/// Delta table properties, the same everywhere a table is created.
pub fn properties(table: &TableDef) -> Vec<(&'static str, String)> {
    let mut properties = Vec::new();
    if table.name == super::catalog::AUDIT_LOG.name {
        properties.push(("delta.appendOnly", "true".into()));
    }
    properties.push(("delta.checkpointInterval", super::CHECKPOINT_INTERVAL.to_string()));
    properties.push(("delta.dataSkippingStatsColumns", table.stats.join(",")));
    properties.push(("delta.deletedFileRetentionDuration", "interval 7 days".into()));
    properties.push(("delta.logRetentionDuration", "interval 7 days".into()));
    properties
}

/// The `schemaString` of the table's Delta metadata.
pub fn delta_schema(table: &TableDef) -> Value {
    let fields: Vec<Value> = table
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind.delta(),
                "nullable": column.nullable,
                "metadata": { "comment": column.comment() },
            })
        })
        .collect();
    json!({ "type": "struct", "fields": fields })
}

/// `CREATE TABLE` for Databricks SQL and Spark.
pub fn create_table(table: &TableDef) -> String {
    let mut text = format!("CREATE TABLE IF NOT EXISTS {} (\n", table.name);
    for (index, column) in table.columns.iter().enumerate() {
        let null = if column.nullable { "" } else { " NOT NULL" };
        let comma = if index + 1 < table.columns.len() { "," } else { "" };
        let _ = writeln!(
            text,
            "  {} {}{null} COMMENT {}{comma}",
            column.name,
            column.kind.sql(),
            sql_string(column.comment())
        );
    }
    let _ = writeln!(text, ") USING DELTA\nCOMMENT {}", sql_string(table.comment()));
    let properties: Vec<String> = properties(table)
        .iter()
        .map(|(name, value)| format!("  {} = {}", sql_string(name), sql_string(value)))
        .collect();
    let _ = writeln!(text, "TBLPROPERTIES (\n{}\n);", properties.join(",\n"));
    text
}

/// `CREATE TABLE` for a table that is there already: a catalog takes its columns from its log, and nothing is written to it.
/// `None`: engines would not read the location alike, because of a quote, a backslash or a control character in it.
pub fn external_table(table: &TableDef, location: &str) -> Option<String> {
    let is_odd = |character: char| matches!(character, '\'' | '"' | '\\') || character.is_control();
    let comment = sql_string(table.comment());
    (!location.contains(is_odd)).then(|| {
        format!("CREATE TABLE IF NOT EXISTS `{}` USING DELTA\nCOMMENT {comment}\nLOCATION '{location}'", table.name)
    })
}

/// The data dictionary's section for a table.
pub fn markdown(table: &TableDef) -> String {
    let mut text = format!(
        "## {}\n\n{}\n\n| column | type | null | meaning |\n| --- | --- | --- | --- |\n",
        table.name,
        table.comment()
    );
    for column in table.columns {
        let null = if column.nullable { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "| `{}` | {} | {null} | {} |",
            column.name,
            column.kind.sql(),
            column.comment().replace('|', "\\|")
        );
    }
    text
}

pub fn json(table: &TableDef) -> Value {
    let columns: Vec<Value> = table
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind.sql(),
                "nullable": column.nullable,
                "comment": column.comment(),
            })
        })
        .collect();
    json!({ "table": table.name, "comment": table.comment(), "columns": columns })
}

/// A string literal in which nothing can end the string, on engines with and without backslash escapes. Our comments hold
/// neither quotes nor backslashes; a test says so.
fn sql_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
