//! The key of an alert: the same alert always has the same one, and no other alert has it, in whichever lake.

use crate::domain::{ids::IncidentId, problems::quote, words::Trigger};

const HASH_DIGITS: usize = 8;

/// `INC-1001/missing-evidence/3fa9c1d2`: incident, trigger, and the first 8 digits of the `entry_hash` of the row that
/// opened the incident, because every lake has an INC-1001.
pub fn dedup_key(incident_id: IncidentId, trigger: Trigger, opening_hash: &str) -> String {
    let digits: String = opening_hash.chars().take(HASH_DIGITS).collect();
    format!("{incident_id}/{trigger}/{digits}")
}

/// The incident and the trigger of an alert's key.
///
/// # Errors
/// Says how a key looks.
pub fn parse_dedup_key(key: &str) -> Result<(IncidentId, Trigger), String> {
    let parse = || {
        let mut parts = key.split('/');
        let (incident_id, trigger, digits) = (parts.next()?, parts.next()?, parts.next()?);
        let incident_id: IncidentId = incident_id.parse().ok()?;
        let trigger = *Trigger::ALL.iter().find(|known| known.as_str() == trigger)?;
        let hex = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        // one spelling: the key is what providers compare
        (hex && digits.len() == HASH_DIGITS && dedup_key(incident_id, trigger, digits) == key)
            .then_some((incident_id, trigger))
    };
    let triggers = || Trigger::ALL.iter().map(|trigger| trigger.as_str()).collect::<Vec<_>>().join(", ");
    parse().ok_or_else(|| {
        format!(
            "{} is not the key of an alert, such as INC-1001/missing-evidence/3fa9c1d2; the triggers are {}",
            quote(key),
            triggers()
        )
    })
}
