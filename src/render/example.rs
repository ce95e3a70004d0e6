//! Test data of this module: the examples, the records of any report, and hostile text.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};

use super::timeline::IncidentRecord;
use crate::{
    domain::{
        chain::GENESIS_HASH,
        entry::{ENTRY_VERSION, Entry, Request},
        ids::{IncidentId, RequestKey},
        incident::opening_facts,
        interface::Interface,
        policy::Policy,
        report::Report,
        time::Timestamp,
    },
    tables::{
        project::{Projections, audit_row},
        rows::AuditRow,
    },
};

pub const DAILY_ETL: &str = include_str!("../../tests/examples/01-daily-etl-no-retries.json");
pub const NO_RUN_OUTPUT: &str = include_str!("../../tests/examples/04-run-output-unavailable.json");
pub const VALIDATION: &str = include_str!("../../tests/examples/05-workspace-validation.json");
pub const HOSTILE: &str = include_str!("../../tests/examples/06-hostile-names-and-secrets.json");

/// The rows of one incident, as in the lake.
pub struct RecordedIncident {
    pub projections: Projections,
    pub audit: Vec<AuditRow>,
}

impl RecordedIncident {
    pub fn record(&self) -> IncidentRecord<'_> {
        IncidentRecord {
            states: &self.projections.incident_states,
            events: &self.projections.timeline_events,
            causes: &self.projections.root_causes,
            checks: &self.projections.practice_checks,
            steps: &self.projections.runbooks,
            alerts: &self.projections.escalation_events,
            audit: &self.audit,
        }
    }
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn report(json: &str) -> Report {
    serde_json::from_str(json).unwrap()
}

/// Records a report as INC-1042, row 17. The entry hash is fixed, which keeps snapshots stable.
pub fn recorded(report: Report) -> RecordedIncident {
    let (request_id, now) = (report.report_id.clone().unwrap(), time("2026-02-20T12:36:00Z"));
    let id = IncidentId::from_ordinal(42);
    let entry = Entry {
        version: ENTRY_VERSION,
        seq: 17,
        recorded_at: now,
        interface: Interface::Cli,
        facts: opening_facts(&report, id, &RequestKey::of(&request_id), &Policy::default(), now),
        request_id,
        request: Request::RecordReport(Box::new(report)),
    };
    let mut projections = Projections::default();
    projections.add(&entry).unwrap();
    let mut row = audit_row(&entry, entry.canonical().unwrap(), GENESIS_HASH.into()).unwrap();
    row.entry_hash = "9f2c".repeat(16);
    RecordedIncident { projections, audit: vec![row] }
}

/// Any characters, with many that act on a terminal.
pub fn hostile_text() -> impl Strategy<Value = String> {
    let dangerous = select(
        "\n\r\t\0\u{1b}\u{7}\u{8}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{fe0f}\u{301}日⚠"
            .chars()
            .collect::<Vec<_>>(),
    );
    vec(prop_oneof![any::<char>(), dangerous], 1..40).prop_map(|characters| characters.into_iter().collect())
}

/// Text of any length with much markup of the output formats.
pub fn any_text() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "<!channel>",
        "<@U012>",
        "<#C012|x>",
        "@here",
        "@Channel!",
        "&",
        "<",
        ">",
        "*b*",
        "_i_",
        "~s~",
        "`c`",
        "日",
        "é",
        " word ",
        "\n",
        "https://e.test",
        "\u{202e}",
    ]);
    prop_oneof![
        hostile_text(),
        (vec(pieces, 0..30), 1usize..20).prop_map(|(pieces, times)| pieces.concat().repeat(times)),
    ]
}

/// Returns the element and attribute names of a page. Panics if an element is not closed in order or an attribute not quoted.
pub fn checked(page: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut elements, mut attributes, mut open) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > in {:?}", &rest[..start]);
        let tag = &rest[start + 1..];
        let end = tag.find('>').expect("a tag that ends");
        let (tag, after) = (&tag[..end], &tag[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed out of order");
            continue;
        }
        let (tag, closed) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut parts) = tag.split_once(' ').unwrap_or((tag, ""));
        while let Some((attribute, value)) = parts.split_once("=\"") {
            attributes.insert(attribute.trim().to_owned());
            parts = value.split_once('"').expect("a quoted value").1;
        }
        assert!(parts.trim().is_empty(), "an attribute without a value in {tag:?}");
        elements.insert(name.to_owned());
        if !closed && !["meta", "br"].contains(&name) {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    (elements, attributes)
}

/// Asserts that the output holds no character that acts on a terminal, except the line ends of the layout.
pub fn assert_safe(output: &str) {
    for line in output.split('\n') {
        assert_eq!(super::plain::line(line), line);
    }
}
