//! Pure decisions: the finding of a root-cause analysis, and the id of a request without one.

use super::{
    cause,
    entry::RootCauseFinding,
    ids::{Id, sha256_hex},
    incident::classification::Confidence,
    report::Rca,
};

/// Derives the finding from a root-cause analysis. Missing evidence forces the confidence LOW.
pub fn finding(rca: &Rca) -> RootCauseFinding {
    let missing: Vec<&str> = rca.missing_evidence.iter().map(Id::as_str).collect();
    let forced = !missing.is_empty() && rca.confidence != Confidence::Low;
    RootCauseFinding {
        cause: cause::identify(rca.code.as_ref().map(Id::as_str), &rca.root_cause),
        confidence: if missing.is_empty() { rca.confidence } else { Confidence::Low },
        confidence_forced_because: forced
            .then(|| format!("reported {}, but evidence is missing: {}", rca.confidence, missing.join(", "))),
    }
}

/// Derives an id for a request that has none. Equal content gets the same id, so a retry is recorded once.
pub fn minted_id(canonical_request: &str) -> Option<Id> {
    let digest = sha256_hex(canonical_request);
    Id::new(format!("auto-{}", digest.get(..32)?)).ok()
}
