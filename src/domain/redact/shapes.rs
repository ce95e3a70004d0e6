//! Secrets that are known by their shape.

use std::sync::OnceLock;

use regex::Regex;

/// The secret is the first group of the expression, or the whole match where it has none.
pub struct Shape {
    pub kind: &'static str,
    /// On lower-case text: without one of them the expression cannot match.
    pub needles: &'static [&'static str],
    pattern: &'static str,
    /// Compiled when first needed: all of them together would take longer than reading a report.
    compiled: OnceLock<Regex>,
    /// The context is weak: the text must look like a secret as well.
    pub doubtful: bool,
}

impl Shape {
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

/// The first that claims a stretch of text names it, so the sure ones come first.
pub static SHAPES: [Shape; 17] = [
    Shape::new(
        "private-key",
        &["private key"],
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    Shape::new(
        "databricks-token",
        &["dapi", "dkea", "dosa", "dose", "dosr", "doau", "doapi", "dsat"],
        r"(?i)(?:dapi|dkea|dosa|dose|dosr|doau|doapi|dsat)[0-9a-f]{16,}(?:-[0-9]+)?",
    ),
    Shape::new(
        "jwt",
        &["eyj"],
        r"eyJ[A-Za-z0-9_-]{5,}\.(?:eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+)",
    ),
    Shape::new(
        "github-token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"],
        r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}",
    ),
    Shape::new("slack-token", &["xox", "xapp-"], r"(?:xoxe\.)?xox[a-z]-[A-Za-z0-9_-]{8,}|xapp-[0-9]-[A-Za-z0-9_-]{8,}"),
    Shape::new(
        "slack-webhook",
        &["hooks.slack"],
        r#"(?i)hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([^\s"'<>|\\]+)"#,
    ),
    Shape::new(
        "teams-webhook",
        &["webhook", "logic.azure.", "powerplatform."],
        r#"(?i)(?:\.webhook\.office\.com|outlook\.office(?:365)?\.com/webhook|\.logic\.azure\.(?:com|us|cn)(?::[0-9]+)?|\.powerplatform\.(?:com|us)(?::[0-9]+)?)/([^\s"'<>|\\]+)"#,
    ),
    Shape::new(
        "pagerduty-routing-key",
        &["pagerduty.com/integration"],
        r"(?i)pagerduty\.com/integration/([a-z0-9]{8,})",
    ),
    Shape::new("aws-key", &["akia", "asia"], r"(?:AKIA|ASIA)[A-Z0-9]{16}"),
    Shape::new("aws-key", &["x-amz-"], r#"(?i)x-amz-(?:signature|security-token)["']?\s*[:=]\s*["']?([^&\s"'<>]+)"#),
    Shape::new("azure-sas", &["sig="], r#"(?i)(?:[?&;]|(?-u:\b))sig=([^&\s"'<>#;]+)"#),
    Shape::new(
        "url-credentials",
        &["://"],
        r#"(?i)[a-z][a-z0-9+.-]*://[^\s/:@"'?#<>]*:([^\s/"'<>]+)@|https?://([^\s/:@"'?#<>]{16,})@"#,
    ),
    Shape::new("jdbc-password", &["jdbc:oracle"], r"(?i)jdbc:oracle:[a-z0-9]+:[^\s/:@]+/([^\s@]+)@"),
    Shape::new("password", &["identified", "password"], r"(?i)(?:identified\s+by|password)\s+'([^']+)'"),
    Shape::new("password", &["-u ", "--user "], r#"(?:^|\s)(?:-u|--user)\s+["']?[^\s:"']+:([^\s"']+)"#),
    Shape::doubtful("authorization", &["bearer"], r"(?i)(?-u:\b)bearer\s+([A-Za-z0-9._~+/=-]{8,})"),
    Shape::new("authorization", &["basic"], r"(?i)(?-u:\b)basic\s+([A-Za-z0-9+/]{6,}={1,2})"),
];
