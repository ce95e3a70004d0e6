//! Where Unity Catalog keeps schemas and volumes, and credentials for storage that end after a while.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Client, error::ApiError};

const SCHEMAS: [&str; 3] = ["2.1", "unity-catalog", "schemas"];
const TABLES: [&str; 3] = ["2.1", "unity-catalog", "tables"];
const VOLUMES: [&str; 3] = ["2.1", "unity-catalog", "volumes"];
/// Databricks gives credentials at the first of these versions, the open-source server at the second only.
const CREDENTIALS: [&str; 2] = ["2.0", "2.1"];

/// A schema, as far as its storage is concerned. Both are URLs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SchemaStorage {
    /// Where the schema's managed tables are.
    pub storage_location: Option<String>,
    /// What was given when the schema was made.
    pub storage_root: Option<String>,
}

/// A table of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TableInfo {
    /// Where its files are: a URL.
    pub storage_location: Option<String>,
    /// Such as `MANAGED`, `EXTERNAL`, `VIEW`.
    pub table_type: Option<String>,
}

/// A volume, as far as its storage is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VolumeStorage {
    pub volume_id: String,
    /// A URL.
    pub storage_location: String,
}

/// What credentials are for: to read, write, list and remove files in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageScope {
    /// Below a URL. They are given to those who have EXTERNAL USE LOCATION on the external location.
    Path(String),
    /// In a volume, by its id. They are given to those who have EXTERNAL USE SCHEMA on its schema, and WRITE VOLUME.
    Volume(String),
}

/// Credentials, and until when they are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporaryCredentials {
    pub secret: Secret,
    /// Milliseconds since the epoch, by the workspace's clock. The open-source server may not say it.
    pub expiration_time: Option<i64>,
}

/// What a store asks for. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Of Cloudflare R2 too.
    Aws { access_key_id: String, secret_access_key: String, session_token: String },
    /// A shared access signature: the query of a URL.
    AzureSas(String),
    /// A bearer token.
    AzureToken(String),
    /// A bearer token.
    Google(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws { .. } => "Aws(…)",
            Self::AzureSas(_) => "AzureSas(…)",
            Self::AzureToken(_) => "AzureToken(…)",
            Self::Google(_) => "Google(…)",
        })
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Wanted<'a> {
    Path { url: &'a str, operation: &'static str },
    Volume { volume_id: &'a str, operation: &'static str },
}

