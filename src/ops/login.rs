//! Checks the login to a workspace: its URL, the method that returns a token, and the user.

use crate::{
    databricks::{
        Client,
        auth::{AuthError, access::WorkspaceAccess, settings::LoginSettings},
        error::ApiError,
    },
    domain::login::{LoginProblem, LoginReport},
};

/// Checks the login with one request to the configured workspace.
pub async fn check(settings: &LoginSettings) -> LoginReport {
    let sources = settings.sources().map(|(name, source)| (name, source.to_string())).collect();
    let report = LoginReport { settings: sources, ..LoginReport::default() };
    match settings.access() {
        Ok(access) => check_access(settings, access, report).await,
        Err(error) => {
            LoginReport { unused: settings.unused_methods(None), problem: Some(invalid_settings(&error)), ..report }
        }
    }
}

async fn check_access(settings: &LoginSettings, access: WorkspaceAccess, report: LoginReport) -> LoginReport {
    let report = LoginReport { workspace: Some(access.workspace.to_string()), ..report };
    let client = match Client::of(access) {
        Ok(client) => client,
        Err(error) => return LoginReport { problem: Some(api_problem(&error)), ..report },
    };
    let user = client.current_user().await;
    let (method, failures) = client.login_methods().await;
    let mut unused = settings.unused_methods(method);
    for (method, reason) in &mut unused {
        if let Some((_, failure)) = failures.iter().find(|(failed, _)| failed == method) {
            reason.clone_from(failure);
        }
    }
    let (user, problem) = match user {
        Ok(user) => (Some(user), None),
        Err(error) => (None, Some(api_problem(&error))),
    };
    LoginReport { method, unused, user, problem, ..report }
}

fn invalid_settings(error: &AuthError) -> LoginProblem {
    LoginProblem { error: error.to_string(), hint: Some(error.hint()) }
}

fn api_problem(error: &ApiError) -> LoginProblem {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    LoginProblem { error: format!("{error}{cause}"), hint: error.hint() }
}
