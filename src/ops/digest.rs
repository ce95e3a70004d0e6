//! Making the digest of a week, and recording it. The queries say what happened, the domain makes sentences of it, the ledger
//! takes every version once.

use chrono::TimeDelta;
use serde::Deserialize;

use super::{OpsError, settle, warehouse};
use crate::{
    analytics::{
        engine::{Engine, Value},
        weekly::{self, WeekParameters},
    },
    domain::{
        chain::Head,
        digest::{
            AuditProof, DIGEST_VERSION, Digest, Figures, Freshness, Revised, WeekSpan,
            open::OpenBase,
            revision::differences,
            summary::{changed, decisions},
        },
        entry::{RecordDigest, Request, canonical},
        ids::{Id, sha256_hex},
        redact::Redactions,
        time::Timestamp,
        week::Week,
        words::Interface,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Submission},
        verify::{self, Witness},
    },
    tables::{Row, catalog::AUDIT_LOG, rows::IncidentState},
};

/// How often a digest is made anew because somebody else recorded one of the same week first.
const MAX_ROUNDS: u32 = 10;
/// Who makes digests.
const ACTOR: &str = "system:digest";
/// How far ahead of the ledger's clock an incident may say that it was closed. What the digest before knew of incidents that
/// were recorded earlier than this before its end holds for good.
const MAX_AHEAD: TimeDelta = TimeDelta::hours(25);
/// Up to so many rows the whole audit log is verified for a digest; of a longer one what came after the digest before.
const WHOLE_LOG_ROWS: u64 = 100_000;

/// A digest, and how it stands in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub digest: Digest,
    pub standing: Standing,
}

/// How a digest stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Recorded now, in this row.
    Recorded(u64),
    /// It had been recorded before, in this row, and nothing has changed since.
    Known(u64),
    /// The week is not over: nothing was recorded.
    Preview,
}

