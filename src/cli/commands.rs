//! One function per top-level command: calls the operation and prints the result.

use std::{borrow::Cow, path::Path};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::{display::FormatOptions, pretty::pretty_format_batches_with_options},
};
use chrono::TimeDelta;
use futures::TryStreamExt;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{
    DEFAULT_LAKE, DemoArgs, GlobalOptions, MaintainArgs, PageFormat, RowFormat, SchemaFormat, SqlArgs,
    exit::{CommandError, ExitStatus},
    input::{self, ReportInput},
    location,
    output::Output,
};
use crate::{
    analytics,
    domain::{
        entry::Receipt, interface::Interface, json_lines::DocumentFormat, policy::file, problems::Problem,
        recurrence::event::EpisodeEvent, redact::Redactor,
    },
    lake::{
        Lake,
        ledger::{Submission, SubmissionResult},
        maintenance::{self, MaintenanceResult},
        rebuild,
    },
    ops::{
        self, Consequences,
        artifacts::{self, Artifacts},
        demo::DemoResult,
        named_query,
    },
    render::{self, alert, audit, configuration, digest::text, export, plain, recurring, timeline},
    tables::{catalog, ddl},
};

/// Maximum number of alerts that are printed; the rest is counted.
const MAX_PRINTED_ALERTS: usize = 20;

/// The result of a command: its exit status, or an error that [`exit::report`](super::exit::report) prints.
pub type CommandResult = Result<ExitStatus, CommandError>;

pub async fn init(lake: &Lake, inbox: Option<&str>, output: &Output) -> CommandResult {
    let inbox = inbox.map(location::inbox).transpose()?;
    let made = lake.init().await?;
    let mut answer = json!({ "lake": lake.display(), "made": made });
    let mut lines = vec![match made {
        true => format!("created a lake at {}", lake.display()),
        false => format!("the lake at {} exists already; nothing was changed", lake.display()),
    }];
    if let Some(inbox) = inbox {
        let made = inbox.make().await?;
        let display = inbox.display();
        lines.push(match made {
            true => format!("created an inbox at {display}"),
            false => format!("the inbox at {display} exists already"),
        });
        answer["inbox"] = json!({ "location": display, "made": made });
    }
    if output.json {
        output.json(&answer)?
    } else {
        output.text(&lines.join("\n"))?
    }
    Ok(ExitStatus::Success)
}

/// The JSON output for a recorded request.
#[derive(Serialize)]
struct PrintedReceipt<'a> {
    #[serde(flatten)]
    receipt: &'a Receipt,
    known: bool,
    #[serde(skip_serializing_if = "is_true")]
    same_content: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

