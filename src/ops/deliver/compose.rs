//! From notices to what their channel is sent.

use crate::{
    delivery::{Letter, Payload},
    domain::{
        delivery::{
            About, Notice, Summary,
            outbox::{Due, Sending},
        },
        words::{ChannelKind, NoticeKind},
    },
    render::notice::{cloudevents, mail, pagerduty, slack, teams},
};

/// What is sent, and what it takes to send it.
pub struct Message {
    /// The same on every attempt.
    pub id: String,
    /// What the receiver calls the first message of the lane.
    pub thread: Option<String>,
    pub payload: Payload,
}

/// `None`: the channel is told nothing of this kind.
pub fn message(sending: &Sending, about: impl Fn(&Due) -> About) -> Option<Message> {
    match sending {
        Sending::One(due) => Some(Message {
            id: due.notice.name(),
            thread: due.receipt.clone(),
            payload: one(&due.notice, &about(due))?,
        }),
        Sending::Several(because, dues) => {
            let first = &dues.first()?.notice;
            let summary = Summary {
                channel: first.channel.clone(),
                kind: first.kind,
                to: first.to.clone(),
                because: *because,
                notices: dues.iter().map(|due| (due.notice.clone(), about(due))).collect(),
            };
            // Another attempt may tell of others: then it is another message.
            let lane = format!("summary/{}/{}/{}", first.channel, first.source, dues.len());
            Some(Message { payload: several(&lane, &summary), id: lane, thread: None })
        }
    }
}

fn one(notice: &Notice, about: &About) -> Option<Payload> {
    Some(match (notice.kind, notice.says) {
        (ChannelKind::Pagerduty, NoticeKind::Change) => Payload::Change(pagerduty::change(notice, about)?),
        (ChannelKind::Pagerduty, _) => Payload::Json(pagerduty::event(notice, about)?),
        (ChannelKind::Slack, _) => Payload::Json(slack::message(notice, about)),
        (ChannelKind::Teams, _) => Payload::Json(teams::message(notice, about)),
        (ChannelKind::Webhook, _) => Payload::Json(cloudevents::event(notice, about)),
        (ChannelKind::Email, _) => letter(mail::mail(notice, about), notice, &notice.lane),
    })
}

fn several(lane: &str, summary: &Summary) -> Payload {
    match (summary.kind, summary.notices.first()) {
        (ChannelKind::Email, Some((first, _))) => letter(mail::summary(lane, summary), first, lane),
        (ChannelKind::Pagerduty, _) => Payload::Json(pagerduty::summary(lane, summary)),
        (ChannelKind::Slack, _) => Payload::Json(slack::summary(summary)),
        (ChannelKind::Teams, _) => Payload::Json(teams::summary(summary)),
        (ChannelKind::Webhook | ChannelKind::Email, _) => Payload::Json(cloudevents::summary(lane, summary)),
    }
}

fn letter(mail: mail::Mail, notice: &Notice, lane: &str) -> Payload {
    let list = if notice.says == NoticeKind::Digest { "digest" } else { "alerts" };
    Payload::Letter(Box::new(Letter {
        id: mail.message_id,
        follows: mail.thread.into_iter().collect(),
        at: notice.at,
        subject: mail.subject,
        text: mail.text,
        html: mail.html,
        lane: lane.to_owned(),
        list: Some(format!("{list}.ops-runbook")),
    }))
}
