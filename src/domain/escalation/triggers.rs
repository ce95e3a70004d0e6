//! The five triggers.

use std::collections::BTreeSet;

use super::{
    TriggerContext, TriggerVerdict,
    wording::{kind, list, phrase, word},
};
use crate::domain::{
    check::{CheckStatus, Severity},
    escalation::trigger::Trigger,
    ids::Id,
    incident::classification::Confidence,
    policy::Policy,
};

const NO_ANALYSIS: &str = "no root-cause analysis yet";

fn verdict(policy: &Policy, trigger: Trigger, holds: Result<(String, String), String>) -> TriggerVerdict {
    let severity = policy.severity(trigger);
    let (holds, reason, message) = match holds {
        _ if !policy.enabled(trigger) => (false, "disabled in the configuration".to_owned(), None),
        Ok((reason, message)) => (true, reason, Some(message)),
        Err(reason) => (false, reason, None),
    };
    TriggerVerdict { trigger, holds, severity, reason, message }
}

/// Evaluates missing-evidence: holds when the effective confidence is LOW.
pub fn missing_evidence(subject: &TriggerContext, policy: &Policy) -> TriggerVerdict {
    let holds = match subject.finding.map(|finding| finding.confidence) {
        None => Err(NO_ANALYSIS.to_owned()),
        Some(Confidence::Low) => Ok(()),
        Some(confidence) => Err(format!("the confidence is {confidence}")),
    };
    let texts = || {
        let missing = missing_kinds(subject);
        let reason = match missing.len() {
            0 => "the confidence is LOW; no evidence is reported missing".to_owned(),
            _ => format!("the confidence is LOW; missing: {}", list(missing.iter().copied().map(kind), ", ")),
        };
        let known =
            subject.rca.into_iter().flat_map(|rca| &rca.evidence).map(Id::as_str).chain(missing.iter().copied());
        let total = known.collect::<BTreeSet<_>>().len();
        let evidence = match missing.len() {
            0 => "No evidence is reported missing; the evidence that was read does not carry a root cause.".to_owned(),
            count => format!(
                "Missing: {} ({count} of {total} {} of evidence).",
                list(missing.iter().copied().map(kind), ", "),
                if total == 1 { "kind" } else { "kinds" }
            ),
        };
        let message = format!(
            "Need manual investigation: the root cause for {} has confidence LOW.\n{evidence}\nAction: On-call to find the \
             root cause by hand and to record it with the evidence it rests on.",
            run_or_incident(subject)
        );
        (reason, message)
    };
    verdict(policy, Trigger::MissingEvidence, holds.map(|()| texts()))
}

/// Evaluates partial-checks: holds when more than the configured share of the checks is PARTIAL.
pub fn partial_checks(subject: &TriggerContext, policy: &Policy) -> TriggerVerdict {
    let percent = policy.escalation.partial_checks_percent;
    let total = subject.checks.len();
    let partial = || subject.checks.iter().filter(|check| check.status == CheckStatus::Partial);
    let count = partial().count();
    let holds = if total == 0 {
        Err("no checks were made".to_owned())
    } else if count as u128 * 100 > total as u128 * u128::from(percent) {
        let names = partial().map(|check| {
            let name = format!("{} / {}", word(check.category.as_str()), word(check.name.as_str()));
            check.finding.as_deref().map_or(name.clone(), |finding| format!("{name} ({})", phrase(finding)))
        });
        let message = format!(
            "Environment assessment incomplete: {count} of {total} checks are PARTIAL, more than {percent} %.\nIncomplete: \
             {}.\nAction: On-call to give the assessment of workspace {} the access and tools it lacked, and to run it again.",
            list(names, "; "),
            word(subject.workspace_id.as_str()),
        );
        Ok((format!("{count} of {total} checks are PARTIAL, more than {percent} %"), message))
    } else {
        Err(format!("{count} of {total} checks are PARTIAL, not more than {percent} %"))
    };
    verdict(policy, Trigger::PartialChecks, holds)
}

/// Evaluates security-finding: holds when a security check failed with severity HIGH or CRITICAL, or without a severity.
pub fn security_finding(subject: &TriggerContext, policy: &Policy) -> TriggerVerdict {
    let is_security = |category: &str| {
        let same = |known: &String| known.to_lowercase() == category.trim().to_lowercase();
        policy.escalation.security_categories.iter().any(same)
    };
    let security: Vec<_> = subject.checks.iter().filter(|check| is_security(check.category.as_str())).collect();
    let failed: Vec<_> = security.iter().filter(|check| check.status == CheckStatus::Fail).collect();
    let bad: Vec<_> = failed.iter().filter(|check| check.severity.is_none_or(|how| how >= Severity::High)).collect();
    let (made, count) = (security.len(), bad.len());
    let unrated = bad.iter().filter(|check| check.severity.is_none()).count();
    let holds = match (failed.iter().filter_map(|check| check.severity).max(), count) {
        _ if security.is_empty() => Err(format!(
            "no check of a security category ({}) was made",
            policy.escalation.security_categories.join(", ")
        )),
        _ if failed.is_empty() => Err(format!("0 of {made} security checks failed")),
        (Some(worst), 0) => {
            let failed = failed.len();
            Err(format!("{failed} of {made} security checks failed, at most {worst}; HIGH and CRITICAL escalate"))
        }
        _ => {
            let assumed = match unrated {
                0 => String::new(),
                unrated => format!(", {unrated} of them without a severity, taken as HIGH"),
            };
            let names = bad.iter().map(|check| {
                let severity =
                    check.severity.map_or("no severity given, taken as HIGH".to_owned(), |how| how.to_string());
                let name = format!("{} ({severity})", word(check.name.as_str()));
                check.finding.as_deref().map_or(name.clone(), |finding| format!("{name}: {}", phrase(finding)))
            });
            let reason = format!("{count} of {made} security checks failed with high severity{assumed}");
            let message = format!(
                "Security checks failed with high severity: {count} of {made} in workspace {}.\nFailed: {}.\nAction: \
                 Security owner of the workspace to fix these now, then to run the checks again.",
                word(subject.workspace_id.as_str()),
                list(names, "; "),
            );
            Ok((reason, message))
        }
    };
    verdict(policy, Trigger::SecurityFinding, holds)
}

