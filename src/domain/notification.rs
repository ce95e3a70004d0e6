//! Notifications to people and pagers.
//!
//! The ledger is the outbox: due notifications follow from its entries. A sender records a claim before it sends a
//! notification, and the outcome afterwards.
//!
//! - this file: a notification, the steps of its delivery that are recorded, and the outcome of one attempt
//! - [`recipients`]: a subset of a channel's recipients
//! - [`outbox`]: folds ledger entries into pending notifications and plans the next messages

use serde::{Deserialize, Serialize};

use super::{
    check::Severity,
    digest::Digest,
    escalation::trigger::Trigger,
    ids::{EventRef, Id, IncidentId},
    notification::{
        channel::ChannelKind,
        event::{DeliveryEvent, NotificationKind},
    },
    time::Timestamp,
};

pub mod channel;
pub mod event;
pub mod outbox;
mod recipients;
mod token_bucket;

pub use recipients::Recipients;

/// A notification of one event to one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The ledger event that caused it.
    pub source: EventRef,
    pub notification_kind: NotificationKind,
    pub channel: Id,
    pub kind: ChannelKind,
    /// Recipient, in the channel's own notation.
    pub to: String,
    /// Notifications of one stream are sent in order. Where the receiver has a key for related messages, this is that key.
    /// At most 255 characters.
    pub stream: String,
    /// When the event happened.
    pub at: Timestamp,
    pub content: NotificationContent,
}

/// Content of a notification, by what it is about.
#[derive(Debug, Clone, PartialEq)]
pub enum NotificationContent {
    Alert(AlertContent),
    /// A remediation step that was applied.
    Change {
        incident_id: IncidentId,
        title: String,
        actor: Id,
    },
    Digest(Box<Digest>),
    Undelivered(Undelivered),
}

/// State of an alert when the notification was created.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertContent {
    pub incident_id: IncidentId,
    pub trigger: Trigger,
    pub severity: Severity,
    pub dedup_key: String,
    /// Text for people; several lines.
    pub message: String,
    /// Reason of the event; one line.
    pub reason: String,
    /// Actor that acknowledged or resolved the alert.
    pub actor: Id,
    /// Acknowledgement deadline that passed, for a follow-up notification.
    pub unacknowledged_minutes: Option<u32>,
}

/// An alert notification that failed for a channel, or for some of its recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct Undelivered {
    pub alert: AlertContent,
    pub channel: Id,
    pub kind: ChannelKind,
    /// Recipients that did not get it. `None`: all of the channel.
    pub recipients: Option<Recipients>,
    pub reason: String,
}

/// Facts about an incident that are added to its notifications.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IncidentContext {
    pub title: String,
    pub workspace_id: Option<String>,
    pub workspace_url: Option<String>,
    /// The most important affected resource, as `kind name (id)`.
    pub resource: Option<String>,
}

/// Several alerts of one channel in one message.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertSummary {
    pub channel: Id,
    pub kind: ChannelKind,
    /// Recipient, in the channel's own notation.
    pub to: String,
    pub because: SummaryReason,
    pub notifications: Vec<(Notification, IncidentContext)>,
}

/// Why several alerts share one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryReason {
    /// They fired while no sender was running.
    Stale,
    /// Many fired at once.
    Many,
}

/// Request that records delivery steps of notifications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDeliveries {
    pub actor: Id,
    /// Sender process.
    pub deliverer: Id,
    pub at: Timestamp,
    /// Last ledger row on which these steps are based. `None`: they report outcomes, which never become stale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<u64>,
    /// All notifications from rows up to this one are final.
    pub settled_to: u64,
    pub steps: Vec<DeliveryStep>,
}

/// One step in the delivery of one notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryStep {
    pub source: EventRef,
    #[serde(rename = "says")]
    pub notification_kind: NotificationKind,
    pub channel: Id,
    pub kind: ChannelKind,
    #[serde(rename = "lane")]
    pub stream: String,
    /// Incident of the notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    pub event: DeliveryEvent,
    /// Number of attempts, including this one; 0 before the first.
    pub attempt: u32,
    /// For `claimed`: when the claim expires. For `partly`, `retry` and `unknown`: time of the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For `partly`: the recipients that are retried. All later attempts go to them only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<Recipients>,
    /// Why it was not delivered, or not to all recipients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Message id that the receiver returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// Time before which the receiver accepts nothing on this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_until: Option<Timestamp>,
    /// Number of the summary message. Steps of one request with the same number share a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<u32>,
}

