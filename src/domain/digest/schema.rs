//! JSON Schema of the digest.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{DIGEST_VERSION, Digest};

/// Returns the JSON Schema of the digest, draft 2020-12.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Digest>().to_value();
    let about = [
        ("$id", "https://ops-runbook.invalid/schema/digest/1"),
        ("title", "ops-runbook weekly digest"),
        ("description", "Digest of one ISO week, computed from the ledger as of its creation."),
    ];
    for (key, text) in about {
        schema[key] = text.into();
    }
    schema["properties"]["version"] = serde_json::json!({ "const": DIGEST_VERSION });
    schema
}

#[cfg(test)]
mod tests {
    use jsonschema::Validator;
    use serde_json::json;

    use super::*;
    use crate::domain::{digest::sample, time::Timestamp};

    fn validator() -> Validator {
        jsonschema::options()
            .should_validate_formats(true)
            .with_format("date-time", |text: &str| text.parse::<Timestamp>().is_ok())
            .with_format("date", |text: &str| text.parse::<chrono::NaiveDate>().is_ok())
            .build(&schema())
            .unwrap()
    }

    #[test]
    fn every_sample_digest_is_valid() {
        let validator = validator();
        for digest in [sample::eventful(), sample::empty(), sample::hostile(), sample::huge()] {
            let digest = serde_json::to_value(digest).unwrap();
            let problems: Vec<String> = validator.iter_errors(&digest).take(3).map(|error| error.to_string()).collect();
            assert_eq!(problems, [""; 0]);
        }
    }

    #[test]
    fn invalid_digests_are_rejected() {
        let validator = validator();
        let check = |pointer: &str, value: Value| {
            let mut digest = serde_json::to_value(sample::eventful()).unwrap();
            *digest.pointer_mut(pointer).unwrap() = value;
            assert!(!validator.is_valid(&digest), "{pointer}");
        };
        check("/version", json!(2));
        check("/revision", json!(null));
        check("/week/start", json!("yesterday"));
        check("/figures/counts/0/incidents", json!("many"));
        check("/figures/counts/0/dimension", json!("colour"));
        check("/figures/open/0/incident_id", json!("1042"));
        check("/figures/days/0/day", json!("2026-02-30"));
        check("/audit/intact", json!("yes"));
    }
}
