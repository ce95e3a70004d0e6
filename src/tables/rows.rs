//! The rows of the lake's tables.

use super::table;
use crate::domain::{
    check::{CheckStatus, Severity},
    escalation::{
        status::{AlertEvent, AlertStatus},
        trigger::Trigger,
    },
    ids::{Id, IncidentId, RequestKey},
    incident::{
        classification::{Confidence, IncidentType, Status},
        timeline::EventKind,
    },
    interface::Interface,
    notification::{
        channel::ChannelKind,
        event::{DeliveryEvent, NotificationKind},
    },
    policy::Destination,
    prevention::state::PreventionState,
    recurrence::event::EpisodeEvent,
    remediation::{RemediationKind, RemediationResult},
    time::Timestamp,
};

table! {
    /// The system of record: one row per accepted request, append-only, chained by hash. All other tables are computed
    /// from it.
    AuditRow = "audit_log", stats [seq, recorded_at, request_key, incident_id, workspace_id],
    bloom [request_key, incident_id], sort [seq], key [seq]
    {
        /// Position in the log: 1, 2, 3 … without gaps.
        seq: u64,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Who made the request, such as agent:databricks_mcp_agent.
        actor: Id,
        /// Interface of the request: cli, demo, scan, sweep, mcp, inbox, deliver, pagerduty.
        interface: Interface,
        /// Actions of the request: INVESTIGATE, RCA, REMEDIATE, VALIDATE, ACKNOWLEDGE, ESCALATE, CLOSE, REOPEN, CORRECT, SUPPRESS,
        /// DETECT, CLASSIFY, PREVENT, SUMMARIZE, REJECT, NOTIFY; comma-separated.
        action: String,
        /// Operation, such as record_report.
        request_kind: String,
        /// Idempotency id: a request with the same id is recorded once.
        request_id: Id,
        /// First 16 hex digits of SHA-256 over request_id, for lookups.
        request_key: RequestKey,
        /// SHA-256 over the redacted request as canonical JSON, lower-case hex.
        request_hash: String,
        /// Id of the incident. Null if the request concerns none.
        incident_id: Option<IncidentId>,
        /// Type of the incident.
        incident_type: Option<IncidentType>,
        /// Machine name of the incident.
        incident_slug: Option<Id>,
        /// Id of the Databricks workspace.
        workspace_id: Option<Id>,
        /// Affected resources as kind_id=id, comma-separated.
        resources: Option<String>,
        /// Effective confidence: HIGH, MEDIUM, LOW.
        finding_confidence: Option<Confidence>,
        /// Applied settings as JSON. Null if none were applied.
        remediation_applied: Option<String>,
        /// Reported impact on compliance.
        compliance_impact: Option<String>,
        /// OPEN while the incident is not resolved, else COMPLETE. COMPLETE also for requests without an incident.
        status: String,
        /// The redacted request and its facts as canonical JSON (RFC 8785).
        entry: String,
        /// entry_hash of the previous row; 64 zeros in the first row.
        prev_hash: String,
        /// Lower-case hex SHA-256 over prev_hash followed by entry.
        entry_hash: String,
    }
}

table! {
    /// One row per request that changed an incident, with the state of the incident after it. The row with the latest seq
    /// of an incident is its current state.
    IncidentState = "incident_states", stats [incident_id, seq, reported_at], bloom [incident_id], sort [seq], key [seq]
    {
        /// Id of the incident.
        incident_id: IncidentId,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Time of the report (UTC).
        reported_at: Timestamp,
        /// Start of the impact on users (UTC).
        impact_started_at: Option<Timestamp>,
        /// Time of detection (UTC).
        detected_at: Option<Timestamp>,
        /// Time of the first explicit acknowledgement, an ACK event (UTC).
        acknowledged_at: Option<Timestamp>,
        /// Time of the first successful REMEDIATE or VERIFY event (UTC).
        mitigated_at: Option<Timestamp>,
        /// Time of the first CLOSE event, also if the incident was reopened (UTC).
        first_resolved_at: Option<Timestamp>,
        /// Time of the last CLOSE event (UTC). Null unless the incident is resolved.
        resolved_at: Option<Timestamp>,
        /// Number of times the incident was reopened.
        reopened: i32,
        /// Total seconds during which the incident was open: the sum of its open intervals. Null until it is resolved.
        open_seconds: Option<f64>,
        /// job-failure, validation-gap, security-finding, deprecation, compliance.
        incident_type: IncidentType,
        /// investigating, escalated, resolved.
        status: Status,
        /// Machine name of the incident.
        slug: Id,
        /// Title in one line. Untrusted text from outside; escape it in every output.
        title: String,
        /// Who or what detected the incident.
        reporter: Id,
        /// Who made the request.
        actor: Id,
        /// Id of the request.
        request_id: Id,
        /// Id of the Databricks workspace.
        workspace_id: Id,
        /// URL of the Databricks workspace.
        workspace_url: Option<String>,
        /// Kind of the first affected resource.
        resource_kind: Option<Id>,
        /// Id of the first affected resource.
        resource_id: Option<Id>,
        /// Name of the first affected resource.
        resource_name: Option<String>,
        /// Text of the root cause, as reported.
        root_cause: Option<String>,
        /// Fingerprint of the root cause. Null if the cause is unknown.
        cause_fingerprint: Option<String>,
        /// Effective confidence.
        confidence: Option<Confidence>,
        /// Impact on compliance.
        compliance_impact: Option<String>,
        /// Lessons learned as a JSON array of strings.
        lessons_learned: Option<String>,
    }
}

