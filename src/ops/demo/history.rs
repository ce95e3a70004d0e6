//! Six weeks of invented incidents, for the demo: the same `as_of` and seed give the same bytes on every machine.
//!
//! The patterns in it: batch jobs fail at night and less at weekends, `orders-ingest` gets worse,
//! one cause recurs in two bursts, some causes share a code but no wording, and incidents of the last days are still open.

mod catalog;
mod document;

use std::collections::BTreeSet;

use chrono::{Datelike, TimeDelta, Timelike, Weekday};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::Value;

use self::{
    catalog::{
        Compute, DemoJob, EXECUTOR_OOM, FAULTS, Fault, JOBS, NO_EVIDENCE, ORDERS_INGEST, REVIEWS, Schedule,
        UPSTREAM_5XX,
    },
    document::{failure_report, review_report},
};
use crate::domain::{incident::classification::Status, time::Timestamp};

const DAYS: i64 = 40;
const CHANCE_FAILURES: usize = 35;
const WINDOW_HOURS: i64 = 168;
/// Every failure happens at least this long before `as_of`, so that its report has first timeline events.
const HEAD_START_HOURS: i64 = 2;

const GETTING_WORSE: [i64; 8] = [39, 28, 20, 14, 9, 5, 3, 1];
/// Days ago and index of the job: two bursts, more than a recurrence window apart.
const BURSTS: [(i64, usize); 7] = [(34, 3), (32, 9), (31, 5), (16, 3), (14, 11), (13, 9), (11, 3)];

/// Returns the report documents before `as_of`, ordered by the time of the report.
pub fn history(as_of: Timestamp, seed: u64) -> Vec<Value> {
    let mut documents: Vec<(Timestamp, String, Value)> = Vec::new();
    let failures = plan(as_of, &mut SeededRandom::new(seed, 0));
    for (stream, failure) in (1..).zip(&failures) {
        documents.push(failure_report(failure, as_of, &mut SeededRandom::new(seed, stream)));
    }
    for (stream, review) in (1_000..).zip(&REVIEWS) {
        documents.push(review_report(review, as_of, &mut SeededRandom::new(seed, stream)));
    }
    documents.sort_by(|(left_at, left, _), (right_at, right, _)| (left_at, left).cmp(&(right_at, right)));

    let mut used_ids = BTreeSet::new();
    documents
        .into_iter()
        .map(|(_, id, mut document)| {
            let mut unique = id.clone();
            let mut copies = 1;
            while !used_ids.insert(unique.clone()) {
                copies += 1;
                unique = format!("{id}-{copies}");
            }
            document["report_id"] = unique.into();
            document
        })
        .collect()
}

/// Random numbers that depend only on the seed and the stream: not on the platform, nor on how `rand` samples.
struct SeededRandom(ChaCha8Rng);

impl SeededRandom {
    /// One stream per report, so that a change to one leaves the others as they are.
    fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        for (byte, value) in key.iter_mut().zip(seed.to_le_bytes()) {
            *byte = value;
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// Both ends included.
    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below((most - least + 1).unsigned_abs()) as i64
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// `items` must not be empty.
    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }
}

struct DemoFailure {
    job: &'static DemoJob,
    fault: &'static Fault,
    failed_at: Timestamp,
    status: Status,
}

fn plan(as_of: Timestamp, random: &mut SeededRandom) -> Vec<DemoFailure> {
    let mut failures: Vec<DemoFailure> = Vec::new();
    for days_ago in GETTING_WORSE {
        let status = if days_ago == 1 { Status::Escalated } else { Status::Resolved };
        let failed_at = moment(as_of, days_ago, ORDERS_INGEST, random);
        failures.push(DemoFailure { job: ORDERS_INGEST, fault: EXECUTOR_OOM, failed_at, status });
    }
    for (days_ago, job) in BURSTS {
        let job = JOBS[job % JOBS.len()];
        let failed_at = moment(as_of, days_ago, job, random);
        failures.push(DemoFailure { job, fault: UPSTREAM_5XX, failed_at, status: Status::Resolved });
    }
    let scripted = failures.len();
    // Bounded, because some draws do not fit.
    for _ in 0..1_000 {
        if failures.len() == scripted + CHANCE_FAILURES {
            break;
        }
        failures.extend(chance_failure(as_of, &failures, random));
    }
    failures
}

