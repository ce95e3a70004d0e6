//! How much memory queries may take, all of this process together.
//!
//! What sorts and groups goes on with temporary files beyond that; what cannot is refused, instead of the process being killed.

use std::{
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
};

use datafusion::{
    error::{DataFusionError, Result},
    execution::{
        memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
};
use sysinfo::{MemoryRefreshKind, System};

/// Of the memory that there is: what is read, and what this program does besides, is not counted.
const SHARE_PERCENT: u64 = 70;

/// Operators that are named when memory is short.
const NAMED: NonZeroUsize = NonZeroUsize::new(3).unwrap();

static POOL: LazyLock<Arc<dyn MemoryPool>> = LazyLock::new(|| pool(limit(available())));

/// What a session runs in.
pub(super) fn runtime() -> Result<Arc<RuntimeEnv>> {
    runtime_in(Arc::clone(&POOL))
}

pub(super) fn runtime_in(pool: Arc<dyn MemoryPool>) -> Result<Arc<RuntimeEnv>> {
    RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()
}

/// Whether the error says that there is not enough memory.
pub(super) fn is_short(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

pub(super) fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
    Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(bytes), NAMED))
}

/// Bytes of memory that the machine has, or the container, if that has less.
fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    system.cgroup_limits().map_or(system.total_memory(), |limits| limits.total_memory)
}

/// Bytes for queries. Where nobody knows how much memory there is, there is no limit.
fn limit(available: u64) -> usize {
    match available {
        0 => usize::MAX,
        bytes => usize::try_from(bytes / 100 * SHARE_PERCENT).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, RecordBatch},
        datatypes::Int64Type,
    };
    use datafusion::datasource::MemTable;

    use super::*;
    use crate::analytics::{QueryError, session_in, snapshot::Snapshot};

    const ROWS: i64 = 4_000_000;

    /// A table of 32 MB, in batches.
    async fn asked(bytes: usize, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        let session = session_in(runtime_in(pool(bytes)).unwrap());
        let batches: Vec<RecordBatch> = (0..ROWS / 8000)
            .map(|batch| {
                let numbers = (0..8000).map(|row| (batch * 8000 + row) * 7919 % ROWS);
                RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(numbers)) as _)]).unwrap()
            })
            .collect();
        let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
        session.register_table("numbers", Arc::new(table)).unwrap();
        Snapshot::of_session(session).run(sql, &[]).await.map(|(_, batches)| batches)
    }

    #[tokio::test]
    async fn what_sorts_goes_on_in_files() {
        let found = asked(24 << 20, "SELECT n FROM numbers ORDER BY n").await.unwrap();
        let numbers = found.iter().flat_map(|batch| {
            arrow::array::AsArray::as_primitive::<Int64Type>(batch.column(0)).values().iter().copied()
        });
        assert!(numbers.eq(0..ROWS));
    }

    #[tokio::test]
    async fn what_cannot_is_refused() {
        let error = asked(24 << 20, "SELECT array_agg(n) FROM numbers").await.unwrap_err();
        assert!(matches!(error, QueryError::TooLarge(_)), "{error:?}");
        assert!(error.hint().unwrap().contains("LIMIT"));
        assert!(asked(512 << 20, "SELECT array_agg(n) FROM numbers").await.is_ok());
    }

    #[test]
    fn most_of_what_there_is() {
        assert_eq!(limit(16_000), 11_200);
        assert_eq!(limit(0), usize::MAX);
        assert!(available() > 1 << 28);
    }
}
