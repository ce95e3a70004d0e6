use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../bundle/ops-runbook.example.toml");

fn parsed(toml: &str) -> Policy {
    Policy::parse(toml).unwrap_or_else(|problems| panic!("{toml}\n{problems:?}"))
}

fn refused(toml: &str) -> Vec<String> {
    Policy::parse(toml).expect_err(toml).iter().map(Problem::to_string).collect()
}

fn told(policy: &Policy, trigger: Trigger, severity: Severity) -> Vec<String> {
    policy.destinations(trigger, severity).iter().map(|destination| destination.channel.to_string()).collect()
}

#[test]
fn without_configuration_the_specification_holds_and_nobody_is_told() {
    let policy = Policy::default();
    assert_eq!(parsed(""), policy);
    assert_eq!(policy.recurring, Recurring { threshold: 3, window_hours: 168 });
    let check = |trigger: Trigger, severity: Severity, minutes: i64| {
        assert_eq!((policy.severity(trigger), policy.cool_down(trigger)), (severity, TimeDelta::minutes(minutes)));
        assert!(policy.enabled(trigger) && policy.destinations(trigger, severity).is_empty());
        let gap =
            format!("nobody is told about {severity} {trigger}: no route matches; add [[routes]] to ops-runbook.toml");
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
    assert_eq!(example.gaps(), Vec::<String>::new());
    let shown = example.comply.clone();
    let comply =
        comply::Comply { email: None, service_principal: None, policy_id: None, exempt: Vec::new(), ..shown.clone() };
    assert!(shown.email.is_some() && shown.service_principal.is_some() && shown.policy_id.is_some());
    assert_eq!(shown.exempt.len(), 1);
    let without_people = Policy { channels: BTreeMap::new(), routes: Vec::new(), comply, ..example.clone() };
    assert_eq!(without_people, Policy::default());
    assert_eq!(told(&example, Trigger::SecurityFinding, Severity::Critical), ["pager", "oncall-chat"]);
    assert_eq!(told(&example, Trigger::Recurring, Severity::High), ["pager", "oncall-chat", "platform-mail"]);
    assert_eq!(told(&example, Trigger::PartialChecks, Severity::Low), ["platform-mail"]);
    for key in ["threshold", "window_hours", "cool_down_minutes", "enabled", "triggers", "severities"] {
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
            "/comply/run-as/service_principal: holds white space, line 8",
            "/comply/exempt/0/jobs/0: must be a string, but is an integer, line 10 (hint: put it in quotes)",
            "/comply/exempt/1/reason: is missing, line 12 (hint: say why: it is shown wherever these jobs are left out)",
            "/comply/exempt/1/jobs/0: \"seven\" is not the id of a job, line 13",
            "/comply/exempt/2: names no jobs and no tags, line 14 (hint: name jobs by id, or tags such as \"sandbox\" or \"team=research\")",
            "/comply/exempt/2/rules/0: \"queues\" is not one of retries, bounded-retries, timeout, queue, failure-notification, duration-warning, shared-code, run-as, job-compute, runtime, cluster-policy, line 15 (hint: did you mean `queue`?)",
            "/comply/exempt/2/reason: is empty, line 16",
        ]
    );
}

#[test]
fn every_matching_route_counts_and_a_channel_is_told_once() {
    let policy = parsed(
        "routes = [
           { channels = ['b', 'a', 'b'] },
           { triggers = ['recurring'], channels = ['c', 'a'] },
           { severities = ['LOW'], channels = ['d'] },
         ]
         channels = { a.kind = 'slack', b.kind = 'email', c.kind = 'teams', d.kind = 'webhook' }",
    );
    assert_eq!(told(&policy, Trigger::Recurring, Severity::High), ["b", "a", "c"]);
    assert_eq!(told(&policy, Trigger::Recurring, Severity::Low), ["b", "a", "c", "d"]);
    assert_eq!(told(&policy, Trigger::AccessIssue, Severity::Medium), ["b", "a"]);
}

#[test]
fn whom_nobody_would_tell_is_said_aloud() {
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
    nobody is told about MEDIUM missing-evidence: its routes lead to mute, empty only, without a recipient
    nobody is told about LOW partial-checks: no route matches; add [[routes]] to ops-runbook.toml
    nobody is told about HIGH access-issue: no route matches; add [[routes]] to ops-runbook.toml
    channel empty (slack) has no recipient; set `to` under [channels.empty]
    channel mute (pagerduty) has no recipient; set `to` under [channels.mute]
    channel unused (email) is on no route; name it in [[routes]]
    ");
    assert_eq!(policy.channels[&Id::new("empty").unwrap()].to, None);
}

#[test]
fn every_problem_is_told_at_once_with_its_line() {
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
    /channels/data oncall: is not the name of a channel, line 16 (hint: use 1 to 64 letters, digits, dashes and underscores)
    /channels/pager/kind: "pager" is not one of pagerduty, slack, email, teams, webhook, line 19 (hint: did you mean `pagerduty`?)
    /channels/pager/to: must be a string, but is an integer, line 20 (hint: put it in quotes)
    /channels/mail/kind: is missing, line 21 (hint: one of pagerduty, slack, email, teams, webhook)
    /channels/post/to: "a@example.test; b@example.test" is not an e-mail address, line 25 (hint: write addresses, separated by commas, such as data-oncall@example.test)
    /routes/0/triggers/1: "recuring" is not one of missing-evidence, partial-checks, security-finding, recurring, access-issue, line 27 (hint: did you mean `recurring`?)
    /routes/0/severities: is empty, line 28 (hint: leave it out for all)
    /routes/0/channels/0: "pagr" is not a channel of this file, line 29 (hint: did you mean `pager`?)
    /routes/0/channels/1: "zzz" is not a channel of this file, line 29 (hint: this file defines mail, pager, post)
    /routes/1/channels: is missing, line 30 (hint: name at least one channel: without, nobody is told)
    /routes/2/channels: is empty, line 33 (hint: name at least one channel: without, nobody is told)
    /routes/2/when: is not a setting, line 34 (hint: known here: triggers, severities, channels, unacknowledged_minutes)
    "#);
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
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
        assert!(kind.starts_with("dapi") || problems.contains("given by reference in the environment"), "{problems}");
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
fn the_digest_changes_with_what_the_policy_says_and_with_nothing_else() {
    let digest = Policy::default().digest();
    assert!(digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    assert_eq!(parsed("# a comment\n[recurring]\nthreshold = 3").digest(), digest);
    assert_ne!(parsed("[recurring]\nthreshold = 4").digest(), digest);
    assert_ne!(parsed("[channels.a]\nkind = 'slack'").digest(), digest);
    assert_eq!(parsed(EXAMPLE).digest(), parsed(EXAMPLE).digest());
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>(), lines in proptest::collection::vec(
        r#"\[(channels|escalation|routes|recurring)(\.[a-z-]{1,8})?\]|\[\[routes\]\]|[a-z_]{1,12} = ("[a-z#@]{0,6}"|\[\]|\["LOW"\]|-?[0-9]{1,22}|true)"#, 0..8)
    ) {
        let _ = Policy::parse(&text);
        if let Err(problems) = Policy::parse(&lines.join("\n")) {
            prop_assert!(!problems.is_empty() && problems.iter().all(|problem| problem.message.contains(", line ")));
        }
    }
}
