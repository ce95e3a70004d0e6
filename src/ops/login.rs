//! Checks the login to a workspace: where it is, which method gives a token, who one is there.

use crate::{
    databricks::{
        Client,
        auth::{AuthError, access::Access, settings::Settings},
        error::ApiError,
    },
    domain::login::{LoginProblem, LoginReport},
};

/// Sends one request to the workspace that the settings name.
pub async fn check(settings: &Settings) -> LoginReport {
    let sources = settings.sources().map(|(name, source)| (name, source.to_string())).collect();
    let report = LoginReport { settings: sources, ..LoginReport::default() };
    match settings.access() {
        Ok(access) => ask(settings, access, report).await,
        Err(error) => LoginReport { unused: settings.unused(None), problem: Some(unusable(&error)), ..report },
    }
}

async fn ask(settings: &Settings, access: Access, report: LoginReport) -> LoginReport {
    let report = LoginReport { workspace: Some(access.workspace.to_string()), ..report };
    let client = match Client::of(access) {
        Ok(client) => client,
        Err(error) => return LoginReport { problem: Some(failed(&error)), ..report },
    };
    let user = client.current_user().await;
    let (method, failures) = client.login_methods().await;
    let mut unused = settings.unused(method);
    for (method, reason) in &mut unused {
        if let Some((_, failure)) = failures.iter().find(|(failed, _)| failed == method) {
            reason.clone_from(failure);
        }
    }
    let (user, problem) = match user {
        Ok(user) => (Some(user), None),
        Err(error) => (None, Some(failed(&error))),
    };
    LoginReport { method, unused, user, problem, ..report }
}

fn unusable(error: &AuthError) -> LoginProblem {
    LoginProblem { error: error.to_string(), hint: Some(error.hint()) }
}

fn failed(error: &ApiError) -> LoginProblem {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    LoginProblem { error: format!("{error}{cause}"), hint: error.hint() }
}
