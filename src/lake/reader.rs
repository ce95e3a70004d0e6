//! Reads a Parquet data file from the object store.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::{ParquetError, Result},
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};

use super::log::AddFile;

/// Files up to this size are fetched in one request, which includes footer, filters and pages.
const WHOLE_BYTES: u64 = 256 << 10;
/// The bytes that are read first from the end of a larger file: usually its footer, page index and Bloom filters.
const TAIL_BYTES: usize = 64 << 10;

/// A data file whose size is known from the log.
#[derive(Debug)]
pub struct DataFileReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    whole: Option<Bytes>,
}

impl DataFileReader {
    pub fn new(store: &Arc<dyn ObjectStore>, file: &AddFile) -> Self {
        let size = u64::try_from(file.size).unwrap_or(0);
        Self { store: Arc::clone(store), path: Path::from(file.path.as_str()), size, whole: None }
    }

    async fn fetch(&mut self, range: Range<u64>) -> Result<Bytes> {
        if self.size > WHOLE_BYTES {
            return self.store.get_range(&self.path, range).await.map_err(external);
        }
        let whole = match &self.whole {
            Some(whole) => whole,
            None => {
                let found = self.store.get(&self.path).await.map_err(external)?;
                self.whole.insert(found.bytes().await.map_err(external)?)
            }
        };
        let inside = range.start <= range.end && range.end <= whole.len() as u64;
        if !inside {
            return Err(ParquetError::EOF(format!("{} has {} bytes, wanted {range:?}", self.path, whole.len())));
        }
        Ok(whole.slice(range.start as usize..range.end as usize))
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for DataFileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.fetch(range).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            if self.size > WHOLE_BYTES {
                return self.store.get_ranges(&self.path, &ranges).await.map_err(external);
            }
            let mut parts = Vec::with_capacity(ranges.len());
            for range in ranges {
                parts.push(self.fetch(range).await?);
            }
            Ok(parts)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new()
                .with_metadata_options(options.map(|options| options.metadata_options().clone()))
                .with_page_index_policy(PageIndexPolicy::Optional)
                .with_prefetch_hint(Some(TAIL_BYTES));
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}
