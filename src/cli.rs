//! The command line: arguments in, operations called, results on stdout, everything else on stderr.

mod audit;
mod bundle;
mod catalog;
mod commands;
mod comply;
mod config;
mod deliver;
mod digest;
mod doctor;
mod engine;
mod escalations;
mod exit;
mod incident;
mod ingest;
mod input;
mod mcp;
mod output;
mod place;
mod query;
mod recurrence;
mod runbook;
mod signals;
mod sweep;
mod tables;
mod verify;
mod workspace;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::{
    domain::{digest::schema, policy::Policy, problems::report_schema, redact::Redactor, time::Timestamp},
    lake::{Context, maintenance},
};
use exit::Failure;
use output::Output;

/// Where the lake is unless it is said.
const DEFAULT_LAKE: &str = "./ops-lake";

/// Incident records for Databricks teams: from an investigation to a timeline, a runbook and a tamper-evident audit log.
///
/// Everything lives in Delta tables below one folder, the lake. Without configuration that is ./ops-lake.
#[derive(Debug, Parser)]
#[command(name = "ops-runbook", version, max_term_width = 100, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Where the lake is: a folder, s3://, abfss://, az://, gs://, uc://catalog.schema/volume or uc://catalog.schema
    #[arg(long, global = true, value_name = "URI", env = "OPS_RUNBOOK_LAKE", default_value = DEFAULT_LAKE)]
    lake: String,
    /// Of a lake at uc://catalog.schema: where its files are; the schema's own storage unless given
    #[arg(long, global = true, value_name = "URI", env = "OPS_RUNBOOK_CATALOG_ROOT")]
    catalog_root: Option<String>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    json: bool,
    /// Thresholds, routes, channels; ./ops-runbook.toml unless given, and the defaults where that is not there
    #[arg(long, global = true, value_name = "FILE", env = "OPS_RUNBOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Key for the digests that let equal redacted secrets be recognised; without one they carry none
    #[arg(long, global = true, value_name = "KEY", env = "OPS_RUNBOOK_REDACTION_KEY", hide_env_values = true)]
    redaction_key: Option<String>,
    /// Where SQL finds the lake's files, of a lake in a volume that --lake names otherwise: /Volumes/catalog/schema/volume
    #[arg(long, global = true, value_name = "PATH", env = "OPS_RUNBOOK_VOLUME_PATH", hide = true)]
    volume_path: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the lake's tables; harmless where they exist
    Init {
        /// Make this folder too, for `ingest`: a file arrival trigger needs one to watch
        #[arg(long, value_name = "DIR|URI")]
        inbox: Option<String>,
    },
    /// Make a lake of six weeks of invented incidents and walk through it
    Demo(DemoArgs),
    /// Record a report, or JSON Lines of many
    ///
    /// All of the input is checked first; if anything is wrong, everything wrong is named and nothing is recorded. A report
    /// that is sent again is answered as the first time and recorded once. Makes the lake if there is none.
    Record {
        /// A file, or - for standard input. A report is at most 4 MiB
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Print everything that was made of it: timeline, runbook, what every trigger said, audit entry, recurrence
        #[arg(long)]
        artefacts: bool,
    },
    /// Take the documents that were dropped into an inbox: each is recorded, or put aside with the reason
    ///
    /// An inbox is a folder, or a place in an object store, into which anybody drops reports: *.json, *.jsonl, *.ndjson, also in
    /// folders of its own. A file holds one report, or JSON Lines of many, each of which counts for itself. What was taken moves to
    /// _done/NAME beside the inbox, where NAME is the inbox's own; a document that cannot be a record moves to _rejected/NAME
    /// beside it, with the reason next to it and in the table rejected_inputs, and so does each bad line of many, while its file
    /// moves to _done/NAME. So nothing arrives below the inbox but what is dropped there. Nothing is recorded twice, also when two
    /// run at once or one is killed. Names that begin with _ or . are left alone. Makes the lake if there is none.
    Ingest(ingest::IngestArgs),
    /// Open, log, close, read incidents
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// See who is told what, and deal with it
    #[command(subcommand)]
    Escalations(escalations::EscalationsCommand),
    /// Tell people what is due: alerts, that they are taken care of or over, digests, changes
    ///
    /// What is about to be sent is recorded before, and what came of it after, so that several may run at once, and any may be
    /// killed: a page goes out again only where nobody knows whether it was received, under the same key. What a receiver does not
    /// take is tried again, and given up in the end, of which other channels are told. The first run says nothing of old alerts.
    /// Exit code 1 when something was given up, 6 when something is to be tried again.
    Deliver(deliver::DeliverArgs),
    /// Find issues that keep coming back, and what is done about them
    #[command(subcommand)]
    Recurrence(recurrence::RecurrenceCommand),
    /// See which causes there are, and which count as one
    #[command(subcommand)]
    Causes(recurrence::CausesCommand),
    /// See what the configuration means
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Check the jobs of a workspace against rules, and record what is new
    ///
    /// A job of which something fails gets an incident with a runbook; it is closed when nothing fails any more, and opened
    /// again when something does. Reads the workspace, and changes nothing there.
    Comply(comply::ComplyArgs),
    /// Watch the runs of a job after a fix, and record whether it holds
    ///
    /// The next runs of the incident's job count, in the order in which they started; repaired ones as what they ended as. All
    /// succeeded: recorded as SUCCESS, exit code 0. The first failure: recorded as FAILED, exit code 1. Until then nothing is
    /// recorded, exit code 6. Reads the workspace, and changes nothing there.
    Verify(verify::VerifyArgs),
    /// Make the digest of a week: what changed, what needs a decision, and the figures
    ///
    /// It is recorded. The same week again gives the same digest; when late data changes it, a revision that tells the
    /// difference.
    Digest(digest::DigestArgs),
    /// Look for failed runs in a workspace, and open an incident for each
    ///
    /// Failed, timed out, failed in part, never started: one incident per run, with its error, its termination code and the job's
    /// settings; repairs and retries are added to it. What people cancelled or disabled is left alone. Swept again, nothing is
    /// recorded twice. Nobody is told of what failed before the first sweep of a workspace. Makes the lake if there is none.
    Sweep(sweep::SweepArgs),
    /// Serve agents over MCP, on standard input and output or over HTTP
    ///
    /// The tools are the requests of this command line. Over HTTP clients give a token, and all share one ledger. Stops on
    /// Ctrl-C or a termination signal, after what is under way.
    Mcp(mcp::McpArgs),
    /// Make runbooks that are safe to paste
    #[command(subcommand)]
    Runbook(runbook::RunbookCommand),
    /// Read, export and prove the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Compare every projected table with the audit log, and make those anew that differ
    Rebuild,
    /// Prove a place fit for a lake before anything is recorded there, and look whether the lake there is well
    ///
    /// Writes a few small files into a folder of its own and removes them. With --engine warehouse, the tables in the catalog are
    /// compared with the lake too. Exit code 1 when something failed, 5 when a table in the catalog says something else.
    Doctor(doctor::DoctorArgs),
    /// Compact tables, write checkpoints, remove what is out of use. One at a time on a lake
    Maintain(MaintainArgs),
    /// Ask the questions that this program asks itself: counts, durations, causes, recurrence
    #[command(subcommand)]
    Query(query::QueryCommand),
    /// Print the views for a catalog
    #[command(subcommand)]
    Views(query::ViewsCommand),
    /// Show the lake's tables in a catalog, or copy them into it
    #[command(subcommand)]
    Tables(tables::TablesCommand),
    /// Write the bundle that the Databricks CLI deploys, and check its grants
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Run one read-only SQL statement over the lake's tables and views
    Sql(SqlArgs),
    /// Print the shapes of reports, digests and tables
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// The day the demo plays on
    #[arg(long, value_name = "TIME", default_value = crate::ops::demo::AS_OF)]
    as_of: Timestamp,
    /// Another seed invents another history
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

