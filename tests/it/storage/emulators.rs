//! Stores that speak as S3 and Azure do, each behind a [`Proxy`].

use std::sync::Arc;

use object_store::{ObjectStore, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder};
use ops_runbook::lake::{Context, Lake, Surroundings};

use super::proxy::Proxy;
use crate::{peer::Peer, support::Place};

/// A bucket or container of an emulator, and what the environment says about it.
#[derive(Debug)]
pub struct Store {
    /// Without a slash at its end.
    root: String,
    pub variables: Vec<(String, String)>,
    pub proxy: Proxy,
    /// Of Azure: a shared access signature.
    pub sas: Option<String>,
    _peer: Peer,
}

/// A lake in it.
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
        let peer = Peer::start("OPS_RUNBOOK_TEST_S3", "s3_serves.py", &["ops"]);
        let proxy = Proxy::before(peer.ready("url"));
        let variables = variables([
            ("AWS_ENDPOINT_URL", &proxy.url),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        Self { root: "s3://ops".into(), variables, proxy, sas: None, _peer: peer }
    }

    pub fn azure() -> Self {
        let modules =
            std::env::var("OPS_RUNBOOK_TEST_AZURE").expect("run the tests by tests/run, which fetches azurite");
        let peer = Peer::run("node", "azure_serves.mjs", &[&format!("{modules}/node_modules"), "ops"]);
        let (url, account) = (peer.ready("url"), peer.ready("account"));
        let proxy = Proxy::before(url.strip_suffix(&format!("/{account}")).unwrap());
        let variables = variables([
            ("AZURE_STORAGE_ENDPOINT", &format!("{}/{account}", proxy.url)),
            ("AZURE_STORAGE_ACCOUNT_NAME", account),
            ("AZURE_STORAGE_ACCOUNT_KEY", peer.ready("key")),
        ]);
        let sas = Some(peer.ready("sas").to_owned());
        Self { root: "az://ops".into(), variables, proxy, sas, _peer: peer }
    }

    /// A client of the bucket or container that knows nothing of this program.
    pub fn client(&self) -> Arc<dyn ObjectStore> {
        let value = |name: &str| self.variables.iter().find(|(known, _)| known == name).unwrap().1.clone();
        if self.sas.is_some() {
            let builder = MicrosoftAzureBuilder::new()
                .with_container_name("ops")
                .with_endpoint(value("AZURE_STORAGE_ENDPOINT"))
                .with_account(value("AZURE_STORAGE_ACCOUNT_NAME"))
                .with_access_key(value("AZURE_STORAGE_ACCOUNT_KEY"));
            return Arc::new(builder.with_allow_http(true).build().unwrap());
        }
        let builder = AmazonS3Builder::new()
            .with_bucket_name("ops")
            .with_endpoint(value("AWS_ENDPOINT_URL"))
            .with_region(value("AWS_REGION"))
            .with_access_key_id(value("AWS_ACCESS_KEY_ID"))
            .with_secret_access_key(value("AWS_SECRET_ACCESS_KEY"));
        Arc::new(builder.with_allow_http(true).build().unwrap())
    }

    /// A place for a lake of its own.
    pub fn lake(&self, name: &str) -> Stored {
        Stored { uri: format!("{}/{name}", self.root), variables: self.variables.clone() }
    }
}

impl Stored {
    /// The lake, opened in this process.
    pub fn open(&self) -> Lake {
        let surroundings =
            Surroundings { variables: self.variables.iter().cloned().collect(), ..Surroundings::default() };
        Lake::open(&self.uri, &surroundings, Context::system()).unwrap()
    }
}

impl Place for Stored {
    fn uri(&self) -> String {
        self.uri.clone()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }
}
