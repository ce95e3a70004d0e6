//! The content of a recurrence alert. Its JSON is `recurrence_events.detail`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Episode, Occurrence, RecurrenceRule,
    pattern::{Attributes, FoundResource, Pattern, attributes, pattern},
};
use crate::domain::{
    ids::IncidentId,
    incident::classification::Confidence,
    prevention::{self, PolicyTemplate, PreventionStep, RecommendedAction, RecurredAfter},
    time::Timestamp,
};

/// Maximum number of named members, the newest ones.
pub const MAX_MEMBERS: usize = 20;
/// Minimum number of resolved incidents for a median.
pub const MIN_RESOLVED: u64 = 3;
/// Maximum number of characters of a cause.
const MAX_CHARS: usize = 1_000;
/// Maximum number of characters of a name.
const MAX_NAME_CHARS: usize = 200;

/// An incident of an episode with its latest finding. A row of `sql/recurrence_members.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Member {
    pub cause: String,
    /// The first occurrence of its episode.
    pub first_at: Timestamp,
    pub incident_id: IncidentId,
    pub occurrence_key: String,
    pub found_at: Timestamp,
    pub root_cause: String,
    pub cause_code: Option<String>,
    pub cause_normalised: Option<String>,
    pub resource_kind: Option<String>,
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    /// Empty when nothing was recorded.
    #[serde(rename = "resource_attributes", deserialize_with = "attributes")]
    #[schemars(with = "Option<String>")]
    pub attributes: Attributes,
    pub confidence: Confidence,
    pub workspace_id: String,
    pub seq: u64,
}

/// Time to resolve incidents with a cause, and all other incidents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impact {
    /// Resolved incidents with the cause whose duration is known.
    pub resolved: u64,
    /// Their median time to resolve (first resolved − reported), seconds.
    pub median_s: Option<f64>,
    pub others_resolved: u64,
    pub others_median_s: Option<f64>,
}

/// [`Impact`] of a cause since a time. A row of `sql/cause_impact.sql`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct CauseImpact {
    /// After merges and splits.
    pub cause: String,
    pub since: Timestamp,
    pub resolved: u64,
    pub median_s: Option<f64>,
    pub others_resolved: u64,
    pub others_median_s: Option<f64>,
}

impl CauseImpact {
    pub fn impact(&self) -> Impact {
        Impact {
            resolved: self.resolved,
            median_s: self.median_s,
            others_resolved: self.others_resolved,
            others_median_s: self.others_median_s,
        }
    }
}

/// A recurring issue as an alert shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// After merges and splits.
    pub cause: String,
    /// Text of the latest finding.
    pub root_cause: String,
    pub occurrences: u64,
    pub incidents: u64,
    pub threshold: i32,
    pub window_hours: i32,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The newest, oldest first, at most [`MAX_MEMBERS`]; one per occurrence.
    pub members: Vec<NamedMember>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// The lowest confidence among the findings of the members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    pub actions: Vec<RecommendedAction>,
    pub policy_template: PolicyTemplate,
    /// Omitted if fewer than [`MIN_RESOLVED`] incidents with the cause were resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// Adopted actions after which the cause recurred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recurred_after: Vec<RecurredAfter>,
}

/// An occurrence with the name of its resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedMember {
    pub incident_id: IncidentId,
    pub at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
}

impl Issue {
    /// Returns the newest members for a sentence: `INC-1003 (nightly-backup), INC-1002 (hourly-sync) and 7 others`.
    pub fn names(&self) -> String {
        const NAMED: usize = 5;
        let named = self.members.iter().rev().take(NAMED).map(|member| match &member.resource_name {
            Some(name) => format!("{} ({name})", member.incident_id),
            None => member.incident_id.to_string(),
        });
        let names = named.collect::<Vec<_>>().join(", ");
        let more = self.occurrences.saturating_sub(NAMED.min(self.members.len()) as u64);
        if more == 0 { names } else { format!("{names} and {more} others") }
    }