table! {
    /// One row per timeline event of an incident.
    TimelineEvent = "timeline_events", stats [incident_id, seq, occurred_at], bloom [incident_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// Id of the incident.
        incident_id: IncidentId,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1. seq and ordinal identify the event, such as 17.3.
        ordinal: i32,
        /// Time of the event (UTC).
        occurred_at: Timestamp,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// DISCOVER, FETCH, ANALYZE, RCA, REMEDIATE, VERIFY, CLOSE, NOTE, ACK, ESCALATE, REOPEN.
        kind: EventKind,
        /// Text of the event. Untrusted text from outside; escape it in every output.
        message: String,
        /// Name of the tool that was called.
        tool: Option<String>,
        /// Evidence as a JSON array of {kind, ref, excerpt}.
        evidence: Option<String>,
        /// Who logged the event.
        actor: Id,
        /// The event that this one corrects, such as 17.3. Corrected events do not count.
        supersedes: Option<String>,
        /// True for a correction that withdraws the corrected event without a replacement.
        withdrawn: bool,
        /// The earlier event with the same content. Duplicate events do not count.
        duplicate_of: Option<String>,
    }
}

table! {
    /// One row per root-cause finding, including findings of an unknown cause.
    RootCause = "root_causes", stats [incident_id, seq, found_at, cause_fingerprint],
    bloom [incident_id, cause_fingerprint], sort [seq], key [seq]
    {
        /// Id of the incident.
        incident_id: IncidentId,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Time at which the cause counts: the time of the report (UTC).
        found_at: Timestamp,
        /// Key of the occurrence: workspace and job run of the incident, else the incident id. Equal keys are one occurrence.
        occurrence_key: String,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Fingerprint of the cause. Null if the cause is unknown.
        cause_fingerprint: Option<String>,
        /// Normalised text of the cause, from which the fingerprint is computed.
        cause_normalised: Option<String>,
        /// Text of the cause, as reported.
        root_cause: String,
        /// Summary of the finding, as reported.
        cause_summary: Option<String>,
        /// Code of the cause, as reported.
        cause_code: Option<Id>,
        /// Effective confidence.
        confidence: Confidence,
        /// Reported confidence.
        confidence_reported: Confidence,
        /// Reason if the effective confidence differs from the reported one.
        confidence_forced_because: Option<String>,
        /// Kinds of evidence that were read, comma-separated.
        evidence: Option<String>,
        /// Kinds of evidence that could not be retrieved, comma-separated.
        missing_evidence: Option<String>,
        /// Class of the error.
        error_class: Option<String>,
        /// Text of the error.
        error_message: Option<String>,
        /// Termination code of Databricks.
        termination_code: Option<String>,
        /// job-failure, validation-gap, security-finding, deprecation, compliance.
        incident_type: IncidentType,
        /// Id of the Databricks workspace.
        workspace_id: Id,
        /// Kind of the first affected resource.
        resource_kind: Option<Id>,
        /// Id of the first affected resource.
        resource_id: Option<Id>,
        /// Name of the first affected resource.
        resource_name: Option<String>,
        /// Attributes of the first affected resource as a JSON object of strings.
        resource_attributes: Option<String>,
    }
}

table! {
    /// One row per best-practice check.
    PracticeCheck = "practice_checks", stats [incident_id, seq, checked_at], bloom [incident_id, resource_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// Id of the incident. Null for a check of a job without an incident.
        incident_id: Option<IncidentId>,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1.
        ordinal: i32,
        /// Time at which the check counts: the time of the check, or of the report that contains it (UTC).
        checked_at: Timestamp,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Reliability, Security, Cost Optimization …
        category: Id,
        /// Name of the check.
        name: Id,
        /// PASS, FAIL, PARTIAL. PARTIAL means incomplete data, not a warning.
        status: CheckStatus,
        /// Severity of a failure.
        severity: Option<Severity>,
        /// Finding of the check.
        finding: Option<String>,
        /// Evidence of the finding.
        evidence: Option<String>,
        /// Id of the Databricks workspace.
        workspace_id: Id,
        /// Kind of the checked resource. Null if the check covers more than one resource.
        resource_kind: Option<Id>,
        /// Id of the checked resource.
        resource_id: Option<Id>,
        /// Name of the checked resource. Untrusted text from outside; escape it in every output.
        resource_name: Option<String>,
    }
}

