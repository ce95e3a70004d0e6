//! Merges data files in the sort order of their table, with a few rows in memory at a time.
//!
//! Writers sort each file, and files hardly overlap: usually one file is open, and the beginning of the next. If a file is not
//! sorted, the output has all of its rows, and is not sorted either.

use std::collections::VecDeque;

use arrow::{
    array::{ArrayRef, RecordBatch},
    row::{OwnedRow, RowConverter, Rows, SortField},
};
use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, async_reader::ParquetRecordBatchStream};

use super::{LakeError, Result, log::AddFile, reader::DataFileReader, table::Table};
use crate::tables::TableDef;

/// The approximate bytes of a file that are in memory as one batch of rows.
const BATCH_BYTES: i64 = 1 << 20;
const MAX_BATCH_ROWS: i64 = 1_024;

/// A merge of several data files into one sequence of batches.
pub struct FileMerge<'a> {
    table: &'a Table,
    /// Files that are not opened yet, by lowest `seq`.
    unopened: VecDeque<&'a AddFile>,
    /// Open files, in the order in which they were opened.
    open: Vec<MergeInput>,
    keys: RowConverter,
}

/// A file that is being read.
struct MergeInput {
    stream: ParquetRecordBatchStream<DataFileReader>,
    batch: RecordBatch,
    /// Sort keys of the rows of the batch.
    order: Rows,
    /// Rows of the batch that were returned. At least one row is left.
    done: usize,
}

impl<'a> FileMerge<'a> {
    /// # Errors
    /// None for a valid table definition.
    pub fn new(table: &'a Table, files: &'a [AddFile]) -> Result<Self> {
        let lowest = |file: &AddFile| file.parse_stats().min_u64("seq").unwrap_or(u64::MAX);
        let mut files: Vec<&AddFile> = files.iter().collect();
        files.sort_by_cached_key(|file| (lowest(file), file.path.clone()));
        let schema = table.def.arrow_schema();
        let fields =
            table.def.sort.iter().map(|name| Ok(SortField::new(schema.field_with_name(name)?.data_type().clone())));
        let keys = RowConverter::new(fields.collect::<Result<_>>()?)?;
        Ok(Self { table, unopened: files.into(), open: Vec::new(), keys })
    }

    /// Returns the next rows. `None` at the end.
    ///
    /// # Errors
    /// Errors of the store and of Parquet.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let first = loop {
            let first = (0..self.open.len()).min_by_key(|at| self.open[*at].head());
            // Unopened files begin no earlier than the file that was opened last.
            if self.open.len() > 1 && first.is_some_and(|first| first + 1 < self.open.len()) {
                break first;
            }
            match self.unopened.pop_front() {
                None => break first,
                Some(file) => {
                    let opened = MergeInput::open(self.table, &self.keys, file).await?;
                    self.open.extend(opened);
                }
            }
        };
        let Some(first) = first else { return Ok(None) };
        let others = self.open.iter().enumerate().filter(|(at, _)| *at != first);
        let limit = others.map(|(_, source)| source.head()).min();
        let source = &mut self.open[first];
        let rows = source.batch.slice(source.done, source.up_to(limit.as_ref()) - source.done);
        source.done += rows.num_rows();
        if source.done == source.batch.num_rows() && !source.advance(&self.keys, self.table.def).await? {
            self.open.remove(first);
        }
        Ok(Some(rows))
    }
}

impl MergeInput {
    /// Opens a file. `None`: it has no rows.
    async fn open(table: &Table, keys: &RowConverter, file: &AddFile) -> Result<Option<Self>> {
        let builder = ParquetRecordBatchStreamBuilder::new(DataFileReader::new(&table.store, file)).await?;
        let groups = builder.metadata().row_groups();
        let (bytes, rows) = groups
            .iter()
            .fold((0, 0), |(bytes, rows), group| (bytes + group.total_byte_size(), rows + group.num_rows()));
        let at_once = (BATCH_BYTES / (bytes / rows.max(1)).max(1)).clamp(1, MAX_BATCH_ROWS);
        let stream = builder.with_batch_size(usize::try_from(at_once).unwrap_or(1)).build()?;
        let batch = RecordBatch::new_empty(table.def.arrow_schema());
        let order = keys.empty_rows(0, 0);
        let mut source = Self { stream, batch, order, done: 0 };
        Ok(source.advance(keys, table.def).await?.then_some(source))
    }

