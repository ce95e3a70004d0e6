//! The configuration file as JSON Schema: every key with its type, range, unit, default, meaning and example.
//!
//! `Policy::parse` reads the file and names the line of each problem. The tests hold this description against it: the keys of
//! every table, the range of every integer, and every default.
#![expect(dead_code, reason = "the types describe the file; no value of them is made")]

use std::collections::BTreeMap;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

use crate::domain::{
    check::Severity, compliance::rule::JobRule, escalation::trigger::Trigger, notification::channel::ChannelKind,
};

/// Marks a key without which its table is refused.
const REQUIRED: &str = "x-required";

/// Returns the JSON Schema (draft 2020-12) of a configuration file.
///
/// `x-unit` is the unit of a number. A key without `default` has none: its description says what holds when it is
/// absent.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<ConfigFile>().to_value();
    set_required(&mut schema);
    let about = [
        ("$id", "https://ops-runbook.invalid/schema/config/1"),
        ("title", "ops-runbook configuration"),
        (
            "description",
            "Thresholds, rules, channels and routes. TOML. Every key is optional unless it is marked as required.",
        ),
    ];
    for (key, text) in about {
        schema[key] = text.into();
    }
    schema
}

/// Makes `required` list the keys that are marked, in this schema and in those below it.
fn set_required(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("required");
            let mut required = Vec::new();
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                for (name, property) in properties.iter_mut() {
                    if property.as_object_mut().is_some_and(|property| property.remove(REQUIRED).is_some()) {
                        required.push(Value::from(name.as_str()));
                    }
                }
            }
            if !required.is_empty() {
                fields.insert("required".into(), required.into());
            }
            fields.values_mut().for_each(set_required);
        }
        Value::Array(items) => items.iter_mut().for_each(set_required),
        _ => {}
    }
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    recurring: RecurringTable,
    escalation: EscalationTable,
    digest: DigestTable,
    comply: ComplyTable,
    /// Destinations of notifications, by name. A name has 1 to 64 letters, digits, `-` and `_`. Without channels and
    /// routes alerts are recorded and sent to no recipient.
    channels: BTreeMap<String, ChannelTable>,
    /// Which alerts go to which channels. Every route that matches counts, and each channel counts once.
    routes: Vec<RouteTable>,
    smtp: SmtpTable,
    delivery: DeliveryTable,
    /// Time windows of maintenance: alerts that fire in a window wait for its end, and are sent then if they are still
    /// open. A window is given by `from` and `until`, or it repeats every week and is given by `start`, `minutes` and
    /// `time_zone`.
    maintenance: Vec<MaintenanceTable>,
}

/// When a root cause counts as recurring.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct RecurringTable {
    /// Number of distinct incidents with one root cause within the window.
    #[schemars(range(min = 2, max = 1_000_000), extend("default" = 3, "x-unit" = "incidents"))]
    threshold: u32,
    /// Length of the window. Both ends are included.
    #[schemars(range(min = 1, max = 8760), extend("default" = 168, "x-unit" = "hours"))]
    window_hours: u32,
}

/// When the five triggers hold, and how urgent their alerts are.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct EscalationTable {
    /// The trigger `partial-checks` holds when strictly more than this share of the checks is PARTIAL.
    #[schemars(range(min = 0, max = 99), extend("default" = 50, "x-unit" = "percent"))]
    partial_checks_percent: u32,
    /// Categories of security checks, in any case.
    #[schemars(extend("default" = ["Security"]))]
    security_categories: Vec<String>,
    /// Kinds of evidence that a tool retrieves. Missing evidence of such a kind is an access issue. A kind counts when
    /// one of these words is part of it: `sql` is part of `sql_text`.
    #[schemars(extend("default" = ["run_output", "notebook_source", "notebook", "code", "source", "sql", "query"]))]
    retrievable_evidence: Vec<String>,
    /// A security check of severity HIGH or CRITICAL failed.
    #[serde(rename = "security-finding")]
    #[schemars(extend("default" = { "severity": "CRITICAL", "cool_down_minutes": 60, "enabled": true }))]
    security_finding: TriggerTable,
    /// A root cause recurs: see `recurring`.
    #[schemars(extend("default" = { "severity": "HIGH", "cool_down_minutes": 1440, "enabled": true }))]
    recurring: TriggerTable,
    /// The confidence of the root cause is LOW.
    #[serde(rename = "missing-evidence")]
    #[schemars(extend("default" = { "severity": "MEDIUM", "cool_down_minutes": 240, "enabled": true }))]
    missing_evidence: TriggerTable,
    /// Evidence could not be retrieved.
    #[serde(rename = "access-issue")]
    #[schemars(extend("default" = { "severity": "MEDIUM", "cool_down_minutes": 240, "enabled": true }))]
    access_issue: TriggerTable,
    /// Too many checks are PARTIAL.
    #[serde(rename = "partial-checks")]
    #[schemars(extend("default" = { "severity": "LOW", "cool_down_minutes": 1440, "enabled": true }))]
    partial_checks: TriggerTable,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriggerTable {
    /// Severity of the trigger's alerts. Routes select by it.
    severity: Severity,
    /// A resolved alert that holds again within this time after its last notification is suppressed until the time has
    /// passed.
    #[schemars(range(min = 0, max = 525_600), extend("x-unit" = "minutes"))]
    cool_down_minutes: u32,
    /// A disabled trigger is evaluated and recorded, and never holds.
    enabled: bool,
}

