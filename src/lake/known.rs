//! What this process has read of the tables' logs, so that nobody reads it again: only what came since.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use deltalake::DeltaTable;

use super::log::Log;
use crate::tables::TableDef;

/// Of each table of a lake; clones of the lake share it.
#[derive(Debug, Default)]
pub(super) struct Tables(Mutex<BTreeMap<&'static str, Arc<Known>>>);

/// Of one table. Whoever brings it up to date holds it meanwhile: the others then have nothing left to read.
#[derive(Default)]
pub(super) struct Known {
    /// And when reading it began. Without [`Log::recent`], which only the ledger needs and which grows.
    pub log: tokio::sync::Mutex<Option<(Instant, Log)>>,
    pub delta: tokio::sync::Mutex<Option<DeltaTable>>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl Tables {
    pub fn of(&self, def: &'static TableDef) -> Arc<Known> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(def.name).or_default())
    }
}
