//! Histories made of random numbers: incidents, causes, checks, alerts, runs, preventive actions, recurring issues.

use std::collections::BTreeMap;

use ops_runbook::{domain::time::Timestamp, tables::catalog};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value as Json, json};

use crate::cases::given::completed;

/// Rows by table.
pub type Rows = BTreeMap<&'static str, Vec<Map<String, Json>>>;

const FIRST: &str = "2026-01-01T00:00:00Z";
const DAYS: i64 = 95;

fn pick<'a>(rng: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words[rng.random_range(0..words.len())]
}

struct History {
    rng: ChaCha8Rng,
    rows: Rows,
    seq: u64,
}

impl History {
    fn add(&mut self, table: &'static str, row: Json) {
        self.seq += 1;
        let def = catalog::all().find(|def| def.name == table).unwrap();
        let mut row = row.as_object().unwrap().clone();
        row.insert("seq".into(), json!(self.seq));
        self.rows.entry(table).or_default().push(completed(table, def, &row, 0));
    }

    /// Often on the hour, when weeks and days begin.
    fn moment(&mut self) -> i64 {
        let first: Timestamp = FIRST.parse().unwrap();
        let hours = self.rng.random_range(0..DAYS * 24);
        let rest = if self.rng.random_bool(0.3) { 0 } else { self.rng.random_range(0..3_600_000_000) };
        first.micros() + hours * 3_600_000_000 + rest
    }

    fn later(&mut self, than: i64, most_hours: i64) -> i64 {
        than + self.rng.random_range(0..most_hours * 3_600_000_000)
    }

    fn incident(&mut self, number: usize) {
        let id = format!("INC-{}", 1001 + number);
        let reported = self.moment();
        let workspace = pick(&mut self.rng, &["1", "2"]).to_owned();
        let resource = pick(&mut self.rng, &["7", "8", "9", "10"]).to_owned();
        let has_resource = self.rng.random_bool(0.9);
        let mut state = json!({
            "incident_id": id, "reported_at": at(reported), "workspace_id": workspace,
            "incident_type": pick(&mut self.rng, &["job-failure", "validation-gap", "compliance"]),
            "status": "investigating", "title": "a 'title'",
            "impact_started_at": self.rng.random_bool(0.7).then(|| at(reported - 60_000_000)),
        });
        if has_resource {
            state["resource_kind"] = json!("job");
            state["resource_id"] = json!(resource);
            state["resource_name"] = json!(format!("job {resource}"));
        }
        self.add("incident_states", state.clone());
        for (field, chance) in [("detected_at", 0.8), ("acknowledged_at", 0.6), ("mitigated_at", 0.6)] {
            if self.rng.random_bool(chance) {
                // sometimes before the report: clocks disagree
                let early = if self.rng.random_bool(0.1) { 120_000_000 } else { 0 };
                state[field] = json!(at(self.later(reported, 100) - early));
                self.add("incident_states", state.clone());
            }
        }
        if self.rng.random_bool(0.7) {
            let resolved = self.later(reported, 400);
            state["status"] = json!("resolved");
            state["first_resolved_at"] = json!(at(resolved));
            state["resolved_at"] = json!(at(resolved));
            self.add("incident_states", state.clone());
            if self.rng.random_bool(0.2) {
                state["status"] = json!("investigating");
                state["resolved_at"] = Json::Null;
                state["reopened"] = json!(1);
                self.add("incident_states", state.clone());
                if self.rng.random_bool(0.5) {
                    state["status"] = json!("resolved");
                    state["resolved_at"] = json!(at(self.later(resolved, 100)));
                    self.add("incident_states", state.clone());
                }
            }
        }
        for _ in 0..self.rng.random_range(0..3) {
            let mut finding = json!({
                "incident_id": id, "found_at": at(reported), "workspace_id": workspace, "root_cause": format!("words {}", self.seq),
                "occurrence_key": id, "confidence": "HIGH",
            });
            if self.rng.random_bool(0.9) {
                finding["cause_fingerprint"] = json!(pick(&mut self.rng, &["a", "b", "c", "d", "e"]));
            }
            if has_resource {
                finding["resource_kind"] = json!("job");
                finding["resource_id"] = json!(resource);
            }
            self.add("root_causes", finding);
        }
        for name in 0..self.rng.random_range(0..4) {
            let check = json!({
                "incident_id": id, "checked_at": at(reported), "name": format!("check {name}"), "workspace_id": workspace,
                "category": pick(&mut self.rng, &["Reliability", "Security", "Cost Optimization"]),
                "status": pick(&mut self.rng, &["PASS", "FAIL", "PARTIAL"]),
            });
            self.add("practice_checks", check);
        }
        self.alerts(&id, reported);
    }

