//! Tokens of Microsoft Entra ID: of a service principal, or of the login with the Azure CLI.

use std::{path::PathBuf, time::Instant};

use chrono::{DateTime, Local, NaiveDateTime};
use reqwest::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    expiry,
    oauth::{self, AccessToken, ClientSecret},
    program::{self, LIMIT, ProgramError},
    session::{Authentication, bearer, sensitive},
    settings::{Setting, Settings},
};
use crate::databricks::{
    Token, Workspace,
    error::{ApiError, Attempt},
};

/// Azure Databricks, as an application of Microsoft Entra ID.
const DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";
const RESOURCE_ID: HeaderName = HeaderName::from_static("x-databricks-azure-workspace-resource-id");
const MANAGEMENT_TOKEN: HeaderName = HeaderName::from_static("x-databricks-azure-sp-management-token");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AzureCloud {
    Public,
    UsGovernment,
    China,
}

impl AzureCloud {
    fn of(host: &str) -> Option<Self> {
        let clouds = [
            (".azuredatabricks.net", Self::Public),
            (".databricks.azure.us", Self::UsGovernment),
            (".databricks.azure.cn", Self::China),
        ];
        Some(clouds.into_iter().find(|(zone, _)| host.ends_with(zone))?.1)
    }

    fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// The service that manages resources, as it is named in tokens.
    fn management(self) -> &'static str {
        match self {
            Self::Public => "https://management.core.windows.net/",
            Self::UsGovernment => "https://management.core.usgovcloudapi.net/",
            Self::China => "https://management.core.chinacloudapi.cn/",
        }
    }
}

/// A workspace on Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AzureWorkspace {
    cloud: AzureCloud,
    /// For those that may manage the workspace's resource and are not users of the workspace yet.
    resource_id: Option<String>,
    tenant: Option<String>,
}

impl AzureWorkspace {
    /// # Errors
    /// That it is not on Azure.
    pub(super) fn configured(settings: &Settings, workspace: &Workspace) -> Result<Self, String> {
        let text = |setting| settings.get(setting).map(|text| text.trim().to_owned());
        let resource_id = text(Setting::AzureResourceId);
        let said =
            resource_id.is_some() || text(Setting::Cloud).is_some_and(|cloud| cloud.eq_ignore_ascii_case("azure"));
        let cloud = AzureCloud::of(workspace.host()).or(said.then_some(AzureCloud::Public));
        let cloud = cloud.ok_or_else(|| format!("{workspace} is not a workspace on Azure"))?;
        Ok(Self { cloud, resource_id, tenant: text(Setting::AzureTenantId) })
    }

    /// What is sent with each request: the token, and where the resource id is known, that id and a token for its management.
    fn authentication(&self, token: &AccessToken, management: Option<&AccessToken>) -> Result<Authentication, String> {
        let mut headers = bearer(&token.token)?;
        let mut until = token.until;
        if let (Some(id), Some(management)) = (&self.resource_id, management) {
            let id = HeaderValue::from_str(id).map_err(|_| "the workspace's resource id is not one line of text")?;
            headers.insert(RESOURCE_ID, id);
            headers.insert(MANAGEMENT_TOKEN, sensitive(management.token.expose())?);
            until = [until, management.until].into_iter().flatten().min();
        }
        Ok(Authentication { headers, until })
    }
}

/// A service principal of Microsoft Entra ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureClientSecret {
    pub(super) workspace: AzureWorkspace,
    pub(super) client_id: String,
    pub(super) client_secret: Token,
    /// Instead of the cloud's own.
    pub(super) authority: Option<Url>,
}

impl AzureClientSecret {
    pub(super) async fn authenticate(&self, http: &reqwest::Client) -> Result<Authentication, Attempt> {
        let token = self.token(DATABRICKS, http).await?;
        let management = match self.workspace.resource_id {
            Some(_) => Some(self.token(self.workspace.cloud.management(), http).await?),
            None => None,
        };
        self.workspace.authentication(&token, management.as_ref()).map_err(no_token)
    }

    async fn token(&self, resource: &str, http: &reqwest::Client) -> Result<AccessToken, Attempt> {
        let authority = self.authority.as_ref().map_or(self.workspace.cloud.authority(), Url::as_str);
        let tenant = self.workspace.tenant.as_deref().unwrap_or_default();
        let mut url = Url::parse(authority).map_err(|error| no_token(error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend([tenant, "oauth2", "token"]);
        }
        let form = [("grant_type", "client_credentials"), ("client_id", &self.client_id), ("resource", resource)];
        oauth::request_token(http, url, &form, ClientSecret::Field("client_secret", &self.client_secret)).await
    }
}

/// The Azure CLI with its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureCli {
    program: PathBuf,
    workspace: AzureWorkspace,
}

impl AzureCli {
    /// # Errors
    /// Why it cannot be asked.
    pub(super) fn configured(settings: &Settings, workspace: AzureWorkspace) -> Result<Self, String> {
        let program = program::find("az", settings.search_path()).into_iter().next();
        Ok(Self { program: program.ok_or("there is no program `az` on the PATH")?, workspace })
    }

