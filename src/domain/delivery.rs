//! Telling people. The ledger is the outbox: what is to be told follows from its entries, an intent is recorded before
//! anything is sent, and the outcome after.
//!
//! - here: a notice, what is recorded of sending it, and what a receiver answered
//! - [`recipients`]: some of those that a channel leads to
//! - [`outbox`] folds entries into the notices that wait, and says what is to be done now

use serde::{Deserialize, Serialize};

use super::{
    digest::Digest,
    ids::{EventRef, Id, IncidentId},
    time::Timestamp,
    words::{ChannelKind, DeliveryEvent, NoticeKind, Severity, Trigger},
};

mod bucket;
pub mod outbox;
mod recipients;

pub use recipients::Recipients;

/// Something that one channel is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The event it tells of, in the ledger.
    pub source: EventRef,
    pub says: NoticeKind,
    pub channel: Id,
    pub kind: ChannelKind,
    /// The recipient, as the channel names it.
    pub to: String,
    /// What belongs together, and is told in its order: the receiver's own key, where it has one. At most 255 characters.
    pub lane: String,
    /// When what it tells of happened.
    pub at: Timestamp,
    pub content: Content,
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Alert(AlertContent),
    /// A step that was taken to put an incident right.
    Change {
        incident_id: IncidentId,
        title: String,
        actor: Id,
    },
    Digest(Box<Digest>),
    Undelivered(Undelivered),
}

/// An alert, as it was when the notice came up.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertContent {
    pub incident_id: IncidentId,
    pub trigger: Trigger,
    pub severity: Severity,
    pub dedup_key: String,
    /// What people are told; several lines.
    pub message: String,
    /// Why; one line.
    pub reason: String,
    /// Who acknowledged or resolved it.
    pub actor: Id,
    /// Of one that nobody acknowledged in time: how long that is.
    pub unacknowledged_minutes: Option<u32>,
}

/// A channel could not be told of an alert, or not all of its recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct Undelivered {
    pub alert: AlertContent,
    pub channel: Id,
    pub kind: ChannelKind,
    /// Those that were not told, where others were.
    pub recipients: Option<Recipients>,
    pub reason: String,
}

/// What is known of an incident when people are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    pub title: String,
    pub workspace_id: Option<String>,
    /// Address of the workspace.
    pub workspace_url: Option<String>,
    /// The most important of what is affected, as `kind name (id)`.
    pub resource: Option<String>,
}

/// Several alerts that one channel is told of in one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub channel: Id,
    pub kind: ChannelKind,
    /// The recipient, as the channel names it.
    pub to: String,
    pub because: SummaryReason,
    pub notices: Vec<(Notice, About)>,
}

/// Why alerts are told in one message instead of one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryReason {
    /// They fired while nobody was told.
    Stale,
    /// Many fired at once.
    Many,
}

/// What is recorded of telling people, several steps at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDeliveries {
    pub actor: Id,
    /// The process that sends.
    pub deliverer: Id,
    pub at: Timestamp,
    /// The ledger's last row that was known when this was decided. `None`: it tells what came of what was sent, whatever else
    /// happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<u64>,
    /// Up to this row nothing waits to be told any more.
    pub settled_to: u64,
    pub steps: Vec<DeliveryStep>,
}

/// What became of one notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryStep {
    pub source: EventRef,
    pub says: NoticeKind,
    pub channel: Id,
    pub kind: ChannelKind,
    pub lane: String,
    /// The incident it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    pub event: DeliveryEvent,
    /// Attempts so far, this one included; 0 when none was made.
    pub attempt: u32,
    /// Claimed: when others may take it over. Partly, retry, unknown: when the receiver is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Partly: those that are asked again. Nobody else is from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Recipients>,
    /// Why it was not delivered, or not to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the receiver calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Until when the receiver takes nothing at all over this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_until: Option<Timestamp>,
    /// Steps of one request with the same number here are one message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<u32>,
}

/// The lane of an alert that is told once nobody has acknowledged it for so long: its key, and when.
fn later_lane(dedup_key: &str, minutes: u32) -> String {
    format!("{dedup_key}/after-{minutes}m")
}