/// The digest of `week`, recorded unless it says what the last recorded one says. Of a week that is not over only a preview
/// is made.
///
/// # Errors
/// [`OpsError`]; nothing is recorded then.
pub async fn make(lake: &Lake, engine: Engine<'_>, ledger: &Ledger, week: Week) -> Result<Made, OpsError> {
    warehouse::agree(lake, engine).await?;
    for _ in 0..MAX_ROUNDS {
        let now = lake.context.now();
        settle(lake).await?;
        let recorded = Recorded::of(lake, week).await?;
        let audit = proof(lake, recorded.base.as_ref().map(|(_, digest)| digest)).await?;
        let figures = figures(lake, engine, week, &recorded).await?;
        let last = match recorded.last {
            Some((seq, last)) if last.figures == figures => {
                return Ok(Made { digest: last, standing: Standing::Known(seq) });
            }
            last => last.map(|(_, digest)| digest),
        };
        let freshness = freshness(lake, week).await?;
        let digest = compose(week, now, last.as_ref(), figures, audit, freshness);
        if now < week.end() {
            return Ok(Made { digest, standing: Standing::Preview });
        }
        match ledger.submit(submission(&digest)?).await {
            Ok(answer) if !answer.known => {
                settle(lake).await?;
                return Ok(Made { digest, standing: Standing::Recorded(answer.receipt.seq) });
            }
            // Somebody else found the same, or something else, at the same time: theirs is the digest.
            Ok(_) => {}
            Err(error) if matches!(*error, LakeError::Outdated) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

/// The last recorded digest of `week`, or where there is none a preview as of now. Records nothing.
///
/// # Errors
/// [`OpsError`].
pub async fn read(lake: &Lake, engine: Engine<'_>, week: Week) -> Result<Made, OpsError> {
    warehouse::agree(lake, engine).await?;
    settle(lake).await?;
    let recorded = Recorded::of(lake, week).await?;
    if let Some((seq, digest)) = recorded.last {
        return Ok(Made { digest, standing: Standing::Known(seq) });
    }
    let audit = proof(lake, recorded.base.as_ref().map(|(_, digest)| digest)).await?;
    let figures = figures(lake, engine, week, &recorded).await?;
    let freshness = freshness(lake, week).await?;
    let digest = compose(week, lake.context.now(), None, figures, audit, freshness);
    Ok(Made { digest, standing: Standing::Preview })
}

fn compose(
    week: Week,
    made_at: Timestamp,
    last: Option<&Digest>,
    figures: Figures,
    audit: AuditProof,
    freshness: Freshness,
) -> Digest {
    let span = WeekSpan {
        week: week.to_string(),
        time_zone: week.zone().name().to_owned(),
        start: week.start(),
        end: week.end(),
        hours: week.hours(),
    };
    Digest {
        version: DIGEST_VERSION,
        revision: last.map_or(1, |last| last.revision + 1),
        made_at,
        changed: changed(&span, &figures),
        decisions: decisions(&span, &figures),
        revised: last.map(|last| Revised {
            revision: last.revision,
            made_at: last.made_at,
            differences: differences(&last.figures, &figures),
        }),
        week: span,
        figures,
        audit,
        freshness,
    }
}

/// The id follows from the week, the revision and the figures: whoever finds the same sends the same.
fn submission(digest: &Digest) -> Result<Submission, OpsError> {
    let found = (&digest.week, digest.revision, &digest.figures);
    let text = canonical(&found).map_err(LakeError::from)?;
    let request_id = id(&format!("digest-{}-{}", digest.week.week, &sha256_hex(text)[..32]))?;
    let request = RecordDigest { actor: id(ACTOR)?, based_on: digest.audit.head_seq, digest: digest.clone() };
    let size = canonical(&request).map_err(LakeError::from)?.len();
    Ok(Submission {
        request_id,
        request: Request::RecordDigest(Box::new(request)),
        redactions: Redactions::default(),
        interface: Interface::Scan,
        size,
    })
}

fn id(text: &str) -> Result<Id, LakeError> {
    Id::new(text).map_err(|why| LakeError::Corrupt(format!("{text:?} {why}")))
}

/// What was recorded before, with the rows of the audit log.
#[derive(Debug)]
struct Recorded {
    /// The last revision of this week.
    last: Option<(u64, Digest)>,
    /// The latest digest, in any zone, of a week that was over when this one began.
    base: Option<(u64, Digest)>,
}

impl Recorded {
    async fn of(lake: &Lake, week: Week) -> Result<Self, OpsError> {
        #[derive(Deserialize)]
        struct Found {
            seq: u64,
            content: String,
        }
        let engine = Engine::Local(lake);
        let one = async |sql: &str, parameters: &[(String, Value)]| -> Result<Option<(u64, Digest)>, OpsError> {
            let found = engine.rows::<Found>(sql, parameters).await?.pop();
            let read = |found: Found| -> Result<(u64, Digest), LakeError> {
                let damaged = |error| LakeError::Corrupt(format!("the digest in row {}: {error}", found.seq));
                Ok((found.seq, serde_json::from_str(&found.content).map_err(damaged)?))
            };
            Ok(found.map(read).transpose()?)
        };
        let name = Value::from(week.to_string().as_str());
        let zone = Value::from(week.zone().name());
        let last = one(LAST, &[("week".into(), name), ("time_zone".into(), zone)]).await?;
        let base = one(BASE, &[("week_start".into(), week.start().into())]).await?;
        Ok(Self { last, base })
    }
}

const LAST: &str = "SELECT seq, content FROM digests WHERE week = :week AND time_zone = :time_zone \
                    ORDER BY revision DESC NULLS LAST LIMIT 1";
const BASE: &str = "SELECT seq, content FROM digests WHERE week_end <= :week_start \
                    ORDER BY week_end DESC NULLS LAST, seq DESC NULLS LAST LIMIT 1";

/// Verifies the audit log: all of it, or when it is long what came after the digest before.
async fn proof(lake: &Lake, before: Option<&Digest>) -> Result<AuditProof, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest().await?;
    let rows: u64 = log.files.values().filter_map(|file| file.parse_stats().num_records).sum();
    let trusted = before
        .filter(|before| rows > WHOLE_LOG_ROWS && before.audit.intact)
        .map_or_else(Head::genesis, |before| Head { seq: before.audit.head_seq, hash: before.audit.head_hash.clone() });
    let found = verify::verify_after(lake, &trusted, Witness::Digest).await?;
    Ok(AuditProof {
        head_seq: found.head.seq,
        head_hash: found.head.hash.clone(),
        verified_after: trusted.seq,
        intact: found.intact(),
        problems: found.tampering.iter().map(ToString::to_string).collect(),
    })
}

async fn figures(lake: &Lake, engine: Engine<'_>, week: Week, recorded: &Recorded) -> Result<Figures, OpsError> {
    let known_from = known_from(lake).await?.unwrap_or(week.end());
    let parameters = WeekParameters { week, known_from };
    let base = match &recorded.base {
        Some((_, digest)) => Some(OpenBase {
            open: digest.figures.open.clone(),
            until: digest.week.end,
            seq: last_recorded_before(lake, digest.week.end.plus(-MAX_AHEAD)).await?,
        }),
        None => None,
    };
    Ok(weekly::figures(engine, &parameters, base.as_ref()).await?)
}

/// The last row of the ledger from before `at`.
async fn last_recorded_before(lake: &Lake, at: Timestamp) -> Result<u64, OpsError> {
    #[derive(Deserialize)]
    struct First {
        seq: Option<u64>,
    }
    let first: Vec<First> = Engine::Local(lake).rows(FIRST_SINCE, &[("at".into(), at.into())]).await?;
    match first.into_iter().find_map(|first| first.seq) {
        Some(seq) => Ok(seq - 1),
        None => Ok(ledger::head(&lake.table(AUDIT_LOG), &lake.table(AUDIT_LOG).newest().await?).await?.chain.seq),
    }
}

const FIRST_SINCE: &str = "SELECT min(seq) AS seq FROM audit_log WHERE recorded_at >= :at";

/// The earliest report, from the statistics of the data files. `None` in a lake without incidents.
///
/// # Errors
/// The lake's.
pub async fn known_from(lake: &Lake) -> Result<Option<Timestamp>, LakeError> {
    let log = lake.table(IncidentState::TABLE).newest().await?;
    Ok(log.files.values().filter_map(|file| file.parse_stats().min_time("reported_at")).min())
}

async fn freshness(lake: &Lake, week: Week) -> Result<Freshness, OpsError> {
    #[derive(Deserialize)]
    struct Latest {
        at: Option<Timestamp>,
    }
    let log = lake.table(AUDIT_LOG).newest().await?;
    // Statistics are cut to milliseconds: close enough for "how fresh".
    let last_recorded_at = log.files.values().filter_map(|file| file.parse_stats().max_time("recorded_at")).max();
    let parameters = [("from".into(), week.earlier(4).start().into()), ("until".into(), week.end().into())];
    let latest: Vec<Latest> = Engine::Local(lake).rows(LATEST, &parameters).await?;
    Ok(Freshness { last_recorded_at, last_reported_at: latest.into_iter().find_map(|latest| latest.at) })
}

const LATEST: &str =
    "SELECT max(reported_at) AS at FROM incident_states WHERE reported_at >= :from AND reported_at < :until";
