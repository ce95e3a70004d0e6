//! The opening of the digest and its most important figures, as a Slack message of Block Kit blocks.
//!
//! Text from outside is in `plain_text` objects only, which have no markup, mentions or links; `mrkdwn` holds our own text.
//! Every text is escaped as Slack requires and cut to its limit.

use serde_json::{Value, json};

use super::labels;
use crate::{
    domain::digest::{
        Decision, Digest, MIN_FOR_MEDIAN, RecurringIssue,
        dimension::{HourBand, Measure},
        share,
    },
    render::{
        plain::{NA, cut, duration, line, na},
        slack::{self, MOST_MESSAGE, MOST_SECTION, context, escaped, section, titled},
    },
};

/// Characters reserved for the head of the audit log, which ends the message.
const CLOSING: usize = 1_500;
/// Columns of a name.
const MOST_NAME: usize = 90;
/// Columns of a sentence.
const MOST_SENTENCE: usize = 300;
/// Items of one list.
const MOST_ITEMS: usize = 8;

/// The message: `blocks`, and `text` for clients that do not show blocks.
pub fn slack(digest: &Digest) -> Value {
    let week = &digest.week;
    let title = format!("Incident digest {}", line(&week.week));
    let mut message = SlackMessage::default();
    message.add([slack::header(&title)]);
    let made = labels::moment(digest.made_at, week.zone());
    message.add([context(&format!(
        "{}. Time zone: {}. Revision {}, made {made}.",
        labels::span(week),
        cut(&line(&week.time_zone), MOST_NAME),
        digest.revision
    ))]);
    message.list("What changed", digest.changed.iter().map(|text| sentence(text)).collect());
    let decisions = labels::decisions(digest);
    if decisions.is_empty() {
        message.add([section("Nothing needs a decision.")]);
    }
    message.list("What needs a decision", decisions.iter().map(|needed| decision(needed)).collect());
    if let Some(revised) = &digest.revised {
        let differences = revised.differences.iter().map(|text| sentence(text)).collect();
        message.list(&format!("Since revision {}", revised.revision), differences);
    }
    let figures = &digest.figures;
    if figures.incidents() > 0 || !figures.escalations.is_empty() {
        let about = format!(
            "Of incidents reported in the week. p50 is the median, n/a below n = {MIN_FOR_MEDIAN}. {}",
            definitions()
        );
        message.add([
            json!({ "type": "divider" }),
            json!({ "type": "section", "fields": key_figures(digest) }),
            context(&about),
        ]);
    }
    message.list("Recurring issues", figures.recurring.iter().map(recurring).collect());
    let open = labels::oldest(&figures.open).into_iter().map(|open| {
        let age = duration(Some(open.age_hours * 3600.0));
        format!("{} ({age}, {}): {}", open.incident_id, open.incident_type, named(&open.title))
    });
    message.list("Open at the end of the week", open.collect());
    if !figures.open.is_empty() {
        message.add([context(&format!(
            "{} open: {}. Age: from the report to the end of the week.",
            figures.open.len(),
            labels::ages(&figures.open)
        ))]);
    }
    message.close(digest);
    json!({ "text": fallback(digest), "blocks": message.blocks })
}

fn decision(needed: &Decision) -> String {
    let command = needed.command.as_deref().map(|command| format!("\n   {}", sentence(command)));
    sentence(&needed.text) + &command.unwrap_or_default()
}

fn recurring(issue: &RecurringIssue) -> String {
    let actions: Vec<String> =
        issue.actions.iter().map(|action| format!("{} {}", named(&action.action), action.state)).collect();
    let actions = match actions.as_slice() {
        [] => "no preventive action is known".into(),
        actions => cut(&actions.join(", "), MOST_SENTENCE).into_owned(),
    };
    let incidents = if issue.occurrences == 1 { "incident" } else { "incidents" };
    format!(
        "{} ({}, {} {incidents}): {actions}",
        named(&issue.root_cause),
        labels::issue_state(issue),
        issue.occurrences
    )
}

/// Blocks of a message, within its limit of characters.
#[derive(Default)]
struct SlackMessage {
    blocks: Vec<Value>,
    characters: usize,
    left_out: bool,
}

