//! The result of one sweep for failed runs.

use super::{
    listing::{fixed, flexible, table},
    plain::line,
};
use crate::domain::{run::outcome::RunOutcome, sweep::SweepResult};

/// Incidents listed; the rest is counted.
const MAX_LISTED: usize = 50;

/// The number of runs, and the incidents that they opened or belong to.
pub fn text(swept: &SweepResult, width: usize) -> String {
    let checked: usize = swept.runs.values().sum();
    let counts: Vec<String> = RunOutcome::ALL
        .iter()
        .filter_map(|outcome| Some(format!("{} {outcome}", swept.runs.get(outcome.as_str())?)))
        .collect();
    let mut text = format!("Workspace {}, runs since {}: {checked}", line(swept.workspace_id.as_str()), swept.since);
    if !counts.is_empty() {
        text.push_str(&format!(" ({})", counts.join(", ")));
    }
    text.push_str(&format!(".\n{} newly recorded.\n", swept.news));
    if swept.first {
        text.push_str("First sweep of this workspace: earlier failures are recorded without notifications.\n");
    }
    if swept.missing_outputs > 0 {
        let notified = swept.told_with.map(|incident| format!("; the alert of {incident} reports it"));
        let notified = notified.unwrap_or_default();
        text.push_str(&format!("Run outputs that could not be read: {}{notified}.\n", swept.missing_outputs));
    }
    if swept.incidents.is_empty() && swept.added.is_empty() {
        text.push_str("No new failures.\n");
    }
    if !swept.incidents.is_empty() {
        text.push('\n');
        let rows = swept.incidents.iter().take(MAX_LISTED).map(|found| {
            [
                found.incident_id.to_string(),
                if found.known { "known" } else { "new" }.to_owned(),
                found.outcome.to_string(),
                line(found.job_id.as_str()).into_owned(),
                line(found.run_id.as_str()).into_owned(),
                line(&found.title).into_owned(),
            ]
        });
        let header =
            [fixed("INCIDENT"), fixed(""), fixed("RUN"), fixed("JOB ID"), fixed("RUN ID"), flexible("TITLE", 20)];
        text.push_str(&table(header, rows, width));
    }
    if !swept.added.is_empty() {
        text.push('\n');
        let rows = swept.added.iter().take(MAX_LISTED).map(|added| {
            [added.incident_id.to_string(), line(added.run_id.as_str()).into_owned(), line(&added.message).into_owned()]
        });
        text.push_str(&table([fixed("INCIDENT"), fixed("RUN ID"), flexible("ADDED", 20)], rows, width));
    }
    let more = swept.incidents.len().saturating_sub(MAX_LISTED) + swept.added.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        text.push_str(&format!("and {more} more; --json lists all\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        domain::{
            ids::{Id, IncidentId},
            sweep::{AddedNote, SweptIncident},
        },
        render::example::{assert_safe, hostile_text, time},
    };

    fn swept(title: &str) -> SweepResult {
        let id = |text: &str| Id::new(text).unwrap();
        SweepResult {
            workspace_id: id("7405612783315468"),
            since: time("2026-02-11T11:00:00Z"),
            until: time("2026-02-11T12:15:00Z"),
            first: true,
            runs: BTreeMap::from([("succeeded", 40), ("failed", 1), ("running", 2)]),
            news: 41,
            missing_outputs: 1,
            told_with: Some(IncidentId::from_ordinal(1)),
            not_asked_about: 0,
            incidents: vec![SweptIncident {
                incident_id: IncidentId::from_ordinal(1),
                run_id: id("236083407514246"),
                job_id: id("360515640572923"),
                title: title.into(),
                outcome: RunOutcome::Failed,
                known: false,
            }],
            added: vec![AddedNote { incident_id: IncidentId::from_ordinal(2), run_id: id("5"), message: title.into() }],
            left: Vec::new(),
        }
    }

    #[test]
    fn a_sweep_has_a_few_lines() {
        insta::assert_snapshot!(text(&swept("daily-etl failed: RUN_EXECUTION_ERROR"), 100));
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let lines = text(&swept("plain"), 4_000).lines().count();
        proptest::proptest!(|(name in hostile_text())| {
            let text = text(&swept(&name), 4_000);
            assert_safe(&text);
            proptest::prop_assert_eq!(text.lines().count(), lines);
        });
    }

    #[test]
    fn a_sweep_without_failures_says_no_new_failures() {
        let nothing = SweepResult { incidents: Vec::new(), added: Vec::new(), first: false, news: 0, ..swept("") };
        assert!(text(&nothing, 80).contains("No new failures."), "{}", text(&nothing, 80));
    }
}
