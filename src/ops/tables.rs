//! The lake's tables and views in a catalog.
//!
//! - Tables of a lake below an external location are registered: the catalog learns where they are.
//! - Tables of a lake in a volume cannot be registered. The catalog gets managed tables of the same shape, and [`copy`] inserts
//!   what is new.
//!
//! Views, dashboards and queries see no difference. [`compare`] tells how the tables in the catalog stand to the lake's.

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
    lake::{Lake, LakeError, extent, ledger, location::VolumePath, projector, table::folder_url, verify::Tampering},
    tables::{TableDef, catalog, catalog::AUDIT_LOG, ddl, ddl::CopyBound},
};

/// The pause after a conflict, doubled after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// How often a statement is run again after a conflict. Every conflict means that a concurrent run copied.
const MAX_CONFLICTS: usize = 8;

/// A statement, and what it makes or fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub kind: StepKind,
    pub name: &'static str,
    #[serde(rename = "statement")]
    pub sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    Table,
    View,
    /// Rows for a managed table.
    Rows,
}

impl StepKind {
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

/// The statements that show the lake in a catalog: tables first, then views, those first that others need.
///
/// # Errors
/// [`OpsError::Refused`] when a catalog cannot reach the lake; the workspace's, inside the store's.
pub async fn registration(lake: &Lake) -> Result<Vec<Step>, OpsError> {
    let mut steps = match lake.volume_path() {
        Some(_) => catalog::all().map(|def| table_step(def, ddl::managed_table(def))).collect(),
        None => external_tables(lake).await?,
    };
    for (name, sql) in analytics::view_statements("CREATE OR REPLACE VIEW")? {
        steps.push(Step { kind: StepKind::View, name, sql });
    }
    Ok(steps)
}

fn table_step(def: &TableDef, sql: String) -> Step {
    Step { kind: StepKind::Table, name: def.name, sql }
}

async fn external_tables(lake: &Lake) -> Result<Vec<Step>, OpsError> {
    const HINT: &str = "give a lake in an object store, or in a volume: uc://catalog.schema/volume";
    if lake.url().scheme() == "file" {
        let reason = "a catalog reaches object stores only, and this lake is a folder of this machine";
        return Err(refused(&lake.display(), reason, HINT));
    }
    let storage = lake.storage_url().await?;
    let odd =
        || refused(&lake.display(), "its location has a quote or a backslash, which engines read differently", HINT);
    let step = |def: &TableDef| {
        let sql = ddl::external_table(def, &folder_url(&storage, def)).ok_or_else(odd)?;
        Ok(table_step(def, sql))
    };
    catalog::all().map(step).collect()
}

/// Runs the statements of [`registration`]. `done` hears of each that was run.
///
/// They may be sent twice after an error of the network: each leaves what is there as it is. A managed table that was made by an
/// earlier version gets the columns that it lacks.
///
/// # Errors
/// [`OpsError::Refused`] when a table of that name is something else; the warehouse's.
pub async fn register(
    lake: &Lake,
    client: &Client,
    warehouse: &Warehouse,
    steps: &[Step],
    mut done: impl FnMut(&Step),
) -> Result<(), OpsError> {
    // A catalog takes the columns of an external table from its log.
    super::existing_lake(lake).await?;
    for def in catalog::all() {
        check_name(lake, client, warehouse, def).await?;
    }
    // Views name columns that a table of an earlier version lacks.
    let (views, tables): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.kind == StepKind::View);
    for step in tables {
        execute(warehouse, &step.sql).await?;
        done(step);
    }
    if lake.volume_path().is_some() {
        for def in catalog::all() {
            add_missing_columns(warehouse, def).await?;
        }
    }
    for step in views {
        execute(warehouse, &step.sql).await?;
        done(step);
    }
    Ok(())
}

/// What has the table's name already must be the table.
async fn check_name(lake: &Lake, client: &Client, warehouse: &Warehouse, def: &TableDef) -> Result<(), OpsError> {
    let (catalog, schema) = warehouse.place();
    let Some(found) = client.table(catalog, schema, def.name).await? else { return Ok(()) };
    let reason = if lake.volume_path().is_some() {
        let kind = found.table_type.unwrap_or_else(|| "n/a".into());
        (kind != "MANAGED").then(|| format!("it is there already, and is no managed table: {kind}"))
    } else {
        let (expected, found) = (folder_url(&lake.storage_url().await?, def), found.storage_location);
        let is_there = found.as_deref().is_some_and(|found| found.trim_end_matches('/') == expected);
        let found = found.unwrap_or_else(|| "n/a".into());
        (!is_there).then(|| format!("it is there already, with another location: {found}"))
    };
    let name = format!("{}.{}", warehouse.schema_name(), def.name);
    let hint = "give another schema, or rename or drop what is there";
    reason.map_or(Ok(()), |reason| Err(refused(&name, &reason, hint)))
}

