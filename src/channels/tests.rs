use serde_json::json;

use super::{
    fake::{FakeReceiver, FakeResponse, answer},
    *,
};
use crate::domain::policy::notification::{Encryption, SecretRef};

const KEY: &str = "R0UTINGKEYR0UTINGKEYR0UTINGKEY00";
const TOKEN: &str = "xoxb-not-a-real-token";

fn http() -> HttpClient {
    HttpClient::new(std::time::Duration::from_millis(1500)).unwrap()
}

fn attempt(thread: Option<&str>) -> DeliveryAttempt<'_> {
    DeliveryAttempt { id: "42.1:pager:trigger", thread, only: None, now: "2026-07-01T03:00:00Z".parse().unwrap() }
}

fn connection(secret: Option<&str>, url: Option<&str>) -> ChannelConnection {
    let secret = secret.map(|name| SecretRef::Env(name.to_owned()));
    ChannelConnection { secret, url: url.map(str::to_owned), webhook_secret: None, per_minute: 60 }
}

/// A target whose secret is `secret`.
async fn target(
    kind: ChannelKind,
    to: Option<&str>,
    secret: Option<&str>,
    url: Option<&str>,
) -> Result<ChannelTarget, TargetError> {
    let environment = |name: &str| (name == "IT").then(|| secret.map(str::to_owned)).flatten();
    let workspace = || Err("this test has no workspace".into());
    let secrets = Secrets { environment: &environment, workspace: &workspace };
    ChannelTarget::resolve(kind, to, &connection(secret.map(|_| "IT"), url), None, &secrets).await
}

async fn pagerduty(fake: &FakeReceiver) -> ChannelTarget {
    target(ChannelKind::Pagerduty, None, Some(KEY), Some(&fake.url())).await.unwrap()
}

async fn bot(fake: &FakeReceiver) -> ChannelTarget {
    target(ChannelKind::Slack, Some("#ops"), Some(TOKEN), Some(&fake.url())).await.unwrap()
}

fn refused(reason: &str) -> DeliveryOutcome {
    DeliveryOutcome::Refused { reason: reason.into() }
}

fn not_now(reason: &str, after_s: Option<u64>) -> DeliveryOutcome {
    DeliveryOutcome::RetryLater { reason: reason.into(), after_s }
}

fn unknown(reason: &str) -> DeliveryOutcome {
    DeliveryOutcome::Unknown { reason: reason.into() }
}

fn accepted(receipt: Option<&str>) -> DeliveryOutcome {
    DeliveryOutcome::Accepted { receipt: receipt.map(str::to_owned), refused: None }
}

