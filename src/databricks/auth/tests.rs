use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::tempdir;

use super::{settings::LoginSettings, *};

const HOST: (&str, &str) = ("DATABRICKS_HOST", "https://env.example.test");
const AZURE: (&str, &str) = ("DATABRICKS_HOST", "https://adb-1.7.azuredatabricks.net");
const FILE: &str = "\
; as the command line writes it
[DEFAULT]
host = https://default.example.test/
token = default-token

[prod]
host          = https://prod.example.test
client_id     = prod-id
client_secret = prod#secret   # of 2026

[Prod]
host = https://other.example.test
token = other-token

[person]
host      = https://person.example.test
auth_type = databricks-cli

[job]
host           = https://job.example.test
oidc_token_env = JOB_TOKEN
";

fn read(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + Clone + use<> {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    move |name: &str| Some(variables.iter().find(|(known, _)| known == name)?.1.clone())
}

fn settings(variables: &[(&str, &str)], file: &str) -> Result<LoginSettings, AuthError> {
    let settings = LoginSettings::from_variables(read(variables));
    if settings.wants_profile() { settings.with_profiles("FILE", file, read(variables)) } else { Ok(settings) }
}

fn described(credentials: &LoginCredentials) -> String {
    let method = credentials.method();
    match credentials {
        LoginCredentials::Pat(token) => format!("{method} {}", token.expose()),
        LoginCredentials::OauthM2m { id, secret } => format!("{method} {id} {}", secret.expose()),
        _ => method.to_string(),
    }
}

/// Checks the workspace and the methods that may be used, with their credentials.
fn check(variables: &[(&str, &str)], file: &str, expected: Result<&str, AuthError>) {
    let access = settings(variables, file).and_then(|settings| settings.access()).map(|access| {
        let methods: Vec<String> = access.credentials.iter().map(described).collect();
        format!("{} {}", access.workspace, methods.join(", "))
    });
    assert_eq!(access, expected.map(str::to_owned), "{variables:?}");
}

fn profile(name: &'static str) -> (&'static str, &'static str) {
    ("DATABRICKS_CONFIG_PROFILE", name)
}

fn missing(names: &[&str]) -> Result<&'static str, AuthError> {
    Err(AuthError::Missing(names.iter().map(|name| (*name).to_owned()).collect()))
}

#[test]
fn the_environment_has_precedence_over_a_profile() {
    check(&[HOST, ("DATABRICKS_TOKEN", "t")], FILE, Ok("https://env.example.test pat t"));
    check(&[], FILE, Ok("https://default.example.test pat default-token"));
    check(&[("DATABRICKS_TOKEN", " ")], FILE, Ok("https://default.example.test pat default-token"));
    check(&[profile("prod")], FILE, Ok("https://prod.example.test oauth-m2m prod-id prod#secret"));
    check(&[profile("Prod")], FILE, Ok("https://other.example.test pat other-token"));
    check(&[profile("prod"), HOST], FILE, Ok("https://env.example.test oauth-m2m prod-id prod#secret"));
    check(
        &[HOST, ("DATABRICKS_CLIENT_ID", "i"), ("DATABRICKS_CLIENT_SECRET", "s")],
        FILE,
        Ok("https://env.example.test oauth-m2m i s"),
    );
    check(&[profile("job"), ("JOB_TOKEN", "t")], FILE, Ok("https://job.example.test env-oidc"));
    check(&[profile("job")], FILE, missing(&["an identity token in JOB_TOKEN"]));
    let other_default = format!("{FILE}\n[__settings__]\ndefault_profile = Prod\n");
    check(&[], &other_default, Ok("https://other.example.test pat other-token"));
    check(
        &[profile("__settings__")],
        &other_default,
        Err(AuthError::NoProfile { name: "__settings__".into(), file: "FILE".into() }),
    );
    let sources: Vec<String> = settings(&[profile("prod"), HOST], FILE)
        .unwrap()
        .sources()
        .map(|(name, source)| format!("{name}: {source}"))
        .collect();
    assert_eq!(
        sources,
        [
            "host: DATABRICKS_HOST",
            "DATABRICKS_CONFIG_PROFILE: DATABRICKS_CONFIG_PROFILE",
            "client_id: client_id of the profile \"prod\" in FILE",
            "client_secret: client_secret of the profile \"prod\" in FILE",
        ]
    );
}

