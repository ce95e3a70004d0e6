//! `audit`: reads, exports and verifies the audit log.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use rand::Rng;
use serde_json::{Value, json};

use super::{
    commands::CommandResult,
    engine::{self, EngineArgs},
    exit::{CommandError, DIFFERENT_TABLES, ExitStatus},
    help::examples,
    output::{Output, OutputSink},
};
use crate::{
    analytics::engine::Engine,
    domain::{
        chain::Head,
        checkpoint::{self, Checkpoint},
        copies::{self, CopyComparison},
        ids::IncidentId,
        signed_note::{self, MAX_NOTE_BYTES, NoteError, SignerKey, VerifierKey},
        time::Timestamp,
    },
    lake::{
        Lake,
        scan::{AuditFilter, ScanOrder},
        verify::{self, AuditVerification, HeadSource, Tampering},
    },
    ops,
    render::{audit, export, listing, plain},
};

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List rows of the audit log, the newest first
    #[command(after_help = examples!(
        "ops-runbook audit list",
        "ops-runbook audit list --incident INC-1042 --limit 200",
        "ops-runbook audit list --since 2026-02-11T00:00:00Z --actor agent:databricks_mcp_agent",
    ))]
    List {
        #[command(flatten)]
        filter: AuditFilterArgs,
        /// Maximum number of rows
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one row of the audit log
    #[command(after_help = examples!("ops-runbook audit show 17"))]
    Show {
        /// The row's seq, as `audit list` prints it
        seq: u64,
    },
    /// Export rows of the audit log, the oldest first
    #[command(after_help = examples!(
        "ops-runbook audit export --out audit.jsonl",
        "ops-runbook audit export --format ocsf --since 2026-02-11T00:00:00Z",
    ))]
    Export(ExportArgs),
    /// Verify the audit log and the tables: no row altered, added or removed
    ///
    /// Checks every hash, link and column, and compares every projected table with the log. Exit code 5 when a check fails.
    #[command(after_help = examples!(
        "ops-runbook audit verify",
        "ops-runbook audit verify --head 7:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        "ops-runbook audit verify --checkpoint audit.checkpoint --public-key checkpoint.pub",
    ))]
    Verify(AuditVerifyArgs),
    /// Verify the audit log, and sign its head
    ///
    /// The checkpoint is a signed note in the text format of C2SP (c2sp.org/signed-note): key name, number of rows, hash of the
    /// last row. Keep it where no writer of the lake can write. `audit verify --checkpoint` proves later that no row up to it
    /// was changed or removed. A damaged log is not signed.
    #[command(after_help = examples!(
        "ops-runbook audit checkpoint --key ops-runbook-checkpoint.key --out audit.checkpoint",
    ))]
    Checkpoint(CheckpointArgs),
    /// Create a key pair for checkpoints
    ///
    /// Writes the signing key into a file, and prints the public key.
    #[command(after_help = examples!(
        "ops-runbook audit keygen",
        "ops-runbook audit keygen --name ops.example.test/lake --out lake.key",
    ))]
    Keygen(KeygenArgs),
}

/// Filters of audit rows. A row matches if it matches all of them.
#[derive(Debug, Args)]
pub struct AuditFilterArgs {
    /// Only rows recorded at this time or later, such as 2026-02-11T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Only rows recorded before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only rows of this actor, such as agent:databricks_mcp_agent
    #[arg(long)]
    actor: Option<String>,
    /// Only rows about this resource: job_id=360515640572923, or only the id
    #[arg(long, value_name = "KIND_id=ID|ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    resource: Option<String>,
    /// Only rows about this incident, such as INC-1042
    #[arg(long, value_name = "ID")]
    incident: Option<IncidentId>,
}

impl AuditFilterArgs {
    fn filter(&self) -> AuditFilter {
        AuditFilter {
            since: self.since,
            until: self.until,
            actor: self.actor.clone(),
            resource: self.resource.clone(),
            incident: self.incident,
        }
    }
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: AuditFilterArgs,
    /// Output format
    #[arg(long, default_value = "jsonl")]
    format: ExportFormat,
    /// Output file; an existing file is replaced when the export is complete [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// All columns, one object per line; `entry` is text, for checking hashes
    Jsonl,
    /// RFC 4180. Text that a spreadsheet would read as a formula (it begins with = + - @, tab or carriage return) gets a leading
    /// apostrophe. Control characters are escaped. Numbers, times, hashes and `entry` are unchanged
    Csv,
    /// OCSF 1.8.0 events: Incident Finding, Compliance Finding, Remediation Activity, API Activity
    Ocsf,
}