    /// Builds the issue. `members` are those of this episode, in any order. `steps` are the recorded states of preventive actions
    /// against its cause.
    pub fn new(
        episode: &Episode,
        rule: RecurrenceRule,
        members: &[Member],
        others: &[&FoundResource],
        impact: Option<Impact>,
        steps: &[PreventionStep],
    ) -> Self {
        let latest = members.iter().max_by_key(|member| member.seq);
        let occurrences = one_per_occurrence(members);
        let topic = prevention::recognise(
            latest.and_then(|member| member.cause_code.as_deref()),
            latest.map_or("", |member| member.cause_normalised.as_deref().unwrap_or(&member.root_cause)),
            latest.map(|member| &member.attributes),
        );
        let times: Vec<Occurrence> = occurrences
            .iter()
            .map(|member| Occurrence {
                cause: member.cause.clone(),
                occurrence_key: member.occurrence_key.clone(),
                occurred_at: member.found_at,
                incident_id: member.incident_id,
                incidents: 1,
            })
            .collect();
        Self {
            cause: episode.cause.clone(),
            root_cause: shorten(latest.map_or(&episode.cause, |member| &member.root_cause), MAX_CHARS),
            occurrences: episode.occurrences,
            incidents: episode.incidents,
            threshold: rule.threshold,
            window_hours: rule.window_hours,
            first_at: episode.first_at,
            last_at: episode.last_at,
            members: occurrences[occurrences.len().saturating_sub(MAX_MEMBERS)..].iter().map(|m| named(m)).collect(),
            pattern: pattern(members, others),
            // HIGH is the first of the enum, LOW the last
            confidence: members.iter().map(|member| member.confidence).max(),
            actions: prevention::recommended(topic, steps),
            policy_template: prevention::policy_template(topic),
            impact: impact.filter(|impact| impact.resolved >= MIN_RESOLVED && impact.median_s.is_some()),
            recurred_after: prevention::recurred_after(steps, &times),
        }
    }
}

/// Returns the first member of each occurrence, ordered by time.
fn one_per_occurrence(members: &[Member]) -> Vec<&Member> {
    let mut sorted: Vec<&Member> = members.iter().collect();
    sorted.sort_by_key(|member| (&member.occurrence_key, member.found_at, member.seq));
    sorted.dedup_by_key(|member| &member.occurrence_key);
    sorted.sort_by_key(|member| (member.found_at, &member.occurrence_key));
    sorted
}

fn named(member: &Member) -> NamedMember {
    let cut = |text: &Option<String>| text.as_deref().map(|text| shorten(text, MAX_NAME_CHARS));
    NamedMember {
        incident_id: member.incident_id,
        at: member.found_at,
        resource_kind: cut(&member.resource_kind),
        resource_id: cut(&member.resource_id),
        resource_name: cut(&member.resource_name),
    }
}

/// Returns the members of the episode.
pub fn members_of<'a>(episode: &Episode, members: &'a [Member]) -> impl Iterator<Item = &'a Member> + use<'a> {
    let (cause, first_at) = (episode.cause.clone(), episode.first_at);
    members.iter().filter(move |member| member.cause == cause && member.first_at == first_at)
}