/// The alert's key, of any lane of it.
pub fn alert_key(lane: &str) -> &str {
    lane.split_once("/after-").map_or(lane, |(key, _)| key)
}

impl Notice {
    /// What it is called: the same on every attempt, and no other notice is called so.
    pub fn name(&self) -> String {
        let Self { source, says, channel, .. } = self;
        match &self.content {
            Content::Alert(AlertContent { unacknowledged_minutes: Some(minutes), .. }) => {
                format!("{source}/{says}-{minutes}m/{channel}")
            }
            _ => format!("{source}/{says}/{channel}"),
        }
    }

    /// What is told first when not everything can be told at once.
    fn urgency(&self) -> Option<Severity> {
        match &self.content {
            Content::Alert(alert) => Some(alert.severity),
            Content::Undelivered(undelivered) => Some(undelivered.alert.severity),
            Content::Change { .. } | Content::Digest(_) => None,
        }
    }

    /// The incident it is about.
    pub fn incident_id(&self) -> Option<IncidentId> {
        match &self.content {
            Content::Alert(alert) => Some(alert.incident_id),
            Content::Undelivered(undelivered) => Some(undelivered.alert.incident_id),
            Content::Change { incident_id, .. } => Some(*incident_id),
            Content::Digest(_) => None,
        }
    }

    /// What is recorded of it.
    pub fn step(&self, event: DeliveryEvent, attempt: u32) -> DeliveryStep {
        DeliveryStep {
            source: self.source,
            says: self.says,
            channel: self.channel.clone(),
            kind: self.kind,
            lane: self.lane.clone(),
            incident_id: self.incident_id(),
            event,
            attempt,
            until: None,
            waits_for: None,
            reason: None,
            receipt: None,
            channel_until: None,
            bundle: None,
        }
    }
}

impl RecordDeliveries {
    /// Whether what it decides would be another thing now: somebody else decided about the same channel, so that rate and order
    /// may be other than thought, or it is known what came of the notice.
    pub fn overtaken_by_deliveries(&self, other: &Self) -> bool {
        let decided = other.based_on.is_some();
        let meets = |own: &DeliveryStep, step: &DeliveryStep| {
            own.channel == step.channel && (decided || own.source == step.source && own.says == step.says)
        };
        self.based_on.is_some() && self.steps.iter().any(|own| other.steps.iter().any(|step| meets(own, step)))
    }

    /// Whether it decides about a notice of this incident: when something was recorded about it since, it may be over.
    pub fn decides_about(&self, incident_id: IncidentId) -> bool {
        self.based_on.is_some() && self.steps.iter().any(|step| step.incident_id == Some(incident_id))
    }
}

/// What a deliverer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Delivered {
    /// Notices that were accepted.
    pub delivered: u64,
    /// Messages that were accepted, by some of their recipients at least; one may tell of several notices.
    pub messages: u64,
    /// Attempts after which the receiver is asked again, for some of its recipients at least.
    pub retried: u64,
    /// Of these, attempts of which nobody knows whether they were received.
    pub unknown: u64,
    /// Notices that were given up.
    pub dead: u64,
    /// Notices that nobody needs to be told of any more.
    pub skipped: u64,
    /// Notices that wait when it ends, those included whose time has not come.
    pub waiting: u64,
    /// Of these, notices that were tried and not accepted yet, or not for all recipients, while nobody is sending them.
    pub unsettled: u64,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted. What the receiver calls it, where it says so; whom it refused all the same, and why.
    Accepted { receipt: Option<String>, refused: Option<String> },
    /// Accepted for some recipients. Those in `waits_for` have not got it, but are worth another attempt.
    Partly { receipt: Option<String>, waits_for: Recipients, reason: String },
    /// Not accepted, and it never will be.
    Refused { reason: String },
    /// Not accepted, but worth another attempt, at the earliest after so many seconds where the receiver says so.
    NotNow { reason: String, after_s: Option<u64> },
    /// Sent, without an answer.
    Unknown { reason: String },
}
