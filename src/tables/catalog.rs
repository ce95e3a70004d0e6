//! Which tables there are.

use super::{
    Row, TableDef,
    rows::{
        AuditRow, CauseAlias, Delivery, DigestRow, EscalationEvent, IncidentState, JobRun, PracticeCheck,
        PreventiveAction, RecurrenceEvent, RejectedInput, RootCause, RunbookStep, TimelineEvent,
    },
};

/// The system of record.
pub const AUDIT_LOG: &TableDef = AuditRow::TABLE;

/// Everything that is computed from it, and can be computed again.
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

/// All tables, the audit log first.
pub fn all() -> impl Iterator<Item = &'static TableDef> {
    std::iter::once(AUDIT_LOG).chain(PROJECTIONS)
}

/// All tables in the order in which they are copied: the audit log first, because every other row refers to a row of it, and the
/// states of incidents last, as the projection has it: an incident that is there has its events, causes and steps.
pub fn in_copy_order() -> impl Iterator<Item = &'static TableDef> {
    let last = IncidentState::TABLE;
    all().filter(move |def| def.name != last.name).chain(std::iter::once(last))
}
