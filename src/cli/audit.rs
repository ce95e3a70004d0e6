//! `audit`: read, export and prove the audit log.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use rand::Rng;
use serde_json::{Value, json};

use super::{
    engine::{self, EngineArgs},
    exit::{Code, DIFFERENT_TABLES, Failure},
    output::{Output, Sink},
};
use crate::{
    analytics::engine::Engine,
    domain::{
        chain::Head,
        checkpoint::{self, Checkpoint},
        copies::{self, CopyComparison},
        ids::IncidentId,
        note::{self, MAX_NOTE_BYTES, NoteError, SignerKey, VerifierKey},
        time::Timestamp,
    },
    lake::{
        Lake,
        scan::{AuditFilter, Order},
        verify::{self, Tampering, Verification, Witness},
    },
    ops,
    render::{audit, export, listing, plain},
};

type Outcome = Result<Code, Failure>;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List rows of the audit log, the newest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// At most this many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one row
    Show {
        /// Its position, as `audit list` prints it
        seq: u64,
    },
    /// Write all rows that match for other programs, the oldest first
    Export(ExportArgs),
    /// Prove that nothing was altered, removed, put in, swapped or cut off, and that every table says what the log says
    Verify(VerifyArgs),
    /// Verify the log and sign its head, to be kept where nobody who can write the lake can write
    ///
    /// The checkpoint is a signed note in the text format of C2SP (c2sp.org/signed-note): key name, number of rows, hash of the
    /// last row. `audit verify --checkpoint` proves later that nothing up to it was changed or cut off. A log that is not
    /// intact is not signed.
    Checkpoint(CheckpointArgs),
    /// Make a key for checkpoints: the signing key into a file, the public key onto standard output
    Keygen(KeygenArgs),
}

/// Rows must match all that is given.
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Recorded at this moment or later, such as 2026-02-11T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Recorded before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// By exactly this actor, such as agent:databricks_mcp_agent
    #[arg(long)]
    actor: Option<String>,
    /// About this resource: job_id=360515640572923, or only the id
    #[arg(long, value_name = "KIND_id=ID|ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    resource: Option<String>,
    /// About this incident, such as INC-1042
    #[arg(long, value_name = "ID")]
    incident: Option<IncidentId>,
}

impl FilterArgs {
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
    filter: FilterArgs,
    /// How to write the rows
    #[arg(long, default_value = "jsonl")]
    format: ExportFormat,
    /// Where to; without it to standard output. An existing file is replaced once everything is written
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// Every column, one object per line; `entry` as text, so that hashes can be checked
    Jsonl,
    /// RFC 4180. Text that a spreadsheet would take for a formula (beginning with = + - @, tab or carriage return) gets an
    /// apostrophe in front; control characters are shown as escapes. Numbers, times, hashes and `entry` are as they are
    Csv,
    /// OCSF 1.8.0 events: Incident Finding, Compliance Finding, Remediation Activity, API Activity
    Ocsf,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The head of an earlier day, as `audit verify` printed it: shows a log whose end was cut off or rewritten
    #[arg(long, value_name = "SEQ:HASH")]
    head: Option<Head>,
    /// A checkpoint of an earlier day, as `audit checkpoint` wrote it: a head that nobody can have made up
    #[arg(long, value_name = "FILE", requires = "public_key")]
    checkpoint: Option<PathBuf>,
    /// The key the checkpoint must be signed with, as `audit keygen` printed it, or a file that holds it
    #[arg(long, value_name = "KEY|FILE", env = "OPS_RUNBOOK_CHECKPOINT_PUBLIC_KEY")]
    public_key: Option<String>,
    /// With a warehouse, the tables in the catalog are compared with the lake too, and audited there
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// The file with the signing key that `audit keygen` made. The environment variable may hold the key itself
    #[arg(long, value_name = "FILE", env = "OPS_RUNBOOK_CHECKPOINT_KEY", hide_env_values = true)]
    key: String,
    /// Where to; without it to standard output. An earlier checkpoint of the same key and log is replaced, nothing else is
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// The key's name, which is in every checkpoint: one per lake, best a host and path of your own. No spaces, no +
    #[arg(long, default_value = "ops-runbook")]
    name: String,
    /// Where the signing key goes, for its owner only. An existing file is never overwritten
    #[arg(long, value_name = "FILE", default_value = "ops-runbook-checkpoint.key")]
    out: PathBuf,
}

