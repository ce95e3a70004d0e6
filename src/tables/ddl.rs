//! The tables as text: Delta schema, `CREATE TABLE`, the statements that fill managed tables, and the data dictionary.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Column, TableDef};

/// Returns the Delta table properties.
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

/// Returns the `schemaString` of the table's Delta metadata.
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

/// Returns `CREATE TABLE` for Databricks SQL and Spark.
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

/// Returns `CREATE TABLE` that registers an existing table. The catalog reads its columns from the Delta log; the table is not
/// changed. `None`: the location contains a quote, a backslash or a control character, which engines read differently.
pub fn external_table(table: &TableDef, location: &str) -> Option<String> {
    let is_ambiguous = |character: char| matches!(character, '\'' | '"' | '\\') || character.is_control();
    let comment = sql_string(table.comment());
    (!location.contains(is_ambiguous)).then(|| {
        format!("CREATE TABLE IF NOT EXISTS `{}` USING DELTA\nCOMMENT {comment}\nLOCATION '{location}'", table.name)
    })
}

/// Returns `CREATE TABLE` for a managed copy of `table` with the same columns, comments and key.
///
/// The key has no RELY: with it, an engine may skip the work by which the audits find duplicate rows. With the serialisable
/// isolation level, one of two concurrent copies fails if each reads what the other writes.
pub fn managed_table(table: &TableDef) -> String {
    let mut parts: Vec<String> = table.columns.iter().map(|column| format!("  {}", column_text(column))).collect();
    parts.push(format!("  PRIMARY KEY ({})", names(table.key)));
    let mut properties = vec![("delta.isolationLevel", "Serializable".to_owned())];
    properties.extend(self::properties(table).into_iter().filter(|(name, _)| {
        // The platform manages the files and logs of managed tables.
        ["delta.appendOnly", "delta.dataSkippingStatsColumns"].contains(name)
    }));
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("  {} = {}", sql_string(name), sql_string(value))).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n{}\n) USING DELTA\nCOMMENT {}\nTBLPROPERTIES (\n{}\n)",
        quoted(table.name),
        parts.join(",\n"),
        sql_string(table.comment()),
        properties.join(",\n")
    )
}

/// Returns `ALTER TABLE` that adds a new column to an existing managed table.
pub fn add_column(table: &TableDef, column: &Column) -> String {
    format!("ALTER TABLE {} ADD COLUMNS ({})", quoted(table.name), column_text(column))
}

/// End of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyBound {
    /// This row of the audit log.
    Entry(u64),
    /// The last copied row of the audit log. The audit log itself is copied to its end.
    Copied,
}

/// Returns `INSERT` that copies new rows of the Delta table in `folder` to a managed table, all or none.
///
/// All rows of a `seq` are committed together, in the order of `seq`. The last copied `seq` therefore identifies what was copied.
/// The statement reads it in its own transaction, so it can be repeated after any error.
pub fn insert_new_rows(table: &TableDef, folder: &str, bound: CopyBound) -> String {
    let all: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    let (name, columns) = (quoted(table.name), names(&all));
    let last_copied = |table: &str| format!("(SELECT coalesce(max(`seq`), 0) FROM {table})");
    let mut text = format!(
        "INSERT INTO {name} ({columns})\nSELECT {columns}\nFROM delta.{}\nWHERE `seq` > {}",
        quoted(folder),
        last_copied(&name)
    );
    let audit_log = super::catalog::AUDIT_LOG.name;
    match bound {
        CopyBound::Entry(seq) => text.push_str(&format!("\n  AND `seq` <= {seq}")),
        CopyBound::Copied if table.name == audit_log => {}
        CopyBound::Copied => text.push_str(&format!("\n  AND `seq` <= {}", last_copied(&quoted(audit_log)))),
    }
    text
}

/// Returns the query for the row count and the last `seq` of each table: `table_name`, `row_count`, `last_seq`.
pub fn count_rows() -> String {
    let each = super::catalog::all().map(|table| {
        format!(
            "SELECT {} AS table_name, count(*) AS row_count, coalesce(max(`seq`), 0) AS last_seq FROM {}",
            sql_string(table.name),
            quoted(table.name)
        )
    });
    each.collect::<Vec<_>>().join("\nUNION ALL\n")
}

fn column_text(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{} {}{null} COMMENT {}", quoted(column.name), column.kind.sql(), sql_string(column.comment()))
}

fn names(columns: &[&str]) -> String {
    columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}

/// Quotes a name in backticks. Returns `None` if it is blank or has control characters, which catalogs refuse.
pub fn identifier(name: &str) -> Option<String> {
    let is_invalid = name.trim().is_empty() || name.chars().any(char::is_control);
    (!is_invalid).then(|| quoted(name))
}

/// Quotes a name for SQL in backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Returns the section of a table in the data dictionary, as Markdown.
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

/// Returns a string literal that is safe on engines with and without backslash escapes. A test checks that comments contain neither
/// quotes nor backslashes.
fn sql_string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
