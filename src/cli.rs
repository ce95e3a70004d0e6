//! The command line: arguments in, operations called, results on stdout, everything else on stderr.

mod audit;
mod bundle;
mod catalog;
mod cause;
mod commands;
mod compliance;
mod config;
mod digest;
mod doctor;
mod engine;
mod escalation;
mod exit;
mod help;
mod incident;
mod ingest;
mod input;
mod location;
mod mcp;
mod notification;
mod output;
mod query;
mod recurrence;
mod remediation;
mod runbook;
mod signals;
mod sweep;
mod workspace;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::{
    domain::{digest::schema, policy::Policy, problems::report_schema, redact::Redactor, time::Timestamp},
    lake::{Context, maintenance},
};
use exit::CommandError;
use help::examples;
use output::Output;

/// The lake unless `--lake` names another one.
const DEFAULT_LAKE: &str = "./ops-lake";

/// Records incidents of Databricks teams: timeline, runbook and a tamper-evident audit log.
///
/// All data is in Delta tables below one folder, the lake. The default lake is ./ops-lake.
#[derive(Debug, Parser)]
#[command(name = "ops-runbook", version, max_term_width = 100)]
struct Cli {
    #[command(flatten, next_help_heading = "Global options")]
    global: GlobalOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct GlobalOptions {
    /// The lake: a folder, s3://, abfss://, az://, gs://, uc://catalog.schema/volume or uc://catalog.schema
    #[arg(long, global = true, value_name = "URI", env = "OPS_RUNBOOK_LAKE", default_value = DEFAULT_LAKE)]
    lake: String,
    /// For a lake at uc://catalog.schema: the location of its files [default: the storage location of the schema]
    #[arg(long, global = true, value_name = "URI", env = "OPS_RUNBOOK_CATALOG_ROOT")]
    catalog_root: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// The configuration: thresholds, routes, channels [default: ./ops-runbook.toml if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "OPS_RUNBOOK_CONFIG")]
    config: Option<PathBuf>,
    /// Key of the hashes that make equal redacted secrets recognisable; without a key there are no hashes
    #[arg(long, global = true, value_name = "KEY", env = "OPS_RUNBOOK_REDACTION_KEY", hide_env_values = true)]
    redaction_key: Option<String>,
    /// For a lake in a volume whose --lake is no uc:// location: its path in SQL, /Volumes/catalog/schema/volume
    #[arg(long, global = true, value_name = "PATH", env = "OPS_RUNBOOK_VOLUME_PATH", hide = true)]
    volume_path: Option<String>,
}

/// All commands. [`help::GROUPS`] lists them under the headings of `--help`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Create the lake's tables; existing tables are not changed
    #[command(after_help = examples!(
        "ops-runbook init",
        "ops-runbook --lake s3://bucket/ops-lake init --inbox s3://bucket/incoming",
    ))]
    Init {
        /// Create this inbox folder, too, for `ingest` or a file arrival trigger
        #[arg(long, value_name = "DIR|URI")]
        inbox: Option<String>,
    },
    /// Create a demo lake with six weeks of sample incidents
    #[command(after_help = examples!(
        "ops-runbook --lake ./demo-lake demo",
        "ops-runbook --lake ./demo-lake demo --seed 7",
    ))]
    Demo(DemoArgs),
    /// Check the lake, its storage and the login to the workspace
    ///
    /// Writes a few small files into a folder of its own and removes them. With --engine warehouse, the command also compares
    /// the tables in the catalog with the lake. Exit code 1 when a check failed, 5 when a table in the catalog differs.
    #[command(after_help = examples!(
        "ops-runbook doctor",
        "ops-runbook --lake uc://main.ops/lake doctor --workspace",
        "ops-runbook doctor --engine warehouse --warehouse-id 0123456789abcdef --catalog main --schema ops",
    ))]
    Doctor(doctor::DoctorArgs),
    /// Record one report, or JSON Lines of many
    ///
    /// Checks all of the input first. If there are problems, the command prints all of them and records nothing. A report that
    /// is sent again is recorded once and gets the first answer. Creates the lake if it does not exist.
    #[command(after_help = examples!(
        "ops-runbook record report.json",
        "ops-runbook record reports.jsonl",
        "ops-runbook record - --artifacts",
    ))]
    Record {
        /// A file, or - for standard input. A report has at most 4 MiB
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Print all artifacts: timeline, runbook, evaluated triggers, audit entry, recurring issues
        #[arg(long)]
        artifacts: bool,
    },
    /// Record all reports in an inbox folder
    ///
    /// An inbox is a folder or a location in an object store. Files named *.json, *.jsonl and *.ndjson are read, also in
    /// subfolders. A file holds one report, or JSON Lines of many reports. Each line counts as a report.
    ///
    /// A recorded file moves to _done/NAME beside the inbox; NAME is the inbox's name. A rejected file moves to
    /// _rejected/NAME, with the reason in a file next to it and in the table rejected_inputs. A rejected line is copied to
    /// _rejected/NAME, and its file moves to _done/NAME. No other files are written below the inbox.
    ///
    /// Each report is recorded once, even when two runs overlap or one is killed. Names that begin with _ or . are ignored.
    /// Creates the lake if it does not exist.
    #[command(after_help = examples!(
        "ops-runbook ingest --inbox ./incoming",
        "ops-runbook ingest --inbox /Volumes/main/ops/inbox/incoming --settle-seconds 30",
    ))]
    Ingest(ingest::IngestArgs),
    /// Open an incident for each failed run in a workspace
    ///
    /// Covers runs that failed, timed out, failed in part or never started. Each incident has the error, the termination code
    /// and the settings of the job. Repairs and retries are added to the incident of their run. Cancelled and disabled runs
    /// are ignored. A run is recorded once. Runs that failed before the first sweep of a workspace send no notifications.
    /// Creates the lake if it does not exist.
    #[command(after_help = examples!(
        "ops-runbook sweep",
        "ops-runbook sweep --since 24h",
    ))]
    Sweep(sweep::SweepArgs),
    /// Open, log, close and read incidents
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Show runbooks, and capture the settings that they change
    #[command(subcommand)]
    Runbook(runbook::RunbookCommand),
    /// Verify fixes by the job runs that follow
    #[command(subcommand)]
    Remediation(remediation::RemediationCommand),
    /// List, acknowledge, resolve and snooze alerts
    #[command(subcommand)]
    Escalation(escalation::EscalationCommand),
    /// Send notifications about alerts, digests and changes
    #[command(subcommand)]
    Notification(notification::NotificationCommand),
    /// Create the weekly digest: changes, pending decisions, figures
    ///
    /// The digest is recorded. The same week gives the same digest. When late data changes it, a revision is recorded that
    /// lists the differences.
    #[command(after_help = examples!(
        "ops-runbook digest",
        "ops-runbook digest --week 2026-W08 --format markdown",
        "ops-runbook digest --week 2026-W08 --tz Europe/Berlin --out digests",
    ))]
    Digest(digest::DigestArgs),
    /// Find recurring issues, and track preventive actions
    #[command(subcommand)]
    Recurrence(recurrence::RecurrenceCommand),
    /// List, merge, split and compare root causes
    #[command(subcommand)]
    Cause(cause::CauseCommand),
    /// Check the jobs of a workspace against rules
    #[command(subcommand)]
    Compliance(compliance::ComplianceCommand),
    /// List, show and run the built-in queries and views
    #[command(subcommand)]
    Query(query::QueryCommand),
    /// Run one read-only SQL statement over the lake's tables and views
    #[command(after_help = examples!(
        "ops-runbook sql \"SELECT status, count(*) FROM incidents GROUP BY status\"",
        "ops-runbook sql \"SELECT * FROM timeline WHERE incident_id = 'INC-1042'\" --format csv",
    ))]
    Sql(SqlArgs),
    /// Read, export and verify the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Compact tables, write checkpoints, remove unused files
    ///
    /// One run at a time on a lake.
    #[command(after_help = examples!(
        "ops-runbook maintain",
        "ops-runbook maintain --retention-hours 336",
    ))]
    Maintain(MaintainArgs),
    /// Rebuild the tables that differ from the audit log
    #[command(after_help = examples!(
        "ops-runbook rebuild",
        "ops-runbook --json rebuild",
    ))]
    Rebuild,
    /// Register, fill and define the lake's tables in Unity Catalog
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the schemas of reports, digests and tables
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Create the bundle that the Databricks CLI deploys; check its grants
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Serve agents over MCP: standard input and output, or HTTP
    ///
    /// The tools take the same requests as this command line. Over HTTP, clients authenticate with a token, and all share one
    /// ledger. On Ctrl-C or a termination signal the server finishes the running calls and stops.
    #[command(after_help = examples!(
        "ops-runbook mcp --as agent:databricks_mcp_agent",
        "ops-runbook mcp --http 8765 --token-file token.txt",
    ))]
    Mcp(mcp::McpArgs),
    /// Print a completion script for a shell
    #[command(after_help = examples!(
        "ops-runbook completions bash",
        "ops-runbook completions zsh",
    ))]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// The day on which the demo ends
    #[arg(long, value_name = "TIME", default_value = crate::ops::demo::AS_OF)]
    as_of: Timestamp,
    /// Seed of the sample incidents; another seed gives other incidents
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