async fn execute(warehouse: &Warehouse, sql: &str) -> Result<(), OpsError> {
    let run = || async { warehouse.execute(sql).await };
    let pauses = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_times(MAX_CONFLICTS).with_jitter();
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
            return Err(refused(&what, &reason, "drop the table, then run `tables register` and `tables copy` again"));
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

/// The statements that copy what is new from a lake at `path` into managed tables, for people who run them one after the other.
pub fn copying(path: &VolumePath) -> Vec<Step> {
    catalog::in_copy_order().map(|def| copy_step(def, path, CopyBound::Copied)).collect()
}

fn copy_step(def: &TableDef, path: &VolumePath, bound: CopyBound) -> Step {
    let sql = ddl::insert_new_rows(def, &path.table(def.name), bound);
    Step { kind: StepKind::Rows, name: def.name, sql }
}

/// Rows that a run copied into one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CopiedRows {
    pub table: &'static str,
    pub rows: u64,
    /// The last `seq` in the catalog from then on.
    pub last_seq: u64,
}

/// Copies what is new into the managed tables, each table in one statement, none beyond the same entry of the ledger. Returns the
/// tables that got rows. `done` hears of each statement that was run.
///
/// A table that lacks nothing gets no statement. A run that was killed, or one beside this one, leaves no row out and puts none
/// in twice: see [`ddl::insert_new_rows`].
///
/// # Errors
/// [`OpsError::DifferentTables`], before anything is copied, when a table says something that the lake does not say; the
/// lake's, the warehouse's.
pub async fn copy(
    lake: &Lake,
    path: &VolumePath,
    warehouse: &Warehouse,
    mut done: impl FnMut(&Step),
) -> Result<Vec<CopiedRows>, OpsError> {
    projector::project(lake, |_, _| {}).await?;
    let table = lake.table(AUDIT_LOG);
    let bound = CopyBound::Entry(ledger::head(&table, &table.newest().await?).await?.chain.seq);
    let before = all_same(warehouse, compare(lake, warehouse).await?)?;
    let missing_rows = |def: &TableDef| before.iter().any(|it| it.table == def.name && it.missing_rows() > 0);
    let mut any = false;
    for def in catalog::in_copy_order().filter(|def| missing_rows(def)) {
        add_missing_columns(warehouse, def).await?;
        let step = copy_step(def, path, bound);
        execute(warehouse, &step.sql).await?;
        done(&step);
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

/// Every table in the catalog beside the lake's: whether it holds the same rows, as far as it goes. Of the audit log the last
/// entry is compared by its hash. Works for registered tables too.
///
/// # Errors
/// The warehouse's, also when a table is missing there; the lake's.
pub async fn compare(lake: &Lake, warehouse: &Warehouse) -> Result<Vec<CopyComparison>, OpsError> {
    #[derive(Deserialize)]
    struct Count {
        table_name: String,
        row_count: u64,
        last_seq: u64,
    }
    // The catalog first: what is copied in the meantime is in the lake already.
    let counts: Vec<Count> = rows(warehouse, &ddl::count_rows()).await?;
    let count = |def: &TableDef| {
        let count = counts.iter().find(|count| count.table_name == def.name);
        count.map(|count| CopyHead { rows: count.row_count, last_seq: count.last_seq })
    };
    let mut compared = Vec::new();
    for def in catalog::all() {
        let missing = || LakeError::Corrupt(format!("the warehouse did not count the rows of {}", def.name));
        let copy = count(def).ok_or_else(missing)?;
        let same_hash = def.name != AUDIT_LOG.name || has_same_hash(lake, warehouse, copy.last_seq).await?;
        let (up_to_copy, whole) = extent::around(lake, def, copy.last_seq).await?;
        let source = SourceHead { rows: whole.rows, last_seq: whole.last_seq, rows_up_to_copy: up_to_copy.rows };
        compared.push(CopyComparison::of(def.name, copy, source, same_hash));
    }
    Ok(compared)
}

/// Whether the rows of the audit log at `seq` have the same hash here and there. `true` where the lake has none: that is another
/// difference.
async fn has_same_hash(lake: &Lake, warehouse: &Warehouse, seq: u64) -> Result<bool, OpsError> {
    #[derive(Deserialize)]
    struct Hash {
        entry_hash: String,
    }
    if seq == 0 {
        return Ok(true);
    }
    let there: Vec<Hash> = rows(warehouse, &format!("SELECT entry_hash FROM audit_log WHERE seq = {seq}")).await?;
    let table = lake.table(AUDIT_LOG);
    let here = ledger::rows_between(&table, &table.newest().await?, seq - 1, seq).await?;
    Ok(here.iter().all(|here| there.iter().all(|there| there.entry_hash == here.entry_hash)))
}

/// Rows that the audits of `sql/audits` return on the warehouse, by name of the audit; those that return none are left out. What
/// projections lack is left to [`compare`], which knows how far they were copied.
async fn audit(warehouse: &Warehouse) -> Result<Vec<(&'static str, u64)>, OpsError> {
    #[derive(Deserialize)]
    struct Found {
        row_count: u64,
    }
    let mut found = Vec::new();
    for (name, sql) in analytics::audits().filter(|(name, _)| *name != "projection_missing") {
        let sql = format!("SELECT count(*) AS row_count FROM (\n{}\n) AS found", analytics::header::body(sql));
        let counted: Vec<Found> = rows(warehouse, &sql).await?;
        let count = counted.iter().map(|it| it.row_count).sum();
        if count > 0 {
            found.push((name, count));
        }
    }
    Ok(found)
}

/// What the tables in the catalog say that the lake does not: the comparison of every table, and everything found wrong.
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
    let unread =
        |error: serde_arrow::Error| LakeError::Corrupt(format!("the warehouse's answer cannot be read: {error}"));
    Ok(serde_arrow::from_record_batch(&batch).map_err(unread)?)
}
