//! Each authentication method, through the binary: `doctor --workspace` against a fake workspace, and programs named `databricks` and
//! `az` on the PATH.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use ops_runbook::{
    databricks::{Client, auth::settings::LoginSettings, error::ApiError, runs::RunSelection},
    domain::login::Method,
};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    support::{binary, finish},
    warehouse::{
        err,
        fake::{Fake, Reply, Request, error},
    },
};

const ID_TOKEN: &str = "identity-of-a-job";
const CLIENT_SECRET: &str = "dose-not-a-secret";
const RESOURCE_ID: &str = "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Databricks/workspaces/w";

/// A workspace whose users have the tokens `token-of-NAME`, and a folder for programs and files.
pub struct Desk {
    pub fake: Fake,
    home: TempDir,
}

impl Desk {
    /// Starts a workspace. `tokens` responds to requests that are not for the API.
    pub async fn new(tokens: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let fake = Fake::answering(move |request| {
            if !request.line.starts_with("GET /api/") {
                return tokens(request);
            }
            let Some(user) = request.authorization.strip_prefix("Bearer token-of-") else {
                return error(401, "UNAUTHENTICATED", "unknown");
            };
            Reply {
                workspace_id: Some("77"),
                ..json!({ "userName": user, "displayName": "The User", "runs": [] }).into()
            }
        });
        Self { fake: fake.await, home: tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Creates a program on the PATH that logs each of its calls. Another process writes the file: a file that this process has open
    /// for writing cannot be executed.
    fn program(&self, name: &str, cases: &str) {
        let script = format!(
            "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$*\" >> '{}'\nsoon=$(($(date +%s) + 50))\ncase \"$*\" in\n{cases}\nesac\n",
            self.text(&format!("{name}.calls"))
        );
        fs::create_dir_all(self.path("bin")).unwrap();
        let written = Command::new("/bin/sh")
            .args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &script])
            .arg(self.path("bin").join(name))
            .status();
        assert!(written.unwrap().success());
    }

    /// Creates a Databricks CLI that returns the output of `token` to the profile `person`.
    fn databricks(&self, token: &str) {
        let cases = format!(
            "version) echo 'Databricks CLI v1.10.0' ;;\n'auth token --profile person') {token} ;;\n\
             *) echo \"no login: $*\" >&2; exit 1 ;;"
        );
        self.program("databricks", &cases);
    }