#[derive(Debug, Args)]
struct MaintainArgs {
    /// Keep files that went out of use for this long; readers that started earlier may still need them
    #[arg(long, value_name = "HOURS", default_value_t = 168,
          value_parser = clap::value_parser!(u32).range(i64::from(maintenance::MIN_RETENTION_HOURS)..))]
    retention_hours: u32,
}

#[derive(Debug, Args)]
struct SqlArgs {
    /// Such as "SELECT status, count(*) FROM incidents GROUP BY status"
    #[arg(allow_hyphen_values = true)]
    query: String,
    /// How to print the rows
    #[arg(long, default_value = "table")]
    format: RowFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RowFormat {
    Table,
    /// RFC 4180. Text that a spreadsheet would take for a formula gets an apostrophe in front
    Csv,
    /// One object per line
    Json,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// The JSON Schema of a report
    Report,
    /// The JSON Schema of a weekly digest
    Digest,
    /// The tables of the lake and every column
    Tables {
        #[arg(long, default_value = "markdown")]
        format: SchemaFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaFormat {
    /// CREATE TABLE statements for Databricks SQL and Spark
    Ddl,
    Markdown,
    Json,
}

/// Whoever is logged in acts, unless --actor or the environment says otherwise. A filter named --actor reads no environment
/// and gets no default.
fn with_login(command: clap::Command, login: Option<&'static str>) -> clap::Command {
    command
        .mut_args(|argument| match login {
            Some(login) if argument.get_id() == "actor" && argument.get_env().is_some() => {
                argument.required(false).default_value(login).hide_default_value(true)
            }
            _ => argument,
        })
        .mut_subcommands(|command| with_login(command, login))
}

#[expect(clippy::disallowed_methods, reason = "who is logged in is for the command line to know")]
fn login() -> Option<&'static str> {
    let mut names = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let name = names.find(|name| !name.is_empty())?;
    Some(String::leak(format!("user:{name}")))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let matches = with_login(Cli::command(), login()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let output = Output::new(cli.global.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into(), &output, &Redactor::default()),
    };
    let redactor = Redactor::new(cli.global.redaction_key.as_deref().map(|key| key.as_bytes().to_vec()));
    match runtime.block_on(run(&cli, &output, &redactor)) {
        Ok(code) => code.into(),
        Err(error) => exit::report(&error, &output, &redactor),
    }
}

/// What the configuration file says, and which that is. One that was asked for must be there.
fn configuration<'a>(given: Option<&'a Path>, output: &Output) -> Result<(Policy, Option<&'a Path>), Failure> {
    let path = given.unwrap_or(Path::new("ops-runbook.toml"));
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Policy::default(), None));
        }
        read => read.map_err(|source| Failure::Input { what: file.clone(), source })?,
    };
    let policy = Policy::parse(&text).map_err(|problems| {
        commands::say_problems(None, &problems, output);
        Failure::Config { file }
    })?;
    Ok((policy, Some(path)))
}