pub async fn record(lake: &Lake, file: &Path, artifacts: bool, redactor: &Redactor, output: &Output) -> CommandResult {
    let ReportInput { documents, shape } = input::read(file)?;
    let bar = output.progress("checking");
    bar.set_length(documents.len() as u64);
    let now = lake.context.now();
    let mut submissions = Vec::new();
    let mut refused = Vec::new();
    for document in documents {
        match ops::prepare(&document.bytes, redactor, now, Interface::Cli) {
            Ok(submission) => submissions.push(submission),
            Err(problems) => refused.push((document.line, problems)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !refused.is_empty() {
        for (line, problems) in &refused {
            print_problems((shape == DocumentFormat::Lines).then_some(*line), problems, output);
        }
        return Err(CommandError::Refused);
    }
    record_all(lake, submissions, artifacts, redactor, output).await
}

/// Prints the problems of an input, one per line.
pub fn print_problems(line: Option<u64>, problems: &[Problem], output: &Output) {
    if output.json {
        output.problem(&json!({ "line": line, "problems": problems }).to_string());
        return;
    }
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    for problem in problems {
        output.problem(&format!("refused: {place}{problem}"));
    }
}

/// Records one request, and prints the receipt, fired alerts and recurring issues.
pub async fn record_one(lake: &Lake, submission: Submission, redactor: &Redactor, output: &Output) -> CommandResult {
    record_all(lake, vec![submission], false, redactor, output).await
}

async fn record_all(
    lake: &Lake,
    submissions: Vec<Submission>,
    artifacts: bool,
    redactor: &Redactor,
    output: &Output,
) -> CommandResult {
    let (ledger, committer) = ops::open_ledger(lake).await?;
    let bar = output.progress("recording");
    bar.set_length(submissions.len() as u64);
    let mut answers = Box::pin(ops::record(&ledger, submissions));
    let mut new = Vec::new();
    let mut answered = Vec::new();
    while let Some(recorded) = answers.try_next().await? {
        bar.suspend(|| print_recorded(&recorded, output))?;
        bar.inc(1);
        if !recorded.known {
            new.push(recorded.receipt.seq);
        }
        if artifacts {
            answered.push(recorded);
        }
    }
    bar.finish_and_clear();
    drop(answers);
    // The receipt is printed. Any later process can finish the rest.
    let consequences = ops::consequences(lake, &ledger, &new).await;
    drop(ledger);
    committer.finished().await;
    match consequences {
        Ok(consequences) if artifacts => {
            for recorded in &answered {
                print_artifacts(lake, recorded, &consequences, output).await?;
            }
            warn_of_unrouted(&consequences, output);
        }
        Ok(consequences) => print_consequences(&consequences, output)?,
        Err(error) => {
            let error = plain::line(&redactor.text(&error.to_string())).into_owned();
            output.problem(&format!("warning: recorded, but the tables are not up to date yet: {error}"));
        }
    }
    Ok(ExitStatus::Success)
}

/// Prints the artifacts of a recorded request: timeline, runbook, evaluated triggers, audit entry, recurring issues.
async fn print_artifacts(
    lake: &Lake,
    recorded: &SubmissionResult,
    consequences: &Consequences,
    output: &Output,
) -> Result<(), CommandError> {
    let Some(id) = recorded.receipt.incident_id else { return Ok(()) };
    // A repeated request has no new recurring issues.
    let fresh = (!recorded.known).then_some(consequences.recurring.as_slice());
    let artifacts = Artifacts::of(lake, id, Some(recorded.receipt.seq), fresh).await?;
    if output.json {
        output.json(&artifacts)?;
        return Ok(());
    }
    for part in artifacts.texts() {
        output.text(&format!("\n{part}"))?;
    }
    Ok(())
}

fn warn_of_unrouted(consequences: &Consequences, output: &Output) {
    for event in consequences.unrouted().take(MAX_PRINTED_ALERTS) {
        let text = format!("warning: no notification for {}: no route of the configuration matches", event.dedup_key);
        output.problem(&plain::line(&text));
    }
    let more = consequences.unrouted().count().saturating_sub(MAX_PRINTED_ALERTS);
    if more > 0 {
        output.problem(&format!("warning: no notification for {more} more alerts"));
    }
}

/// Prints fired alerts and changed recurring issues, except with `--json`.
pub fn print_consequences(consequences: &Consequences, output: &Output) -> Result<(), CommandError> {
    warn_of_unrouted(consequences, output);
    if output.json {
        return Ok(());
    }
    for event in consequences.fired().take(MAX_PRINTED_ALERTS) {
        output.text(&format!("\n{}", alert::alert(event)))?;
    }
    let more = consequences.fired().count().saturating_sub(MAX_PRINTED_ALERTS);
    if more > 0 {
        output.text(&format!("\n{more} more alerts fired; `ops-runbook escalation list` shows them"))?;
    }
    for event in &consequences.recurring {
        if event.event == EpisodeEvent::Closed {
            let text = format!("recurring issue {} is closed: {}", event.episode_id, event.reason);
            output.text(&plain::line(&text))?;
        } else {
            output.text(&format!("\n{}", recurring::event(event)))?;
        }
    }
    Ok(())
}

pub fn print_recorded(recorded: &SubmissionResult, output: &Output) -> Result<(), CommandError> {
    let SubmissionResult { receipt, known, same_content } = recorded;
    if output.json {
        output.json(&PrintedReceipt { receipt, known: *known, same_content: *same_content })?;
        return Ok(());
    }
    output.text(&render::receipt::recorded(receipt, *known))?;
    if !same_content {
        output.problem(&format!("warning: {}", render::receipt::other_content(&receipt.request_id)));
    }
    Ok(())
}

pub async fn demo(global: &GlobalOptions, args: &DemoArgs, redactor: &Redactor, output: &Output) -> CommandResult {
    let bar = output.progress("recording");
    let DemoResult { lake, recorded, digest } = ops::demo::make(
        |context| location::lake(global, context),
        args.as_of,
        args.seed,
        redactor,
        |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
        },
    )
    .await?;
    bar.finish_and_clear();
    if output.json {
        let new = recorded.iter().filter(|recorded| !recorded.known).count();
        output.json(&json!({ "lake": lake.display(), "reports": recorded.len(), "new": new, "as_of": args.as_of, "digest": digest }))?;
        return Ok(ExitStatus::Success);
    }
    let Some(shown) = recorded.iter().find(|recorded| recorded.receipt.request_id.as_str().contains("daily-etl"))
    else {
        return Ok(ExitStatus::Success);
    };
    let id = shown.receipt.incident_id;
    let mut text = format!(
        "{} reports, recorded one by one into Delta tables at {}\n\nOne of them, as `incident show {}` prints it:\n\n",
        recorded.len(),
        lake.display(),
        plain::na(id)
    );
    if let Some(id) = id {
        let (rows, projections) = ops::incident(&lake, id).await?;
        text.push_str(&timeline::incident(&artifacts::record(&rows, &projections)));
    }
    let row = ops::audit_row(&lake, shown.receipt.seq).await?;
    text.push_str(&format!(
        "\nIts row in the audit log, as `audit show {}` prints it:\n\n{}",
        row.seq,
        audit::entry(&row)
    ));
    let at = match global.lake.as_str() {
        DEFAULT_LAKE => String::new(),
        location => format!(" --lake {}", shell_word(location)),
    };
    text.push_str(&format!("\nThe digest of its last week, as `digest --week {}` prints it:\n\n", digest.week.week));
    text.push_str(&text::text(&digest, output.width()));
    text.push_str(&format!(
        "\nNext commands:\n\n\
         \x20 ops-runbook{at} incident list --status investigating\n\
         \x20 ops-runbook{at} runbook show {id}\n\
         \x20 ops-runbook{at} incident postmortem {id}\n\
         \x20 ops-runbook{at} escalation list\n\
         \x20 ops-runbook{at} recurrence list --all\n\
         \x20 ops-runbook{at} digest --week {week} --out digests\n\
         \x20 ops-runbook{at} audit verify\n\
         \x20 ops-runbook{at} sql \"SELECT cause_fingerprint, count(*) AS n FROM root_causes GROUP BY 1 ORDER BY n DESC LIMIT 5\"\n\
         \x20 ops-runbook{at} record tests/examples/01-daily-etl-no-retries.json --artifacts\n",
        id = plain::na(id),
        week = digest.week.week
    ));
    output.text(&text)?;
    Ok(ExitStatus::Success)
}

fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

pub async fn rebuild(lake: &Lake, output: &Output) -> CommandResult {
    let bar = output.progress("comparing");
    let rebuilt = rebuild::rebuild(lake, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    if output.json {
        output.json(&rebuilt)?;
        return Ok(ExitStatus::Success);
    }
    let mut text = String::new();
    for table in &rebuilt {
        let rows = table.comparison.rows_expected;
        text.push_str(&match (table.missing, table.replaced) {
            (true, _) => format!("{}: was missing, rebuilt with {rows} rows\n", table.comparison.table),
            (false, true) => format!(
                "{}: differed at {} ledger rows, rebuilt with {rows} rows\n",
                table.comparison.table, table.comparison.differing
            ),
            (false, false) => format!("{}: equal, {rows} rows\n", table.comparison.table),
        });
    }
    let changed = rebuilt.iter().filter(|table| table.replaced || table.missing).count();
    text.push_str(&if changed == 0 {
        "All tables match the audit log; nothing was changed.\n".to_owned()
    } else {
        format!("{changed} tables were rebuilt from the audit log.\n")
    });
    output.text(&text)?;
    Ok(ExitStatus::Success)
}

pub async fn maintain(lake: &Lake, args: &MaintainArgs, output: &Output) -> CommandResult {
    let bar = output.progress("maintaining");
    let result = maintenance::maintain(lake, TimeDelta::hours(args.retention_hours.into()), |table| {
        bar.set_length(catalog::all().count() as u64);
        bar.inc(1);
        bar.set_message(format!("maintaining {table}"));
    })
    .await?;
    bar.finish_and_clear();
    let done = match result {
        MaintenanceResult::Done(done) => done,
        MaintenanceResult::LeaseHeld(until) => return Err(CommandError::Busy(until)),
    };
    if output.json {
        output.json(&done)?;
        return Ok(ExitStatus::Success);
    }
    let mut text = String::new();
    for table in done {
        let checkpoint =
            table.checkpoint.map_or_else(|| "none needed".into(), |version| format!("at version {version}"));
        text.push_str(&format!(
            "{}: files {} → {}, checkpoint {checkpoint}, removed {} log files and {} data files\n",
            table.table, table.files_before, table.files_after, table.log_files_removed, table.data_files_removed
        ));
    }
    output.text(&text)?;
    Ok(ExitStatus::Success)
}

pub async fn sql(lake: &Lake, args: &SqlArgs, output: &Output) -> CommandResult {
    let (schema, batches) = analytics::query(lake, &args.query).await?;
    print_rows(schema, batches, args.format, output)?;
    Ok(ExitStatus::Success)
}

/// Prints rows in the given format, or as JSON Lines with `--json`.
///
/// # Errors
/// [`CommandError::Output`].
pub fn print_rows(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    format: RowFormat,
    output: &Output,
) -> Result<(), CommandError> {
    let mut text = Vec::new();
    let wrong = |error: arrow::error::ArrowError| CommandError::Output(std::io::Error::other(error));
    match if output.json { RowFormat::Json } else { format } {
        RowFormat::Json => {
            text.extend(named_query::json_lines(&batches).map_err(wrong)?.bytes());
        }
        RowFormat::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut text);
            writer
                .write(&with_text(&RecordBatch::new_empty(schema), export::defused).map_err(wrong)?)
                .map_err(wrong)?;
            for batch in &batches {
                writer.write(&with_text(batch, export::defused).map_err(wrong)?).map_err(wrong)?;
            }
        }
        RowFormat::Table => {
            let batches = if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches };
            let shown: Vec<RecordBatch> =
                batches.iter().map(|batch| with_text(batch, plain::line)).collect::<Result<_, _>>().map_err(wrong)?;
            let options = FormatOptions::new().with_null("n/a");
            text.extend(pretty_format_batches_with_options(&shown, &options).map_err(wrong)?.to_string().bytes());
        }
    }
    Ok(output.text(&String::from_utf8_lossy(&text))?)
}

