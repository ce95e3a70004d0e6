//! Checks of the guarantees that a store must have.

use std::sync::Arc;

use futures::{TryStreamExt, future::join_all};
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path, prefix::PrefixStore,
};

use super::{FOLDER, failed};
use crate::{
    domain::{
        health::{HealthCheck, HealthFinding, HealthState},
        time::Timestamp,
    },
    lake::{Backoff, Lake, Result, log::get, table::already_there},
};

/// The number of concurrent writers in the test.
const CONCURRENT_WRITERS: usize = 8;
/// The clock difference that counts as none: stores give file times in whole seconds, and the network adds delay.
const SAME_SECONDS: f64 = 3.0;
/// The clock difference beyond which S3 refuses requests, and Azure soon after.
const FAR_SECONDS: f64 = 300.0;

const STALE: &str = "use a consistent store without a cache in front of it: S3, Azure, Google, a local disk";
const UNGUARDED: &str =
    "records would be lost: use a store with conditional writes (S3, Azure, Google), or a local disk with hard links";

const AFTER_WRITE: [HealthCheck; 7] = [
    HealthCheck::ReadAfterWrite,
    HealthCheck::ListAfterWrite,
    HealthCheck::Overwrite,
    HealthCheck::SecondWriter,
    HealthCheck::SameMoment,
    HealthCheck::Clock,
    HealthCheck::Delete,
];

pub async fn examine(lake: &Lake, folder: &str) -> Vec<HealthFinding> {
    let probe = StoreProbe::below(lake, folder);
    let file = Path::from("one.txt");
    let written = match probe.create(&file, "first").await {
        Ok(true) => HealthFinding::ok(HealthCheck::Write, "a test file was written"),
        Ok(false) => {
            let seen = "the store reports that a new file exists already";
            HealthFinding::failed(HealthCheck::Write, seen, Some("do not use this store".into()))
        }
        Err(error) => failed(HealthCheck::Write, &error),
    };
    if written.state != HealthState::Ok {
        probe.clear().await;
        let nothing = |check| HealthFinding::not_checked(check, "the storage cannot be written");
        return [written].into_iter().chain(AFTER_WRITE.map(nothing)).collect();
    }
    let mut findings = vec![written];
    findings
        .push(or_failed(HealthCheck::ReadAfterWrite, probe.read(&file, "first", "a written file can be read").await));
    findings.push(or_failed(HealthCheck::ListAfterWrite, probe.lists(&file).await));
    let over = Path::from("over.txt");
    findings.push(or_failed(HealthCheck::Overwrite, probe.overwrites(&over).await));
    findings.push(or_failed(HealthCheck::SecondWriter, probe.second_writer(&file).await));
    findings.push(or_failed(HealthCheck::SameMoment, probe.same_moment().await));
    findings.push(or_failed(HealthCheck::Clock, probe.clock().await));
    findings.push(or_failed(HealthCheck::Delete, probe.delete(&file).await));
    probe.clear().await;
    findings
}

pub async fn refuses_second_writer(lake: &Lake, folder: &str) -> Result<bool> {
    let probe = StoreProbe::below(lake, folder);
    let file = Path::from("one.txt");
    let outcome = async {
        probe.create(&file, "first").await?;
        Ok(probe.second_writer(&file).await?.state == HealthState::Ok)
    }
    .await;
    probe.clear().await;
    outcome
}

fn or_failed(check: HealthCheck, found: Result<HealthFinding>) -> HealthFinding {
    found.unwrap_or_else(|error| failed(check, &error))
}

/// A folder with test files.
struct StoreProbe<'a> {
    lake: &'a Lake,
    store: Arc<dyn ObjectStore>,
}

impl<'a> StoreProbe<'a> {
    fn below(lake: &'a Lake, folder: &str) -> Self {
        Self { lake, store: Arc::new(PrefixStore::new(lake.store(FOLDER), folder)) }
    }