/// Returns the stream for follow-up notifications of an alert that stays unacknowledged.
fn follow_up_stream(dedup_key: &str, minutes: u32) -> String {
    format!("{dedup_key}/after-{minutes}m")
}

/// Returns the deduplication key of the alert to which a stream belongs.
pub fn alert_key(stream: &str) -> &str {
    stream.split_once("/after-").map_or(stream, |(key, _)| key)
}

impl Notification {
    /// Returns the id of the notification. It is unique and the same for every attempt.
    pub fn id(&self) -> String {
        let Self { source, notification_kind, channel, .. } = self;
        match &self.content {
            NotificationContent::Alert(AlertContent { unacknowledged_minutes: Some(minutes), .. }) => {
                format!("{source}/{notification_kind}-{minutes}m/{channel}")
            }
            _ => format!("{source}/{notification_kind}/{channel}"),
        }
    }

    /// Returns the severity by which messages are ordered. `None` comes last.
    fn urgency(&self) -> Option<Severity> {
        match &self.content {
            NotificationContent::Alert(alert) => Some(alert.severity),
            NotificationContent::Undelivered(undelivered) => Some(undelivered.alert.severity),
            NotificationContent::Change { .. } | NotificationContent::Digest(_) => None,
        }
    }

    /// Returns the incident of the notification, if any.
    pub fn incident_id(&self) -> Option<IncidentId> {
        match &self.content {
            NotificationContent::Alert(alert) => Some(alert.incident_id),
            NotificationContent::Undelivered(undelivered) => Some(undelivered.alert.incident_id),
            NotificationContent::Change { incident_id, .. } => Some(*incident_id),
            NotificationContent::Digest(_) => None,
        }
    }

    /// Creates a delivery step for the notification.
    pub fn step(&self, event: DeliveryEvent, attempt: u32) -> DeliveryStep {
        DeliveryStep {
            source: self.source,
            notification_kind: self.notification_kind,
            channel: self.channel.clone(),
            kind: self.kind,
            stream: self.stream.clone(),
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
    /// Returns true if `other` makes this request stale.
    ///
    /// A claim is stale after any step on the same channel, because rate and order may have changed. Steps that are not
    /// claims are stale after a step of the same notification.
    pub fn conflicts_with_deliveries(&self, other: &Self) -> bool {
        let decided = other.based_on.is_some();
        let meets = |own: &DeliveryStep, step: &DeliveryStep| {
            own.channel == step.channel
                && (decided || own.source == step.source && own.notification_kind == step.notification_kind)
        };
        self.based_on.is_some() && self.steps.iter().any(|own| other.steps.iter().any(|step| meets(own, step)))
    }

    /// Returns true if the request decides about a notification of this incident. A later entry about the incident then
    /// makes the request stale.
    pub fn decides_about(&self, incident_id: IncidentId) -> bool {
        self.based_on.is_some() && self.steps.iter().any(|step| step.incident_id == Some(incident_id))
    }
}

/// Counts of one run of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DeliveryCounts {
    /// Notifications that were accepted.
    pub delivered: u64,
    /// Messages that at least one recipient accepted. A summary counts as one message.
    pub messages: u64,
    /// Attempts that are retried, for all or some recipients.
    pub retried: u64,
    /// Retried attempts without a response: the receiver may have accepted them.
    pub unknown: u64,
    /// Notifications whose delivery was abandoned.
    pub dead: u64,
    /// Notifications that are not needed any more.
    pub skipped: u64,
    /// Notifications that are pending at the end of the run, including those that are not due yet.
    pub waiting: u64,
    /// Pending notifications with a failed attempt that no sender has claimed.
    pub unsettled: u64,
}

/// Outcome of one attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver accepted it. `receipt` is the message id, `refused` the recipients that were refused and why.
    Accepted { receipt: Option<String>, refused: Option<String> },
    /// The receiver accepted it for some recipients. Those in `waits_for` are retried.
    Partly { receipt: Option<String>, waits_for: Recipients, reason: String },
    /// The receiver refused it permanently.
    Refused { reason: String },
    /// The receiver refused it temporarily. `after_s`: seconds to wait, if the receiver gave them.
    RetryLater { reason: String, after_s: Option<u64> },
    /// It was sent, but no response arrived.
    Unknown { reason: String },
}
