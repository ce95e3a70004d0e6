//! Who would be told if …: the routes of a configuration, explained.

use std::fmt::Write;

use super::{
    alert,
    plain::{duration, line},
};
use crate::domain::policy::ToldIf;

/// Each trigger with everybody who would be told, one per line, `NOBODY` where nobody would be, and what is missing below.
pub fn text(source: &str, told: &[ToldIf], gaps: &[String]) -> String {
    let mut text = format!("{}\n\nWHO WOULD BE TOLD IF …\n", line(source));
    for told in told {
        let ToldIf { trigger, severity, .. } = told;
        let _ = writeln!(text, "{trigger:<16}  {severity:<8}  cool-down {}, {}", cool_down(told), routes(told));
        for who in who(told) {
            let _ = writeln!(text, "    {who}");
        }
    }
    text.push_str(
        "\nCool-down: after people were told about an alert that is over, they are not told again for so long.\n\
         Routes: which [[routes]] match, counted from the top of the file.\n",
    );
    match gaps {
        [] => text.push_str("\nEverybody who should be told can be told.\n"),
        gaps => {
            text.push_str("\nMISSING\n");
            for gap in gaps {
                let _ = writeln!(text, "- {}", line(gap));
            }
        }
    }
    text
}

fn who(told: &ToldIf) -> Vec<String> {
    if !told.enabled {
        return vec!["nobody: the trigger is disabled".into()];
    }
    if told.destinations.is_empty() {
        return vec!["NOBODY: no route matches".into()];
    }
    let names = told.destinations.iter().map(|destination| {
        let to = destination.to.as_deref().map_or("NOBODY: no recipient".into(), line);
        let later = destination.unacknowledged_minutes.map_or_else(String::new, alert::later);
        format!("{} ({}: {to}){later}", line(destination.channel.as_str()), destination.kind)
    });
    names.collect()
}

fn cool_down(told: &ToldIf) -> String {
    match told.cool_down_minutes {
        0 => "none".into(),
        minutes => duration(Some(f64::from(minutes) * 60.0)),
    }
}

fn routes(told: &ToldIf) -> String {
    let numbers = told.routes.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    match told.routes.as_slice() {
        [] => "no route".into(),
        [_] => format!("route {numbers}"),
        _ => format!("routes {numbers}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        policy::Policy,
        words::{Severity, Trigger},
    };

    fn told(toml: &str, severity: Option<Severity>) -> String {
        let policy = Policy::parse(toml).unwrap();
        let told: Vec<ToldIf> = Trigger::ALL.iter().map(|trigger| policy.told_if(*trigger, severity)).collect();
        text("ops-runbook.toml, policy 0123456789abcdef", &told, &policy.gaps())
    }

    #[test]
    fn the_example_tells_somebody_about_everything() {
        insta::assert_snapshot!(told(include_str!("../../bundle/ops-runbook.example.toml"), None));
    }

    #[test]
    fn what_leads_nowhere_is_said() {
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
        insta::assert_snapshot!(told(toml, None));
        let all_critical = told(toml, Some(Severity::Critical));
        for line in [
            "access-issue      CRITICAL  cool-down 4h, route 3\n",
            "    pager (pagerduty: on\\u{202e}call)\n",
            "security-finding  CRITICAL  cool-down none, routes 2, 3\n",
        ] {
            assert!(all_critical.contains(line), "{line} in {all_critical}");
        }
    }
}
