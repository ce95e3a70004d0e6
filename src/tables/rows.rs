//! The rows of the lake's tables.

use super::table;
use crate::domain::{
    ids::{Id, IncidentId, RequestKey},
    policy::Destination,
    time::Timestamp,
    words::{
        AlertEvent, AlertStatus, ChannelKind, CheckStatus, Confidence, DeliveryEvent, EpisodeEvent, EventKind,
        IncidentType, Interface, NoticeKind, PreventionState, RemediationKind, RemediationResult, Severity, Status,
        Trigger,
    },
};

table! {
    /// The system of record: one row per accepted request, chained by hash, append-only. Every other table is computed
    /// from it.
    AuditRow = "audit_log", stats [seq, recorded_at, request_key, incident_id, workspace_id],
    bloom [request_key, incident_id], sort [seq], key [seq]
    {
        /// Position in the log: 1, 2, 3 … without gaps.
        seq: u64,
        /// When: the moment the ledger took the request (UTC).
        recorded_at: Timestamp,
        /// Who handed it in, such as agent:databricks_mcp_agent.
        actor: Id,
        /// By which way it came in: cli, demo, scan, sweep, inbox, mcp.
        interface: Interface,
        /// What was done: INVESTIGATE, RCA, REMEDIATE, VALIDATE, ACKNOWLEDGE, ESCALATE, CLOSE, REOPEN, CORRECT, SUPPRESS,
        /// DETECT, CLASSIFY, PREVENT, SUMMARIZE, REJECT; comma-separated.
        action: String,
        /// Which operation was asked for, such as record_report.
        request_kind: String,
        /// The id under which the request is recorded once.
        request_id: Id,
        /// First 16 hex digits of SHA-256 over request_id, for look-ups.
        request_key: RequestKey,
        /// SHA-256 over the redacted request as canonical JSON, lower-case hex.
        request_hash: String,
        /// The incident the request is about.
        incident_id: Option<IncidentId>,
        /// Why: the type of the incident.
        incident_type: Option<IncidentType>,
        /// What: the machine name of the incident.
        incident_slug: Option<Id>,
        /// Where: the id of the workspace.
        workspace_id: Option<Id>,
        /// Where: kind_id=id of each affected resource, comma-separated.
        resources: Option<String>,
        /// The confidence that counts: HIGH, MEDIUM, LOW.
        finding_confidence: Option<Confidence>,
        /// How: the settings that were applied, as JSON. Null when nothing was.
        remediation_applied: Option<String>,
        /// What it means for compliance, as reported.
        compliance_impact: Option<String>,
        /// OPEN while the incident is not resolved, else COMPLETE; COMPLETE for what changes no incident.
        status: String,
        /// The whole redacted request and its facts, canonical JSON (RFC 8785).
        entry: String,
        /// entry_hash of the row before; 64 zeros for the first.
        prev_hash: String,
        /// Lower-case hex SHA-256 over prev_hash followed by entry.
        entry_hash: String,
    }
}

table! {
    /// One row per request that changed what is known of an incident: its state from then on. The latest seq of an
    /// incident counts.
    IncidentState = "incident_states", stats [incident_id, seq, reported_at], bloom [incident_id], sort [seq], key [seq]
    {
        /// The incident.
        incident_id: IncidentId,
        /// The audit_log row that says so.
        seq: u64,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// When it was reported.
        reported_at: Timestamp,
        /// When users began to be affected.
        impact_started_at: Option<Timestamp>,
        /// When somebody or something noticed.
        detected_at: Option<Timestamp>,
        /// The first explicit acknowledgement (timeline ACK).
        acknowledged_at: Option<Timestamp>,
        /// The first successful REMEDIATE or VERIFY.
        mitigated_at: Option<Timestamp>,
        /// The first CLOSE, also of an incident that was reopened since.
        first_resolved_at: Option<Timestamp>,
        /// The last CLOSE, of a resolved incident only.
        resolved_at: Option<Timestamp>,
        /// How often it was reopened.
        reopened: i32,
        /// Seconds during which it was open, in total: the sum of the open intervals. Null until it is resolved.
        open_seconds: Option<f64>,
        /// job-failure, validation-gap, security-finding, deprecation, compliance.
        incident_type: IncidentType,
        /// investigating, escalated, resolved.
        status: Status,
        /// Short machine name.
        slug: Id,
        /// One line for people. From outside: hostile in every output language.
        title: String,
        /// Who or what noticed.
        reporter: Id,
        /// Who handed it in.
        actor: Id,
        /// The request that says so.
        request_id: Id,
        /// The id of the workspace.
        workspace_id: Id,
        /// The address of the workspace.
        workspace_url: Option<String>,
        /// Kind of the first affected resource.
        resource_kind: Option<Id>,
        /// Id of the first affected resource.
        resource_id: Option<Id>,
        /// Name of the first affected resource.
        resource_name: Option<String>,
        /// The root cause in the words of the report.
        root_cause: Option<String>,
        /// Identity of the root cause; null when it is unknown.
        cause_fingerprint: Option<String>,
        /// The confidence that counts.
        confidence: Option<Confidence>,
        /// What it means for compliance.
        compliance_impact: Option<String>,
        /// Lessons learned, a JSON array of strings.
        lessons_learned: Option<String>,
    }
}

