//! The deduplication key of an alert: stable, and unique over all lakes.

use crate::domain::{escalation::trigger::Trigger, ids::IncidentId};

const DIGITS: usize = 8;

/// Returns a key such as `INC-1001/missing-evidence/3fa9c1d2`: incident, trigger, and the first 8 digits of the look-up key
/// of the opening request, because every lake has an INC-1001. [`AlertRef`](crate::domain::ids::AlertRef) parses it.
pub fn dedup_key(incident_id: IncidentId, trigger: Trigger, opening_key: &str) -> String {
    let digits: String = opening_key.chars().take(DIGITS).collect();
    format!("{incident_id}/{trigger}/{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::AlertRef;

    #[test]
    fn the_key_of_an_alert_is_stable_and_can_be_parsed() {
        let hash = "3fa9c1d2".to_owned() + &"0".repeat(8);
        for (ordinal, trigger) in (1..).zip(Trigger::ALL) {
            let incident_id = IncidentId::from_ordinal(ordinal);
            let read: AlertRef = dedup_key(incident_id, *trigger, &hash).parse().unwrap();
            assert_eq!(read, AlertRef { incident_id, trigger: *trigger });
        }
        let first = IncidentId::from_ordinal(1);
        assert_eq!(dedup_key(first, Trigger::MissingEvidence, &hash), "INC-1001/missing-evidence/3fa9c1d2");
        for text in ["", "INC-1001", "INC-1001/other/3fa9c1d2", "INC-/recurring", "INC-1001/\u{1b}[2J"] {
            let error = text.parse::<AlertRef>().unwrap_err();
            assert!(error.contains("INC-1042/missing-evidence") && !error.contains('\u{1b}'), "{error}");
        }
    }
}
