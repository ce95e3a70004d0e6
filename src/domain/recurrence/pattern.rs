//! Attributes that the affected resources share and the unaffected ones do not.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::issue::{Member, shorten};
use crate::domain::time::Timestamp;

/// Attributes of a resource by name.
pub type Attributes = BTreeMap<String, String>;

/// Maximum number of facts.
const MAX_FACTS: usize = 8;
/// Maximum number of characters of a fact's key or value.
const MAX_CHARS: usize = 120;

/// A resource with a cause. A row of `sql/cause_resources.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct FoundResource {
    /// After merges and splits.
    pub cause: String,
    pub workspace_id: String,
    pub resource_kind: String,
    pub resource_id: String,
    pub resource_name: Option<String>,
    /// Empty when nothing was recorded.
    #[serde(rename = "resource_attributes", deserialize_with = "attributes")]
    #[schemars(with = "Option<String>")]
    pub attributes: Attributes,
    /// Time of the latest finding.
    pub found_at: Timestamp,
    /// There is no later finding about the resource, with any cause.
    pub is_latest: bool,
}

impl FoundResource {
    fn is_same_as(&self, other: &Self) -> bool {
        (&self.workspace_id, &self.resource_kind, &self.resource_id)
            == (&other.workspace_id, &other.resource_kind, &other.resource_id)
    }
}

/// Returns the resources to compare with those that had `cause` since `since`: resources of the same workspaces that had only
/// other causes since then. `resources` are ordered by workspace, kind and id.
pub fn others<'a>(resources: &'a [FoundResource], cause: &str, since: Timestamp) -> Vec<&'a FoundResource> {
    let is_affected = |one: &FoundResource| one.cause == cause && one.found_at >= since;
    let affected = resources.iter().filter(|one| is_affected(one));
    let workspaces: BTreeSet<&str> = affected.map(|one| one.workspace_id.as_str()).collect();
    resources
        .chunk_by(FoundResource::is_same_as)
        .filter(|findings| !findings.iter().any(is_affected))
        .filter_map(|findings| findings.iter().find(|one| one.is_latest && one.found_at >= since))
        .filter(|one| workspaces.contains(one.workspace_id.as_str()))
        .collect()
}

/// Facts that all affected resources share, and the number of other resources that share them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Affected resources, each counted once.
    pub affected: u64,
    /// Their kind, if all have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the affected resource, else its id, if there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// The shared facts. Less than half of the other resources with a value for the fact share it.
    pub facts: Vec<Fact>,
    /// Number of other resources with values for all of these facts.
    pub others: u64,
    /// Number of these that share all of the facts.
    pub others_sharing: u64,
}

/// An attribute of a resource, such as `max_retries=0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    pub key: String,
    pub value: String,
}

/// Returns the pattern of an episode. `None`: several resources are affected and no fact distinguishes them.
///
/// The latest member of a resource counts. Attributes that were not recorded are unknown and not compared.
pub fn pattern(members: &[Member], others: &[&FoundResource]) -> Option<Pattern> {
    let mut affected: BTreeMap<(&str, &str, &str), &Member> = BTreeMap::new();
    for member in members {
        let Some((kind, id)) = member.resource_kind.as_deref().zip(member.resource_id.as_deref()) else {
            return None; // an incident without a resource shares nothing
        };
        let known = affected.entry((&member.workspace_id, kind, id)).or_insert(member);
        if member.seq > known.seq {
            *known = member;
        }
    }
    let resources: Vec<&Member> = affected.into_values().collect();
    let (first, rest) = resources.split_first()?;
    let has = |attributes: &Attributes, (key, value): (&String, &String)| attributes.get(key) == Some(value);
    let shared = first.attributes.iter().filter(|fact| rest.iter().all(|resource| has(&resource.attributes, *fact)));
    let distinctive = |(key, _): &(&String, &String)| {
        let with_value = others.iter().filter(|other| other.attributes.contains_key(*key)).count();
        let sharing = others.iter().filter(|other| other.attributes.get(*key) == first.attributes.get(*key)).count();
        with_value == 0 || sharing * 2 < with_value
    };
    let facts: Vec<(&String, &String)> = shared.filter(distinctive).take(MAX_FACTS).collect();
    if facts.is_empty() && !rest.is_empty() {
        return None;
    }
    let comparable: Vec<&FoundResource> = others
        .iter()
        .copied()
        .filter(|other| facts.iter().all(|(key, _)| other.attributes.contains_key(*key)))
        .collect();
    let sharing = comparable.iter().filter(|other| facts.iter().all(|fact| has(&other.attributes, *fact))).count();
    let kinds: BTreeSet<Option<&str>> = resources.iter().map(|resource| resource.resource_kind.as_deref()).collect();
    let name = || first.resource_name.as_deref().or(first.resource_id.as_deref());
    let cut = |text: &str| shorten(text, MAX_CHARS);
    Some(Pattern {
        affected: resources.len() as u64,
        kind: (kinds.len() == 1).then_some(first.resource_kind.as_deref()).flatten().map(cut),
        only: rest.is_empty().then(name).flatten().map(cut),
        facts: facts.iter().map(|(key, value)| Fact { key: cut(key), value: cut(value) }).collect(),
        others: comparable.len() as u64,
        others_sharing: sharing as u64,
    })
}

