//! Where the tests drop documents: a folder, or a prefix in an emulated bucket.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path as Key, prefix::PrefixStore};
use ops_runbook::lake::location::Location;
use tempfile::{TempDir, tempdir};

use crate::storage::emulators::Store;

/// An inbox. Names are below it.
pub trait Inbox {
    fn uri(&self) -> String;
    fn drop(&self, name: &str, bytes: &[u8]);
    /// All that is there, taken or not.
    fn files(&self) -> BTreeMap<String, Vec<u8>>;

    /// Names without what was taken.
    fn left(&self) -> Vec<String> {
        self.files().into_keys().filter(|name| !name.starts_with("_done/") && !name.starts_with("_rejected/")).collect()
    }

    /// How many are in `_done` itself.
    fn done(&self) -> usize {
        self.files().keys().filter(|name| name.starts_with("_done/")).count()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let files = self.files();
        files.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", files.keys())).clone()
    }
}

#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("inbox")
    }
}

impl Inbox for Folder {
    fn uri(&self) -> String {
        fs::create_dir_all(self.path()).unwrap();
        self.path().to_str().unwrap().to_owned()
    }

    fn drop(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        walk(&self.path(), "", &mut files);
        files
    }

    fn done(&self) -> usize {
        fs::read_dir(self.path().join("_done")).map_or(0, Iterator::count)
    }
}

fn walk(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_symlink() {
            files.insert(name, Vec::new());
        } else if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

pub struct Bucket {
    uri: String,
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

impl Bucket {
    pub fn new(store: &Store, name: &str) -> Self {
        // As it is told: with its account, where it has one.
        let account = store.variables.iter().find(|(name, _)| name == "AZURE_STORAGE_ACCOUNT_NAME");
        let location: Location = store.lake(name).uri.parse().unwrap();
        let uri = location.in_account(account.map(|(_, name)| name.as_str())).to_string();
        let store = Arc::new(PrefixStore::new(store.client(), Key::from(name)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { uri, store, runtime }
    }
}

impl Inbox for Bucket {
    fn uri(&self) -> String {
        self.uri.clone()
    }

    fn drop(&self, name: &str, bytes: &[u8]) {
        self.runtime.block_on(self.store.put(&Key::from(name), PutPayload::from(bytes.to_vec()))).unwrap();
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.runtime.block_on(async {
            let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
            let mut files = BTreeMap::new();
            for meta in listed {
                // What somebody asked for who was killed since may be done only now.
                let got = match self.store.get(&meta.location).await {
                    Err(object_store::Error::NotFound { .. }) => continue,
                    got => got.unwrap(),
                };
                let bytes = got.bytes().await.unwrap();
                files.insert(meta.location.to_string(), bytes.to_vec());
            }
            files
        })
    }
}
