//! A lake at one point in time: entries are projected once, each table is opened once, and all queries read the same rows.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{common::ScalarValue, datasource::MemTable, prelude::SessionContext};
use tokio::sync::Mutex;

use super::{DIALECT, QueryError, frame, queries, register, session};
use crate::{
    lake::{Lake, projector},
    tables::catalog,
};

/// Tables and views of a lake, opened on first use. Rows that are recorded after [`Self::of`] may be missing.
pub struct Snapshot<'a> {
    session: SessionContext,
    lake: Option<&'a Lake>,
    /// Locked while tables are opened, so that concurrent queries open each table once.
    opening: Mutex<()>,
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("lake", &self.lake).finish_non_exhaustive()
    }
}

impl<'a> Snapshot<'a> {
    /// Projects all entries and returns a snapshot of the lake: a caller reads its own earlier writes.
    ///
    /// # Errors
    /// Errors of the projection.
    pub async fn of(lake: &'a Lake) -> Result<Self, QueryError> {
        projector::project(lake, |_, _| {}).await?;
        Ok(Self { session: session(), lake: Some(lake), opening: Mutex::new(()) })
    }

    /// Returns a snapshot with rows by table name, for tests. Other tables are empty.
    ///
    /// # Errors
    /// The batches of a table have different schemas.
    pub fn of_rows(mut rows: impl FnMut(&str) -> Vec<RecordBatch>) -> Result<Self, QueryError> {
        let session = session();
        for def in catalog::all() {
            let batches = rows(def.name);
            let schema = batches.first().map_or_else(|| def.arrow_schema(), RecordBatch::schema);
            let table = MemTable::try_new(schema, vec![batches]).map_err(QueryError::Run)?;
            session.register_table(def.name, Arc::new(table)).map_err(QueryError::Run)?;
        }
        Ok(Self { session, lake: None, opening: Mutex::new(()) })
    }

    /// Returns the rows of a read-only statement. A name of [`queries`] means the text of that query.
    ///
    /// # Errors
    /// [`QueryError`], also if a parameter has no value.
    pub async fn run(
        &self,
        name_or_sql: &str,
        parameters: &[(&str, ScalarValue)],
    ) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
        let sql = queries().find(|(name, _)| *name == name_or_sql).map_or(name_or_sql, |(_, sql)| sql);
        let statement = self.session.state().sql_to_statement(sql, &DIALECT).map_err(QueryError::Sql)?;
        {
            let _opening = self.opening.lock().await;
            register(&self.session, self.lake, &statement).await?;
        }
        let frame = frame(&self.session, statement, parameters).await?;
        let planned = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(QueryError::Run)?;
        // The planned and the actual schema may differ in the layout of strings.
        let schema = batches.first().map_or(planned, RecordBatch::schema);
        Ok((schema, batches))
    }
}
