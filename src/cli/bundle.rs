//! `bundle`: the folder that the Databricks CLI deploys.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    commands::CommandResult,
    exit::{CommandError, ExitStatus},
    help::examples,
    output::Output,
    workspace,
};
use crate::{
    analytics::QueryError,
    databricks::{Client, compute::WarehouseEntry, statements::StatementRunner},
    ops::bundle::{
        self, BundleError, BundleRequest, BundleResult,
        binaries::{Binary, BinarySource, Processor},
        folder::FileState,
        grants::{self, CheckedGrant, CheckedSchema, GrantState},
        variables::{self, BundleQuestion, BundleTarget},
    },
    render::plain,
};

/// Time limit of the requests that only propose answers.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Create or upgrade a bundle folder that is ready to deploy
    ///
    /// Writes databricks.yml, the resources, the launcher, and the binaries for the processors of Databricks compute. On a
    /// terminal it asks for missing options; elsewhere it lists them. A second run replaces the files that are unchanged since an
    /// earlier version wrote them. Changed files are kept: the hashes in .ops-runbook.json identify them.
    #[command(after_help = examples!(
        "ops-runbook bundle init --catalog main --schema ops",
        "ops-runbook bundle init ops-bundle --target dev --warehouse-id 0123456789abcdef",
    ))]
    Init(BundleInitArgs),
    /// Check the grants of the current identity on warehouse and schema
    ///
    /// Creates a view in the schema and drops it. Prints a GRANT statement for each missing grant. Exit code 1 when a grant is
    /// missing.
    #[command(after_help = examples!(
        "ops-runbook bundle check --catalog main --schema ops --warehouse-id 0123456789abcdef",
    ))]
    Check(BundleCheckArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TargetName {
    /// A personal copy with paused schedules
    Dev,
    Prod,
}

#[derive(Debug, Args)]
pub struct BundleInitArgs {
    /// Folder of the bundle
    #[arg(value_name = "FOLDER", default_value = "ops-runbook-bundle")]
    folder: PathBuf,
    /// Target of the options
    #[arg(long, default_value = "prod")]
    target: TargetName,
    /// Catalog of the schema; it must exist [default: main]
    #[arg(long, value_name = "NAME")]
    catalog: Option<String>,
    /// Schema that the bundle creates in the catalog [default: ops]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// Id of the SQL warehouse of dashboard and alert
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    warehouse_id: Option<String>,
    /// E-mail address for failed jobs; only for target prod
    #[arg(long, value_name = "ADDRESS")]
    notify: Option<String>,
    /// Application id of the service principal that runs the jobs; only for target prod
    #[arg(long, value_name = "ID")]
    service_principal: Option<String>,
    /// Replace changed files, too
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct BundleCheckArgs {
    /// Catalog of the schema
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_CATALOG")]
    catalog: String,
    /// The schema
    #[arg(long, value_name = "NAME", env = "OPS_RUNBOOK_SCHEMA")]
    schema: String,
    /// Id of the SQL warehouse
    #[arg(long, value_name = "ID", env = "DATABRICKS_WAREHOUSE_ID")]
    warehouse_id: String,
}

impl From<BundleError> for CommandError {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Read { path, source } => Self::Input { what: path, source },
            BundleError::Write { path, source } => Self::Write { what: path, source },
            BundleError::Shape { path, reason } => Self::Unusable { what: path, reason },
        }
    }
}

pub async fn run(command: &BundleCommand, output: &Output) -> CommandResult {
    match command {
        BundleCommand::Init(args) => init(args, output).await,
        BundleCommand::Check(args) => check(args, output).await,
    }
}

async fn init(args: &BundleInitArgs, output: &Output) -> CommandResult {
    let target = match args.target {
        TargetName::Dev => BundleTarget::Dev,
        TargetName::Prod => BundleTarget::Prod,
    };
    let answers = answers(args, target, output).await?;
    let program = std::env::current_exe().and_then(std::fs::canonicalize);
    let program = program.map_err(|source| CommandError::Input { what: "the running program".into(), source })?;
    let spinner = output.spinner();
    spinner.set_message("writing");
    let request =
        BundleRequest { folder: &args.folder, program: &program, target, variables: &answers, is_forced: args.force };
    let result = bundle::init(&request);
    spinner.finish_and_clear();
    let result = result?;
    let next = next_steps(args, target);
    if output.json {
        output.json(&json!({
            "folder": args.folder, "target": target, "version": result.version, "files": result.files,
            "binaries": result.binaries, "variables_file": result.variables_file, "variables": answers, "next": next,
        }))?;
    } else {
        output.text(&text(&args.folder, &result, &next))?;
    }
    for note in notes(&result.binaries) {
        output.problem(&format!("note: {note}"));
    }
    Ok(ExitStatus::Success)
}