/// Reads a JSON object of strings. Null is read as empty.
pub(super) fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(json) => serde_json::from_str(&json).map_err(serde::de::Error::custom),
        None => Ok(Attributes::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recurrence::issue::tests::member;

    fn other(name: &str, attributes: &[(&str, &str)]) -> FoundResource {
        FoundResource {
            cause: "c1:1".into(),
            workspace_id: "1".into(),
            resource_kind: "job".into(),
            resource_id: name.into(),
            resource_name: Some(name.into()),
            attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            found_at: "2026-02-01T00:00:00Z".parse().unwrap(),
            is_latest: true,
        }
    }

    fn with(n: u64, name: &str, attributes: &[(&str, &str)]) -> Member {
        Member { attributes: other(name, attributes).attributes, ..member(n, name) }
    }

    fn facts(pattern: &Option<Pattern>) -> Vec<String> {
        let facts = pattern.iter().flat_map(|pattern| &pattern.facts);
        facts.map(|fact| format!("{}={}", fact.key, fact.value)).collect()
    }

    #[test]
    fn the_pattern_is_shared_by_all_affected_resources_and_few_others() {
        let members = [
            with(1, "a", &[("compute", "serverless"), ("max_retries", "0"), ("team", "x")]),
            with(2, "b", &[("compute", "serverless"), ("max_retries", "0"), ("team", "y")]),
            with(3, "c", &[("compute", "serverless"), ("max_retries", "0")]),
        ];
        let others = [
            other("d", &[("compute", "serverless"), ("max_retries", "3")]),
            other("e", &[("compute", "serverless"), ("max_retries", "0")]),
            other("f", &[("compute", "classic"), ("max_retries", "2")]),
            other("g", &[]),
        ];
        let found = pattern(&members, &others.each_ref());
        assert_eq!(facts(&found), ["max_retries=0"], "most others are serverless too");
        let found = found.unwrap();
        assert_eq!((found.affected, found.others, found.others_sharing), (3, 3, 1), "g has no value for it");
        assert_eq!(found.kind.as_deref(), Some("job"));

        let alone = pattern(&members, &[]);
        assert_eq!(facts(&alone), ["compute=serverless", "max_retries=0"]);
        assert_eq!(alone.unwrap().others, 0);
    }

    #[test]
    fn other_resources_are_in_the_same_workspace_with_only_other_causes() {
        let at = |hour: u32| format!("2026-02-01T{hour:02}:00:00Z").parse::<Timestamp>().unwrap();
        let found = |workspace: &str, name: &str, cause: &str, hour, is_latest| FoundResource {
            workspace_id: workspace.into(),
            cause: cause.into(),
            found_at: at(hour),
            is_latest,
            ..other(name, &[])
        };
        let resources = [
            found("1", "both", "a", 5, false),
            found("1", "both", "b", 9, true),
            found("1", "early a", "a", 2, false),
            found("1", "early a", "b", 6, true),
            found("1", "early b", "b", 2, true),
            found("1", "late b", "b", 4, true),
            found("2", "elsewhere", "b", 9, true),
        ];
        let check = |cause: &str, hour, expected: &[&str]| {
            let found = others(&resources, cause, at(hour));
            assert_eq!(
                found.iter().map(|one| one.resource_id.as_str()).collect::<Vec<_>>(),
                expected,
                "{cause} {hour}"
            );
        };
        check("a", 0, &["early b", "late b"]);
        check("a", 4, &["early a", "late b"]);
        check("a", 6, &[]);
        check("b", 0, &[]);
        check("c", 0, &[]);
    }

    #[test]
    fn resources_without_shared_facts_have_no_pattern() {
        assert_eq!(pattern(&[with(1, "a", &[("x", "1")]), with(2, "b", &[("x", "2")])], &[]), None);
        assert_eq!(pattern(&[with(1, "a", &[]), with(2, "b", &[])], &[]), None);
        assert_eq!(pattern(&[], &[]), None);
        let nowhere = Member { resource_id: None, ..member(3, "c") };
        assert_eq!(pattern(&[with(1, "a", &[("x", "1")]), nowhere], &[]), None);
    }

    #[test]
    fn one_resource_is_a_pattern_with_its_latest_attributes() {
        let members = [with(1, "a", &[("v", "1")]), with(3, "a", &[("v", "3")]), with(2, "a", &[("v", "2")])];
        let found = pattern(&members, &[]);
        assert_eq!(facts(&found), ["v=3"]);
        let found = found.unwrap();
        assert_eq!((found.affected, found.only.as_deref()), (1, Some("a")));
        assert_eq!(pattern(&[with(1, "a", &[])], &[]).map(|found| found.only), Some(Some("a".into())));
    }
}
