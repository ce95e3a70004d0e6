//! The content of a notification, independent of the format. Every text is one line, safe for a terminal and of bounded
//! length. Nothing is escaped for a format.

use url::Url;

use crate::{
    domain::{
        check::Severity,
        digest::Digest,
        ids::{AlertRef, Id, IncidentId},
        notification::{
            AlertContent, AlertSummary, IncidentContext, Notification, NotificationContent, SummaryReason, Undelivered,
            event::NotificationKind,
        },
        time::Timestamp,
    },
    render::{
        digest::labels,
        listing,
        plain::{NA, duration, fitting, line, within},
        recurring::many,
    },
};

/// Characters of a name.
const MOST_NAME: usize = 160;
/// Characters of a sentence.
const MOST_SENTENCE: usize = 600;
/// Characters of one line of the body.
const MOST_LINE: usize = 3_000;
/// Lines of the body.
const MOST_LINES: usize = 30;
/// Characters of an address.
const MOST_ADDRESS: usize = 500;

/// The content of a notification.
pub struct NotificationOutline {
    pub tone: Tone,
    /// Severity and trigger, then incident and title.
    pub headline: String,
    /// The headline without text from outside.
    pub bare_headline: String,
    /// The sentence before the body.
    pub opening: Option<String>,
    /// The message of the alert, or the changes of the week.
    pub body: BodyLines,
    pub facts: Vec<(&'static str, String)>,
    /// Next actions, each with its command.
    pub next: Vec<(&'static str, String)>,
    /// The address of the workspace.
    pub link: Option<Url>,
}

impl NotificationOutline {
    pub fn commands(&self) -> Vec<&str> {
        self.next.iter().map(|(_, command)| command.as_str()).collect()
    }
}

/// The urgency of a notification. It decides colour and badge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Alert(Severity),
    Acknowledged,
    Resolved,
    /// No action is needed.
    Info,
}

/// Lines, and the number of lines that are not shown.
#[derive(Default)]
pub struct BodyLines {
    lines: Vec<String>,
    hidden: usize,
}

impl BodyLines {
    /// Blank lines are left out.
    fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut lines = lines.into_iter().filter(|line| !line.trim().is_empty());
        let shown = lines.by_ref().take(MOST_LINES).map(|line| outside(line, MOST_LINE)).collect();
        Self { lines: shown, hidden: lines.count() }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn hidden(&self) -> usize {
        self.hidden
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The lines that fit, with at most `most_each` characters each and `most` in total, then the number of the rest.
    pub fn short(&self, most_each: usize, most: usize) -> Vec<String> {
        let lines = self.iter().map(|line| within(line, most_each, |_| 1).into_owned());
        fitting(lines, self.hidden, most, |line| line.chars().count() + 1)
    }
}

/// Text from outside: one line, safe, of bounded length, never empty.
pub fn outside(text: &str, most: usize) -> String {
    let text = text.trim();
    // escaping only lengthens the text, so characters after the limit are cut in any case
    let end = text.char_indices().nth(most + 1).map_or(text.len(), |(end, _)| end);
    match within(&line(&text[..end]), most, |_| 1) {
        text if text.is_empty() => NA.into(),
        text => text.into_owned(),
    }
}

pub fn name(text: &str) -> String {
    outside(text, MOST_NAME)
}

pub fn sentence(text: &str) -> String {
    outside(text, MOST_SENTENCE)
}

/// The address of the workspace, if it is `https` with a host and without user name and password.
pub fn address(about: &IncidentContext) -> Option<Url> {
    let text = about.workspace_url.as_deref()?.trim();
    if text.len() > MOST_ADDRESS || line(text) != text {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (is_plain && has_host && url.as_str().len() <= MOST_ADDRESS).then_some(url)
}

/// The lines of an alert's message.
pub fn message_lines(alert: &AlertContent) -> BodyLines {
    BodyLines::of(alert.message.lines())
}

/// The alert that a notification is about.
pub fn alert_of(notification: &Notification) -> Option<&AlertContent> {
    match &notification.content {
        NotificationContent::Alert(alert) | NotificationContent::Undelivered(Undelivered { alert, .. }) => Some(alert),
        NotificationContent::Change { .. } | NotificationContent::Digest(_) => None,
    }
}

pub fn of(notification: &Notification, about: &IncidentContext) -> NotificationOutline {
    match &notification.content {
        NotificationContent::Alert(alert) => of_alert(notification, alert, about),
        NotificationContent::Undelivered(undelivered) => of_undelivered(notification.at, undelivered, about),
        NotificationContent::Change { incident_id, title, actor } => {
            of_change(notification.at, *incident_id, title, actor, about)
        }
        NotificationContent::Digest(digest) => of_digest(digest),
    }
}

fn of_alert(notification: &Notification, alert: &AlertContent, about: &IncidentContext) -> NotificationOutline {
    let actor = name(alert.actor.as_str());
    match notification.notification_kind {
        NotificationKind::Acknowledge => NotificationOutline {
            tone: Tone::Acknowledged,
            opening: Some(format!("{actor} acknowledged it.")),
            body: BodyLines::default(),
            next: vec![show_command(alert.incident_id), ("Resolve it", resolve_command(alert))],
            ..alert_outline(alert, " acknowledged", ("Acknowledged", notification.at), about)
        },
        NotificationKind::Resolve => NotificationOutline {
            tone: Tone::Resolved,
            opening: Some(format!("{actor} resolved it.")),
            body: BodyLines::default(),
            next: vec![show_command(alert.incident_id)],
            ..alert_outline(alert, " resolved", ("Resolved", notification.at), about)
        },
        NotificationKind::Again => {
            let waited = alert.unacknowledged_minutes.map(|minutes| many(minutes.into(), "minute"));
            let opening = match waited {
                Some(waited) => format!("Not acknowledged for {waited}."),
                None => "Not acknowledged in time.".into(),
            };
            NotificationOutline {
                opening: Some(opening),
                ..alert_outline(alert, " NOT ACKNOWLEDGED", ("Since", notification.at), about)
            }
        }
        NotificationKind::Trigger
        | NotificationKind::Change
        | NotificationKind::Digest
        | NotificationKind::Undelivered => alert_outline(alert, "", ("Since", notification.at), about),
    }
}

fn of_undelivered(at: Timestamp, undelivered: &Undelivered, about: &IncidentContext) -> NotificationOutline {
    let Undelivered { alert, channel, kind, recipients, reason } = undelivered;
    let channel = name(channel.as_str());
    let (failure, state) = match recipients {
        None => (format!("Channel {channel} ({kind}) was not notified"), " NOT DELIVERED"),
        Some(_) => (format!("Not all recipients of channel {channel} ({kind}) were notified"), " NOT DELIVERED TO ALL"),
    };
    NotificationOutline {
        opening: Some(format!("{failure}: {}", sentence(reason))),
        ..alert_outline(alert, state, ("Given up", at), about)
    }
}

/// An alert that needs action. `state` follows severity and trigger in the headline.
fn alert_outline(
    alert: &AlertContent,
    state: &str,
    when: (&'static str, Timestamp),
    about: &IncidentContext,
) -> NotificationOutline {
    let AlertContent { incident_id, trigger, severity, .. } = alert;
    let bare_headline = format!("{severity} {trigger}{state}: {incident_id}");
    let mut facts =
        vec![("Incident", format!("{incident_id}: {}", name(&about.title))), ("Reason", sentence(&alert.reason))];
    facts.extend(resource_and_workspace(about));
    facts.push((when.0, moment(when.1)));
    NotificationOutline {
        tone: Tone::Alert(*severity),
        headline: titled(&bare_headline, about),
        bare_headline,
        opening: None,
        body: message_lines(alert),
        facts,
        next: vec![show_command(*incident_id), ("Acknowledge it", acknowledge_command(alert))],
        link: address(about),
    }
}

fn of_change(
    at: Timestamp,
    incident_id: IncidentId,
    step: &str,
    actor: &Id,
    about: &IncidentContext,
) -> NotificationOutline {
    let mut facts = vec![("Incident", format!("{incident_id}: {}", name(&about.title))), ("By", name(actor.as_str()))];
    facts.extend(resource_and_workspace(about));
    facts.push(("At", moment(at)));
    let bare_headline = format!("Change for {incident_id}");
    NotificationOutline {
        tone: Tone::Info,
        headline: format!("{bare_headline}: {}", name(step)),
        bare_headline,
        opening: None,
        body: BodyLines::default(),
        facts,
        next: vec![show_command(incident_id)],
        link: address(about),
    }
}

fn of_digest(digest: &Digest) -> NotificationOutline {
    let needed = labels::decisions(digest);
    let needed: Vec<String> =
        needed.iter().map(|needed| format!("Needs a decision: {}", sentence(&needed.text))).collect();
    let body = BodyLines::of(digest.changed.iter().map(String::as_str).chain(needed.iter().map(String::as_str)));
    let whole = labels::full_digest_command(&digest.week)
        .filter(|command| line(command) == *command && command.len() <= MOST_NAME);
    let short_summary = labels::short_summary(digest);
    NotificationOutline {
        tone: Tone::Info,
        headline: format!("Incident digest {}: {short_summary}", outside(&digest.week.week, 40)),
        bare_headline: format!("Incident digest: {short_summary}"),
        opening: None,
        body,
        facts: vec![
            ("Week", sentence(&labels::span(&digest.week))),
            ("Audit log", sentence(&labels::proof(&digest.audit))),
        ],
        next: whole.map(|command| ("Full digest", command)).into_iter().collect(),
        link: None,
    }
}

/// Several alerts in one message, the most severe and then the oldest first.
pub fn summary(summary: &AlertSummary) -> NotificationOutline {
    let notifications = sorted(summary);
    let alerts: Vec<&AlertContent> =
        notifications.iter().filter_map(|(notification, _)| alert_of(notification)).collect();
    let counts: Vec<String> =
        counts(&alerts).into_iter().map(|(severity, count)| format!("{count} {severity}")).collect();
    let (what, opening) = match summary.because {
        SummaryReason::Stale => {
            ("fired while no notifications were sent", "They fired while no notifications were sent.")
        }
        SummaryReason::Many => ("at once", "They fired within a short time."),
    };
    let alerts_counted = many(alerts.len() as u64, "alert");
    let headline = match counts.as_slice() {
        [] => format!("{} {what}", many(notifications.len() as u64, "notification")),
        counts => format!("{}: {alerts_counted} {what}", counts.join(", ")),
    };
    let lines =
        notifications.iter().take(MOST_LINES).map(|(notification, about)| summary_line(notification, about)).collect();
    let mut next = vec![("List all alerts", "ops-runbook escalation list".to_owned())];
    if let Some(worst) = alerts.first() {
        next.push(("Show the most severe", show_command(worst.incident_id).1));
    }
    NotificationOutline {
        tone: alerts.first().map_or(Tone::Info, |worst| Tone::Alert(worst.severity)),
        bare_headline: headline.clone(),
        headline,
        opening: Some(opening.into()),
        body: BodyLines { lines, hidden: notifications.len().saturating_sub(MOST_LINES) },
        facts: span(&notifications).map(|(first, last)| ("Fired", spanned(first, last))).into_iter().collect(),
        next,
        link: None,
    }
}

/// One line of a summary.
fn summary_line(notification: &Notification, about: &IncidentContext) -> String {
    format!("{} ({})", of(notification, about).headline, moment(notification.at))
}

/// The most severe first, then the oldest.
pub fn sorted(summary: &AlertSummary) -> Vec<&(Notification, IncidentContext)> {
    let mut notifications: Vec<&(Notification, IncidentContext)> = summary.notifications.iter().collect();
    notifications.sort_by_key(|(notification, _)| {
        (std::cmp::Reverse(alert_of(notification).map(|alert| alert.severity)), notification.at, notification.source)
    });
    notifications
}

/// The number of alerts of each severity that occurs, the most severe first.
pub fn counts(alerts: &[&AlertContent]) -> Vec<(Severity, usize)> {
    let count = |severity: Severity| alerts.iter().filter(|alert| alert.severity == severity).count();
    Severity::ALL.iter().rev().map(|severity| (*severity, count(*severity))).filter(|(_, count)| *count > 0).collect()
}

/// The times of the first and the last notification.
pub fn span(notifications: &[&(Notification, IncidentContext)]) -> Option<(Timestamp, Timestamp)> {
    let moments = || notifications.iter().map(|(notification, _)| notification.at);
    moments().min().zip(moments().max())
}

fn spanned(first: Timestamp, last: Timestamp) -> String {
    match last.seconds_since(first) {
        0.0 => moment(first),
        seconds => format!("{} to {} ({})", moment(first), moment(last), duration(Some(seconds))),
    }
}

fn moment(at: Timestamp) -> String {
    format!("{} UTC", listing::minute(at))
}

fn titled(bare_headline: &str, about: &IncidentContext) -> String {
    match about.title.trim() {
        "" => bare_headline.to_owned(),
        title => format!("{bare_headline} {}", name(title)),
    }
}

fn resource_and_workspace(about: &IncidentContext) -> [(&'static str, String); 2] {
    let known = |text: &Option<String>| text.as_deref().map_or_else(|| NA.into(), name);
    [("Resource", known(&about.resource)), ("Workspace", known(&about.workspace_id))]
}

// The arguments below hold no text from outside, so no shell can act on them.

fn show_command(incident_id: IncidentId) -> (&'static str, String) {
    ("Show the incident", format!("ops-runbook incident show {incident_id}"))
}

fn acknowledge_command(alert: &AlertContent) -> String {
    format!("ops-runbook escalation ack {}", reference(alert))
}

fn resolve_command(alert: &AlertContent) -> String {
    format!("ops-runbook escalation resolve {}", reference(alert))
}

fn reference(alert: &AlertContent) -> AlertRef {
    AlertRef { incident_id: alert.incident_id, trigger: alert.trigger }
}
