use std::{collections::BTreeSet, fmt::Write};

use proptest::prelude::*;
use serde_json::Value;

use super::{cloudevents, mail, outline, pagerduty, slack, teams};
use crate::{
    domain::{
        check::Severity,
        digest::{sample, summary as digest_summary},
        escalation::trigger::Trigger,
        ids::{EventRef, Id, IncidentId},
        notification::{
            AlertContent, AlertSummary, IncidentContext, Notification, NotificationContent, Recipients, SummaryReason,
            Undelivered, channel::ChannelKind, event::NotificationKind,
        },
    },
    render::{
        example::{any_text, assert_safe, checked, time},
        plain::{columns, is_unsafe},
        slack::check::check_limits,
    },
};

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn about() -> IncidentContext {
    IncidentContext {
        title: "daily_etl fails since retries are off".into(),
        workspace_id: Some("7405612783315468".into()),
        workspace_url: Some("https://adb-7405612783315468.8.azuredatabricks.net/?o=7405612783315468".into()),
        resource: Some("job daily_etl (360515640572923)".into()),
    }
}

fn alert() -> AlertContent {
    AlertContent {
        incident_id: IncidentId::from_ordinal(42),
        trigger: Trigger::Recurring,
        severity: Severity::High,
        dedup_key: "INC-1042/recurring/3fa9c1d2".into(),
        message: "Pattern alert: the same root cause in 3 incidents within 7 days (3 or more escalate): Job retry policies not configured (max_retries=0).\nIncidents: INC-1001 daily-etl, INC-1002 hourly-sync, INC-1003 nightly-backup.\nAction: SRE to fix the cause for good, not only the next incident.".into(),
        reason: "3 incidents within 168 h, threshold 3".into(),
        actor: id("user:sre@example.test"),
        unacknowledged_minutes: None,
    }
}

fn notification(says: NotificationKind, content: NotificationContent) -> Notification {
    Notification {
        source: EventRef { seq: 17, ordinal: 3 },
        notification_kind: says,
        channel: id("pager"),
        kind: ChannelKind::Pagerduty,
        to: "data-platform-oncall".into(),
        stream: "INC-1042/recurring/3fa9c1d2".into(),
        at: time("2026-02-20T03:07:12Z"),
        content,
    }
}

/// One notification of every kind.
fn all() -> Vec<(&'static str, Notification)> {
    let alert_of = |says| notification(says, NotificationContent::Alert(alert()));
    let mut again = alert();
    again.unacknowledged_minutes = Some(15);
    let change = NotificationContent::Change {
        incident_id: IncidentId::from_ordinal(42),
        title: "Set max_retries to 3 on daily_etl".into(),
        actor: id("user:sre@example.test"),
    };
    let undelivered = Undelivered {
        alert: alert(),
        channel: id("oncall-chat"),
        kind: ChannelKind::Slack,
        recipients: None,
        reason: "404 no_service; given up after 12 attempts in 60 minutes".into(),
    };
    let partly = Undelivered {
        channel: id("mail"),
        kind: ChannelKind::Email,
        recipients: Recipients::new(vec!["sre@example.test".into(), "platform@example.test".into()]),
        reason: "not delivered to sre@example.test, platform@example.test since 2026-02-20T02:07:12Z, in 17 attempts; others \
                 have it"
            .into(),
        ..undelivered.clone()
    };
    let mut digest = sample::eventful();
    digest.changed = digest_summary::changed(&digest.week, &digest.figures);
    vec![
        ("trigger", alert_of(NotificationKind::Trigger)),
        ("again", notification(NotificationKind::Again, NotificationContent::Alert(again))),
        ("acknowledge", alert_of(NotificationKind::Acknowledge)),
        ("resolve", alert_of(NotificationKind::Resolve)),
        ("change", notification(NotificationKind::Change, change)),
        ("digest", notification(NotificationKind::Digest, NotificationContent::Digest(Box::new(digest)))),
        ("undelivered", notification(NotificationKind::Undelivered, NotificationContent::Undelivered(undelivered))),
        (
            "undelivered to some",
            Notification {
                source: EventRef { seq: 17, ordinal: 4 },
                ..notification(NotificationKind::Undelivered, NotificationContent::Undelivered(partly))
            },
        ),
    ]
}