table! {
    /// One row per remediation step. Runbooks consist of these steps.
    RunbookStep = "runbooks", stats [incident_id, seq], bloom [incident_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// Id of the incident.
        incident_id: IncidentId,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1.
        ordinal: i32,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// job_settings, cluster_settings, warehouse_settings, sql, command.
        kind: RemediationKind,
        /// Title in one line.
        title: String,
        /// Kind of the changed resource.
        resource_kind: Option<Id>,
        /// Id of the changed resource.
        resource_id: Option<Id>,
        /// Name of the changed resource. Untrusted text from outside; escape it in every output.
        resource_name: Option<String>,
        /// Keys of the changed tasks as a JSON array of strings.
        task_keys: Option<String>,
        /// New values by setting as a JSON object.
        changes: Option<String>,
        /// Settings before the change as a JSON object.
        captured_settings: Option<String>,
        /// SQL statement of an sql step.
        statement: Option<String>,
        /// Command of a command step.
        command: Option<String>,
        /// True if the step was applied.
        applied: bool,
        /// SUCCESS or FAILED.
        result: Option<RemediationResult>,
    }
}

table! {
    /// One row per rejected input, with the reason.
    RejectedInput = "rejected_inputs", stats [seq, recorded_at], bloom [], sort [seq], key [seq]
    {
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Source of the input: a file, followed by a colon and the line if the file contains several inputs.
        source: String,
        /// SHA-256 of the bytes of the input, lower-case hex.
        input_hash: String,
        /// Problems of the input as a JSON array of {pointer, message, hint}.
        problems: String,
    }
}

table! {
    /// One row per evaluation of an escalation trigger, even if it did not fire, and per status change of an alert.
    EscalationEvent = "escalation_events", stats [incident_id, seq, occurred_at], bloom [incident_id, dedup_key], sort [seq, ordinal], key [seq, ordinal]
    {
        /// Id of the incident.
        incident_id: IncidentId,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1.
        ordinal: i32,
        /// Time of the event (UTC).
        occurred_at: Timestamp,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// missing-evidence, partial-checks, security-finding, recurring, access-issue.
        trigger: Trigger,
        /// fired, repeated, suppressed, not-fired, cleared, acknowledged, resolved.
        event: AlertEvent,
        /// Status of the alert after the event: open, acknowledged, suppressed, resolved. Null if the alert never fired.
        status: Option<AlertStatus>,
        /// Severity of the alert.
        severity: Option<Severity>,
        /// Deduplication key: identifies the alert.
        dedup_key: String,
        /// Reason of the event.
        reason: String,
        /// Message of the alert. Null if the trigger did not fire.
        message: Option<String>,
        /// Destinations as a JSON array of {channel, kind, to, unacknowledged_minutes}. Null if no route matches.
        routes: Option<String>,
        /// End of the suppression (UTC). Null if the alert is not suppressed.
        quiet_until: Option<Timestamp>,
        /// Who evaluated, acknowledged, resolved or snoozed the alert.
        actor: Id,
    }
}

table! {
    /// One row per change of a recurrence episode.
    RecurrenceEvent = "recurrence_events", stats [incident_id, seq, occurred_at, cause_fingerprint],
    bloom [incident_id, cause_fingerprint], sort [seq], key [seq]
    {
        /// Id of the incident that reached the threshold. It is the same in all rows about the episode.
        incident_id: IncidentId,
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// End of the evaluated time range (UTC).
        occurred_at: Timestamp,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Fingerprint of the cause, after merges.
        cause_fingerprint: String,
        /// Id of the episode.
        episode_id: Id,
        /// opened, updated, closed.
        event: EpisodeEvent,
        /// Reason of the change.
        reason: String,
        /// Number of occurrences in the episode: incidents, of which those about one job run count once.
        incidents: i32,
        /// Time of the first occurrence (UTC).
        first_at: Timestamp,
        /// Time of the last occurrence (UTC).
        last_at: Timestamp,
        /// Number of occurrences within the window that make a cause recurring.
        threshold: i32,
        /// Length of the window in hours.
        window_hours: i32,
        /// Content of the alert as JSON: cause, incidents, pattern, confidence, preventive actions, policy template.
        detail: String,
    }
}

