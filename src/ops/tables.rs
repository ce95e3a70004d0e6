//! Registers or copies the lake's tables and views in a catalog.
//!
//! - Tables of a lake in an external location are registered: the catalog stores their location.
//! - Tables of a lake in a volume cannot be registered. The catalog gets managed tables of the same shape, and [`copy`] inserts
//!   new rows.
//!
//! Views, dashboards and queries work the same with both. [`compare`] compares the tables in the catalog with the lake's.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::OpsError;
use crate::{
    analytics::{self, QueryError, warehouse::Warehouse},
    databricks::{Client, statements::StatementError},
    domain::{
        copies::{CopyComparison, CopyHead, SourceHead},
        incident::Refusal,
    },
    lake::{Lake, LakeError, ledger, location::VolumePath, projector, row_count, table::folder_url, verify::Tampering},
    tables::{TableDef, catalog, catalog::AUDIT_LOG, ddl, ddl::CopyBound},
};

/// The backoff after the first conflict. It doubles with every further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// How often a statement is retried after a conflict with a concurrent run.
const MAX_CONFLICTS: usize = 8;

/// A statement, and the table or view that it creates or fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogStatement {
    pub kind: CatalogStatementKind,
    pub name: &'static str,
    #[serde(rename = "statement")]
    pub sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogStatementKind {
    Table,
    View,
    /// Rows for a managed table.
    Rows,
}

impl CatalogStatementKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Rows => "rows",
        }
    }
}

fn refused(what: &str, reason: &str, hint: &str) -> OpsError {
    OpsError::Refused(Refusal { message: format!("{what} cannot be used: {reason}"), hint: hint.into() })
}

/// Returns the statements that register the lake in a catalog: tables, then views in the order of their dependencies.
///
/// # Errors
/// [`OpsError::Refused`] if a catalog cannot reach the lake; the store's, which contains the workspace's.
pub async fn registration(lake: &Lake) -> Result<Vec<CatalogStatement>, OpsError> {
    let mut statements = match lake.volume_path() {
        Some(_) => catalog::all().map(|def| table_statement(def, ddl::managed_table(def))).collect(),
        None => external_tables(lake).await?,
    };
    for (name, sql) in analytics::view_statements("CREATE OR REPLACE VIEW")? {
        statements.push(CatalogStatement { kind: CatalogStatementKind::View, name, sql });
    }
    Ok(statements)
}

fn table_statement(def: &TableDef, sql: String) -> CatalogStatement {
    CatalogStatement { kind: CatalogStatementKind::Table, name: def.name, sql }
}

async fn external_tables(lake: &Lake) -> Result<Vec<CatalogStatement>, OpsError> {
    const HINT: &str = "use a lake in an object store or in a volume: uc://catalog.schema/volume";
    if lake.url().scheme() == "file" {
        let reason = "a catalog reaches object stores only, and this lake is a local folder";
        return Err(refused(&lake.display(), reason, HINT));
    }
    let storage = lake.storage_url().await?;
    let unsupported =
        || refused(&lake.display(), "its location has a quote or a backslash, which engines escape differently", HINT);
    let statement = |def: &TableDef| {
        let sql = ddl::external_table(def, &folder_url(&storage, def)).ok_or_else(unsupported)?;
        Ok(table_statement(def, sql))
    };
    catalog::all().map(statement).collect()
}

/// Runs the statements of [`registration`]. Calls `done` after each one.
///
/// The statements are idempotent and may be retried after a network error. A managed table that an earlier version created
/// gets the columns that it lacks.
///
/// # Errors
/// [`OpsError::Refused`] if another object has the name of a table; the warehouse's.
pub async fn register(
    lake: &Lake,
    client: &Client,
    warehouse: &Warehouse,
    statements: &[CatalogStatement],
    mut done: impl FnMut(&CatalogStatement),
) -> Result<(), OpsError> {
    // A catalog reads the columns of an external table from its Delta log.
    super::existing_lake(lake).await?;
    for def in catalog::all() {
        check_name(lake, client, warehouse, def).await?;
    }
    // Views name columns that a table of an earlier version lacks.
    let (views, tables): (Vec<_>, Vec<_>) =
        statements.iter().partition(|statement| statement.kind == CatalogStatementKind::View);
    for statement in tables {
        execute(warehouse, &statement.sql).await?;
        done(statement);
    }
    if lake.volume_path().is_some() {
        for def in catalog::all() {
            add_missing_columns(warehouse, def).await?;
        }
    }
    for statement in views {
        execute(warehouse, &statement.sql).await?;
        done(statement);
    }
    Ok(())
}

