//! Actions in PagerDuty are recorded here through its webhook.

use std::fs;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::tempdir;

use super::{configuration, missing, ok_deliver, receiver::Receiver, record};
use crate::{
    mcp::client::{Served, TOKEN},
    support::{binary, json_lines, ok, sql_rows},
};

fn signed(body: &str, secret: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

fn webhook(event: &str, kind: &str, key: &str) -> String {
    json!({ "event": {
        "id": event,
        "event_type": kind,
        "resource_type": "incident",
        "occurred_at": "2026-02-11T12:36:00Z",
        "agent": { "id": "PLH1HKV", "type": "user_reference", "summary": "On Call \u{202e}<b>" },
        "data": { "id": "PGR0VU2", "type": "incident", "status": "acknowledged", "incident_key": key, "title": "x" },
    } })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_in_pagerduty_is_recorded_once() {
    let folder = tempdir().unwrap();
    let lake = folder.path().join("lake");
    let receiver = Receiver::start(0).await;
    let config = configuration(folder.path(), &receiver, "");
    record(&lake, &config, &missing("r-1"));
    ok_deliver(&lake, &config);
    let alerts = json_lines(&lake, &["escalation", "list"]);
    let alert =
        alerts[0].as_array().unwrap().iter().find(|alert| alert["trigger"] == "missing-evidence").unwrap().clone();
    let key = alert["dedup_key"].as_str().unwrap().to_owned();

    let mut command = binary(&lake);
    command.arg("--config").arg(&config).args(["mcp", "--http", "127.0.0.1:0"]);
    command.env("OPS_RUNBOOK_MCP_TOKEN", TOKEN).env("PAGER_SIGNS", "signs");
    let served = Served::by(command);
    let url = served.url.replace("/mcp", "/pagerduty");
    let client = reqwest::Client::new();
    let post = async |body: &str, signature: &str| -> (u16, String) {
        let request = client.post(&url).header("X-PagerDuty-Signature", signature).body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let acknowledged = webhook("e-1", "incident.acknowledged", &key);
    assert_eq!(post(&acknowledged, &signed(&acknowledged, "other")).await.0, 401);
    assert_eq!(post(&acknowledged, "v1=00").await.0, 401);
    assert_eq!(post("{}", &signed("{}", "signs")).await.0, 400);
    let status_and_actor = || {
        let rows = sql_rows(&lake, &format!("SELECT status, actor FROM escalations WHERE dedup_key = '{key}'"));
        (rows[0]["status"].clone(), rows[0]["actor"].clone())
    };
    assert_eq!(status_and_actor().0, "open");
    let rotated = format!("{},{}", signed(&acknowledged, "old"), signed(&acknowledged, "signs"));
    for _ in 0..3 {
        assert_eq!(post(&acknowledged, &rotated).await, (200, "recorded\n".into()));
    }
    let (status, actor) = status_and_actor();
    assert_eq!(status, "acknowledged");
    assert!(actor.as_str().unwrap().starts_with("pagerduty:On Call"), "{actor}");
    // Another lake has an INC-1001 too.
    let foreign = webhook("e-2", "incident.resolved", "INC-1001/missing-evidence/00000000");
    assert_eq!(post(&foreign, &signed(&foreign, "signs")).await, (200, "nothing to record\n".into()));
    for (event, kind) in [("e-3", "incident.priority_updated"), ("e-4", "pagey.ping")] {
        let other = webhook(event, kind, &key);
        assert_eq!(post(&other, &signed(&other, "signs")).await.0, 200);
    }
    assert_eq!(status_and_actor().0, "acknowledged");
    let again = webhook("e-5", "incident.acknowledged", &key);
    let (code, text) = post(&again, &signed(&again, "signs")).await;
    assert_eq!((code, text.contains("nothing to record")), (200, true), "it is acknowledged already");
    // A body that is too long is not read.
    let long = " ".repeat((1 << 20) + 1);
    assert_eq!(post(&long, &signed(&long, "signs")).await.0, 413);
    let rows = sql_rows(
        &lake,
        "SELECT count(*) AS n, min(interface) AS interface FROM audit_log WHERE request_kind = 'acknowledge_escalation'",
    );
    assert_eq!(rows, [json!({ "n": 1, "interface": "pagerduty" })]);
    // PagerDuty is not notified of its own action; the webhook is.
    let before = receiver.arrived().len();
    ok_deliver(&lake, &config);
    let received: Vec<Value> =
        receiver.arrived()[before..].iter().map(|arrived| arrived.body["type"].clone()).collect();
    assert_eq!(received, ["ops-runbook.escalation.acknowledge"]);
    let resolved = webhook("e-6", "incident.resolved", &key);
    assert_eq!(post(&resolved, &signed(&resolved, "signs")).await.0, 200);
    assert_eq!(status_and_actor().0, "resolved");
    assert_eq!(served.terminate(), Some(0));
    let verified = ok(&lake, &["audit", "verify"]);
    assert!(verified.contains("intact"), "{verified}");
    assert!(fs::exists(&config).unwrap());
}