/// Returns `None` when the draw does not fit: a weekday with few failures, a job that failed already
/// that day, or a cause that would become a third burst by accident.
fn chance_failure(as_of: Timestamp, so_far: &[DemoFailure], random: &mut SeededRandom) -> Option<DemoFailure> {
    let job = random.pick(&JOBS);
    let fault = weighted_fault(random);
    let failed_at = moment(as_of, random.between(1, DAYS), job, random);
    let kept_percent = match failed_at.utc().weekday() {
        Weekday::Mon => 100,
        Weekday::Fri => 90,
        Weekday::Sat | Weekday::Sun => 40,
        _ => 80,
    };
    let near = |other: &&DemoFailure, hours: i64| {
        (other.failed_at.micros() - failed_at.micros()).abs() <= TimeDelta::hours(hours).num_microseconds().unwrap_or(0)
    };
    let fits = random.percent(kept_percent)
        && (job.compute != Compute::Serverless || !fault.needs_cluster)
        && !so_far.iter().any(|other| other.job.id == job.id && near(&other, 20))
        && so_far.iter().filter(|other| other.fault.key == fault.key && near(other, WINDOW_HOURS)).count() < 2;
    let recent = failed_at.plus(TimeDelta::days(3)) > as_of;
    let status = match random.below(100) {
        0..30 if recent => Status::Investigating,
        30..45 if recent => Status::Escalated,
        _ => Status::Resolved,
    };
    fits.then_some(DemoFailure { job, fault, failed_at, status })
}

fn weighted_fault(random: &mut SeededRandom) -> &'static Fault {
    let mut left = random.below(FAULTS.iter().map(|fault| fault.weight).sum());
    for fault in FAULTS {
        if left < fault.weight {
            return fault;
        }
        left -= fault.weight;
    }
    NO_EVIDENCE
}

/// Returns when a run of the job fails on that day: some time after its start.
fn moment(as_of: Timestamp, days_ago: i64, job: &DemoJob, random: &mut SeededRandom) -> Timestamp {
    let (hour, minute, longest) = match job.start {
        Schedule::Daily { hour, minute } => (hour, minute, 75),
        Schedule::Hourly { minute } => (random.between(0, 23), minute, 20),
    };
    let seconds = random.between(90, longest * 60);
    on_day(as_of, days_ago, TimeDelta::seconds(hour * 3_600 + minute * 60 + seconds))
}

