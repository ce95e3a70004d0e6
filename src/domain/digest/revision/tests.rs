use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::{digest::sample, ids::IncidentId};

fn between(change: impl FnOnce(&mut Figures)) -> Vec<String> {
    let before = sample::eventful().figures;
    let mut after = before.clone();
    change(&mut after);
    differences(&before, &after)
}

#[test]
fn equal_figures_have_no_differences() {
    assert_eq!(between(|_| {}), [""; 0]);
}

#[test]
fn a_difference_names_the_old_and_the_new_value() {
    let check = |change: fn(&mut Figures), expected: &[&str]| assert_eq!(between(change), expected);
    check(|figures| figures.counts[0].incidents = 24, &["Incidents: 24, was 23."]);
    check(
        |figures| (figures.counts[1].incidents, figures.counts[1].previous) = (16, None),
        &["Incidents, type job-failure: 16, was 15; the week before n/a, was 9."],
    );
    check(
        |figures| figures.open[1].incident_id = IncidentId::from_ordinal(42),
        &["INC-1042 was added to the open incidents.", "INC-1031 is no longer among the open incidents."],
    );
    check(
        |figures| figures.durations[19].p50_s = Some(7000.0),
        &["Time, to resolve in 2026-W08: p50 1h 56m, was 1h 52m."],
    );
    check(
        |figures| figures.durations[19].p50_s = Some(6720.25),
        &["Time, to resolve in 2026-W08: p50 changed in detail."],
    );
    check(
        |figures| figures.recurring[0].actions[0].state = crate::domain::prevention::state::PreventionState::Adopted,
        &[
            "rec-0123456789abcdef “Job retry policies not configured (max_retries=0)”: “bundle-retries” adopted, was proposed.",
        ],
    );
    check(|figures| figures.offenders.swap(0, 1), &["The order of the repeat offenders changed."]);
    check(
        |figures| figures.checks.truncate(30),
        &[
            "Reliability PARTIAL in 2026-W08 is no longer among the check results.",
            "Reliability PASS in 2026-W08 is no longer among the check results.",
            "Security FAIL in 2026-W08 is no longer among the check results.",
            "1 more change in the check results.",
        ],
    );
}

#[test]
fn many_differences_are_described_in_few_sentences() {
    let (few, many) = (sample::eventful().figures, sample::huge().figures);
    for sentences in [differences(&few, &many), differences(&many, &few), differences(&Figures::default(), &few)] {
        assert!(sentences.len() <= 60, "{}", sentences.len());
        assert!(sentences.iter().all(|sentence| sentence.chars().count() < 700), "{sentences:#?}");
    }
}

/// Collects the JSON pointers of all values in a document.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    found.push(at.clone());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| pointers(value, format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

/// Changes a value to another of the same kind, or to null.
fn change(value: &mut Value, number: usize) {
    match value {
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            let (at, to) = (number % items.len(), number / 7 % items.len());
            match number % 3 {
                0 => items.swap(at, to),
                1 => drop(items.remove(at)),
                _ => items.push(items[at].clone()),
            }
        }
        Value::Number(_) => *value = if number.is_multiple_of(4) { Value::Null } else { number.into() },
        Value::String(text) if number.is_multiple_of(2) => text.push('x'),
        Value::String(text) => *text = format!("2026-0{}-11T00:00:00Z", number % 9 + 1),
        Value::Bool(flag) => *flag = !*flag,
        Value::Null => *value = number.into(),
        Value::Object(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_change_is_described(changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..500), 1..4)) {
        let before = sample::eventful().figures;
        let mut document = serde_json::to_value(&before).unwrap();
        for (index, number) in changes {
            let mut found = Vec::new();
            pointers(&document, String::new(), &mut found);
            change(document.pointer_mut(&found[index.index(found.len())]).unwrap(), number);
        }
        // Some changes give invalid figures.
        let Ok(after) = serde_json::from_value::<Figures>(document) else { return Ok(()) };
        let sentences = differences(&before, &after);
        prop_assert_eq!(sentences.is_empty(), before == after);
        prop_assert!(sentences.iter().all(|sentence| sentence.ends_with('.')));
    }
}

#[test]
fn a_change_in_every_list_is_described() {
    let before = sample::eventful().figures;
    let document = serde_json::to_value(&before).unwrap();
    for list in document.as_object().unwrap().keys() {
        let mut document = document.clone();
        document[list].as_array_mut().unwrap().remove(0);
        let after = serde_json::from_value(document).unwrap();
        assert_eq!(differences(&before, &after).len(), 1, "{list}");
    }
}

/// A change of a field without a name would be described as a change of the order.
#[test]
fn every_field_is_named() {
    let before = sample::eventful().figures;
    let document = serde_json::to_value(&before).unwrap();
    let mut found = Vec::new();
    pointers(&document, String::new(), &mut found);
    let fields = found.iter().filter(|at| {
        at.split('/').nth(2) == Some("0") && !matches!(document.pointer(at), Some(Value::Array(_) | Value::Object(_)))
    });
    let mut checked = 0;
    for at in fields {
        let others =
            ["x", "2026-01-11T00:00:00Z", "2026-01-11", "INC-7777", "resolved", "closed", "deprecation", "PASS"];
        let others = others.into_iter().chain([
            "over-30-days",
            "LOW",
            "recurring",
            "adopted",
            "proposed",
            "category",
            "mitigate",
            "night",
        ]);
        let others = others.map(Value::from).chain([Value::Bool(false), Value::Bool(true), 7.into(), 7.5.into()]);
        let after = others.filter_map(|other| {
            let mut document = document.clone();
            *document.pointer_mut(at).unwrap() = other;
            serde_json::from_value::<Figures>(document).ok().filter(|after| *after != before)
        });
        let sentences =
            differences(&before, &after.into_iter().next().unwrap_or_else(|| panic!("nothing else fits {at}")));
        assert!(!sentences.iter().any(|sentence| sentence.starts_with("The order")), "{at}: {sentences:?}");
        checked += 1;
    }
    assert!(checked > 80, "{checked}");
}
