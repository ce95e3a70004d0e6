//! Renders notifications into the payload of their channel.

use crate::{
    channels::{Email, Payload},
    domain::notification::{
        AlertSummary, IncidentContext, Notification,
        channel::ChannelKind,
        event::NotificationKind,
        outbox::{DueNotification, OutboundMessage},
    },
    render::notification::{cloudevents, mail, pagerduty, slack, teams},
};

/// A rendered message, ready to be sent.
pub struct ChannelMessage {
    /// The same on every attempt.
    pub id: String,
    /// The receipt of the first message of the stream.
    pub thread: Option<String>,
    pub payload: Payload,
}

/// Renders a message. `None` if the channel does not support this kind of notification.
pub fn message(
    sending: &OutboundMessage,
    about: impl Fn(&DueNotification) -> IncidentContext,
) -> Option<ChannelMessage> {
    match sending {
        OutboundMessage::Single(due) => Some(ChannelMessage {
            id: due.notification.id(),
            thread: due.receipt.clone(),
            payload: single_payload(&due.notification, &about(due))?,
        }),
        OutboundMessage::Summary(because, dues) => {
            let first = &dues.first()?.notification;
            let summary = AlertSummary {
                channel: first.channel.clone(),
                kind: first.kind,
                to: first.to.clone(),
                because: *because,
                notifications: dues.iter().map(|due| (due.notification.clone(), about(due))).collect(),
            };
            // A later attempt may contain other notifications. Then it is another message.
            let id = format!("summary/{}/{}/{}", first.channel, first.source, dues.len());
            Some(ChannelMessage { payload: summary_payload(&id, &summary), id, thread: None })
        }
    }
}

fn single_payload(notice: &Notification, about: &IncidentContext) -> Option<Payload> {
    Some(match (notice.kind, notice.notification_kind) {
        (ChannelKind::Pagerduty, NotificationKind::Change) => Payload::Change(pagerduty::change(notice, about)?),
        (ChannelKind::Pagerduty, _) => Payload::Json(pagerduty::event(notice, about)?),
        (ChannelKind::Slack, _) => Payload::Json(slack::message(notice, about)),
        (ChannelKind::Teams, _) => Payload::Json(teams::message(notice, about)),
        (ChannelKind::Webhook, _) => Payload::Json(cloudevents::event(notice, about)),
        (ChannelKind::Email, _) => email_payload(mail::mail(notice, about), notice, &notice.stream),
    })
}

fn summary_payload(stream: &str, summary: &AlertSummary) -> Payload {
    match (summary.kind, summary.notifications.first()) {
        (ChannelKind::Email, Some((first, _))) => email_payload(mail::summary(stream, summary), first, stream),
        (ChannelKind::Pagerduty, _) => Payload::Json(pagerduty::summary(stream, summary)),
        (ChannelKind::Slack, _) => Payload::Json(slack::summary(summary)),
        (ChannelKind::Teams, _) => Payload::Json(teams::summary(summary)),
        (ChannelKind::Webhook | ChannelKind::Email, _) => Payload::Json(cloudevents::summary(stream, summary)),
    }
}

fn email_payload(mail: mail::Mail, notice: &Notification, stream: &str) -> Payload {
    let list = if notice.notification_kind == NotificationKind::Digest { "digest" } else { "alerts" };
    Payload::Email(Box::new(Email {
        id: mail.message_id,
        references: mail.thread.into_iter().collect(),
        at: notice.at,
        subject: mail.subject,
        text: mail.text,
        html: mail.html,
        stream: stream.to_owned(),
        list: Some(format!("{list}.ops-runbook")),
    }))
}
