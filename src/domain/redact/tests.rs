use proptest::prelude::*;
use serde_json::json;

use super::*;

const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc/def+ghi=\n-----END RSA PRIVATE KEY-----";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
const BASE64: &str = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYg==";

fn plain(text: &str) -> String {
    Redactor::default().text(text).into_owned()
}

#[test]
fn secrets_are_replaced_by_their_kind() {
    fn check(input: &str, expected: &str) {
        assert_eq!(plain(input), expected, "{input:?}");
    }
    check("dapi0123456789abcdef0123456789abcdef-2 is bad", "[REDACTED:databricks-token] is bad");
    check("x_dose0123456789abcdef0123456789abcdef", "x_[REDACTED:databricks-token]");
    check("DATABRICKS_TOKEN=dkea0123456789abcdef0123456789abcdef", "DATABRICKS_TOKEN=[REDACTED:databricks-token]");
    check("Authorization: Bearer abc123def456", "Authorization: Bearer [REDACTED:authorization]");
    check("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [REDACTED:authorization]");
    check("-H 'Authorization: Token a1b2c3d4e5'", "-H 'Authorization: Token [REDACTED:authorization]'");
    check(r#"{"Authorization":"Bearer abc123def456"}"#, r#"{"Authorization":"Bearer [REDACTED:authorization]"}"#);
    check("sent bearer abc123def456.", "sent bearer [REDACTED:authorization]");
    check("key AKIAIOSFODNN7EXAMPLE used", "key [REDACTED:aws-key] used");
    check(
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws_secret_access_key = [REDACTED:aws-key]",
    );
    check("aws_session_token=FwoGZXIvYXdzEBYaD//+x==;", "aws_session_token=[REDACTED:aws-key];");
    check("fs.s3a.secret.key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "fs.s3a.secret.key [REDACTED:aws-key]");
    check(
        &format!("fs.azure.account.key.acct.dfs.core.windows.net {BASE64}"),
        "fs.azure.account.key.acct.dfs.core.windows.net [REDACTED:azure-account-key]",
    );
    check(
        &format!("AccountName=a;AccountKey={BASE64};EndpointSuffix=x"),
        "AccountName=a;AccountKey=[REDACTED:azure-account-key];EndpointSuffix=x",
    );
    check(
        "https://a.blob.core.windows.net/c?sv=2024&sig=aB%2Fc%3D&se=1",
        "https://a.blob.core.windows.net/c?sv=2024&sig=[REDACTED:azure-sas]&se=1",
    );
    check(
        "jdbc:postgresql://db.example.test/x?user=svc&password=a",
        "jdbc:postgresql://db.example.test/x?user=svc&password=[REDACTED:password]",
    );
    check("Server=x;Uid=u;Pwd=p;Encrypt=yes", "Server=x;Uid=u;Pwd=[REDACTED:password];Encrypt=yes");
    check("jdbc:oracle:thin:scott/tiger@//db:1521/x", "jdbc:oracle:thin:scott/[REDACTED:jdbc-password]@//db:1521/x");
    check("postgres://svc:p@ss@db.example.test/x", "postgres://svc:[REDACTED:url-credentials]@db.example.test/x");
    check(
        "https://hooks.slack.com/services/T00000000/B00000000/abcdefgh",
        "https://hooks.slack.com/services/[REDACTED:slack-webhook]",
    );
    check("https://hooks.slack.com/triggers/T1/2/abc", "https://hooks.slack.com/triggers/[REDACTED:slack-webhook]");
    check(
        "https://acme.webhook.office.com/webhookb2/a@b/IncomingWebhook/c",
        "https://acme.webhook.office.com/[REDACTED:teams-webhook]",
    );
    check(
        "https://prod-1.westus.logic.azure.com:443/workflows/a/triggers?sig=b",
        "https://prod-1.westus.logic.azure.com:443/[REDACTED:teams-webhook]",
    );
    check(
        "https://x.environment.api.powerplatform.com:443/powerautomate/y",
        "https://x.environment.api.powerplatform.com:443/[REDACTED:teams-webhook]",
    );
    check("xoxb-123456789012-abcdefGHIJ", "[REDACTED:slack-token]");
    check("routing_key=R0123456789abcdef0123456789abcd", "routing_key=[REDACTED:pagerduty-routing-key]");
    check(
        r#"\"integration_key\": \"0123456789abcdef\""#,
        r#"\"integration_key\": \"[REDACTED:pagerduty-routing-key]\""#,
    );
    check(&format!("before {PEM} after"), "before [REDACTED:private-key] after");
    check(&format!("before {}", &PEM[..50]), "before [REDACTED:private-key]");
    check(&PEM.replace('\n', "\\n"), "[REDACTED:private-key]");
    check(&format!("got {JWT}, expired"), "got [REDACTED:jwt], expired");
    check("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[REDACTED:github-token]");
    check("github_pat_11ABCDEFG0abcdefghijkl_0123456789", "[REDACTED:github-token]");
    check("client_secret=abc~DEF.123_ghi&grant_type=x", "client_secret=[REDACTED:secret]&grant_type=x");
    check("token=abcd1234, api_key: Abcd1234", "token=[REDACTED:token], api_key: [REDACTED:api-key]");
    check("password: hunter2hunter2", "password: [REDACTED:password]");
    check("password='with some space1' x", "password='[REDACTED:password]' x");
    check("IDENTIFIED BY 'hunter'", "IDENTIFIED BY '[REDACTED:password]'");
    check("curl -u svc:hunter https://x.test", "curl -u svc:[REDACTED:password] https://x.test");
    check("cli --token abc --password=def", "cli --token [REDACTED:token] --password=[REDACTED:password]");
    check("token: secret: abcdefgh1", "token: secret: [REDACTED:secret]");
    check("schlüssel 🔑 password=ü🔑x fin", "schlüssel 🔑 password=[REDACTED:password] fin");
}

#[test]
fn ordinary_text_stays() {
    for text in [
        "Expired token in the job's secret scope",
        "token: expired",
        "Token: expired.",
        "password expired for svc account",
        "password: expired",
        "password=expired",
        "Token lacks CAN_VIEW",
        "PERMISSION_DENIED: token lacks CAN_VIEW on the job",
        "token: PERMISSION_DENIED",
        "secret: METASTORE_DOES_NOT_EXIST",
        "secret scope missing",
        "secret_scope=prod-scope-1 max_tokens=4096123456 idempotency_token=abcd12345678",
        "password={{secrets/scope/key}}; fs.azure.account.key.a.dfs.core.windows.net={{secrets/prod/key1}}",
        "token=$DATABRICKS_TOKEN --token ${TOKEN1234} password=***",
        "Authorization: Bearer token missing",
        "Bearer authentication failed, Basic authentication as well",
        "the key is 360515640572923, task_key=transform1, primary_key: order_id2",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "123e4567-e89b-12d3-a456-426614174000",
        "/Workspace/etl/transform:42 abfss://landing-zone-2024-raw@acct.dfs.core.windows.net/x",
        "https://adb-7405612783315468.8.azuredatabricks.net/?o=1#job/2",
        "http://host:8080/a@b java.lang.NullPointerException at x.scala:42",
        "[REDACTED:token] [REDACTED:token:0123456789ab]",
    ] {
        assert_eq!(plain(text), text);
    }
}

#[test]
fn the_value_of_a_secret_key_is_redacted_completely() {
    fn check(key: &str, value: &str, expected: &str) {
        let mut document = json!({ key: value });
        let redactions = Redactor::default().value(&mut document);
        assert_eq!(document[key], expected, "{key}");
        assert_eq!(redactions.is_empty(), value == expected, "{key}");
    }
    for key in ["password", "Passwd", "DB-PASSWORD", "sslpassword", "javax.jdo.option.ConnectionPassword"] {
        check(key, "a b", "[REDACTED:password]");
    }
    check("accessToken", "x", "[REDACTED:token]");
    check("clientSecret", "x y", "[REDACTED:secret]");
    check("spark.hadoop.fs.azure.account.key.acct.dfs.core.windows.net", "x", "[REDACTED:azure-account-key]");
    check("fs.azure.account.oauth2.client.secret.acct.dfs.core.windows.net", "x", "[REDACTED:secret]");
    check("fs.s3a.secret.key", "x", "[REDACTED:aws-key]");
    check("Authorization", "Bearer x", "[REDACTED:authorization]");
    check("routing-key", "x", "[REDACTED:pagerduty-routing-key]");
    check("connection_string", "Server=x", "[REDACTED:connection-string]");
    check("token", "dapi0123456789abcdef0123456789abcdef", "[REDACTED:databricks-token]");
    for (key, value) in [
        ("max_tokens", "4096"),
        ("token_count", "12345678"),
        ("secret_scope", "prod1"),
        ("secrets_scope_name", "prod1"),
        ("idempotency_token", "abc123456"),
        ("password", ""),
        ("password", "{{secrets/scope/key}}"),
        ("fs.azure.account.oauth2.client.endpoint.acct.dfs.core.windows.net", "https://login.example.test"),
        ("task_key", "transform1"),
        ("root_cause", "token: expired"),
    ] {
        check(key, value, value);
    }
}

#[test]
fn pairs_lists_and_keys_are_redacted_too() {
    let mut document = json!({
        "env": [{ "key": "DB_PASSWORD", "value": "x" }, { "key": "MODE", "value": "x" }],
        "passwords": { "dapi0123456789abcdef0123456789abcdef": 1, "dapi0123456789abcdef0123456789abcdee": 2 },
        "tokens": 4096, "secret": ["a", { "b": "c" }], "token": 7,
    });
    let redactions = Redactor::default().value(&mut document);
    let expected = json!({
        "env": [{ "key": "DB_PASSWORD", "value": "[REDACTED:password]" }, { "key": "MODE", "value": "x" }],
        "passwords": { "[REDACTED:databricks-token]": 1, "[REDACTED:databricks-token]#2": 2 },
        "tokens": 4096, "secret": ["[REDACTED:secret]", { "b": "c" }], "token": 7,
    });
    assert_eq!(document, expected);
    assert_eq!(redactions.total(), 4);
    assert_eq!(
        serde_json::to_value(&redactions).expect("JSON"),
        json!({ "databricks-token": 2, "password": 1, "secret": 1 })
    );
}

#[test]
fn a_key_makes_equal_secrets_correlate() {
    let redactor = Redactor::new(Some(b"k".to_vec()));
    let marks: Vec<_> = ["token=%", "Bearer %", "https://u:%@h"]
        .map(|text| text.replace('%', "dapi0123456789abcdef0123456789abcdef"))
        .iter()
        .map(|text| MARKER.find(&redactor.text(text)).expect("a mark").as_str().to_owned())
        .collect();
    assert!(marks[0].starts_with("[REDACTED:databricks-token:") && marks[0].len() == 40, "{marks:?}");
    assert!(marks.iter().all(|mark| *mark == marks[0]), "{marks:?}");
    let other = Redactor::new(Some(b"l".to_vec()));
    assert_ne!(redactor.text("pwd=hunter2"), other.text("pwd=hunter2"));
    assert_eq!(format!("{redactor:?}"), "Redactor { keyed: true, .. }");
}

#[test]
fn no_secret_of_the_hostile_example_survives() {
    let text = include_str!("../../../tests/examples/06-hostile-names-and-secrets.json");
    let mut document: Value = serde_json::from_str(text).expect("JSON");
    let redactions = Redactor::default().value(&mut document);
    let redacted = document.to_string();
    for secret in ["dapi0123", "T00000000", "abcdefgh", "Zm9vYmFy", "hunter2"] {
        assert!(text.contains(secret) && !redacted.contains(secret), "{secret}: {redacted}");
    }
    assert!(redacted.contains("Expired token in the job's secret scope"));
    assert_eq!(redactions.total(), 4);
}

#[test]
fn the_other_examples_contain_no_secret() {
    for text in [
        include_str!("../../../tests/examples/01-daily-etl-no-retries.json"),
        include_str!("../../../tests/examples/02-hourly-sync-no-retries.json"),
        include_str!("../../../tests/examples/03-nightly-backup-no-retries.json"),
        include_str!("../../../tests/examples/04-run-output-unavailable.json"),
        include_str!("../../../tests/examples/05-workspace-validation.json"),
    ] {
        let mut document: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(Redactor::default().value(&mut document), Redactions::default());
    }
}

/// The limits are generous: they detect quadratic behaviour, not a slow machine.
#[test]
fn large_hostile_texts_are_redacted_fast() {
    let started = std::time::Instant::now();
    for piece in [
        "token:",
        "token=",
        "password='",
        "a.key ",
        "eyJ",
        "-----BEGIN PRIVATE KEY",
        "https://a:b",
        "secret.secret",
        "pwd={",
    ] {
        plain(&piece.repeat(200_000 / piece.len()));
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

const PIECES: &str = r#"(token|password|pwd|secret|=|:|: | |"|'|\\|;|&|\?|abc123DEF|dapi0123456789abcdef|Bearer |Authorization|https://|u:p@|\[REDACTED:token\]|\[REDACTED|sig=|eyJabcdef\.|-----BEGIN PRIVATE KEY-----|\{|\}|ü|\n|[a-zA-Z0-9_.-]{1,6}){0,14}"#;

proptest! {
    #[test]
    fn redaction_of_text_is_idempotent(text in PIECES, key in any::<Option<[u8; 4]>>()) {
        let redactor = Redactor::new(key.map(Vec::from));
        let once = redactor.text(&text).into_owned();
        prop_assert_eq!(redactor.text(&once), once.as_str());
    }

    #[test]
    fn redaction_of_documents_is_idempotent(name in PIECES, value in PIECES, other in PIECES, keyed: bool) {
        let redactor = Redactor::new(keyed.then(|| b"k".to_vec()));
        let mut once = json!({ name: value, "key": other, "value": "x1", "token": [other] });
        redactor.value(&mut once);
        let mut twice = once.clone();
        prop_assert!(redactor.value(&mut twice).is_empty());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn any_text_is_accepted_and_text_without_secret_names_is_unchanged(text in any::<String>(), plain_text in "[b-df-hj-np-su-z0-9 _./-]{0,80}") {
        plain(&text);
        prop_assert_eq!(plain(&plain_text), plain_text);
    }
}
