//! The inboxes of the tests: a folder, or a prefix in an emulated bucket.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, path::Path as Key};
use ops_runbook::lake::location::Location;
use tempfile::{TempDir, tempdir};

use crate::storage::emulators::Store;

/// The folder of results in these tests: beside the inbox, named after it.
const RESULTS: [&str; 2] = ["_done", "_rejected"];

/// An inbox. Names are relative to it; processed files begin with `../_done/` and `../_rejected/`.
pub trait Inbox {
    fn uri(&self) -> String;
    fn drop(&self, name: &str, bytes: &[u8]);
    /// Returns all files, processed or not.
    fn files(&self) -> BTreeMap<String, Vec<u8>>;

    /// Returns the names of unprocessed files.
    fn left(&self) -> Vec<String> {
        self.files().into_keys().filter(|name| !name.starts_with("../")).collect()
    }

    /// Returns the number of files in `_done` itself.
    fn done(&self) -> usize {
        self.files().keys().filter(|name| name.starts_with("../_done/")).count()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let files = self.files();
        files.get(name).unwrap_or_else(|| panic!("{name} is not among {:?}", files.keys())).clone()
    }
}

#[derive(Debug)]
pub struct Folder {
    parent: Rc<TempDir>,
    name: &'static str,
}

impl Folder {
    pub fn new() -> Self {
        Self::within(&Rc::new(tempdir().unwrap()), "inbox")
    }

    pub fn within(parent: &Rc<TempDir>, name: &'static str) -> Self {
        Self { parent: Rc::clone(parent), name }
    }

    pub fn path(&self) -> PathBuf {
        self.parent.path().join(self.name)
    }

    fn results(&self, name: &str) -> PathBuf {
        let path = self.path();
        path.with_file_name(name).join(path.file_name().unwrap())
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
        for name in RESULTS {
            let results = self.results(name);
            if results.exists() {
                walk(&results, &format!("../{name}/"), &mut files);
            }
        }
        files
    }

    fn done(&self) -> usize {
        fs::read_dir(self.results("_done")).map_or(0, Iterator::count)
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
    /// The prefix of the inbox.
    prefix: Key,
    store: Arc<dyn ObjectStore>,
    runtime: tokio::runtime::Runtime,
}

impl Bucket {
    pub fn new(store: &Store, name: &str) -> Self {
        // The URI includes the account, if there is one.
        let account = store.variables.iter().find(|(name, _)| name == "AZURE_STORAGE_ACCOUNT_NAME");
        let location: Location = store.lake(name).uri.parse().unwrap();
        let uri = location.in_account(account.map(|(_, name)| name.as_str())).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { uri, prefix: Key::from(name), store: store.client(), runtime }
    }
}

impl Inbox for Bucket {
    fn uri(&self) -> String {
        self.uri.clone()
    }

    fn drop(&self, name: &str, bytes: &[u8]) {
        self.runtime
            .block_on(self.store.put(&Key::from(format!("{}/{name}", self.prefix)), PutPayload::from(bytes.to_vec())))
            .unwrap();
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut parents: Vec<_> = self.prefix.parts().collect();
        let own = parents.pop().unwrap();
        let parent = Key::from_iter(parents);
        let results = RESULTS.map(|name| (parent.clone().join(name).join(own.clone()), format!("../{name}/")));
        self.runtime.block_on(async {
            let mut files = BTreeMap::new();
            let places = results.into_iter().chain([(self.prefix.clone(), String::new())]);
            let mut listed: Vec<(String, ObjectMeta)> = Vec::new();
            for (place, shown) in places {
                let found: Vec<ObjectMeta> = self.store.list(Some(&place)).try_collect().await.unwrap();
                listed.extend(found.into_iter().map(|meta| {
                    let below: Vec<_> = meta.location.prefix_match(&place).unwrap().collect();
                    (format!("{shown}{}", Key::from_iter(below)), meta)
                }));
            }
            for (name, meta) in listed {
                // A request of a killed process may be carried out only now.
                let got = match self.store.get(&meta.location).await {
                    Err(object_store::Error::NotFound { .. }) => continue,
                    got => got.unwrap(),
                };
                let bytes = got.bytes().await.unwrap();
                files.insert(name, bytes.to_vec());
            }
            files
        })
    }
}