pub async fn run(lake: impl FnOnce() -> Result<Lake, Failure>, command: &AuditCommand, output: &Output) -> Outcome {
    match command {
        AuditCommand::List { filter, limit } => list(&lake()?, filter, *limit, output).await,
        AuditCommand::Show { seq } => show(&lake()?, *seq, output).await,
        AuditCommand::Export(args) => export(&lake()?, args, output).await,
        AuditCommand::Verify(args) => verify(&lake()?, args, output).await,
        AuditCommand::Checkpoint(args) => checkpoint(&lake()?, args, output).await,
        AuditCommand::Keygen(args) => keygen(args, output),
    }
}

async fn list(lake: &Lake, filter: &FilterArgs, limit: usize, output: &Output) -> Outcome {
    let mut rows = Vec::new();
    let mut scan = ops::audit_rows(lake, filter.filter(), Order::NewestFirst).await?;
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
    Ok(Code::Success)
}

async fn show(lake: &Lake, seq: u64, output: &Output) -> Outcome {
    let row = ops::audit_row(lake, seq).await?;
    if output.json {
        output.json(&row)?;
    } else {
        output.text(&audit::entry(&row))?;
    }
    Ok(Code::Success)
}

async fn export(lake: &Lake, args: &ExportArgs, output: &Output) -> Outcome {
    let mut scan = ops::audit_rows(lake, args.filter.filter(), Order::OldestFirst).await?;
    let mut sink = Sink::open(args.out.as_deref())?;
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
    Ok(Code::Success)
}

async fn verify(lake: &Lake, args: &VerifyArgs, output: &Output) -> Outcome {
    let mut remembered: Vec<_> = args.head.iter().map(|head| (head.clone(), Witness::Given)).collect();
    let mut forged = None;
    if let Some((file, key)) = args.checkpoint.as_deref().zip(args.public_key.as_deref()) {
        match open_checkpoint(file, &public_key(key)?)? {
            Ok(checkpoint) => remembered.push((checkpoint.head, Witness::Checkpoint)),
            Err(error) => forged = Some(Tampering::Checkpoint { reason: error.to_string() }),
        }
    }
    let checkpoints = remembered.iter().filter(|(_, witness)| *witness == Witness::Checkpoint).count();
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
    let seen = Seen { checkpoint: checkpoints > 0, catalog: compared.as_deref() };
    say_verified(&verification, seen, output)
}

/// What the log was compared with, beside its own tables.
#[derive(Debug, Clone, Copy, Default)]
struct Seen<'a> {
    checkpoint: bool,
    /// The tables in a catalog.
    catalog: Option<&'a [CopyComparison]>,
}