/// The weekly digest.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct DigestTable {
    /// IANA name of the time zone of weeks, days and hours.
    #[schemars(extend("default" = "UTC", "examples" = ["Europe/Berlin"]))]
    time_zone: String,
    /// Names of the channels that receive each recorded digest and its revisions. Absent: a digest is recorded and not
    /// sent.
    #[schemars(extend("examples" = [["platform-mail"]]))]
    channels: Vec<String>,
}

/// How `compliance check` checks jobs: one table a rule, and exemptions. A security rule of severity HIGH or CRITICAL
/// fires an alert for every job that fails it.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ComplyTable {
    /// Category Reliability. Fails when a task of a scheduled or triggered job has no retry policy.
    #[schemars(extend("default" = { "enabled": true, "severity": "MEDIUM", "max_retries": 3, "interval_seconds": 120 }))]
    retries: RetriesTable,
    /// Category Cost Optimization. Fails when a task is retried without limit (`max_retries = -1`).
    #[serde(rename = "bounded-retries")]
    #[schemars(extend("default" = { "enabled": true, "severity": "LOW" }))]
    bounded_retries: RuleTable,
    /// Category Reliability. Fails when neither the job nor every task has a time-out.
    #[schemars(extend("default" = { "enabled": true, "severity": "MEDIUM", "seconds": 86400 }))]
    timeout: SecondsTable,
    /// Category Reliability. Fails when queueing is not enabled.
    #[schemars(extend("default" = { "enabled": true, "severity": "LOW" }))]
    queue: RuleTable,
    /// Category Operations. Fails when no e-mail or webhook is set for failed runs.
    #[serde(rename = "failure-notification")]
    #[schemars(extend("default" = { "enabled": true, "severity": "MEDIUM" }))]
    failure_notification: FailureNotificationTable,
    /// Category Operations. Fails when no health rule watches the duration of runs. Disabled by default: only the team
    /// knows which duration is too long.
    #[serde(rename = "duration-warning")]
    #[schemars(extend("default" = { "enabled": false, "severity": "LOW", "seconds": 14400 }))]
    duration_warning: SecondsTable,
    /// Category Operations. Fails when a notebook or file in the folder of a user runs.
    #[serde(rename = "shared-code")]
    #[schemars(extend("default" = { "enabled": true, "severity": "LOW" }))]
    shared_code: RuleTable,
    /// Category Security. Fails when the job runs as a user.
    #[serde(rename = "run-as")]
    #[schemars(extend("default" = { "enabled": true, "severity": "MEDIUM" }))]
    run_as: RunAsTable,
    /// Category Cost Optimization. Fails when a task runs on an all-purpose cluster.
    #[serde(rename = "job-compute")]
    #[schemars(extend("default" = { "enabled": true, "severity": "MEDIUM" }))]
    job_compute: RuleTable,
    /// Category Security. Fails when the runtime of a cluster is out of support.
    #[schemars(extend("default" = { "enabled": true, "severity": "MEDIUM", "release": "16.4", "days_ahead": 0 }))]
    runtime: RuntimeTable,
    /// Category Cost Optimization. Fails when a job cluster has no policy.
    #[serde(rename = "cluster-policy")]
    #[schemars(extend("default" = { "enabled": true, "severity": "LOW" }))]
    cluster_policy: ClusterPolicyTable,
    /// Jobs that are not checked. Every exemption that matches a job counts. Give `jobs`, or `tags`, or both.
    exempt: Vec<ExemptTable>,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct RetriesTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
    /// Number of retries that the fix sets.
    #[schemars(range(min = 1, max = 100), extend("x-unit" = "retries"))]
    max_retries: u32,
    /// Pause before a retry that the fix sets.
    #[schemars(range(min = 0, max = 86_400), extend("x-unit" = "seconds"))]
    interval_seconds: u32,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecondsTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
    /// Duration that the fix sets.
    #[schemars(range(min = 1, max = 604_800), extend("x-unit" = "seconds"))]
    seconds: u32,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct FailureNotificationTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
    /// Address that the fix sets. Absent: the creator of the job, if that is a user.
    #[schemars(extend("examples" = ["data-oncall@example.test"]))]
    email: String,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunAsTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
    /// Application id of the service principal that the fix sets. Absent: the fix is a sentence without settings.
    #[schemars(extend("examples" = ["00000000-0000-0000-0000-000000000000"]))]
    service_principal: String,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuntimeTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
    /// Databricks Runtime release that the fix sets.
    release: String,
    /// A runtime whose support ends within this time fails already.
    #[schemars(range(min = 0, max = 3650), extend("x-unit" = "days"))]
    days_ahead: u32,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClusterPolicyTable {
    /// A disabled rule is not checked.
    enabled: bool,
    /// Severity of a failed check.
    severity: Severity,
    /// Id of the cluster policy that the fix sets. Absent: the fix is a sentence without settings.
    #[schemars(extend("examples" = ["0123456789ABCDEF"]))]
    policy_id: String,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExemptTable {
    /// Ids of jobs.
    #[schemars(extend("examples" = [["360515640572923"]]))]
    jobs: Vec<String>,
    /// Tags of jobs: `tag` or `tag=value`.
    #[schemars(extend("examples" = [["sandbox", "team=research"]]))]
    tags: Vec<String>,
    /// Rules that do not apply to these jobs. Absent: all rules.
    #[schemars(extend("examples" = [["queue"]]))]
    rules: Vec<JobRule>,
    /// Why the jobs are exempt. It is shown wherever they are left out.
    #[schemars(extend("x-required" = true, "examples" = ["it has its own orchestration"]))]
    reason: String,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChannelTable {
    /// The service.
    #[schemars(extend("x-required" = true, "examples" = ["pagerduty"]))]
    kind: ChannelKind,
    /// The recipient: PagerDuty service, Slack channel, e-mail addresses separated by commas, or a name that people
    /// use. At most 1,000 characters. Absent: the channel receives nothing.
    #[schemars(extend("examples" = ["data-platform-oncall"]))]
    to: String,
    /// Where the secret is: `env:NAME`, `file:PATH` or `databricks:SCOPE/KEY`. PagerDuty: integration key. Slack: token
    /// of a bot, or URL of an incoming webhook. Teams: URL of a workflow. Webhook: key that signs messages; absent:
    /// messages are not signed. Not for e-mail.
    #[schemars(extend("examples" = ["env:CHANNEL_PAGER"]))]
    secret: String,
    /// PagerDuty, Slack bot: another address of the service; absent: `https://events.pagerduty.com`,
    /// `https://slack.com`. Webhook: the receiver's address, which has no default. `https://`; `http://` only to this
    /// machine.
    #[schemars(extend("examples" = ["https://events.eu.pagerduty.com"]))]
    url: String,
    /// PagerDuty: where the signing secret of its webhooks (version 3) is. Absent: `mcp --http` has no `/pagerduty` for
    /// this channel.
    #[schemars(extend("examples" = ["env:CHANNEL_PAGER_WEBHOOK"]))]
    webhook_secret: String,
    /// Largest number of messages in a minute. Absent: PagerDuty 120; Slack, Teams, e-mail 60; webhook 600.
    #[schemars(range(min = 1, max = 60_000), extend("x-unit" = "messages a minute", "examples" = [120]))]
    per_minute: u32,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct RouteTable {
    /// Triggers that match. Absent: all.
    #[schemars(extend("examples" = [["partial-checks", "recurring"]]))]
    triggers: Vec<Trigger>,
    /// Severities that match. Absent: all.
    #[schemars(extend("examples" = [["CRITICAL", "HIGH"]]))]
    severities: Vec<Severity>,
    /// Names of the channels that receive the alerts.
    #[schemars(extend("x-required" = true, "examples" = [["pager", "oncall-chat"]]))]
    channels: Vec<String>,
    /// Send only alerts that were not acknowledged for this time. Absent: at once. A channel on a route with and on a
    /// route without this key is notified twice.
    #[schemars(range(min = 1, max = 10_080), extend("x-unit" = "minutes", "examples" = [15]))]
    unacknowledged_minutes: u32,
}

/// The mail server. Absent: no e-mail is sent.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct SmtpTable {
    /// Name of the server.
    #[schemars(extend("x-required" = true, "examples" = ["smtp.example.test"]))]
    host: String,
    /// Port of the server. Absent: 587, with `encryption = "tls"` 465.
    #[schemars(range(min = 1, max = 65_535), extend("examples" = [587]))]
    port: u16,
    /// `starttls`: encryption starts on request and is required. `tls`: encrypted from the first byte. `none`: only to
    /// this machine.
    #[schemars(extend("default" = "starttls", "enum" = ["starttls", "tls", "none"]))]
    encryption: String,
    /// Address of the sender.
    #[schemars(extend("x-required" = true, "examples" = ["ops-runbook@example.test"]))]
    from: String,
    /// User of the server. Needs `password`. Absent: no login.
    #[schemars(extend("examples" = ["ops-runbook"]))]
    user: String,
    /// Where the user's password is, as for `channels.NAME.secret`.
    #[schemars(extend("examples" = ["env:SMTP_PASSWORD"]))]
    password: String,
}

/// How notifications are sent.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeliveryTable {
    /// Alerts that fired longer ago are sent in one summary.
    #[schemars(range(min = 1, max = 10_080), extend("default" = 120, "x-unit" = "minutes"))]
    stale_minutes: u32,
    /// A notification is given up after it was retried for this time.
    #[schemars(range(min = 1, max = 10_080), extend("default" = 60, "x-unit" = "minutes"))]
    give_up_minutes: u32,
    /// For this time no other process sends a notification that a process is about to send. At least twice
    /// `timeout_seconds`.
    #[schemars(range(min = 2, max = 3_600), extend("default" = 60, "x-unit" = "seconds"))]
    lease_seconds: u32,
    /// Longest time that a receiver may take to respond.
    #[schemars(range(min = 1, max = 300), extend("default" = 10, "x-unit" = "seconds"))]
    timeout_seconds: u32,
    /// More alerts than this that are due at once become one message. Slack, Teams and e-mail only.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 10, "x-unit" = "alerts"))]
    bundle_over: u32,
    /// Names of the channels that are notified when another channel could not be. Absent: all other channels.
    #[schemars(extend("examples" = [["platform-mail", "oncall-chat"]]))]
    undelivered: Vec<String>,
}

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
struct MaintenanceTable {
    /// Start of a window that happens once, with a zone.
    #[schemars(extend("examples" = ["2026-03-07T20:00:00Z"]))]
    from: String,
    /// End of a window that happens once, with a zone. After `from`.
    #[schemars(extend("examples" = ["2026-03-08T02:00:00Z"]))]
    until: String,
    /// Days on which a weekly window starts. Absent: every day.
    #[schemars(extend("examples" = [["saturday"]]))]
    days: Vec<DayName>,
    /// Time of day at which a weekly window starts, in `time_zone`.
    #[schemars(extend("examples" = ["22:30"]))]
    start: String,
    /// Length of a weekly window.
    #[schemars(range(min = 1, max = 1440), extend("x-unit" = "minutes", "examples" = [240]))]
    minutes: u32,
    /// IANA name of the time zone of a weekly window.
    #[schemars(extend("examples" = ["Europe/Berlin"]))]
    time_zone: String,
    /// Triggers whose alerts wait. Absent: all.
    #[schemars(extend("examples" = [["access-issue", "missing-evidence"]]))]
    triggers: Vec<Trigger>,
    /// Severities of alerts that wait. Absent: all.
    #[schemars(extend("examples" = [["LOW", "MEDIUM"]]))]
    severities: Vec<Severity>,
    /// Why alerts wait.
    #[schemars(extend("x-required" = true, "examples" = ["the metastore moves"]))]
    reason: String,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
enum DayName {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

#[cfg(test)]
mod tests;
