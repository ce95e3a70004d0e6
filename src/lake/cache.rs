//! The Delta logs that this process has read. Later reads fetch only newer commits.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use deltalake::DeltaTable;

use super::log::Log;
use crate::tables::TableDef;

/// Shared by clones of the lake.
#[derive(Debug, Default)]
pub(super) struct LogCache {
    tables: Mutex<BTreeMap<&'static str, Arc<CachedTable>>>,
    /// The start of this process's last projection, and the last `seq` that it covers. Locked during a projection.
    pub projected: tokio::sync::Mutex<Option<(Instant, u64)>>,
}

/// One table's log. The lock is held during an update, so other callers have nothing left to read.
#[derive(Default)]
pub(super) struct CachedTable {
    /// The log, and when reading it began. Without [`Log::recent`], which grows and which only the ledger needs.
    pub log: tokio::sync::Mutex<Option<(Instant, Log)>>,
    pub delta: tokio::sync::Mutex<Option<DeltaTable>>,
}

impl fmt::Debug for CachedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownTable")
    }
}

impl LogCache {
    pub fn table(&self, def: &'static TableDef) -> Arc<CachedTable> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(def.name).or_default())
    }
}
