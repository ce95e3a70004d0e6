//! From settings to a workspace and the credentials that may be used there. Makes no request: programs are only looked for.

use url::Url;

use super::{
    AuthError, Chain, Credentials,
    azure::{AzureCli, AzureClientSecret, AzureWorkspace},
    databricks_cli::DatabricksCli,
    federation::{Federation, IdTokenSource},
    settings::{Setting, Settings, Source},
};
use crate::{
    databricks::{Token, Workspace, is_safe_to_send},
    domain::login::Method,
};

/// Methods of the official SDKs that this program does not have, and what is used instead.
const OTHERS: [(&str, &str); 7] = [
    ("basic", "Databricks has ended logins by password; use databricks-cli"),
    ("external-browser", "use databricks-cli"),
    ("azure-msi", "use azure-cli, with `az login --identity`"),
    ("azure-devops-oidc", "use env-oidc"),
    ("github-oidc-azure", "use github-oidc"),
    ("google-credentials", "use oauth-m2m"),
    ("google-id", "use oauth-m2m"),
];

/// A workspace, and how to log in to it.
#[derive(Debug, Clone)]
pub struct Access {
    pub workspace: Workspace,
    /// For a host that serves several workspaces.
    pub workspace_id: Option<String>,
    pub credentials: Chain,
}

/// Why one method alone counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Only {
    /// Its name was given.
    Named(Method, Source),
    /// A setting was given that no other method has.
    Given(Method, Source),
}

impl Only {
    fn method(&self) -> Method {
        let (Self::Named(method, _) | Self::Given(method, _)) = self;
        *method
    }
}

/// Why a method cannot be used.
#[derive(Debug)]
enum Unfit {
    Missing(Vec<Setting>),
    Unusable { setting: Setting, reason: String },
    Inapplicable(String),
}

impl Unfit {
    fn reason(&self) -> String {
        match self {
            Self::Missing(settings) => {
                let names: Vec<&str> = settings.iter().map(|setting| setting.variable()).collect();
                format!("{} not set", names.join(", "))
            }
            Self::Unusable { setting, reason } => format!("{}: {reason}", setting.variable()),
            Self::Inapplicable(reason) => reason.clone(),
        }
    }
}

impl Settings {
    /// The workspace, and the credentials that may be used. A method that `auth_type` names, or that has a setting of its own,
    /// is the only one. Otherwise all that need no such setting may be used: the logins of the Databricks CLI, of a GitHub
    /// workflow and of the Azure CLI.
    ///
    /// # Errors
    /// [`AuthError`] names everything that is missing.
    pub fn access(&self) -> Result<Access, AuthError> {
        let only = self.only()?;
        let mut missing = self.unset(&[Setting::Host]);
        match &only {
            Some(only) => missing.extend(self.unset(required(only.method()))),
            None if missing.is_empty() => {}
            None => missing.push(self.expected()),
        }
        let Some(host) = self.get(Setting::Host).filter(|_| missing.is_empty()) else {
            return Err(self.missing(missing));
        };
        let workspace: Workspace = host.parse().map_err(|reason| self.unusable(Setting::Host, reason))?;
        let chain = match &only {
            Some(only) => {
                Some(self.configured(only.method(), &workspace).map_err(|unfit| self.refused(only, unfit))?.into())
            }
            None => Chain::new(Method::ALL.into_iter().filter_map(|method| self.configured(method, &workspace).ok())),
        };
        let credentials = chain.ok_or_else(|| self.missing(vec![self.expected()]))?;
        let workspace_id = self.get(Setting::WorkspaceId).map(|id| id.trim().to_owned());
        Ok(Access { workspace, workspace_id, credentials })
    }

    /// Why each method but `used` is not used, as far as that is known without a request.
    pub fn unused(&self, used: Option<Method>) -> Vec<(Method, String)> {
        let workspace = self.get(Setting::Host).and_then(|host| host.parse().ok());
        let only = self.only().ok().flatten();
        let reason = |method| match (&workspace, &only) {
            (_, Some(Only::Named(named, source))) if *named != method => format!("{source} is {named}"),
            (None, _) => match self.unset(required(method)) {
                missing if missing.is_empty() => "it is not known where the workspace is".to_owned(),
                missing => Unfit::Missing(missing).reason(),
            },
            (Some(workspace), only) => match (self.configured(method, workspace), only) {
                (Err(unfit), _) => unfit.reason(),
                (Ok(_), Some(Only::Given(given, source))) if *given != method => {
                    format!("{source} is for {given} alone")
                }
                (Ok(_), _) => match used {
                    Some(used) => format!("{used} comes before it"),
                    None => "no token was asked for".to_owned(),
                },
            },
        };
        let others = Method::ALL.into_iter().filter(|method| Some(*method) != used);
        others.map(|method| (method, reason(method))).collect()
    }

    /// # Errors
    /// [`AuthError::Contradiction`], [`AuthError::UnknownMethod`].
    fn only(&self) -> Result<Option<Only>, AuthError> {
        if let (Some(name), Some(source)) = (self.get(Setting::AuthType), self.source(Setting::AuthType)) {
            let name = name.trim();
            let instead = OTHERS.iter().find(|(other, _)| *other == name).map(|(_, instead)| *instead);
            let unknown = |()| AuthError::UnknownMethod { name: name.to_owned(), set_by: source.to_string(), instead };
            return Ok(Some(Only::Named(name.parse().map_err(unknown)?, source.clone())));
        }
        let source = |method| marks(method).iter().find_map(|setting| self.source(*setting));
        let mut given = Method::ALL.into_iter().filter_map(|method| Some((method, source(method)?)));
        match (given.next(), given.next()) {
            (Some((first, source)), Some((second, other))) => Err(AuthError::Contradiction {
                first: (first, source.to_string()),
                second: (second, other.to_string()),
            }),
            (first, _) => Ok(first.map(|(method, source)| Only::Given(method, source.clone()))),
        }
    }