table! {
    /// One row per merge of a cause into another one, or split from it. The latest seq of a fingerprint counts.
    CauseAlias = "cause_aliases", stats [seq, cause_fingerprint], bloom [cause_fingerprint], sort [seq, ordinal], key [seq, ordinal]
    {
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1.
        ordinal: i32,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Fingerprint of the cause.
        cause_fingerprint: String,
        /// Fingerprint of the cause that it counts as; its own after a split. It is never an alias itself.
        counts_as: String,
        /// Who merged or split the causes.
        actor: Id,
        /// Reason of the merge or split.
        reason: Option<String>,
    }
}

table! {
    /// One row per state change of a preventive action.
    PreventiveAction = "preventive_actions", stats [seq, occurred_at, cause_fingerprint], bloom [cause_fingerprint], sort [seq, ordinal], key [seq, ordinal]
    {
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1.
        ordinal: i32,
        /// Time of the event (UTC).
        occurred_at: Timestamp,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Fingerprint of the cause that the action prevents.
        cause_fingerprint: String,
        /// Name of the action in the catalogue.
        action: Id,
        /// proposed, adopted, effective, recurred.
        state: PreventionState,
        /// Who changed the state.
        actor: Id,
        /// Note about the change, such as the incident that occurred after the adoption.
        note: Option<String>,
    }
}

table! {
    /// One row per revision of a weekly digest.
    DigestRow = "digests", stats [seq, week_start], bloom [], sort [seq], key [seq]
    {
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// ISO week, such as 2026-W08.
        week: String,
        /// IANA time zone of the week.
        time_zone: String,
        /// Start of the week (UTC).
        week_start: Timestamp,
        /// End of the week, exclusive (UTC).
        week_end: Timestamp,
        /// Revision of the digest, from 1. It increases whenever the content changes.
        revision: i32,
        /// The digest as JSON.
        content: String,
    }
}

table! {
    /// One row per ended job run, and one more if a repair changed its result. The latest seq of a run counts. The runs are the
    /// denominators of failure rates.
    JobRun = "job_runs", stats [seq, workspace_id, job_id, started_at], bloom [job_id], sort [seq],
    key [seq, run_id]
    {
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Id of the Databricks workspace.
        workspace_id: Id,
        /// Id of the job, unique in its workspace.
        job_id: Id,
        /// Id of the run.
        run_id: Id,
        /// Name of the job.
        job_name: Option<String>,
        /// Start of the run (UTC).
        started_at: Timestamp,
        /// End of the run (UTC).
        ended_at: Option<Timestamp>,
        /// Result state that the platform reports.
        result_state: Option<String>,
        /// Termination code of Databricks.
        termination_code: Option<String>,
        /// Number of tasks that needed more than one attempt, by a retry or a repair.
        retried_tasks: Option<i32>,
    }
}

table! {
    /// One row per step in the delivery of a notification through a channel.
    Delivery = "deliveries", stats [seq, occurred_at], bloom [lane, incident_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// seq of the audit_log row that this row is computed from.
        seq: u64,
        /// Position within the request, from 1.
        ordinal: i32,
        /// Time of the event (UTC).
        occurred_at: Timestamp,
        /// Time at which the ledger recorded the request (UTC).
        recorded_at: Timestamp,
        /// Id of the incident. Null for a digest.
        incident_id: Option<IncidentId>,
        /// seq of the event that caused the notification.
        source_seq: u64,
        /// Ordinal of that event, as in escalation_events.
        source_ordinal: i32,
        /// Kind of the notification: trigger, again, acknowledge, resolve, change, digest, undelivered.
        says: NotificationKind,
        /// Name of the channel in the configuration.
        channel: Id,
        /// pagerduty, slack, email, teams, webhook.
        channel_kind: ChannelKind,
        /// Stream of the notification: a stream is delivered in order. For alerts it is the deduplication key.
        lane: String,
        /// claimed, delivered, partly, retry, unknown, dead, skipped.
        event: DeliveryEvent,
        /// Number of delivery attempts so far, including this one.
        attempt: i32,
        /// claimed: end of the claim. partly, retry, unknown: time of the next attempt (UTC).
        until_at: Option<Timestamp>,
        /// Reason if it was not delivered, or not to all recipients.
        reason: Option<String>,
        /// Id of the message at the receiver.
        receipt: Option<String>,
        /// Steps of one request with the same bundle and channel are one message.
        bundle: Option<i32>,
        /// All notifications up to this audit_log row were settled.
        settled_to: u64,
        /// Id of the sending process.
        deliverer: Id,
    }
}

impl EscalationEvent {
    /// Returns the recorded destinations.
    ///
    /// # Errors
    /// If the column contains no list of destinations.
    pub fn destinations(&self) -> Result<Vec<Destination>, serde_json::Error> {
        self.routes.as_deref().map_or(Ok(Vec::new()), serde_json::from_str)
    }

    /// Returns true if no destination has a recipient.
    pub fn has_no_recipient(&self) -> bool {
        self.destinations().is_ok_and(|destinations| destinations.iter().all(|destination| destination.to.is_none()))
    }
}