/// Evaluates access-issue: holds when evidence is missing that a tool can retrieve, or that is missing for a given reason.
pub fn access_issue(subject: &TriggerContext, policy: &Policy) -> TriggerVerdict {
    let missing = missing_kinds(subject);
    let blocked: Vec<&str> = missing
        .iter()
        .copied()
        .filter(|kind| {
            reason_for(subject, kind).is_some() || is_retrievable(kind, &policy.escalation.retrievable_evidence)
        })
        .collect();
    let holds = if subject.rca.is_none() {
        Err(NO_ANALYSIS.to_owned())
    } else if missing.is_empty() {
        Err("no evidence is reported missing".to_owned())
    } else if blocked.is_empty() {
        let missing = list(missing.into_iter().map(kind), ", ");
        Err(format!("the missing evidence ({missing}) is not of a kind that a tool retrieves, and no reason is given"))
    } else {
        let cannot = format!("{} for {}", list(blocked.iter().copied().map(kind), ", "), run_or_incident(subject));
        let mut reasons = blocked.iter().filter_map(|missing| {
            let why = phrase(reason_for(subject, missing)?);
            Some(format!("{}: {why}", kind(missing)))
        });
        let causes = match reasons.next() {
            Some(first) => list(std::iter::once(first).chain(reasons), "; "),
            None => "Run expired, API permission, workspace access".to_owned(),
        };
        let message = format!(
            "Investigation blocked: Cannot retrieve {cannot}.\nPossible causes: {causes}.\nAction: On-call to verify MCP \
             token and workspace connectivity; check run retention settings."
        );
        Ok((format!("cannot retrieve {cannot}"), message))
    };
    verdict(policy, Trigger::AccessIssue, holds)
}

/// Returns `job run_id=…` if a run is known, else the incident id.
fn run_or_incident(subject: &TriggerContext) -> String {
    match subject.run {
        Some(run) => format!("job run_id={}", word(run.as_str())),
        None => subject.incident_id.to_string(),
    }
}

/// Returns the missing kinds of evidence: the listed ones, and those for which only a reason is given.
fn missing_kinds<'a>(subject: &TriggerContext<'a>) -> Vec<&'a str> {
    let Some(rca) = subject.rca else { return Vec::new() };
    let with_reason =
        rca.missing_reasons.iter().filter(|(_, why)| !why.trim().is_empty()).map(|(kind, _)| kind.as_str());
    let mut seen = BTreeSet::new();
    let listed = rca.missing_evidence.iter().map(Id::as_str);
    listed.chain(with_reason).filter(|kind| seen.insert(*kind)).collect()
}

fn reason_for<'a>(subject: &TriggerContext<'a>, kind: &str) -> Option<&'a str> {
    let why = subject.rca?.missing_reasons.get(kind)?;
    (!why.trim().is_empty()).then_some(why.as_str())
}

/// Returns true if the kind contains the consecutive words of one of `retrievable`: `sql` is in `sql_text`, not in
/// `mysqldump`.
fn is_retrievable(kind: &str, retrievable: &[String]) -> bool {
    let kind = words_of(kind);
    let contains = |wanted: &[String]| !wanted.is_empty() && kind.windows(wanted.len()).any(|words| words == wanted);
    retrievable.iter().any(|wanted| contains(&words_of(wanted)))
}

/// Splits a text into lower-case words at all other characters than letters and digits, and inside `camelCase`.
fn words_of(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for character in text.chars() {
        if !character.is_alphanumeric() || character.is_uppercase() && after_lower {
            words.push(String::new());
        }
        after_lower = character.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Occurrences of one cause in the whole history.
#[derive(Debug, Clone, Copy)]
pub struct Recurrence<'a> {
    pub holds: bool,
    /// Distinct occurrences inside the window.
    pub occurrences: u32,
    pub threshold: u32,
    pub window_hours: u32,
    /// Root cause as text.
    pub root_cause: &'a str,
    /// Names of the incidents, for a sentence.
    pub incidents: &'a str,
}

/// Evaluates recurring. `None`: the cause of the incident is unknown.
pub fn recurring_verdict(recurrence: Option<Recurrence>, policy: &Policy) -> TriggerVerdict {
    let holds = match recurrence {
        None => Err("the cause is unknown; unknown is never a cause".to_owned()),
        Some(Recurrence { holds: false, occurrences, threshold, window_hours, .. }) => {
            Err(format!("{occurrences} of {threshold} incidents within {window_hours} h"))
        }
        Some(Recurrence { occurrences, threshold, window_hours, root_cause, incidents, .. }) => {
            let window = match window_hours {
                24 => "24 h".to_owned(),
                hours if hours % 24 == 0 => format!("{} days", hours / 24),
                hours => format!("{hours} h"),
            };
            let message = format!(
                "Pattern alert: the same root cause in {occurrences} incidents within {window} ({threshold} or more \
                 escalate): {}.\nIncidents: {}.\nAction: SRE to fix the cause for good, not only the next incident.",
                phrase(root_cause),
                phrase(incidents),
            );
            Ok((format!("{occurrences} incidents within {window_hours} h, threshold {threshold}"), message))
        }
    };
    verdict(policy, Trigger::Recurring, holds)
}
