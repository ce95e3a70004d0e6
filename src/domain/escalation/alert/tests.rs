use proptest::{collection::vec, prelude::*};

use super::*;

const KEY: &str = "INC-1001/missing-evidence/3fa9c1d2";

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_micros(1_770_000_000_000_000 + minute * 60_000_000).unwrap()
}

fn actor() -> Id {
    Id::new("user:sre@example.test").unwrap()
}

fn missing_evidence(holds: bool, severity: Severity) -> Verdict {
    let message = holds.then(|| "Need manual investigation".to_owned());
    Verdict { trigger: Trigger::MissingEvidence, holds, severity, reason: "a reason".into(), message }
}

fn routed() -> Policy {
    Policy::parse("channels.chat = { kind = 'slack', to = '#oncall' }\nroutes = [{ channels = ['chat'] }]").unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Holds,
    HoldsAs(Severity),
    Over,
    Acknowledge,
    Resolve,
    /// Until so many minutes from the start.
    Suppress(i64),
}

/// What becomes of an act; a refusal changes nothing.
fn act(alert: Option<&Alert>, act: Act, policy: &Policy, at: Timestamp) -> Result<AlertChange, String> {
    let severity = policy.severity(Trigger::MissingEvidence);
    let none = || "there is no alert".to_owned();
    match act {
        Act::Holds => Ok(step(alert, &missing_evidence(true, severity), KEY, policy, at)),
        Act::HoldsAs(severity) => Ok(step(alert, &missing_evidence(true, severity), KEY, policy, at)),
        Act::Over => Ok(step(alert, &missing_evidence(false, severity), KEY, policy, at)),
        Act::Acknowledge => acknowledge(alert.ok_or_else(none)?, &actor()),
        Act::Resolve => resolve(alert.ok_or_else(none)?, &actor(), at),
        Act::Suppress(until) => suppress(alert, KEY, &actor(), minute(until), at),
    }
}

#[test]
fn an_alert_lives_as_the_book_says() {
    fn check(acts: &[(i64, Act)], expected: &str) {
        let (policy, mut alert, mut story) = (routed(), None, Vec::new());
        for (at, one) in acts {
            match act(alert.as_ref(), *one, &policy, minute(*at)) {
                Ok(change) => {
                    let status = change.status.map_or("-", AlertStatus::as_str);
                    story.push(format!("{}/{status}", change.event));
                    alert = Alert::after(alert, &change, minute(*at));
                }
                Err(_) => story.push("refused".into()),
            }
        }
        assert_eq!(story.join(" "), expected, "{acts:?}");
    }
    use Act::{Acknowledge, Holds, HoldsAs, Over, Resolve, Suppress};
    check(&[(0, Over), (1, Over)], "not-fired/- not-fired/-");
    check(&[(0, Holds), (1, Holds), (9999, Holds)], "fired/open repeated/open repeated/open");
    check(&[(0, Holds), (1, Acknowledge), (2, Holds)], "fired/open acknowledged/acknowledged repeated/acknowledged");
    check(&[(0, Holds), (1, Over), (2, Over)], "fired/open cleared/resolved not-fired/resolved");
    check(&[(0, Holds), (1, Acknowledge), (2, Over)], "fired/open acknowledged/acknowledged cleared/resolved");
    // cool-down: 240 minutes after people were told
    check(
        &[(0, Holds), (1, Over), (239, Holds), (240, Holds)],
        "fired/open cleared/resolved suppressed/suppressed fired/open",
    );
    check(&[(0, Holds), (1, Over), (240, Holds)], "fired/open cleared/resolved fired/open");
    check(
        &[(0, Holds), (1, Over), (2, Holds), (3, Over), (4, Over), (240, Holds)],
        "fired/open cleared/resolved suppressed/suppressed cleared/resolved not-fired/resolved fired/open",
    );
    check(
        &[(0, Holds), (1, Resolve), (2, Holds), (240, Holds)],
        "fired/open resolved/resolved suppressed/suppressed fired/open",
    );
    // severity
    check(
        &[(0, Holds), (1, HoldsAs(Severity::High)), (2, HoldsAs(Severity::High))],
        "fired/open fired/open repeated/open",
    );
    check(
        &[(0, Holds), (1, Acknowledge), (2, HoldsAs(Severity::High))],
        "fired/open acknowledged/acknowledged fired/open",
    );
    check(&[(0, Holds), (1, HoldsAs(Severity::Low))], "fired/open repeated/open");
    check(&[(0, Holds), (1, Over), (2, HoldsAs(Severity::Critical))], "fired/open cleared/resolved fired/open");
    // suppression by hand
    check(
        &[(0, Suppress(500)), (1, Holds), (499, Holds), (500, Holds)],
        "suppressed/suppressed suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Suppress(500)), (1, Over), (2, Holds), (500, Holds)],
        "suppressed/suppressed cleared/resolved suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Suppress(500)), (2, HoldsAs(Severity::Critical)), (500, Holds)],
        "fired/open suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Suppress(9)), (10, Holds), (240, Holds)],
        "fired/open suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Resolve), (2, Suppress(300)), (250, Holds), (300, Holds)],
        "fired/open resolved/resolved suppressed/suppressed suppressed/suppressed fired/open",
    );
    // what is refused
    check(&[(0, Acknowledge), (0, Resolve)], "refused refused");
    check(&[(0, Holds), (1, Acknowledge), (2, Acknowledge)], "fired/open acknowledged/acknowledged refused");
    check(&[(0, Holds), (1, Resolve), (2, Resolve), (3, Acknowledge)], "fired/open resolved/resolved refused refused");
    check(&[(0, Suppress(5)), (1, Acknowledge), (2, Suppress(2))], "suppressed/suppressed refused refused");
    check(&[(0, Suppress(5)), (1, Resolve)], "suppressed/suppressed resolved/resolved");
}

