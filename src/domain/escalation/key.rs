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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_alert_is_stable_and_can_be_read_back() {
        let hash = "3fa9c1d2".to_owned() + &"0".repeat(56);
        for (ordinal, trigger) in (1..).zip(Trigger::ALL) {
            let incident_id = IncidentId::from_ordinal(ordinal);
            assert_eq!(parse_dedup_key(&dedup_key(incident_id, *trigger, &hash)), Ok((incident_id, *trigger)));
        }
        assert_eq!(
            dedup_key(IncidentId::from_ordinal(1), Trigger::MissingEvidence, &hash),
            "INC-1001/missing-evidence/3fa9c1d2"
        );
        for text in [
            "",
            "INC-1001",
            "INC-1001/missing-evidence",
            "inc-1001/missing-evidence/3fa9c1d2",
            "INC-1001/other/3fa9c1d2",
            "INC-1001/missing-evidence/3FA9C1D2",
            "INC-1001/missing-evidence/3fa9c1d",
            "INC-1001/missing-evidence/3fa9c1d2/x",
            "1001/missing-evidence/3fa9c1d2",
            "INC-01001/missing-evidence/3fa9c1d2",
            "INC-1001/missing-evidence/3fa9c1d2\u{1b}[2J",
        ] {
            let error = parse_dedup_key(text).unwrap_err();
            assert!(error.contains("INC-1001/missing-evidence/3fa9c1d2") && !error.contains('\u{1b}'), "{error}");
        }
    }
}
