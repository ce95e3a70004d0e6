//! The rows of one period of the history.

use chrono::{Datelike, Timelike, Weekday};
use ops_runbook::{
    domain::{
        check::{CheckStatus, Severity},
        escalation::{
            status::{AlertEvent, AlertStatus},
            trigger::Trigger,
        },
        ids::{Id, IncidentId},
        incident::classification::{Confidence, IncidentType, Status},
        prevention::state::PreventionState,
        recurrence::{Episode, RecurrenceRule, event::EpisodeEvent, issue::Issue},
        time::Timestamp,
    },
    tables::rows::{
        EscalationEvent, IncidentState, JobRun, PracticeCheck, PreventiveAction, RecurrenceEvent, RootCause,
    },
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{CHRONIC, History, KnownCause, WEEK_MICROS, beginning, part_micros, seeded};

/// Maximum number of audit log rows of a part.
const SEQS: u64 = 4_000_000;
const WORKSPACES: u64 = 200;
const JOBS: u64 = 20_000;
const EPISODES: usize = 60;

/// Rows of all tables, each sorted by time.
pub struct Part {
    pub last_seq: u64,
    pub root_causes: Vec<RootCause>,
    pub incident_states: Vec<IncidentState>,
    pub practice_checks: Vec<PracticeCheck>,
    pub escalation_events: Vec<EscalationEvent>,
    pub recurrence_events: Vec<RecurrenceEvent>,
    pub preventive_actions: Vec<PreventiveAction>,
    pub job_runs: Vec<JobRun>,
}

/// An incident from which rows are made.
struct Incident<'a> {
    id: IncidentId,
    reported_at: i64,
    closed_at: Option<i64>,
    kind: IncidentType,
    workspace: u64,
    job: u64,
    run: Option<u64>,
    cause: Option<&'a KnownCause>,
}

/// The kind of a request that the ledger would have recorded.
#[derive(Clone, Copy)]
enum Request {
    Report,
    Close,
    Revise,
}

impl Part {
    /// Generates a part with `rows` root causes.
    pub fn new(history: &History, number: usize, rows: usize) -> Self {
        let rng = &mut seeded(number);
        let start = beginning(super::PARTS - number).micros();
        let end = start + part_micros();
        let revisions = rows / 50;
        let count = rows - revisions;
        let mut times: Vec<i64> = (0..count).map(|_| any_time(rng, start, end)).collect();
        times.sort_unstable();
        let mut incidents: Vec<Incident<'_>> = Vec::with_capacity(count);
        let mut requests: Vec<(i64, u64, Request)> = Vec::with_capacity(count * 14 / 10);
        for (at, reported_at) in (0_u64..).zip(times) {
            let id = IncidentId::from_ordinal(number as u64 * rows as u64 + at + 1);
            let job = (rng.random::<f64>().powi(2) * JOBS as f64) as u64;
            // A repair or retry has the same run as the previous incident.
            let repeated = rng.random_bool(0.02).then(|| incidents.last().and_then(|last| last.run)).flatten();
            let run = repeated.or_else(|| rng.random_bool(0.7).then(|| rng.random_range(1..1_000_000_000_000)));
            let closed_at = reported_at + 60_000_000 * rng.random_range(5..240);
            let (closed_at, later) = match rng.random_range(0..10_000) {
                0..3_000 => (Some((reported_at + 3_600_000_000 * rng.random_range(1..240)).min(end - 1)), true),
                3_000..3_002 => (None, false),
                _ => (Some(closed_at), false),
            };
            requests.push((reported_at, at, Request::Report));
            if later {
                requests.extend(closed_at.map(|closed_at| (closed_at, at, Request::Close)));
            }
            let kind = [IncidentType::JobFailure, IncidentType::ValidationGap, IncidentType::SecurityFinding]
                [rng.random_range(0..20_usize).saturating_sub(17)];
            let cause = history.cause(rng, (reported_at - 345_600_000_000).div_euclid(WEEK_MICROS));
            let workspace = 7_405_612_783_315_000 + job % WORKSPACES;
            incidents.push(Incident { id, reported_at, closed_at, kind, workspace, job, run, cause });
        }
        for _ in 0..revisions {
            let at = rng.random_range(0..count as u64);
            let later = incidents[at as usize].reported_at + 3_600_000_000 * rng.random_range(1..48);
            requests.push((later.min(end - 1), at, Request::Revise));
        }
        requests.sort_by_key(|(time, at, request)| (*time, *at, *request as u8));
        let mut part = Self::empty(number as u64 * SEQS);
        for (recorded_at, at, request) in requests {
            part.record(rng, history, &incidents[at as usize], recorded_at, request);
        }
        part.recurring(history, start, end);
        part
    }

    fn empty(last_seq: u64) -> Self {
        Self {
            last_seq,
            root_causes: Vec::new(),
            incident_states: Vec::new(),
            practice_checks: Vec::new(),
            escalation_events: Vec::new(),
            recurrence_events: Vec::new(),
            preventive_actions: Vec::new(),
            job_runs: Vec::new(),
        }
    }

