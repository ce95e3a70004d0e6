//! Checks of the tables of an existing lake.

use serde_json::Value;

use super::failed;
use crate::{
    domain::{
        chain::entry_hash,
        health::{HealthCheck, HealthFinding},
    },
    lake::{Lake, LakeError, Result, ledger, log::Log, projector::PROGRESS_TABLE, table::Table},
    tables::{TableDef, catalog, ddl},
};

/// The checks in this file.
pub const CHECKS: [HealthCheck; 7] = [
    HealthCheck::Lake,
    HealthCheck::Protocol,
    HealthCheck::Properties,
    HealthCheck::Columns,
    HealthCheck::Log,
    HealthCheck::Head,
    HealthCheck::Projection,
];

pub async fn examine(lake: &Lake) -> Vec<HealthFinding> {
    let audit = lake.table(catalog::AUDIT_LOG);
    match audit.try_log().await {
        Ok(Some(log)) => examine_tables(lake, &audit, &log).await,
        Ok(None) => {
            let nothing = |check| HealthFinding::not_checked(check, "there is no lake yet");
            let first = HealthFinding::ok(
                HealthCheck::Lake,
                "there is no lake here yet; `ops-runbook init` or the first report creates one",
            );
            [first].into_iter().chain(CHECKS.into_iter().skip(1).map(nothing)).collect()
        }
        Err(error) => {
            let wrong =
                if matches!(error, LakeError::Unsupported(_)) { HealthCheck::Protocol } else { HealthCheck::Log };
            let finding = |check| {
                if check == wrong {
                    failed(check, &error)
                } else {
                    HealthFinding::not_checked(check, "the audit log cannot be read")
                }
            };
            CHECKS.into_iter().map(finding).collect()
        }
    }
}

async fn examine_tables(lake: &Lake, audit: &Table, log: &Log) -> Vec<HealthFinding> {
    let mut differences: [Vec<String>; 3] = Default::default();
    let (mut tables, mut missing, mut checkpoints) = (0, Vec::new(), 0);
    let mut projected = None;
    let mut torn = None;
    let mut protocol_advice =
        "another program changed a table's features; other engines may not be able to read it. `ops-runbook rebuild` \
         recomputes projected tables"
            .to_owned();
    for def in catalog::all() {
        match lake.table(def).try_log().await {
            Ok(None) => missing.push(def.name),
            Ok(Some(log)) => {
                tables += 1;
                checkpoints += usize::from(log.checkpoint.is_some());
                if def.name == PROGRESS_TABLE.name {
                    projected = Some(log.projected_to);
                }
                match TableState::of(lake, def).await {
                    Ok(state) => state.compare(def, &mut differences),
                    Err(error) => drop(torn.get_or_insert(error)),
                }
            }
            Err(LakeError::Unsupported(unsupported)) => {
                differences[0].push(unsupported.to_string());
                protocol_advice = unsupported.hint();
            }
            Err(error) => drop(torn.get_or_insert(error)),
        }
    }
    let lake_is_whole = match missing.as_slice() {
        [] => HealthFinding::ok(HealthCheck::Lake, format!("{tables} tables")),
        missing => HealthFinding::warning(
            HealthCheck::Lake,
            format!("missing: {}", missing.join(", ")),
            "`ops-runbook init` creates missing tables",
        ),
    };
    let [protocols, properties, columns] = differences;
    let compared = |check, differences: Vec<String>, same: &str, advice: &str| match differences.as_slice() {
        [] => HealthFinding::ok(check, same),
        some => HealthFinding::failed(check, some.join("; "), Some(advice.into())),
    };
    let whole = match torn.or(ledger::check_newest_file(audit, log).await.err()) {
        None => HealthFinding::ok(
            HealthCheck::Log,
            format!(
                "the logs of {tables} tables were read, {checkpoints} of them from a checkpoint; the audit log is at version {}",
                log.version
            ),
        ),
        Some(error) => failed(HealthCheck::Log, &error),
    };
    vec![
        lake_is_whole,
        compared(HealthCheck::Protocol, protocols, "reader 1, writer 2 on every table", &protocol_advice),
        compared(
            HealthCheck::Properties,
            properties,
            "as expected",
            "set them back: `ops-runbook schema tables --format ddl` prints the expected ones",
        ),
        compared(
            HealthCheck::Columns,
            columns,
            "as this version defines them",
            "another version of ops-runbook created these tables; use that version, or another lake",
        ),
        whole,
        head(audit, log).await.unwrap_or_else(|error| failed(HealthCheck::Head, &error)),
        projection(audit, log, projected).await.unwrap_or_else(|error| failed(HealthCheck::Projection, &error)),
    ]
}