#[derive(Debug, Args)]
pub struct AuditVerifyArgs {
    /// The head of an earlier run, as `audit verify` printed it: detects rows that were removed or rewritten at the end
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<Head>,
    /// An earlier checkpoint, as `audit checkpoint` wrote it: a signed head
    #[arg(long, value_name = "FILE", requires = "public_key")]
    checkpoint: Option<PathBuf>,
    /// Public key of the checkpoint, as `audit keygen` printed it, or a file with the key
    #[arg(long, value_name = "KEY|FILE", env = "OPS_RUNBOOK_CHECKPOINT_PUBLIC_KEY")]
    public_key: Option<String>,
    /// With a warehouse, the tables in the catalog are verified, too
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// File with the signing key from `audit keygen`. The environment variable can hold the key itself
    #[arg(long, value_name = "FILE", env = "OPS_RUNBOOK_CHECKPOINT_KEY", hide_env_values = true)]
    key: String,
    /// Output file [default: standard output]. An earlier checkpoint of the same key and log is replaced; other files are not
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Name of the key in every checkpoint; use one key per lake, such as ops.example.test/lake. No spaces, no +
    #[arg(long, default_value = "ops-runbook")]
    name: String,
    /// File for the signing key, readable by its owner only. An existing file is never overwritten
    #[arg(long, value_name = "FILE", default_value = "ops-runbook-checkpoint.key")]
    out: PathBuf,
}

pub async fn run(
    lake: impl FnOnce() -> Result<Lake, CommandError>,
    command: &AuditCommand,
    output: &Output,
) -> CommandResult {
    match command {
        AuditCommand::List { filter, limit } => list(&lake()?, filter, *limit, output).await,
        AuditCommand::Show { seq } => show(&lake()?, *seq, output).await,
        AuditCommand::Export(args) => export(&lake()?, args, output).await,
        AuditCommand::Verify(args) => verify(&lake()?, args, output).await,
        AuditCommand::Checkpoint(args) => checkpoint(&lake()?, args, output).await,
        AuditCommand::Keygen(args) => keygen(args, output),
    }
}

async fn list(lake: &Lake, filter: &AuditFilterArgs, limit: usize, output: &Output) -> CommandResult {
    let mut rows = Vec::new();
    let mut scan = ops::audit_rows(lake, filter.filter(), ScanOrder::NewestFirst).await?;
    while rows.len() < limit
        && let Some(more) = scan.next().await?
    {
        rows.extend(more);
    }
    rows.truncate(limit);
    if output.json {
        output.json(&rows)?;
    } else {
        output.text(&listing::audit_rows(&rows, output.width()))?;
    }
    Ok(ExitStatus::Success)
}

async fn show(lake: &Lake, seq: u64, output: &Output) -> CommandResult {
    let row = ops::audit_row(lake, seq).await?;
    if output.json {
        output.json(&row)?;
    } else {
        output.text(&audit::entry(&row))?;
    }
    Ok(ExitStatus::Success)
}

async fn export(lake: &Lake, args: &ExportArgs, output: &Output) -> CommandResult {
    let mut scan = ops::audit_rows(lake, args.filter.filter(), ScanOrder::OldestFirst).await?;
    let mut sink = OutputSink::open(args.out.as_deref())?;
    let bar = output.progress("exporting");
    let total = scan.left();
    bar.set_length(total);
    if args.format == ExportFormat::Csv {
        sink.write(&export::csv_header()?)?;
    }
    while let Some(rows) = scan.next().await? {
        match args.format {
            ExportFormat::Jsonl => sink.write(export::jsonl(&rows)?.as_bytes())?,
            ExportFormat::Ocsf => sink.write(export::ocsf(&rows)?.as_bytes())?,
            ExportFormat::Csv => sink.write(&export::csv(&rows)?)?,
        }
        bar.set_position(total - scan.left());
    }
    sink.finish()?;
    bar.finish_and_clear();
    Ok(ExitStatus::Success)
}

