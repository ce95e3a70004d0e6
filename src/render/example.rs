//! Records for the tests of this module: the examples, an incident of any report, and text nobody would wish for.

use proptest::{collection::vec, prelude::*, sample::select};

use super::timeline::IncidentRecord;
use crate::{
    domain::{
        chain::GENESIS_HASH,
        entry::{ENTRY_VERSION, Entry, Request},
        ids::{IncidentId, RequestKey},
        incident::opening_facts,
        policy::Policy,
        report::Report,
        time::Timestamp,
        words::Interface,
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

/// An incident as the lake would hold it.
pub struct Recorded {
    pub projections: Projections,
    pub audit: Vec<AuditRow>,
}

impl Recorded {
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

/// The hash is made up, so that the snapshots do not depend on how causes are identified.
pub fn recorded(report: Report) -> Recorded {
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
    Recorded { projections, audit: vec![row] }
}

/// Any characters, the dangerous ones more often than they deserve.
pub fn hostile_text() -> impl Strategy<Value = String> {
    let dangerous = select(
        "\n\r\t\0\u{1b}\u{7}\u{8}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{feff}\u{fe0f}\u{301}日⚠"
            .chars()
            .collect::<Vec<_>>(),
    );
    vec(prop_oneof![any::<char>(), dangerous], 1..40).prop_map(|characters| characters.into_iter().collect())
}

/// Nothing in the output acts on a terminal but the line ends the layout put there.
pub fn assert_safe(output: &str) {
    for line in output.split('\n') {
        assert_eq!(super::plain::line(line), line);
    }
}
