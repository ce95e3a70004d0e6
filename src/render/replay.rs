//! What other rules would have told, against what was told.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    listing,
    plain::{line, na},
};
use crate::domain::{
    escalation::replay::{Compared, Difference, Firing, Replayed},
    time::Timestamp,
    words::Trigger,
};

/// Differences told one by one; the rest is counted.
const TOLD: usize = 20;

/// Counts by trigger and by channel, and the newest differences.
pub fn text(rules: &str, since: Timestamp, found: &Replayed, width: usize) -> String {
    let rows = found.rows;
    let mut text = format!("WHAT {} WOULD HAVE TOLD\nsince {since}: {rows} rows about incidents\n\n", line(rules));
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
         Channels count alerts that lead to somebody there; whether they arrived is not recorded yet.\n\
         Every request is decided as of the moment at which it was recorded; recurring issues stand as they were found.\n",
    );
    if found.moot > 0 {
        let _ = writeln!(
            text,
            "Passed over, because they dealt with an alert that would not have stood as it did: {} steps.",
            found.moot
        );
    }
    let different: Vec<&Compared> =
        found.firings.iter().rev().filter(|one| one.difference != Difference::Same).collect();
    if different.is_empty() {
        text.push_str("\nThese rules would have told the same.\n");
        return text;
    }
    text.push_str("\nDIFFERENCES, the newest first\n");
    for one in different.iter().take(TOLD) {
        let Compared { recorded_at, incident_id, trigger, then, with_rules, .. } = one;
        let _ = writeln!(
            text,
            "{recorded_at}  {incident_id} {trigger}: {} → {}",
            how(then.as_ref()),
            how(with_rules.as_ref())
        );
    }
    if let Some(more @ 1..) = different.len().checked_sub(TOLD) {
        let _ = writeln!(text, "and {more} more; --json gives all");
    }
    text
}

fn by_trigger(found: &Replayed, width: usize) -> String {
    let rows = Trigger::ALL.iter().map(|trigger| {
        let of = || found.firings.iter().filter(|one| one.trigger == *trigger);
        let count = |difference: Difference| of().filter(|one| one.difference == difference).count().to_string();
        [
            trigger.to_string(),
            of().filter(|one| one.then.is_some()).count().to_string(),
            of().filter(|one| one.with_rules.is_some()).count().to_string(),
            count(Difference::Changed),
            count(Difference::Gone),
            count(Difference::New),
        ]
    });
    let columns = ["TRIGGER", "THEN", "WITH RULES", "CHANGED", "GONE", "NEW"].map(listing::fixed);
    listing::table(columns, rows, width)
}

/// By channel: alerts that led to somebody there, then and with the rules.
fn by_channel(found: &Replayed) -> BTreeMap<&str, [u64; 2]> {
    let mut channels: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for one in &found.firings {
        for (side, firing) in [&one.then, &one.with_rules].into_iter().enumerate() {
            for destination in firing.iter().flat_map(Firing::told) {
                channels.entry(destination.channel.as_str()).or_default()[side] += 1;
            }
        }
    }
    channels
}

fn how(firing: Option<&Firing>) -> String {
    let Some(firing) = firing else { return "not told".into() };
    let channels: Vec<_> = firing.told().map(|destination| line(destination.channel.as_str())).collect();
    let channels = if channels.is_empty() { "NOBODY".into() } else { channels.join(", ") };
    format!("{} to {channels}", na(firing.severity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        ids::{Id, IncidentId},
        policy::Destination,
        words::{ChannelKind, Severity},
    };

    fn firing(severity: Severity, channels: &[&str]) -> Option<Firing> {
        let destination = |name: &&str| Destination {
            channel: Id::new(*name).unwrap(),
            kind: ChannelKind::Slack,
            to: (*name != "nobody").then(|| "#x".to_owned()),
            unacknowledged_minutes: None,
        };
        Some(Firing { severity: Some(severity), destinations: channels.iter().map(destination).collect() })
    }

    fn compared(seq: u64, then: Option<Firing>, with_rules: Option<Firing>, difference: Difference) -> Compared {
        Compared {
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
    fn differences_are_counted_and_told() {
        let chat = || firing(Severity::High, &["chat"]);
        let firings = vec![
            compared(1, chat(), chat(), Difference::Same),
            compared(2, chat(), firing(Severity::Low, &["chat", "nobody", "ma\u{202e}il"]), Difference::Changed),
            compared(3, firing(Severity::Medium, &["nobody"]), None, Difference::Gone),
            compared(4, None, chat(), Difference::New),
        ];
        let found = Replayed { rows: 9, firings, moot: 1 };
        insta::assert_snapshot!(text("new.toml", "2026-01-01T00:00:00Z".parse().unwrap(), &found, 100));
        let same = Replayed { rows: 1, firings: vec![compared(1, chat(), chat(), Difference::Same)], moot: 0 };
        let told = text("new.toml", "2026-01-01T00:00:00Z".parse().unwrap(), &same, 100);
        assert!(told.ends_with("\nThese rules would have told the same.\n"), "{told}");
    }
}
