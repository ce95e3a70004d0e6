use super::*;

const HOST: (&str, &str) = ("DATABRICKS_HOST", "https://env.example.test");
const FILE: &str = "\
; as the command line writes it
[DEFAULT]
host = https://default.example.test/
token = default-token

[prod]
host          = https://prod.example.test
client_id     = prod-id
client_secret = prod#secret

[Prod]
host = https://other.example.test
token = other-token
";

fn settings(variables: &[(&str, &str)]) -> Settings {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Settings::from_variables(move |name| Some(variables.iter().find(|(known, _)| known == name)?.1.clone()))
}

/// Who is asked as whom: `host pat TOKEN` or `host m2m ID SECRET`.
fn check(variables: &[(&str, &str)], file: &str, expected: Result<&str, AuthError>) {
    let settings = settings(variables);
    let settings = if settings.wants_profile() { settings.with_profiles(file) } else { Ok(settings) };
    let access = settings.and_then(Settings::access).map(|(workspace, credentials)| match credentials {
        Credentials::Token(token) => format!("{workspace} pat {}", token.0),
        Credentials::Principal { id, secret } => format!("{workspace} m2m {id} {}", secret.0),
    });
    assert_eq!(access, expected.map(str::to_owned), "{variables:?}");
}

#[test]
fn the_environment_counts_before_a_profile() {
    let profile = |name| ("DATABRICKS_CONFIG_PROFILE", name);
    check(&[HOST, ("DATABRICKS_TOKEN", "t")], FILE, Ok("https://env.example.test pat t"));
    check(&[], FILE, Ok("https://default.example.test pat default-token"));
    check(&[("DATABRICKS_TOKEN", " ")], FILE, Ok("https://default.example.test pat default-token"));
    check(&[profile("prod")], FILE, Ok("https://prod.example.test m2m prod-id prod#secret"));
    check(&[profile("Prod")], FILE, Ok("https://other.example.test pat other-token"));
    check(&[profile("prod"), HOST], FILE, Ok("https://env.example.test m2m prod-id prod#secret"));
    check(
        &[HOST, ("DATABRICKS_CLIENT_ID", "i"), ("DATABRICKS_CLIENT_SECRET", "s")],
        FILE,
        Ok("https://env.example.test m2m i s"),
    );
}

#[test]
fn of_two_ways_one_is_chosen_by_name_only() {
    let both = [HOST, ("DATABRICKS_TOKEN", "t"), ("DATABRICKS_CLIENT_ID", "i"), ("DATABRICKS_CLIENT_SECRET", "s")];
    let chosen = |auth_type| [&both[..], &[("DATABRICKS_AUTH_TYPE", auth_type)]].concat();
    check(&both, "", Err(AuthError::Ambiguous));
    check(&chosen("pat"), "", Ok("https://env.example.test pat t"));
    check(&chosen("oauth-m2m"), "", Ok("https://env.example.test m2m i s"));
    check(&chosen("azure-cli"), "", Err(AuthError::UnknownType("azure-cli".into())));
}

#[test]
fn what_is_missing_or_wrong_is_named_without_showing_a_secret() {
    let missing = |names: &[&str]| Err(AuthError::Missing(names.iter().map(|name| (*name).to_owned()).collect()));
    check(&[], "", missing(&["the workspace's URL in DATABRICKS_HOST", "a token in DATABRICKS_TOKEN"]));
    check(&[HOST], "", missing(&["a token in DATABRICKS_TOKEN"]));
    check(&[HOST, ("DATABRICKS_CLIENT_SECRET", "s")], "", missing(&["a service principal in DATABRICKS_CLIENT_ID"]));
    check(&[("DATABRICKS_CONFIG_PROFILE", "none")], FILE, Err(AuthError::NoProfile("none".into())));
    let bad = settings(&[]).with_profiles("dapi-secret without a section or a key ]\n[x").unwrap_err();
    assert!(matches!(bad, AuthError::BadProfiles(_)) && !bad.to_string().contains("secret"), "{bad}");
    let wrong = settings(&[HOST, ("DATABRICKS_TOKEN", "a\tsecret")]).access().unwrap_err();
    assert!(!wrong.to_string().contains("secret"), "{wrong}");
    let shown =
        format!("{:?} {:?}", settings(&[HOST, ("DATABRICKS_TOKEN", "hidden")]), settings(&[]).with_profiles(FILE));
    assert!(!shown.contains("hidden") && !shown.contains("default-token"), "{shown}");
}
