//! Makes the digest of a week and records it. Queries compute the figures, the domain writes the sentences, the ledger
//! records every revision once.

use chrono::TimeDelta;
use serde::Deserialize;

use super::{OpsError, settle, warehouse};
use crate::{
    analytics::{
        engine::{Engine, ParameterValue},
        weekly::{self, WeekParameters},
    },
    domain::{
        chain::Head,
        digest::{
            AuditProof, DIGEST_VERSION, Digest, Figures, Freshness, Revised, WeekSpan,
            open::EarlierOpenIncidents,
            revision::differences,
            summary::{changed, decisions},
        },
        entry::{RecordDigest, Request, canonical},
        ids::{Id, sha256_hex},
        interface::Interface,
        redact::Redactions,
        time::Timestamp,
        week::Week,
    },
    lake::{
        Lake, LakeError,
        ledger::{self, Ledger, Submission},
        verify::{self, HeadSource},
    },
    tables::{Row, catalog::AUDIT_LOG, rows::IncidentState},
};

/// How often a digest is computed again after a conflict with a concurrent run.
const MAX_ROUNDS: u32 = 10;
/// The actor of digests.
const ACTOR: &str = "system:digest";
/// How far ahead of the ledger's clock the closing time of an incident may be. The previous digest is final about incidents
/// that were recorded earlier than this before its end.
const MAX_AHEAD: TimeDelta = TimeDelta::hours(25);
/// Up to this number of rows, a digest verifies the whole audit log; in a longer one only the rows after the previous digest.
const WHOLE_LOG_ROWS: u64 = 100_000;

/// A digest and its status in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct DigestResult {
    pub digest: Digest,
    pub status: DigestStatus,
}

/// The status of a digest in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestStatus {
    /// Recorded now, in this row.
    Recorded(u64),
    /// Recorded before, in this row, and unchanged since.
    Known(u64),
    /// Not recorded, because the week has not ended.
    Preview,
}

