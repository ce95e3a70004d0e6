use super::*;

const BODY: &[u8] = br#"{"event":1}"#;
/// By openssl dgst -sha256 -hmac whsec.
const SIGNED: &str = "v1=7b632c5579fd0d1d0bc923c42bdb62edf9d2db42d360af395d55cb86f178c312";

#[test]
fn any_of_the_signatures_will_do() {
    let secret = Secret::new("whsec").unwrap();
    let zeros = format!("v1={}", "0".repeat(64));
    for header in
        [SIGNED.to_owned(), format!("{zeros}, {SIGNED}"), format!("{SIGNED},{zeros}"), format!("v2=x,{SIGNED}")]
    {
        assert!(verify(&header, BODY, &secret), "{header}");
    }
    assert!(!verify(SIGNED, b"{\"event\":2}", &secret) && !verify(SIGNED, BODY, &Secret::new("other").unwrap()));
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
        assert!(!verify(header, BODY, &secret), "{header}");
    }
}

#[test]
fn what_happened_is_read_and_what_is_not_known_let_be() {
    let body = br#"{"event": {
        "id": "01E", "event_type": "incident.acknowledged", "resource_type": "incident", "occurred_at": "2026-07-01T03:00:00.000Z",
        "agent": {"id": "PU1", "type": "user_reference", "summary": "On Call"}, "client": null,
        "data": {"id": "Q1", "type": "incident", "incident_key": "lane-1", "status": "acknowledged", "new": []}}}"#;
    let incoming = Incoming::parse(body).unwrap();
    assert_eq!(
        incoming,
        Incoming {
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
    let ping = Incoming::parse(ping).unwrap();
    assert_eq!((ping.incident_key, ping.agent), (None, None));
    for (body, line) in [(&b"[]"[..], 1), (b"{\n\"event\": {\"id\": \"SECRET\"}}", 2), (b"", 1)] {
        let error = Incoming::parse(body).unwrap_err();
        assert!(error.line <= line && !error.to_string().contains("SECRET"), "{error}");
    }
}
