//! Digests for tests: an eventful week, a week without incidents, hostile texts, very large lists.

use serde_json::Value;

use super::{Digest, Figures};
use crate::domain::ids::IncidentId;

/// Returns a digest in which every list has rows.
pub fn eventful() -> Digest {
    serde_json::from_str(include_str!("sample.json")).unwrap()
}

/// Returns the digest of a week without incidents, in a lake that is one week old.
pub fn empty() -> Digest {
    let mut digest = eventful();
    digest.figures = Figures::default();
    digest.changed = vec!["There were no incidents.".into()];
    digest.decisions.clear();
    digest.revised = None;
    digest.revision = 1;
    digest.freshness.last_reported_at = None;
    digest
}

/// Text that attacks HTML pages, terminals, wikis, shells and chat channels.
pub const HOSTILE: &str = "</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) <!channel> *b* `c` | d\r\n# e \u{1b}[31m\u{202e}f\u{0}&amp;\"'$(rm -rf /)";

/// Returns a digest in which all texts from outside are hostile.
pub fn hostile() -> Digest {
    fn poison(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let from_outside = [
                        "title",
                        "root_cause",
                        "resource_name",
                        "resource_id",
                        "workspace_id",
                        "cause",
                        "category",
                        "resource_kind",
                        "text",
                    ];
                    if from_outside.contains(&name.as_str()) && value.is_string() {
                        *value = HOSTILE.into();
                    } else if ["changed", "differences", "problems"].contains(&name.as_str()) {
                        *value = vec![HOSTILE].into();
                    } else {
                        poison(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(poison),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(eventful()).unwrap();
    poison(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Returns a digest with very large lists.
pub fn huge() -> Digest {
    fn many<T: Clone>(items: &mut Vec<T>, count: usize, mut number: impl FnMut(&mut T, usize)) {
        let few = std::mem::take(items);
        items.extend(few.iter().cycle().take(count).cloned());
        items.iter_mut().enumerate().for_each(|(n, item)| number(item, n));
    }
    let mut digest = eventful();
    let figures = &mut digest.figures;
    many(&mut figures.open, 10_000, |open, n| open.incident_id = IncidentId::from_ordinal(n as u64 + 1));
    many(&mut figures.offenders, 1_000, |one, n| one.resource_id = n.to_string());
    many(&mut figures.causes, 1_000, |cause, n| (cause.cause, cause.rank) = (format!("c1:{n:016x}"), n as u64 + 1));
    many(&mut figures.recurring, 500, |issue, n| issue.episode_id = format!("rec-{n:016x}"));
    many(&mut figures.prevention, 500, |effect, n| effect.cause = format!("c1:{n:016x}"));
    for hour in &mut figures.hours {
        hour.incidents *= 1_000;
    }
    for day in &mut figures.days {
        day.incidents *= 10_000;
    }
    digest
}
