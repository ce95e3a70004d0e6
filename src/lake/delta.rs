//! Tables of delta-rs. DataFusion reads them; checkpoints and vacuum use them.

use std::{num::NonZero, sync::Arc};

use bytes::Bytes;
use delta_kernel::Engine;
use delta_kernel_engine::{
    DefaultEngineBuilder,
    executor::tokio::{TokioBackgroundExecutor, TokioMultiThreadExecutor},
};
use deltalake::{
    DeltaResult, DeltaTable,
    kernel::{Version, transaction::TransactionError},
    logstore::{CommitOrBytes, LogStore, LogStoreConfig, LogStoreRef, StorageConfig, default_logstore},
};
use object_store::ObjectStore;
use tokio::runtime::{Handle, RuntimeFlavor};
use uuid::Uuid;

use super::{Lake, LakeError, Result};
use crate::tables::TableDef;

/// Log files that delta-rs reads concurrently, and rows that it buffers per file. It reserves memory for all these rows. Its
/// defaults of 1000 files and 1000 rows take a gigabyte for a log of a thousand commits.
const BUFFERED_FILES: NonZero<usize> = NonZero::new(16).unwrap();
const BATCH_ROWS: NonZero<usize> = NonZero::new(256).unwrap();

impl Lake {
    /// Returns a table whose log is not read yet.
    pub(super) fn delta_table(&self, def: &TableDef) -> Result<DeltaTable> {
        let mut location = self.url.clone();
        // delta-rs takes the path of the URL as the path in the root store. In Unity Catalog the root store begins at the lake.
        if self.catalog.is_some() {
            location.set_path("/");
        }
        let location = location
            .join(&format!("{}/", def.name))
            .map_err(|error| LakeError::BadLocation { text: self.url.to_string(), reason: error.to_string() })?;
        let (store, root) = (self.store(def.name), Arc::clone(&self.root));
        let logs = default_logstore(store, root, &location, &StorageConfig::default());
        Ok(DeltaTable::new(Arc::new(LowMemoryLogStore(logs))))
    }

    /// Returns a table at `version` or later. Reads only commits that this process has not read yet.
    pub(crate) async fn delta_table_since(&self, def: &'static TableDef, version: u64) -> Result<DeltaTable> {
        let cache = self.cache.table(def);
        let mut held = cache.delta.lock().await;
        if let Some(mut table) = held.take() {
            let is_new_enough = table.version().is_some_and(|held| held >= version);
            // The update fails if cleanup has removed the commits that it needs.
            if is_new_enough || table.update_incremental(Some(version)).await.is_ok() {
                return Ok(held.insert(table).clone());
            }
        }
        let mut table = self.delta_table(def)?;
        table.load_version(version).await?;
        Ok(held.insert(table).clone())
    }
}

/// The log store of delta-rs with an engine that uses less memory.
struct LowMemoryLogStore(LogStoreRef);

#[async_trait::async_trait]
impl LogStore for LowMemoryLogStore {
    fn engine(&self, operation_id: Option<Uuid>) -> Arc<dyn Engine> {
        let engine = DefaultEngineBuilder::new(self.0.root_object_store(operation_id))
            .with_buffer_size(BUFFERED_FILES)
            .with_batch_size(BATCH_ROWS);
        let runtime = Handle::current();
        match runtime.runtime_flavor() {
            RuntimeFlavor::MultiThread => {
                Arc::new(engine.with_task_executor(Arc::new(TokioMultiThreadExecutor::new(runtime))).build())
            }
            _ => Arc::new(engine.with_task_executor(Arc::new(TokioBackgroundExecutor::new())).build()),
        }
    }

    fn name(&self) -> String {
        self.0.name()
    }

    async fn read_commit_entry(&self, version: Version) -> DeltaResult<Option<Bytes>> {
        self.0.read_commit_entry(version).await
    }

    async fn write_commit_entry(
        &self,
        version: Version,
        commit: CommitOrBytes,
        operation_id: Uuid,
    ) -> std::result::Result<(), TransactionError> {
        self.0.write_commit_entry(version, commit, operation_id).await
    }

    async fn abort_commit_entry(
        &self,
        version: Version,
        commit: CommitOrBytes,
        operation_id: Uuid,
    ) -> std::result::Result<(), TransactionError> {
        self.0.abort_commit_entry(version, commit, operation_id).await
    }

    async fn get_latest_version(&self, start_version: Version) -> DeltaResult<Version> {
        self.0.get_latest_version(start_version).await
    }

    fn object_store(&self, operation_id: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.0.object_store(operation_id)
    }

    fn root_object_store(&self, operation_id: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.0.root_object_store(operation_id)
    }

    fn config(&self) -> &LogStoreConfig {
        self.0.config()
    }
}
