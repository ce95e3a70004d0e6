use super::*;

fn workspace(text: &str) -> Result<String, String> {
    text.parse::<WorkspaceUrl>().map(|workspace| workspace.to_string())
}

#[test]
fn a_workspace_is_a_host_over_https() {
    let host = "https://adb-12.7.azuredatabricks.net";
    for text in [host, "adb-12.7.azuredatabricks.net", &format!("{host}/?o=12#job/1"), &format!(" {host}/sql ")] {
        assert_eq!(workspace(text).as_deref(), Ok(host), "{text}");
    }
    assert_eq!(workspace("http://127.0.0.1:8080").as_deref(), Ok("http://127.0.0.1:8080"));
    assert_eq!(workspace("http://localhost:8080").as_deref(), Ok("http://localhost:8080"));
    for text in
        ["", "http://example.test", "http://127.0.0.1.example.test", "ftp://example.test", "https://a:b@example.test"]
    {
        assert!(workspace(text).is_err(), "{text}");
    }
}

#[test]
fn a_token_is_never_shown() {
    let token: Token = "dapi-not-real\n".parse().unwrap();
    let client = Client::new("example.test".parse().unwrap(), token.clone()).unwrap();
    for shown in [format!("{token:?}"), format!("{client:?}"), "a\tb".parse::<Token>().unwrap_err()] {
        assert!(!shown.contains("dapi") && !shown.contains("a\tb"), "{shown}");
    }
    assert!("".parse::<Token>().is_err() && " \n".parse::<Token>().is_err());
}

#[test]
fn messages_of_a_workspace_are_cut_between_characters() {
    let long = "ü".repeat(10_000);
    let ApiError::Unexpected(text) = ApiError::unexpected(&long) else { panic!() };
    assert_eq!(text.chars().count(), 601);
    let ApiError::Unexpected(text) = ApiError::not_json(long.as_bytes(), serde_json::from_str::<u8>("x").unwrap_err())
    else {
        panic!()
    };
    assert!(text.len() < 400, "{text}");
}

#[test]
fn the_pause_that_a_workspace_asks_for_is_respected_up_to_a_limit() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (own, asked, expected) in [
        (seconds(1), None, seconds(1)),
        (seconds(1), seconds(0), seconds(1)),
        (seconds(1), seconds(7), seconds(8)),
        (seconds(1), seconds(120), seconds(121)),
        (seconds(1), seconds(121), None),
        (None, None, None),
        (None, seconds(7), None),
    ] {
        assert_eq!(pause_before_retry(own, asked), expected, "{own:?}, {asked:?}");
    }
}