/// Makes the digest of `week`. Records it, unless its figures equal the last revision. A week that has not ended gets a
/// preview.
///
/// # Errors
/// [`OpsError`]; nothing is recorded then.
pub async fn make(lake: &Lake, engine: Engine<'_>, ledger: &Ledger, week: Week) -> Result<DigestResult, OpsError> {
    warehouse::check_same_lake(lake, engine).await?;
    for _ in 0..MAX_ROUNDS {
        let now = lake.context.now();
        settle(lake).await?;
        let recorded = RecordedDigests::of(lake, week).await?;
        let audit = proof(lake, recorded.base.as_ref().map(|(_, digest)| digest)).await?;
        let figures = figures(lake, engine, week, &recorded).await?;
        let last = match recorded.last {
            Some((seq, last)) if last.figures == figures => {
                return Ok(DigestResult { digest: last, status: DigestStatus::Known(seq) });
            }
            last => last.map(|(_, digest)| digest),
        };
        let freshness = freshness(lake, week).await?;
        let digest = compose(week, now, last.as_ref(), figures, audit, freshness);
        if now < week.end() {
            return Ok(DigestResult { digest, status: DigestStatus::Preview });
        }
        match ledger.submit(submission(&digest)?).await {
            Ok(answer) if !answer.known => {
                settle(lake).await?;
                return Ok(DigestResult { digest, status: DigestStatus::Recorded(answer.receipt.seq) });
            }
            // A concurrent run recorded a digest first. It is read in the next round.
            Ok(_) => {}
            Err(error) if matches!(*error, LakeError::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(LakeError::TooBusy { table: AUDIT_LOG.name.into(), attempts: MAX_ROUNDS }.into())
}

/// Reads the last revision of the digest of `week`, or makes a preview if there is none. Records nothing.
///
/// # Errors
/// [`OpsError`].
pub async fn read(lake: &Lake, engine: Engine<'_>, week: Week) -> Result<DigestResult, OpsError> {
    warehouse::check_same_lake(lake, engine).await?;
    settle(lake).await?;
    let recorded = RecordedDigests::of(lake, week).await?;
    if let Some((seq, digest)) = recorded.last {
        return Ok(DigestResult { digest, status: DigestStatus::Known(seq) });
    }
    let audit = proof(lake, recorded.base.as_ref().map(|(_, digest)| digest)).await?;
    let figures = figures(lake, engine, week, &recorded).await?;
    let freshness = freshness(lake, week).await?;
    let digest = compose(week, lake.context.now(), None, figures, audit, freshness);
    Ok(DigestResult { digest, status: DigestStatus::Preview })
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

/// Returns the request. Its id is derived from the week, the revision and the figures, so that concurrent runs send the same.
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

/// The recorded digests that a new one refers to, each with its row of the audit log.
#[derive(Debug)]
struct RecordedDigests {
    /// The last revision of this week.
    last: Option<(u64, Digest)>,
    /// The latest digest, in any time zone, of a week that ended before this one began.
    base: Option<(u64, Digest)>,
}

impl RecordedDigests {
    async fn of(lake: &Lake, week: Week) -> Result<Self, OpsError> {
        #[derive(Deserialize)]
        struct DigestRow {
            seq: u64,
            content: String,
        }
        let engine = Engine::Local(lake);
        let one =
            async |sql: &str, parameters: &[(String, ParameterValue)]| -> Result<Option<(u64, Digest)>, OpsError> {
                let found = engine.rows::<DigestRow>(sql, parameters).await?.pop();
                let read = |found: DigestRow| -> Result<(u64, Digest), LakeError> {
                    let damaged = |error| LakeError::Corrupt(format!("the digest in row {}: {error}", found.seq));
                    Ok((found.seq, serde_json::from_str(&found.content).map_err(damaged)?))
                };
                Ok(found.map(read).transpose()?)
            };
        let name = ParameterValue::from(week.to_string().as_str());
        let zone = ParameterValue::from(week.zone().name());
        let last = one(LAST, &[("week".into(), name), ("time_zone".into(), zone)]).await?;
        let base = one(BASE, &[("week_start".into(), week.start().into())]).await?;
        Ok(Self { last, base })
    }
}

const LAST: &str = "SELECT seq, content FROM digests WHERE week = :week AND time_zone = :time_zone \
                    ORDER BY revision DESC NULLS LAST LIMIT 1";
const BASE: &str = "SELECT seq, content FROM digests WHERE week_end <= :week_start \
                    ORDER BY week_end DESC NULLS LAST, seq DESC NULLS LAST LIMIT 1";

/// Verifies the audit log: all rows, or in a long log the rows after the previous digest.
async fn proof(lake: &Lake, before: Option<&Digest>) -> Result<AuditProof, OpsError> {
    let table = lake.table(AUDIT_LOG);
    let log = table.newest_log().await?;
    let rows: u64 = log.files.values().filter_map(|file| file.parse_stats().num_records).sum();
    let trusted = before
        .filter(|before| rows > WHOLE_LOG_ROWS && before.audit.intact)
        .map_or_else(Head::genesis, |before| Head { seq: before.audit.head_seq, hash: before.audit.head_hash.clone() });
    let found = verify::verify_after(lake, &trusted, HeadSource::Digest).await?;
    Ok(AuditProof {
        head_seq: found.head.seq,
        head_hash: found.head.hash.clone(),
        verified_after: trusted.seq,
        intact: found.intact(),
        problems: found.tampering.iter().map(ToString::to_string).collect(),
    })
}

async fn figures(lake: &Lake, engine: Engine<'_>, week: Week, recorded: &RecordedDigests) -> Result<Figures, OpsError> {
    let known_from = known_from(lake).await?.unwrap_or(week.end());
    let parameters = WeekParameters { week, known_from };
    let base = match &recorded.base {
        Some((_, digest)) => Some(EarlierOpenIncidents {
            open: digest.figures.open.clone(),
            until: digest.week.end,
            seq: last_recorded_before(lake, digest.week.end.plus(-MAX_AHEAD)).await?,
        }),
        None => None,
    };
    Ok(weekly::figures(engine, &parameters, base.as_ref()).await?)
}

/// Returns the last row of the ledger before `at`.
async fn last_recorded_before(lake: &Lake, at: Timestamp) -> Result<u64, OpsError> {
    #[derive(Deserialize)]
    struct FirstRow {
        seq: Option<u64>,
    }
    let first: Vec<FirstRow> = Engine::Local(lake).rows(FIRST_SINCE, &[("at".into(), at.into())]).await?;
    match first.into_iter().find_map(|first| first.seq) {
        Some(seq) => Ok(seq - 1),
        None => Ok(ledger::head(&lake.table(AUDIT_LOG), &lake.table(AUDIT_LOG).newest_log().await?).await?.chain.seq),
    }
}

const FIRST_SINCE: &str = "SELECT min(seq) AS seq FROM audit_log WHERE recorded_at >= :at";

/// Returns the time of the earliest report, from the statistics of the data files. `None` without incidents.
///
/// # Errors
/// The lake's.
pub async fn known_from(lake: &Lake) -> Result<Option<Timestamp>, LakeError> {
    let log = lake.table(IncidentState::TABLE).newest_log().await?;
    Ok(log.files.values().filter_map(|file| file.parse_stats().min_time("reported_at")).min())
}

async fn freshness(lake: &Lake, week: Week) -> Result<Freshness, OpsError> {
    #[derive(Deserialize)]
    struct LatestReport {
        at: Option<Timestamp>,
    }
    let log = lake.table(AUDIT_LOG).newest_log().await?;
    // Statistics are truncated to milliseconds, which is exact enough for the freshness.
    let last_recorded_at = log.files.values().filter_map(|file| file.parse_stats().max_time("recorded_at")).max();
    let parameters = [("from".into(), week.earlier(4).start().into()), ("until".into(), week.end().into())];
    let latest: Vec<LatestReport> = Engine::Local(lake).rows(LATEST, &parameters).await?;
    Ok(Freshness { last_recorded_at, last_reported_at: latest.into_iter().find_map(|latest| latest.at) })
}

const LATEST: &str =
    "SELECT max(reported_at) AS at FROM incident_states WHERE reported_at >= :from AND reported_at < :until";