    fn configured(&self, method: Method, workspace: &Workspace) -> Result<Credentials, Unfit> {
        let missing = self.unset(required(method));
        if !missing.is_empty() {
            return Err(Unfit::Missing(missing));
        }
        let azure = || AzureWorkspace::configured(self, workspace).map_err(Unfit::Inapplicable);
        Ok(match method {
            Method::Pat => Credentials::Pat(self.secret(Setting::Token)?),
            Method::OauthM2m => {
                Credentials::OauthM2m { id: self.text(Setting::ClientId), secret: self.secret(Setting::ClientSecret)? }
            }
            Method::DatabricksCli => {
                Credentials::DatabricksCli(DatabricksCli::configured(self, workspace).map_err(Unfit::Inapplicable)?)
            }
            Method::GithubOidc => {
                let (url, token) = (self.url(Setting::ActionsUrl)?, self.secret(Setting::ActionsToken)?);
                self.federation(IdTokenSource::Github { url, token })
            }
            Method::EnvOidc => self.federation(IdTokenSource::Variable(self.secret(Setting::IdToken)?)),
            Method::FileOidc => self.federation(IdTokenSource::File(self.text(Setting::IdTokenFile).into())),
            Method::AzureClientSecret => Credentials::AzureClientSecret(AzureClientSecret {
                workspace: azure()?,
                client_id: self.text(Setting::AzureClientId),
                client_secret: self.secret(Setting::AzureClientSecret)?,
                authority: self
                    .is_set(Setting::AzureAuthority)
                    .then(|| self.url(Setting::AzureAuthority))
                    .transpose()?,
            }),
            Method::AzureCli => {
                Credentials::AzureCli(AzureCli::configured(self, azure()?).map_err(Unfit::Inapplicable)?)
            }
        })
    }

    fn federation(&self, source: IdTokenSource) -> Credentials {
        Credentials::Federation(Federation::new(source, self))
    }

    fn text(&self, setting: Setting) -> String {
        self.get(setting).unwrap_or_default().trim().to_owned()
    }

    fn secret(&self, setting: Setting) -> Result<Token, Unfit> {
        self.text(setting).parse().map_err(|reason| Unfit::Unusable { setting, reason })
    }

    fn url(&self, setting: Setting) -> Result<Url, Unfit> {
        let unusable = |reason: &str| Unfit::Unusable { setting, reason: reason.to_owned() };
        let url: Url = self.text(setting).parse().map_err(|_| unusable("it is not a URL"))?;
        if is_safe_to_send(&url) { Ok(url) } else { Err(unusable("a secret is sent by https:// only")) }
    }

    fn unset(&self, settings: &[Setting]) -> Vec<Setting> {
        settings.iter().copied().filter(|setting| !self.is_set(*setting)).collect()
    }

    /// What is asked for where no method can be used: the rest of what was begun, or a token.
    fn expected(&self) -> Setting {
        if self.is_set(Setting::ClientId) { Setting::ClientSecret } else { Setting::Token }
    }

    fn missing(&self, settings: Vec<Setting>) -> AuthError {
        let wanted = |setting| match (setting, self.get(Setting::IdTokenVariable)) {
            (Setting::IdToken, Some(name)) => format!("an identity token in {name}"),
            _ => setting.wanted(),
        };
        AuthError::Missing(settings.into_iter().map(wanted).collect())
    }

    fn unusable(&self, setting: Setting, reason: String) -> AuthError {
        let what = self.source(setting).map_or_else(|| setting.variable().to_owned(), ToString::to_string);
        AuthError::Unusable { what, reason }
    }

    fn refused(&self, only: &Only, unfit: Unfit) -> AuthError {
        match unfit {
            Unfit::Missing(settings) => self.missing(settings),
            Unfit::Unusable { setting, reason } => self.unusable(setting, reason),
            Unfit::Inapplicable(reason) => {
                let (Only::Named(method, source) | Only::Given(method, source)) = only;
                AuthError::Inapplicable { method: *method, set_by: source.to_string(), reason }
            }
        }
    }
}

/// What a method needs.
fn required(method: Method) -> &'static [Setting] {
    match method {
        Method::Pat => &[Setting::Token],
        Method::OauthM2m => &[Setting::ClientId, Setting::ClientSecret],
        Method::GithubOidc => &[Setting::ActionsUrl, Setting::ActionsToken],
        Method::EnvOidc => &[Setting::IdToken],
        Method::FileOidc => &[Setting::IdTokenFile],
        Method::AzureClientSecret => &[Setting::AzureClientId, Setting::AzureClientSecret, Setting::AzureTenantId],
        Method::DatabricksCli | Method::AzureCli => &[],
    }
}

/// The settings of which one shows that a method is meant. Methods without such settings use what is there anyway.
fn marks(method: Method) -> &'static [Setting] {
    match method {
        Method::Pat => &[Setting::Token],
        Method::OauthM2m => &[Setting::ClientSecret],
        Method::EnvOidc => &[Setting::IdTokenVariable, Setting::IdToken],
        Method::FileOidc => &[Setting::IdTokenFile],
        Method::AzureClientSecret => &[Setting::AzureClientSecret],
        Method::DatabricksCli | Method::GithubOidc | Method::AzureCli => &[],
    }
}