/// Returns the answers to all questions: from the options, the variables file, a person or the default, in this order.
///
/// # Errors
/// [`CommandError::Answers`] lists the missing options.
async fn answers(
    args: &BundleInitArgs,
    target: BundleTarget,
    output: &Output,
) -> Result<Map<String, Value>, CommandError> {
    let before = variables::read(&args.folder, target)?;
    let is_asked = io::stdin().is_terminal() && io::stderr().is_terminal() && !output.json;
    let mut proposals = None;
    let (mut answers, mut missing) = (Map::new(), Vec::new());
    for question in BundleQuestion::of(target) {
        let option = format!("--{}", question.variable().replace('_', "-"));
        let known = before.get(question.variable()).and_then(Value::as_str).or(question.default());
        let answer = match given(args, *question) {
            Some(given) => Some(given.to_owned()),
            None if is_asked => {
                let known = match known {
                    Some(known) => Some(known.to_owned()),
                    None => {
                        if proposals.is_none() {
                            proposals = Some(WorkspaceProposals::of_workspace(output).await);
                        }
                        proposals.as_ref().and_then(|proposals| proposals.answer(*question))
                    }
                };
                Some(asked(*question, known.as_deref(), output)?)
            }
            None => known.map(str::to_owned),
        };
        match answer {
            Some(answer) => {
                let answer = question.checked(&answer);
                let answer = answer.map_err(|reason| CommandError::Unusable { what: option, reason })?;
                answers.insert(question.variable().to_owned(), answer.into());
            }
            None => missing.push(option),
        }
    }
    if missing.is_empty() { Ok(answers) } else { Err(CommandError::Answers(missing)) }
}

fn given(args: &BundleInitArgs, question: BundleQuestion) -> Option<&str> {
    let given = match question {
        BundleQuestion::Catalog => &args.catalog,
        BundleQuestion::Schema => &args.schema,
        BundleQuestion::WarehouseId => &args.warehouse_id,
        BundleQuestion::Notify => &args.notify,
        BundleQuestion::ServicePrincipal => &args.service_principal,
    };
    given.as_deref()
}

/// Asks a person. An empty line accepts the proposal. An invalid answer is asked for again.
fn asked(question: BundleQuestion, proposed: Option<&str>, output: &Output) -> Result<String, CommandError> {
    let stdin = io::stdin();
    loop {
        let shown = proposed.map(|proposed| format!(" [{}]", plain::line(proposed))).unwrap_or_default();
        output.prompt(&format!("{}{shown}: ", question.text()));
        let mut line = String::new();
        if stdin.lock().read_line(&mut line)? == 0 {
            return Err(CommandError::Answers(vec![format!("--{}", question.variable().replace('_', "-"))]));
        }
        let answer = if line.trim().is_empty() { proposed.unwrap_or_default() } else { &line };
        match question.checked(answer) {
            Ok(answer) => return Ok(answer),
            Err(reason) => output.problem(&format!("  {reason}")),
        }
    }
}

/// Proposed answers from the workspace of the login.
#[derive(Debug, Default)]
struct WorkspaceProposals {
    warehouses: Vec<WarehouseEntry>,
    user_name: Option<String>,
}

impl WorkspaceProposals {
    /// Reads the proposals. On an error it prints a line with the reason and returns no proposals.
    async fn of_workspace(output: &Output) -> Self {
        let asked = tokio::time::timeout(PROPOSAL_TIMEOUT, Self::ask()).await;
        match asked {
            Ok(Ok((client, proposals))) => {
                output.problem(&format!("workspace: {}", plain::line(&client.workspace().to_string())));
                for WarehouseEntry { id, name } in &proposals.warehouses {
                    output.problem(&format!("  warehouse {}  {}", plain::line(id), plain::line(name)));
                }
                proposals
            }
            Ok(Err(failure)) => {
                output.problem(&format!("no proposals from the workspace: {}", plain::line(&failure.to_string())));
                Self::default()
            }
            Err(_) => {
                output.problem("no proposals from the workspace: the request timed out");
                Self::default()
            }
        }
    }

    async fn ask() -> Result<(Client, Self), CommandError> {
        let client = workspace::client()?;
        let (user, warehouses) = tokio::try_join!(client.current_user(), client.warehouses())?;
        Ok((client, Self { warehouses, user_name: Some(user.name) }))
    }

    fn answer(&self, question: BundleQuestion) -> Option<String> {
        match question {
            BundleQuestion::WarehouseId => self.warehouses.first().map(|warehouse| warehouse.id.clone()),
            BundleQuestion::Notify => self.user_name.clone().filter(|name| variables::is_address(name)),
            BundleQuestion::Catalog | BundleQuestion::Schema | BundleQuestion::ServicePrincipal => None,
        }
    }
}

/// Returns the commands that deploy the folder.
fn next_steps(args: &BundleInitArgs, target: BundleTarget) -> Vec<String> {
    let profile = workspace::profile();
    let folder = args.folder.display().to_string();
    let mut tail = vec!["--target", target.name()];
    if let Some(profile) = profile.as_deref() {
        tail.extend(["--profile", profile]);
    }
    let steps: [&[&str]; 3] =
        [&["cd", &folder], &["databricks", "bundle", "deploy"], &["databricks", "bundle", "run", "setup"]];
    let shown = |words: &&[&str]| {
        let tail: &[&str] = if words.first() == Some(&"cd") { &[] } else { &tail };
        let words = words.iter().chain(tail).copied();
        shlex::try_join(words).map_or_else(|_| "n/a".to_owned(), |words| plain::line(&words).into_owned())
    };
    steps.iter().map(shown).collect()
}

