//! The engine that runs a query, and the values of its parameters.

use std::fmt;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::common::ScalarValue;
use serde::de::DeserializeOwned;

use super::{QueryError, queries, query_with, snapshot::Snapshot, warehouse::Warehouse};
use crate::{
    domain::time::Timestamp,
    lake::{Lake, LakeError},
};

/// An engine that runs queries.
#[derive(Debug, Clone, Copy)]
pub enum Engine<'a> {
    /// DataFusion in this process, on the lake's files.
    Local(&'a Lake),
    /// DataFusion in this process, on the lake at one point in time.
    Snapshot(&'a Snapshot<'a>),
    /// A SQL warehouse, on the same tables and views in its catalog.
    Warehouse(&'a Warehouse),
}

/// A value of a named parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    Text(String),
    Int(i64),
    Timestamp(Timestamp),
}

/// Names without the colon, and values.
pub type Parameters = Vec<(String, ParameterValue)>;

impl Engine<'_> {
    /// Returns the rows of a query. A name of [`super::queries`] means the text of that query. A warehouse reads the rows that were
    /// projected before.
    ///
    /// # Errors
    /// [`QueryError`], also if a parameter has no value.
    pub async fn run(
        self,
        name_or_sql: &str,
        parameters: &[(String, ParameterValue)],
    ) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
        let scalars = || -> Vec<(&str, ScalarValue)> {
            parameters.iter().map(|(name, value)| (name.as_str(), value.into())).collect()
        };
        match self {
            Self::Local(lake) => query_with(lake, name_or_sql, &scalars()).await,
            Self::Snapshot(snapshot) => snapshot.run(name_or_sql, &scalars()).await,
            Self::Warehouse(warehouse) => {
                let sql = queries().find(|(name, _)| *name == name_or_sql).map_or(name_or_sql, |(_, sql)| sql);
                Ok(warehouse.query(sql, parameters).await?)
            }
        }
    }

    /// [`Self::run`], each row as `T`.
    ///
    /// # Errors
    /// As [`Self::run`], and if a row does not match `T`.
    pub async fn rows<T: DeserializeOwned>(
        self,
        name_or_sql: &str,
        parameters: &[(String, ParameterValue)],
    ) -> Result<Vec<T>, QueryError> {
        let (_, batches) = self.run(name_or_sql, parameters).await?;
        let mut rows = Vec::new();
        for batch in &batches {
            let read: Vec<T> = serde_arrow::from_record_batch(batch)
                .map_err(|error| LakeError::Corrupt(format!("a row of the query has an unexpected shape: {error}")))?;
            rows.extend(read);
        }
        Ok(rows)
    }
}

impl From<&ParameterValue> for ScalarValue {
    fn from(value: &ParameterValue) -> Self {
        match value {
            ParameterValue::Text(text) => text.as_str().into(),
            ParameterValue::Int(number) => (*number).into(),
            ParameterValue::Timestamp(at) => Self::TimestampMicrosecond(Some(at.micros()), Some("UTC".into())),
        }
    }
}

impl From<&str> for ParameterValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for ParameterValue {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<Timestamp> for ParameterValue {
    fn from(at: Timestamp) -> Self {
        Self::Timestamp(at)
    }
}

/// Prints the value as on the command line.
impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => write!(f, "{number}"),
            Self::Timestamp(at) => write!(f, "{at}"),
        }
    }
}