async fn verify(lake: &Lake, args: &AuditVerifyArgs, output: &Output) -> CommandResult {
    let mut remembered: Vec<_> = args.head.iter().map(|head| (head.clone(), HeadSource::Given)).collect();
    let mut forged = None;
    if let Some((file, key)) = args.checkpoint.as_deref().zip(args.public_key.as_deref()) {
        match open_checkpoint(file, &public_key(key)?)? {
            Ok(checkpoint) => remembered.push((checkpoint.head, HeadSource::Checkpoint)),
            Err(error) => forged = Some(Tampering::Checkpoint { reason: error.to_string() }),
        }
    }
    let checkpoints = remembered.iter().filter(|(_, witness)| *witness == HeadSource::Checkpoint).count();
    let mut verification = verified(lake, remembered, output).await?;
    verification.tampering.extend(forged);
    let catalog = engine::with(&args.engine, lake, output, async |engine| match engine {
        Engine::Warehouse(warehouse) => Ok(Some(ops::tables::verify(lake, warehouse).await?)),
        Engine::Local(_) | Engine::Snapshot(_) => Ok(None),
    });
    let compared = catalog.await?.map(|(compared, tampering)| {
        verification.tampering.extend(tampering);
        compared
    });
    let sources = ComparedSources { checkpoint: checkpoints > 0, catalog: compared.as_deref() };
    print_verified(&verification, sources, output)
}

/// The optional sources that the log was compared with.
#[derive(Debug, Clone, Copy, Default)]
struct ComparedSources<'a> {
    checkpoint: bool,
    /// The comparisons of the tables in a catalog.
    catalog: Option<&'a [CopyComparison]>,
}