    /// Puts a file if it is absent. Returns false if it exists.
    async fn create(&self, path: &Path, text: &str) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut pause = Backoff::new();
        loop {
            match self.store.put_opts(path, PutPayload::from(text.to_owned()), options.clone()).await {
                Ok(_) => return Ok(true),
                Err(error) if !already_there(&error) => return Err(error.into()),
                // S3 also returns this if two puts came at once and neither succeeded: only a stored file decides.
                Err(_) if pause.exhausted() || self.text(path).await?.is_some() => return Ok(false),
                Err(_) => pause.pause().await,
            }
        }
    }

    async fn text(&self, path: &Path) -> Result<Option<String>> {
        let bytes = get(self.store.as_ref(), path).await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn list(&self) -> Result<Vec<ObjectMeta>> {
        match self.store.list(None).try_collect().await {
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            listed => Ok(listed?),
        }
    }

    async fn read(&self, path: &Path, expected: &str, seen: &str) -> Result<HealthFinding> {
        let check = HealthCheck::ReadAfterWrite;
        Ok(match self.text(path).await? {
            Some(text) if text == expected => HealthFinding::ok(check, seen),
            other => {
                HealthFinding::failed(check, format!("{other:?} was read instead of {expected:?}"), Some(STALE.into()))
            }
        })
    }

    async fn lists(&self, path: &Path) -> Result<HealthFinding> {
        let found = self.list().await?.iter().any(|meta| meta.location == *path);
        Ok(match found {
            true => HealthFinding::ok(HealthCheck::ListAfterWrite, "a written file is listed"),
            false => {
                HealthFinding::failed(HealthCheck::ListAfterWrite, "a written file is not listed", Some(STALE.into()))
            }
        })
    }

    async fn overwrites(&self, path: &Path) -> Result<HealthFinding> {
        for text in ["before", "after"] {
            self.store.put(path, PutPayload::from(text)).await?;
        }
        Ok(match self.text(path).await?.as_deref() {
            Some("after") => {
                HealthFinding::ok(HealthCheck::Overwrite, "an overwritten file is read with its new content")
            }
            other => HealthFinding::failed(
                HealthCheck::Overwrite,
                format!("{other:?} was read instead of \"after\""),
                Some(STALE.into()),
            ),
        })
    }

    async fn second_writer(&self, path: &Path) -> Result<HealthFinding> {
        let written = self.create(path, "second").await?;
        let text = self.text(path).await?;
        Ok(match (written, text.as_deref()) {
            (false, Some("first")) => {
                HealthFinding::ok(HealthCheck::SecondWriter, "a second writer of the same file was refused")
            }
            (_, text) => {
                let seen = format!("a second writer of the same file was not refused; its content is now {text:?}");
                HealthFinding::failed(HealthCheck::SecondWriter, seen, Some(UNGUARDED.into()))
            }
        })
    }

    /// A client may retry a put that succeeded and then be refused because of its own file, so the stored content decides.
    async fn same_moment(&self) -> Result<HealthFinding> {
        let path = Path::from("race.txt");
        let names: Vec<String> = (0..CONCURRENT_WRITERS).map(|writer| format!("writer {writer}")).collect();
        let outcomes = join_all(names.iter().map(|name| self.create(&path, name))).await;
        let stored = self.text(&path).await?;
        let mut reported_success = Vec::new();
        for (name, outcome) in names.iter().zip(outcomes) {
            if outcome.unwrap_or(false) {
                reported_success.push(name);
            }
        }
        let check = HealthCheck::SameMoment;
        Ok(match (reported_success.as_slice(), &stored) {
            ([], Some(_)) => {
                let seen =
                    format!("{CONCURRENT_WRITERS} concurrent writers: none reported success, one file is stored");
                HealthFinding::ok(check, seen)
            }
            ([won], Some(text)) if *won == text => {
                HealthFinding::ok(check, format!("{CONCURRENT_WRITERS} concurrent writers: one succeeded"))
            }
            (won, stored) => {
                let successes = won.len();
                let seen = format!(
                    "{CONCURRENT_WRITERS} concurrent writers: {successes} reported success; stored is {stored:?}"
                );
                HealthFinding::failed(check, seen, Some(UNGUARDED.into()))
            }
        })
    }

    async fn clock(&self) -> Result<HealthFinding> {
        let path = Path::from("clock.txt");
        let before = self.lake.context.now();
        self.store.put(&path, PutPayload::from("what time is it")).await?;
        let after = self.lake.context.now();
        let stored = self.store.head(&path).await?.last_modified;
        let seconds = |moment: Timestamp| (stored - moment.utc()).as_seconds_f64();
        // The store's time is after the second reading of our clock, or before the first.
        let skew = if seconds(after) > 0.0 { seconds(after) } else { seconds(before).min(0.0) };
        let seen = format!(
            "the store's clock is {:.1} s {} this machine's",
            skew.abs(),
            if skew < 0.0 { "behind" } else { "ahead of" }
        );
        Ok(match skew.abs() {
            ..=SAME_SECONDS => HealthFinding::ok(HealthCheck::Clock, "the store's clock agrees with this machine's"),
            ..=FAR_SECONDS => HealthFinding::warning(
                HealthCheck::Clock,
                seen,
                "set this machine's clock, best by NTP: recorded times come from it",
            ),
            _ => HealthFinding::failed(
                HealthCheck::Clock,
                seen,
                Some("set this machine's clock; stores refuse requests with a wrong time".into()),
            ),
        })
    }

    async fn delete(&self, path: &Path) -> Result<HealthFinding> {
        self.store.delete(path).await?;
        Ok(match self.text(path).await? {
            None => HealthFinding::ok(HealthCheck::Delete, "a removed file cannot be read"),
            Some(_) => {
                HealthFinding::failed(HealthCheck::Delete, "a removed file can still be read", Some(STALE.into()))
            }
        })
    }

    async fn clear(&self) {
        for meta in self.list().await.unwrap_or_default() {
            let _ = self.store.delete(&meta.location).await;
        }
    }
}
