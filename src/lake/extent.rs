//! How many rows a table holds up to a position of the ledger, from the statistics of its files.

use arrow::{array::AsArray, datatypes::Int64Type};

use super::{
    Lake, LakeError, Result,
    log::{AddFile, Log},
    table::{Rows, Table},
};
use crate::tables::TableDef;

/// What a table holds up to some `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    pub rows: u64,
    /// The last `seq` that has a row; 0 without rows.
    pub last_seq: u64,
}

/// What `def` holds up to `last`, and what it holds in all. Of files that reach beyond `last`, the column `seq` is read; of all
/// others nothing. A table that is missing holds nothing.
///
/// # Errors
/// The store's; [`LakeError::Corrupt`] where there is no `seq`.
pub async fn around(lake: &Lake, def: &'static TableDef, last: u64) -> Result<(Extent, Extent)> {
    let table = lake.table(def);
    let Some(log) = table.try_newest().await? else { return Ok(Default::default()) };
    Ok((up_to(&table, &log, last).await?, up_to(&table, &log, u64::MAX).await?))
}

async fn up_to(table: &Table, log: &Log, last: u64) -> Result<Extent> {
    let mut extent = Extent::default();
    let mut unclear = Vec::new();
    for file in log.files.values() {
        let stats = file.parse_stats();
        match (stats.num_records, stats.max_u64("seq")) {
            (Some(rows), Some(seq)) if seq <= last => extent.add(rows, seq),
            _ => unclear.push(file),
        }
    }
    extent.read(table, &unclear, last).await?;
    Ok(extent)
}

impl Extent {
    fn add(&mut self, rows: u64, last_seq: u64) {
        self.rows += rows;
        self.last_seq = self.last_seq.max(last_seq);
    }

    async fn read(&mut self, table: &Table, files: &[&AddFile], last: u64) -> Result<()> {
        for batch in table.read(files, &["seq"], Rows::Seq { after: 0, last }).await? {
            let seqs = batch.column_by_name("seq").and_then(|column| column.as_primitive_opt::<Int64Type>());
            let seqs = seqs.ok_or_else(|| LakeError::Corrupt(format!("{} has no column seq", table.name())))?;
            let newest = arrow::compute::max(seqs).and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
            self.add(seqs.len() as u64, newest);
        }
        Ok(())
    }
}
