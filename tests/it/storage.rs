//! Lakes in object stores: the same guarantees as on a disk, with slow and failing requests; and the number of round trips.

mod doctor;
pub mod emulators;
pub mod proxy;
mod unity;
mod workspace;

use std::{
    cell::Cell,
    fs,
    time::{Duration, Instant},
};

use ops_runbook::{
    lake::{Context, Lake, StoreEnvironment, ledger::Ledger},
    tables::catalog::AUDIT_LOG,
};

use crate::{
    concurrency::assert_all_recorded_once,
    faults::{assert_kills_lose_nothing, assert_writers_record_everything_once},
    record::{assert_examples_stand_once, assert_ids_are_found_again},
    support::{assert_intact, example, ok, run, submission},
    wait::{eventually_async, repetitions},
};
use emulators::{Store, Stored};
use proxy::Faults;

/// The latency of a store in the same region.
const LATENCY: Duration = Duration::from_millis(30);
/// Requests that are sent together arrive within this time, even on a busy machine: they count as one round trip.
const LONG_LATENCY: Duration = Duration::from_millis(400);

fn faults() -> Faults {
    Faults { lost: 4, busy: 4, busy_after: 4, conflict: 25, slow: 4 }
}

/// Asserts that each kind of fault happened; otherwise the test proves nothing.
fn assert_faults_happened(store: &Store) {
    let done = store.proxy.faults_done();
    println!("{done:?}");
    assert!(
        ["lost", "busy", "busy_after", "conflict", "slow"].iter().all(|kind| done.get(kind).is_some_and(|n| *n > 2)),
        "{done:?}"
    );
}

async fn warm(lake: &Lake) -> Ledger {
    let (ledger, _) = Ledger::open(lake).await.unwrap();
    ledger.submit(submission("warm-up")).await.unwrap();
    ledger
}

