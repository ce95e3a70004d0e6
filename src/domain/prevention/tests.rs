use std::collections::BTreeSet;

use super::*;
use crate::domain::recurrence::tests::at;

const TOPICS_IN_ALL: [Topic; 12] = [
    Topic::Retries,
    Topic::Timeouts,
    Topic::Memory,
    Topic::Access,
    Topic::Upstream,
    Topic::Schema,
    Topic::Runtime,
    Topic::Data,
    Topic::Capacity,
    Topic::Concurrency,
    Topic::IdleCompute,
    Topic::Generic,
];

#[test]
fn topics_are_recognised_by_code_text_or_settings() {
    let check = |text: &str, topic: Topic| assert_eq!(recognise(None, text, None), topic, "{text:?}");
    check("Job retry policies not configured (max_retries=0)", Topic::Retries);
    check("job retry policies not configured max_retries <num>", Topic::Retries);
    check("Transient error and no retry policy", Topic::Retries);
    check("HTTPSConnectionPool: Max retries exceeded with url", Topic::Upstream);
    check("partner API throttled the export (HTTP 429)", Topic::Upstream);
    check("Storage connection timed out", Topic::Upstream);
    check("Run exceeded 9 hours, no timeout set", Topic::Timeouts);
    check("java.lang.OutOfMemoryError: Java heap space", Topic::Memory);
    check("executor OOM", Topic::Memory);
    check("Expired token in the job's secret scope", Topic::Access);
    check("PERMISSION_DENIED on table sales", Topic::Access);
    check("upstream schema change dropped column amount", Topic::Upstream);
    check("Source schema changed: column amount is missing", Topic::Schema);
    check("Runtime 9.1 is deprecated", Topic::Runtime);
    check("Input files not arrived by 06:00", Topic::Data);
    check("Cluster failed to start: stockout in zone", Topic::Capacity);
    check("Maximum concurrent runs reached", Topic::Concurrency);
    check("autotermination is off", Topic::IdleCompute);
    check("NullPointerException in transform", Topic::Generic);
    check("", Topic::Generic);

    assert_eq!(recognise(Some("oom-executor"), "no retry policy", None), Topic::Memory, "the code wins");
    assert_eq!(recognise(Some("E-17"), "no retry policy", None), Topic::Retries, "unless it says nothing");
    let settings = |name: &str| Attributes::from([(name.to_owned(), "0".to_owned())]);
    assert_eq!(recognise(None, "payload was null", Some(&settings("max_retries"))), Topic::Retries);
    assert_eq!(recognise(None, "payload was null", Some(&settings("timeout_seconds"))), Topic::Timeouts);
    assert_eq!(recognise(None, "executor OOM", Some(&settings("max_retries"))), Topic::Memory);
}

#[test]
fn every_topic_has_actions_for_two_surfaces_and_unique_names() {
    for topic in TOPICS_IN_ALL {
        let surfaces: BTreeSet<&str> = recommended(topic, &[]).iter().map(|action| action.surface.as_str()).collect();
        assert!(surfaces.len() >= 2, "{topic:?}: {surfaces:?}");
    }
    let names: BTreeSet<&str> = catalog::ACTIONS.iter().map(|action| action.name).collect();
    assert_eq!(names.len(), catalog::ACTIONS.len());
}

