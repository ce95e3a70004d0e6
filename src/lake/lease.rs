//! The maintenance lease: one owner at a time, with a fencing epoch. It needs only put-if-absent.
//!
//! `_lease/<epoch>.json` names the owner and the expiry. The next epoch may be acquired once the last one has expired or was
//! released. Every maintenance commit carries the epoch, and fails if the log holds a newer one.

use chrono::TimeDelta;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use super::{Lake, Result, log::get};
use crate::domain::time::Timestamp;

/// The term of a lease: for so long a crashed owner blocks other processes.
const TERM_MINUTES: i64 = 10;
/// The age at which the claim is renewed. Maintenance of every table asks for a renewal, and stores limit writes to one name
/// (Google: once a second).
const RENEWED_AFTER_MINUTES: i64 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct LeaseClaim {
    owner: uuid::Uuid,
    until: Timestamp,
}

/// A held lease.
#[derive(Debug)]
pub struct Lease {
    /// Greater for each later owner.
    pub epoch: u64,
    owner: uuid::Uuid,
    /// The expiry of the last claim, in microseconds.
    until: AtomicI64,
    store: Arc<dyn ObjectStore>,
}

fn claim_path(epoch: u64) -> Path {
    Path::from(format!("{epoch:020}.json"))
}

impl Lease {
    /// Acquires the lease. `Ok(Err(until))`: another process holds it until then.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn acquire(lake: &Lake) -> Result<std::result::Result<Self, Timestamp>> {
        let store = lake.store("_lease");
        let now = lake.context.now();
        let epochs: Vec<u64> = store
            .list(None)
            .try_filter_map(|meta| async move {
                Ok(meta.location.filename().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()))
            })
            .try_collect()
            .await?;
        let newest = epochs.iter().copied().max().unwrap_or(0);
        if newest > 0
            && let Some(bytes) = get(store.as_ref(), &claim_path(newest)).await?
            && let Ok(claim) = serde_json::from_slice::<LeaseClaim>(&bytes)
            && claim.until > now
        {
            return Ok(Err(claim.until));
        }
        let claim = LeaseClaim { owner: lake.context.uuid(), until: now.plus(TimeDelta::minutes(TERM_MINUTES)) };
        let until = AtomicI64::new(claim.until.micros());
        let lease = Self { epoch: newest + 1, owner: claim.owner, until, store };
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(serde_json::to_vec(&claim)?);
        let put = lease.store.put_opts(&claim_path(lease.epoch), payload, options).await;
        // The stored claim decides, whatever the put returned.
        let stored = get(lease.store.as_ref(), &claim_path(lease.epoch)).await?;
        match stored.and_then(|bytes| serde_json::from_slice::<LeaseClaim>(&bytes).ok()) {
            Some(claim) if claim.owner == lease.owner => {}
            Some(claim) => return Ok(Err(claim.until)),
            None => {
                put?;
                return Ok(Err(now));
            }
        }
        for epoch in epochs.into_iter().filter(|epoch| *epoch < newest) {
            let _ = lease.store.delete(&claim_path(epoch)).await;
        }
        Ok(Ok(lease))
    }

    /// Renews the lease for most of a term. Returns false if another process has taken over.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn renew(&self, lake: &Lake) -> Result<bool> {
        if get(self.store.as_ref(), &claim_path(self.epoch + 1)).await?.is_some() {
            return Ok(false);
        }
        let enough = lake.context.now().plus(TimeDelta::minutes(TERM_MINUTES - RENEWED_AFTER_MINUTES));
        if self.until.load(Ordering::Relaxed) < enough.micros() {
            let until = lake.context.now().plus(TimeDelta::minutes(TERM_MINUTES));
            self.put(until).await?;
            self.until.store(until.micros(), Ordering::Relaxed);
        }
        Ok(true)
    }

    /// Releases the lease.
    pub async fn release(self, lake: &Lake) {
        let _ = self.put(lake.context.now()).await;
    }

    async fn put(&self, until: Timestamp) -> Result<()> {
        let claim = serde_json::to_vec(&LeaseClaim { owner: self.owner, until })?;
        self.store.put(&claim_path(self.epoch), claim.into()).await?;
        Ok(())
    }
}