/// With `is_throttled` the store's error does not show whether the commit exists: the writer has to read it.
async fn assert_round_trips(store: &Store, is_throttled: bool) {
    let place = store.lake("counted");
    let lake = place.open();
    lake.init().await.unwrap();
    let ledger = warm(&lake).await;
    store.proxy.takes(LONG_LATENCY);
    let (recorded, traffic) = store.proxy.during(ledger.submit(submission("alone"))).await;
    assert_eq!(recorded.unwrap().receipt.seq, 2);
    assert_eq!((traffic.0.len(), traffic.round_trips()), (2, 2), "{:#?}", traffic.lines());

    let other = place.open();
    let (competing, _) = Ledger::open(&other).await.unwrap();
    competing.submit(submission("competitor")).await.unwrap();
    if is_throttled {
        store.proxy.throttles();
    }
    let (recorded, traffic) = store.proxy.during(ledger.submit(submission("second"))).await;
    assert_eq!(recorded.unwrap().receipt.seq, 4);
    // The file and the refused commit; this commit and the next, read together; the file and the commit that succeed.
    assert_eq!(traffic.round_trips(), 5 + usize::from(is_throttled), "{:#?}", traffic.lines());
    assert_eq!((traffic.count("PUT"), traffic.count("GET")), (4, 2), "{:#?}", traffic.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_s3_takes_two_round_trips_and_five_after_a_conflict() {
    assert_round_trips(&Store::s3(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_azure_takes_two_round_trips_and_five_after_a_conflict() {
    assert_round_trips(&Store::azure(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_google_takes_two_round_trips_and_five_after_a_conflict() {
    assert_round_trips(&Store::google_with_pauses_of("0"), false).await;
}

/// The writer checks whether the commit exists, because a 429 does not show it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_google_takes_one_more_round_trip_after_a_write_within_the_same_second() {
    assert_round_trips(&Store::google_with_pauses_of("0"), true).await;
}

/// The writer of the newest commit knows the head, and every other writer has to read it first. Without a fairness delay one of
/// two writers would commit for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_on_s3_that_never_pause_take_turns() {
    const FEW: u64 = 10;
    // The first pause comes after 8 s: a fast writer has about 130 records by then.
    const MANY: u64 = 200;
    let store = Store::s3();
    let place = store.lake("turns");
    place.open().init().await.unwrap();
    store.proxy.takes(LATENCY);
    // Both write until both have written a few, or one of them has written many.
    let counts = [Cell::new(0), Cell::new(0)];
    let write = async |own: usize| {
        let (ledger, _) = Ledger::open(&place.open()).await.unwrap();
        let mut longest = Duration::ZERO;
        while counts.iter().any(|count| count.get() < FEW) && counts[own].get() < MANY {
            let begun = Instant::now();
            ledger.submit(submission(&format!("{own}-{}", counts[own].get()))).await.unwrap();
            longest = longest.max(begun.elapsed());
            counts[own].set(counts[own].get() + 1);
        }
        longest
    };
    let (one_waited, other_waited) = tokio::join!(write(0), write(1));
    let [one, other] = counts.map(Cell::into_inner);
    println!("{one} and {other} records; the longest waits {one_waited:.1?} and {other_waited:.1?}");
    assert!(one.max(other) < MANY, "{one} and {other}");
    assert_intact(&place, one + other);
}

/// Opens the lake in this process with a short time-out of requests.
fn impatient(place: &Stored) -> Lake {
    let store_environment = StoreEnvironment {
        variables: place.variables.iter().cloned().collect(),
        request_timeout: Some(Duration::from_secs(5)),
        ..StoreEnvironment::default()
    };
    Lake::open(&place.uri, &store_environment, Context::system()).unwrap()
}

/// The store has stored the commit, and its response never arrives. In the meantime a concurrent writer commits the next version.
async fn assert_recorded_once_after_a_time_out(store: &Store) {
    let place = store.lake("late");
    place.open().init().await.unwrap();
    let ledger = warm(&impatient(&place)).await;
    let begun = Instant::now();
    store.proxy.withholds_an_answer();
    let other = async {
        let stored = async || (place.open().table(AUDIT_LOG).log().await.unwrap().files.len() >= 2).then_some(());
        eventually_async("the commit whose answer is withheld", stored).await;
        let (competing, _) = Ledger::open(&place.open()).await.unwrap();
        competing.submit(submission("competitor")).await.unwrap().receipt.seq
    };
    let ((recorded, competitor), traffic) =
        store.proxy.during(async { tokio::join!(ledger.submit(submission("late")), other) }).await;
    let recorded = recorded.unwrap();
    store.proxy.given_up().await;
    assert_eq!((recorded.receipt.seq, recorded.known, competitor), (2, false, 3));
    let puts = traffic
        .0
        .iter()
        .filter(|exchange| exchange.method == "PUT" && exchange.is_conditional && exchange.path.contains("_delta_log"));
    let statuses: Vec<u16> = puts.map(|exchange| exchange.status / 100).collect();
    println!("given up after {:.1?}; commits put: {statuses:?}", begun.elapsed());
    assert!(statuses.iter().filter(|status| **status == 2).count() == 2, "{statuses:?}");
    for again in [&ledger, &warm(&place.open()).await] {
        let known = again.submit(submission("late")).await.unwrap();
        assert_eq!((known.known, &known.receipt), (true, &recorded.receipt));
    }
    ok(&place, &["audit", "verify"]);
    assert_intact(&place, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_s3_whose_put_times_out_after_it_was_stored_is_recorded_once() {
    assert_recorded_once_after_a_time_out(&Store::s3()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_azure_whose_put_times_out_after_it_was_stored_is_recorded_once() {
    assert_recorded_once_after_a_time_out(&Store::azure()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_google_whose_put_times_out_after_it_was_stored_is_recorded_once() {
    assert_recorded_once_after_a_time_out(&Store::google()).await;
}

/// Asserts the guarantees of a lake on a disk.
fn assert_holds(store: &Store, reports: usize, kills: usize) {
    assert_examples_stand_once(&store.lake("examples"));
    assert_ids_are_found_again(&store.lake("ids"));
    store.proxy.takes(Duration::from_millis(5));
    assert_all_recorded_once(&store.lake("many"), 4, reports);
    store.proxy.fails(faults());
    assert_all_recorded_once(&store.lake("faults"), 4, reports);
    assert_kills_lose_nothing(&store.lake("kills"), kills, 3_000);
    assert_faults_happened(store);
}

#[test]
fn a_lake_on_s3_loses_and_duplicates_nothing_despite_faults() {
    assert_holds(&Store::s3(), repetitions(10, 25), repetitions(3, 10));
}

#[test]
fn a_lake_on_azure_loses_and_duplicates_nothing_despite_faults() {
    assert_holds(&Store::azure(), repetitions(10, 25), repetitions(3, 10));
}

#[test]
fn a_lake_on_google_loses_and_duplicates_nothing_despite_faults() {
    assert_holds(&Store::google(), repetitions(2, 5), repetitions(1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_on_s3_with_faults_record_everything_once() {
    let store = Store::s3();
    let place = store.lake("writers");
    place.open().init().await.unwrap();
    store.proxy.fails(faults());
    assert_writers_record_everything_once(&place.open(), |_| place.open(), 4, repetitions(12, 30)).await;
    assert_faults_happened(&store);
}

#[test]
fn errors_of_s3_settings_name_what_to_set() {
    let store = Store::s3();
    let check = |change: &dyn Fn(&mut emulators::Stored), code: i32, expected: &[&str]| {
        let mut place = store.lake("none");
        change(&mut place);
        let output = run(&place, &["init"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for part in expected {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    };
    check(
        &|place| place.uri = "s3://no-such-bucket/lake".into(),
        1,
        &["NoSuchBucket", "hint: create the bucket first"],
    );
    check(
        &|place| place.uri = "ftp://host/lake".into(),
        2,
        &["the scheme ftp is not supported", "hint: give a folder"],
    );
    check(&|place| place.uri = "az://ops/lake?sig=hunter2".into(), 2, &["set credentials in the environment only"]);
    check(&|place| place.uri = "az://ops/lake".into(), 2, &["hint: set AZURE_STORAGE_ACCOUNT_NAME"]);
    check(
        &|place| place.variables.retain(|(name, _)| name != "AWS_SECRET_ACCESS_KEY"),
        2,
        &["hint: set AWS_SECRET_ACCESS_KEY too"],
    );
    check(
        &|place| place.variables[0].1 = "http://store.example.com".into(),
        2,
        &["AWS_ENDPOINT_URL is not encrypted", "hint: set AWS_ENDPOINT_URL to an https:// address"],
    );
    check(
        &|place| place.variables[0].1 = "https://me:hunter2@store.example.com".into(),
        2,
        &["contains more than an address"],
    );
    check(&|place| place.uri = "uc://main.ops".into(), 2, &["DATABRICKS_HOST"]);
}

#[test]
fn an_account_of_google_is_set_by_a_file_or_its_content() {
    let store = Store::google_with_pauses_of("0");
    let file = store.variables[0].1.clone();
    let account = fs::read_to_string(&file).unwrap();
    let place = |name: &str, variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        emulators::Stored { variables, ..store.lake(name) }
    };
    ok(&place("file", &[("GOOGLE_SERVICE_ACCOUNT", &file)]), &["init"]);
    ok(&place("content", &[("GOOGLE_SERVICE_ACCOUNT_KEY", &account)]), &["init"]);
    // Only the identity in these credentials is used.
    let address = ("GOOGLE_BASE_URL", store.proxy.url.as_str());
    ok(&place("default", &[("GOOGLE_APPLICATION_CREDENTIALS", &file), address]), &["init"]);

    let check = |place: &emulators::Stored, code: i32, expected: &[&str]| {
        let output = run(place, &["init"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(expected.iter().all(|part| text.contains(part)), "{expected:?} in {text}");
        assert!(!text.contains("PRIVATE KEY"), "{text}");
    };
    let other = Store::google_with_pauses_of("0");
    let stranger = place("stranger", &[("GOOGLE_SERVICE_ACCOUNT", other.variables[0].1.as_str()), address]);
    check(&stranger, 1, &["AuthenticationRequired", "hint: the store does not accept the credentials"]);
    let mut nowhere = place("nowhere", &[("GOOGLE_SERVICE_ACCOUNT", &file)]);
    nowhere.uri = "gs://no-such-bucket/lake".into();
    check(&nowhere, 1, &["NoSuchBucket", "hint: create the bucket first"]);
    check(
        &place("both", &[("GOOGLE_SERVICE_ACCOUNT", &file), ("GOOGLE_SERVICE_ACCOUNT_KEY", &account)]),
        2,
        &["are both set"],
    );
    let elsewhere = account.replace(&store.proxy.url, "http://store.example.com");
    check(
        &place("plain", &[("GOOGLE_SERVICE_ACCOUNT_KEY", &elsewhere)]),
        2,
        &["is not encrypted", "to an https:// address"],
    );
}

/// Google accepts one write per second to a name. Within that second, maintenance acquires the lease, checks it for every table, and
/// releases it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_on_google_does_not_write_the_lease_for_every_table() {
    let store = Store::google();
    let place = store.lake("maintenance");
    ok(&place, &["record", &example("01-daily-etl-no-retries")]);
    for _ in 0..2 {
        let ((), traffic) = store.proxy.during(async { drop(ok(&place, &["maintain"])) }).await;
        let claims = traffic.0.iter().filter(|it| it.method == "PUT" && it.path.contains("/_lease/"));
        let (written, refused): (Vec<_>, Vec<_>) = claims.partition(|it| it.status == 200);
        assert!(written.len() == 2 && refused.iter().all(|it| it.status == 429), "{:#?}", traffic.lines());
    }
    assert_intact(&place, 1);
}