async fn verified(lake: &Lake, remembered: Vec<(Head, Witness)>, output: &Output) -> Result<Verification, Failure> {
    let bar = output.progress("verifying");
    let verification = verify::verify(lake, remembered, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    Ok(verification)
}

fn say_verified(verification: &Verification, seen: Seen<'_>, output: &Output) -> Outcome {
    if output.json {
        let mut value = serde_json::to_value(verification).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut() {
            object.insert("intact".into(), verification.intact().into());
            if let Some(catalog) = seen.catalog {
                object.insert("catalog".into(), json!(catalog));
            }
        }
        output.json(&value)?;
    } else if verification.intact() {
        let compared: u64 = verification.projections.iter().map(|table| table.rows_found).sum();
        let checkpoint =
            if seen.checkpoint { "the checkpoint is signed by the given key and stands in this log\n" } else { "" };
        let catalog = seen.catalog.map_or_else(String::new, |compared| match copies::lag(compared) {
            None => format!("{} tables in the catalog say the same\n", compared.len()),
            Some(lag) => format!("{} tables in the catalog say the same as far as they go, {lag}\n", compared.len()),
        });
        output.text(&format!(
            "intact: {} rows, every hash, link and column checked; {compared} rows in {} projected tables say the same\n\
             {checkpoint}{catalog}head: {}\n\
             Keep the head: `audit verify --head` proves later that nothing up to it was changed or cut off.",
            verification.rows,
            verification.projections.len(),
            verification.head
        ))?;
    } else {
        let mut text = format!("NOT INTACT: {} findings in {} rows\n", verification.tampering.len(), verification.rows);
        for tampering in &verification.tampering {
            text.push_str(&format!("- {}\n", plain::line(&tampering.to_string())));
        }
        if verification.tampering.iter().all(|found| matches!(found, Tampering::Projection(_))) {
            text.push_str("The audit log itself is intact; `ops-runbook rebuild` makes these tables anew.\n");
        }
        let is_in_catalog =
            |found: &Tampering| matches!(found, Tampering::CatalogTable(_) | Tampering::CatalogAudit { .. });
        if verification.tampering.iter().all(is_in_catalog) {
            text.push_str(&format!("The lake itself is intact. {DIFFERENT_TABLES}.\n"));
        }
        output.text(&text)?;
    }
    Ok(if verification.intact() { Code::Success } else { Code::Damaged })
}

async fn checkpoint(lake: &Lake, args: &CheckpointArgs, output: &Output) -> Outcome {
    let key = signing_key(&args.key)?;
    let earlier = match &args.out {
        Some(out) if out.exists() => Some(earlier_checkpoint(out, &key)?),
        _ => None,
    };
    // What was signed once must stand in everything that is signed later.
    let remembered = earlier.iter().map(|checkpoint| (checkpoint.head.clone(), Witness::Checkpoint)).collect();
    let verification = verified(lake, remembered, output).await?;
    if !verification.intact() {
        let code = say_verified(&verification, Seen::default(), output)?;
        output.problem("nothing was signed");
        return Ok(code);
    }
    let signed = Checkpoint { origin: key.name().into(), head: verification.head };
    let unusable = |reason: String| Failure::Unusable { what: "the head of the log".into(), reason };
    let text = checkpoint::text(&signed).ok_or_else(|| unusable("it is not a SHA-256 hash".into()))?;
    let note = note::sign(&text, &key).map_err(|error| unusable(error.to_string()))?;
    if let Some(out) = &args.out {
        let mut sink = Sink::open(Some(out))?;
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
    Ok(Code::Success)
}

/// The checkpoint that a new one will replace. Anything else is left alone.
fn earlier_checkpoint(file: &Path, key: &SignerKey) -> Result<Checkpoint, Failure> {
    open_checkpoint(file, &key.verifier())?.map_err(|error| Failure::Unusable {
        what: file.display().to_string(),
        reason: format!("it is there already and not a checkpoint of this key: {error}"),
    })
}

fn keygen(args: &KeygenArgs, output: &Output) -> Outcome {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let key = SignerKey::new(&args.name, seed)
        .map_err(|error| Failure::Unusable { what: format!("{:?}", args.name), reason: error.to_string() })?;
    let what = args.out.display().to_string();
    write_secret(&args.out, &format!("{}\n", key.secret_text()))
        .map_err(|source| Failure::Write { what: what.clone(), source })?;
    let public = key.verifier().to_string();
    if output.json {
        output.json(&json!({ "name": key.name(), "public_key": public, "signing_key_file": what }))?;
    } else {
        output.text(&public)?;
        output.problem(&format!(
            "the signing key is in {}; keep it from those who can write the lake, and give the public key above to whoever verifies",
            plain::line(&what)
        ));
    }
    Ok(Code::Success)
}

/// A new file that only its owner can read, on disk when this returns.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A key, or the first line of the file that holds it.
fn signing_key(given: &str) -> Result<SignerKey, Failure> {
    if given.starts_with("PRIVATE+KEY+") {
        let what = "the signing key in the environment".to_owned();
        return given.trim().parse().map_err(|error: NoteError| Failure::Unusable { what, reason: error.to_string() });
    }
    let text = read_key(given)?;
    text.trim().parse().map_err(|error: NoteError| Failure::Unusable { what: given.into(), reason: error.to_string() })
}

fn public_key(given: &str) -> Result<VerifierKey, Failure> {
    // A key has two plus signs; a file may have them too, and then it is there.
    let is_key = given.matches('+').count() >= 2 && !Path::new(given).exists();
    let text = if is_key { given.to_owned() } else { read_key(given)? };
    let what = if is_key { "the public key".to_owned() } else { given.to_owned() };
    text.trim().parse().map_err(|error: NoteError| Failure::Unusable { what, reason: error.to_string() })
}

fn read_key(path: &str) -> Result<String, Failure> {
    let failed = |source| Failure::Input { what: path.to_owned(), source };
    let bytes = read_limited(Path::new(path)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// A little more than any note or key may have, so that one that is too large is seen to be.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_NOTE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The checkpoint in a file, or why its signature proves nothing.
///
/// # Errors
/// A file that cannot be read, or is no checkpoint at all.
fn open_checkpoint(file: &Path, trusted: &VerifierKey) -> Result<Result<Checkpoint, NoteError>, Failure> {
    let what = file.display().to_string();
    let bytes = read_limited(file).map_err(|source| Failure::Input { what: what.clone(), source })?;
    let text = match note::open(&bytes, trusted) {
        Ok(text) => text,
        Err(error @ (NoteError::Unsigned(_) | NoteError::BadSignature(_))) => return Ok(Err(error)),
        Err(error) => return Err(Failure::Unusable { what, reason: error.to_string() }),
    };
    match checkpoint::parse(text) {
        Ok(checkpoint) => Ok(Ok(checkpoint)),
        Err(reason) => Err(Failure::Unusable { what, reason: format!("it is not a checkpoint: {reason}") }),
    }
}