#[derive(Debug, Args)]
struct MaintainArgs {
    /// Keep unused files for this long; readers that started earlier may still need them
    #[arg(long, value_name = "HOURS", default_value_t = 168,
          value_parser = clap::value_parser!(u32).range(i64::from(maintenance::MIN_RETENTION_HOURS)..))]
    retention_hours: u32,
}

#[derive(Debug, Args)]
struct SqlArgs {
    /// The statement, such as "SELECT status, count(*) FROM incidents GROUP BY status"
    #[arg(allow_hyphen_values = true)]
    query: String,
    /// Output format
    #[arg(long, default_value = "table")]
    format: RowFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RowFormat {
    Table,
    /// RFC 4180. Text that a spreadsheet would read as a formula gets a leading apostrophe
    Csv,
    /// One object per line
    Json,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Print the JSON Schema of a report
    #[command(after_help = examples!("ops-runbook schema report"))]
    Report,
    /// Print the JSON Schema of a weekly digest
    #[command(after_help = examples!("ops-runbook schema digest"))]
    Digest,
    /// Print the JSON Schema of a configuration file, or its reference page
    #[command(after_help = examples!(
        "ops-runbook schema config",
        "ops-runbook schema config --format markdown",
    ))]
    Config {
        /// Output format
        #[arg(long, default_value = "json")]
        format: PageFormat,
    },
    /// Print the tables of the lake and their columns
    #[command(after_help = examples!(
        "ops-runbook schema tables",
        "ops-runbook schema tables --format ddl",
    ))]
    Tables {
        /// Output format
        #[arg(long, default_value = "markdown")]
        format: SchemaFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PageFormat {
    /// JSON Schema, draft 2020-12
    Json,
    /// A page with every key
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaFormat {
    /// CREATE TABLE statements for Databricks SQL and Spark
    Ddl,
    Markdown,
    Json,
}

/// Makes the user who is logged in the default of `--actor`. A filter named --actor reads no environment variable and gets no
/// default.
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

#[expect(clippy::disallowed_methods, reason = "only the command line knows the user who is logged in")]
fn login() -> Option<&'static str> {
    let mut names = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let name = names.find(|name| !name.is_empty())?;
    Some(String::leak(format!("user:{name}")))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let matches = with_login(help::command(), login()).get_matches();
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

/// Reads the configuration file, and returns the policy and the file's path. Without `given`, a missing file means the defaults.
///
/// # Errors
/// [`CommandError::Input`], [`CommandError::Config`].
fn configuration<'a>(given: Option<&'a Path>, output: &Output) -> Result<(Policy, Option<&'a Path>), CommandError> {
    let path = given.unwrap_or(Path::new("ops-runbook.toml"));
    let file = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Policy::default(), None));
        }
        read => read.map_err(|source| CommandError::Input { what: file.clone(), source })?,
    };
    let policy = Policy::parse(&text).map_err(|problems| {
        commands::print_problems(None, &problems, output);
        CommandError::Config { file }
    })?;
    Ok((policy, Some(path)))
}

