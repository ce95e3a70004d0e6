//! After any sequence of operations the lake is whole, and every answer given stays true.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use ops_runbook::{
    lake::{Context, Lake, ledger::Ledger, maintenance, projector, rebuild, verify},
    tables::catalog::PROJECTIONS,
};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::submission;

#[derive(Debug, Clone)]
enum Step {
    /// Reports sent at once; few ids, so that many are sent again.
    Submit(Vec<u8>),
    Reopen,
    Project,
    Tend,
    Maintain,
    DropTable(usize),
    Rebuild,
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
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_leaves_a_whole_lake(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(run(steps));
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempdir().unwrap();
    let lake = Lake::at(folder.path().to_str().unwrap(), Context::system()).unwrap();
    lake.init().await.unwrap();
    let mut open = Ledger::open(&lake).await.unwrap();
    let mut receipts = BTreeMap::new();
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
            Step::Reopen => {
                drop(open.0);
                open.1.finished().await;
                open = Ledger::open(&lake).await.unwrap();
            }
            Step::Project => drop(projector::project(&lake, |_, _| {}).await.unwrap()),
            Step::Tend => maintenance::tend_all(&lake).await.unwrap(),
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
    assert_eq!(verification.rows, receipts.len() as u64);
}
