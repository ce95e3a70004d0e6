//! Blocks for recorded SQL statements and commands. Nothing is captured, so nothing can be compared or restored.

use serde_json::{Value, json};

use super::{
    EntryPart, RunbookEntry, StepContext,
    quote::{is_redacted, json_word},
    settings::of_incident,
    shell::ApiCalls,
};
use crate::render::plain::line;

const CHECK: &str = "Check that nothing has drifted since the capture:";
const VALIDATE: &str = "Validate fix:";
const ROLLBACK: &str = "Roll back:";

pub fn statement(entry: &mut RunbookEntry, context: &StepContext<'_>) {
    nothing_captured(entry, context, "statement");
    let heading = "Run the statement:";
    let statement = context.step.statement.as_deref().unwrap_or_default();
    entry.apply = if statement.trim().is_empty() {
        EntryPart::without(heading, "Not available: no statement was recorded.")
    } else if is_redacted(&Value::from(statement)) {
        EntryPart::without(heading, "Not available: a secret in the statement was redacted; run it by hand.")
    } else {
        let request = json!({ "statement": statement, "wait_timeout": "50s", "on_wait_timeout": "CONTINUE" });
        EntryPart::run(heading, context.shell.block(ApiCalls::Both, &format!("request={}\n{RUN}", json_word(&request))))
    };
    let mut notes = vec!["Read the statement first: it runs exactly as recorded.".to_owned()];
    notes.extend(statement.lines().map(|text| format!("  {}", line(text))));
    notes.append(&mut entry.apply.notes);
    entry.apply.notes = notes;
    entry.apply.expected = vec!["Expected: SUCCEEDED".into()];
}

/// Runs the statement and waits for its end. The API answers a failed statement with HTTP 200 and state FAILED.
const RUN: &str = r#": "${DATABRICKS_WAREHOUSE_ID:?set it to the id of the SQL warehouse that runs it}"
answer=$(printf '%s\n' "$request" | jq -a -c --arg id "$DATABRICKS_WAREHOUSE_ID" '.warehouse_id = $id' |
  post /api/2.0/sql/statements) || exit 1
id=$(printf '%s\n' "$answer" | jq -r '.statement_id | @uri') || exit 1
state=$(printf '%s\n' "$answer" | jq -r '.status.state') || exit 1
while [ "$state" = PENDING ] || [ "$state" = RUNNING ]; do
  sleep 5
  answer=$(get "/api/2.0/sql/statements/$id") || exit 1
  state=$(printf '%s\n' "$answer" | jq -r '.status.state') || exit 1
done
printf '%s\n' "$answer" | jq -a -c '.status.state, (.status.error // empty), (.result.data_array // [])[:20][]'
if [ "$state" != SUCCEEDED ]; then exit 1; fi
"#;

pub fn command(entry: &mut RunbookEntry, context: &StepContext<'_>) {
    nothing_captured(entry, context, "command");
    let mut notes = vec![
        "Written by the reporter and not checked: read it, then run it by hand. Pasting these lines runs nothing."
            .to_owned(),
    ];
    let command = context.step.command.as_deref().unwrap_or("no command was recorded");
    notes.extend(command.lines().map(|text| format!("  {}", line(text))));
    entry.apply = EntryPart { heading: "Run the command by hand:".into(), notes, ..EntryPart::default() };
}

fn nothing_captured(entry: &mut RunbookEntry, context: &StepContext<'_>, what: &str) {
    entry.check = EntryPart::without(CHECK, "Not available: nothing was captured.");
    entry.validate = EntryPart::without(VALIDATE, "Not available: no expected value was recorded.");
    entry.rollback =
        EntryPart::without(ROLLBACK, format!("Not available: nothing was captured; write the reverse {what}."));
    (entry.test, entry.monitor) = of_incident(context);
}