/// The same notifications, with this text in every field from outside.
fn poisoned(text: &str) -> (Vec<(&'static str, Notification)>, IncidentContext) {
    let actor = || Id::new(text.chars().take(Id::MAX_CHARS).collect::<String>()).unwrap_or_else(|_| id("unknown"));
    let poison = |alert: &mut AlertContent| {
        (alert.message, alert.reason, alert.dedup_key) = (text.into(), text.into(), text.into());
        alert.actor = actor();
    };
    let mut notifications = all();
    for (_, notification) in &mut notifications {
        (notification.channel, notification.to, notification.stream) = (actor(), text.into(), text.into());
        match &mut notification.content {
            NotificationContent::Alert(alert) => poison(alert),
            NotificationContent::Undelivered(undelivered) => {
                poison(&mut undelivered.alert);
                (undelivered.channel, undelivered.reason) = (actor(), text.into());
                undelivered.recipients = undelivered.recipients.as_ref().and(Recipients::new(vec![text.into(); 9]));
            }
            NotificationContent::Change { title, actor: by, .. } => (*title, *by) = (text.into(), actor()),
            NotificationContent::Digest(digest) => {
                digest.changed = vec![text.into(); 4];
                digest.week.week = text.into();
                digest.figures.open.iter_mut().for_each(|open| open.title = text.into());
            }
        }
    }
    let url = format!("https://example.test/{text}");
    let some = || Some(text.to_owned());
    (
        notifications,
        IncidentContext { title: text.into(), workspace_id: some(), workspace_url: Some(url), resource: some() },
    )
}

fn summary_of(count: usize, because: SummaryReason) -> AlertSummary {
    let one = |n: usize| {
        let mut alert = alert();
        alert.incident_id = IncidentId::from_ordinal(n as u64 + 1);
        alert.severity = [Severity::Medium, Severity::High, Severity::Low, Severity::Critical][n % 4];
        let mut notification = notification(NotificationKind::Trigger, NotificationContent::Alert(alert));
        notification.source.seq += n as u64;
        notification.at = notification.at.plus(chrono::TimeDelta::minutes(n as i64));
        (notification, about())
    };
    AlertSummary {
        channel: id("oncall-chat"),
        kind: ChannelKind::Slack,
        to: "#data-oncall".into(),
        because,
        notifications: (0..count).map(one).collect(),
    }
}

fn poisoned_summary(text: &str, count: usize) -> AlertSummary {
    let (notifications, about) = poisoned(text);
    let mut summary = summary_of(0, SummaryReason::Stale);
    summary.notifications = notifications
        .iter()
        .cycle()
        .take(count)
        .map(|(_, notification)| (notification.clone(), about.clone()))
        .collect();
    summary
}

/// All payloads of one kind of channel, under headings.
fn payloads<T: std::fmt::Display>(
    message: impl Fn(&Notification, &IncidentContext) -> T,
    summary: impl Fn(&str, &AlertSummary) -> T,
) -> String {
    let mut out = String::new();
    let mut add = |name: &str, payload: T| writeln!(out, "===== {name}\n{payload:#}").unwrap();
    for (name, notification) in all().into_iter().filter(|(name, _)| *name != "digest") {
        add(name, message(&notification, &about()));
    }
    let (hostile, hostile_about) = poisoned(sample::HOSTILE);
    for (name, notification) in hostile.iter().filter(|(name, _)| ["again", "change"].contains(name)) {
        add(&format!("{name}, hostile"), message(notification, &hostile_about));
    }
    add("summary, stale", summary("summary/oncall-chat/17", &summary_of(9, SummaryReason::Stale)));
    add("summary, many", summary("summary/oncall-chat/17", &summary_of(100, SummaryReason::Many)));
    out
}

#[test]
fn pagerduty_payloads() {
    let event = |notification: &Notification, about: &IncidentContext| {
        let event = pagerduty::event(notification, about).or_else(|| pagerduty::change(notification, about));
        event.unwrap_or_default()
    };
    insta::assert_snapshot!("pagerduty", payloads(event, pagerduty::summary));
}

#[test]
fn slack_payloads() {
    insta::assert_snapshot!("slack", payloads(slack::message, |_, summary| slack::summary(summary)));
}

#[test]
fn teams_payloads() {
    insta::assert_snapshot!("teams", payloads(teams::message, |_, summary| teams::summary(summary)));
    let digest = all().remove(5).1;
    insta::assert_snapshot!("teams_digest", format!("{:#}", teams::message(&digest, &IncidentContext::default())));
}

#[test]
fn webhook_payloads() {
    insta::assert_snapshot!("cloudevents", payloads(cloudevents::event, cloudevents::summary));
}

#[test]
fn mail_payloads() {
    let text = |mail: mail::Mail| {
        let mail::Mail { subject, text, message_id, thread, .. } = mail;
        format!("Subject: {subject}\nId: {message_id}\nThread: {}\n\n{text}", thread.unwrap_or_default())
    };
    let page = |mail: mail::Mail| mail.html.replace("><", ">\n<");
    insta::assert_snapshot!(
        "mail_text",
        payloads(
            |notification, about| text(mail::mail(notification, about)),
            |stream, summary| text(mail::summary(stream, summary))
        )
    );
    insta::assert_snapshot!(
        "mail_html",
        payloads(
            |notification, about| page(mail::mail(notification, about)),
            |stream, summary| page(mail::summary(stream, summary))
        )
    );
}

#[test]
fn pagerduty_gets_no_digests_and_gets_changes_as_change_events() {
    for (name, notification) in all() {
        let action =
            pagerduty::event(&notification, &about()).map(|event| event["event_action"].as_str().unwrap().to_owned());
        let expected = match name {
            "trigger" | "again" | "undelivered" | "undelivered to some" => Some("trigger"),
            "acknowledge" | "resolve" => Some(name),
            _ => None,
        };
        assert_eq!(action.as_deref(), expected, "{name}");
        assert_eq!(pagerduty::change(&notification, &about()).is_some(), name == "change", "{name}");
    }
}

#[test]
fn severities_map_to_those_of_pagerduty() {
    for (severity, expected) in Severity::ALL.iter().zip(["info", "warning", "error", "critical"]) {
        let mut alert = alert();
        alert.severity = *severity;
        let event =
            pagerduty::event(&notification(NotificationKind::Trigger, NotificationContent::Alert(alert)), &about())
                .unwrap();
        assert_eq!(event["payload"]["severity"], expected);
    }
}

#[test]
fn keys_that_are_too_long_stay_different() {
    let key = |stream: String| {
        let mut notification = notification(NotificationKind::Resolve, NotificationContent::Alert(alert()));
        notification.stream = stream;
        pagerduty::event(&notification, &about()).unwrap()["dedup_key"].as_str().unwrap().to_owned()
    };
    assert_eq!(key("x".repeat(255)), "x".repeat(255));
    let (one, other) = (key("x".repeat(256)), key("x".repeat(257)));
    assert!(one != other && one.chars().count() == 255 && other.chars().count() == 255, "{one} {other}");
}

#[test]
fn only_the_plain_address_of_a_workspace_becomes_a_link() {
    fn check(url: &str, link: Option<&str>) {
        let about = IncidentContext { workspace_url: Some(url.into()), ..IncidentContext::default() };
        assert_eq!(outline::address(&about).as_ref().map(url::Url::as_str), link, "{url:?}");
    }
    check("https://adb-1.2.azuredatabricks.net", Some("https://adb-1.2.azuredatabricks.net/"));
    check("https://example.test/?o=1&a=\"><b>", Some("https://example.test/?o=1&a=%22%3E%3Cb%3E"));
    check("https://exämple.test/ü", Some("https://xn--exmple-cua.test/%C3%BC"));
    for refused in [
        "",
        "example.test",
        "//example.test",
        "http://example.test",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "https://user@example.test",
        "https://user:secret@example.test",
        "https://:secret@example.test",
        "https://exam\nple.test",
        "https://example.test/\u{202e}",
    ] {
        check(refused, None);
    }
    check(&format!("https://example.test/{}", "x".repeat(500)), None);
    assert_eq!(outline::address(&IncidentContext::default()), None);
}

#[test]
fn ids_are_the_same_for_every_attempt_and_unique_otherwise() {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut threads = BTreeSet::new();
    for (name, notification) in all() {
        let (one, another) =
            (mail::mail(&notification, &about()), mail::mail(&notification, &IncidentContext::default()));
        assert_eq!(one.message_id, another.message_id);
        assert_eq!(one.thread.is_some(), !["change", "digest"].contains(&name), "{name}");
        assert!(one.message_id.len() <= 64 && one.message_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(ids.insert(one.message_id));
        threads.extend(one.thread);
        let event = cloudevents::event(&notification, &about());
        assert_eq!(event["id"], notification.id());
        assert!(
            notification.id().starts_with(&format!("{}/", notification.source))
                && notification.id().ends_with("/pager"),
            "{}",
            notification.id()
        );
        assert!(names.insert(notification.id()));
    }
    assert!(threads.len() == 1 && threads.is_disjoint(&ids));
}

#[test]
fn unknown_values_are_na() {
    let outline = outline::of(&all().remove(0).1, &IncidentContext::default());
    assert_eq!(outline.headline, "HIGH recurring: INC-1042");
    let facts: Vec<String> = outline.facts.iter().map(|(what, value)| format!("{what}: {value}")).collect();
    assert_eq!(facts[0], "Incident: INC-1042: n/a");
    assert_eq!(facts[2..4], ["Resource: n/a", "Workspace: n/a"]);
    assert_eq!(outline.link, None);
}

#[test]
fn a_summary_names_the_most_severe_and_counts_the_rest() {
    let text = mail::summary("stream", &summary_of(1_000, SummaryReason::Many)).text;
    assert!(text.starts_with("250 CRITICAL, 250 HIGH, 250 MEDIUM, 250 LOW: 1000 alerts at once\n"), "{text}");
    assert!(text.contains("CRITICAL recurring: INC-1004 ") && text.contains("… and 970 more\n"), "{text}");
    assert!(!text.contains("HIGH recurring"), "{text}");
    for empty in [SummaryReason::Stale, SummaryReason::Many] {
        let empty = summary_of(0, empty);
        check_all(&[], &IncidentContext::default(), &empty);
    }
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    for text in [sample::HOSTILE, "", "\n\n", "@channel", "{{DATE(2026-02-20T03:07:12Z)}} <at>all</at>"] {
        let (notifications, about) = poisoned(text);
        check_all(&notifications, &about, &poisoned_summary(text, 20));
    }
    let (notifications, about) = (sample::hostile(), IncidentContext::default());
    let digest = notification(NotificationKind::Digest, NotificationContent::Digest(Box::new(notifications)));
    check_all(&[("digest", digest)], &about, &summary_of(3, SummaryReason::Stale));
}

#[test]
fn texts_of_any_length_fit() {
    for piece in ["x", "\"", "\\", "&", "<", "日", "\u{1f6a8}", "\u{301}", "\n", "a\n", "\u{202e}", "@here ", "\u{0}"]
    {
        let text = piece.repeat(20_000);
        let (notifications, about) = poisoned(&text);
        check_all(&notifications, &about, &poisoned_summary(&text, 60));
    }
    check_all(&[], &about(), &summary_of(5_000, SummaryReason::Many));
}

/// Asserts that every payload is within the limits of its service, and that its text is harmless.
fn check_all(notifications: &[(&'static str, Notification)], about: &IncidentContext, summary: &AlertSummary) {
    for (_, notification) in notifications {
        pagerduty::event(notification, about).iter().for_each(check_pagerduty);
        pagerduty::change(notification, about).iter().for_each(check_pagerduty);
        check_limits(&slack::message(notification, about));
        check_teams(&teams::message(notification, about));
        check_cloudevent(&cloudevents::event(notification, about), &notification.content);
        check_mail(&mail::mail(notification, about), &notification.content);
    }
    check_pagerduty(&pagerduty::summary("stream", summary));
    check_limits(&slack::summary(summary));
    check_teams(&teams::summary(summary));
    let content = NotificationContent::Alert(alert());
    check_cloudevent(&cloudevents::summary("stream", summary), &content);
    check_mail(&mail::summary("stream", summary), &content);
}

/// Every text of a document, with the name of its field.
fn texts<'a>(value: &'a Value, name: &'a str, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::String(text) => found.push((name, text)),
        Value::Array(items) => items.iter().for_each(|item| texts(item, name, found)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| texts(value, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn check_texts(value: &Value) {
    let mut found = Vec::new();
    texts(value, "", &mut found);
    for (name, text) in found {
        assert!(!text.chars().any(is_unsafe), "{name}: {text:?}");
    }
    assert_eq!(serde_json::from_str::<Value>(&value.to_string()).unwrap(), *value);
}

fn check_pagerduty(event: &Value) {
    check_texts(event);
    assert!(event.to_string().len() <= 512 * 1024 - 1024);
    let length = |text: &Value| text.as_str().unwrap().chars().count();
    if let Some(key) = event.get("dedup_key") {
        assert!(length(key) <= 255);
    }
    if let Some(payload) = event.get("payload") {
        assert!((1..=1_024).contains(&length(&payload["summary"])) && length(&payload["source"]) > 0);
    }
}

fn check_teams(message: &Value) {
    check_texts(message);
    let json = message.to_string();
    assert!(json.len().max(2 * json.encode_utf16().count()) <= 28 * 1024, "{}", json.len());
    let card = &message["attachments"][0]["content"];
    for block in card["body"].as_array().unwrap() {
        assert_eq!(block["type"], "RichTextBlock");
        assert!(block["inlines"].as_array().unwrap().iter().all(|run| run["type"] == "TextRun"));
    }
    let fallback = card["fallbackText"].as_str().unwrap();
    assert!(!fallback.is_empty() && !fallback.contains(['*', '_', '[', '<', '`', '@']), "{fallback}");
}

fn check_cloudevent(event: &Value, content: &NotificationContent) {
    check_texts(event);
    for required in ["specversion", "id", "source", "type", "subject"] {
        assert!(event[required].as_str().is_some_and(|text| !text.is_empty()), "{required}");
    }
    if !matches!(content, NotificationContent::Digest(_)) {
        assert!(event.to_string().len() <= 128 * 1024, "{}", event.to_string().len());
    }
}

fn check_mail(mail: &mail::Mail, content: &NotificationContent) {
    assert!((1..=200).contains(&mail.subject.chars().count()));
    assert!(!mail.subject.chars().any(is_unsafe), "{:?}", mail.subject);
    assert_safe(&mail.text);
    assert!(!mail.html.chars().any(|character| character != '\n' && is_unsafe(character)));
    if matches!(content, NotificationContent::Digest(_)) {
        return;
    }
    assert!(
        mail.text.lines().all(|line| columns(line) <= 78 || line.starts_with("Workspace: https://")),
        "{}",
        mail.text
    );
    let (elements, attributes) = checked(&mail.html);
    let known =
        ["html", "head", "meta", "title", "body", "div", "p", "h1", "strong", "dl", "dt", "dd", "pre", "code", "a"];
    assert!(elements.iter().all(|element| known.contains(&element.as_str())), "{elements:?}");
    let known = ["lang", "charset", "name", "content", "style", "href", "rel"];
    assert!(attributes.iter().all(|attribute| known.contains(&attribute.as_str())), "{attributes:?}");
    for fetched in ["url(", "@import"] {
        let styles = mail.html.split("style=\"").skip(1).filter_map(|rest| rest.split('"').next());
        assert!(!styles.into_iter().any(|style| style.contains(fetched)));
    }
    assert!(mail.html.len() <= 200_000, "{}", mail.html.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_payload_is_within_limits_for_any_text(text in any_text(), times in 1usize..40, count in 0usize..40) {
        let text = text.repeat(times);
        let (notifications, about) = poisoned(&text);
        check_all(&notifications, &about, &poisoned_summary(&text, count));
    }
}
