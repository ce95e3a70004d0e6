use std::fs;

use super::{
    super::fake::{FakeReceiver, answer},
    *,
};

async fn read(reference: &str, secrets: &Secrets<'_>) -> Result<String, String> {
    let read = secrets.read(&reference.parse().unwrap()).await;
    if let Err(error) = &read {
        assert!(!error.hint().is_empty());
    }
    read.map(|secret| secret.0).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_secret_is_read_from_the_environment_or_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name).display().to_string();
        fs::write(&path, bytes).unwrap();
        format!("file:{path}")
    };
    let environment = |name: &str| Some(if name == "SET" { " shh " } else { "  " }.to_owned());
    let secrets = Secrets { environment: &environment, workspace: &|| Err("there is none".into()) };
    assert_eq!(read("env:SET", &secrets).await.as_deref(), Ok("shh"));
    assert_eq!(read("env:BLANK", &secrets).await.unwrap_err(), "the environment variable BLANK is not set");
    assert_eq!(read(&file("good", b"shh\r\n"), &secrets).await.as_deref(), Ok("shh"));
    for (name, bytes, why) in [
        ("empty", &b"\n"[..], "empty"),
        ("lines", b"a\nb", "several lines"),
        ("bytes", b"\xff", "not UTF-8"),
        ("long", &[b'a'; 64 * 1024 + 1], "longer than 64 KiB"),
    ] {
        let error = read(&file(name, bytes), &secrets).await.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(read("file:/no/such/file", &secrets).await.unwrap_err().contains("cannot be read"));
    let error = read("databricks:ops/key", &secrets).await.unwrap_err();
    assert_eq!(error, "the secret databricks:ops/key needs a login to a workspace");
}

#[tokio::test]
async fn a_secret_scope_returns_secrets_in_base64() {
    let fake = FakeReceiver::http([
        answer("200 OK", "", r#"{"key":"k","value":"c2ho"}"#),
        answer("200 OK", "", r#"{"key":"k","value":"SECRET but no base64"}"#),
        answer("404 Not Found", "", r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no scope"}"#),
    ])
    .await;
    let url = fake.url();
    let workspace = || Ok(Client::new(url.parse()?, "t".parse::<crate::databricks::Token>()?)?);
    let secrets = Secrets { environment: &|_| None, workspace: &workspace };
    assert_eq!(read("databricks:ops/k", &secrets).await.as_deref(), Ok("shh"));
    let error = secrets.read(&"databricks:ops/k".parse().unwrap()).await.unwrap_err();
    assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
    assert!(read("databricks:ops/k", &secrets).await.unwrap_err().contains("does not return"));
    assert!(fake.seen()[0].starts_with("GET /api/2.0/secrets/get?scope=ops&key=k HTTP/1.1\r\n"), "{}", fake.seen()[0]);
}

#[test]
fn a_secret_is_never_shown() {
    assert_eq!(format!("{:?}", Secret::new(" x y ").unwrap()), "Secret(…)");
    assert!(Secret::new(" ").is_none() && Secret::new("a\nb").is_none());
}