async fn verified(
    lake: &Lake,
    remembered: Vec<(Head, HeadSource)>,
    output: &Output,
) -> Result<AuditVerification, CommandError> {
    let bar = output.progress("verifying");
    let verification = verify::verify(lake, remembered, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    Ok(verification)
}

fn print_verified(verification: &AuditVerification, sources: ComparedSources<'_>, output: &Output) -> CommandResult {
    if output.json {
        let mut value = serde_json::to_value(verification).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut() {
            object.insert("intact".into(), verification.intact().into());
            if let Some(catalog) = sources.catalog {
                object.insert("catalog".into(), json!(catalog));
            }
        }
        output.json(&value)?;
    } else if verification.intact() {
        let compared: u64 = verification.projections.iter().map(|table| table.rows_found).sum();
        let checkpoint =
            if sources.checkpoint { "the checkpoint is signed by the given key and matches this log\n" } else { "" };
        let catalog = sources.catalog.map_or_else(String::new, |compared| match copies::lag(compared) {
            None => format!("{} tables in the catalog match\n", compared.len()),
            Some(lag) => format!("{} tables in the catalog match as far as they go, {lag}\n", compared.len()),
        });
        output.text(&format!(
            "intact: {} rows, every hash, link and column checked; {compared} rows in {} projected tables match\n\
             {checkpoint}{catalog}head: {}\n\
             Keep the head: `audit verify --head` proves later that no row up to it was changed or removed.",
            verification.rows,
            verification.projections.len(),
            verification.head
        ))?;
    } else {
        let mut text = format!("NOT INTACT: {} findings in {} rows\n", verification.tampering.len(), verification.rows);
        for tampering in &verification.tampering {
            text.push_str(&format!("- {}\n", plain::line(&tampering.to_string())));
        }
        if verification.tampering.iter().all(|tampering| matches!(tampering, Tampering::Projection(_))) {
            text.push_str("The audit log is intact; `ops-runbook rebuild` rebuilds these tables.\n");
        }
        let is_in_catalog =
            |found: &Tampering| matches!(found, Tampering::CatalogTable(_) | Tampering::CatalogAudit { .. });
        if verification.tampering.iter().all(is_in_catalog) {
            text.push_str(&format!("The lake is intact. {DIFFERENT_TABLES}.\n"));
        }
        output.text(&text)?;
    }
    Ok(if verification.intact() { ExitStatus::Success } else { ExitStatus::Damaged })
}

async fn checkpoint(lake: &Lake, args: &CheckpointArgs, output: &Output) -> CommandResult {
    let key = signing_key(&args.key)?;
    let earlier = match &args.out {
        Some(out) if out.exists() => Some(earlier_checkpoint(out, &key)?),
        _ => None,
    };
    // A new checkpoint must contain the earlier one.
    let remembered = earlier.iter().map(|checkpoint| (checkpoint.head.clone(), HeadSource::Checkpoint)).collect();
    let verification = verified(lake, remembered, output).await?;
    if !verification.intact() {
        let code = print_verified(&verification, ComparedSources::default(), output)?;
        output.problem("nothing was signed");
        return Ok(code);
    }
    let signed = Checkpoint { origin: key.name().into(), head: verification.head };
    let unusable = |reason: String| CommandError::Unusable { what: "the head of the log".into(), reason };
    let text = checkpoint::text(&signed).ok_or_else(|| unusable("it is not a SHA-256 hash".into()))?;
    let note = signed_note::sign(&text, &key).map_err(|error| unusable(error.to_string()))?;
    if let Some(out) = &args.out {
        let mut sink = OutputSink::open(Some(out))?;
        sink.write(note.as_bytes())?;
        sink.finish()?;
    }
    match (&args.out, output.json) {
        (_, true) => output.json(&json!({
            "origin": signed.origin, "seq": signed.head.seq, "hash": signed.head.hash,
            "public_key": key.verifier().to_string(), "note": note,
        }))?,
        (None, false) => output.text(&note)?,
        (Some(out), false) => {
            let out = out.display().to_string();
            output.text(&format!("signed the head of {} rows into {}", signed.head.seq, plain::line(&out)))?;
        }
    }
    Ok(ExitStatus::Success)
}

/// Reads the checkpoint that a new one replaces. Refuses to replace any other file.
fn earlier_checkpoint(file: &Path, key: &SignerKey) -> Result<Checkpoint, CommandError> {
    open_checkpoint(file, &key.verifier())?.map_err(|error| CommandError::Unusable {
        what: file.display().to_string(),
        reason: format!("the file exists and is not a checkpoint of this key: {error}"),
    })
}

fn keygen(args: &KeygenArgs, output: &Output) -> CommandResult {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let key = SignerKey::new(&args.name, seed)
        .map_err(|error| CommandError::Unusable { what: format!("{:?}", args.name), reason: error.to_string() })?;
    let what = args.out.display().to_string();
    write_secret(&args.out, &format!("{}\n", key.secret_text()))
        .map_err(|source| CommandError::Write { what: what.clone(), source })?;
    let public = key.verifier().to_string();
    if output.json {
        output.json(&json!({ "name": key.name(), "public_key": public, "signing_key_file": what }))?;
    } else {
        output.text(&public)?;
        output.problem(&format!(
            "the signing key is in {}; keep it away from writers of the lake, and give the public key above to the auditors",
            plain::line(&what)
        ));
    }
    Ok(ExitStatus::Success)
}

/// Writes a new file that only its owner can read, and syncs it to disk.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Parses a signing key, or reads it from a file.
fn signing_key(given: &str) -> Result<SignerKey, CommandError> {
    if given.starts_with("PRIVATE+KEY+") {
        let what = "the signing key in the environment".to_owned();
        return given
            .trim()
            .parse()
            .map_err(|error: NoteError| CommandError::Unusable { what, reason: error.to_string() });
    }
    let text = read_key(given)?;
    text.trim()
        .parse()
        .map_err(|error: NoteError| CommandError::Unusable { what: given.into(), reason: error.to_string() })
}

fn public_key(given: &str) -> Result<VerifierKey, CommandError> {
    // A key has two plus signs. A path can have them, too, but then the file exists.
    let is_key = given.matches('+').count() >= 2 && !Path::new(given).exists();
    let text = if is_key { given.to_owned() } else { read_key(given)? };
    let what = if is_key { "the public key".to_owned() } else { given.to_owned() };
    text.trim().parse().map_err(|error: NoteError| CommandError::Unusable { what, reason: error.to_string() })
}

fn read_key(path: &str) -> Result<String, CommandError> {
    let failed = |source| CommandError::Input { what: path.to_owned(), source };
    let bytes = read_limited(Path::new(path)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Reads one byte more than a note or key may have, which shows a file that is too large.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_NOTE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the checkpoint in a file. The inner error is an invalid signature.
///
/// # Errors
/// [`CommandError::Input`] for an unreadable file; [`CommandError::Unusable`] for a file that is not a checkpoint.
fn open_checkpoint(file: &Path, trusted: &VerifierKey) -> Result<Result<Checkpoint, NoteError>, CommandError> {
    let what = file.display().to_string();
    let bytes = read_limited(file).map_err(|source| CommandError::Input { what: what.clone(), source })?;
    let text = match signed_note::open(&bytes, trusted) {
        Ok(text) => text,
        Err(error @ (NoteError::Unsigned(_) | NoteError::BadSignature(_))) => return Ok(Err(error)),
        Err(error) => return Err(CommandError::Unusable { what, reason: error.to_string() }),
    };
    match checkpoint::parse(text) {
        Ok(checkpoint) => Ok(Ok(checkpoint)),
        Err(reason) => Err(CommandError::Unusable { what, reason: format!("it is not a checkpoint: {reason}") }),
    }
}
