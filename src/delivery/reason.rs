//! What a receiver says, made fit to be recorded: one short line without secrets.

use crate::{
    domain::{delivery::Outcome, redact::Redactor},
    render::plain,
};

/// Characters of a reason.
const LONGEST: usize = 300;
/// Characters of what a receiver calls something.
const LONGEST_RECEIPT: usize = 255;
const HIDDEN: &str = "[REDACTED]";

/// `hidden` is taken out wherever it stands, everything that looks like a secret as well.
pub(super) fn reason(text: &str, hidden: &[String]) -> String {
    line(text, hidden, LONGEST)
}

/// The outcome, with nothing in it that must not be recorded.
pub(super) fn clean(outcome: Outcome, hidden: &[String]) -> Outcome {
    let reason = |text: String| reason(&text, hidden);
    let receipt =
        |text: Option<String>| text.map(|text| line(&text, hidden, LONGEST_RECEIPT)).filter(|text| !text.is_empty());
    match outcome {
        Outcome::Accepted { receipt: text, refused } => {
            Outcome::Accepted { receipt: receipt(text), refused: refused.map(reason) }
        }
        Outcome::Partly { receipt: text, waits_for, reason: why } => {
            Outcome::Partly { receipt: receipt(text), waits_for, reason: reason(why) }
        }
        Outcome::Refused { reason: text } => Outcome::Refused { reason: reason(text) },
        Outcome::NotNow { reason: text, after_s } => Outcome::NotNow { reason: reason(text), after_s },
        Outcome::Unknown { reason: text } => Outcome::Unknown { reason: reason(text) },
    }
}

fn line(text: &str, hidden: &[String], longest: usize) -> String {
    // The longest first: one may be a part of another.
    let mut hidden: Vec<&String> = hidden.iter().filter(|secret| !secret.is_empty()).collect();
    hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let text = hidden.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN));
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
        let hidden = ["R0UTINGKEY".to_owned(), "R0UTINGKEY/longer".to_owned()];
        for (text, said) in [
            ("a\n  b\tc", "a b c"),
            ("\u{1b}[2J no", "\\u{1b}[2J no"),
            ("key R0UTINGKEY is bad, R0UTINGKEY/longer too", "key [REDACTED] is bad, [REDACTED] too"),
            (
                "posted to https://hooks.slack.com/services/T0/B0/xyz",
                "posted to https://hooks.slack.com/services/[REDACTED:slack-webhook]",
            ),
        ] {
            assert_eq!(reason(text, &hidden), said);
        }
        let long = reason(&"ü".repeat(1000), &[]);
        assert_eq!((long.chars().count(), long.ends_with('…')), (300, true));
        let named = |receipt: Option<&str>, refused: &str| Outcome::Accepted {
            receipt: receipt.map(str::to_owned),
            refused: Some(refused.to_owned()),
        };
        assert_eq!(clean(named(Some(" "), "a: R0UTINGKEY"), &hidden), named(None, "a: [REDACTED]"));
    }
}
