use proptest::prelude::*;

use super::*;
use crate::domain::time::Timestamp;

const EXAMPLE: &str = include_str!("../../../bundle/ops-runbook.example.toml");

fn parsed(toml: &str) -> Policy {
    Policy::parse(toml).unwrap_or_else(|problems| panic!("{toml}\n{problems:?}"))
}

fn refused(toml: &str) -> Vec<String> {
    Policy::parse(toml).expect_err(toml).iter().map(Problem::to_string).collect()
}

fn destinations(policy: &Policy, trigger: Trigger, severity: Severity) -> Vec<String> {
    let name = |Destination { channel, unacknowledged_minutes, .. }: &Destination| match unacknowledged_minutes {
        None => channel.to_string(),
        Some(minutes) => format!("{channel} after {minutes}"),
    };
    policy.destinations(trigger, severity).iter().map(name).collect()
}

#[test]
fn without_configuration_the_defaults_apply_and_no_alert_is_routed() {
    let policy = Policy::default();
    assert_eq!(parsed(""), policy);
    assert_eq!(policy.recurring, RecurrencePolicy { threshold: 3, window_hours: 168 });
    let check = |trigger: Trigger, severity: Severity, minutes: i64| {
        assert_eq!((policy.severity(trigger), policy.cool_down(trigger)), (severity, TimeDelta::minutes(minutes)));
        assert!(policy.enabled(trigger) && policy.destinations(trigger, severity).is_empty());
        let gap = format!(
            "{severity} {trigger} alerts are not delivered: no route matches; add [[routes]] to ops-runbook.toml"
        );
        assert!(policy.gaps().contains(&gap), "{:?}", policy.gaps());
    };
    check(Trigger::SecurityFinding, Severity::Critical, 60);
    check(Trigger::Recurring, Severity::High, 1440);
    check(Trigger::MissingEvidence, Severity::Medium, 240);
    check(Trigger::AccessIssue, Severity::Medium, 240);
    check(Trigger::PartialChecks, Severity::Low, 1440);
    assert_eq!(policy.gaps().len(), 5);
}

#[test]
fn the_example_shows_the_defaults_and_leaves_no_gap() {
    let example = parsed(EXAMPLE);
    assert_eq!((example.gaps(), example.unreachable()), (vec![], vec![]));
    let shown = example.comply.clone();
    let comply = compliance::CompliancePolicy {
        email: None,
        service_principal: None,
        policy_id: None,
        exempt: Vec::new(),
        ..shown.clone()
    };
    assert!(shown.email.is_some() && shown.service_principal.is_some() && shown.policy_id.is_some());
    assert_eq!(shown.exempt.len(), 1);
    assert_eq!((example.digest.channels.len(), example.delivery.undelivered.len()), (1, 2));
    let without_people = Policy {
        channels: BTreeMap::new(),
        routes: Vec::new(),
        maintenance: Vec::new(),
        smtp: None,
        digest: DigestPolicy { channels: Vec::new(), ..example.digest },
        delivery: notification::DeliveryPolicy { undelivered: Vec::new(), ..example.delivery },
        comply,
        ..example
    };
    assert_eq!(without_people, Policy::default());
}