async fn run(cli: &Cli, output: &Output, redactor: &Redactor) -> Result<exit::ExitStatus, CommandError> {
    let (policy, file) = configuration(cli.global.config.as_deref(), output)?;
    let lake = || location::lake(&cli.global, Context::system().with_policy(policy.clone()));
    match &cli.command {
        Command::Init { inbox } => commands::init(&lake()?, inbox.as_deref(), output).await,
        Command::Demo(args) => commands::demo(&cli.global, args, redactor, output).await,
        Command::Record { file, artifacts } => commands::record(&lake()?, file, *artifacts, redactor, output).await,
        Command::Ingest(args) => ingest::run(args, &lake()?, redactor, output).await,
        Command::Incident(command) => incident::run(command, &lake()?, redactor, output).await,
        Command::Escalation(command) => escalation::run(command, &lake()?, redactor, output).await,
        Command::Notification(command) => notification::run(command, &lake()?, redactor, output).await,
        Command::Recurrence(command) => recurrence::run(command, &lake()?, redactor, output).await,
        Command::Cause(command) => cause::run(command, &lake()?, redactor, output).await,
        Command::Config(command) => config::run(command, &policy, file, output),
        Command::Compliance(command) => compliance::run(command, &lake()?, redactor, output).await,
        Command::Remediation(command) => remediation::run(command, &lake()?, redactor, output).await,
        Command::Digest(args) => digest::run(args, &lake()?, output).await,
        Command::Sweep(args) => sweep::run(args, &lake()?, redactor, output).await,
        Command::Mcp(args) => mcp::run(args, lake()?, redactor, output).await,
        Command::Runbook(command) => runbook::run(&lake()?, command, redactor, output).await,
        Command::Audit(command) => audit::run(|| Ok(lake()?), command, output).await,
        Command::Rebuild => commands::rebuild(&lake()?, output).await,
        Command::Doctor(args) => doctor::run(args, &cli.global.lake, lake, redactor, output).await,
        Command::Maintain(args) => commands::maintain(&lake()?, args, output).await,
        Command::Query(command) => query::run(command, lake, output).await,
        Command::Catalog(command) => catalog::run(command, lake, output).await,
        Command::Bundle(command) => bundle::run(command, output).await,
        Command::Sql(args) => commands::sql(&lake()?, args, output).await,
        Command::Schema(SchemaCommand::Report) => commands::schema(report_schema(), output),
        Command::Schema(SchemaCommand::Digest) => commands::schema(&schema::schema(), output),
        Command::Schema(SchemaCommand::Config { format }) => commands::schema_config(*format, output),
        Command::Schema(SchemaCommand::Tables { format }) => commands::schema_tables(*format, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut help::command(), "ops-runbook", &mut script);
            output.text(&String::from_utf8_lossy(&script))?;
            Ok(exit::ExitStatus::Success)
        }
    }
}
