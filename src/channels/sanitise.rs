//! Reduces a receiver's response to one short line without secrets, so that it can be recorded.

use crate::{
    domain::{notification::DeliveryOutcome, redact::Redactor},
    render::plain,
};

/// Characters of a reason.
const LONGEST: usize = 300;
/// Characters of a receipt.
const LONGEST_RECEIPT: usize = 255;
const REDACTED: &str = "[REDACTED]";

/// Replaces every text of `secrets` and everything that looks like a secret.
pub(super) fn text(text: &str, secrets: &[String]) -> String {
    line(text, secrets, LONGEST)
}

/// Returns the outcome without secrets.
pub(super) fn outcome(outcome: DeliveryOutcome, secrets: &[String]) -> DeliveryOutcome {
    let reason = |reason: String| text(&reason, secrets);
    let receipt =
        |text: Option<String>| text.map(|text| line(&text, secrets, LONGEST_RECEIPT)).filter(|text| !text.is_empty());
    match outcome {
        DeliveryOutcome::Accepted { receipt: text, refused } => {
            DeliveryOutcome::Accepted { receipt: receipt(text), refused: refused.map(reason) }
        }
        DeliveryOutcome::Partly { receipt: text, waits_for, reason: why } => {
            DeliveryOutcome::Partly { receipt: receipt(text), waits_for, reason: reason(why) }
        }
        DeliveryOutcome::Refused { reason: text } => DeliveryOutcome::Refused { reason: reason(text) },
        DeliveryOutcome::RetryLater { reason: text, after_s } => {
            DeliveryOutcome::RetryLater { reason: reason(text), after_s }
        }
        DeliveryOutcome::Unknown { reason: text } => DeliveryOutcome::Unknown { reason: reason(text) },
    }
}

fn line(text: &str, secrets: &[String], longest: usize) -> String {
    // The longest first: one secret may be a part of another.
    let mut secrets: Vec<&String> = secrets.iter().filter(|secret| !secret.is_empty()).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let text = secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), REDACTED));
    let text = Redactor::default().text(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    let text = plain::line(&text);
    match text.char_indices().nth(longest) {
        None => text.into_owned(),
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line_without_secrets() {
        let secrets = ["R0UTINGKEY".to_owned(), "R0UTINGKEY/longer".to_owned()];
        for (response, expected) in [
            ("a\n  b\tc", "a b c"),
            ("\u{1b}[2J no", "\\u{1b}[2J no"),
            ("key R0UTINGKEY is bad, R0UTINGKEY/longer too", "key [REDACTED] is bad, [REDACTED] too"),
            (
                "posted to https://hooks.slack.com/services/T0/B0/xyz",
                "posted to https://hooks.slack.com/services/[REDACTED:slack-webhook]",
            ),
        ] {
            assert_eq!(text(response, &secrets), expected);
        }
        let long = text(&"ü".repeat(1000), &[]);
        assert_eq!((long.chars().count(), long.ends_with('…')), (300, true));
        let named = |receipt: Option<&str>, refused: &str| DeliveryOutcome::Accepted {
            receipt: receipt.map(str::to_owned),
            refused: Some(refused.to_owned()),
        };
        assert_eq!(outcome(named(Some(" "), "a: R0UTINGKEY"), &secrets), named(None, "a: [REDACTED]"));
    }
}
