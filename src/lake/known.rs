//! What this process knows of a lake, so that nobody reads or does again what was read or done: only what came since.

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
pub(super) struct Known {
    tables: Mutex<BTreeMap<&'static str, Arc<KnownTable>>>,
    /// When the last projection of this process began, and how far it went. Whoever projects holds it meanwhile.
    pub projected: tokio::sync::Mutex<Option<(Instant, u64)>>,
}

/// Of one table. Whoever brings it up to date holds it meanwhile: the others then have nothing left to read.
#[derive(Default)]
pub(super) struct KnownTable {
    /// And when reading it began. Without [`Log::recent`], which only the ledger needs and which grows.
    pub log: tokio::sync::Mutex<Option<(Instant, Log)>>,
    pub delta: tokio::sync::Mutex<Option<DeltaTable>>,
}

impl fmt::Debug for KnownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownTable")
    }
}

impl Known {
    pub fn table(&self, def: &'static TableDef) -> Arc<KnownTable> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(def.name).or_default())
    }
}