    /// Returns the sort key of the next row.
    fn head(&self) -> OwnedRow {
        self.order.row(self.done).owned()
    }

    /// Returns the end of the rows that come no later than `limit`. At least one row is included.
    fn up_to(&self, limit: Option<&OwnedRow>) -> usize {
        let rows = self.batch.num_rows();
        let is_later = |at: &usize| limit.is_some_and(|limit| self.order.row(*at) > limit.row());
        (self.done + 1..rows).find(is_later).unwrap_or(rows)
    }

    /// Reads the next batch that has rows. Returns false at the end of the file.
    async fn advance(&mut self, keys: &RowConverter, def: &TableDef) -> Result<bool> {
        loop {
            let Some(batch) = self.stream.try_next().await? else { return Ok(false) };
            if batch.num_rows() == 0 {
                continue;
            }
            let missing = |name: &str| LakeError::Corrupt(format!("a file of {} has no column {name}", def.name));
            let column = |name: &&str| batch.column_by_name(name).cloned().ok_or_else(|| missing(name));
            let columns: Vec<ArrayRef> = def.sort.iter().map(column).collect::<Result<_>>()?;
            (self.order, self.batch, self.done) = (keys.convert_columns(&columns)?, batch, 0);
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lake::{Context, Lake},
        tables::{Row, from_batch, rows::CauseAlias, to_batch},
    };

    fn alias(seq: u64, ordinal: i32) -> CauseAlias {
        CauseAlias {
            seq,
            ordinal,
            recorded_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            cause_fingerprint: format!("cause {seq}"),
            counts_as: "a".repeat(1_000),
            actor: crate::domain::ids::Id::new("test").unwrap(),
            reason: None,
        }
    }

    /// Returns seqs and ordinals of the merged rows, and the maximum number of open files.
    async fn merged(files: &[Vec<(u64, i32)>]) -> (Vec<(u64, i32)>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
        let table = lake.table(CauseAlias::TABLE);
        let mut written = Vec::new();
        for rows in files {
            let rows: Vec<CauseAlias> = rows.iter().map(|(seq, ordinal)| alias(*seq, *ordinal)).collect();
            written.push(table.write_file(&to_batch(&rows).unwrap(), true).await.unwrap());
        }
        let mut merge = FileMerge::new(&table, &written).unwrap();
        let (mut found, mut open) = (Vec::new(), 0);
        while let Some(batch) = merge.next().await.unwrap() {
            assert!(batch.num_rows() > 0 && batch.num_rows() <= MAX_BATCH_ROWS as usize);
            found.extend(from_batch::<CauseAlias>(&batch).unwrap().iter().map(|row| (row.seq, row.ordinal)));
            open = open.max(merge.open.len());
        }
        (found, open)
    }

    #[tokio::test]
    async fn overlapping_files_are_merged_in_order() {
        let files = [
            vec![(3, 1), (3, 2), (9, 1), (10, 1), (30, 1)],
            vec![(1, 1), (2, 1), (40, 1)],
            vec![],
            vec![(4, 1), (5, 1), (5, 2), (5, 3), (11, 1)],
            vec![(41, 1)],
        ];
        let mut expected: Vec<(u64, i32)> = files.concat();
        expected.sort_unstable();
        assert_eq!(merged(&files).await.0, expected);
        assert_eq!(merged(&[]).await, (vec![], 0));
    }

    #[tokio::test]
    async fn at_most_two_files_that_do_not_overlap_are_open() {
        let files: Vec<Vec<(u64, i32)>> =
            (0..6).map(|n| (n * 2_000..(n + 1) * 2_000).map(|seq| (seq, 1)).collect()).collect();
        let mut shuffled = files.clone();
        shuffled.reverse();
        assert_eq!(merged(&shuffled).await, (files.concat(), 2));
    }

    #[tokio::test]
    async fn unsorted_files_lose_no_rows() {
        let files = [vec![(9, 1), (1, 1), (5, 1)], vec![(4, 1), (2, 1)]];
        let (mut found, _) = merged(&files).await;
        found.sort_unstable();
        assert_eq!(found, [(1, 1), (2, 1), (4, 1), (5, 1), (9, 1)]);
    }
}