#[test]
fn a_refusal_says_how_it_stands_and_what_can_be_done() {
    fn refusal(before: &[Act], refused: Act) -> String {
        let mut alert = None;
        for (at, one) in (0..).zip(before) {
            let change = act(alert.as_ref(), *one, &routed(), minute(at)).unwrap();
            alert = Alert::after(alert, &change, minute(at));
        }
        act(alert.as_ref(), refused, &routed(), minute(9)).unwrap_err()
    }
    use Act::{Acknowledge, Holds, Over, Resolve, Suppress};
    let refusals = [
        refusal(&[Holds, Acknowledge], Acknowledge),
        refusal(&[Holds, Suppress(60)], Acknowledge),
        refusal(&[Holds, Over], Acknowledge),
        refusal(&[Holds, Resolve], Resolve),
        refusal(&[Holds], Suppress(9)),
        suppress(None, "INC-1/x", &actor(), minute(1), minute(0)).unwrap_err(),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    INC-1001/missing-evidence/3fa9c1d2 is acknowledged already since 2026-02-02T02:41:00Z; resolve it or suppress it
    INC-1001/missing-evidence/3fa9c1d2 is suppressed until 2026-02-02T03:40:00Z; resolve it, or suppress it until another moment
    INC-1001/missing-evidence/3fa9c1d2 is resolved since 2026-02-02T02:41:00Z; only an open alert is acknowledged
    INC-1001/missing-evidence/3fa9c1d2 is resolved already since 2026-02-02T02:41:00Z; it can be suppressed
    cannot suppress until 2026-02-02T02:49:00Z, which is not after now, 2026-02-02T02:49:00Z; give a later moment
    "INC-1/x" is not an alert, such as INC-1042/missing-evidence; `escalations list` prints them
    "#);
}

#[test]
fn what_nobody_heard_is_told_as_soon_as_somebody_can_be() {
    let deaf = Policy::parse("channels.chat.kind = 'slack'\nroutes = [{ channels = ['chat'] }]").unwrap();
    for unheard in [Policy::default(), deaf] {
        for between in [&[][..], &[Act::Over]] {
            let mut alert = None;
            for one in [&[Act::Holds], between].concat() {
                let change = act(alert.as_ref(), one, &unheard, minute(0)).unwrap();
                alert = Alert::after(alert, &change, minute(0));
            }
            let change = act(alert.as_ref(), Act::Holds, &routed(), minute(1)).unwrap();
            assert_eq!(change.event, AlertEvent::Fired, "{between:?}");
            alert = Alert::after(alert, &change, minute(1));
            assert_eq!(act(alert.as_ref(), Act::Holds, &routed(), minute(2)).unwrap().event, AlertEvent::Repeated);
        }
    }
}

#[test]
fn a_change_keeps_what_was_told_and_to_whom() {
    let policy = routed();
    let fired = act(None, Act::Holds, &policy, minute(0)).unwrap();
    let alert = Alert::after(None, &fired, minute(0));
    assert_eq!(
        serde_json::to_value(&fired).unwrap(),
        serde_json::json!({
            "trigger": "missing-evidence", "event": "fired", "status": "open", "severity": "MEDIUM", "dedup_key": KEY,
            "reason": "a reason", "message": "Need manual investigation",
            "routes": [{ "channel": "chat", "kind": "slack", "to": "#oncall" }],
        })
    );
    // the configuration has lost its routes meanwhile
    for one in [Act::Holds, Act::Acknowledge, Act::Resolve, Act::Over, Act::Suppress(9)] {
        let change = act(alert.as_ref(), one, &Policy::default(), minute(1)).unwrap();
        assert_eq!(
            (&change.message, &change.routes, change.severity),
            (&fired.message, &fired.routes, fired.severity),
            "{one:?}"
        );
    }
    assert!(
        serde_json::from_str::<AlertChange>(&serde_json::to_string(&fired).unwrap().replace("event", "evnt")).is_err()
    );
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Holds),
        1 => proptest::sample::select(Severity::ALL).prop_map(Act::HoldsAs),
        2 => Just(Act::Over),
        1 => Just(Act::Acknowledge),
        1 => Just(Act::Resolve),
        1 => (0i64..2000).prop_map(Act::Suppress),
    ]
}