    fn record(
        &mut self,
        rng: &mut ChaCha8Rng,
        history: &History,
        incident: &Incident<'_>,
        recorded_at: i64,
        request: Request,
    ) {
        self.last_seq += 1;
        let (seq, at) = (self.last_seq, moment(recorded_at));
        let revised = history.cause(rng, incident.reported_at.div_euclid(WEEK_MICROS));
        match request {
            Request::Revise => self.root_causes.push(root_cause(incident, revised, seq, at)),
            Request::Close => self.incident_states.push(state(incident, seq, at, incident.closed_at)),
            Request::Report => {
                let closed = incident.closed_at.filter(|closed| *closed < recorded_at + 4 * 3_600_000_000);
                self.incident_states.push(state(incident, seq, at, closed));
                self.root_causes.push(root_cause(incident, incident.cause, seq, at));
                match rng.random_range(0..100) {
                    0..5 => self.practice_checks.extend((1..=4).map(|ordinal| check(incident, seq, ordinal, at))),
                    5..12 => self.alert(rng, incident, seq, at),
                    _ => {}
                }
                self.job_runs
                    .extend(incident.run.filter(|run| run % 5 == 0).map(|run| job_run(incident, run, seq, at)));
            }
        }
    }

    fn alert(&mut self, rng: &mut ChaCha8Rng, incident: &Incident<'_>, seq: u64, at: Timestamp) {
        let trigger = if rng.random_bool(0.8) { Trigger::MissingEvidence } else { Trigger::SecurityFinding };
        let fired = EscalationEvent {
            incident_id: incident.id,
            seq,
            ordinal: 1,
            occurred_at: at,
            recorded_at: at,
            trigger,
            event: AlertEvent::Fired,
            status: Some(AlertStatus::Open),
            severity: Some(if trigger == Trigger::SecurityFinding { Severity::Critical } else { Severity::Medium }),
            dedup_key: format!("{}/{trigger:?}", incident.id),
            reason: "evidence is missing: run_output".into(),
            message: Some("Investigation blocked: the run's output cannot be retrieved".into()),
            routes: rng.random_bool(0.9).then(|| r##"[{"channel":"oncall","kind":"slack","to":"#data"}]"##.into()),
            quiet_until: None,
            actor: id("agent:bench"),
        };
        if rng.random_bool(0.5) {
            let later = moment(at.micros() + 60_000_000 * rng.random_range(1..90));
            let (event, status) = (AlertEvent::Acknowledged, Some(AlertStatus::Acknowledged));
            let acknowledged = EscalationEvent { ordinal: 2, occurred_at: later, event, status, ..fired.clone() };
            self.escalation_events.extend([fired, acknowledged]);
        } else {
            self.escalation_events.push(fired);
        }
    }

    /// Adds episodes of some causes, and preventive actions against the first of them.
    fn recurring(&mut self, history: &History, start: i64, end: i64) {
        for (number, cause) in history.causes[..CHRONIC].iter().take(EPISODES).enumerate() {
            let (first_at, last_at) = (moment(start + number as i64), moment(end - 1 - number as i64));
            let incident_id = self.incident_states[number].incident_id;
            let episode = Episode {
                cause: cause.fingerprint.clone(),
                first_at,
                last_at,
                occurrences: 100,
                incidents: 100,
                is_open: true,
                may_begin_earlier: false,
                first_incident_id: incident_id,
                last_incident_id: incident_id,
                reached_incident_id: incident_id,
            };
            let issue = Issue::new(&episode, RecurrenceRule::DEFAULT, &[], &[], None, &[]);
            self.last_seq += 1;
            self.recurrence_events.push(RecurrenceEvent {
                incident_id,
                seq: self.last_seq,
                occurred_at: last_at,
                recorded_at: last_at,
                cause_fingerprint: cause.fingerprint.clone(),
                episode_id: id(&format!("rec-{:016x}", start.unsigned_abs() + number as u64)),
                event: if number.is_multiple_of(2) { EpisodeEvent::Opened } else { EpisodeEvent::Closed },
                reason: "the threshold was reached".into(),
                incidents: 100,
                first_at,
                last_at,
                threshold: RecurrenceRule::DEFAULT.threshold,
                window_hours: RecurrenceRule::DEFAULT.window_hours,
                detail: serde_json::to_string(&issue).unwrap(),
            });
            if number < 3 {
                self.preventive_actions.push(PreventiveAction {
                    seq: self.last_seq,
                    ordinal: 1,
                    occurred_at: last_at,
                    recorded_at: last_at,
                    cause_fingerprint: cause.fingerprint.clone(),
                    action: id("bundle-retry-policy"),
                    state: PreventionState::Adopted,
                    actor: id("user:bench"),
                    note: None,
                });
            }
        }
    }
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn moment(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

/// Returns a random time, with lower probability at night and at weekends.
fn any_time(rng: &mut ChaCha8Rng, start: i64, end: i64) -> i64 {
    loop {
        let at = rng.random_range(start..end);
        let local = moment(at).utc();
        let weekend = matches!(local.weekday(), Weekday::Sat | Weekday::Sun);
        let likely = if (7..19).contains(&local.hour()) { 1.0 } else { 0.4 } * if weekend { 0.5 } else { 1.0 };
        if rng.random_bool(likely) {
            return at;
        }
    }
}

fn root_cause(incident: &Incident<'_>, cause: Option<&KnownCause>, seq: u64, at: Timestamp) -> RootCause {
    let workspace = id(&incident.workspace.to_string());
    let key = incident.run.map(|run| format!("run {workspace}/{run}"));
    RootCause {
        incident_id: incident.id,
        seq,
        found_at: moment(incident.reported_at),
        occurrence_key: key.unwrap_or_else(|| incident.id.to_string()),
        recorded_at: at,
        cause_fingerprint: cause.map(|cause| cause.fingerprint.clone()),
        cause_normalised: cause.map(|cause| cause.normalised.clone()),
        root_cause: cause.map_or_else(|| "unknown".into(), |cause| cause.words.clone()),
        cause_summary: None,
        cause_code: cause.and_then(|cause| cause.code.clone()),
        confidence: Confidence::High,
        confidence_reported: Confidence::High,
        confidence_forced_because: None,
        evidence: Some("run_output, notebook_code".into()),
        missing_evidence: None,
        error_class: Some("org.apache.spark.SparkException".into()),
        error_message: Some(format!("Job aborted due to stage failure: task {} failed 4 times", seq % 977)),
        termination_code: Some("RUN_EXECUTION_ERROR".into()),
        incident_type: incident.kind,
        workspace_id: workspace,
        resource_kind: Some(id("job")),
        resource_id: Some(id(&(360_515_640_000_000 + incident.job).to_string())),
        resource_name: Some(format!("pipeline-{}", incident.job)),
        resource_attributes: Some(format!(r#"{{"compute":"serverless","max_retries":"{}"}}"#, incident.job % 3)),
    }
}

fn state(incident: &Incident<'_>, seq: u64, at: Timestamp, closed_at: Option<i64>) -> IncidentState {
    let after = |minutes: i64| Some(moment(incident.reported_at + 60_000_000 * minutes));
    let closed = closed_at.map(moment);
    IncidentState {
        incident_id: incident.id,
        seq,
        recorded_at: at,
        reported_at: moment(incident.reported_at),
        impact_started_at: after(-10),
        detected_at: after(-2),
        acknowledged_at: after(3).filter(|_| closed.is_some()),
        mitigated_at: closed,
        first_resolved_at: closed,
        resolved_at: closed,
        reopened: 0,
        open_seconds: closed_at.map(|closed| (closed - incident.reported_at) as f64 / 1e6),
        incident_type: incident.kind,
        status: if closed.is_some() { Status::Resolved } else { Status::Investigating },
        slug: id("job_failed"),
        title: format!("pipeline-{} failed: {}", incident.job, incident.cause.map_or("unknown", |c| c.words.as_str())),
        reporter: id("bench"),
        actor: id("agent:bench"),
        request_id: id(&format!("bench-{}-{seq}", incident.id)),
        workspace_id: id(&incident.workspace.to_string()),
        workspace_url: None,
        resource_kind: Some(id("job")),
        resource_id: Some(id(&(360_515_640_000_000 + incident.job).to_string())),
        resource_name: Some(format!("pipeline-{}", incident.job)),
        root_cause: incident.cause.map(|cause| cause.words.clone()),
        cause_fingerprint: incident.cause.map(|cause| cause.fingerprint.clone()),
        confidence: Some(Confidence::High),
        compliance_impact: None,
        lessons_learned: None,
    }
}

fn check(incident: &Incident<'_>, seq: u64, ordinal: i32, at: Timestamp) -> PracticeCheck {
    let statuses = [CheckStatus::Pass, CheckStatus::Fail, CheckStatus::Partial, CheckStatus::Pass];
    PracticeCheck {
        incident_id: Some(incident.id),
        seq,
        ordinal,
        checked_at: moment(incident.reported_at),
        recorded_at: at,
        category: id(["Reliability", "Security", "Cost Optimization", "Performance"][ordinal as usize - 1]),
        name: id(&format!("check-{ordinal}")),
        status: statuses[(seq as usize + ordinal as usize) % statuses.len()],
        severity: Some(Severity::Medium),
        finding: Some("found by a check".into()),
        evidence: None,
        workspace_id: id(&incident.workspace.to_string()),
        resource_kind: None,
        resource_id: None,
        resource_name: None,
    }
}

fn job_run(incident: &Incident<'_>, run: u64, seq: u64, at: Timestamp) -> JobRun {
    JobRun {
        seq,
        recorded_at: at,
        workspace_id: id(&incident.workspace.to_string()),
        job_id: id(&(360_515_640_000_000 + incident.job).to_string()),
        run_id: id(&run.to_string()),
        job_name: Some(format!("pipeline-{}", incident.job)),
        started_at: moment(incident.reported_at - 1_200_000_000),
        ended_at: Some(moment(incident.reported_at)),
        result_state: Some("FAILED".into()),
        termination_code: Some("RUN_EXECUTION_ERROR".into()),
        retried_tasks: Some(0),
    }
}