table! {
    /// One row per thing that happened in an incident.
    TimelineEvent = "timeline_events", stats [incident_id, seq, occurred_at], bloom [incident_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The incident.
        incident_id: IncidentId,
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1. With seq it names the event: 17.3.
        ordinal: i32,
        /// When it happened.
        occurred_at: Timestamp,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// DISCOVER, FETCH, ANALYZE, RCA, REMEDIATE, VERIFY, CLOSE, NOTE, ACK, ESCALATE, REOPEN.
        kind: EventKind,
        /// What happened. From outside: hostile in every output language.
        message: String,
        /// The tool that was called.
        tool: Option<String>,
        /// What it rests on: a JSON array of {kind, ref, excerpt}.
        evidence: Option<String>,
        /// Who logged it.
        actor: Id,
        /// The event that this one corrects, such as 17.3; the corrected one does not count any more.
        supersedes: Option<String>,
        /// True for a correction that takes the corrected event back without putting another in its place.
        withdrawn: bool,
        /// The earlier event that says the same: this one does not count.
        duplicate_of: Option<String>,
    }
}

table! {
    /// One row per root-cause finding, also when the cause is unknown.
    RootCause = "root_causes", stats [incident_id, seq, found_at, cause_fingerprint],
    bloom [incident_id, cause_fingerprint], sort [seq], key [seq]
    {
        /// The incident.
        incident_id: IncidentId,
        /// The audit_log row that says so.
        seq: u64,
        /// When the incident was reported: the time at which the cause counts.
        found_at: Timestamp,
        /// What counts as one occurrence: the workspace and the job run the incident is about, else the incident.
        occurrence_key: String,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// Identity of the cause; null when it is unknown.
        cause_fingerprint: Option<String>,
        /// The cause in its normal form, which the fingerprint is made from.
        cause_normalised: Option<String>,
        /// The cause in the words of the report.
        root_cause: String,
        /// What happened, in a sentence, as the report puts it.
        cause_summary: Option<String>,
        /// The code the report gave.
        cause_code: Option<Id>,
        /// The confidence that counts.
        confidence: Confidence,
        /// The confidence that was reported.
        confidence_reported: Confidence,
        /// Why they differ.
        confidence_forced_because: Option<String>,
        /// Kinds of evidence that were read, comma-separated.
        evidence: Option<String>,
        /// Kinds of evidence that could not be had, comma-separated.
        missing_evidence: Option<String>,
        /// The class of the error.
        error_class: Option<String>,
        /// The text of the error.
        error_message: Option<String>,
        /// Termination code, in the words of Databricks.
        termination_code: Option<String>,
        /// job-failure, validation-gap, security-finding, deprecation, compliance.
        incident_type: IncidentType,
        /// The id of the workspace.
        workspace_id: Id,
        /// Kind of the first affected resource.
        resource_kind: Option<Id>,
        /// Id of the first affected resource.
        resource_id: Option<Id>,
        /// Name of the first affected resource.
        resource_name: Option<String>,
        /// Attributes of the first affected resource, a JSON object of strings.
        resource_attributes: Option<String>,
    }
}

table! {
    /// One row per best-practice check that was made.
    PracticeCheck = "practice_checks", stats [incident_id, seq, checked_at], bloom [incident_id, resource_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The incident; null for a check of a job about which there is none.
        incident_id: Option<IncidentId>,
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1.
        ordinal: i32,
        /// When the check was made, or the incident it came with was reported: the time at which it counts.
        checked_at: Timestamp,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// Reliability, Security, Cost Optimization …
        category: Id,
        /// The check.
        name: Id,
        /// PASS, FAIL, PARTIAL. PARTIAL means incomplete data, not a warning.
        status: CheckStatus,
        /// How bad a failure is.
        severity: Option<Severity>,
        /// What was found.
        finding: Option<String>,
        /// What it rests on.
        evidence: Option<String>,
        /// The id of the workspace.
        workspace_id: Id,
        /// Kind of what was checked. Null where that is not one thing.
        resource_kind: Option<Id>,
        /// Id of what was checked.
        resource_id: Option<Id>,
        /// Name of what was checked. From outside: hostile in every output language.
        resource_name: Option<String>,
    }
}

