//! Emulators of S3, Azure and Google, each behind a [`Proxy`].

use std::{fs, sync::Arc};

use object_store::{
    ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder,
};
use ops_runbook::lake::{Context, Lake, StoreEnvironment};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::proxy::Proxy;
use crate::{
    peer::Peer,
    support::{LakeLocation, demo_files},
};

/// A bucket or container of an emulator, and the environment variables for it.
#[derive(Debug)]
pub struct Store {
    /// Without a slash at its end.
    root: String,
    pub variables: Vec<(String, String)>,
    pub proxy: Proxy,
    /// The credentials that a workspace would vend for it, if the emulator supports them: a field of the response.
    pub vended: Option<Value>,
    client: Arc<dyn ObjectStore>,
    /// The folder of the account's file.
    _folder: Option<TempDir>,
    _peer: Peer,
}

/// A lake in a store.
#[derive(Debug, Clone)]
pub struct Stored {
    pub uri: String,
    pub variables: Vec<(String, String)>,
}

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

impl Store {
    pub fn s3() -> Self {
        let peer = Peer::start("s3", "s3_serves.py", &["ops"]);
        let proxy = Proxy::before(peer.ready("url"));
        let variables = variables([
            ("AWS_ENDPOINT_URL", &proxy.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        let client = AmazonS3Builder::new()
            .with_bucket_name("ops")
            .with_endpoint(&proxy.url)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test");
        let client = Arc::new(client.with_allow_http(true).build().unwrap());
        Self { root: "s3://ops".into(), variables, proxy, vended: None, client, _folder: None, _peer: peer }
    }

    pub fn azure() -> Self {
        let peer = Peer::start("azure", "azure_serves.mjs", &["ops"]);
        let (url, account) = (peer.ready("url"), peer.ready("account"));
        let proxy = Proxy::before(url.strip_suffix(&format!("/{account}")).unwrap());
        let endpoint = format!("{}/{account}", proxy.url);
        let variables = variables([
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
            ("AZURE_STORAGE_ACCOUNT_NAME", account),
            ("AZURE_STORAGE_ACCOUNT_KEY", peer.ready("key")),
        ]);
        let client = MicrosoftAzureBuilder::new()
            .with_container_name("ops")
            .with_endpoint(endpoint)
            .with_account(account)
            .with_access_key(peer.ready("key"));
        let client = Arc::new(client.with_allow_http(true).build().unwrap());
        let vended = Some(json!({ "azure_user_delegation_sas": { "sas_token": peer.ready("sas") } }));
        Self { root: "az://ops".into(), variables, proxy, vended, client, _folder: None, _peer: peer }
    }

    /// Google, with a second between two writes to one name.
    pub fn google() -> Self {
        Self::google_with_pauses_of("1")
    }

    pub fn google_with_pauses_of(seconds: &str) -> Self {
        let peer = Peer::start("google", "google_serves.py", &["ops", seconds]);
        let proxy = Proxy::before(peer.ready("url"));
        let mut account: Value = serde_json::from_str(peer.ready("account")).unwrap();
        account["gcs_base_url"] = proxy.url.as_str().into();
        let folder = tempdir().unwrap();
        let file = folder.path().join("account.json");
        fs::write(&file, account.to_string()).unwrap();
        let variables = variables([("GOOGLE_SERVICE_ACCOUNT", file.to_str().unwrap())]);
        let client =
            GoogleCloudStorageBuilder::new().with_bucket_name("ops").with_service_account_key(account.to_string());
        let client = Arc::new(client.build().unwrap());
        let vended = Some(json!({ "gcp_oauth_token": { "oauth_token": peer.ready("token") } }));
        Self { root: "gs://ops".into(), variables, proxy, vended, client, _folder: Some(folder), _peer: peer }
    }

    /// Returns a client of the bucket or container that is independent of this program.
    pub fn client(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.client)
    }

    /// Returns a lake with the history of `demo`. It is copied, because creating it here takes minutes.
    pub async fn demo_lake(&self, name: &str) -> Stored {
        for (path, bytes) in demo_files() {
            let key = object_store::path::Path::from(format!("{name}/{}", path.display()));
            self.client.put(&key, bytes.clone().into()).await.unwrap();
        }
        self.lake(name)
    }

    /// Returns the location of a new lake.
    pub fn lake(&self, name: &str) -> Stored {
        Stored { uri: format!("{}/{name}", self.root), variables: self.variables.clone() }
    }
}

impl Stored {
    /// Opens the lake in this process.
    pub fn open(&self) -> Lake {
        let store_environment =
            StoreEnvironment { variables: self.variables.iter().cloned().collect(), ..StoreEnvironment::default() };
        Lake::open(&self.uri, &store_environment, Context::system()).unwrap()
    }
}

impl LakeLocation for Stored {
    fn uri(&self) -> String {
        self.uri.clone()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }
}