/// Checks that an existing table of that name is the table.
async fn check_name(lake: &Lake, client: &Client, warehouse: &Warehouse, def: &TableDef) -> Result<(), OpsError> {
    let (catalog, schema) = warehouse.catalog_and_schema();
    let Some(found) = client.table(catalog, schema, def.name).await? else { return Ok(()) };
    let reason = if lake.volume_path().is_some() {
        let kind = found.table_type.unwrap_or_else(|| "n/a".into());
        (kind != "MANAGED").then(|| format!("it exists already, and is not a managed table: {kind}"))
    } else {
        let (expected, found) = (folder_url(&lake.storage_url().await?, def), found.storage_location);
        let is_there = found.as_deref().is_some_and(|found| found.trim_end_matches('/') == expected);
        let found = found.unwrap_or_else(|| "n/a".into());
        (!is_there).then(|| format!("it exists already, with another location: {found}"))
    };
    let name = format!("{}.{}", warehouse.schema_name(), def.name);
    let hint = "use another schema, or rename or drop the existing object";
    reason.map_or(Ok(()), |reason| Err(refused(&name, &reason, hint)))
}

async fn execute(warehouse: &Warehouse, sql: &str) -> Result<(), OpsError> {
    let run = || async { warehouse.execute(sql).await };
    let pauses = ExponentialBuilder::new().with_min_delay(FIRST_BACKOFF).with_max_times(MAX_CONFLICTS).with_jitter();
    run.retry(pauses).when(StatementError::is_conflict).await.map(drop).map_err(from_warehouse)
}

fn from_warehouse(error: StatementError) -> OpsError {
    QueryError::from(error).into()
}

/// Adds nullable columns that a managed table lacks, because an earlier version made it.
async fn add_missing_columns(warehouse: &Warehouse, def: &TableDef) -> Result<(), OpsError> {
    let names = warehouse.column_names(def.name).await.map_err(from_warehouse)?;
    let is_missing = |name: &str, names: &[String]| !names.iter().any(|found| found.eq_ignore_ascii_case(name));
    for column in def.columns.iter().filter(|column| is_missing(column.name, &names)) {
        if !column.nullable {
            let what = format!("{}.{}", warehouse.schema_name(), def.name);
            let reason = format!("it lacks the column {}, which is never null", column.name);
            return Err(refused(
                &what,
                &reason,
                "drop the table, then run `catalog register` and `catalog copy` again",
            ));
        }
        let added = execute(warehouse, &ddl::add_column(def, column)).await;
        if added.is_err() {
            // A concurrent run may have added it.
            let names = warehouse.column_names(def.name).await.map_err(from_warehouse)?;
            if is_missing(column.name, &names) {
                return added;
            }
        }
    }
    Ok(())
}

/// Returns the statements that copy new rows from a lake at `path` into managed tables, to be run by hand in their order.
pub fn copying(path: &VolumePath) -> Vec<CatalogStatement> {
    catalog::in_copy_order().map(|def| copy_statement(def, path, CopyBound::Copied)).collect()
}

fn copy_statement(def: &TableDef, path: &VolumePath, bound: CopyBound) -> CatalogStatement {
    let sql = ddl::insert_new_rows(def, &path.table(def.name), bound);
    CatalogStatement { kind: CatalogStatementKind::Rows, name: def.name, sql }
}

/// Rows that a run copied into one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CopiedRows {
    pub table: &'static str,
    pub rows: u64,
    /// The last `seq` in the catalog after the copy.
    pub last_seq: u64,
}

/// Copies new rows into the managed tables: one statement for each table, all up to the same entry of the ledger. Returns the
/// tables that got rows. Calls `done` after each statement.
///
/// A complete table gets no statement. Killed and concurrent runs neither lose nor duplicate rows: see
/// [`ddl::insert_new_rows`].
///
/// # Errors
/// [`OpsError::DifferentTables`], before anything is copied, if a table differs from the lake; the lake's, the
/// warehouse's.
pub async fn copy(
    lake: &Lake,
    path: &VolumePath,
    warehouse: &Warehouse,
    mut done: impl FnMut(&CatalogStatement),
) -> Result<Vec<CopiedRows>, OpsError> {
    projector::project(lake, |_, _| {}).await?;
    let table = lake.table(AUDIT_LOG);
    let bound = CopyBound::Entry(ledger::head(&table, &table.newest_log().await?).await?.chain.seq);
    let before = all_same(warehouse, compare(lake, warehouse).await?)?;
    let missing_rows = |def: &TableDef| before.iter().any(|it| it.table == def.name && it.missing_rows() > 0);
    let mut any = false;
    for def in catalog::in_copy_order().filter(|def| missing_rows(def)) {
        add_missing_columns(warehouse, def).await?;
        let statement = copy_statement(def, path, bound);
        execute(warehouse, &statement.sql).await?;
        done(&statement);
        any = true;
    }
    if !any {
        return Ok(Vec::new());
    }
    let after = all_same(warehouse, compare(lake, warehouse).await?)?;
    let copied = before.iter().zip(&after).map(|(before, after)| CopiedRows {
        table: after.table,
        rows: after.rows.saturating_sub(before.rows),
        last_seq: after.last_seq,
    });
    Ok(copied.filter(|copied| copied.rows > 0).collect())
}

