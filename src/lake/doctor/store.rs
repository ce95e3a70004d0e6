//! What the store promises.

use std::sync::Arc;

use futures::{TryStreamExt, future::join_all};
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path, prefix::PrefixStore,
};

use super::{FOLDER, failed};
use crate::{
    domain::{
        checkup::{Check, Finding, State},
        time::Timestamp,
    },
    lake::{Backoff, Lake, Result, log::get, table::already_there},
};

/// Writers at the same moment.
const RIVALS: usize = 8;
/// Stores tell the time of a file in whole seconds, and the network takes its time.
const SAME_SECONDS: f64 = 3.0;
/// Beyond this S3 takes no request any more, and Azure none soon.
const FAR_SECONDS: f64 = 300.0;

const STALE: &str = "use a store that is consistent: S3, Azure, Google, a local disk; no cache in between";
const UNGUARDED: &str =
    "records would be lost: use a store with conditional writes (S3, Azure, Google), or a local disk with hard links";

const AFTER_WRITE: [Check; 7] = [
    Check::ReadAfterWrite,
    Check::ListAfterWrite,
    Check::Overwrite,
    Check::SecondWriter,
    Check::SameMoment,
    Check::Clock,
    Check::Delete,
];

pub async fn examine(lake: &Lake, folder: &str) -> Vec<Finding> {
    let probe = Probe::below(lake, folder);
    let file = Path::from("one.txt");
    let written = match probe.create(&file, "first").await {
        Ok(true) => Finding::ok(Check::Write, "a file of our own was written"),
        Ok(false) => {
            let seen = "a new name is answered as if it were taken";
            Finding::failed(Check::Write, seen, Some("do not use this store".into()))
        }
        Err(error) => failed(Check::Write, &error),
    };
    if written.state != State::Ok {
        probe.clear().await;
        let nothing = |check| Finding::not_checked(check, "nothing can be written there");
        return [written].into_iter().chain(AFTER_WRITE.map(nothing)).collect();
    }
    let mut findings = vec![written];
    findings.push(told(Check::ReadAfterWrite, probe.read(&file, "first", "what was written is read").await));
    findings.push(told(Check::ListAfterWrite, probe.lists(&file).await));
    let over = Path::from("over.txt");
    findings.push(told(Check::Overwrite, probe.overwrites(&over).await));
    findings.push(told(Check::SecondWriter, probe.second_writer(&file).await));
    findings.push(told(Check::SameMoment, probe.same_moment().await));
    findings.push(told(Check::Clock, probe.clock().await));
    findings.push(told(Check::Delete, probe.delete(&file).await));
    probe.clear().await;
    findings
}

pub async fn refuses_second_writer(lake: &Lake, folder: &str) -> Result<bool> {
    let probe = Probe::below(lake, folder);
    let file = Path::from("one.txt");
    let outcome = async {
        probe.create(&file, "first").await?;
        Ok(probe.second_writer(&file).await?.state == State::Ok)
    }
    .await;
    probe.clear().await;
    outcome
}

fn told(check: Check, found: Result<Finding>) -> Finding {
    found.unwrap_or_else(|error| failed(check, &error))
}

/// A folder to try things in.
struct Probe<'a> {
    lake: &'a Lake,
    store: Arc<dyn ObjectStore>,
}

impl<'a> Probe<'a> {
    fn below(lake: &'a Lake, folder: &str) -> Self {
        Self { lake, store: Arc::new(PrefixStore::new(lake.store(FOLDER), folder)) }
    }

