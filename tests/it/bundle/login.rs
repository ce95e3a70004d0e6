//! Tests of a login that the official Databricks CLI stores.

use std::fs;

use serde_json::{Value, json};

use super::workspace::TOOLS;
use crate::{login::Desk, warehouse::fake::error};

/// Writes a login as `databricks auth login` does without a keyring: the profile, and the token in a file.
fn log_in(desk: &Desk, expiry: &str) {
    let profiles = format!(
        "[person]\nhost      = {}\nauth_type = databricks-cli\n\n[__settings__]\nauth_storage = plaintext\n",
        desk.fake.url
    );
    fs::write(desk.path(".databrickscfg"), profiles).unwrap();
    let token = json!({ "access_token": "token-of-first", "token_type": "Bearer", "refresh_token": "renew-me", "expiry": expiry });
    fs::create_dir_all(desk.path(".databricks")).unwrap();
    let cache = json!({ "version": 1, "tokens": { "person": token } });
    fs::write(desk.path(".databricks/token-cache.json"), cache.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_cli_returns_and_renews_the_token_of_a_login() {
    let desk = Desk::new(|request| match request.line.as_str() {
        "GET /oidc/.well-known/oauth-authorization-server" => {
            let url = |path| format!("http://{}/oidc/v1/{path}", request.headers["host"].to_str().unwrap());
            json!({ "authorization_endpoint": url("authorize"), "token_endpoint": url("token") }).into()
        }
        "POST /oidc/v1/token" if request.body.as_str().unwrap().contains("refresh_token=renew-me") => {
            json!({ "access_token": "token-of-second", "token_type": "Bearer", "refresh_token": "again", "expires_in": 3600 })
                .into()
        }
        _ => error(404, "NOT_FOUND", &request.line),
    })
    .await;
    let tools = tokio::task::spawn_blocking(|| TOOLS.to_str().unwrap()).await.unwrap();
    let person = [("DATABRICKS_CONFIG_PROFILE", "person"), ("PATH", tools)];
    let (code, found) = desk.doctor(&person).await;
    assert_eq!(code, Some(1), "the profile does not exist yet: {found:#}");
    for (expiry, user) in [("2999-01-01T00:00:00Z", "first"), ("2026-01-01T00:00:00Z", "second")] {
        log_in(&desk, expiry);
        let (code, found) = desk.doctor(&person).await;
        let expected = (&json!("databricks-cli"), &json!(user), Some(0));
        assert_eq!((&found["method"], &found["user"], code), expected, "{found:#}");
    }
    let cache: Value = serde_json::from_slice(&fs::read(desk.path(".databricks/token-cache.json")).unwrap()).unwrap();
    assert_eq!(cache["tokens"]["person"]["access_token"], "token-of-second", "the CLI stores the renewed token");
    fs::remove_file(desk.path(".databricks/token-cache.json")).unwrap();
    let (code, found) = desk.doctor(&person).await;
    let error = found["error"].as_str().unwrap();
    assert!(code == Some(1) && error.contains("databricks auth login"), "{error}");
}