/// Returns a moment on a day, or one day earlier if it would be too close to `as_of`.
fn on_day(as_of: Timestamp, days_ago: i64, into_day: TimeDelta) -> Timestamp {
    let since_midnight = TimeDelta::seconds(as_of.utc().num_seconds_from_midnight().into())
        + TimeDelta::nanoseconds(as_of.utc().nanosecond().into());
    let at = as_of.plus(into_day - since_midnight - TimeDelta::days(days_ago));
    let latest = as_of.plus(-TimeDelta::hours(HEAD_START_HOURS));
    if at > latest { at.plus(-TimeDelta::days(1)) } else { at }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::{
        ids::sha256_hex,
        incident::{classification::IncidentType, timeline::EventKind},
        report::Report,
    };

    const AS_OF: &str = "2026-02-20T12:00:00Z";

    fn as_of() -> Timestamp {
        AS_OF.parse().unwrap()
    }

    fn documents() -> Vec<Value> {
        history(as_of(), 42)
    }

    fn reports() -> Vec<Report> {
        documents().into_iter().map(|document| serde_json::from_value(document).unwrap()).collect()
    }

    /// Returns the report times of incidents with the same cause, by code or wording.
    fn by_cause(reports: &[Report]) -> BTreeMap<String, Vec<Timestamp>> {
        let mut causes: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for report in reports {
            let Some(rca) = report.rca.as_ref().filter(|rca| rca.root_cause != "unknown") else {
                continue;
            };
            let cause = rca.code.as_ref().map_or(rca.root_cause.clone(), ToString::to_string);
            causes.entry(cause).or_default().push(report.incident.reported_at);
        }
        causes
    }

    fn bursts(times: &[Timestamp]) -> usize {
        times.windows(3).filter(|three| three[2].seconds_since(three[0]) <= 168.0 * 3_600.0).count()
    }

    /// A lake that holds the demo already refuses the same ids with other content: change this only on purpose.
    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let text = serde_json::to_string(&documents()).unwrap();
        assert_eq!(text, serde_json::to_string(&documents()).unwrap());
        insta::assert_snapshot!(sha256_hex(text), @"ea61ba6bb4386ce1e86aa71235e0033d296de2253014079ad8318f8629ee0245");
    }

    #[test]
    fn another_seed_gives_another_history() {
        assert_ne!(documents(), history(as_of(), 43));
    }

    #[test]
    fn a_report_has_the_documented_shape() {
        let orders =
            documents().into_iter().rfind(|document| document["incident"]["slug"] == "job_failure_executor_oom");
        insta::assert_snapshot!(serde_json::to_string_pretty(&orders).unwrap(), @r#"
        {
          "schema_version": 1,
          "report_id": "demo-2026-02-19-orders-ingest-executor-oom",
          "actor": "agent:databricks_mcp_agent",
          "workspace": {
            "id": "4187203365512094",
            "url": "https://adb-4187203365512094.14.azuredatabricks.net"
          },
          "incident": {
            "type": "job-failure",
            "slug": "job_failure_executor_oom",
            "title": "orders-ingest failed: executors out of memory",
            "reporter": "schedule:failure-sweep",
            "impact_started_at": "2026-02-19T02:31:05Z",
            "detected_at": "2026-02-19T02:50:51Z",
            "reported_at": "2026-02-19T02:52:20Z",
            "status": "escalated"
          },
          "resources": [
            {
              "kind": "job",
              "id": "812004417736501",
              "name": "orders-ingest",
              "attributes": {
                "compute": "job-cluster",
                "node_type_id": "Standard_E8ds_v5",
                "deployment": "bundle"
              }
            },
            {
              "kind": "job_run",
              "id": "384458863622748"
            },
            {
              "kind": "task_run",
              "id": "281949663943427",
              "name": "load_orders"
            }
          ],
          "timeline": [
            {
              "at": "2026-02-19T02:52:26Z",
              "kind": "DISCOVER",
              "message": "orders-ingest: run 384458863622748 ended with RUN_EXECUTION_ERROR",
              "tool": "list_runs"
            },
            {
              "at": "2026-02-19T02:53:26Z",
              "kind": "FETCH",
              "message": "Retrieved run output; error: org.apache.spark.SparkException",
              "tool": "get_run_output",
              "evidence": [
                {
                  "kind": "run_output",
                  "ref": "task_run:281949663943427",
                  "excerpt": "Job aborted due to stage failure: ExecutorLostFailure (executor 37 exited caused by one of the running tasks) Reason: Command exited with code 137"
                }
              ]
            },
            {
              "at": "2026-02-19T02:54:44Z",
              "kind": "ANALYZE",
              "message": "Spark UI: one partition of prod.sales.orders holds most of the rows; executors killed with exit code 137"
            },
            {
              "at": "2026-02-19T02:58:02Z",
              "kind": "RCA",
              "message": "Spill and OOM on executors, 37 GB more input than the cluster was sized for -> HIGH confidence"
            },
            {
              "at": "2026-02-19T03:10:41Z",
              "kind": "ESCALATE",
              "message": "Handed over to platform-oncall@example.test"
            }
          ],
          "rca": {
            "root_cause": "Spill and OOM on executors, 37 GB more input than the cluster was sized for",
            "code": "executor_oom",
            "summary": "orders-ingest failed: executors out of memory.",
            "confidence": "HIGH",
            "evidence": [
              "run_output"
            ],
            "missing_evidence": [],
            "error": {
              "class": "org.apache.spark.SparkException",
              "message": "Job aborted due to stage failure: ExecutorLostFailure (executor 37 exited caused by one of the running tasks) Reason: Command exited with code 137",
              "termination_code": "RUN_EXECUTION_ERROR"
            }
          },
          "remediation": [
            {
              "title": "Larger workers for orders-ingest",
              "kind": "job_settings",
              "resource": {
                "kind": "job",
                "id": "812004417736501",
                "name": "orders-ingest"
              },
              "changes": {
                "job_clusters": [
                  {
                    "job_cluster_key": "main",
                    "new_cluster": {
                      "spark_version": "12.2.x-scala2.12",
                      "node_type_id": "Standard_E16ds_v5",
                      "autoscale": {
                        "min_workers": 2,
                        "max_workers": 12
                      }
                    }
                  }
                ]
              },
              "applied": false
            }
          ]
        }
        "#);
    }

    #[test]
    fn about_sixty_reports_come_in_order_and_each_survives_the_round_trip() {
        let documents = documents();
        assert!((55..=65).contains(&documents.len()), "{}", documents.len());
        for document in &documents {
            let report: Report = serde_json::from_value(document.clone()).unwrap();
            assert_eq!(&report, &serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap());
        }
        let reports = reports();
        assert!(reports.is_sorted_by_key(|report| report.incident.reported_at));
    }

    #[test]
    fn every_report_has_its_own_id() {
        let ids: BTreeSet<_> = reports().into_iter().map(|report| report.report_id.unwrap()).collect();
        assert_eq!(ids.len(), documents().len());
        assert!(ids.iter().all(|id| id.as_str().starts_with("demo-20")));
    }

    #[test]
    fn nothing_is_later_than_as_of_or_older_than_six_weeks_at_any_hour() {
        for hour in 0..24 {
            let as_of = as_of().plus(TimeDelta::minutes(hour * 61));
            for document in history(as_of, 7) {
                let report: Report = serde_json::from_value(document).unwrap();
                let incident = &report.incident;
                let times = [incident.impact_started_at, incident.detected_at, Some(incident.reported_at)];
                let latest =
                    times.into_iter().flatten().chain(report.timeline.iter().map(|event| event.at)).max().unwrap();
                assert!(latest <= as_of, "{:?}", report.report_id);
                assert!(incident.reported_at.plus(TimeDelta::days(42)) > as_of);
                assert!((2..=9).contains(&report.timeline.len()), "{:?}: {}", report.report_id, report.timeline.len());
            }
        }
    }

    #[test]
    fn every_status_and_type_occurs() {
        let reports = reports();
        let statuses: BTreeSet<_> = reports.iter().map(|report| report.incident.status).collect();
        let types: BTreeSet<_> = reports.iter().map(|report| report.incident.kind).collect();
        assert_eq!((statuses.len(), types.len()), (3, 5));
    }

    #[test]
    fn a_resolved_incident_was_closed_and_an_open_one_was_not() {
        for report in reports() {
            let closed = report.timeline.iter().any(|event| event.kind == EventKind::Close);
            assert_eq!(closed, report.incident.status == Status::Resolved, "{:?}", report.report_id);
        }
    }

    #[test]
    fn one_cause_recurs_in_two_bursts_for_any_seed() {
        for seed in 0..20 {
            let reports: Vec<Report> =
                history(as_of(), seed).into_iter().map(|document| serde_json::from_value(document).unwrap()).collect();
            let times = by_cause(&reports).remove("upstream_5xx_no_retries").unwrap();
            let (first, second) = times.split_at(3);
            assert!(bursts(first) >= 1 && bursts(second) >= 1, "{times:?}");
            assert!(second[0].seconds_since(first[2]) > 168.0 * 3_600.0, "{times:?}");
        }
    }

    #[test]
    fn nothing_recurs_by_accident() {
        let mut faults: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for report in reports().into_iter().filter(|report| report.incident.kind == IncidentType::JobFailure) {
            faults.entry(report.incident.slug.to_string()).or_default().push(report.incident.reported_at);
        }
        faults.retain(|_, times| bursts(times) > 0);
        let recurring: Vec<&str> = faults.keys().map(String::as_str).collect();
        assert_eq!(recurring, ["job_failure_executor_oom", "job_failure_upstream_5xx_no_retries"]);
    }

    #[test]
    fn orders_ingest_gets_worse() {
        let failures: Vec<Timestamp> = reports()
            .iter()
            .filter(|report| report.incident.slug.as_str() == "job_failure_executor_oom")
            .filter(|report| report.resources[0].name.as_deref() == Some("orders-ingest"))
            .map(|report| report.incident.reported_at)
            .collect();
        let halfway = as_of().plus(-TimeDelta::days(20));
        let late = failures.iter().filter(|at| **at > halfway).count();
        assert!(late > failures.len() - late, "{failures:?}");
    }

    #[test]
    fn batch_jobs_fail_at_night_and_less_at_weekends() {
        let (mut night, mut weekend, mut all) = (0, 0, 0);
        for seed in 0..20 {
            for document in history(as_of(), seed) {
                let report: Report = serde_json::from_value(document).unwrap();
                if report.incident.kind == IncidentType::JobFailure {
                    let at = report.incident.reported_at.utc();
                    all += 1;
                    night += usize::from(at.hour() < 8);
                    weekend += usize::from(matches!(at.weekday(), Weekday::Sat | Weekday::Sun));
                }
            }
        }
        assert!(night * 2 > all, "{night} of {all} at night");
        assert!(weekend * 4 < all, "{weekend} of {all} at weekends");
    }

    #[test]
    fn changed_tasks_are_among_the_captured_ones() {
        let reports = reports();
        let steps = || reports.iter().flat_map(|report| &report.remediation);
        for step in steps() {
            let Some(captured) = &step.captured_settings else {
                continue;
            };
            let keys: Vec<_> = captured["tasks"].as_array().unwrap().iter().map(|task| &task["task_key"]).collect();
            assert!(step.task_keys.iter().all(|key| keys.contains(&&json!(key))), "{}", step.title);
        }
        assert!(steps().filter(|step| step.captured_settings.is_some()).count() >= 3);
    }

    #[test]
    fn no_placeholder_is_left() {
        let text = serde_json::to_string(&documents()).unwrap();
        for placeholder in ["{job}", "{task}", "{table}", "{upstream}", "{n}", "{status}"] {
            assert!(!text.contains(placeholder), "{placeholder}");
        }
    }

    #[test]
    fn extreme_dates_give_a_history_too() {
        for micros in [0, i64::MIN / 2, i64::MAX / 2] {
            if let Some(as_of) = Timestamp::from_micros(micros) {
                assert!(!history(as_of, u64::MAX).is_empty());
            }
        }
    }
}