impl SlackMessage {
    /// Adds blocks that belong together, unless the message would get too long.
    fn add<const N: usize>(&mut self, blocks: [Value; N]) {
        let characters: usize = blocks.iter().map(|block| block.to_string().chars().count() + 1).sum();
        if self.characters + characters > MOST_MESSAGE - CLOSING {
            self.left_out = true;
            return;
        }
        self.characters += characters;
        self.blocks.extend(blocks);
    }

    /// Adds a title and its items, one per line, as many as fit. Adds nothing if there are no items.
    fn list(&mut self, title: &str, items: Vec<String>) {
        if !items.is_empty() {
            self.add([titled(title), listed(&items)]);
        }
    }

    /// Adds the head of the audit log and the command for the full digest. There is always room for it.
    fn close(&mut self, digest: &Digest) {
        let audit = &digest.audit;
        let hash = cut(&line(&audit.head_hash), 64).into_owned();
        let proof = labels::proof(audit);
        let mut text = format!("Audit log: {proof} Head: row {}, entry_hash {hash}.", audit.head_seq);
        if self.left_out {
            text.push_str(" This message was shortened.");
        }
        if let Some(command) = labels::full_digest_command(&digest.week) {
            text.push_str(&format!(" Full digest: {}", cut(&line(&command), 200)));
        }
        self.blocks.push(context(&text));
    }
}

/// The text of push notifications. Holds no text from outside except the week.
fn fallback(digest: &Digest) -> String {
    let week = escaped(&line(&digest.week.week), 40);
    slack::unmarked(&format!("Incident digest {week}: {}.", labels::short_summary(digest)))
}

/// Key figures, two in a row.
fn key_figures(digest: &Digest) -> Vec<Value> {
    let figures = &digest.figures;
    let total = figures.total();
    let previous = na(total.and_then(|total| total.previous));
    let median = total.map_or_else(|| NA.into(), labels::median_before);
    let this = digest.week.calendar();
    let p50 = |measure: Measure| {
        let (now, before) = (figures.duration(this, measure), figures.duration(this.earlier(1), measure));
        let open = now.map_or_else(String::new, |now| format!(", {} open", now.open));
        format!("p50 {}{open}; week before {}", labels::p50_with_n(now), labels::p50_with_n(before))
    };
    let [fired, unrouted, suppressed, acknowledged, ..] = labels::alert_sums(figures);
    let night = figures.load.iter().find(|load| load.band == HourBand::Night);
    let alerts = figures.load.iter().map(|load| load.alerts).sum();
    let at_night = night.map_or_else(|| NA.into(), |night| share(night.alerts, alerts));
    let new = figures.causes.iter().filter(|cause| cause.is_new).count();
    [
        ("Incidents", format!("{}; week before {previous}, median of 4 before {median}", figures.incidents())),
        ("Alerts", format!("{fired} fired, {unrouted} unrouted, {acknowledged} acknowledged, {suppressed} suppressed")),
        (labels::measure(Measure::Acknowledge).0, p50(Measure::Acknowledge)),
        (labels::measure(Measure::Resolve).0, p50(Measure::Resolve)),
        ("Causes", format!("{} known, {new} new", figures.causes.len())),
        ("Alerts at night", format!("{at_night}, {}", labels::band(HourBand::Night).1)),
    ]
    .map(|(what, value)| json!({ "type": "mrkdwn", "text": format!("*{what}*\n{value}"), "verbatim": true }))
    .into()
}

fn definitions() -> String {
    [Measure::Acknowledge, Measure::Resolve]
        .map(|measure| {
            let (what, definition) = labels::measure(measure);
            format!("{what}: {definition}.")
        })
        .join(" ")
}

/// Items, one per line, as many as fit.
fn listed(items: &[String]) -> Value {
    let shown = items.iter().take(MOST_ITEMS).map(|item| format!("• {item}"));
    slack::lines(shown, items.len().saturating_sub(MOST_ITEMS), MOST_SECTION)
}

fn named(text: &str) -> String {
    match line(text.trim()) {
        text if text.is_empty() => NA.into(),
        text => format!("“{}”", cut(&text, MOST_NAME)),
    }
}

fn sentence(text: &str) -> String {
    cut(&line(text.trim()), MOST_SENTENCE).into_owned()
}