/// Protocol and metadata of a table, from its log.
struct TableState {
    protocol: Value,
    metadata: Value,
}

impl TableState {
    async fn of(lake: &Lake, def: &'static TableDef) -> Result<Self> {
        let mut table = lake.delta_table(def)?;
        table.load().await?;
        let state = table.snapshot()?;
        Ok(Self {
            protocol: serde_json::to_value(state.protocol())?,
            metadata: serde_json::to_value(state.metadata())?,
        })
    }

    fn compare(&self, def: &TableDef, [protocols, properties, columns]: &mut [Vec<String>; 3]) {
        let (reader, writer) = (&self.protocol["minReaderVersion"], &self.protocol["minWriterVersion"]);
        if (reader, writer) != (&1.into(), &2.into()) {
            protocols.push(format!("{}: reader {reader}, writer {writer}", def.name));
        }
        let configuration = &self.metadata["configuration"];
        for (name, expected) in ddl::properties(def) {
            let found = &configuration[name];
            if *found != expected {
                properties.push(format!("{}: {name} is {found} instead of {expected:?}", def.name));
            }
        }
        let schema = self.metadata["schemaString"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let expected = ddl::delta_schema(def);
        if schema.as_ref().map(shape) != Some(shape(&expected)) {
            columns.push(def.name.to_owned());
        }
    }
}

/// Returns name, type and nullability of every column. Comments may differ.
fn shape(schema: &Value) -> Vec<(Value, Value, Value)> {
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    fields.iter().map(|field| (field["name"].clone(), field["type"].clone(), field["nullable"].clone())).collect()
}

/// Checks that the hash of the newest row is the one that the newest commit names.
async fn head(audit: &Table, log: &Log) -> Result<HealthFinding> {
    let head = ledger::head(audit, log).await?.chain;
    if head.seq == 0 {
        return Ok(HealthFinding::ok(HealthCheck::Head, "nothing is recorded yet"));
    }
    let rows = ledger::rows_between(audit, log, head.seq - 1, head.seq).await?;
    let computed = rows.last().map(|row| entry_hash(&row.prev_hash, &row.entry));
    let seen = format!("row {}, {}", head.seq, head.hash);
    Ok(match (rows.as_slice(), computed) {
        ([row], Some(hash)) if hash == row.entry_hash && hash == head.hash => {
            HealthFinding::ok(HealthCheck::Head, seen)
        }
        _ => HealthFinding::failed(
            HealthCheck::Head,
            format!("the log names {seen}, and the row has another hash"),
            LakeError::Corrupt(String::new()).hint(),
        ),
    })
}

async fn projection(audit: &Table, log: &Log, projected: Option<i64>) -> Result<HealthFinding> {
    let head = ledger::head(audit, log).await?.chain.seq;
    let done = projected.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
    Ok(match head.saturating_sub(done) {
        0 => HealthFinding::ok(HealthCheck::Projection, "every row of the audit log is in the tables"),
        behind => HealthFinding::warning(
            HealthCheck::Projection,
            format!("rows of the audit log that are not in the tables yet: {behind}"),
            "the next command that reads or records projects them",
        ),
    })
}