    fn alerts(&mut self, id: &str, reported: i64) {
        let trigger = pick(&mut self.rng, &["recurring", "access-issue", "security-finding"]);
        let mut when = reported;
        for _ in 0..self.rng.random_range(0..5) {
            when = self.later(when, 30);
            let (event, status) = [
                ("fired", Some("open")),
                ("fired", Some("open")),
                ("acknowledged", Some("acknowledged")),
                ("suppressed", Some("suppressed")),
                ("cleared", Some("resolved")),
                ("not-fired", None),
            ][self.rng.random_range(0..6)];
            let severity = pick(&mut self.rng, &["LOW", "MEDIUM", "HIGH", "CRITICAL"]);
            let routed = self.rng.random_bool(0.5).then_some("[{}]");
            self.add(
                "escalation_events",
                json!({
                    "incident_id": id, "occurred_at": at(when), "trigger": trigger, "event": event, "status": status,
                    "severity": status.map(|_| severity), "dedup_key": format!("{id}/{trigger}"), "reason": "r", "routes": routed,
                }),
            );
        }
    }

    fn others(&mut self) {
        for run in 0..200 {
            let started = self.moment();
            let ended = self.rng.random_bool(0.8).then(|| at(started + 1_800_000_000));
            let state = ended.as_ref().map(|_| pick(&mut self.rng, &["SUCCESS", "SUCCESS", "FAILED", "TIMEDOUT"]));
            let row = json!({
                "workspace_id": pick(&mut self.rng, &["1", "2"]), "job_id": pick(&mut self.rng, &["7", "8"]),
                "run_id": format!("{}", run % 150), "started_at": at(started), "ended_at": ended, "result_state": state,
            });
            self.add("job_runs", row);
        }
        for n in 0..30 {
            let when = self.moment();
            let row = json!({
                "cause_fingerprint": pick(&mut self.rng, &["a", "b", "c"]), "action": pick(&mut self.rng, &["x", "y"]),
                "occurred_at": at(when), "state": pick(&mut self.rng, &["proposed", "adopted", "effective", "recurred"]),
            });
            self.add("preventive_actions", row);
            let row = json!({
                "incident_id": "INC-1001", "occurred_at": at(when), "episode_id": format!("rec-{}", n % 12),
                "cause_fingerprint": "a", "event": pick(&mut self.rng, &["opened", "updated", "closed"]), "incidents": n,
                "first_at": at(when), "last_at": at(when), "threshold": 3, "window_hours": 168,
                "detail": json!({
                    "cause": "a", "root_cause": format!("words {n}"), "occurrences": n, "incidents": n, "threshold": 3,
                    "window_hours": 168, "first_at": at(when), "last_at": at(when), "members": [],
                    "actions": [{ "name": "x", "title": "do x", "surface": "bundle-yaml", "snippet": "", "state": "proposed" }],
                    "policy_template": { "surface": "bundle-yaml", "part": "p", "definition": {} },
                }).to_string(),
            });
            self.add("recurrence_events", row);
        }
        self.add("cause_aliases", json!({ "cause_fingerprint": "e", "counts_as": "a" }));
    }
}

fn at(micros: i64) -> String {
    Timestamp::from_micros(micros).unwrap().to_string()
}

/// 240 incidents of three months, and what belongs to them.
pub fn history(seed: u64) -> Rows {
    let mut history = History { rng: ChaCha8Rng::seed_from_u64(seed), rows: Rows::new(), seq: 0 };
    for number in 0..240 {
        history.incident(number);
    }
    history.others();
    history.rows
}
