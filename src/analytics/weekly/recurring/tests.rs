use super::*;
use crate::domain::prevention::state::PreventionState;

fn at(hour: u32) -> Timestamp {
    format!("2026-01-05T{hour:02}:00:00Z").parse().unwrap()
}

fn steps() -> Vec<PreventionStep> {
    let step = |seq, cause: &str, state| PreventionStep {
        cause: cause.into(),
        seq,
        ordinal: 1,
        action: "x".into(),
        state,
        occurred_at: at(0),
    };
    vec![
        step(1, "a", PreventionState::Adopted),
        step(2, "merged", PreventionState::Effective),
        step(3, "other", PreventionState::Recurred),
    ]
}

fn row(detail: &str) -> RecurringRow {
    RecurringRow {
        episode_id: "rec-1".into(),
        incident_id: IncidentId::from_ordinal(1),
        cause: "a".into(),
        event: EpisodeEvent::Opened,
        is_new: true,
        occurrences: 3,
        first_at: at(0),
        last_at: at(1),
        detail: detail.into(),
    }
}

#[test]
fn an_action_has_the_state_of_its_latest_step_against_the_cause() {
    let action = |name: &str| {
        format!(r#"{{"name":"{name}","title":"do {name}","surface":"bundle-yaml","snippet":"","state":"proposed"}}"#)
    };
    let detail = format!(
        r#"{{"cause":"a","root_cause":"words","occurrences":3,"incidents":3,"threshold":3,"window_hours":168,
            "first_at":"2026-01-05T00:00:00Z","last_at":"2026-01-05T01:00:00Z","members":[],"actions":[{},{}],
            "policy_template":{{"surface":"bundle-yaml","part":"p","definition":{{}}}}}}"#,
        action("x"),
        action("y")
    );
    let states = |aliases: &[(&str, &str)], steps: &[PreventionStep]| -> Vec<PreventionState> {
        let issue = issue(row(&detail), &aliases.iter().copied().collect(), steps).unwrap();
        assert_eq!((issue.root_cause.as_str(), issue.actions[0].title.as_str()), ("words", "do x"));
        issue.actions.iter().map(|action| action.state).collect()
    };
    use PreventionState::{Adopted, Effective, Proposed};
    assert_eq!(states(&[], &[]), [Proposed, Proposed]);
    assert_eq!(states(&[], &steps()), [Adopted, Proposed]);
    assert_eq!(states(&[("merged", "a")], &steps()), [Effective, Proposed]);
    assert_eq!(states(&[("merged", "b"), ("a", "b")], &steps()), [Effective, Proposed]);
    assert!(matches!(issue(row("{}"), &BTreeMap::new(), &[]), Err(QueryError::Lake(LakeError::Json(_)))));
}
