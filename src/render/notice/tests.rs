use std::{collections::BTreeSet, fmt::Write};

use proptest::prelude::*;
use serde_json::Value;

use super::{cloudevents, mail, pagerduty, said, slack, teams};
use crate::{
    domain::{
        delivery::{About, AlertContent, Content, Notice, Recipients, Summary, SummaryReason, Undelivered},
        digest::{sample, summary as digest_summary},
        ids::{EventRef, Id, IncidentId},
        words::{ChannelKind, NoticeKind, Severity, Trigger},
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

fn about() -> About {
    About {
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

fn notice(says: NoticeKind, content: Content) -> Notice {
    Notice {
        source: EventRef { seq: 17, ordinal: 3 },
        says,
        channel: id("pager"),
        kind: ChannelKind::Pagerduty,
        to: "data-platform-oncall".into(),
        lane: "INC-1042/recurring/3fa9c1d2".into(),
        at: time("2026-02-20T03:07:12Z"),
        content,
    }
}

/// One notice of every kind.
fn all() -> Vec<(&'static str, Notice)> {
    let told = |says| notice(says, Content::Alert(alert()));
    let mut again = alert();
    again.unacknowledged_minutes = Some(15);
    let change = Content::Change {
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
        ("trigger", told(NoticeKind::Trigger)),
        ("again", notice(NoticeKind::Again, Content::Alert(again))),
        ("acknowledge", told(NoticeKind::Acknowledge)),
        ("resolve", told(NoticeKind::Resolve)),
        ("change", notice(NoticeKind::Change, change)),
        ("digest", notice(NoticeKind::Digest, Content::Digest(Box::new(digest)))),
        ("undelivered", notice(NoticeKind::Undelivered, Content::Undelivered(undelivered))),
        (
            "undelivered to some",
            Notice {
                source: EventRef { seq: 17, ordinal: 4 },
                ..notice(NoticeKind::Undelivered, Content::Undelivered(partly))
            },
        ),
    ]
}

/// The same notices, in which whatever comes from outside is this text.
fn poisoned(text: &str) -> (Vec<(&'static str, Notice)>, About) {
    let actor = || Id::new(text.chars().take(Id::MAX_CHARS).collect::<String>()).unwrap_or_else(|_| id("nobody"));
    let poison = |alert: &mut AlertContent| {
        (alert.message, alert.reason, alert.dedup_key) = (text.into(), text.into(), text.into());
        alert.actor = actor();
    };
    let mut notices = all();
    for (_, notice) in &mut notices {
        (notice.channel, notice.to, notice.lane) = (actor(), text.into(), text.into());
        match &mut notice.content {
            Content::Alert(alert) => poison(alert),
            Content::Undelivered(undelivered) => {
                poison(&mut undelivered.alert);
                (undelivered.channel, undelivered.reason) = (actor(), text.into());
                undelivered.recipients = undelivered.recipients.as_ref().and(Recipients::new(vec![text.into(); 9]));
            }
            Content::Change { title, actor: by, .. } => (*title, *by) = (text.into(), actor()),
            Content::Digest(digest) => {
                digest.changed = vec![text.into(); 4];
                digest.week.week = text.into();
                digest.figures.open.iter_mut().for_each(|open| open.title = text.into());
            }
        }
    }
    let url = format!("https://example.test/{text}");
    let some = || Some(text.to_owned());
    (notices, About { title: text.into(), workspace_id: some(), workspace_url: Some(url), resource: some() })
}

fn summary_of(count: usize, because: SummaryReason) -> Summary {
    let one = |n: usize| {
        let mut alert = alert();
        alert.incident_id = IncidentId::from_ordinal(n as u64 + 1);
        alert.severity = [Severity::Medium, Severity::High, Severity::Low, Severity::Critical][n % 4];
        let mut notice = notice(NoticeKind::Trigger, Content::Alert(alert));
        notice.source.seq += n as u64;
        notice.at = notice.at.plus(chrono::TimeDelta::minutes(n as i64));
        (notice, about())
    };
    Summary {
        channel: id("oncall-chat"),
        kind: ChannelKind::Slack,
        to: "#data-oncall".into(),
        because,
        notices: (0..count).map(one).collect(),
    }
}

fn poisoned_summary(text: &str, count: usize) -> Summary {
    let (notices, about) = poisoned(text);
    let mut summary = summary_of(0, SummaryReason::Stale);
    summary.notices = notices.iter().cycle().take(count).map(|(_, notice)| (notice.clone(), about.clone())).collect();
    summary
}

/// Everything a channel is told, under headings.
fn told<T: std::fmt::Display>(message: impl Fn(&Notice, &About) -> T, summary: impl Fn(&str, &Summary) -> T) -> String {
    let mut out = String::new();
    let mut add = |name: &str, said: T| writeln!(out, "===== {name}\n{said:#}").unwrap();
    for (name, notice) in all().into_iter().filter(|(name, _)| *name != "digest") {
        add(name, message(&notice, &about()));
    }
    let (hostile, hostile_about) = poisoned(sample::HOSTILE);
    for (name, notice) in hostile.iter().filter(|(name, _)| ["again", "change"].contains(name)) {
        add(&format!("{name}, hostile"), message(notice, &hostile_about));
    }
    add("summary, stale", summary("summary/oncall-chat/17", &summary_of(9, SummaryReason::Stale)));
    add("summary, many", summary("summary/oncall-chat/17", &summary_of(100, SummaryReason::Many)));
    out
}

#[test]
fn pagerduty_is_told() {
    let event = |notice: &Notice, about: &About| {
        let told = pagerduty::event(notice, about).or_else(|| pagerduty::change(notice, about));
        told.unwrap_or_default()
    };
    insta::assert_snapshot!("pagerduty", told(event, pagerduty::summary));
}

#[test]
fn slack_is_told() {
    insta::assert_snapshot!("slack", told(slack::message, |_, summary| slack::summary(summary)));
}

#[test]
fn teams_is_told() {
    insta::assert_snapshot!("teams", told(teams::message, |_, summary| teams::summary(summary)));
    let digest = all().remove(5).1;
    insta::assert_snapshot!("teams_digest", format!("{:#}", teams::message(&digest, &About::default())));
}

#[test]
fn a_webhook_is_told() {
    insta::assert_snapshot!("cloudevents", told(cloudevents::event, cloudevents::summary));
}

#[test]
fn a_mailbox_is_told() {
    let text = |mail: mail::Mail| {
        let mail::Mail { subject, text, message_id, thread, .. } = mail;
        format!("Subject: {subject}\nId: {message_id}\nThread: {}\n\n{text}", thread.unwrap_or_default())
    };
    let page = |mail: mail::Mail| mail.html.replace("><", ">\n<");
    insta::assert_snapshot!(
        "mail_text",
        told(|notice, about| text(mail::mail(notice, about)), |lane, summary| text(mail::summary(lane, summary)))
    );
    insta::assert_snapshot!(
        "mail_html",
        told(|notice, about| page(mail::mail(notice, about)), |lane, summary| page(mail::summary(lane, summary)))
    );
}

#[test]
fn a_pager_is_told_no_digest_and_of_changes_apart() {
    for (name, notice) in all() {
        let action =
            pagerduty::event(&notice, &about()).map(|event| event["event_action"].as_str().unwrap().to_owned());
        let expected = match name {
            "trigger" | "again" | "undelivered" | "undelivered to some" => Some("trigger"),
            "acknowledge" | "resolve" => Some(name),
            _ => None,
        };
        assert_eq!(action.as_deref(), expected, "{name}");
        assert_eq!(pagerduty::change(&notice, &about()).is_some(), name == "change", "{name}");
    }
}

#[test]
fn a_pager_knows_four_severities() {
    for (severity, expected) in Severity::ALL.iter().zip(["info", "warning", "error", "critical"]) {
        let mut alert = alert();
        alert.severity = *severity;
        let event = pagerduty::event(&notice(NoticeKind::Trigger, Content::Alert(alert)), &about()).unwrap();
        assert_eq!(event["payload"]["severity"], expected);
    }
}

#[test]
fn keys_that_are_too_long_stay_different() {
    let key = |lane: String| {
        let mut notice = notice(NoticeKind::Resolve, Content::Alert(alert()));
        notice.lane = lane;
        pagerduty::event(&notice, &about()).unwrap()["dedup_key"].as_str().unwrap().to_owned()
    };
    assert_eq!(key("x".repeat(255)), "x".repeat(255));
    let (one, other) = (key("x".repeat(256)), key("x".repeat(257)));
    assert!(one != other && one.chars().count() == 255 && other.chars().count() == 255, "{one} {other}");
}

#[test]
fn only_the_plain_address_of_a_workspace_becomes_a_link() {
    fn check(url: &str, link: Option<&str>) {
        let about = About { workspace_url: Some(url.into()), ..About::default() };
        assert_eq!(said::address(&about).as_ref().map(url::Url::as_str), link, "{url:?}");
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
    assert_eq!(said::address(&About::default()), None);
}

#[test]
fn an_attempt_is_named_like_the_one_before_and_nothing_else_is() {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut threads = BTreeSet::new();
    for (name, notice) in all() {
        let (one, another) = (mail::mail(&notice, &about()), mail::mail(&notice, &About::default()));
        assert_eq!(one.message_id, another.message_id);
        assert_eq!(one.thread.is_some(), !["change", "digest"].contains(&name), "{name}");
        assert!(one.message_id.len() <= 64 && one.message_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(ids.insert(one.message_id));
        threads.extend(one.thread);
        let event = cloudevents::event(&notice, &about());
        assert_eq!(event["id"], notice.name());
        assert!(
            notice.name().starts_with(&format!("{}/", notice.source)) && notice.name().ends_with("/pager"),
            "{}",
            notice.name()
        );
        assert!(names.insert(notice.name()));
    }
    assert!(threads.len() == 1 && threads.is_disjoint(&ids));
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let said = said::of(&all().remove(0).1, &About::default());
    assert_eq!(said.headline, "HIGH recurring: INC-1042");
    let facts: Vec<String> = said.facts.iter().map(|(what, value)| format!("{what}: {value}")).collect();
    assert_eq!(facts[0], "Incident: INC-1042: n/a");
    assert_eq!(facts[2..4], ["Resource: n/a", "Workspace: n/a"]);
    assert_eq!(said.link, None);
}

#[test]
fn a_summary_names_the_most_severe_and_counts_the_rest() {
    let text = mail::summary("lane", &summary_of(1_000, SummaryReason::Many)).text;
    assert!(text.starts_with("250 CRITICAL, 250 HIGH, 250 MEDIUM, 250 LOW: 1000 alerts at once\n"), "{text}");
    assert!(text.contains("CRITICAL recurring: INC-1004 ") && text.contains("… and 970 more\n"), "{text}");
    assert!(!text.contains("HIGH recurring"), "{text}");
    for empty in [SummaryReason::Stale, SummaryReason::Many] {
        let empty = summary_of(0, empty);
        check_all(&[], &About::default(), &empty);
    }
}

#[test]
fn hostile_text_is_shown_and_does_nothing() {
    for text in [sample::HOSTILE, "", "\n\n", "@channel", "{{DATE(2026-02-20T03:07:12Z)}} <at>all</at>"] {
        let (notices, about) = poisoned(text);
        check_all(&notices, &about, &poisoned_summary(text, 20));
    }
    let (notices, about) = (sample::hostile(), About::default());
    let digest = notice(NoticeKind::Digest, Content::Digest(Box::new(notices)));
    check_all(&[("digest", digest)], &about, &summary_of(3, SummaryReason::Stale));
}

#[test]
fn however_long_it_is_it_fits() {
    for piece in ["x", "\"", "\\", "&", "<", "日", "\u{1f6a8}", "\u{301}", "\n", "a\n", "\u{202e}", "@here ", "\u{0}"]
    {
        let text = piece.repeat(20_000);
        let (notices, about) = poisoned(&text);
        check_all(&notices, &about, &poisoned_summary(&text, 60));
    }
    check_all(&[], &about(), &summary_of(5_000, SummaryReason::Many));
}

/// Every payload of every notice, and of the summary, is within every limit and acts on nothing.
fn check_all(notices: &[(&'static str, Notice)], about: &About, summary: &Summary) {
    for (_, notice) in notices {
        pagerduty::event(notice, about).iter().for_each(check_pagerduty);
        pagerduty::change(notice, about).iter().for_each(check_pagerduty);
        check_limits(&slack::message(notice, about));
        check_teams(&teams::message(notice, about));
        check_cloudevent(&cloudevents::event(notice, about), &notice.content);
        check_mail(&mail::mail(notice, about), &notice.content);
    }
    check_pagerduty(&pagerduty::summary("lane", summary));
    check_limits(&slack::summary(summary));
    check_teams(&teams::summary(summary));
    let content = Content::Alert(alert());
    check_cloudevent(&cloudevents::summary("lane", summary), &content);
    check_mail(&mail::summary("lane", summary), &content);
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

fn check_cloudevent(event: &Value, content: &Content) {
    check_texts(event);
    for required in ["specversion", "id", "source", "type", "subject"] {
        assert!(event[required].as_str().is_some_and(|text| !text.is_empty()), "{required}");
    }
    if !matches!(content, Content::Digest(_)) {
        assert!(event.to_string().len() <= 128 * 1024, "{}", event.to_string().len());
    }
}

fn check_mail(mail: &mail::Mail, content: &Content) {
    assert!((1..=200).contains(&mail.subject.chars().count()));
    assert!(!mail.subject.chars().any(is_unsafe), "{:?}", mail.subject);
    assert_safe(&mail.text);
    assert!(!mail.html.chars().any(|character| character != '\n' && is_unsafe(character)));
    if matches!(content, Content::Digest(_)) {
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
    fn whatever_is_said_every_payload_is_within_limits(text in any_text(), times in 1usize..40, count in 0usize..40) {
        let text = text.repeat(times);
        let (notices, about) = poisoned(&text);
        check_all(&notices, &about, &poisoned_summary(&text, count));
    }
}
