//! What a notice says. Every text is one line, safe for a terminal, and of bounded length; nothing is escaped for a format.

use url::Url;

use crate::{
    domain::{
        delivery::{About, AlertContent, Content, Notice, Summary, SummaryReason, Undelivered},
        digest::Digest,
        ids::{AlertRef, Id, IncidentId},
        time::Timestamp,
        words::{NoticeKind, Severity},
    },
    render::{
        digest::words,
        listing,
        plain::{NA, duration, fitting, line, within},
        recurring::many,
    },
};

/// Characters of a name.
const MOST_NAME: usize = 160;
/// Characters of a sentence.
const MOST_SENTENCE: usize = 600;
/// Characters of one line of what happened.
const MOST_LINE: usize = 3_000;
/// Lines of what happened.
const MOST_LINES: usize = 30;
/// Characters of an address.
const MOST_ADDRESS: usize = 500;

/// What a notice says.
pub struct Said {
    pub tone: Tone,
    /// Severity and trigger first, then what it is about.
    pub headline: String,
    /// What the headline says without a word from outside.
    pub bare: String,
    /// What is to be known before anything else.
    pub opening: Option<String>,
    /// What happened.
    pub body: Lines,
    pub facts: Vec<(&'static str, String)>,
    /// What to do next, and the command for it.
    pub next: Vec<(&'static str, String)>,
    /// The workspace.
    pub link: Option<Url>,
}

impl Said {
    pub fn commands(&self) -> Vec<&str> {
        self.next.iter().map(|(_, command)| command.as_str()).collect()
    }
}

/// How it is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Alarm(Severity),
    /// Somebody takes care of it.
    Taken,
    Over,
    /// Nobody has to do anything.
    Note,
}

/// Lines, and how many more there are.
#[derive(Default)]
pub struct Lines {
    lines: Vec<String>,
    hidden: usize,
}

impl Lines {
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