fn text(folder: &Path, result: &BundleResult, next: &[String]) -> String {
    let path = |path: &Path| plain::line(&path.display().to_string()).into_owned();
    let mut text = format!("{}: bundle of ops-runbook {}\n", path(folder), result.version);
    let titles = [
        (FileState::Written, "written"),
        (FileState::Upgraded, "upgraded, unchanged since they were written"),
        (FileState::Unchanged, "up to date"),
        (FileState::Replaced, "replaced because of --force"),
        (FileState::Removed, "removed, not part of this version"),
        (FileState::Kept, "kept, changed here"),
        (FileState::KeptOutdated, "kept, changed here and in this version"),
    ];
    for (state, title) in titles {
        let files: Vec<&str> = result.files.iter().filter(|it| it.state == state).map(|it| it.path.as_str()).collect();
        if files.is_empty() {
            continue;
        }
        let _ = writeln!(text, "  files {title}: {}", files.len());
        if !matches!(state, FileState::Written | FileState::Unchanged) {
            files.iter().for_each(|file| {
                let _ = writeln!(text, "    {}", plain::line(file));
            });
        }
    }
    for binary in result.binaries.iter().filter(|binary| binary.source != BinarySource::Missing) {
        let megabytes = binary.bytes.div_ceil(1_000_000);
        let _ = writeln!(text, "  binary for {}: {} parts, {megabytes} MB", binary.processor.name(), binary.parts);
    }
    let _ = writeln!(text, "  variables: {}\n\nNext:", path(&result.variables_file));
    next.iter().for_each(|step| {
        let _ = writeln!(text, "  {step}");
    });
    if result.files.iter().any(|it| it.state == FileState::KeptOutdated) {
        text.push_str(
            "\nTo compare: `ops-runbook bundle init` into an empty folder. --force replaces the changed files.\n",
        );
    }
    text
}

/// Returns notes about missing or unsuitable binaries.
fn notes(binaries: &[Binary]) -> Vec<String> {
    let mut notes = Vec::new();
    for binary in binaries {
        let name = binary.processor.name();
        match (binary.source, binary.processor) {
            (BinarySource::Missing, Processor::X86_64) => notes.push(format!(
                "there is no binary for {name}, and a deploy fails without it; run `bundle init` of a release archive, which has \
                 the binaries for all processors"
            )),
            (BinarySource::Missing, Processor::Aarch64) => notes.push(format!(
                "there is no binary for {name}: tasks fail on these machines, which Databricks offers in some regions; `bundle init` \
                 of a release archive has the binary"
            )),
            _ => {}
        }
        if let Some(needed) = &binary.needs_glibc {
            notes.push(format!(
                "the binary for {name} needs glibc {needed}, and Databricks compute may have only 2.28; use a release, or build one \
                 with bundle/build"
            ));
        }
    }
    notes
}

async fn check(args: &BundleCheckArgs, output: &Output) -> CommandResult {
    let client = workspace::client()?;
    let principal = client.current_user().await?.name;
    let place = CheckedSchema { catalog: &args.catalog, schema: &args.schema, warehouse_id: &args.warehouse_id };
    let spinner = output.spinner();
    spinner.set_message("checking grants");
    let grants = grants::check(&StatementRunner::new(client), place, &principal).await;
    spinner.finish_and_clear();
    let grants = grants.map_err(QueryError::Warehouse)?;
    let is_usable = grants.iter().all(|grant| grant.state == GrantState::Granted);
    if output.json {
        output.json(&json!({ "principal": principal, "usable": is_usable, "grants": grants }))?;
    } else {
        output.text(&grant_text(&principal, &grants))?;
    }
    Ok(if is_usable { ExitStatus::Success } else { ExitStatus::Failure })
}

fn grant_text(principal: &str, grants: &[CheckedGrant]) -> String {
    let mut text = format!("grants of {}\n\n", plain::line(principal));
    for grant in grants {
        let state = match grant.state {
            GrantState::Granted => "granted",
            GrantState::Missing => "missing",
            GrantState::NotChecked => "not checked",
        };
        let _ = writeln!(text, "{state:<11}  {}", grant.privilege);
        if grant.state != GrantState::Granted {
            let _ = writeln!(text, "{:<11}  → {}", "", plain::line(&grant.statement));
        }
        if let Some(answer) = &grant.answer {
            let _ = writeln!(text, "{:<11}  the workspace: {}", "", plain::line(answer));
        }
    }
    if grants.iter().any(|grant| grant.state != GrantState::Granted) {
        text.push_str("\nRun these statements as an administrator. An existing grant can be granted again.\n");
    }
    text
}
