//! The list of all tables.

use super::{
    Row, TableDef,
    rows::{
        AuditRow, CauseAlias, Delivery, DigestRow, EscalationEvent, IncidentState, JobRun, PracticeCheck,
        PreventiveAction, RecurrenceEvent, RejectedInput, RootCause, RunbookStep, TimelineEvent,
    },
};

/// The system of record.
pub const AUDIT_LOG: &TableDef = AuditRow::TABLE;

/// The projections: tables that are computed from the audit log and can be rebuilt.
pub const PROJECTIONS: [&TableDef; 13] = [
    IncidentState::TABLE,
    TimelineEvent::TABLE,
    RootCause::TABLE,
    PracticeCheck::TABLE,
    RunbookStep::TABLE,
    EscalationEvent::TABLE,
    RecurrenceEvent::TABLE,
    CauseAlias::TABLE,
    PreventiveAction::TABLE,
    DigestRow::TABLE,
    JobRun::TABLE,
    Delivery::TABLE,
    RejectedInput::TABLE,
];

/// Returns all tables, the audit log first.
pub fn all() -> impl Iterator<Item = &'static TableDef> {
    std::iter::once(AUDIT_LOG).chain(PROJECTIONS)
}

/// Returns all tables in copy order. The audit log is first because all other rows refer to it. The incident states are last, so
/// that an incident that exists has all of its events, causes and steps.
pub fn in_copy_order() -> impl Iterator<Item = &'static TableDef> {
    let last = IncidentState::TABLE;
    all().filter(move |def| def.name != last.name).chain(std::iter::once(last))
}
