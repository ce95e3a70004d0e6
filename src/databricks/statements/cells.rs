//! Converts values, which the API sends as text, to typed columns.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, NullArray, PrimitiveArray, RecordBatch,
        RecordBatchOptions, StringArray,
    },
    compute::kernels::cast_utils::parse_decimal,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
    },
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};

use super::{ApiError, StatementColumn, StatementError, StatementResult, cut};

/// `TIMESTAMP`, UTC, microseconds.
const UTC: &str = "UTC";

impl StatementColumn {
    pub fn is_timestamp(&self) -> bool {
        self.type_name == "TIMESTAMP"
    }

    fn data_type(&self) -> Option<DataType> {
        Some(match self.type_name.as_str() {
            "BOOLEAN" => DataType::Boolean,
            "BYTE" => DataType::Int8,
            "SHORT" => DataType::Int16,
            "INT" => DataType::Int32,
            "LONG" => DataType::Int64,
            "FLOAT" => DataType::Float32,
            "DOUBLE" => DataType::Float64,
            "DECIMAL" => {
                DataType::Decimal128(self.type_precision.filter(|digits| (1..=38).contains(digits))?, self.type_scale?)
            }
            "DATE" => DataType::Date32,
            "TIMESTAMP" => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            "STRING" | "CHAR" => DataType::Utf8,
            "NULL" => DataType::Null,
            _ => return None,
        })
    }

    /// Returns the type's name in SQL.
    fn kind(&self) -> String {
        cut(if self.type_text.is_empty() { &self.type_name } else { &self.type_text })
    }
}

/// Returns the result as typed columns, each nullable.
///
/// # Errors
/// [`StatementError::UnknownType`], [`StatementError::Cell`].
pub fn batch(answer: &StatementResult) -> Result<RecordBatch, StatementError> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (index, column) in answer.columns.iter().enumerate() {
        let cells = Cells { column, index, rows: &answer.rows };
        let Some(data_type) = column.data_type() else {
            return Err(StatementError::UnknownType { column: column.name.clone(), kind: column.kind() });
        };
        arrays.push(cells.array(&data_type)?);
        fields.push(Field::new(&column.name, data_type, true));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(answer.rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    Ok(batch.map_err(ApiError::unexpected)?)
}

/// The cells of one column.
struct Cells<'a> {
    column: &'a StatementColumn,
    index: usize,
    rows: &'a [Vec<Option<String>>],
}

impl<'a> Cells<'a> {
    fn texts(&self) -> impl Iterator<Item = Option<&'a str>> {
        self.rows.iter().map(|row| row.get(self.index).and_then(Option::as_deref))
    }

    /// Parses the cells. Null stays null; a cell that does not parse is an error.
    fn parsed<T>(&self, parse: impl Fn(&str) -> Option<T>) -> impl Iterator<Item = Result<Option<T>, StatementError>> {
        self.texts().enumerate().map(move |(row, text)| match text {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| StatementError::Cell {
                column: self.column.name.clone(),
                row: row + 1,
                text: cut(text),
                kind: self.column.kind(),
            }),
        })
    }

    fn primitive<T: ArrowPrimitiveType>(
        &self,
        parse: impl Fn(&str) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>, StatementError> {
        self.parsed(parse).collect()
    }

    fn array(&self, data_type: &DataType) -> Result<ArrayRef, StatementError> {
        Ok(match data_type {
            DataType::Boolean => Arc::new(self.parsed(|text| text.parse().ok()).collect::<Result<BooleanArray, _>>()?),
            DataType::Int8 => Arc::new(self.primitive::<Int8Type>(|text| text.parse().ok())?),
            DataType::Int16 => Arc::new(self.primitive::<Int16Type>(|text| text.parse().ok())?),
            DataType::Int32 => Arc::new(self.primitive::<Int32Type>(|text| text.parse().ok())?),
            DataType::Int64 => Arc::new(self.primitive::<Int64Type>(|text| text.parse().ok())?),
            DataType::Float32 => Arc::new(self.primitive::<Float32Type>(|text| text.parse().ok())?),
            DataType::Float64 => Arc::new(self.primitive::<Float64Type>(|text| text.parse().ok())?),
            DataType::Decimal128(precision, scale) => {
                let parse = |text: &str| parse_decimal::<Decimal128Type>(text, *precision, *scale).ok();
                let array: Decimal128Array = self.primitive(parse)?;
                Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(ApiError::unexpected)?)
            }
            DataType::Date32 => Arc::new(
                self.primitive::<Date32Type>(|text| text.parse::<NaiveDate>().ok().map(Date32Type::from_naive_date))?,
            ),
            DataType::Timestamp(..) => Arc::new(self.primitive::<TimestampMicrosecondType>(micros)?.with_timezone(UTC)),
            DataType::Null => {
                Arc::new(NullArray::new(self.parsed(|_| None::<()>).collect::<Result<Vec<_>, _>>()?.len()))
            }
            _ => Arc::new(self.texts().collect::<StringArray>()),
        })
    }
}

/// Parses a timestamp to microseconds since 1970: `2026-02-11T12:36:00.000Z`, another offset, or the format of
/// `CAST(… AS STRING)`. Without an offset it is UTC, which is checked to be the time zone of the warehouse.
fn micros(text: &str) -> Option<i64> {
    let with_offset = DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc());
    let moment = with_offset.or_else(|_| {
        let text = text.replacen('T', " ", 1);
        NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").map(|moment| moment.and_utc())
    });
    moment.ok().map(|moment| moment.timestamp_micros())
}