/// Applies `safe` to the column names and to the cells of text columns.
fn with_text(
    batch: &RecordBatch,
    safe: impl Fn(&str) -> Cow<'_, str>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let name = safe(field.name()).into_owned();
        let text = matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        if text {
            let column = cast(column, &DataType::Utf8)?;
            let cells: Option<&StringArray> = column.as_any().downcast_ref();
            let safe_cells: StringArray = cells.into_iter().flatten().map(|cell| cell.map(&safe)).collect();
            fields.push(Field::new(name, DataType::Utf8, true));
            columns.push(Arc::new(safe_cells));
        } else {
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

pub fn schema(schema: &Value, output: &Output) -> CommandResult {
    output.text(&format!("{schema:#}"))?;
    Ok(ExitStatus::Success)
}

pub fn schema_config(format: PageFormat, output: &Output) -> CommandResult {
    match if output.json { PageFormat::Json } else { format } {
        PageFormat::Json => schema(&file::schema(), output),
        PageFormat::Markdown => {
            output.text(&configuration::markdown(&file::schema()))?;
            Ok(ExitStatus::Success)
        }
    }
}

pub fn schema_tables(format: SchemaFormat, output: &Output) -> CommandResult {
    let text = match if output.json { SchemaFormat::Json } else { format } {
        SchemaFormat::Ddl => catalog::all().map(ddl::create_table).collect::<Vec<_>>().join("\n"),
        SchemaFormat::Markdown => catalog::all().map(ddl::markdown).collect::<Vec<_>>().join("\n"),
        SchemaFormat::Json => format!("{:#}", Value::Array(catalog::all().map(ddl::json).collect())),
    };
    output.text(&text)?;
    Ok(ExitStatus::Success)
}
