//! Tests that after any sequence of operations the lake is intact and every earlier answer is still true.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use ops_runbook::{
    analytics::engine::Engine,
    domain::{
        cause,
        entry::{Entry, Receipt},
        escalation::{
            replay::{EscalationReplay, ReplayDifference},
            trigger::Trigger,
        },
        ids::{AlertRef, EventRef, Id, IncidentId},
        incident::{
            History,
            classification::{Confidence, Status},
            timeline::LogKind,
        },
        interface::Interface,
        problems::Problem,
        redact::Redactor,
        steps::{
            AcknowledgeEscalation, AcknowledgeIncident, CloseIncident, CorrectEvent, EscalateIncident, LogEvent,
            MissingEvidence, RecordRootCause, ReopenIncident, ResolveEscalation, SuppressEscalation,
        },
        time::Timestamp,
        week::Week,
    },
    lake::{
        Context, Lake, LakeError,
        ledger::{self, Ledger, Submission},
        maintenance, projector, rebuild, verify,
    },
    ops::{self, OpsError, causes, digest, recurrence},
    tables::{
        catalog::{AUDIT_LOG, PROJECTIONS},
        rows::{EscalationEvent, IncidentState},
    },
};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::{support::submission, wait::repetitions};

#[derive(Debug, Clone)]
enum Step {
    /// Concurrent reports; few ids, so that many are repeated.
    Submit(Vec<u8>),
    Reopen,
    Project,
    Tend,
    Maintain,
    DropTable(usize),
    Rebuild,
    /// A step about one of the incidents, legal or not.
    Take(u8, u8, u8),
    /// Two causes are merged, or one is split.
    Alias(bool, u8, u8),
    Scan,
    /// The digest of the week of all events.
    Digest,
}

const CAUSES: [&str; 4] = ["executor out of memory", "token expired", "schema of the source changed", "unknown"];

/// Random steps, legal and illegal ones.
fn request(kind: u8, incident: u8, detail: u8, now: Timestamp) -> Result<Submission, Vec<Problem>> {
    let incident_id = IncidentId::from_ordinal(u64::from(incident) + 1);
    let actor = Id::new("user:dice").unwrap();
    let message = format!("event {detail}");
    let at = Some(now.plus(TimeDelta::minutes(i64::from(detail) - 20)));
    let (request_id, redactor) = (None, Redactor::new(None));
    let alert = AlertRef { incident_id, trigger: Trigger::ALL[usize::from(detail) % Trigger::ALL.len()] };
    macro_rules! prepare {
        ($step:expr) => {
            ops::prepare_step($step, &redactor, now, Interface::Cli)
        };
    }
    match kind % 12 {
        0 => {
            let (kind, tool, evidence) = (LogKind::Note, None, Vec::new());
            prepare!(LogEvent { incident_id, message, kind, tool, evidence, actor, at, request_id })
        }
        1 => prepare!(AcknowledgeIncident { incident_id, message: None, actor, at, request_id }),
        2 | 3 => {
            let missing = [MissingEvidence { kind: Id::new("run_output").unwrap(), reason: None }];
            prepare!(RecordRootCause {
                incident_id,
                root_cause: CAUSES[usize::from(detail) % CAUSES.len()].into(),
                confidence: Confidence::High,
                code: None,
                summary: None,
                evidence: Vec::new(),
                missing_evidence: missing.into_iter().filter(|_| detail.is_multiple_of(3)).collect(),
                error_class: None,
                error_message: None,
                termination_code: None,
                actor,
                at,
                request_id,
            })
        }
        4 => prepare!(EscalateIncident { incident_id, message, to: None, actor, at, request_id }),
        5 | 6 => {
            let lessons_learned = vec![format!("lesson {}", detail % 3)];
            prepare!(CloseIncident {
                incident_id,
                message,
                compliance_impact: None,
                lessons_learned,
                actor,
                at,
                request_id
            })
        }
        7 => prepare!(ReopenIncident { incident_id, message, actor, at, request_id }),
        8 => {
            let event = EventRef { seq: u64::from(detail) % 30 + 1, ordinal: i32::from(kind % 3) + 1 };
            let withdraw = detail.is_multiple_of(4);
            let (message, at) = if withdraw { (None, None) } else { (Some(message), at) };
            prepare!(CorrectEvent { incident_id, event, message, withdraw, actor, at, request_id })
        }
        9 => prepare!(AcknowledgeEscalation { alert, actor, at, request_id }),
        10 => prepare!(ResolveEscalation { alert, actor, at, request_id }),
        _ => {
            let until = now.plus(TimeDelta::minutes(i64::from(detail)));
            prepare!(SuppressEscalation { alert, until, actor, at, request_id })
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0_u8..40, 1..12).prop_map(Step::Submit),
        2 => Just(Step::Reopen),
        2 => Just(Step::Project),
        1 => Just(Step::Tend),
        1 => Just(Step::Maintain),
        1 => (0..PROJECTIONS.len()).prop_map(Step::DropTable),
        1 => Just(Step::Rebuild),
        12 => (any::<u8>(), 0_u8..8, 0_u8..40).prop_map(|(kind, incident, detail)| Step::Take(kind, incident, detail)),
        2 => (any::<bool>(), 0_u8..3, 0_u8..3).prop_map(|(merge, one, other)| Step::Alias(merge, one, other)),
        1 => Just(Step::Scan),
        1 => Just(Step::Digest),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: repetitions(24, 400),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_operations_leaves_a_whole_lake(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(steps));
    }
}

