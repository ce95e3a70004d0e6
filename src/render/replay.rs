//! Past alerts, compared with the alerts under other rules.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    listing,
    plain::{line, na},
};
use crate::domain::{
    escalation::{
        replay::{AlertComparison, FiredAlert, ReplayDifference, ReplayResult},
        trigger::Trigger,
    },
    time::Timestamp,
};

/// Differences listed; the rest is counted.
const MAX_LISTED: usize = 20;

/// Counts by trigger and by channel, and the newest differences.
pub fn text(rules: &str, since: Timestamp, found: &ReplayResult, width: usize) -> String {
    let rows = found.rows;
    let mut text = format!("ALERTS UNDER {}\nsince {since}: {rows} rows about incidents\n\n", line(rules));
    text.push_str(&by_trigger(found, width));
    let channels = by_channel(found);
    if !channels.is_empty() {
        text.push('\n');
        let rows = channels
            .into_iter()
            .map(|(name, [then, with_rules])| [line(name).into_owned(), then.to_string(), with_rules.to_string()]);
        let columns = [listing::fixed("CHANNEL"), listing::fixed("THEN"), listing::fixed("WITH RULES")];
        text.push_str(&listing::table(columns, rows, width));
    }
    text.push_str(
        "\nTHEN: alerts that fired, as recorded. WITH RULES: that would have fired.\n\
         CHANGED: fired under both, with another severity or to other channels.\n\
         GONE: fired then only. NEW: would fire with the rules only.\n\
         Channels count alerts that have a recipient there, delivered or not.\n\
         Every request is decided as of its time of recording; recurring issues are taken as recorded.\n",
    );
    if found.moot > 0 {
        let _ = writeln!(
            text,
            "Steps ignored, because the rules would have left their alert in another state: {}.",
            found.moot
        );
    }
    let different: Vec<&AlertComparison> =
        found.firings.iter().rev().filter(|one| one.difference != ReplayDifference::Same).collect();
    if different.is_empty() {
        text.push_str("\nThese rules would have fired the same alerts.\n");
        return text;
    }
    text.push_str("\nDIFFERENCES, newest first\n");
    for one in different.iter().take(MAX_LISTED) {
        let AlertComparison { recorded_at, incident_id, trigger, then, with_rules, .. } = one;
        let _ = writeln!(
            text,
            "{recorded_at}  {incident_id} {trigger}: {} → {}",
            outcome(then.as_ref()),
            outcome(with_rules.as_ref())
        );
    }
    if let Some(more @ 1..) = different.len().checked_sub(MAX_LISTED) {
        let _ = writeln!(text, "and {more} more; --json lists all");
    }
    text
}

fn by_trigger(found: &ReplayResult, width: usize) -> String {
    let rows = Trigger::ALL.iter().map(|trigger| {
        let of = || found.firings.iter().filter(|one| one.trigger == *trigger);
        let count = |difference: ReplayDifference| of().filter(|one| one.difference == difference).count().to_string();
        [
            trigger.to_string(),
            of().filter(|one| one.then.is_some()).count().to_string(),
            of().filter(|one| one.with_rules.is_some()).count().to_string(),
            count(ReplayDifference::Changed),
            count(ReplayDifference::Gone),
            count(ReplayDifference::New),
        ]
    });
    let columns = ["TRIGGER", "THEN", "WITH RULES", "CHANGED", "GONE", "NEW"].map(listing::fixed);
    listing::table(columns, rows, width)
}

/// By channel: the number of alerts with a recipient there, as recorded and with the rules.
fn by_channel(found: &ReplayResult) -> BTreeMap<&str, [u64; 2]> {
    let mut channels: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for one in &found.firings {
        for (side, firing) in [&one.then, &one.with_rules].into_iter().enumerate() {
            for destination in firing.iter().flat_map(FiredAlert::reachable) {
                channels.entry(destination.channel.as_str()).or_default()[side] += 1;
            }
        }
    }
    channels
}

fn outcome(firing: Option<&FiredAlert>) -> String {
    let Some(firing) = firing else { return "not fired".into() };
    let channels: Vec<_> = firing.reachable().map(|destination| line(destination.channel.as_str())).collect();
    let channels = if channels.is_empty() { "NO CHANNEL".into() } else { channels.join(", ") };
    format!("{} to {channels}", na(firing.severity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        check::Severity,
        ids::{Id, IncidentId},
        notification::channel::ChannelKind,
        policy::Destination,
    };

    fn firing(severity: Severity, channels: &[&str]) -> Option<FiredAlert> {
        let destination = |name: &&str| Destination {
            channel: Id::new(*name).unwrap(),
            kind: ChannelKind::Slack,
            to: (*name != "no-recipient").then(|| "#x".to_owned()),
            unacknowledged_minutes: None,
        };
        Some(FiredAlert { severity: Some(severity), destinations: channels.iter().map(destination).collect() })
    }

    fn compared(
        seq: u64,
        then: Option<FiredAlert>,
        with_rules: Option<FiredAlert>,
        difference: ReplayDifference,
    ) -> AlertComparison {
        AlertComparison {
            incident_id: IncidentId::from_ordinal(seq),
            seq,
            recorded_at: "2026-02-11T12:36:00Z".parse().unwrap(),
            trigger: if seq.is_multiple_of(2) { Trigger::Recurring } else { Trigger::AccessIssue },
            dedup_key: format!("INC-{seq}/x"),
            difference,
            then,
            with_rules,
        }
    }

    #[test]
    fn differences_are_counted_and_listed() {
        let chat = || firing(Severity::High, &["chat"]);
        let firings = vec![
            compared(1, chat(), chat(), ReplayDifference::Same),
            compared(
                2,
                chat(),
                firing(Severity::Low, &["chat", "no-recipient", "ma\u{202e}il"]),
                ReplayDifference::Changed,
            ),
            compared(3, firing(Severity::Medium, &["no-recipient"]), None, ReplayDifference::Gone),
            compared(4, None, chat(), ReplayDifference::New),
        ];
        let found = ReplayResult { rows: 9, firings, moot: 1 };
        insta::assert_snapshot!(text("new.toml", "2026-01-01T00:00:00Z".parse().unwrap(), &found, 100));
        let same =
            ReplayResult { rows: 1, firings: vec![compared(1, chat(), chat(), ReplayDifference::Same)], moot: 0 };
        let text = text("new.toml", "2026-01-01T00:00:00Z".parse().unwrap(), &same, 100);
        assert!(text.ends_with("\nThese rules would have fired the same alerts.\n"), "{text}");
    }
}