fn all_same(warehouse: &Warehouse, found: Vec<CopyComparison>) -> Result<Vec<CopyComparison>, OpsError> {
    let (different, same): (Vec<_>, Vec<_>) = found.into_iter().partition(CopyComparison::is_different);
    if !different.is_empty() {
        return Err(OpsError::DifferentTables { schema: warehouse.schema_name(), tables: different });
    }
    Ok(same)
}

/// Compares every table in the catalog with the lake's: the rows up to the last copied `seq`, and the hash of the last entry
/// of the audit log. Works for registered tables too.
///
/// # Errors
/// The warehouse's, also if a table is missing there; the lake's.
pub async fn compare(lake: &Lake, warehouse: &Warehouse) -> Result<Vec<CopyComparison>, OpsError> {
    #[derive(Deserialize)]
    struct TableCount {
        table_name: String,
        row_count: u64,
        last_seq: u64,
    }
    // The catalog is read first: rows that are copied meanwhile are already in the lake.
    let counts: Vec<TableCount> = rows(warehouse, &ddl::count_rows()).await?;
    let count = |def: &TableDef| {
        let count = counts.iter().find(|count| count.table_name == def.name);
        count.map(|count| CopyHead { rows: count.row_count, last_seq: count.last_seq })
    };
    let mut compared = Vec::new();
    for def in catalog::all() {
        let missing = || LakeError::Corrupt(format!("the warehouse did not count the rows of {}", def.name));
        let copy = count(def).ok_or_else(missing)?;
        let same_hash = def.name != AUDIT_LOG.name || has_same_hash(lake, warehouse, copy.last_seq).await?;
        let (up_to_copy, whole) = row_count::around(lake, def, copy.last_seq).await?;
        let source = SourceHead { rows: whole.rows, last_seq: whole.last_seq, rows_up_to_copy: up_to_copy.rows };
        compared.push(CopyComparison::of(def.name, copy, source, same_hash));
    }
    Ok(compared)
}

/// Returns whether the row `seq` of the audit log has the same hash in the lake and in the warehouse. `true` if the lake has
/// no such row: the row counts show that difference.
async fn has_same_hash(lake: &Lake, warehouse: &Warehouse, seq: u64) -> Result<bool, OpsError> {
    #[derive(Deserialize)]
    struct HashRow {
        entry_hash: String,
    }
    if seq == 0 {
        return Ok(true);
    }
    let there: Vec<HashRow> = rows(warehouse, &format!("SELECT entry_hash FROM audit_log WHERE seq = {seq}")).await?;
    let table = lake.table(AUDIT_LOG);
    let here = ledger::rows_between(&table, &table.newest_log().await?, seq - 1, seq).await?;
    Ok(here.iter().all(|here| there.iter().all(|there| there.entry_hash == here.entry_hash)))
}

/// Runs the audits of `sql/audits` on the warehouse. Returns those with rows, with their number. Missing projections are left
/// to [`compare`], which takes into account how far they were copied.
async fn audit(warehouse: &Warehouse) -> Result<Vec<(&'static str, u64)>, OpsError> {
    #[derive(Deserialize)]
    struct AuditRowCount {
        row_count: u64,
    }
    let mut found = Vec::new();
    for (name, sql) in analytics::audits().filter(|(name, _)| *name != "projection_missing") {
        let sql = format!("SELECT count(*) AS row_count FROM (\n{}\n) AS found", analytics::header::body(sql));
        let counted: Vec<AuditRowCount> = rows(warehouse, &sql).await?;
        let count = counted.iter().map(|it| it.row_count).sum();
        if count > 0 {
            found.push((name, count));
        }
    }
    Ok(found)
}

/// Returns the comparison of every table in the catalog, and all findings about them.
///
/// # Errors
/// As [`compare`].
pub async fn verify(lake: &Lake, warehouse: &Warehouse) -> Result<(Vec<CopyComparison>, Vec<Tampering>), OpsError> {
    let compared = compare(lake, warehouse).await?;
    let different = compared.iter().filter(|table| table.is_different()).cloned().map(Tampering::CatalogTable);
    let audits = audit(warehouse).await?.into_iter().map(|(audit, rows)| Tampering::CatalogAudit { audit, rows });
    let found = different.chain(audits).collect();
    Ok((compared, found))
}

async fn rows<T: DeserializeOwned>(warehouse: &Warehouse, sql: &str) -> Result<Vec<T>, OpsError> {
    let batch = warehouse.execute(sql).await.map_err(from_warehouse)?;
    let unread = |error: serde_arrow::Error| {
        LakeError::Corrupt(format!("the response of the warehouse cannot be read: {error}"))
    };
    Ok(serde_arrow::from_record_batch(&batch).map_err(unread)?)
}