table! {
    /// One row per remediation step: what a runbook is made from.
    RunbookStep = "runbooks", stats [incident_id, seq], bloom [incident_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The incident.
        incident_id: IncidentId,
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1.
        ordinal: i32,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// job_settings, cluster_settings, warehouse_settings, sql, command.
        kind: RemediationKind,
        /// One line for people.
        title: String,
        /// Kind of what is changed.
        resource_kind: Option<Id>,
        /// Id of what is changed.
        resource_id: Option<Id>,
        /// Name of what is changed. From outside: hostile in every output language.
        resource_name: Option<String>,
        /// The tasks the changes are for, a JSON array of strings.
        task_keys: Option<String>,
        /// Setting and new value, a JSON object.
        changes: Option<String>,
        /// The settings as they were read before the change, a JSON object.
        captured_settings: Option<String>,
        /// The statement of an sql step.
        statement: Option<String>,
        /// The command of a command step.
        command: Option<String>,
        /// Whether it has been done.
        applied: bool,
        /// SUCCESS or FAILED.
        result: Option<RemediationResult>,
    }
}

table! {
    /// One row per input that could not become a record, with the reason.
    RejectedInput = "rejected_inputs", stats [seq, recorded_at], bloom [], sort [seq], key [seq]
    {
        /// The audit_log row that says so.
        seq: u64,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// Where the input came from: a file, and behind a colon the line, where it is one of many in there.
        source: String,
        /// SHA-256 of the bytes of the input, lower-case hex.
        input_hash: String,
        /// What was wrong with it, a JSON array of {pointer, message, hint}.
        problems: String,
    }
}

table! {
    /// One row per evaluation of an escalation trigger, also when it did not fire, and per change of the state of an alert.
    EscalationEvent = "escalation_events", stats [incident_id, seq, occurred_at], bloom [incident_id, dedup_key], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The incident.
        incident_id: IncidentId,
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1.
        ordinal: i32,
        /// When it happened.
        occurred_at: Timestamp,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// missing-evidence, partial-checks, security-finding, recurring, access-issue.
        trigger: Trigger,
        /// fired, repeated, suppressed, not-fired, cleared, acknowledged, resolved.
        event: AlertEvent,
        /// Where the alert stands from then on: open, acknowledged, suppressed, resolved. Null while it never fired.
        status: Option<AlertStatus>,
        /// How urgent it is.
        severity: Option<Severity>,
        /// The same alert always has the same key.
        dedup_key: String,
        /// Why it did or did not fire.
        reason: String,
        /// What people are told. Null when nothing fired.
        message: Option<String>,
        /// Where it goes: a JSON array of {channel, kind, to}. Empty when no route matches.
        routes: Option<String>,
        /// Nobody is told before this moment.
        quiet_until: Option<Timestamp>,
        /// Who evaluated, acknowledged, resolved or suppressed.
        actor: Id,
    }
}

table! {
    /// One row per evaluation of the recurrence of a cause that changed what is known of it.
    RecurrenceEvent = "recurrence_events", stats [incident_id, seq, occurred_at, cause_fingerprint],
    bloom [incident_id, cause_fingerprint], sort [seq], key [seq]
    {
        /// The incident at which the episode became one; the audit_log rows about the episode carry it.
        incident_id: IncidentId,
        /// The audit_log row that says so.
        seq: u64,
        /// The moment up to which incidents were looked at.
        occurred_at: Timestamp,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// Identity of the cause, after merges.
        cause_fingerprint: String,
        /// Identity of the episode.
        episode_id: Id,
        /// opened, updated, closed.
        event: EpisodeEvent,
        /// Why.
        reason: String,
        /// Distinct occurrences in the episode: incidents, where several about one job run count once.
        incidents: i32,
        /// The first of them.
        first_at: Timestamp,
        /// The last of them.
        last_at: Timestamp,
        /// How many occurrences make a cause recurring.
        threshold: i32,
        /// Within how many hours.
        window_hours: i32,
        /// The alert as it was raised, JSON: cause, incidents, pattern, confidence, preventive actions, policy template.
        detail: String,
    }
}