#[test]
fn the_example_configures_every_kind_of_channel() {
    let example = parsed(EXAMPLE);
    let all_channels = ["pager", "oncall-chat", "status-page", "pager after 15", "platform-team after 15"];
    assert_eq!(destinations(&example, Trigger::SecurityFinding, Severity::Critical), all_channels);
    let urgent = ["pager", "oncall-chat", "platform-mail"];
    assert_eq!(destinations(&example, Trigger::Recurring, Severity::High), urgent);
    assert_eq!(destinations(&example, Trigger::PartialChecks, Severity::Low), ["platform-mail"]);
    let kinds: Vec<ChannelKind> = example.channels.values().map(|channel| channel.kind).collect();
    assert!(ChannelKind::ALL.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    for channel in example.channels.values() {
        assert_eq!(
            channel.connection.per_minute,
            notification::ChannelConnection::default_rate(channel.kind),
            "{channel:?}"
        );
    }
    let smtp = example.smtp.unwrap();
    assert_eq!((smtp.port, smtp.encryption), (587, notification::Encryption::StartTls));
    let spans: Vec<bool> =
        example.maintenance.iter().map(|one| matches!(one.span, notification::WindowSchedule::Once { .. })).collect();
    assert_eq!(spans, [true, false]);
    for reference in ["\"env:", "\"file:", "\"databricks:"] {
        assert!(EXAMPLE.contains(reference), "{reference}");
    }
    for key in [
        "threshold",
        "window_hours",
        "cool_down_minutes",
        "enabled",
        "triggers",
        "severities",
        "unacknowledged_minutes",
    ] {
        assert!(EXAMPLE.contains(&format!("\n{key} = ")), "{key}");
    }
}

#[test]
fn rules_about_jobs_are_refused_with_their_lines() {
    let text = "[comply.retires]
enabled = false
[comply.retries]
seconds = 3
max_retries = 0
severity = 'SEVERE'
[comply.run-as]
service_principal = 'two words'
[[comply.exempt]]
jobs = [7]
reason = 'x'
[[comply.exempt]]
jobs = ['seven']
[[comply.exempt]]
rules = ['queues']
reason = ' '
";
    assert_eq!(
        refused(text),
        [
            "/comply/retires: is not a setting, line 1 (hint: did you mean `retries`?)",
            "/comply/retries/seconds: is not a setting, line 4 (hint: known here: enabled, severity, max_retries, interval_seconds)",
            "/comply/retries/max_retries: must be 1 to 100, but is 0, line 5",
            "/comply/retries/severity: \"SEVERE\" is not one of LOW, MEDIUM, HIGH, CRITICAL, line 6",
            "/comply/run-as/service_principal: contains white space, line 8",
            "/comply/exempt/0/jobs/0: must be a string, but is an integer, line 10 (hint: put it in quotes)",
            "/comply/exempt/1/reason: is missing, line 12 (hint: give a reason; it is shown with the exempt jobs)",
            "/comply/exempt/1/jobs/0: \"seven\" is not a job id, line 13",
            "/comply/exempt/2: names no jobs and no tags, line 14 (hint: name jobs by id, or tags such as \"sandbox\" or \"team=research\")",
            "/comply/exempt/2/rules/0: \"queues\" is not one of retries, bounded-retries, timeout, queue, failure-notification, duration-warning, shared-code, run-as, job-compute, runtime, cluster-policy, line 15 (hint: did you mean `queue`?)",
            "/comply/exempt/2/reason: is empty, line 16",
        ]
    );
}

#[test]
fn all_matching_routes_apply_and_a_channel_is_listed_once() {
    let policy = parsed(
        "routes = [
           { channels = ['b', 'a', 'b'] },
           { triggers = ['recurring'], channels = ['c', 'a'] },
           { severities = ['LOW'], channels = ['d'] },
         ]
         channels = { a.kind = 'slack', b.kind = 'email', c.kind = 'teams', d.kind = 'webhook' }",
    );
    assert_eq!(destinations(&policy, Trigger::Recurring, Severity::High), ["b", "a", "c"]);
    assert_eq!(destinations(&policy, Trigger::Recurring, Severity::Low), ["b", "a", "c", "d"]);
    assert_eq!(destinations(&policy, Trigger::AccessIssue, Severity::Medium), ["b", "a"]);
}