async fn run(cli: &Cli, output: &Output, redactor: &Redactor) -> Result<exit::Code, Failure> {
    let (policy, file) = configuration(cli.global.config.as_deref(), output)?;
    let lake = || place::lake(&cli.global, Context::system().with_policy(policy.clone()));
    match &cli.command {
        Command::Init { inbox } => commands::init(&lake()?, inbox.as_deref(), output).await,
        Command::Demo(args) => commands::demo(&cli.global, args, redactor, output).await,
        Command::Record { file, artefacts } => commands::record(&lake()?, file, *artefacts, redactor, output).await,
        Command::Ingest(args) => ingest::run(args, &lake()?, redactor, output).await,
        Command::Incident(command) => incident::run(command, &lake()?, redactor, output).await,
        Command::Escalations(command) => escalations::run(command, &lake()?, redactor, output).await,
        Command::Deliver(args) => deliver::run(args, &lake()?, redactor, output).await,
        Command::Recurrence(command) => recurrence::run(command, &lake()?, redactor, output).await,
        Command::Causes(command) => recurrence::causes(command, &lake()?, redactor, output).await,
        Command::Config(command) => config::run(command, &policy, file, output),
        Command::Comply(args) => comply::run(args, &lake()?, redactor, output).await,
        Command::Verify(args) => verify::run(args, &lake()?, redactor, output).await,
        Command::Digest(args) => digest::run(args, &lake()?, output).await,
        Command::Sweep(args) => sweep::run(args, &lake()?, redactor, output).await,
        Command::Mcp(args) => mcp::run(args, lake()?, redactor, output).await,
        Command::Runbook(command) => runbook::run(&lake()?, command, redactor, output).await,
        Command::Audit(command) => audit::run(|| Ok(lake()?), command, output).await,
        Command::Rebuild => commands::rebuild(&lake()?, output).await,
        Command::Doctor(args) => doctor::run(args, &cli.global.lake, lake, redactor, output).await,
        Command::Maintain(args) => commands::maintain(&lake()?, args, output).await,
        Command::Query(command) => query::run(command, lake, output).await,
        Command::Views(command) => query::views(command, output),
        Command::Tables(command) => tables::run(command, &lake()?, output).await,
        Command::Bundle(command) => bundle::run(command, output).await,
        Command::Sql(args) => commands::sql(&lake()?, args, output).await,
        Command::Schema(SchemaCommand::Report) => commands::schema(report_schema(), output),
        Command::Schema(SchemaCommand::Digest) => commands::schema(&schema::schema(), output),
        Command::Schema(SchemaCommand::Tables { format }) => commands::schema_tables(*format, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ops-runbook", &mut script);
            output.text(&String::from_utf8_lossy(&script))?;
            Ok(exit::Code::Success)
        }
    }
}
