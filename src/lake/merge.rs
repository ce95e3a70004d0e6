//! Merges data files in the order of their table, a few rows in memory at a time however many there are.
//!
//! Writers leave each file in that order, and files hardly overlap: as a rule one file is read, and the beginning of the next.
//! Where a file is not in order its rows come all the same, only not in order either.

use std::collections::VecDeque;

use arrow::{
    array::{ArrayRef, RecordBatch},
    row::{OwnedRow, RowConverter, Rows, SortField},
};
use futures::TryStreamExt;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, async_reader::ParquetRecordBatchStream};

use super::{LakeError, Result, log::AddFile, reader::DataFile, table::Table};
use crate::tables::TableDef;

/// About as many bytes of a file are in memory as rows at a time.
const BATCH_BYTES: i64 = 1 << 20;
const MAX_BATCH_ROWS: i64 = 1_024;

/// Files on their way into one.
pub struct Merge<'a> {
    table: &'a Table,
    /// Not opened yet, in the order of their lowest seq.
    waiting: VecDeque<&'a AddFile>,
    /// In the order in which they were opened.
    open: Vec<Source>,
    keys: RowConverter,
}

/// A file that is being read.
struct Source {
    stream: ParquetRecordBatchStream<DataFile>,
    batch: RecordBatch,
    /// What the rows of the batch are sorted by.
    order: Rows,
    /// Rows of the batch that are done; there is one more at least.
    done: usize,
}

impl<'a> Merge<'a> {
    /// # Errors
    /// None that a table's definition can lead to.
    pub fn new(table: &'a Table, files: &'a [AddFile]) -> Result<Self> {
        let lowest = |file: &AddFile| file.parse_stats().min_u64("seq").unwrap_or(u64::MAX);
        let mut files: Vec<&AddFile> = files.iter().collect();
        files.sort_by_cached_key(|file| (lowest(file), file.path.clone()));
        let schema = table.def.arrow_schema();
        let fields =
            table.def.sort.iter().map(|name| Ok(SortField::new(schema.field_with_name(name)?.data_type().clone())));
        let keys = RowConverter::new(fields.collect::<Result<_>>()?)?;
        Ok(Self { table, waiting: files.into(), open: Vec::new(), keys })
    }

    /// The next rows. `None` at the end.
    ///
    /// # Errors
    /// The store's and Parquet's.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let first = loop {
            let first = (0..self.open.len()).min_by_key(|at| self.open[*at].head());
            // Whatever waits begins no earlier than the file that was opened last.
            if self.open.len() > 1 && first.is_some_and(|first| first + 1 < self.open.len()) {
                break first;
            }
            match self.waiting.pop_front() {
                None => break first,
                Some(file) => {
                    let opened = Source::open(self.table, &self.keys, file).await?;
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

impl Source {
    /// `None`: there are no rows in it.
    async fn open(table: &Table, keys: &RowConverter, file: &AddFile) -> Result<Option<Self>> {
        let builder = ParquetRecordBatchStreamBuilder::new(DataFile::new(&table.store, file)).await?;
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

    /// What the next row is sorted by.
    fn head(&self) -> OwnedRow {
        self.order.row(self.done).owned()
    }

    /// Where the rows end that come no later than `limit`, one at least.
    fn up_to(&self, limit: Option<&OwnedRow>) -> usize {
        let rows = self.batch.num_rows();
        let is_later = |at: &usize| limit.is_some_and(|limit| self.order.row(*at) > limit.row());
        (self.done + 1..rows).find(is_later).unwrap_or(rows)
    }

    /// Takes the next batch that has rows. False at the end of the file.
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

    /// The seqs and ordinals of the rows as they come, and how many files were open at most.
    async fn merged(files: &[Vec<(u64, i32)>]) -> (Vec<(u64, i32)>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
        let table = lake.table(CauseAlias::TABLE);
        let mut written = Vec::new();
        for rows in files {
            let rows: Vec<CauseAlias> = rows.iter().map(|(seq, ordinal)| alias(*seq, *ordinal)).collect();
            written.push(table.write_file(&to_batch(&rows).unwrap(), true).await.unwrap());
        }
        let mut merge = Merge::new(&table, &written).unwrap();
        let (mut found, mut open) = (Vec::new(), 0);
        while let Some(batch) = merge.next().await.unwrap() {
            assert!(batch.num_rows() > 0 && batch.num_rows() <= MAX_BATCH_ROWS as usize);
            found.extend(from_batch::<CauseAlias>(&batch).unwrap().iter().map(|row| (row.seq, row.ordinal)));
            open = open.max(merge.open.len());
        }
        (found, open)
    }

    #[tokio::test]
    async fn files_that_overlap_come_in_order() {
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
    async fn of_files_that_follow_each_other_two_are_open_at_most() {
        let files: Vec<Vec<(u64, i32)>> =
            (0..6).map(|n| (n * 2_000..(n + 1) * 2_000).map(|seq| (seq, 1)).collect()).collect();
        let mut shuffled = files.clone();
        shuffled.reverse();
        assert_eq!(merged(&shuffled).await, (files.concat(), 2));
    }

    #[tokio::test]
    async fn what_is_not_in_order_is_there_all_the_same() {
        let files = [vec![(9, 1), (1, 1), (5, 1)], vec![(4, 1), (2, 1)]];
        let (mut found, _) = merged(&files).await;
        found.sort_unstable();
        assert_eq!(found, [(1, 1), (2, 1), (4, 1), (5, 1), (9, 1)]);
    }
}