/// Cuts a text to `max_chars` characters and marks the cut with `…`.
pub(super) fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Incident n with a cause, at noon of day n of 2026.
    pub(crate) fn member(n: u64, name: &str) -> Member {
        let at: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        Member {
            cause: "c1:0".into(),
            first_at: at.plus(chrono::TimeDelta::days(1)),
            incident_id: IncidentId::from_ordinal(n),
            occurrence_key: format!("INC-{n}"),
            found_at: at.plus(chrono::TimeDelta::days(n as i64)),
            root_cause: "Job retry policies not configured (max_retries=0)".into(),
            cause_code: None,
            cause_normalised: Some("job retry policies not configured max_retries <num>".into()),
            resource_kind: Some("job".into()),
            resource_id: Some(name.into()),
            resource_name: Some(name.into()),
            attributes: Attributes::new(),
            confidence: Confidence::High,
            workspace_id: "1".into(),
            seq: n,
        }
    }

    pub(crate) fn episode(members: &[Member]) -> Episode {
        let (first, last) = (members.first().unwrap(), members.last().unwrap());
        Episode {
            cause: first.cause.clone(),
            first_at: first.found_at,
            last_at: last.found_at,
            occurrences: one_per_occurrence(members).len() as u64,
            incidents: members.len() as u64,
            is_open: true,
            may_begin_earlier: false,
            first_incident_id: first.incident_id,
            last_incident_id: last.incident_id,
            reached_incident_id: last.incident_id,
        }
    }

    fn issue(members: &[Member]) -> Issue {
        Issue::new(&episode(members), RecurrenceRule::DEFAULT, members, &[], None, &[])
    }

    #[test]
    fn the_newest_twenty_are_named_and_all_are_counted() {
        let members: Vec<Member> = (1..=1_000).map(|n| member(n, &format!("job-{n}"))).collect();
        let issue = issue(&members);
        assert_eq!((issue.occurrences, issue.members.len()), (1_000, 20));
        assert_eq!(issue.members[0].resource_name.as_deref(), Some("job-981"));
        assert_eq!(issue.members[19].resource_name.as_deref(), Some("job-1000"));
    }

    #[test]
    fn incidents_about_one_run_are_named_once() {
        let members = [member(1, "a"), Member { occurrence_key: "INC-1".into(), ..member(2, "a") }, member(3, "b")];
        let issue = issue(&members);
        let named: Vec<_> = issue.members.iter().map(|member| member.incident_id.ordinal()).collect();
        assert_eq!((named, issue.occurrences, issue.incidents), (vec![1, 3], 2, 3));
    }

    #[test]
    fn an_issue_has_the_lowest_confidence_of_its_findings() {
        let members = [member(1, "a"), Member { confidence: Confidence::Medium, ..member(2, "b") }, member(3, "c")];
        assert_eq!(issue(&members).confidence, Some(Confidence::Medium));
        let members = [member(1, "a"), Member { confidence: Confidence::Low, ..member(2, "b") }, members[1].clone()];
        assert_eq!(issue(&members).confidence, Some(Confidence::Low));
    }

    #[test]
    fn the_text_is_that_of_the_latest_finding() {
        let members =
            [member(1, "a"), Member { root_cause: "no retries".into(), seq: 9, ..member(2, "b") }, member(3, "c")];
        assert_eq!(issue(&members).root_cause, "no retries");
    }

    #[test]
    fn a_median_of_two_is_omitted() {
        let members = [member(1, "a")];
        let of = |resolved| {
            let impact = Impact { resolved, median_s: Some(60.0), others_resolved: 0, others_median_s: None };
            Issue::new(&episode(&members), RecurrenceRule::DEFAULT, &members, &[], Some(impact), &[]).impact
        };
        assert_eq!((of(2).is_some(), of(3).is_some()), (false, true));
    }

    #[test]
    fn an_issue_is_read_from_its_json_and_unknown_fields_are_refused() {
        let issue = issue(&[member(1, "a"), member(2, "日次\n")]);
        let json = serde_json::to_value(&issue).unwrap();
        assert_eq!(serde_json::from_value::<Issue>(json.clone()).unwrap(), issue);
        let mut more = json;
        more["surprise"] = 1.into();
        assert!(serde_json::from_value::<Issue>(more).is_err());
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(shorten("größer", 4), "grö…");
        assert_eq!(shorten("größer", 6), "größer");
        let long = Member { root_cause: "ß".repeat(5_000), ..member(1, "a") };
        assert_eq!(issue(&[long]).root_cause.chars().count(), MAX_CHARS);
    }
}
