//! Responses of the API, recorded and invented ones.

use std::sync::{Arc, Mutex};

use ops_runbook::databricks::{
    error::ApiError,
    statements::{
        CancelSummary, Statement, StatementError, StatementParameter, StatementResult, StatementRunner, StatementState,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpSocket, sync::Notify};

use super::fake::{Fake, Reply, error, found, statement_state};

const STATEMENT: Statement<'_> =
    Statement { warehouse_id: "wh", catalog: "ops", schema: "runbook", sql: "SELECT 1", parameters: &[] };

async fn answer_to<R: Into<Reply>>(replies: impl IntoIterator<Item = R>) -> Result<StatementResult, StatementError> {
    Fake::script(replies).await.statements().run(STATEMENT, |_| {}).await
}

async fn refusal<R: Into<Reply>>(reply: R) -> StatementError {
    answer_to([reply]).await.unwrap_err()
}

#[tokio::test]
async fn a_statement_is_polled_until_it_ends_and_read_chunk_by_chunk() {
    let chunk = |index, rows| json!({ "chunk_index": index, "row_offset": 2 * index, "data_array": rows });
    let first = found(&[("n", "LONG"), ("text", "STRING")], 5, 3, json!([["1", "a"], ["2", null]]));
    let script = [
        statement_state("PENDING"),
        statement_state("RUNNING"),
        first,
        chunk(1, json!([["3", "c"], ["4", "d"]])),
        chunk(2, json!([["5", "e"]])),
    ];
    let fake = Fake::script(script).await;
    let states = Mutex::new(Vec::new());
    let parameters = [
        StatementParameter { name: "cause".into(), value: "a'b".into(), kind: "STRING" },
        StatementParameter { name: "n".into(), value: "3".into(), kind: "INT" },
    ];
    let statement = Statement { parameters: &parameters, ..STATEMENT };
    let on_state = |state: &StatementState| states.lock().unwrap().push(state.to_string());
    let answer = fake.statements().run(statement, on_state).await.unwrap();
    assert_eq!(answer.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["n", "text"]);
    let rows: Value = answer.rows.iter().cloned().collect();
    assert_eq!(rows, json!([["1", "a"], ["2", null], ["3", "c"], ["4", "d"], ["5", "e"]]));
    assert_eq!(*states.lock().unwrap(), ["PENDING", "PENDING", "RUNNING"]);

    let at = "/api/2.0/sql/statements";
    let lines = ["POST ", "GET /one", "GET /one", "GET /one/result/chunks/1", "GET /one/result/chunks/2"];
    assert_eq!(fake.lines(), lines.map(|line| line.replacen(' ', &format!(" {at}"), 1)));
    assert_eq!(
        fake.requests()[0].body,
        json!({
            "warehouse_id": "wh", "catalog": "ops", "schema": "runbook", "statement": "SELECT 1",
            "parameters": [{ "name": "cause", "value": "a'b", "type": "STRING" }, { "name": "n", "value": "3", "type": "INT" }],
            "wait_timeout": "5s", "on_wait_timeout": "CONTINUE", "disposition": "INLINE", "format": "JSON_ARRAY",
        })
    );
    assert!(fake.requests().iter().all(|request| request.agent.starts_with("ops-runbook/")));
}

#[tokio::test]
async fn a_failed_statement_in_a_successful_response_is_an_error() {
    let error = json!({ "error_code": "BAD_REQUEST", "message": "[TABLE_OR_VIEW_NOT_FOUND] `x` cannot be found. SQLSTATE: 42P01" });
    let failed =
        json!({ "statement_id": "one", "status": { "state": "FAILED", "error": error, "sql_state": "42P01" } });
    let refused = refusal(failed).await;
    assert!(refused.is_refusal());
    assert_eq!(
        refused.to_string(),
        "the warehouse reports an error: [TABLE_OR_VIEW_NOT_FOUND] `x` cannot be found. SQLSTATE: 42P01"
    );
    assert!(!refused.is_conflict());
    let message = "[DELTA_CONCURRENT_APPEND.WITHOUT_HINT] Transaction conflict detected.";
    let conflict = json!({ "error_code": "BAD_REQUEST", "message": message });
    assert!(
        refusal(json!({ "statement_id": "one", "status": { "state": "FAILED", "error": conflict } }))
            .await
            .is_conflict()
    );
    let silent = refusal(statement_state("FAILED")).await;
    assert!(!silent.is_refusal());
    assert_eq!(silent.to_string(), "the warehouse reports an error: no reason given");
    assert!(matches!(refusal(statement_state("CANCELED")).await, StatementError::Cancelled { id } if id == "one"));
    assert!(matches!(refusal(statement_state("CLOSED")).await, StatementError::Closed { id } if id == "one"));
    let odd = refusal(statement_state("LOST")).await.to_string();
    assert_eq!(odd, "unexpected answer of the workspace: the statement is in the state LOST");
}

#[tokio::test]
async fn an_incomplete_result_is_an_error() {
    let whole = || found(&[("n", "LONG")], 2, 1, json!([["1"], ["2"]]));
    assert_eq!(answer_to([whole()]).await.unwrap().rows.len(), 2);
    let with = |pointer: &str, value: Value| {
        let mut changed = whole();
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let truncated = refusal(with("/manifest/truncated", json!(true))).await;
    assert!(matches!(truncated, StatementError::Truncated { rows: 2 }));
    let fewer = refusal(with("/manifest/total_row_count", json!(3))).await;
    assert!(matches!(fewer, StatementError::Incomplete { expected: 3, got: 2 }));
    let linked =
        refusal(with("/result", json!({ "external_links": [{ "external_link": "https://example.test" }] }))).await;
    assert!(matches!(linked, StatementError::Incomplete { expected: 2, got: 0 }));
    for odd in [
        with("/manifest", Value::Null),
        with("/result/data_array", json!([["1"], ["2", "3"]])),
        with("/result/data_array", json!([["1"], [2]])),
        with("/status", Value::Null),
    ] {
        let found = refusal(odd.clone()).await;
        assert!(matches!(found, StatementError::Api(ApiError::Unexpected(_))), "{odd}: {found}");
    }
    let mut two = with("/manifest/total_chunk_count", json!(2));
    let wrong = json!({ "chunk_index": 0, "data_array": [["1"], ["2"]] });
    let again = answer_to([two.clone(), wrong]).await.unwrap_err();
    assert!(again.to_string().contains("the response is not chunk 1"), "{again}");
    *two.pointer_mut("/manifest/total_row_count").unwrap() = json!(4);
    let gone = answer_to([two.into(), error(404, "NOT_FOUND", "the result is not there any more")]).await.unwrap_err();
    assert!(matches!(gone, StatementError::Api(ApiError::NotFound(_))), "{gone}");
}

#[tokio::test]
async fn every_refusal_has_a_hint() {
    let page = |status| Reply { status, body: "<!doctype html><title>Sign in</title>".into(), ..json!(null).into() };
    let mut cut: Reply = found(&[("n", "LONG")], 1, 1, json!([["1"]])).into();
    cut.body.truncate(cut.body.len() / 2);
    for (reply, expected) in [
        (error(401, "X", "expired"), "the workspace does not accept the token: X: expired"),
        (
            error(403, "PERMISSION_DENIED", "no CAN USE"),
            "the workspace does not allow this: PERMISSION_DENIED: no CAN USE",
        ),
        (error(404, "NOT_FOUND", "wh"), "the workspace does not find it: NOT_FOUND: wh"),
        (
            error(400, "INVALID_PARAMETER_VALUE", "wh is not a valid endpoint id"),
            "the workspace refuses the request: INVALID_PARAMETER_VALUE: wh is not a valid endpoint id",
        ),
        (page(403), "the workspace does not allow this: 403 Forbidden"),
        (page(500), "unexpected answer of the workspace: 500 Internal Server Error"),
        (page(302), "unexpected answer of the workspace: 302 Found"),
        (page(200), "unexpected answer of the workspace: expected value at line 1 column 1, in \"<!doctype html>"),
        (cut, "unexpected answer of the workspace: EOF while parsing"),
    ] {
        let refused = refusal(reply.clone()).await;
        assert!(refused.to_string().starts_with(expected), "{reply:?}: {refused}");
        assert!(refused.hint().is_some());
    }
}

#[tokio::test]
async fn a_throttled_request_is_retried_after_the_pause_that_the_workspace_asks_for() {
    let whole: Reply = found(&[("n", "LONG")], 1, 1, json!([["1"]])).into();
    let busy = |status, retry_after| Reply { retry_after, ..error(status, "REQUEST_LIMIT_EXCEEDED", "slow down") };
    let fake =
        Fake::script([busy(429, Some("0")), busy(503, None), Reply { is_cut: true, ..whole.clone() }, whole]).await;
    assert_eq!(fake.statements().run(STATEMENT, |_| {}).await.unwrap().rows.len(), 1);
    assert_eq!(fake.lines().len(), 4);

    let patient = Fake::script([busy(429, Some("86400"))]).await;
    let refused = patient.statements().run(STATEMENT, |_| {}).await.unwrap_err();
    assert!(
        matches!(&refused, StatementError::Api(ApiError::Throttled(text)) if text.contains("slow down")),
        "{refused}"
    );
    assert_eq!(patient.lines().len(), 1, "a day is too long to wait");
}

#[tokio::test]
async fn an_unreachable_workspace_is_an_error_after_retries() {
    // Nothing listens at a port that is only bound, and no other process can take it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut fake = Fake::script([statement_state("FAILED")]).await;
    fake.url = format!("http://{}", socket.local_addr().unwrap());
    let failed = fake.statements().run(STATEMENT, |_| {}).await.unwrap_err();
    assert!(matches!(failed, StatementError::Api(ApiError::Unreachable(_))), "{failed}");
}

/// Runs a statement that does not end, and drops it after `requests` requests.
async fn run_until_asked(statements: &StatementRunner, fake: &Fake, requests: usize) {
    tokio::select! {
        ended = statements.run(STATEMENT, |_| {}) => panic!("{ended:?}"),
        () = fake.asked(requests) => {}
    }
}

#[tokio::test]
async fn only_active_statements_are_cancelled() {
    let fake = Fake::script([statement_state("PENDING"), statement_state("RUNNING")]).await;
    let statements = fake.statements();
    run_until_asked(&statements, &fake, 2).await;
    assert_eq!(statements.cancel_all().await, CancelSummary { cancelled: 1, unknown: 0 });
    assert_eq!(fake.cancellations(), 1);
    assert_eq!(statements.cancel_all().await, CancelSummary::default());

    let held = Arc::new(Notify::new());
    let slow = Fake::script([Reply { held: Some(Arc::clone(&held)), ..statement_state("RUNNING").into() }]).await;
    let statements = slow.statements();
    run_until_asked(&statements, &slow, 1).await;
    let (cancelled, ()) = tokio::join!(statements.cancel_all(), async { held.notify_one() });
    assert_eq!(cancelled, CancelSummary { cancelled: 1, unknown: 0 }, "its id came later");

    let done = Fake::script([statement_state("PENDING"), found(&[("n", "LONG")], 0, 0, json!([]))]).await;
    let statements = done.statements();
    statements.run(STATEMENT, |_| {}).await.unwrap();
    assert_eq!(statements.cancel_all().await, CancelSummary::default());
}