#[test]
fn alerts_without_a_recipient_are_reported_as_gaps() {
    let policy = parsed(
        "escalation.recurring.enabled = false
         escalation.access-issue.severity = 'HIGH'
         [channels]
         empty = { kind = 'slack', to = '  ' }
         mute = { kind = 'pagerduty' }
         unused = { kind = 'email', to = 'a@example.test, b@example.test' }
         good = { kind = 'webhook', to = 'https://alerts.example.test/in' }
         [[routes]]
         severities = ['MEDIUM']
         channels = ['mute', 'empty']
         [[routes]]
         triggers = ['security-finding']
         channels = ['empty', 'good']",
    );
    insta::assert_snapshot!(policy.gaps().join("\n"), @"
    MEDIUM missing-evidence alerts are not delivered: the routes use only channels without a recipient: mute, empty
    LOW partial-checks alerts are not delivered: no route matches; add [[routes]] to ops-runbook.toml
    HIGH access-issue alerts are not delivered: no route matches; add [[routes]] to ops-runbook.toml
    channel empty (slack) has no recipient; set `to` under [channels.empty]
    channel mute (pagerduty) has no recipient; set `to` under [channels.mute]
    channel unused (email) is on no route; name it in [[routes]]
    ");
    assert_eq!(policy.channels[&Id::new("empty").unwrap()].to, None);
}

#[test]
fn a_channel_with_two_delays_is_two_destinations() {
    let policy = parsed(
        "channels.a.kind = 'slack'
         [[routes]]
         channels = ['a']
         [[routes]]
         unacknowledged_minutes = 30
         channels = ['a', 'a']
         [[routes]]
         severities = ['HIGH']
         unacknowledged_minutes = 5
         channels = ['a']
         [[routes]]
         severities = ['HIGH']
         unacknowledged_minutes = 30
         channels = ['a']",
    );
    assert_eq!(destinations(&policy, Trigger::AccessIssue, Severity::Low), ["a", "a after 30"]);
    assert_eq!(destinations(&policy, Trigger::AccessIssue, Severity::High), ["a", "a after 30", "a after 5"]);
}

#[test]
fn an_alert_without_an_immediate_recipient_is_a_gap() {
    let channels = "channels = { good = { kind = 'slack', to = '#x' }, mute = { kind = 'slack' } }\n";
    let check = |routes: &str, expected: &[&str]| {
        let gaps = parsed(&format!("{channels}{routes}")).gaps();
        let gaps: Vec<&str> = gaps.iter().map(String::as_str).filter(|gap| gap.contains("access-issue")).collect();
        assert_eq!(gaps, expected, "{routes}");
    };
    let later = "MEDIUM access-issue alerts are not delivered at once: every route with a recipient has \
                 unacknowledged_minutes; add a route without it to [[routes]]";
    check("routes = [{ channels = ['good'] }, { unacknowledged_minutes = 5, channels = ['good'] }]", &[]);
    check("routes = [{ unacknowledged_minutes = 5, channels = ['good', 'mute'] }]", &[later]);
    // A channel without a recipient does not count.
    check("routes = [{ channels = ['mute'] }, { unacknowledged_minutes = 5, channels = ['good'] }]", &[later]);
    check(
        "routes = [{ channels = ['mute'] }, { unacknowledged_minutes = 5, channels = ['mute'] }]",
        &["MEDIUM access-issue alerts are not delivered: the routes use only channels without a recipient: mute"],
    );
}

#[test]
fn a_channel_for_digests_or_delivery_failures_only_is_no_gap() {
    let channels = "channels.a = { kind = 'slack', to = '#a' }\n";
    let unused = "channel a (slack) is on no route; name it in [[routes]]".to_owned();
    assert!(parsed(channels).gaps().contains(&unused));
    for toml in ["digest.channels = ['a']", "delivery.undelivered = ['a']"] {
        assert!(!parsed(&format!("{channels}{toml}")).gaps().contains(&unused), "{toml}");
    }
}

#[test]
fn incomplete_channels_are_listed() {
    let policy = parsed(
        "[channels]
         pager = { kind = 'pagerduty', to = 'x' }
         chat = { kind = 'slack', to = 'x' }
         team = { kind = 'teams', to = 'x' }
         hook = { kind = 'webhook', to = 'x', secret = 'env:KEY' }
         mail = { kind = 'email', to = 'x@example.test' }
         no-recipient = { kind = 'pagerduty' }",
    );
    insta::assert_snapshot!(policy.unreachable().join("\n"), @"
    channel chat (slack) is not configured completely; set its webhook URL or bot token: `secret`
    channel hook (webhook) is not configured completely; set its address: `url`
    channel mail (email) is not configured completely; set a mail server: [smtp]
    channel pager (pagerduty) is not configured completely; set its routing key: `secret`
    channel team (teams) is not configured completely; set its webhook URL: `secret`
    ");
}

#[test]
fn channel_connections_have_defaults() {
    let policy = parsed(
        "[channels]
         pager = { kind = 'pagerduty', secret = 'env:A', webhook_secret = 'file:/b c', url = 'https://events.eu.pagerduty.com' }
         chat = { kind = 'slack', secret = ' databricks:s/k ', url = 'http://127.0.0.1:9/api', per_minute = 1 }
         team = { kind = 'teams' }
         hook = { kind = 'webhook', url = 'http://localhost:8080/x', per_minute = 60000 }
         mail = { kind = 'email' }",
    );
    let shown = |name: &str| {
        let connection = &policy.channels[&Id::new(name).unwrap()].connection;
        let place = |secret: &Option<notification::SecretRef>| secret.as_ref().map_or("-".into(), ToString::to_string);
        let url = connection.url.as_deref().unwrap_or("-");
        format!("{} {url} {} {}", place(&connection.secret), place(&connection.webhook_secret), connection.per_minute)
    };
    assert_eq!(shown("pager"), "env:A https://events.eu.pagerduty.com file:/b c 120");
    assert_eq!(shown("chat"), "databricks:s/k http://127.0.0.1:9/api - 1");
    assert_eq!(shown("team"), "- - - 60");
    assert_eq!(shown("hook"), "- http://localhost:8080/x - 60000");
    assert_eq!(shown("mail"), "- - - 60");
}

#[test]
fn invalid_channel_connections_are_refused() {
    let problems = refused(
        "[channels.pager]
kind = 'pagerduty'
secret = 'CHANNEL_PAGER'
url = 'http://events.example.test'
webhook_secret = 'env:'
per_minute = 0
[channels.chat]
kind = 'slack'
secret = 'https://hooks.example.test/services/T1/B2/hunter2'
webhook_secret = 'env:X'
url = 'slack.com'
[channels.team]
kind = 'teams'
url = 'https://example.test'
[channels.mail]
kind = 'email'
secret = 'env:X'
url = 'https://example.test'
[channels.hook]
kind = 'webhook'
url = 'https://user@example.test/x'
webhook_secret = 7
per_minute = 60001
[channels.odd]
kind = 'sms'
secret = 'xoxb-hunter2'
token = 'x'
",
    );
    insta::assert_snapshot!(problems.join("\n"), @r#"
    /channels/pager/secret: must be env:NAME, file:PATH or databricks:SCOPE/KEY, line 3 (hint: secrets are given by reference, such as env:NAME, never in this file)
    /channels/pager/url: is not encrypted, line 4 (hint: use https://; http:// is for this machine only)
    /channels/pager/webhook_secret: must be env:NAME, file:PATH or databricks:SCOPE/KEY, line 5 (hint: secrets are given by reference, such as env:NAME, never in this file)
    /channels/pager/per_minute: must be 1 to 60000, but is 0, line 6
    /channels/chat/secret: must be env:NAME, file:PATH or databricks:SCOPE/KEY, line 9 (hint: secrets are given by reference, such as env:NAME, never in this file)
    /channels/chat/webhook_secret: is not a setting of slack channels, line 10 (hint: leave it out)
    /channels/chat/url: "slack.com" is not a URL, line 11 (hint: write it such as https://hooks.example.test/ops)
    /channels/team/url: is not a setting of teams channels, line 14 (hint: the URL of the workflow is the secret)
    /channels/mail/secret: is not a setting of email channels, line 17 (hint: mail is sent by the server under [smtp])
    /channels/mail/url: is not a setting of email channels, line 18 (hint: mail is sent by the server under [smtp])
    /channels/hook/url: contains a user name or a password, line 21 (hint: secrets are given by reference, such as env:NAME, never in this file)
    /channels/hook/webhook_secret: must be a string, but is an integer, line 22 (hint: put it in quotes)
    /channels/hook/webhook_secret: is not a setting of webhook channels, line 22 (hint: leave it out)
    /channels/hook/per_minute: must be 1 to 60000, but is 60001, line 23
    /channels/odd/kind: "sms" is not one of pagerduty, slack, email, teams, webhook, line 25
    /channels/odd/secret: must be env:NAME, file:PATH or databricks:SCOPE/KEY, line 26 (hint: secrets are given by reference, such as env:NAME, never in this file)
    /channels/odd/token: is not a setting, line 27 (hint: secrets are given by reference, such as env:NAME, never in this file)
    "#);
    assert!(!problems.join("\n").contains("hunter2"));
}

#[test]
fn delivery_settings_have_defaults_and_bounds() {
    assert_eq!(parsed("[delivery]").delivery, notification::DeliveryPolicy::default());
    let policy = parsed(
        "channels.a.kind = 'slack'
         [delivery]
         stale_minutes = 10080
         give_up_minutes = 1
         lease_seconds = 600
         timeout_seconds = 300
         bundle_over = 1000000
         undelivered = ['a']
         [digest]
         channels = ['a']",
    );
    let expected = notification::DeliveryPolicy {
        stale_minutes: 10_080,
        give_up_minutes: 1,
        lease_seconds: 600,
        timeout_seconds: 300,
        bundle_over: 1_000_000,
        undelivered: vec![Id::new("a").unwrap()],
    };
    assert_eq!((policy.delivery, policy.digest.channels), (expected, vec![Id::new("a").unwrap()]));
    let problems = refused(
        "[channels]
chat.kind = 'slack'
[delivery]
stale_minutes = 0
give_up_minutes = 10081
timeout_seconds = 40
bundle_over = 0
undelivered = ['chatt', 'chat']
stale = 1
[digest]
channels = []
[[routes]]
channels = ['chat']
unacknowledged_minutes = 0
",
    );
    insta::assert_snapshot!(problems.join("\n"), @r#"
    /delivery/stale_minutes: must be 1 to 10080, but is 0, line 4
    /delivery/give_up_minutes: must be 1 to 10080, but is 10081, line 5
    /delivery/lease_seconds: must be at least twice as long as timeout_seconds, 40, but is 60, line 6 (hint: a shorter lease lets another process send the same notification)
    /delivery/bundle_over: must be 1 to 1000000, but is 0, line 7
    /delivery/undelivered/0: "chatt" is not a channel in this file, line 8 (hint: did you mean `chat`?)
    /delivery/stale: is not a setting, line 9 (hint: did you mean `stale_minutes`?)
    /digest/channels: is empty, line 11 (hint: leave it out to send no digest)
    /routes/0/unacknowledged_minutes: must be 1 to 10080, but is 0, line 14
    "#);
    insta::assert_snapshot!(refused("[delivery]\ntimeout_seconds = 20\nlease_seconds = 39\n").join("\n"), @"
    /delivery/lease_seconds: must be at least twice as long as timeout_seconds, 20, but is 39, line 3 (hint: a shorter lease lets another process send the same notification)
    ");
    insta::assert_snapshot!(refused("digest.channels = ['a']\ndelivery.lease_seconds = 1").join("\n"), @r#"
    /digest/channels/0: "a" is not a channel in this file, line 1 (hint: this file defines no channel; add [channels.NAME])
    /delivery/lease_seconds: must be 2 to 3600, but is 1, line 2
    "#);
}

#[test]
fn a_mail_server_has_a_default_port_and_encryption() {
    let smtp = |toml: &str| {
        let smtp = parsed(&format!("[smtp]\nfrom = 'a@example.test'\n{toml}")).smtp.unwrap();
        format!("{} {} {}", smtp.host, smtp.port, smtp.encryption.as_str())
    };
    assert_eq!(smtp("host = 'smtp.example.test'"), "smtp.example.test 587 starttls");
    assert_eq!(smtp("host = 'smtp.example.test'\nencryption = 'tls'"), "smtp.example.test 465 tls");
    assert_eq!(smtp("host = '10.1.2.3'\nport = 25"), "10.1.2.3 25 starttls");
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(smtp(&format!("host = '{host}'\nport = 1025\nencryption = 'none'")), format!("{host} 1025 none"));
    }
    assert_eq!(parsed("").smtp, None);
}

#[test]
fn an_invalid_mail_server_is_refused() {
    let check = |toml: &str, expected: &[&str]| assert_eq!(refused(&format!("[smtp]\n{toml}")), expected, "{toml}");
    check(
        "",
        &[
            "/smtp/host: is missing, line 1 (hint: name the mail server, such as smtp.example.test)",
            "/smtp/from: is missing, line 1 (hint: give the sender, such as ops-runbook@example.test)",
        ],
    );
    // All problems are reported at once.
    check(
        "host = 'smtp.example.test:25'\nport = 65536\nencryption = 'ssl'\nfrom = 'ops'\nuser = 'x'\nfor = 1",
        &[
            "/smtp/host: \"smtp.example.test:25\" is not a host name, line 2 (hint: set the port with the key port)",
            "/smtp/port: must be 1 to 65535, but is 65536, line 3",
            "/smtp/encryption: \"ssl\" is not one of starttls, tls, none, line 4",
            "/smtp/from: \"ops\" is not an e-mail address, line 5 (hint: write it such as ops-runbook@example.test)",
            "/smtp/user: needs both user and password, line 6 (hint: give both, or neither)",
            "/smtp/for: is not a setting, line 7 (hint: known here: host, port, encryption, from, user, password)",
        ],
    );
    for host in ["smtp.example.test", "10.0.0.1", "localhost.example.test"] {
        check(
            &format!("host = '{host}'\nencryption = 'none'\nfrom = 'a@example.test'"),
            &[
                "/smtp/encryption: none is allowed for a mail server on this machine only, line 3 (hint: use starttls or tls)",
            ],
        );
    }
    check(
        "host = 'x:hunter2@smtp.example.test'\nfrom = 'a@example.test'\nuser = ' '\npassword = 'hunter2'",
        &[
            "/smtp/host: contains more than a host name, line 2 (hint: secrets are given by reference, such as env:NAME, never in this file)",
            "/smtp/user: is empty, or more than one line, line 4 (hint: leave it out if the server needs no login)",
            "/smtp/password: must be env:NAME, file:PATH or databricks:SCOPE/KEY, line 5 (hint: secrets are given by reference, such as env:NAME, never in this file)",
        ],
    );
}

#[test]
fn maintenance_is_once_or_every_week() {
    let policy = parsed(
        "[[maintenance]]
         from = '2026-03-07T21:00:00+01:00'
         until = '2026-03-08T02:00:00Z'
         reason = 'a move'
         [[maintenance]]
         start = '22:30'
         minutes = 1440
         time_zone = 'Europe/Berlin'
         triggers = ['recurring']
         severities = ['LOW', 'HIGH']
         reason = ' upgrades '",
    );
    let [once, weekly] = &policy.maintenance[..] else { panic!("{policy:?}") };
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (from, until) = (at("2026-03-07T20:00:00Z"), at("2026-03-08T02:00:00Z"));
    assert_eq!(once.span, notification::WindowSchedule::Once { from, until });
    assert_eq!((once.triggers.len(), once.severities.len()), (Trigger::ALL.len(), Severity::ALL.len()));
    let holds = |severity, now| once.holds(Trigger::Recurring, severity, now);
    assert_eq!((holds(Severity::Critical, from), holds(Severity::Critical, until)), (Some(until), None));
    assert!(matches!(&weekly.span, notification::WindowSchedule::Weekly { days, .. } if days.len() == 7));
    assert_eq!((&weekly.triggers[..], weekly.reason.as_str()), (&[Trigger::Recurring][..], "upgrades"));
    assert_eq!(weekly.holds(Trigger::Recurring, Severity::Medium, from), None);
    assert!(weekly.holds(Trigger::Recurring, Severity::Low, from).is_some());
    assert_eq!(weekly.holds(Trigger::AccessIssue, Severity::Low, from), None);
}

#[test]
fn invalid_maintenance_windows_are_refused() {
    let problems = refused(
        "[[maintenance]]
from = '2026-03-07T20:00:00Z'
until = '2026-03-08T02:00:00Z'
start = '22:30'
reason = 'two ways'
[[maintenance]]
reason = 'no way'
[[maintenance]]
from = '2026-03-08T02:00:00Z'
until = '2026-03-08T02:00:00Z'
reason = 'no time'
[[maintenance]]
from = '2026-03-08'
until = 2026-03-09T00:00:00Z
[[maintenance]]
from = '2026-03-08T00:00:00Z'
reason = ''
[[maintenance]]
days = ['Monday', 'someday']
start = '25:00'
minutes = 1441
time_zone = 'Berlin'
reason = 'no week'
[[maintenance]]
days = []
triggers = ['deploy']
until_when = 'x'
reason = 'much is missing'
",
    );
    insta::assert_snapshot!(problems.join("\n"), @r#"
    /maintenance/0: has no schedule, or two, line 1 (hint: give from and until, or days, start, minutes and time_zone)
    /maintenance/1: has no schedule, or two, line 6 (hint: give from and until, or days, start, minutes and time_zone)
    /maintenance/2/until: is not after from, line 10 (hint: set until to a time after from)
    /maintenance/3/reason: is missing, line 12 (hint: give a reason; it is shown with the alert)
    /maintenance/3/from: "2026-03-08" is not an RFC 3339 time with a zone, such as 2026-02-11T12:36:00Z, line 13
    /maintenance/3/until: must be a string, but is a datetime, line 14 (hint: put it in quotes)
    /maintenance/4/until: is missing, line 15 (hint: a time with a zone, such as "2026-02-11T12:36:00Z")
    /maintenance/4/reason: is empty, or more than one line, line 17 (hint: give a reason; it is shown with the alert)
    /maintenance/5/days/0: "Monday" is not one of monday, tuesday, wednesday, thursday, friday, saturday, sunday, line 19 (hint: did you mean `monday`?)
    /maintenance/5/days/1: "someday" is not one of monday, tuesday, wednesday, thursday, friday, saturday, sunday, line 19
    /maintenance/5/start: "25:00" is not a time of day, line 20 (hint: write it such as 22:30)
    /maintenance/5/minutes: must be 1 to 1440, but is 1441, line 21
    /maintenance/5/time_zone: "Berlin" is not a time zone, line 22 (hint: use a name of the IANA database, such as Europe/Berlin or UTC)
    /maintenance/6/start: is missing, line 24 (hint: give the time of day, such as "22:30")
    /maintenance/6/minutes: is missing, line 24 (hint: give the duration in minutes)
    /maintenance/6/time_zone: is missing, line 24 (hint: a name of the IANA database, such as Europe/Berlin or UTC)
    /maintenance/6/days: is empty, line 25 (hint: leave it out for all)
    /maintenance/6/triggers/0: "deploy" is not one of missing-evidence, partial-checks, security-finding, recurring, access-issue, line 26
    /maintenance/6/until_when: is not a setting, line 27 (hint: did you mean `until`?)
    "#);
    insta::assert_snapshot!(refused("maintenance = { reason = 'x' }").join("\n"), @"
    /maintenance: must be an array of tables, but is a table, line 1 (hint: write each maintenance as [[maintenance]])
    ");
}

#[test]
fn all_problems_are_reported_at_once_with_their_lines() {
    let problems = refused(
        "recuring = 1
[recurring]
threshold = 1
window_hours = '168'
[escalation]
partial_checks_percent = 100
security_categories = 'Security'
retrievable_evidence = []
[escalation.mising-evidence]
enabled = true
[escalation.access-issue]
severity = 'high'
cool_down_minutes = -5
cooldown = 3
enabled = 'yes'
[channels.'data oncall']
kind = 'slack'
[channels.pager]
kind = 'pager'
to = 7
[channels.mail]
to = 'oncall at example.test'
[channels.post]
kind = 'email'
to = 'a@example.test; b@example.test'
[[routes]]
triggers = ['recurring', 'recuring']
severities = []
channels = ['pagr', 'zzz']
[[routes]]
severities = ['LOW']
[[routes]]
channels = []
when = 2026-01-01",
    );
    insta::assert_snapshot!(problems.join("\n"), @r#"
    /recuring: is not a setting, line 1 (hint: did you mean `recurring`?)
    /recurring/threshold: must be 2 to 1000000, but is 1, line 3
    /recurring/window_hours: must be an integer, but is the string "168", line 4 (hint: write it without quotes)
    /escalation/partial_checks_percent: must be 0 to 99, but is 100, line 6
    /escalation/security_categories: must be an array, but is the string "Security", line 7 (hint: put it in brackets)
    /escalation/retrievable_evidence: is empty, line 8 (hint: leave it out for the default)
    /escalation/mising-evidence: is not a setting, line 9 (hint: did you mean `missing-evidence`?)
    /escalation/access-issue/severity: "high" is not one of LOW, MEDIUM, HIGH, CRITICAL, line 12 (hint: did you mean `HIGH`?)
    /escalation/access-issue/cool_down_minutes: must be 0 to 525600, but is -5, line 13
    /escalation/access-issue/cooldown: is not a setting, line 14 (hint: did you mean `cool_down_minutes`?)
    /escalation/access-issue/enabled: must be a boolean, but is the string "yes", line 15 (hint: write it without quotes)
    /channels/data oncall: is not a valid channel name, line 16 (hint: use 1 to 64 letters, digits, dashes and underscores)
    /channels/pager/kind: "pager" is not one of pagerduty, slack, email, teams, webhook, line 19 (hint: did you mean `pagerduty`?)
    /channels/pager/to: must be a string, but is an integer, line 20 (hint: put it in quotes)
    /channels/mail/kind: is missing, line 21 (hint: one of pagerduty, slack, email, teams, webhook)
    /channels/post/to: "a@example.test; b@example.test" is not an e-mail address, line 25 (hint: write addresses, separated by commas, such as data-oncall@example.test)
    /routes/0/triggers/1: "recuring" is not one of missing-evidence, partial-checks, security-finding, recurring, access-issue, line 27 (hint: did you mean `recurring`?)
    /routes/0/severities: is empty, line 28 (hint: leave it out for all)
    /routes/0/channels/0: "pagr" is not a channel in this file, line 29 (hint: did you mean `pager`?)
    /routes/0/channels/1: "zzz" is not a channel in this file, line 29 (hint: this file defines mail, pager, post)
    /routes/1/channels: is missing, line 30 (hint: name at least one channel)
    /routes/2/channels: is empty, line 33 (hint: name at least one channel)
    /routes/2/when: is not a setting, line 34 (hint: known here: triggers, severities, channels, unacknowledged_minutes)
    "#);
}

#[test]
fn invalid_toml_is_refused_with_its_line() {
    insta::assert_snapshot!(refused("[recurring]\nthreshold = \n[recurring]\nwindow_hours 3\n").join("\n"), @"
    the document: is not TOML: string values must be quoted, expected literal string, line 2
    the document: is not TOML: duplicate key, line 3
    the document: is not TOML: key with no value, expected `=`, line 4
    ");
    insta::assert_snapshot!(refused("channels = 3\nroutes = 'x'\nescalation = { recurring = 5 }").join("\n"), @r#"
    /channels: must be a table, but is an integer, line 1
    /routes: must be an array of tables, but is the string "x", line 2 (hint: write each route as [[routes]])
    /escalation/recurring: must be a table, but is an integer, line 3
    "#);
    insta::assert_snapshot!(refused("routes = [3]\n[channels]\nx = 'slack'").join("\n"), @r#"
    /routes/0: must be a table, but is an integer, line 1
    /channels/x: must be a table, but is the string "slack", line 3
    "#);
}

#[test]
fn a_secret_is_refused_and_never_repeated() {
    let secrets = [
        ("slack", "to", "https://hooks.slack.com/services/T00000000/B00000000/abcdefgh", "abcdefgh"),
        ("teams", "to", "https://acme.webhook.office.com/webhookb2/abcdef/IncomingWebhook/c", "abcdef"),
        ("pagerduty", "to", "R0123456789abcdef0123456789abcde", "R0123"),
        ("pagerduty", "routing_key", "R0123456789abcdef0123456789abcde", "R0123"),
        ("slack", "token", "hunter", "hunter"),
        ("webhook", "url", "https://svc:hunter2@example.test/x", "hunter2"),
        ("dapi0123456789abcdef0123456789abcdef", "to", "x", "dapi0123"),
    ];
    for (kind, key, value, secret) in secrets {
        let problems = refused(&format!("[channels.x]\nkind = '{kind}'\n{key} = '{value}'")).join("\n");
        assert!(!problems.contains(secret), "{problems}");
        assert!(kind.starts_with("dapi") || problems.contains("secrets are given by reference"), "{problems}");
    }
    for toml in [
        "channels.dapi0123456789abcdef0123456789abcdef.kind = 'slack'",
        "dapi0123456789abcdef0123456789abcdef = 1",
        "[[routes]]\nchannels = ['dapi0123456789abcdef0123456789abcdef']",
        "routes = 'dapi0123456789abcdef0123456789abcdef'",
        "[recurring]\ndapi0123456789abcdef0123456789abcdef",
        "[[routes]]\nchannels = ['R0123456789abcdef0123456789abcde']",
        "channels = 'R0123456789abcdef0123456789abcde'",
        "[channels.a]\nkind = 'R0123456789abcdef0123456789abcde'",
    ] {
        let problems = refused(toml).join("\n");
        assert!(!problems.contains("dapi0123") && !problems.contains("R0123"), "{problems}");
    }
}

#[test]
fn the_fingerprint_changes_only_with_the_settings() {
    let fingerprint = Policy::default().fingerprint();
    assert!(fingerprint.len() == 16 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()), "{fingerprint}");
    assert_eq!(parsed("# a comment\n[recurring]\nthreshold = 3").fingerprint(), fingerprint);
    assert_ne!(parsed("[recurring]\nthreshold = 4").fingerprint(), fingerprint);
    assert_ne!(parsed("[channels.a]\nkind = 'slack'").fingerprint(), fingerprint);
    assert_eq!(parsed(EXAMPLE).fingerprint(), parsed(EXAMPLE).fingerprint());
}

proptest! {
    #[test]
    fn any_text_is_parsed_without_a_panic(text in any::<String>(), lines in proptest::collection::vec(
        r#"\[(channels|escalation|routes|recurring|smtp|delivery|maintenance)(\.[a-z-]{1,8})?\]|\[\[(routes|maintenance)\]\]|[a-z_]{1,12} = ("[a-z#@]{0,6}"|\[\]|\["LOW"\]|-?[0-9]{1,22}|true)"#, 0..8)
    ) {
        let _ = Policy::parse(&text);
        if let Err(problems) = Policy::parse(&lines.join("\n")) {
            prop_assert!(!problems.is_empty() && problems.iter().all(|problem| problem.message.contains(", line ")));
        }
    }
}
