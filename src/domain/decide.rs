//! From a root-cause analysis to the finding that counts, and from content to an id. Pure: the same input decides the same.

use super::{
    cause,
    entry::Finding,
    ids::{Id, sha256_hex},
    report::Rca,
    words::Confidence,
};

/// Missing run output or code evidence means LOW, whatever the report says.
pub fn finding(rca: &Rca) -> Finding {
    let missing: Vec<&str> = rca.missing_evidence.iter().map(Id::as_str).collect();
    let forced = !missing.is_empty() && rca.confidence != Confidence::Low;
    Finding {
        cause: cause::identify(rca.code.as_ref().map(Id::as_str), &rca.root_cause),
        confidence: if missing.is_empty() { rca.confidence } else { Confidence::Low },
        confidence_forced_because: forced
            .then(|| format!("reported {}, but evidence is missing: {}", rca.confidence, missing.join(", "))),
    }
}

/// An id for a request that came without one: the same content gets the same id, so that a retry is still one record.
pub fn minted_id(canonical_request: &str) -> Option<Id> {
    let digest = sha256_hex(canonical_request);
    Id::new(format!("auto-{}", digest.get(..32)?)).ok()
}