impl StorageScope {
    fn request(&self) -> (&'static str, Wanted<'_>) {
        match self {
            Self::Path(url) => ("temporary-path-credentials", Wanted::Path { url, operation: "PATH_READ_WRITE" }),
            Self::Volume(id) => {
                ("temporary-volume-credentials", Wanted::Volume { volume_id: id, operation: "WRITE_VOLUME" })
            }
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    expiration_time: Option<i64>,
    aws_temp_credentials: Option<AwsKeys>,
    r2_temp_credentials: Option<AwsKeys>,
    azure_user_delegation_sas: Option<Sas>,
    azure_aad: Option<Aad>,
    gcp_oauth_token: Option<OauthToken>,
}

#[derive(Deserialize)]
struct AwsKeys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

#[derive(Deserialize)]
struct Sas {
    sas_token: String,
}

#[derive(Deserialize)]
struct Aad {
    aad_token: String,
}

#[derive(Deserialize)]
struct OauthToken {
    oauth_token: String,
}

impl Answer {
    fn read(self) -> Result<TemporaryCredentials, ApiError> {
        let aws = |keys: AwsKeys| Secret::Aws {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
        };
        let secret = self
            .aws_temp_credentials
            .or(self.r2_temp_credentials)
            .map(aws)
            .or_else(|| self.azure_user_delegation_sas.map(|sas| Secret::AzureSas(sas.sas_token)))
            .or_else(|| self.azure_aad.map(|token| Secret::AzureToken(token.aad_token)))
            .or_else(|| self.gcp_oauth_token.map(|token| Secret::Google(token.oauth_token)));
        let secret = secret.ok_or_else(|| ApiError::Unexpected("credentials of no kind that is known here".into()))?;
        Ok(TemporaryCredentials { secret, expiration_time: self.expiration_time })
    }
}

impl Client {
    /// # Errors
    /// [`ApiError::NotFound`] when there is no such schema, or it may not be seen; and others.
    pub async fn schema_storage(&self, catalog: &str, schema: &str) -> Result<SchemaStorage, ApiError> {
        let name = format!("{catalog}.{schema}");
        self.get(&[&SCHEMAS[..], &[&name]].concat(), &[]).await
    }

    /// # Errors
    /// [`ApiError::NotFound`] when there is no such volume, or it may not be seen; and others.
    pub async fn volume_storage(&self, catalog: &str, schema: &str, volume: &str) -> Result<VolumeStorage, ApiError> {
        let name = format!("{catalog}.{schema}.{volume}");
        self.get(&[&VOLUMES[..], &[&name]].concat(), &[]).await
    }

    /// What the catalog knows of a table. `None`: there is no such table.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn table(&self, catalog: &str, schema: &str, table: &str) -> Result<Option<TableInfo>, ApiError> {
        let name = format!("{catalog}.{schema}.{table}");
        match self.get(&[&TABLES[..], &[&name]].concat(), &[]).await {
            Ok(info) => Ok(Some(info)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// [`ApiError`]; it never quotes an answer that could hold credentials.
    pub async fn temporary_credentials(&self, scope: &StorageScope) -> Result<TemporaryCredentials, ApiError> {
        let (name, wanted) = scope.request();
        let mut missing = Vec::new();
        for version in CREDENTIALS {
            let answer: Result<Answer, ApiError> = self.post(&[version, "unity-catalog", name], &wanted).await;
            match answer {
                // Of what is asked for, or of the version.
                Err(ApiError::NotFound(said)) => missing.push(said),
                // What could not be read is quoted, and may be a secret.
                Err(ApiError::Unexpected(_)) => {
                    return Err(ApiError::Unexpected("what was given for credentials cannot be read".into()));
                }
                answer => return answer?.read(),
            }
        }
        Err(ApiError::NotFound(missing.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TemporaryCredentials, String> {
        serde_json::from_str::<Answer>(text).unwrap().read().map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_credentials_is_understood_and_none_is_printed() {
        let aws = Secret::Aws {
            access_key_id: "hidden1".into(),
            secret_access_key: "hidden2".into(),
            session_token: "hidden3".into(),
        };
        let keys = r#"{"access_key_id":"hidden1","secret_access_key":"hidden2","session_token":"hidden3"}"#;
        for (kind, value, secret) in [
            ("aws_temp_credentials", keys, aws.clone()),
            ("r2_temp_credentials", keys, aws),
            ("azure_user_delegation_sas", r#"{"sas_token":"hidden"}"#, Secret::AzureSas("hidden".into())),
            ("azure_aad", r#"{"aad_token":"hidden"}"#, Secret::AzureToken("hidden".into())),
            ("gcp_oauth_token", r#"{"oauth_token":"hidden"}"#, Secret::Google("hidden".into())),
        ] {
            let text = format!(r#"{{"{kind}":{value},"expiration_time":1800000000000,"url":"s3://b/p"}}"#);
            let credentials = read(&text).unwrap();
            assert!(!format!("{credentials:?}").contains("hidden"));
            assert_eq!(credentials, TemporaryCredentials { secret, expiration_time: Some(1_800_000_000_000) });
        }
    }

    #[test]
    fn credentials_of_no_known_kind_are_refused_and_those_without_an_end_are_not() {
        assert!(read(r#"{"expiration_time":1}"#).unwrap_err().contains("no kind that is known"));
        for end in ["", r#","expiration_time":null"#] {
            let endless = read(&format!(r#"{{"gcp_oauth_token":{{"oauth_token":"x"}}{end}}}"#)).unwrap();
            assert_eq!(endless, TemporaryCredentials { secret: Secret::Google("x".into()), expiration_time: None });
        }
    }
}
