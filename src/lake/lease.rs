//! The maintenance lease: one owner at a time, with a fencing epoch, made of nothing but put-if-absent.
//!
//! `_lease/<epoch>.json` names the owner and the end of its time. The next epoch may be taken once the last one has ended or
//! was given back. The epoch goes into every maintenance commit; a commit that meets a newer one gives up.

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

/// How long an owner that dies keeps others out.
const TERM_MINUTES: i64 = 10;
/// How much of a term has to be over before the claim is written anew: every table asks, and stores do not like one name to be
/// written often (Google: once a second).
const RENEWED_AFTER_MINUTES: i64 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    owner: uuid::Uuid,
    until: Timestamp,
}

/// A lease that is held.
#[derive(Debug)]
pub struct Lease {
    /// Grows with every owner.
    pub epoch: u64,
    owner: uuid::Uuid,
    /// The end of the term that was claimed last, in microseconds.
    until: AtomicI64,
    store: Arc<dyn ObjectStore>,
}

fn claim_path(epoch: u64) -> Path {
    Path::from(format!("{epoch:020}.json"))
}

impl Lease {
    /// Takes the lease. `Err` inside `Ok` tells until when somebody else has it.
    ///
    /// # Errors
    /// The store's.
    pub async fn take(lake: &Lake) -> Result<std::result::Result<Self, Timestamp>> {
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
            && let Ok(claim) = serde_json::from_slice::<Claim>(&bytes)
            && claim.until > now
        {
            return Ok(Err(claim.until));
        }
        let claim = Claim { owner: lake.context.uuid(), until: now.plus(TimeDelta::minutes(TERM_MINUTES)) };
        let until = AtomicI64::new(claim.until.micros());
        let lease = Self { epoch: newest + 1, owner: claim.owner, until, store };
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let payload = PutPayload::from(serde_json::to_vec(&claim)?);
        let put = lease.store.put_opts(&claim_path(lease.epoch), payload, options).await;
        // Whatever the answer was, what stands there says whose it is.
        let standing = get(lease.store.as_ref(), &claim_path(lease.epoch)).await?;
        match standing.and_then(|bytes| serde_json::from_slice::<Claim>(&bytes).ok()) {
            Some(standing) if standing.owner == lease.owner => {}
            Some(standing) => return Ok(Err(standing.until)),
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

    /// Still the owner, for most of a term. False when somebody else has taken over.
    ///
    /// # Errors
    /// The store's.
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

    /// Gives the lease back.
    pub async fn release(self, lake: &Lake) {
        let _ = self.put(lake.context.now()).await;
    }

    async fn put(&self, until: Timestamp) -> Result<()> {
        let claim = serde_json::to_vec(&Claim { owner: self.owner, until })?;
        self.store.put(&claim_path(self.epoch), claim.into()).await?;
        Ok(())
    }
}
