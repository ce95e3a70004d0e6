use super::*;

const BODY: &[u8] = br#"{"event":1}"#;
/// Computed with `openssl dgst -sha256 -hmac whsec`.
const SIGNED: &str = "v1=7b632c5579fd0d1d0bc923c42bdb62edf9d2db42d360af395d55cb86f178c312";

#[test]
fn one_matching_signature_is_enough() {
    let secret = Secret::new("whsec").unwrap();
    let zeros = format!("v1={}", "0".repeat(64));
    for header in
        [SIGNED.to_owned(), format!("{zeros}, {SIGNED}"), format!("{SIGNED},{zeros}"), format!("v2=x,{SIGNED}")]
    {
        assert!(verify_signature(&header, BODY, &secret), "{header}");
    }
    assert!(
        !verify_signature(SIGNED, b"{\"event\":2}", &secret)
            && !verify_signature(SIGNED, BODY, &Secret::new("other").unwrap())
    );
    let (short, long) = (&SIGNED[..SIGNED.len() - 2], format!("{SIGNED}00"));
    for header in [
        "",
        "v1=",
        "v1=zz",
        "v1=é",
        "v1=0",
        &zeros,
        short,
        &long,
        SIGNED.trim_start_matches("v1="),
        &SIGNED.replace("v1", "v0"),
    ] {
        assert!(!verify_signature(header, BODY, &secret), "{header}");
    }
}

#[test]
fn an_event_is_parsed_and_unknown_fields_are_ignored() {
    let body = br#"{"event": {
        "id": "01E", "event_type": "incident.acknowledged", "resource_type": "incident", "occurred_at": "2026-07-01T03:00:00.000Z",
        "agent": {"id": "PU1", "type": "user_reference", "summary": "On Call"}, "client": null,
        "data": {"id": "Q1", "type": "incident", "incident_key": "lane-1", "status": "acknowledged", "new": []}}}"#;
    let incoming = PagerDutyWebhook::parse(body).unwrap();
    assert_eq!(
        incoming,
        PagerDutyWebhook {
            event_id: "01E".into(),
            event_type: "incident.acknowledged".into(),
            occurred_at: "2026-07-01T03:00:00Z".parse().unwrap(),
            incident_key: Some("lane-1".into()),
            agent: Some("On Call".into()),
        }
    );
    let ping =
        br#"{"event": {"id": "01F", "event_type": "pagey.ping", "occurred_at": "2026-07-01T03:00:00Z", "agent": null,
        "data": {"message": "Hello", "type": "ping"}}}"#;
    let ping = PagerDutyWebhook::parse(ping).unwrap();
    assert_eq!((ping.incident_key, ping.agent), (None, None));
    for (body, line) in [(&b"[]"[..], 1), (b"{\n\"event\": {\"id\": \"SECRET\"}}", 2), (b"", 1)] {
        let error = PagerDutyWebhook::parse(body).unwrap_err();
        assert!(error.line <= line && !error.to_string().contains("SECRET"), "{error}");
    }
}
