//! The tables as text: Delta's schema, `CREATE TABLE`, the statements that fill managed tables, the data dictionary.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Column, TableDef};

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

/// `CREATE TABLE` for a managed table that takes the rows of `table`: the same columns and comments, and the key.
///
/// The key is without RELY: an engine that relies on it may leave out the very work by which the audits find a row twice. Two
/// writers of one table never both succeed when each reads what the other writes, hence the isolation level.
pub fn managed_table(table: &TableDef) -> String {
    let mut parts: Vec<String> = table.columns.iter().map(|column| format!("  {}", column_text(column))).collect();
    parts.push(format!("  PRIMARY KEY ({})", names(table.key)));
    let mut properties = vec![("delta.isolationLevel", "Serializable".to_owned())];
    properties.extend(self::properties(table).into_iter().filter(|(name, _)| {
        // Of files and logs of managed tables the platform takes care.
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

/// Adds a column to a managed table that was made before the column was.
pub fn add_column(table: &TableDef, column: &Column) -> String {
    format!("ALTER TABLE {} ADD COLUMNS ({})", quoted(table.name), column_text(column))
}

/// Where copying ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyBound {
    /// With this row of the audit log.
    Entry(u64),
    /// With the last row of the audit log that was copied; the audit log itself with its last row.
    Copied,
}

/// Inserts into a managed table the rows of the Delta table in `folder` that it lacks, all or none.
///
/// A table of the lake gets all rows of a `seq` in one commit, in the order of `seq`. So the last `seq` that was copied tells
/// what was, and the statement may be run again after any error: it reads that `seq` in the transaction that inserts.
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

/// How many rows each table has, and its last `seq`: `table_name`, `row_count`, `last_seq`.
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

/// A name in back quotes. `None`: it is blank or has control characters, which a catalog does not take and no statement shows.
pub fn identifier(name: &str) -> Option<String> {
    let is_odd = name.trim().is_empty() || name.chars().any(char::is_control);
    (!is_odd).then(|| quoted(name))
}

/// A name in SQL, in backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
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