    /// As many as fit, of so many characters each and in all, and how many more there are.
    pub fn short(&self, most_each: usize, most: usize) -> Vec<String> {
        let lines = self.iter().map(|line| within(line, most_each, |_| 1).into_owned());
        fitting(lines, self.hidden, most, |line| line.chars().count() + 1)
    }
}

/// Text from outside: one line, safe, of bounded length, never empty.
pub fn outside(text: &str, most: usize) -> String {
    let text = text.trim();
    // Escaping only makes it longer: what is behind so many characters is cut anyway.
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

/// The address of a workspace, if it is nothing but that: `https`, a host, nobody's name or password.
pub fn address(about: &About) -> Option<Url> {
    let text = about.workspace_url.as_deref()?.trim();
    if text.len() > MOST_ADDRESS || line(text) != text {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    (is_plain && has_host && url.as_str().len() <= MOST_ADDRESS).then_some(url)
}

/// What happened, as an alert tells it.
pub fn happened(alert: &AlertContent) -> Lines {
    Lines::of(alert.message.lines())
}

/// The alert that a notice is about.
pub fn alert_of(notice: &Notice) -> Option<&AlertContent> {
    match &notice.content {
        Content::Alert(alert) | Content::Undelivered(Undelivered { alert, .. }) => Some(alert),
        Content::Change { .. } | Content::Digest(_) => None,
    }
}

pub fn of(notice: &Notice, about: &About) -> Said {
    match &notice.content {
        Content::Alert(alert) => of_alert(notice, alert, about),
        Content::Undelivered(undelivered) => of_undelivered(notice.at, undelivered, about),
        Content::Change { incident_id, title, actor } => of_change(notice.at, *incident_id, title, actor, about),
        Content::Digest(digest) => of_digest(digest),
    }
}

fn of_alert(notice: &Notice, alert: &AlertContent, about: &About) -> Said {
    let actor = name(alert.actor.as_str());
    match notice.says {
        NoticeKind::Acknowledge => Said {
            tone: Tone::Taken,
            opening: Some(format!("It is taken: {actor} takes care of it.")),
            body: Lines::default(),
            next: vec![look(alert.incident_id), ("When it is over", over(alert))],
            ..alarm(alert, " acknowledged", ("Acknowledged", notice.at), about)
        },
        NoticeKind::Resolve => Said {
            tone: Tone::Over,
            opening: Some(format!("It is over: {actor} resolved it.")),
            body: Lines::default(),
            next: vec![look(alert.incident_id)],
            ..alarm(alert, " resolved", ("Resolved", notice.at), about)
        },
        NoticeKind::Again => {
            let waited = alert.unacknowledged_minutes.map(|minutes| many(minutes.into(), "minute"));
            let opening = match waited {
                Some(waited) => format!("Nobody acknowledged it for {waited}."),
                None => "Nobody acknowledged it in time.".into(),
            };
            Said { opening: Some(opening), ..alarm(alert, " NOT ACKNOWLEDGED", ("Since", notice.at), about) }
        }
        NoticeKind::Trigger | NoticeKind::Change | NoticeKind::Digest | NoticeKind::Undelivered => {
            alarm(alert, "", ("Since", notice.at), about)
        }
    }
}

fn of_undelivered(at: Timestamp, undelivered: &Undelivered, about: &About) -> Said {
    let Undelivered { alert, channel, kind, recipients, reason } = undelivered;
    let channel = name(channel.as_str());
    let (who, state) = match recipients {
        None => (format!("Channel {channel} ({kind})"), " NOT DELIVERED"),
        Some(_) => (format!("Not all of channel {channel} ({kind})"), " NOT DELIVERED TO ALL"),
    };
    Said {
        opening: Some(format!("{who} could not be told of it: {}", sentence(reason))),
        ..alarm(alert, state, ("Given up", at), about)
    }
}

/// An alert that somebody is to deal with. `state` follows severity and trigger.
fn alarm(alert: &AlertContent, state: &str, when: (&'static str, Timestamp), about: &About) -> Said {
    let AlertContent { incident_id, trigger, severity, .. } = alert;
    let bare = format!("{severity} {trigger}{state}: {incident_id}");
    let mut facts =
        vec![("Incident", format!("{incident_id}: {}", name(&about.title))), ("Why", sentence(&alert.reason))];
    facts.extend(place(about));
    facts.push((when.0, moment(when.1)));
    Said {
        tone: Tone::Alarm(*severity),
        headline: titled(&bare, about),
        bare,
        opening: None,
        body: happened(alert),
        facts,
        next: vec![look(*incident_id), ("Take care of it", acknowledge(alert))],
        link: address(about),
    }
}

fn of_change(at: Timestamp, incident_id: IncidentId, step: &str, actor: &Id, about: &About) -> Said {
    let mut facts = vec![("Incident", format!("{incident_id}: {}", name(&about.title))), ("By", name(actor.as_str()))];
    facts.extend(place(about));
    facts.push(("At", moment(at)));
    let bare = format!("Change to put {incident_id} right");
    Said {
        tone: Tone::Note,
        headline: format!("{bare}: {}", name(step)),
        bare,
        opening: None,
        body: Lines::default(),
        facts,
        next: vec![look(incident_id)],
        link: address(about),
    }
}

fn of_digest(digest: &Digest) -> Said {
    let needed = words::decisions(digest);
    let needed: Vec<String> =
        needed.iter().map(|needed| format!("Needs a decision: {}", sentence(&needed.text))).collect();
    let body = Lines::of(digest.changed.iter().map(String::as_str).chain(needed.iter().map(String::as_str)));
    let whole = words::whole(&digest.week).filter(|command| line(command) == *command && command.len() <= MOST_NAME);
    let in_short = words::in_short(digest);
    Said {
        tone: Tone::Note,
        headline: format!("Incident digest {}: {in_short}", outside(&digest.week.week, 40)),
        bare: format!("Incident digest: {in_short}"),
        opening: None,
        body,
        facts: vec![
            ("Week", sentence(&words::span(&digest.week))),
            ("Audit log", sentence(&words::proof(&digest.audit))),
        ],
        next: whole.map(|command| ("Everything", command)).into_iter().collect(),
        link: None,
    }
}

/// Several alerts in one message, the most severe and then the oldest first.
pub fn summary(summary: &Summary) -> Said {
    let notices = sorted(summary);
    let alerts: Vec<&AlertContent> = notices.iter().filter_map(|(notice, _)| alert_of(notice)).collect();
    let counts: Vec<String> =
        counts(&alerts).into_iter().map(|(severity, count)| format!("{count} {severity}")).collect();
    let (what, opening) = match summary.because {
        SummaryReason::Stale => {
            ("fired while nobody was told", "They fired while nobody was told, and are told in one message.")
        }
        SummaryReason::Many => ("at once", "So many fired at once that they are told in one message."),
    };
    let alarms = many(alerts.len() as u64, "alert");
    let headline = match counts.as_slice() {
        [] => format!("{} {what}", many(notices.len() as u64, "notice")),
        counts => format!("{}: {alarms} {what}", counts.join(", ")),
    };
    let lines = notices.iter().take(MOST_LINES).map(|(notice, about)| told(notice, about)).collect();
    let mut next = vec![("See all", "ops-runbook escalations list".to_owned())];
    if let Some(worst) = alerts.first() {
        next.push(("Look at the most severe", look(worst.incident_id).1));
    }
    Said {
        tone: alerts.first().map_or(Tone::Note, |worst| Tone::Alarm(worst.severity)),
        bare: headline.clone(),
        headline,
        opening: Some(opening.into()),
        body: Lines { lines, hidden: notices.len().saturating_sub(MOST_LINES) },
        facts: span(&notices).map(|(first, last)| ("Fired", spanned(first, last))).into_iter().collect(),
        next,
        link: None,
    }
}

/// One line of a summary.
fn told(notice: &Notice, about: &About) -> String {
    format!("{} ({})", of(notice, about).headline, moment(notice.at))
}

/// The most severe first, then the oldest.
pub fn sorted(summary: &Summary) -> Vec<&(Notice, About)> {
    let mut notices: Vec<&(Notice, About)> = summary.notices.iter().collect();
    notices.sort_by_key(|(notice, _)| {
        (std::cmp::Reverse(alert_of(notice).map(|alert| alert.severity)), notice.at, notice.source)
    });
    notices
}

/// How many of each severity there are, the most severe first; those of which there are none are left out.
pub fn counts(alerts: &[&AlertContent]) -> Vec<(Severity, usize)> {
    let count = |severity: Severity| alerts.iter().filter(|alert| alert.severity == severity).count();
    Severity::ALL.iter().rev().map(|severity| (*severity, count(*severity))).filter(|(_, count)| *count > 0).collect()
}

/// The first and the last.
pub fn span(notices: &[&(Notice, About)]) -> Option<(Timestamp, Timestamp)> {
    let moments = || notices.iter().map(|(notice, _)| notice.at);
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

fn titled(bare: &str, about: &About) -> String {
    match about.title.trim() {
        "" => bare.to_owned(),
        title => format!("{bare} {}", name(title)),
    }
}

fn place(about: &About) -> [(&'static str, String); 2] {
    let known = |text: &Option<String>| text.as_deref().map_or_else(|| NA.into(), name);
    [("Resource", known(&about.resource)), ("Workspace", known(&about.workspace_id))]
}

// What follows `ops-runbook` are words of ours: no shell can read anything into them.

fn look(incident_id: IncidentId) -> (&'static str, String) {
    ("Look at it", format!("ops-runbook incident show {incident_id}"))
}

fn acknowledge(alert: &AlertContent) -> String {
    format!("ops-runbook escalations ack {}", reference(alert))
}

fn over(alert: &AlertContent) -> String {
    format!("ops-runbook escalations resolve {}", reference(alert))
}

fn reference(alert: &AlertContent) -> AlertRef {
    AlertRef { incident_id: alert.incident_id, trigger: alert.trigger }
}