table! {
    /// One row per cause that people declared to be another one, or split off again. The latest seq of a fingerprint counts.
    CauseAlias = "cause_aliases", stats [seq, cause_fingerprint], bloom [cause_fingerprint], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1.
        ordinal: i32,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// The cause.
        cause_fingerprint: String,
        /// The cause it counts as from now on; itself after a split. Never the alias of another one.
        counts_as: String,
        /// Who said so.
        actor: Id,
        /// Why.
        reason: Option<String>,
    }
}

table! {
    /// One row per change of the state of a preventive action.
    PreventiveAction = "preventive_actions", stats [seq, occurred_at, cause_fingerprint], bloom [cause_fingerprint], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1.
        ordinal: i32,
        /// When it happened.
        occurred_at: Timestamp,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// The cause it is against.
        cause_fingerprint: String,
        /// The name of the action in the catalogue.
        action: Id,
        /// proposed, adopted, effective, recurred.
        state: PreventionState,
        /// Who proposed, adopted or found out.
        actor: Id,
        /// What is known about it, such as the incident that came after the fix.
        note: Option<String>,
    }
}

table! {
    /// One row per revision of a weekly digest.
    DigestRow = "digests", stats [seq, week_start], bloom [], sort [seq], key [seq]
    {
        /// The audit_log row that says so.
        seq: u64,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// ISO week, such as 2026-W08.
        week: String,
        /// IANA time zone the week is in.
        time_zone: String,
        /// First moment of the week.
        week_start: Timestamp,
        /// First moment after the week.
        week_end: Timestamp,
        /// 1 for the first, one more for each that says something else.
        revision: i32,
        /// The digest, JSON.
        content: String,
    }
}

table! {
    /// One row per job run that ended, and another when a repair changed how: the denominators of failure rates. The latest
    /// seq of a run counts.
    JobRun = "job_runs", stats [seq, workspace_id, job_id, started_at], bloom [job_id], sort [seq],
    key [seq, run_id]
    {
        /// The audit_log row that says so.
        seq: u64,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// The id of the workspace.
        workspace_id: Id,
        /// The job, unique in its workspace only.
        job_id: Id,
        /// The run.
        run_id: Id,
        /// The name of the job.
        job_name: Option<String>,
        /// When the run started.
        started_at: Timestamp,
        /// When it ended.
        ended_at: Option<Timestamp>,
        /// How it ended, in the words of the platform.
        result_state: Option<String>,
        /// Termination code, in the words of Databricks.
        termination_code: Option<String>,
        /// How many of its tasks needed more than one attempt, by a retry or a repair.
        retried_tasks: Option<i32>,
    }
}

table! {
    /// What people were told, or were to be told: one row per step of sending one notice over one channel.
    Delivery = "deliveries", stats [seq, occurred_at], bloom [lane, incident_id], sort [seq, ordinal], key [seq, ordinal]
    {
        /// The audit_log row that says so.
        seq: u64,
        /// Position in the request, from 1.
        ordinal: i32,
        /// When it happened.
        occurred_at: Timestamp,
        /// When the ledger took it.
        recorded_at: Timestamp,
        /// The incident it is about. Null for a digest.
        incident_id: Option<IncidentId>,
        /// The audit_log row of the event that is told of.
        source_seq: u64,
        /// Position of that event in its request, as in escalation_events.
        source_ordinal: i32,
        /// trigger, again, acknowledge, resolve, change, digest, undelivered.
        says: NoticeKind,
        /// The channel, as the configuration names it.
        channel: Id,
        /// pagerduty, slack, email, teams, webhook.
        channel_kind: ChannelKind,
        /// What belongs together and is told in its order: for alerts the dedup key.
        lane: String,
        /// claimed, delivered, partly, retry, unknown, dead, skipped.
        event: DeliveryEvent,
        /// Attempts so far, this one included. 0 when none was made.
        attempt: i32,
        /// Claimed: when others may take it over. Partly, retry, unknown: when the receiver is asked again.
        until_at: Option<Timestamp>,
        /// Why it was not delivered, or not to all.
        reason: Option<String>,
        /// What the receiver calls it.
        receipt: Option<String>,
        /// Steps of one request with the same number and channel are one message.
        bundle: Option<i32>,
        /// Up to this audit_log row nothing waited to be told any more.
        settled_to: u64,
        /// The process that sends.
        deliverer: Id,
    }
}

impl EscalationEvent {
    /// Where it goes, as it was recorded.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn destinations(&self) -> Result<Vec<Destination>, serde_json::Error> {
        self.routes.as_deref().map_or(Ok(Vec::new()), serde_json::from_str)
    }

    /// No destination has anybody who would be told.
    pub fn reaches_nobody(&self) -> bool {
        self.destinations().is_ok_and(|destinations| destinations.iter().all(|destination| destination.to.is_none()))
    }
}