#[test]
fn snippets_are_valid_for_their_surface() {
    const OF_TASKS_AND_JOBS: [&str; 5] =
        ["max_retries", "retry_on_timeout", "min_retry_interval_millis", "timeout_seconds", "max_concurrent_runs"];
    let no_task_settings = |definition: &Value| {
        for name in OF_TASKS_AND_JOBS {
            assert!(definition.get(name).is_none(), "a cluster policy can't hold {name}");
        }
        for limitation in definition.as_object().unwrap().values() {
            let kind = limitation["type"].as_str().unwrap();
            assert!(["fixed", "range", "allowlist"].contains(&kind), "{kind}");
        }
    };
    for action in catalog::ACTIONS {
        match action.surface {
            Surface::BundleYaml | Surface::HealthRule => {
                assert!(action.snippet.starts_with("resources:\n") || action.snippet.starts_with("databricks bundle "));
                let job: Vec<&str> = action
                    .snippet
                    .lines()
                    .filter(|line| line.starts_with("      ") && !line.starts_with("       "))
                    .collect();
                assert!(job.iter().all(|line| !line.contains("max_retries")), "{}: only tasks have it", action.name);
            }
            Surface::SweepRule => {
                assert!(
                    action.snippet.starts_with("databricks ") && action.snippet.contains("list"),
                    "{}",
                    action.name
                );
            }
            Surface::ClusterPolicy => no_task_settings(&serde_json::from_str(action.snippet).unwrap()),
            Surface::JobSettings => panic!("{} would replace settings it doesn't name", action.name),
        }
        assert!(!action.snippet.contains("reset") && !action.snippet.contains('\t'), "{}", action.name);
    }
    for topic in TOPICS_IN_ALL {
        let template = policy_template(topic);
        match (template.surface, template.part.as_str()) {
            (Surface::ClusterPolicy, _) => no_task_settings(&template.definition),
            (Surface::JobSettings | Surface::HealthRule, "fields of the job") => {
                assert!(template.definition.get("max_retries").is_none());
            }
            (Surface::JobSettings, "fields of each task") => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_action_shows_its_latest_state() {
    let steps = [step(1, PreventionState::Proposed, 0), step(2, PreventionState::Adopted, 5)];
    let actions = recommended(Topic::Retries, &steps);
    assert_eq!(actions[0].state, PreventionState::Adopted);
    assert_eq!(actions[1].state, PreventionState::Proposed);
}

fn step(seq: u64, state: PreventionState, hours: i64) -> PreventionStep {
    PreventionStep {
        cause: "a".into(),
        seq,
        ordinal: 1,
        action: "bundle-retry-policy".into(),
        state,
        occurred_at: hour(hours),
    }
}

fn hour(hours: i64) -> Timestamp {
    at(hours * 3_600_000_000)
}

fn occurrence(n: u64, hours: i64) -> Occurrence {
    Occurrence {
        cause: "a".into(),
        occurrence_key: format!("{n}"),
        occurred_at: hour(hours),
        incident_id: IncidentId::from_ordinal(n),
        incidents: 1,
    }
}

#[test]
fn an_adopted_action_becomes_effective_or_recurred() {
    use PreventionState::{Adopted, Effective, Proposed, Recurred};
    let check = |name: &str, steps: &[PreventionStep], times: &[i64], as_of: i64, expected: Option<PreventionState>| {
        let occurrences: Vec<Occurrence> = (1..).zip(times).map(|(n, hours)| occurrence(n, *hours)).collect();
        let advances = advance(steps, &occurrences, hour(as_of), RecurrenceRule::DEFAULT);
        assert_eq!(advances.first().map(|advance| advance.state), expected, "{name}");
        assert!(advances.len() <= 1);
    };
    let adopted = [step(1, Proposed, 0), step(2, Adopted, 10)];
    check("too early to decide", &adopted, &[1, 2, 10], 178, None);
    check("a window without", &adopted, &[1, 2, 10], 179, Some(Effective));
    check("came back", &adopted, &[1, 11], 12, Some(Recurred));
    check("comes back later", &adopted, &[1, 13], 12, None);
    check("never adopted", &adopted[..1], &[1, 11], 500, None);
    let effective = [&adopted[..], &[step(3, Effective, 179)]].concat();
    check("effective already", &effective, &[1], 400, None);
    check("came back in the end", &effective, &[1, 300], 400, Some(Recurred));
    let recurred = [&effective[..], &[step(4, Recurred, 300)]].concat();
    check("recurred already", &recurred, &[1, 300], 400, None);
    let again = [&recurred[..], &[step(5, Adopted, 310)]].concat();
    check("adopted again", &again, &[1, 300], 400, None);
    check("adopted again, a window without", &again, &[1, 300], 600, Some(Effective));
    let rejected = [&adopted[..], &[step(3, Proposed, 20)]].concat();
    check("taken back", &rejected, &[1, 300], 400, None);
}

#[test]
fn a_recurrence_after_the_fix_names_the_first_incident() {
    let steps = [step(1, PreventionState::Adopted, 10)];
    let after = recurred_after(&steps, &[occurrence(1, 9), occurrence(2, 10), occurrence(4, 30), occurrence(3, 20)]);
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].occurrences, after[0].first_incident_id.ordinal()), (2, 3));
    let advance = advance(&steps, &[occurrence(3, 20)], hour(21), RecurrenceRule::DEFAULT).remove(0);
    assert_eq!(advance.note, "INC-1003 occurred at 2026-02-01T20:00:00Z, after the adoption at 2026-02-01T10:00:00Z");
}

#[test]
fn steps_against_a_merged_cause_count() {
    let alias = |cause: &str, counts_as: &str| CauseMapping {
        seq: 1,
        ordinal: 1,
        cause_fingerprint: cause.into(),
        counts_as: counts_as.into(),
    };
    let steps = [
        step(1, PreventionState::Adopted, 0),
        PreventionStep { cause: "b".into(), ..step(2, PreventionState::Adopted, 0) },
    ];
    let seqs = |cause: &str, aliases: &[CauseMapping]| -> Vec<u64> {
        steps_against(cause, &steps, aliases).iter().map(|step| step.seq).collect()
    };
    assert_eq!(seqs("b", &[]), [2]);
    assert_eq!(seqs("b", &[alias("a", "b")]), [1, 2]);
    assert_eq!(seqs("a", &[alias("a", "b")]), [] as [u64; 0]);
}
