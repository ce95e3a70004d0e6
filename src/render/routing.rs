//! The channels that each trigger would notify under a configuration.

use std::fmt::Write;

use super::{
    alert,
    plain::{duration, line},
};
use crate::domain::policy::TriggerRouting;

/// Each trigger with its channels, one per line, `NO CHANNEL` if there are none, and the gaps of the configuration below.
pub fn text(source: &str, routings: &[TriggerRouting], gaps: &[String]) -> String {
    let mut text = format!("{}\n\nCHANNELS BY TRIGGER\n", line(source));
    for routing in routings {
        let TriggerRouting { trigger, severity, .. } = routing;
        let _ = writeln!(text, "{trigger:<16}  {severity:<8}  cool-down {}, {}", cool_down(routing), routes(routing));
        for channel in channels(routing) {
            let _ = writeln!(text, "    {channel}");
        }
    }
    text.push_str(
        "\nCool-down: a resolved alert that returns is suppressed for this time after it last fired.\n\
         Routes: the [[routes]] that match, counted from the top of the file.\n",
    );
    match gaps {
        [] => text.push_str("\nEvery alert reaches a recipient.\n"),
        gaps => {
            text.push_str("\nMISSING\n");
            for gap in gaps {
                let _ = writeln!(text, "- {}", line(gap));
            }
        }
    }
    text
}

fn channels(routing: &TriggerRouting) -> Vec<String> {
    if !routing.enabled {
        return vec!["no channel: the trigger is disabled".into()];
    }
    if routing.destinations.is_empty() {
        return vec!["NO CHANNEL: no route matches".into()];
    }
    let names = routing.destinations.iter().map(|destination| {
        let to = destination.to.as_deref().map_or("NO RECIPIENT".into(), line);
        let later = destination.unacknowledged_minutes.map_or_else(String::new, alert::later);
        format!("{} ({}: {to}){later}", line(destination.channel.as_str()), destination.kind)
    });
    names.collect()
}

fn cool_down(routing: &TriggerRouting) -> String {
    match routing.cool_down_minutes {
        0 => "none".into(),
        minutes => duration(Some(f64::from(minutes) * 60.0)),
    }
}

fn routes(routing: &TriggerRouting) -> String {
    let numbers = routing.routes.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match routing.routes.as_slice() {
        [] => "no route".into(),
        [_] => format!("route {numbers}"),
        _ => format!("routes {numbers}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{check::Severity, escalation::trigger::Trigger, policy::Policy};

    fn shown(toml: &str, severity: Option<Severity>) -> String {
        let policy = Policy::parse(toml).unwrap();
        let routings: Vec<TriggerRouting> =
            Trigger::ALL.iter().map(|trigger| policy.routing(*trigger, severity)).collect();
        text("ops-runbook.toml, policy 0123456789abcdef", &routings, &policy.gaps())
    }

    #[test]
    fn the_example_has_channels_for_every_trigger() {
        insta::assert_snapshot!(shown(include_str!("../../bundle/ops-runbook.example.toml"), None));
    }

    #[test]
    fn triggers_without_a_channel_or_recipient_are_shown() {
        let toml = r##"
            [escalation.partial-checks]
            enabled = false
            [escalation.security-finding]
            cool_down_minutes = 0
            [channels.chat]
            kind = "slack"
            [channels.pager]
            kind = "pagerduty"
            to = "on\u202ecall"
            [[routes]]
            triggers = ["recurring"]
            channels = ["chat"]
            [[routes]]
            triggers = ["security-finding"]
            severities = ["CRITICAL"]
            channels = ["chat", "pager"]
            [[routes]]
            severities = ["CRITICAL"]
            channels = ["pager"]
        "##;
        insta::assert_snapshot!(shown(toml, None));
        let all_critical = shown(toml, Some(Severity::Critical));
        for line in [
            "access-issue      CRITICAL  cool-down 4h, route 3\n",
            "    pager (pagerduty: on\\u{202e}call)\n",
            "security-finding  CRITICAL  cool-down none, routes 2, 3\n",
        ] {
            assert!(all_critical.contains(line), "{line} in {all_critical}");
        }
    }
}