/// A refused step leaves no records; a recorded step is checked like all answers.
async fn take(open: &Ledger, submission: Submission) -> Option<Receipt> {
    match open.submit(submission).await {
        Ok(answer) => Some(answer.receipt),
        Err(error) => match *error {
            LakeError::Refused(_) | LakeError::NoIncident(_) => None,
            _ => panic!("{error}"),
        },
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempdir().unwrap();
    let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
    lake.init().await.unwrap();
    let mut open = Ledger::open(&lake).await.unwrap();
    let mut receipts = BTreeMap::new();
    let now: Timestamp = "2026-02-20T12:00:00Z".parse().unwrap();
    for step in steps {
        match step {
            Step::Submit(ids) => {
                let sent = ids.iter().map(|id| open.0.submit(submission(&format!("r{id}"))));
                for answer in futures::future::join_all(sent).await {
                    let answer = answer.unwrap();
                    let id = answer.receipt.request_id.to_string();
                    assert_eq!(answer.known, receipts.contains_key(&id), "{id}");
                    assert_eq!(receipts.entry(id).or_insert_with(|| answer.receipt.clone()), &answer.receipt);
                }
            }
            Step::Take(kind, incident, detail) => {
                if let Ok(submission) = request(kind, incident, detail, now) {
                    let receipt = take(&open.0, submission.clone()).await;
                    if let Some(receipt) = receipt {
                        assert_eq!(take(&open.0, submission).await.unwrap(), receipt, "sent again");
                    }
                }
            }
            Step::Alias(merge, one, other) => {
                let fingerprint = |cause: u8| cause::identify(None, CAUSES[usize::from(cause)]).unwrap().fingerprint;
                let change = if merge {
                    causes::CauseChange::Merge { causes: vec![fingerprint(one)], into: fingerprint(other) }
                } else {
                    causes::CauseChange::Split { cause: fingerprint(one) }
                };
                let actor = Id::new("user:dice").unwrap();
                match causes::change(&lake, &change, &actor, None, &Redactor::new(None), Interface::Cli).await {
                    Ok(_) | Err(OpsError::NoCause(_) | OpsError::Refused(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Scan => {
                let causes: Vec<String> =
                    CAUSES[..3].iter().map(|words| cause::identify(None, words).unwrap().fingerprint).collect();
                recurrence::scan_causes(&lake, &open.0, &causes, None).await.unwrap();
                let again = recurrence::scan_causes(&lake, &open.0, &causes, Some(now)).await.unwrap();
                assert!(
                    again.recurring.is_empty() && again.alerts.is_empty(),
                    "a scan of what is known says nothing new"
                );
            }
            Step::Digest => {
                let week = Week::of(now, chrono_tz::Tz::UTC);
                let made = digest::make(&lake, Engine::Local(&lake), &open.0, week).await.unwrap();
                let again = digest::make(&lake, Engine::Local(&lake), &open.0, week).await.unwrap();
                assert!(matches!(again.status, digest::DigestStatus::Known(_)) && again.digest == made.digest);
            }
            Step::Reopen => {
                drop(open.0);
                open.1.finished().await;
                open = Ledger::open(&lake).await.unwrap();
            }
            Step::Project => drop(projector::project(&lake, |_, _| {}).await.unwrap()),
            Step::Tend => maintenance::maintain_due_tables(&lake).await.unwrap(),
            Step::Maintain => drop(maintenance::maintain(&lake, TimeDelta::hours(1), |_| {}).await.unwrap()),
            Step::DropTable(number) => {
                std::fs::remove_dir_all(folder.path().join(PROJECTIONS[number].name)).unwrap();
                rebuild::rebuild(&lake, |_, _| {}).await.unwrap();
            }
            Step::Rebuild => {
                let rebuilt = rebuild::rebuild(&lake, |_, _| {}).await.unwrap();
                assert!(rebuilt.iter().all(|table| !table.replaced && !table.missing), "{rebuilt:?}");
            }
        }
    }
    let verification = verify::verify(&lake, None, |_, _| {}).await.unwrap();
    assert!(verification.intact(), "{:?}", verification.tampering);
    replays(&lake, verification.rows).await;
}

fn entry_of(text: &str) -> Entry {
    Entry::parse(text).unwrap()
}

/// The status of every incident, computed from the ledger, equals the one in the tables.
async fn replays(lake: &Lake, head: u64) {
    let table = lake.table(AUDIT_LOG);
    let entries = ledger::entries(&table, &table.log().await.unwrap(), 0, head).await.unwrap();
    let mut histories: BTreeMap<IncidentId, Vec<Entry>> = BTreeMap::new();
    // A replay with the unchanged rules gives the same alerts. A sequence may record nothing.
    let since = entries.first().map_or_else(|| lake.context.now(), |(_, first)| entry_of(first).recorded_at);
    let mut replay = EscalationReplay::new(lake.context.policy.as_ref().clone(), since);
    for (_, text) in entries {
        let entry = entry_of(&text);
        replay.add(entry.clone());
        if let Some(id) = entry.facts.incident_id {
            histories.entry(id).or_default().push(entry);
        }
    }
    assert!(replay.found.firings.iter().all(|one| one.difference == ReplayDifference::Same), "{:?}", replay.found);
    assert_eq!(replay.found.moot, 0);
    let incidents: Vec<IncidentState> = ops::rows(lake, "SELECT * FROM incidents").await.unwrap();
    assert_eq!(incidents.len(), histories.len());
    for row in incidents {
        let history = History::replay(&histories[&row.incident_id]).unwrap();
        let incident = &history.incident;
        assert_eq!(
            (row.status, row.reopened, row.resolved_at, row.acknowledged_at, &row.root_cause),
            (incident.status, incident.reopened, incident.resolved_at, incident.acknowledged_at, &incident.root_cause)
        );
        assert_eq!(row.status == Status::Resolved, row.resolved_at.is_some(), "resolved by a CLOSE that counts");
    }
    let alerts: Vec<EscalationEvent> = ops::rows(lake, "SELECT * FROM escalations").await.unwrap();
    for alert in alerts {
        let history = History::replay(&histories[&alert.incident_id]).unwrap();
        assert_eq!(history.alerts.get(&alert.dedup_key).map(|known| known.status), alert.status, "{alert:?}");
    }
}
