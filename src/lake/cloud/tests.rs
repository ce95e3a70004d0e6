use std::fs;

use super::*;

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> StoreVariables {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
}

/// Returns the opened store, or the error and its hint.
fn opened<const N: usize>(location: &str, pairs: [(&str, &str); N]) -> String {
    match open(&location.parse().unwrap(), &variables(pairs), None, None) {
        Ok(store) => store.to_string(),
        Err(LakeError::BadSetting { location, reason, hint }) => format!("{location}: {reason}; {hint}"),
        Err(other) => panic!("{other}"),
    }
}

const KEY: &str = r#"{"gcs_base_url":"https://storage.googleapis.com","disable_oauth":true,"client_email":"","private_key":"hunter2","private_key_id":""}"#;

#[test]
fn a_store_is_opened_with_the_settings_of_the_environment() {
    fn check<const N: usize>(location: &str, pairs: [(&str, &str); N], expected: &str) {
        let store = opened(location, pairs);
        assert!(store.contains(expected), "{location}: {store}");
    }
    check("s3://ops/lake", [], "AmazonS3(ops)");
    check("s3://ops/lake", [("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")], "AmazonS3(ops)");
    check("r2://ops@abc.r2.cloudflarestorage.com/lake", [], "AmazonS3(ops)");
    check("abfss://ops@team.dfs.core.windows.net/lake", [], "account: team, container: ops");
    check("abfss://ops@team.dfs.core.chinacloudapi.cn/lake", [], "account: team, container: ops");
    check("gs://ops/lake", [("GOOGLE_SERVICE_ACCOUNT_KEY", KEY)], "GoogleCloudStorage(ops)");
}

#[test]
fn errors_name_the_variable_to_set_and_print_no_value() {
    fn check<const N: usize>(location: &str, pairs: [(&str, &str); N], expected: &str) {
        let error = opened(location, pairs);
        assert!(error.contains(expected), "{location}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    check("s3://ops", [("AWS_ACCESS_KEY_ID", "me")], "set AWS_SECRET_ACCESS_KEY too");
    check("s3://ops", [("AWS_SECRET_ACCESS_KEY", "hunter2")], "set AWS_ACCESS_KEY_ID too");
    check("s3://ops", [("AWS_PROFILE", "team")], "this program does not read AWS profiles");
    check("s3://ops", [("AWS_ENDPOINT_URL", "http://10.0.0.1:9000")], "AWS_ENDPOINT_URL is not encrypted");
    check(
        "s3://ops",
        [("AWS_ENDPOINT_URL_S3", "http://localhost.example.com")],
        "AWS_ENDPOINT_URL_S3 is not encrypted",
    );
    check("s3://ops", [("AWS_ENDPOINT_URL", "nonsense")], "AWS_ENDPOINT_URL is not a URL");
    check("az://ops", [], "set AZURE_STORAGE_ACCOUNT_NAME");
    check("az://ops", [("AZURE_STORAGE_USE_EMULATOR", "true")], "set AZURE_STORAGE_ENDPOINT");
    let named = "abfss://ops@team.dfs.core.windows.net";
    check(named, [("AZURE_STORAGE_ACCOUNT_KEY", "hunter2!")], "check the AZURE_… variables");
    check(named, [("AZURE_STORAGE_SAS_TOKEN", "hunter2")], "check the AZURE_… variables");
    check("gs://ops", [("GOOGLE_SERVICE_ACCOUNT", "/no/such/key.json")], "set GOOGLE_APPLICATION_CREDENTIALS");
    check("gs://ops", [("GOOGLE_SERVICE_ACCOUNT_KEY", "hunter2")], "set GOOGLE_APPLICATION_CREDENTIALS");
    check("gs://ops", [("GOOGLE_SERVICE_ACCOUNT", "/key.json"), ("GOOGLE_SERVICE_ACCOUNT_KEY", KEY)], "are both set");
    check("gs://ops", [("GOOGLE_BASE_URL", "http://example.com")], "GOOGLE_BASE_URL is not encrypted");
    let in_key = KEY.replace("https://storage", "http://storage");
    check("gs://ops", [("GOOGLE_SERVICE_ACCOUNT_KEY", in_key.as_str())], "is not encrypted");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), in_key).unwrap();
    let in_file = [("GOOGLE_SERVICE_ACCOUNT_PATH", file.path().to_str().unwrap())];
    check("gs://ops", in_file, "gcs_base_url in the file of GOOGLE_SERVICE_ACCOUNT_PATH is not encrypted");
}

#[test]
fn vended_credentials_replace_those_of_the_environment() {
    let all = variables([
        ("AWS_ACCESS_KEY_ID", "me"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_REGION", "eu-west-1"),
        ("AZURE_STORAGE_SAS_TOKEN", "hunter2"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "hunter2"),
        ("HOME", "/root"),
    ]);
    assert_eq!(format!("{:?}", all.without_credentials()), r#"{"AWS_REGION"}"#);
    assert!(!format!("{all:?}").contains("hunter2"));
}