proptest! {
    #[test]
    fn any_life_is_consistent_and_can_be_replayed(acts in vec((0i64..200, any_act()), 0..40), cool_down in 0u32..400) {
        let mut policy = routed();
        policy.escalation.missing_evidence.cool_down_minutes = cool_down;
        let (mut now, mut alert, mut log) = (0, None::<Alert>, Vec::new());
        let mut told: Option<(i64, Severity)> = None;
        for (pause, one) in acts {
            now += pause;
            let Ok(change) = act(alert.as_ref(), one, &policy, minute(now)) else { continue };
            prop_assert_eq!(&change.dedup_key, KEY);
            let quiet = alert.as_ref().and_then(|alert| alert.quiet_until).filter(|until| *until > minute(now));
            if change.event == AlertEvent::Fired {
                let severity = change.severity.unwrap();
                prop_assert!(quiet.is_none(), "told although suppressed until {quiet:?}");
                if let Some((last, before)) = told {
                    prop_assert!(now - last >= i64::from(cool_down) || severity > before, "told twice: {last} and {now}");
                }
                told = Some((now, severity));
            }
            alert = Alert::after(alert, &change, minute(now));
            log.push((serde_json::to_string(&change).unwrap(), now));
            let Some(alert) = &alert else {
                prop_assert_eq!(change.event, AlertEvent::NotFired);
                continue;
            };
            prop_assert_eq!(change.status, Some(alert.status));
            prop_assert_eq!(alert.last_told, told.map(|(at, _)| minute(at)));
            prop_assert_eq!(alert.severity, told.map(|(_, severity)| severity));
            prop_assert_eq!(alert.acknowledged_at.is_some(), alert.status == AlertStatus::Acknowledged);
            prop_assert_eq!(alert.resolved_at.is_some(), alert.status == AlertStatus::Resolved);
            match alert.status {
                AlertStatus::Open | AlertStatus::Acknowledged => prop_assert!(alert.last_told.is_some()),
                AlertStatus::Suppressed => prop_assert!(alert.quiet_until.is_some_and(|until| until > minute(now))),
                AlertStatus::Resolved => {}
            }
        }
        let replayed = log.iter().fold(None, |alert, (json, at)| {
            Alert::after(alert, &serde_json::from_str(json).unwrap(), minute(*at))
        });
        prop_assert_eq!(replayed, alert);
    }

    #[test]
    fn what_holds_for_ever_is_told_in_the_end(acts in vec((0i64..200, any_act()), 0..20)) {
        let policy = routed();
        let (mut now, mut alert) = (0, None::<Alert>);
        for (pause, one) in acts {
            now += pause;
            if let Ok(change) = act(alert.as_ref(), one, &policy, minute(now)) {
                alert = Alert::after(alert, &change, minute(now));
            }
        }
        // past every suppression and cool-down
        let change = act(alert.as_ref(), Act::Holds, &policy, minute(now + 10_000)).unwrap();
        let alert = Alert::after(alert, &change, minute(now + 10_000)).unwrap();
        prop_assert!(alert.last_told.is_some());
        prop_assert!(matches!(alert.status, AlertStatus::Open | AlertStatus::Acknowledged));
    }
}
