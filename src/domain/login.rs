//! Authentication methods of a workspace, and the result of a login check.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// An authentication method, named as in the official SDKs. The variants are in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Method {
    /// A personal access token, or a token that another program renews.
    Pat,
    /// The OAuth secret of a service principal.
    OauthM2m,
    /// The login of a person with the Databricks CLI.
    DatabricksCli,
    /// An identity token of GitHub Actions.
    GithubOidc,
    /// An identity token in an environment variable.
    EnvOidc,
    /// An identity token in a file.
    FileOidc,
    /// The secret of a service principal of Microsoft Entra ID.
    AzureClientSecret,
    /// The login with the Azure CLI.
    AzureCli,
}

impl Method {
    pub const ALL: [Self; 8] = [
        Self::Pat,
        Self::OauthM2m,
        Self::DatabricksCli,
        Self::GithubOidc,
        Self::EnvOidc,
        Self::FileOidc,
        Self::AzureClientSecret,
        Self::AzureCli,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pat => "pat",
            Self::OauthM2m => "oauth-m2m",
            Self::DatabricksCli => "databricks-cli",
            Self::GithubOidc => "github-oidc",
            Self::EnvOidc => "env-oidc",
            Self::FileOidc => "file-oidc",
            Self::AzureClientSecret => "azure-client-secret",
            Self::AzureCli => "azure-cli",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Method> for &'static str {
    fn from(method: Method) -> Self {
        method.as_str()
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|method| method.as_str() == text).ok_or(())
    }
}

/// Result of a login check. Its texts come from outside and must be escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginReport {
    /// URL of the workspace.
    pub workspace: Option<String>,
    /// Each setting that has a value, and the source of the value.
    pub settings: Vec<(&'static str, String)>,
    /// The method that returned a token.
    pub method: Option<Method>,
    /// The methods that were not used, with the reasons.
    pub unused: Vec<(Method, String)>,
    pub user: Option<CurrentUser>,
    /// The failure. `None`: the login works.
    pub problem: Option<LoginProblem>,
}

/// The identity of the login in the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentUser {
    /// The e-mail address of a person, the application id of a service principal.
    pub name: String,
    pub display_name: Option<String>,
    pub workspace_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginProblem {
    pub error: String,
    pub hint: Option<String>,
}

impl LoginReport {
    pub fn is_usable(&self) -> bool {
        self.problem.is_none()
    }

    /// Replaces each text by the result of `safe`.
    #[must_use]
    pub fn map_text(mut self, safe: impl Fn(&str) -> String) -> Self {
        self.workspace = self.workspace.as_deref().map(&safe);
        for (_, source) in &mut self.settings {
            *source = safe(source);
        }
        for (_, reason) in &mut self.unused {
            *reason = safe(reason);
        }
        if let Some(user) = &mut self.user {
            user.name = safe(&user.name);
            user.display_name = user.display_name.as_deref().map(&safe);
            user.workspace_id = user.workspace_id.as_deref().map(&safe);
        }
        if let Some(problem) = &mut self.problem {
            problem.error = safe(&problem.error);
            problem.hint = problem.hint.as_deref().map(&safe);
        }
        self
    }
}