#[test]
fn one_of_two_configured_methods_is_selected_only_by_name() {
    let both = [HOST, ("DATABRICKS_TOKEN", "t"), ("DATABRICKS_CLIENT_ID", "i"), ("DATABRICKS_CLIENT_SECRET", "s")];
    let chosen = |auth_type| [&both[..], &[("DATABRICKS_AUTH_TYPE", auth_type)]].concat();
    let contradiction = AuthError::Contradiction {
        first: (Method::Pat, "DATABRICKS_TOKEN".into()),
        second: (Method::OauthM2m, "DATABRICKS_CLIENT_SECRET".into()),
    };
    check(&both, "", Err(contradiction));
    check(&chosen("pat"), "", Ok("https://env.example.test pat t"));
    check(&chosen("oauth-m2m"), "", Ok("https://env.example.test oauth-m2m i s"));
    for (name, is_known) in [("basic", true), ("azure-msi", true), ("fax", false)] {
        let refused = settings(&chosen(name), "").unwrap().access().unwrap_err();
        let AuthError::UnknownMethod { name: named, set_by, instead } = refused else { panic!("{refused}") };
        assert_eq!((named.as_str(), set_by.as_str(), instead.is_some()), (name, "DATABRICKS_AUTH_TYPE", is_known));
    }
    let other = [profile("prod"), ("DATABRICKS_TOKEN", "t")];
    let error = settings(&other, FILE).unwrap().access().unwrap_err().to_string();
    for part in ["pat by DATABRICKS_TOKEN", "oauth-m2m by client_secret of the profile \"prod\" in FILE"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn logins_of_programs_are_used_if_no_other_method_is_set() {
    let folder = tempdir().unwrap();
    for name in ["databricks", "az"] {
        fs::write(folder.path().join(name), "").unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = ("PATH", folder.path().to_str().unwrap());
    let actions = [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x.test"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")];
    check(&[HOST, path], "", Ok("https://env.example.test databricks-cli"));
    check(&[AZURE, path], "", Ok("https://adb-1.7.azuredatabricks.net databricks-cli, azure-cli"));
    check(
        &[&[AZURE, path][..], &actions].concat(),
        "",
        Ok("https://adb-1.7.azuredatabricks.net databricks-cli, github-oidc, azure-cli"),
    );
    check(&[AZURE, path, ("DATABRICKS_TOKEN", "t")], "", Ok("https://adb-1.7.azuredatabricks.net pat t"));
    check(&[path, profile("person")], FILE, Ok("https://person.example.test databricks-cli"));
    let inapplicable = |settings: &[(&str, &str)]| {
        let refused = self::settings(settings, FILE).unwrap().access().unwrap_err();
        assert!(matches!(refused, AuthError::Inapplicable { .. }), "{refused}");
        refused.to_string()
    };
    let error = inapplicable(&[profile("person")]);
    assert!(error.contains("there is no program `databricks` on the PATH"), "{error}");
    assert!(error.contains("auth_type of the profile \"person\" in FILE"), "{error}");
    let error = inapplicable(&[path, HOST, profile("person")]);
    for part in ["DATABRICKS_HOST is https://env.example.test", "is a login to https://person.example.test"] {
        assert!(error.contains(part), "{error}");
    }
    let error = inapplicable(&[path, HOST, ("DATABRICKS_AUTH_TYPE", "azure-cli")]);
    assert!(error.contains("https://env.example.test is not a workspace on Azure"), "{error}");
}

#[test]
fn each_unused_method_has_a_reason() {
    let reasons = |variables: &[(&str, &str)], used| -> Vec<String> {
        let unused_methods = settings(variables, FILE).unwrap().unused_methods(used);
        unused_methods.into_iter().map(|(method, reason)| format!("{method}: {reason}")).collect()
    };
    assert_eq!(
        reasons(&[HOST, ("DATABRICKS_TOKEN", "t"), ("DATABRICKS_CLIENT_ID", "i")], Some(Method::Pat)),
        [
            "oauth-m2m: DATABRICKS_CLIENT_SECRET not set",
            "databricks-cli: there is no program `databricks` on the PATH",
            "github-oidc: ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN not set",
            "env-oidc: DATABRICKS_OIDC_TOKEN not set",
            "file-oidc: DATABRICKS_OIDC_TOKEN_FILEPATH not set",
            "azure-client-secret: ARM_CLIENT_ID, ARM_CLIENT_SECRET, ARM_TENANT_ID not set",
            "azure-cli: https://env.example.test is not a workspace on Azure",
        ]
    );
    let nowhere = reasons(&[("DATABRICKS_CLIENT_ID", "i")], None);
    assert_eq!(nowhere[0], "pat: DATABRICKS_TOKEN not set");
    assert_eq!(nowhere[2], "databricks-cli: DATABRICKS_HOST not set");
    let named = reasons(&[profile("person"), ("DATABRICKS_TOKEN", "t")], None);
    assert_eq!(named[0], "pat: auth_type of the profile \"person\" in FILE is databricks-cli");
}

#[test]
fn missing_and_invalid_settings_are_named_without_printing_a_secret() {
    check(&[], "", missing(&["the workspace's URL in DATABRICKS_HOST", "a token in DATABRICKS_TOKEN"]));
    check(&[HOST], "", missing(&["a token in DATABRICKS_TOKEN"]));
    check(&[HOST, ("DATABRICKS_CLIENT_ID", "i")], "", missing(&["its secret in DATABRICKS_CLIENT_SECRET"]));
    check(&[HOST, ("DATABRICKS_CLIENT_SECRET", "s")], "", missing(&["a service principal in DATABRICKS_CLIENT_ID"]));
    check(
        &[AZURE, ("ARM_CLIENT_SECRET", "s")],
        "",
        missing(&["an Azure service principal in ARM_CLIENT_ID", "its tenant in ARM_TENANT_ID"]),
    );
    check(&[profile("none")], FILE, Err(AuthError::NoProfile { name: "none".into(), file: "FILE".into() }));
    let bad = settings(&[], "dapi-secret without a section or a key ]\n[x").unwrap_err();
    assert!(matches!(bad, AuthError::BadProfiles { .. }) && !bad.to_string().contains("secret"), "{bad}");
    let wrong = settings(&[HOST, ("DATABRICKS_TOKEN", "a\tsecret")], "").unwrap().access().unwrap_err();
    assert!(wrong.to_string().starts_with("DATABRICKS_TOKEN") && !wrong.to_string().contains("secret"), "{wrong}");
    let given = [HOST, ("DATABRICKS_OIDC_TOKEN", "hidden")];
    let shown = format!(
        "{:?} {:?} {:?}",
        settings(&given, ""),
        settings(&[], FILE),
        settings(&given, "").unwrap().access().unwrap()
    );
    assert!(!shown.contains("hidden") && !shown.contains("default-token"), "{shown}");
}

#[test]
fn secrets_are_sent_to_encrypted_addresses_only() {
    let url = |url| ("ACTIONS_ID_TOKEN_REQUEST_URL", url);
    let forced = [HOST, ("DATABRICKS_AUTH_TYPE", "github-oidc"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")];
    let access = |address| settings(&[&forced[..], &[url(address)]].concat(), "").unwrap().access();
    assert!(access("https://github.example.test/x?y=z").is_ok() && access("http://127.0.0.1:1/").is_ok());
    for bad in ["http://github.example.test/", "ftp://127.0.0.1/", "nothing"] {
        assert!(matches!(access(bad), Err(AuthError::Unusable { .. })), "{bad}");
    }
}