    pub(super) async fn authenticate(
        &self,
        workspace: &Workspace,
        http: &reqwest::Client,
    ) -> Result<Authentication, Attempt> {
        let tenant = match &self.workspace.tenant {
            Some(tenant) => Some(tenant.clone()),
            None => tenant_of(workspace, http).await,
        };
        let token = self.token(DATABRICKS, tenant.as_deref()).await.map_err(no_token)?;
        let management = match self.workspace.resource_id {
            Some(_) => Some(self.token(self.workspace.cloud.management(), tenant.as_deref()).await.map_err(no_token)?),
            None => None,
        };
        self.workspace.authentication(&token, management.as_ref()).map_err(no_token)
    }

    /// A token for a resource. Managed identities and federated logins have no tenant to choose, and a login may see the workspace
    /// and not its subscription: what fails with one of these is asked for without.
    async fn token(&self, resource: &str, tenant: Option<&str>) -> Result<AccessToken, String> {
        let plain = ["account", "get-access-token", "--resource", resource, "--output", "json"];
        let subscription = self.workspace.resource_id.as_deref().and_then(subscription_of);
        let narrowed = tenant.map(|id| ["--tenant", id]).or(subscription.map(|id| ["--subscription", id]));
        let answer = match narrowed {
            Some(narrowed) => match program::run(&self.program, &[&plain[..], &narrowed].concat(), LIMIT).await {
                // Another attempt would take as long again.
                Err(first @ ProgramError::Failed { .. }) => {
                    program::run(&self.program, &plain, LIMIT).await.map_err(|_| first)
                }
                answer => answer,
            },
            None => program::run(&self.program, &plain, LIMIT).await,
        };
        read(&answer.map_err(|error| error.to_string())?)
            .map_err(|why| format!("{} gives {why}", self.program.display()))
    }
}

fn no_token(why: String) -> Attempt {
    Attempt::final_error(ApiError::NoToken(why))
}

/// The tenant of a workspace, which its page for logging in names. `None`: it does not, and the login's own counts.
async fn tenant_of(workspace: &Workspace, http: &reqwest::Client) -> Option<String> {
    let answer = http.get(workspace.endpoint(&["aad", "auth"])).send().await.ok()?;
    let location = Url::parse(answer.headers().get(header::LOCATION)?.to_str().ok()?).ok()?;
    let tenant = location.path_segments()?.next()?.to_owned();
    let is_id = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    Some(tenant).filter(|tenant| !tenant.is_empty() && !tenant.starts_with('-') && tenant.chars().all(is_id))
}

/// `/subscriptions/ID/resourceGroups/…`
fn subscription_of(resource_id: &str) -> Option<&str> {
    let id = resource_id.strip_prefix("/subscriptions/")?.split('/').next()?;
    Some(id).filter(|id| !id.is_empty() && !id.starts_with('-'))
}

fn read(answer: &[u8]) -> Result<AccessToken, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        access_token: String,
        /// Seconds since 1970. Older versions do not have it.
        #[serde(default, rename = "expires_on")]
        end: Value,
        /// Local time.
        #[serde(default)]
        expires_on: Option<String>,
    }
    // Not shown: it may hold a token all the same.
    let Ok(answer) = serde_json::from_slice::<Answer>(answer) else { return Err("no token") };
    let token = answer.access_token.parse().map_err(|_| "a token that cannot be used")?;
    let seconds = answer.end.as_i64().or_else(|| answer.end.as_str()?.parse().ok());
    let local = |text: String| {
        let at = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(at.and_local_timezone(Local).earliest()?.to_utc())
    };
    let end = seconds.and_then(|at| DateTime::from_timestamp(at, 0)).or_else(|| answer.expires_on.and_then(local));
    let until: Instant = expiry::instant(end.ok_or("a token without an end")?).ok_or("a token that has ended")?;
    Ok(AccessToken { token, until: Some(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_token_is_read_in_both_spellings() {
        let answer =
            |rest: &str| read(format!(r#"{{"accessToken": "t", {rest}}}"#).as_bytes()).map(|token| token.until);
        for rest in [
            r#""expires_on": 32472144000, "expiresOn": "2001-01-01 00:00:00.000000""#,
            r#""expires_on": "32472144000""#,
            r#""expiresOn": "2999-01-01 00:00:00.000000""#,
        ] {
            assert!(matches!(answer(rest), Ok(Some(until)) if until > Instant::now()), "{rest}");
        }
        assert!(answer(r#""expiresOn": "2001-01-01 00:00:00.000000""#).is_err());
        assert!(answer(r#""tenant": "x""#).is_err() && read(b"<html>").is_err());
    }

    #[test]
    fn subscriptions_are_read_from_resource_ids() {
        assert_eq!(subscription_of("/subscriptions/s-1/resourceGroups/g"), Some("s-1"));
        assert_eq!(subscription_of("/subscriptions/--debug/x"), None);
        assert_eq!(subscription_of("s-1"), None);
    }

    #[test]
    fn clouds_are_known_by_their_hosts() {
        assert_eq!(AzureCloud::of("adb-1.7.azuredatabricks.net"), Some(AzureCloud::Public));
        assert_eq!(AzureCloud::of("adb-1.7.databricks.azure.us"), Some(AzureCloud::UsGovernment));
        assert_eq!(AzureCloud::of("adb-1.7.databricks.azure.cn"), Some(AzureCloud::China));
        assert_eq!(AzureCloud::of("dbc-1.cloud.databricks.com"), None);
        assert_eq!(AzureCloud::of("azuredatabricks.net.example.test"), None);
    }
}