    /// Puts if absent. False: it is there.
    async fn create(&self, path: &Path, text: &str) -> Result<bool> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let mut pause = Backoff::new();
        loop {
            match self.store.put_opts(path, PutPayload::from(text.to_owned()), options.clone()).await {
                Ok(_) => return Ok(true),
                Err(error) if !already_there(&error) => return Err(error.into()),
                // S3 says so too when two came at once and neither was taken: what stands there counts.
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

    async fn read(&self, path: &Path, expected: &str, seen: &str) -> Result<Finding> {
        let check = Check::ReadAfterWrite;
        Ok(match self.text(path).await? {
            Some(text) if text == expected => Finding::ok(check, seen),
            other => Finding::failed(check, format!("{other:?} was read instead of {expected:?}"), Some(STALE.into())),
        })
    }

    async fn lists(&self, path: &Path) -> Result<Finding> {
        let found = self.list().await?.iter().any(|meta| meta.location == *path);
        Ok(match found {
            true => Finding::ok(Check::ListAfterWrite, "what was written is listed"),
            false => Finding::failed(Check::ListAfterWrite, "what was written is not listed", Some(STALE.into())),
        })
    }

    async fn overwrites(&self, path: &Path) -> Result<Finding> {
        for text in ["before", "after"] {
            self.store.put(path, PutPayload::from(text)).await?;
        }
        Ok(match self.text(path).await?.as_deref() {
            Some("after") => Finding::ok(Check::Overwrite, "what was written over is read as it is now"),
            other => Finding::failed(
                Check::Overwrite,
                format!("{other:?} was read instead of \"after\""),
                Some(STALE.into()),
            ),
        })
    }

    async fn second_writer(&self, path: &Path) -> Result<Finding> {
        let written = self.create(path, "second").await?;
        let text = self.text(path).await?;
        Ok(match (written, text.as_deref()) {
            (false, Some("first")) => Finding::ok(Check::SecondWriter, "a second writer of the same file was refused"),
            (_, text) => {
                let seen = format!("a second writer of the same file was let through; it now says {text:?}");
                Finding::failed(Check::SecondWriter, seen, Some(UNGUARDED.into()))
            }
        })
    }

    /// A client may repeat a put that landed and be refused by its own, so what is read decides.
    async fn same_moment(&self) -> Result<Finding> {
        let path = Path::from("race.txt");
        let names: Vec<String> = (0..RIVALS).map(|rival| format!("rival {rival}")).collect();
        let outcomes = join_all(names.iter().map(|name| self.create(&path, name))).await;
        let standing = self.text(&path).await?;
        let mut told_that_they_won = Vec::new();
        for (name, outcome) in names.iter().zip(outcomes) {
            if outcome.unwrap_or(false) {
                told_that_they_won.push(name);
            }
        }
        let check = Check::SameMoment;
        Ok(match (told_that_they_won.as_slice(), &standing) {
            ([], Some(_)) => {
                Finding::ok(check, format!("of {RIVALS} writers none was told that it won, and one file stands"))
            }
            ([won], Some(text)) if *won == text => Finding::ok(check, format!("of {RIVALS} writers one won")),
            (won, standing) => {
                let seen = format!("of {RIVALS} writers {} were told that they won; {standing:?} stands", won.len());
                Finding::failed(check, seen, Some(UNGUARDED.into()))
            }
        })
    }

    async fn clock(&self) -> Result<Finding> {
        let path = Path::from("clock.txt");
        let before = self.lake.context.now();
        self.store.put(&path, PutPayload::from("what time is it")).await?;
        let after = self.lake.context.now();
        let stored = self.store.head(&path).await?.last_modified;
        let seconds = |moment: Timestamp| (stored - moment.utc()).as_seconds_f64();
        // Ahead of everything that we saw, or behind it.
        let skew = if seconds(after) > 0.0 { seconds(after) } else { seconds(before).min(0.0) };
        let seen = format!(
            "the store's clock is {:.1} s {} this machine's",
            skew.abs(),
            if skew < 0.0 { "behind" } else { "ahead of" }
        );
        Ok(match skew.abs() {
            ..=SAME_SECONDS => Finding::ok(Check::Clock, "the store's clock agrees with this machine's"),
            ..=FAR_SECONDS => Finding::warning(
                Check::Clock,
                seen,
                "set this machine's clock, best by NTP: times of events come from it",
            ),
            _ => Finding::failed(
                Check::Clock,
                seen,
                Some("set this machine's clock; stores refuse requests of another time".into()),
            ),
        })
    }

    async fn delete(&self, path: &Path) -> Result<Finding> {
        self.store.delete(path).await?;
        Ok(match self.text(path).await? {
            None => Finding::ok(Check::Delete, "what was removed is gone"),
            Some(_) => Finding::failed(Check::Delete, "what was removed is still read", Some(STALE.into())),
        })
    }

    async fn clear(&self) {
        for meta in self.list().await.unwrap_or_default() {
            let _ = self.store.delete(&meta.location).await;
        }
    }
}