#[tokio::test]
async fn pagerduty_gets_the_routing_key_and_returns_the_deduplication_key() {
    let fake = FakeReceiver::http([answer("202 Accepted", "", r#"{"status":"success","dedup_key":"d1"}"#)]).await;
    let target = pagerduty(&fake).await;
    let event = json!({"event_action": "trigger", "dedup_key": "d1"});
    assert_eq!(target.send(&http(), &Payload::Json(event.clone()), attempt(None)).await, accepted(Some("d1")));
    target.send(&http(), &Payload::Change(json!({"payload": {}})), attempt(None)).await;
    let seen = fake.seen();
    assert!(seen[0].starts_with("POST /v2/enqueue HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].ends_with(&format!(r#"{{"event_action":"trigger","dedup_key":"d1","routing_key":"{KEY}"}}"#)));
    assert!(seen[1].starts_with("POST /v2/change/enqueue HTTP/1.1\r\n"), "{}", seen[1]);
    assert!(seen[0].contains(concat!("user-agent: ops-runbook/", env!("CARGO_PKG_VERSION"))), "{}", seen[0]);
}

#[tokio::test]
async fn the_status_decides_whether_the_attempt_is_retried() {
    let echo =
        format!(r#"{{"status":"invalid event","message":"Event object is invalid","errors":["{KEY} is not a key"]}}"#);
    let date = "date: Wed, 01 Jul 2026 02:00:00 GMT\r\nretry-after: Wed, 01 Jul 2026 02:01:30 GMT\r\n";
    for (act, outcome) in [
        (answer("202 Accepted", "", "nothing"), accepted(Some("d1"))),
        (
            answer("400 Bad Request", "", &echo),
            refused("answered 400 Bad Request: Event object is invalid: [REDACTED] is not a key"),
        ),
        (answer("401 Unauthorized", "", "no"), refused("answered 401 Unauthorized: no")),
        (answer("404 Not Found", "", ""), refused("answered 404 Not Found")),
        (answer("413 Payload Too Large", "", ""), refused("answered 413 Payload Too Large")),
        (answer("408 Request Timeout", "", ""), not_now("answered 408 Request Timeout", None)),
        (answer("425 Too Early", "", ""), not_now("answered 425 Too Early", None)),
        (answer("429 Too Many Requests", "retry-after: 7\r\n", ""), not_now("answered 429 Too Many Requests", Some(7))),
        (answer("429 Too Many Requests", date, ""), not_now("answered 429 Too Many Requests", Some(90))),
        (
            answer("503 Service Unavailable", "retry-after: Wed, 01 Jul 2026 03:00:05 GMT\r\n", "<html>…"),
            not_now("answered 503 Service Unavailable", Some(5)),
        ),
        (
            answer("503 Service Unavailable", "retry-after: Wed, 01 Jul 2026 02:00:00 GMT\r\n", ""),
            not_now("answered 503 Service Unavailable", Some(0)),
        ),
        (
            answer("500 Internal Server Error", "retry-after: soon\r\n", ""),
            not_now("answered 500 Internal Server Error", None),
        ),
        (
            answer("302 Found", "location: https://login.example.test/?token=abc\r\n", ""),
            refused("answered 302 Found, which redirects to login.example.test"),
        ),
        (
            answer("308 Permanent Redirect", "location: /x\r\n", ""),
            refused("answered 308 Permanent Redirect, which redirects on the same host"),
        ),
        (
            answer("200 OK", "", "<html>Please log in"),
            not_now("answered 200 OK, but not with the receiver's usual response", None),
        ),
        (FakeResponse::Hang(String::new()), unknown("no response in time")),
        (
            FakeResponse::Send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 99\r\n\r\nhalf".into()),
            not_now("answered 503 Service Unavailable", None),
        ),
        (FakeResponse::Hang("HTTP/1.1 202 Accepted\r\ncontent-length: 99\r\n\r\n{".into()), accepted(Some("d1"))),
    ] {
        let fake = FakeReceiver::http([act]).await;
        let event = Payload::Json(json!({"dedup_key": "d1"}));
        assert_eq!(pagerduty(&fake).await.send(&http(), &event, attempt(None)).await, outcome);
        assert_eq!(fake.seen().len(), 1, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_not_now_before_sending_and_unknown_after() {
    let event = Payload::Json(json!({}));
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    for url in [&url, "https://no-such-host.invalid"] {
        let target = target(ChannelKind::Pagerduty, None, Some(KEY), Some(url)).await.unwrap();
        let outcome = target.send(&http(), &event, attempt(None)).await;
        assert!(
            matches!(&outcome, DeliveryOutcome::RetryLater { reason, after_s: None } if reason.starts_with("cannot be reached: ")),
            "{outcome:?}"
        );
    }
    for lost in ["", "HTTP/1.1 2"] {
        let fake = FakeReceiver::http([FakeResponse::Send(lost.into())]).await;
        let outcome = pagerduty(&fake).await.send(&http(), &event, attempt(None)).await;
        assert!(
            matches!(&outcome, DeliveryOutcome::Unknown { reason } if reason.starts_with("the connection was lost")),
            "{outcome:?}"
        );
        assert_eq!(fake.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_huge_response_is_read_in_part() {
    let body = "x".repeat(4_000_000);
    let fake = FakeReceiver::http([answer("400 Bad Request", "", &body)]).await;
    let outcome = pagerduty(&fake).await.send(&http(), &Payload::Json(json!({})), attempt(None)).await;
    assert!(matches!(&outcome, DeliveryOutcome::Refused { reason } if reason.chars().count() == 300), "{outcome:?}");
    let fake = FakeReceiver::http([FakeResponse::Hang(format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 99999999\r\n\r\n{}",
        "y".repeat(65 * 1024)
    ))])
    .await;
    let outcome = pagerduty(&fake).await.send(&http(), &Payload::Json(json!({})), attempt(None)).await;
    assert!(matches!(&outcome, DeliveryOutcome::Refused { reason } if reason.ends_with('…')), "{outcome:?}");
}

#[tokio::test]
async fn an_incoming_webhook_of_slack_accepts_with_ok_only() {
    let path = "/services/T00000000/B00000000/SECRETSECRETSECRET";
    for (act, outcome) in [
        (answer("200 OK", "", "ok"), accepted(None)),
        (
            answer("200 OK", "", "<html>ok"),
            not_now("answered 200 OK, but not with the receiver's usual response", None),
        ),
        (
            answer("200 OK", "", "maybe"),
            not_now("answered 200 OK, but not with the receiver's usual response: maybe", None),
        ),
        (
            FakeResponse::Send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no".into()),
            unknown("answered 200 OK, but the connection was lost during the response"),
        ),
        (answer("400 Bad Request", "", "invalid_payload"), refused("answered 400 Bad Request: invalid_payload")),
        (answer("403 Forbidden", "", "action_prohibited"), refused("answered 403 Forbidden: action_prohibited")),
        (answer("404 Not Found", "", "no_service"), refused("answered 404 Not Found: no_service")),
        (
            answer("404 Not Found", "", &format!("nothing at {path}")),
            refused("answered 404 Not Found: nothing at /services/T00000000/B00000000/[REDACTED]"),
        ),
        (
            answer("429 Too Many Requests", "Retry-After: 30\r\n", "rate_limited"),
            not_now("answered 429 Too Many Requests: rate_limited", Some(30)),
        ),
        (
            answer("500 Internal Server Error", "", "rollup_error"),
            not_now("answered 500 Internal Server Error: rollup_error", None),
        ),
    ] {
        let fake = FakeReceiver::http([act]).await;
        let url = format!("{}{path}", fake.url());
        let target = target(ChannelKind::Slack, None, Some(&url), None).await.unwrap();
        assert_eq!(target.send(&http(), &Payload::Json(json!({"text": "x"})), attempt(None)).await, outcome);
        assert!(fake.seen()[0].starts_with(&format!("POST {path} HTTP/1.1\r\n")));
    }
}

#[tokio::test]
async fn a_bot_of_slack_posts_in_a_thread() {
    let sent = |error: &str| answer("200 OK", "retry-after: 3\r\n", &format!(r#"{{"ok":false,"error":"{error}"}}"#));
    let ok = answer("200 OK", "", r#"{"ok":true,"channel":"C1","ts":"1700000000.000100"}"#);
    for (acts, outcome) in [
        (vec![ok.clone()], accepted(Some("1700000000.000100"))),
        (vec![sent("ratelimited")], not_now("Slack answered ratelimited", Some(3))),
        (vec![sent("internal_error")], not_now("Slack answered internal_error", Some(3))),
        (vec![sent("channel_not_found")], refused("Slack answered channel_not_found")),
        (vec![sent("invalid_auth")], refused("Slack answered invalid_auth")),
        (
            vec![answer("200 OK", "", "<html>")],
            not_now("answered 200 OK, but not with the receiver's usual response", None),
        ),
        (
            vec![answer("429 Too Many Requests", "retry-after: 4\r\n", "")],
            not_now("answered 429 Too Many Requests", Some(4)),
        ),
        // The first of the thread was deleted.
        (vec![sent("thread_not_found"), ok], accepted(Some("1700000000.000100"))),
    ] {
        let fake = FakeReceiver::http(acts).await;
        assert_eq!(
            bot(&fake).await.send(&http(), &Payload::Json(json!({"text": "x"})), attempt(Some("1.2"))).await,
            outcome
        );
        let seen = fake.seen();
        assert!(seen[0].starts_with("POST /api/chat.postMessage HTTP/1.1\r\n"));
        assert!(seen[0].contains(&format!("authorization: Bearer {TOKEN}\r\n")));
        assert!(seen[0].ends_with(r##"{"text":"x","channel":"#ops","thread_ts":"1.2"}"##), "{}", seen[0]);
        assert!(seen.get(1).is_none_or(|again| again.ends_with(r##"{"text":"x","channel":"#ops"}"##)), "{seen:?}");
    }
}

#[tokio::test]
async fn a_workflow_of_teams_accepts_with_200_or_202() {
    for (act, outcome) in [
        (answer("202 Accepted", "x-ms-workflow-run-id: 0858\r\n", ""), accepted(Some("0858"))),
        (answer("200 OK", "", "1"), accepted(None)),
        (
            answer("204 No Content", "", ""),
            not_now("answered 204 No Content, but not with the receiver's usual response", None),
        ),
        (answer("413 Payload Too Large", "", ""), refused("answered 413 Payload Too Large")),
        (
            answer(
                "401 Unauthorized",
                "",
                r#"{"error":{"code":"DirectApiAuthorizationRequired","message":"signed URL wanted"}}"#,
            ),
            refused("answered 401 Unauthorized: signed URL wanted"),
        ),
        (answer("502 Bad Gateway", "", ""), not_now("answered 502 Bad Gateway", None)),
        (
            answer(
                "200 OK",
                "",
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x",
            ),
            not_now("Teams answered 429 to its connector", None),
        ),
        (
            answer(
                "200 OK",
                "",
                "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403",
            ),
            refused("Teams answered 403 to its connector"),
        ),
    ] {
        let fake = FakeReceiver::http([act]).await;
        let url = format!(
            "{}/workflows/0123456789abcdef/triggers/manual/paths/invoke?api-version=1&sig=SIGSIGSIGSIGSIG",
            fake.url()
        );
        let target = target(ChannelKind::Teams, None, Some(&url), None).await.unwrap();
        assert_eq!(target.send(&http(), &Payload::Json(json!({})), attempt(None)).await, outcome);
    }
}

/// Verifies a signature as a receiver of webhooks does.
fn verify(request: &str, key: &str) -> bool {
    use hmac::{Hmac, KeyInit, Mac};
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    let mac = mac.chain_update(header("x-ops-runbook-timestamp")).chain_update(".").chain_update(body);
    let expected = crate::domain::ids::hex(&mac.finalize().into_bytes());
    header("x-ops-runbook-signature") == format!("v1={expected}")
}

#[tokio::test]
async fn a_webhook_receives_signed_events() {
    let fake = FakeReceiver::http([
        answer("204 No Content", "", ""),
        answer("200 OK", "", "<html>"),
        answer("410 Gone", "", ""),
        answer("409 Conflict", "", ""),
    ])
    .await;
    let url = format!("{}/hook", fake.url());
    let event = Payload::Json(json!({"specversion": "1.0", "id": "é"}));
    let signed = target(ChannelKind::Webhook, None, Some("a key"), Some(&url)).await.unwrap();
    let plain = target(ChannelKind::Webhook, None, None, Some(&url)).await.unwrap();
    assert_eq!(signed.send(&http(), &event, attempt(None)).await, accepted(None));
    assert_eq!(plain.send(&http(), &event, attempt(None)).await, accepted(None));
    assert_eq!(plain.send(&http(), &event, attempt(None)).await, refused("answered 410 Gone"));
    assert_eq!(plain.send(&http(), &event, attempt(None)).await, not_now("answered 409 Conflict", None));
    let seen = fake.seen();
    assert!(verify(&seen[0], "a key") && !verify(&seen[0], "a kez"));
    assert!(!verify(&seen[0].replace("1.0", "1.1"), "a key"));
    for header in [
        "content-type: application/cloudevents+json; charset=utf-8",
        "idempotency-key: 42.1:pager:trigger",
        "x-ops-runbook-timestamp: 1782874800",
    ] {
        assert!(
            seen[0].contains(&format!("{header}\r\n")) && seen[1].contains(&format!("{header}\r\n")),
            "{}",
            seen[1]
        );
    }
    assert!(!seen[1].contains("x-ops-runbook-signature"), "{}", seen[1]);
}

#[tokio::test]
async fn a_heartbeat_accepts_any_success() {
    let fake = FakeReceiver::http([
        answer("204 No Content", "", ""),
        answer("404 Not Found", "", ""),
        FakeResponse::Hang(String::new()),
    ])
    .await;
    let url: Address = format!("{}/ping/0123456789abcdef", fake.url()).parse().unwrap();
    assert_eq!(http().send_heartbeat(&url).await, Ok(()));
    assert_eq!(http().send_heartbeat(&url).await, Err("answered 404 Not Found".into()));
    let error = http().send_heartbeat(&url).await.unwrap_err();
    assert!(!error.contains("0123456789abcdef") && error.contains("timed out"), "{error}");
    assert!(fake.seen()[0].starts_with("GET /ping/0123456789abcdef HTTP/1.1\r\n"));
    assert!("http://example.test/".parse::<Address>().is_err());
}

#[tokio::test]
async fn the_error_of_an_incomplete_channel_names_the_missing_setting() {
    for (kind, to, secret, url, expected) in [
        (ChannelKind::Pagerduty, None, None, None, "the channel has no secret"),
        (ChannelKind::Slack, None, Some(TOKEN), None, "the channel has no to"),
        (
            ChannelKind::Slack,
            None,
            Some("http://example.test/SECRET"),
            None,
            "the channel's secret, a bot's token or a URL, cannot be used: it is not https://",
        ),
        (
            ChannelKind::Slack,
            None,
            Some("xoxp-SECRET"),
            None,
            "the channel's secret, a bot's token or a URL, cannot be used: it is not a URL",
        ),
        (
            ChannelKind::Teams,
            None,
            Some("https://a:SECRET@example.test"),
            None,
            "the channel's secret, a URL, cannot be used: it contains a user name or a password",
        ),
        (ChannelKind::Teams, None, Some(" \n"), None, "the environment variable IT is not set"),
        (ChannelKind::Webhook, None, None, None, "the channel has no url"),
        (
            ChannelKind::Webhook,
            None,
            None,
            Some("http://127.0.0.1.example.test/"),
            "the channel's `url` cannot be used: it is not https://",
        ),
        (ChannelKind::Email, Some("a@example.test"), None, None, "the channel has no mail server"),
    ] {
        let error = target(kind, to, secret, url).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!error.hint().is_empty() && !format!("{error:?}").contains("SECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn a_target_is_shown_without_its_secrets() {
    let url = "https://hooks.example.test/services/SECRETSECRET?sig=SECRETSECRET";
    for (kind, to, secret, url, shown) in [
        (ChannelKind::Pagerduty, None, Some("SECRETSECRET"), None, "PagerDuty at events.pagerduty.com"),
        (ChannelKind::Slack, None, Some(url), None, "Slack at hooks.example.test"),
        (ChannelKind::Slack, Some("#x"), Some("xoxb-SECRETSECRET"), None, "Slack at slack.com"),
        (ChannelKind::Teams, None, Some(url), None, "Teams at hooks.example.test"),
        (ChannelKind::Webhook, None, Some("SECRETSECRET"), Some(url), "the webhook at hooks.example.test"),
    ] {
        let target = target(kind, to, secret, url).await.unwrap();
        assert_eq!(target.to_string(), shown);
        assert!(!format!("{target:?}").contains("SECRET"), "{target:?}");
    }
    let fake = FakeReceiver::http([answer("200 OK", "", "ok")]).await;
    let email = Email {
        id: "a".into(),
        references: vec![],
        at: attempt(None).now,
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        stream: String::new(),
        list: None,
    };
    let outcome = pagerduty(&fake).await.send(&http(), &Payload::Email(Box::new(email)), attempt(None)).await;
    assert_eq!(outcome, refused("PagerDuty does not accept this kind of payload"));
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_target_sends_mail() {
    let fake = FakeReceiver::smtp(&[
        ("EHLO", "250-x\r\n250 AUTH PLAIN"),
        ("AUTH", "535 no: AGEAU0VDUkVUU0VDUkVU, SECRETSECRET"),
    ])
    .await;
    let smtp = Smtp {
        host: "127.0.0.1".into(),
        port: fake.port,
        encryption: Encryption::None,
        from: "ops@example.test".into(),
        user: Some("a".into()),
        password: Some(SecretRef::Env("IT".into())),
    };
    let secrets = Secrets {
        environment: &|_| Some("SECRETSECRET".into()),
        workspace: &|| Err("this test has no workspace".into()),
    };
    let target = ChannelTarget::resolve(
        ChannelKind::Email,
        Some("a@example.test"),
        &connection(None, None),
        Some(&smtp),
        &secrets,
    )
    .await
    .unwrap();
    assert_eq!(target.to_string(), "the mail server at 127.0.0.1");
    let email = Email {
        id: "a".into(),
        references: vec![],
        at: attempt(None).now,
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        stream: String::new(),
        list: None,
    };
    let outcome = target.send(&http(), &Payload::Email(Box::new(email)), attempt(None)).await;
    assert_eq!(outcome, refused("the mail server answered 535 no: [REDACTED], [REDACTED]"));
    assert!(!format!("{target:?}").contains("SECRET"), "{target:?}");
}
