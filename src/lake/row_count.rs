//! Counts the rows of a table up to a position in the ledger, from the statistics of its files.

use arrow::{array::AsArray, datatypes::Int64Type};

use super::{
    Lake, LakeError, Result,
    log::{AddFile, Log},
    table::{RowSelection, Table},
};
use crate::tables::TableDef;

/// The number of a table's rows up to some `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCount {
    pub rows: u64,
    /// The last `seq` that has a row; 0 without rows.
    pub last_seq: u64,
}

/// Counts the rows of `def` up to `last`, and all of its rows. Reads the column `seq` of files that extend beyond `last`, and no
/// other file. A missing table has no rows.
///
/// # Errors
/// Errors of the store; [`LakeError::Corrupt`] if a file has no column `seq`.
pub async fn around(lake: &Lake, def: &'static TableDef, last: u64) -> Result<(RowCount, RowCount)> {
    let table = lake.table(def);
    let Some(log) = table.try_newest_log().await? else { return Ok(Default::default()) };
    Ok((up_to(&table, &log, last).await?, up_to(&table, &log, u64::MAX).await?))
}

async fn up_to(table: &Table, log: &Log, last: u64) -> Result<RowCount> {
    let mut count = RowCount::default();
    let mut unclear = Vec::new();
    for file in log.files.values() {
        let stats = file.parse_stats();
        match (stats.num_records, stats.max_u64("seq")) {
            (Some(rows), Some(seq)) if seq <= last => count.add(rows, seq),
            _ => unclear.push(file),
        }
    }
    count.read(table, &unclear, last).await?;
    Ok(count)
}

impl RowCount {
    fn add(&mut self, rows: u64, last_seq: u64) {
        self.rows += rows;
        self.last_seq = self.last_seq.max(last_seq);
    }

    async fn read(&mut self, table: &Table, files: &[&AddFile], last: u64) -> Result<()> {
        for batch in table.read(files, &["seq"], RowSelection::Seq { after: 0, last }).await? {
            let seqs = batch.column_by_name("seq").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let seqs = seqs.ok_or_else(|| LakeError::Corrupt(format!("{} has no column seq", table.name())))?;
            let newest = arrow::compute::max(seqs).and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
            self.add(seqs.len() as u64, newest);
        }
        Ok(())
    }
}
