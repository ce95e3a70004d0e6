//! Patterns of secrets.

use std::sync::OnceLock;

use regex::Regex;

/// A pattern of a secret. The secret is the first group of the expression, or the whole match without a group.
pub struct SecretPattern {
    pub kind: &'static str,
    /// Substrings of lower-case text. Without one of them the expression cannot match.
    pub needles: &'static [&'static str],
    pattern: &'static str,
    /// Compiled on first use, because compiling all patterns takes longer than parsing a report.
    compiled: OnceLock<Regex>,
    /// True if the text must also look like a secret, because the context is weak.
    pub doubtful: bool,
}

impl SecretPattern {
    const fn new(kind: &'static str, needles: &'static [&'static str], pattern: &'static str) -> Self {
        Self { kind, needles, pattern, compiled: OnceLock::new(), doubtful: false }
    }

    const fn doubtful(kind: &'static str, needles: &'static [&'static str], pattern: &'static str) -> Self {
        Self { kind, needles, pattern, compiled: OnceLock::new(), doubtful: true }
    }

    pub fn secret(&self) -> &Regex {
        self.compiled.get_or_init(|| Regex::new(self.pattern).expect("a valid expression"))
    }
}

/// All patterns. The first match determines the kind, so reliable patterns come first.
pub static PATTERNS: [SecretPattern; 17] = [
    SecretPattern::new(
        "private-key",
        &["private key"],
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    SecretPattern::new(
        "databricks-token",
        &["dapi", "dkea", "dosa", "dose", "dosr", "doau", "doapi", "dsat"],
        r"(?i)(?:dapi|dkea|dosa|dose|dosr|doau|doapi|dsat)[0-9a-f]{16,}(?:-[0-9]+)?",
    ),
    SecretPattern::new(
        "jwt",
        &["eyj"],
        r"eyJ[A-Za-z0-9_-]{5,}\.(?:eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+)",
    ),
    SecretPattern::new(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"],
        r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}",
    ),
    SecretPattern::new(
        "slack-token",
        &["xox", "xapp-"],
        r"(?:xoxe\.)?xox[a-z]-[A-Za-z0-9_-]{8,}|xapp-[0-9]-[A-Za-z0-9_-]{8,}",
    ),
    SecretPattern::new(
        "slack-webhook",
        &["hooks.slack"],
        r#"(?i)hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([^\s"'<>|\\]+)"#,
    ),
    SecretPattern::new(
        "teams-webhook",
        &["webhook", "logic.azure.", "powerplatform."],
        r#"(?i)(?:\.webhook\.office\.com|outlook\.office(?:365)?\.com/webhook|\.logic\.azure\.(?:com|us|cn)(?::[0-9]+)?|\.powerplatform\.(?:com|us)(?::[0-9]+)?)/([^\s"'<>|\\]+)"#,
    ),
    SecretPattern::new(
        "pagerduty-routing-key",
        &["pagerduty.com/integration"],
        r"(?i)pagerduty\.com/integration/([a-z0-9]{8,})",
    ),
    SecretPattern::new("aws-key", &["akia", "asia"], r"(?:AKIA|ASIA)[A-Z0-9]{16}"),
    SecretPattern::new(
        "aws-key",
        &["x-amz-"],
        r#"(?i)x-amz-(?:signature|security-token)["']?\s*[:=]\s*["']?([^&\s"'<>]+)"#,
    ),
    SecretPattern::new("azure-sas", &["sig="], r#"(?i)(?:[?&;]|(?-u:\b))sig=([^&\s"'<>#;]+)"#),
    SecretPattern::new(
        "url-credentials",
        &["://"],
        r#"(?i)[a-z][a-z0-9+.-]*://[^\s/:@"'?#<>]*:([^\s/"'<>]+)@|https?://([^\s/:@"'?#<>]{16,})@"#,
    ),
    SecretPattern::new("jdbc-password", &["jdbc:oracle"], r"(?i)jdbc:oracle:[a-z0-9]+:[^\s/:@]+/([^\s@]+)@"),
    SecretPattern::new("password", &["identified", "password"], r"(?i)(?:identified\s+by|password)\s+'([^']+)'"),
    SecretPattern::new("password", &["-u ", "--user "], r#"(?:^|\s)(?:-u|--user)\s+["']?[^\s:"']+:([^\s"']+)"#),
    SecretPattern::doubtful("authorization", &["bearer"], r"(?i)(?-u:\b)bearer\s+([A-Za-z0-9._~+/=-]{8,})"),
    SecretPattern::new("authorization", &["basic"], r"(?i)(?-u:\b)basic\s+([A-Za-z0-9+/]{6,}={1,2})"),
];