    fn calls(&self, program: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(&format!("{program}.calls"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn profiles(&self, text: &str) {
        fs::write(self.path(".databrickscfg"), text.replace("HOST", &self.fake.url)).unwrap();
    }

    /// Runs the binary with these variables, and no others about workspaces.
    pub async fn run(&self, settings: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = binary(Path::new("./ops-lake"));
        command.current_dir(self.home.path()).env_remove("DATABRICKS_CONFIG_FILE").env("HOME", self.home.path());
        command.env("PATH", self.path("bin")).env("NO_PROXY", "127.0.0.1");
        command.envs(settings.iter().copied()).args(arguments);
        tokio::task::spawn_blocking(move || finish(&mut command)).await.unwrap()
    }

    /// Runs `doctor --workspace`. Returns its exit code and report.
    pub async fn doctor(&self, settings: &[(&str, &str)]) -> (Option<i32>, Value) {
        let output = self.run(settings, &["doctor", "--workspace", "--json"]).await;
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(&output)));
        assert_eq!(found["usable"], output.status.success(), "{found:#}");
        (output.status.code(), found["workspace"].clone())
    }

    /// Asserts the identity that the workspace sees after a login with the method.
    async fn assert_user(&self, settings: &[(&str, &str)], method: &str, user: &str) -> Value {
        let (code, found) = self.doctor(settings).await;
        assert_eq!((&found["method"], &found["user"], code), (&json!(method), &json!(user), Some(0)), "{found:#}");
        assert_eq!(found["workspace_id"], "77");
        assert_eq!(found["unused"].as_object().unwrap().len(), Method::ALL.len() - 1, "{found:#}");
        found
    }

    fn host(&self) -> (&'static str, &str) {
        ("DATABRICKS_HOST", &self.fake.url)
    }

    fn last(&self) -> Request {
        self.fake.requests().pop().unwrap()
    }
}

fn nothing(request: &Request) -> Reply {
    error(404, "NOT_FOUND", &request.line)
}

fn token(user: &str) -> Reply {
    json!({ "access_token": format!("token-of-{user}"), "token_type": "Bearer", "expires_in": 3_600 }).into()
}

/// Returns the fields of a form.
fn form(request: &Request) -> Value {
    let body = request.body.as_str().unwrap_or_default();
    url::form_urlencoded::parse(body.as_bytes()).map(|(name, value)| (name.into_owned(), json!(value))).collect()
}

/// Starts a workspace that exchanges [`ID_TOKEN`].
async fn federated() -> Desk {
    Desk::new(|request| match request.line.split('?').next().unwrap() {
        "GET /oidc/.well-known/oauth-authorization-server" => {
            json!({ "token_endpoint": format!("http://{}/tokens/here", request.headers["host"].to_str().unwrap()) })
                .into()
        }
        "GET /github" if request.authorization == "Bearer of-github" => json!({ "value": ID_TOKEN }).into(),
        "POST /tokens/here" if form(request)["subject_token"] == ID_TOKEN => token("the-job"),
        "POST /tokens/here" => {
            let sent = form(request)["subject_token"].as_str().unwrap().to_owned();
            Reply {
                status: 400,
                ..json!({ "error": "invalid_grant", "error_description": format!("no policy for {sent}") }).into()
            }
        }
        _ => nothing(request),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_access_token() {
    let desk = Desk::new(nothing).await;
    let found = desk.assert_user(&[desk.host(), ("DATABRICKS_TOKEN", "token-of-a")], "pat", "a").await;
    assert_eq!(found["settings"], json!({ "host": "DATABRICKS_HOST", "token": "DATABRICKS_TOKEN" }));
    assert_eq!(found["unused"]["oauth-m2m"], "DATABRICKS_CLIENT_ID, DATABRICKS_CLIENT_SECRET not set");
    assert_eq!(desk.fake.lines(), ["GET /api/2.0/preview/scim/v2/Me"]);
    let chosen = [desk.host(), ("DATABRICKS_TOKEN", "token-of-a"), ("DATABRICKS_WORKSPACE_ID", "78")];
    desk.assert_user(&chosen, "pat", "a").await;
    assert_eq!(desk.last().headers["x-databricks-workspace-id"], "78");
    assert!(!desk.path("ops-lake").exists(), "a lake that is not there is not checked");

    let output = desk.run(&[desk.host(), ("DATABRICKS_TOKEN", "token-of-a")], &["doctor", "--workspace"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let shown = text.replace(&desk.fake.url, "http://HOST");
    insta::assert_snapshot!("doctor_workspace", shown);
    let output = desk.run(&[desk.host(), ("DATABRICKS_TOKEN", "else")], &["doctor", "--workspace"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("does not accept the token: UNAUTHENTICATED"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_lake_is_checked_together_with_the_workspace() {
    let desk = Desk::new(nothing).await;
    let settings = [desk.host(), ("DATABRICKS_TOKEN", "token-of-a")];
    let init = desk.run(&[], &["init"]).await;
    assert!(init.status.success(), "{}", err(&init));
    let output = desk.run(&settings, &["doctor", "--workspace", "--json"]).await;
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["workspace"]["user"], &found["usable"]), (&json!("a"), &json!(true)));
    assert!(found["lake"].as_str().unwrap().trim_end_matches('/').ends_with("/ops-lake"), "{found}");
    let output = desk.run(&settings[..1], &["doctor", "--workspace"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for part in [
        "The workspace cannot be used: access to a workspace requires a token in DATABRICKS_TOKEN",
        "No problems found.",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_principal_with_a_secret() {
    let desk = Desk::new(|request| match request.line.as_str() {
        "GET /oidc/.well-known/oauth-authorization-server" => {
            json!({ "token_endpoint": format!("http://{}/tokens/here", request.headers["host"].to_str().unwrap()) })
                .into()
        }
        "POST /tokens/here" if request.authorization == "Basic c3AtMTpkb3NlLW5vdC1hLXNlY3JldA==" => token("sp-1"),
        _ => Reply { status: 401, ..json!({ "error": "invalid_client", "error_description": CLIENT_SECRET }).into() },
    })
    .await;
    let settings = [desk.host(), ("DATABRICKS_CLIENT_ID", "sp-1"), ("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET)];
    desk.assert_user(&settings, "oauth-m2m", "sp-1").await;
    assert_eq!(desk.fake.lines().len(), 3, "{:?}", desk.fake.lines());
    let settings = [desk.host(), ("DATABRICKS_CLIENT_ID", "sp-2"), ("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET)];
    let (code, found) = desk.doctor(&settings).await;
    let said = found["error"].as_str().unwrap();
    assert!(code == Some(1) && said.ends_with("oauth-m2m: invalid_client: [REDACTED]"), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_the_databricks_cli() {
    let desk = Desk::new(nothing).await;
    desk.profiles("[person]\nhost = HOST\nauth_type = databricks-cli\n");
    let person = [("DATABRICKS_CONFIG_PROFILE", "person")];
    let (code, found) = desk.doctor(&person).await;
    assert_eq!(code, Some(1));
    assert!(found["error"].as_str().unwrap().contains("there is no program `databricks` on the PATH"), "{found:#}");

    desk.databricks(
        r#"echo '{"access_token": "token-of-a", "token_type": "Bearer", "expiry": "2999-01-01T00:00:00.5Z"}'"#,
    );
    let found = desk.assert_user(&person, "databricks-cli", "a").await;
    let file = desk.text(".databrickscfg");
    assert_eq!(found["settings"]["host"], format!("host of the profile \"person\" in {file}"));
    assert_eq!(found["unused"]["pat"], format!("auth_type of the profile \"person\" in {file} is databricks-cli"));
    assert_eq!(desk.calls("databricks"), ["version", "auth token --profile person"]);

    let sweep = desk.run(&person, &["sweep"]).await;
    assert!(sweep.status.success(), "{}", err(&sweep));
    let elsewhere = [person[0], ("DATABRICKS_HOST", "https://other.example.test")];
    let refused = desk.run(&elsewhere, &["sweep"]).await;
    assert_eq!(refused.status.code(), Some(3));
    let said = err(&refused);
    for part in ["DATABRICKS_HOST is https://other.example.test", &format!("is a login to {}", desk.fake.url)] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_databricks_cli_that_is_too_old_or_has_no_login() {
    let desk = Desk::new(nothing).await;
    desk.profiles("[person]\nhost = HOST\nauth_type = databricks-cli\n");
    let person = [("DATABRICKS_CONFIG_PROFILE", "person")];
    desk.program("databricks", "*) echo 'Version 0.18.0' ;;");
    let (code, found) = desk.doctor(&person).await;
    let said = found["error"].as_str().unwrap();
    assert_eq!((code, desk.calls("databricks").len()), (Some(1), 1));
    for part in ["the Databricks CLI 0.207.1 or later is needed", "bin/databricks is \"Version 0.18.0\""] {
        assert!(said.contains(part), "{said}");
    }
    let secret = format!("dapi{}", "0123456789abcdef".repeat(2));
    desk.databricks(&format!("echo 'run: databricks auth login. {secret}' >&2; exit 1"));
    let output = desk.run(&person, &["sweep"]).await;
    let said = err(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("exit status: 1") && said.contains("run: databricks auth login. [REDACTED"), "{said}");
    assert!(said.contains("hint: log in again") && !said.contains(&secret), "{said}");
    desk.databricks(r#"echo '{"access_token": "token-of-a", "expiry": "2001-01-01T00:00:00Z"}'"#);
    let (_, found) = desk.doctor(&person).await;
    assert!(found["error"].as_str().unwrap().contains("an expired token"), "{found:#}");
    assert!(desk.fake.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_the_azure_cli() {
    let desk = Desk::new(|request| match request.line.as_str() {
        "GET /aad/auth" => Reply {
            status: 302,
            location: Some("https://login.example.test/tenant-1/oauth2/authorize?x=y"),
            ..json!({}).into()
        },
        _ => nothing(request),
    })
    .await;
    let ask = "'account get-access-token --resource 2ff814a6-3304-4ab8-85cb-cd0e6f879c1d --output json";
    let manage = "'account get-access-token --resource https://management.core.windows.net/ --output json";
    let give =
        |token: &str| format!("echo '{{\"accessToken\": \"{token}\", \"expiresOn\": \"2999-01-01 00:00:00.000000\"}}'");
    desk.program(
        "az",
        &format!(
            "{ask} --tenant tenant-1') {} ;;\n{manage} --tenant tenant-2') {} ;;\n{ask}') {} ;;\n\
             *) echo \"refused: $*\" >&2; exit 1 ;;",
            give("token-of-a"),
            give("for-management"),
            give("token-of-b")
        ),
    );
    desk.databricks("exit 1");
    let azure = [desk.host(), ("DATABRICKS_CLOUD", "azure")];
    let found = desk.assert_user(&azure, "azure-cli", "a").await;
    let reason = found["unused"]["databricks-cli"].as_str().unwrap();
    assert!(reason.contains("no login: auth token --host http://127.0.0.1"), "the first that works: {found:#}");
    assert!(!desk.last().headers.contains_key("x-databricks-azure-sp-management-token"));
    // The tenant of a login without tenants is requested once.
    let resource = [desk.host(), ("DATABRICKS_AZURE_RESOURCE_ID", RESOURCE_ID), ("ARM_TENANT_ID", "tenant-2")];
    desk.assert_user(&resource, "azure-cli", "b").await;
    let headers = desk.last().headers;
    assert_eq!(headers["x-databricks-azure-sp-management-token"], "for-management");
    assert_eq!(headers["x-databricks-azure-workspace-resource-id"], RESOURCE_ID);
    desk.program("az", "*) echo 'Please run az login' >&2; exit 1 ;;");
    let (code, found) = desk.doctor(&azure).await;
    let said = found["error"].as_str().unwrap();
    assert!(code == Some(1) && said.contains("databricks-cli: ") && said.contains("Please run az login"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_principal_of_azure() {
    let desk = Desk::new(|request| {
        let form = form(request);
        match request.line.as_str() {
            "POST /tenant-1/oauth2/token" if form["client_secret"] == CLIENT_SECRET && form["client_id"] == "app-1" => {
                let token = match form["resource"].as_str() {
                    Some("2ff814a6-3304-4ab8-85cb-cd0e6f879c1d") => "token-of-app-1",
                    _ => "for-management",
                };
                // Text, as Microsoft sends it.
                json!({ "access_token": token, "expires_in": "3599" }).into()
            }
            _ => {
                Reply { status: 401, ..json!({ "error": "invalid_client", "error_description": CLIENT_SECRET }).into() }
            }
        }
    })
    .await;
    let settings = [
        desk.host(),
        ("DATABRICKS_CLOUD", "AZURE"),
        ("AZURE_AUTHORITY_HOST", &desk.fake.url),
        ("ARM_CLIENT_ID", "app-1"),
        ("ARM_CLIENT_SECRET", CLIENT_SECRET),
        ("ARM_TENANT_ID", "tenant-1"),
    ];
    desk.assert_user(&settings, "azure-client-secret", "app-1").await;
    assert_eq!(desk.fake.lines().len(), 2);
    let known = [&settings[..], &[("DATABRICKS_AZURE_RESOURCE_ID", RESOURCE_ID)]].concat();
    desk.assert_user(&known, "azure-client-secret", "app-1").await;
    let headers = desk.last().headers;
    assert_eq!(headers["x-databricks-azure-sp-management-token"], "for-management");
    assert_eq!(headers["x-databricks-azure-workspace-resource-id"], RESOURCE_ID);
    let other = [&settings[..], &[("ARM_TENANT_ID", "tenant-2")]].concat();
    let (code, found) = desk.doctor(&other).await;
    let said = found["error"].as_str().unwrap();
    assert!(code == Some(1) && said.ends_with("azure-client-secret: invalid_client: [REDACTED]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_of_github() {
    let desk = federated().await;
    let url = format!("{}/github?api-version=2", desk.fake.url);
    let settings = [
        desk.host(),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-github"),
        ("DATABRICKS_CLIENT_ID", "sp-1"),
    ];
    desk.assert_user(&settings, "github-oidc", "the-job").await;
    let requests = desk.fake.requests();
    let audience: String =
        url::form_urlencoded::byte_serialize(format!("{}/tokens/here", desk.fake.url).as_bytes()).collect();
    assert_eq!(requests[1].line, format!("GET /github?api-version=2&audience={audience}"));
    assert_eq!(
        form(&requests[2]),
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "scope": "all-apis",
            "client_id": "sp-1",
            "subject_token": ID_TOKEN,
        })
    );
    let account_wide = [&settings[..3], &[("DATABRICKS_TOKEN_AUDIENCE", "my account")]].concat();
    desk.assert_user(&account_wide, "github-oidc", "the-job").await;
    let requests = desk.fake.requests();
    assert!(requests[5].line.ends_with("&audience=my+account"), "{}", requests[5].line);
    assert_eq!(form(&requests[6]).get("client_id"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_in_a_variable_or_a_file() {
    let desk = federated().await;
    let variable = [desk.host(), ("DATABRICKS_OIDC_TOKEN", ID_TOKEN), ("DATABRICKS_CLIENT_ID", "sp-1")];
    desk.assert_user(&variable, "env-oidc", "the-job").await;
    let named = [desk.host(), ("DATABRICKS_OIDC_TOKEN_ENV", "JOB_TOKEN"), ("JOB_TOKEN", ID_TOKEN)];
    desk.assert_user(&named, "env-oidc", "the-job").await;
    let file = desk.text("id-token");
    fs::write(&file, format!("{ID_TOKEN}\n")).unwrap();
    let in_file = [desk.host(), ("DATABRICKS_OIDC_TOKEN_FILEPATH", file.as_str())];
    desk.assert_user(&in_file, "file-oidc", "the-job").await;
    fs::write(&file, "of-another").unwrap();
    let (code, found) = desk.doctor(&in_file).await;
    let said = found["error"].as_str().unwrap();
    assert!(code == Some(1) && said.ends_with("file-oidc: invalid_grant: no policy for [REDACTED]"), "{said}");
    fs::remove_file(&file).unwrap();
    let (_, found) = desk.doctor(&in_file).await;
    assert!(found["error"].as_str().unwrap().contains("id-token cannot be read: No such file"), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_methods_must_be_selected_by_name() {
    let desk = federated().await;
    desk.profiles("[person]\nhost = HOST\ntoken = token-of-a\n");
    let both = [("DATABRICKS_CONFIG_PROFILE", "person"), ("DATABRICKS_OIDC_TOKEN", ID_TOKEN)];
    for (arguments, code) in [(&["sweep"][..], 3), (&["doctor", "--workspace"], 1)] {
        let output = desk.run(&both, arguments).await;
        let said = format!("{}{}", err(&output), String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.status.code(), Some(code), "{said}");
        let file = desk.text(".databrickscfg");
        assert!(said.contains(&format!("pat by token of the profile \"person\" in {file}")), "{said}");
        assert!(said.contains("env-oidc by DATABRICKS_OIDC_TOKEN"), "{said}");
        assert!(said.contains("DATABRICKS_AUTH_TYPE to pat or env-oidc"), "{said}");
    }
    let named = |method| [both[0], both[1], ("DATABRICKS_AUTH_TYPE", method)];
    desk.assert_user(&named("pat"), "pat", "a").await;
    let found = desk.assert_user(&named("env-oidc"), "env-oidc", "the-job").await;
    assert_eq!(found["unused"]["pat"], "DATABRICKS_AUTH_TYPE is env-oidc");
    let basic = desk.run(&named("basic"), &["sweep"]).await;
    let said = err(&basic);
    assert!(basic.status.code() == Some(3) && said.contains("Databricks has ended logins by password"), "{said}");
}

impl Desk {
    /// Returns a client with the settings of the profile `person`.
    fn client(&self) -> Client {
        let path = self.text("bin");
        let read = move |name: &str| match name {
            "PATH" => Some(path.clone()),
            "DATABRICKS_CONFIG_PROFILE" => Some("person".to_owned()),
            _ => None,
        };
        let text = format!("[person]\nhost = {}\nauth_type = databricks-cli\n", self.fake.url);
        let settings = LoginSettings::from_variables(&read).with_profiles("profiles", &text, &read).unwrap();
        Client::of(settings.access().unwrap()).unwrap().with_first_pause(Duration::from_millis(1))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_asked_for_a_token_once_and_again_before_expiry() {
    let desk = Desk::new(nothing).await;
    let asked = |desk: &Desk| desk.calls("databricks").iter().filter(|call| call.starts_with("auth")).count();
    desk.databricks(r#"echo '{"access_token": "token-of-a", "expiry": "2999-01-01T00:00:00Z"}'"#);
    let client = Arc::new(desk.client());
    let many = (0..20).map(|_| client.runs(RunSelection::Active, |_| {}));
    assert!(futures::future::join_all(many).await.iter().all(Result::is_ok));
    assert_eq!(asked(&desk), 1);
    assert_eq!(client.login_methods().await, (Some(Method::DatabricksCli), Vec::new()));

    let soon = "at=$(date -u -d @$soon +%FT%TZ 2>/dev/null || date -u -r $soon +%FT%TZ)";
    desk.databricks(&format!(r#"{soon}; echo "{{\"access_token\": \"token-of-b\", \"expiry\": \"$at\"}}""#));
    let client = desk.client();
    for expected in [2, 3] {
        client.runs(RunSelection::Active, |_| {}).await.unwrap();
        assert_eq!((asked(&desk), desk.last().authorization.as_str()), (expected, "Bearer token-of-b"));
    }
    desk.databricks("echo 'the login has ended' >&2; exit 1");
    let refused = client.runs(RunSelection::Active, |_| {}).await.unwrap_err();
    let ApiError::NoToken(reason) = &refused else { panic!("{refused}") };
    assert!(reason.starts_with("databricks-cli: ") && reason.contains("the login has ended"), "{reason}");
    desk.databricks(r#"echo '{"access_token": "token-of-c"}'"#);
    client.runs(RunSelection::Active, |_| {}).await.unwrap();
    assert_eq!(desk.last().authorization, "Bearer token-of-c", "after a new login");
}
