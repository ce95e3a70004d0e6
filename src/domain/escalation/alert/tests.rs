use proptest::{collection::vec, prelude::*};

use super::*;

const KEY: &str = "INC-1001/missing-evidence/3fa9c1d2";

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_micros(1_770_000_000_000_000 + minute * 60_000_000).unwrap()
}

fn actor() -> Id {
    Id::new("user:sre@example.test").unwrap()
}

fn missing_evidence(holds: bool, severity: Severity) -> TriggerVerdict {
    let message = holds.then(|| "Need manual investigation".to_owned());
    TriggerVerdict { trigger: Trigger::MissingEvidence, holds, severity, reason: "a reason".into(), message }
}

fn routed() -> Policy {
    Policy::parse("channels.chat = { kind = 'slack', to = '#oncall' }\nroutes = [{ channels = ['chat'] }]").unwrap()
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Holds,
    HoldsAs(Severity),
    DoesNotHold,
    Acknowledge,
    Resolve,
    /// Snooze until the given minute.
    Snooze(i64),
}

/// Performs an action; a refusal changes nothing.
fn perform(alert: Option<&Alert>, action: Action, policy: &Policy, at: Timestamp) -> Result<AlertChange, String> {
    let severity = policy.severity(Trigger::MissingEvidence);
    let none = || "there is no alert".to_owned();
    match action {
        Action::Holds => Ok(step(alert, &missing_evidence(true, severity), KEY, policy, at)),
        Action::HoldsAs(severity) => Ok(step(alert, &missing_evidence(true, severity), KEY, policy, at)),
        Action::DoesNotHold => Ok(step(alert, &missing_evidence(false, severity), KEY, policy, at)),
        Action::Acknowledge => acknowledge(alert.ok_or_else(none)?, &actor()),
        Action::Resolve => resolve(alert.ok_or_else(none)?, &actor(), at),
        Action::Snooze(until) => snooze(alert, KEY, &actor(), minute(until), at),
    }
}

#[test]
fn alerts_follow_their_life_cycle() {
    fn check(actions: &[(i64, Action)], expected: &str) {
        let (policy, mut alert, mut story) = (routed(), None, Vec::new());
        for (at, one) in actions {
            match perform(alert.as_ref(), *one, &policy, minute(*at)) {
                Ok(change) => {
                    let status = change.status.map_or("-", AlertStatus::as_str);
                    story.push(format!("{}/{status}", change.event));
                    alert = Alert::after(alert, &change, minute(*at));
                }
                Err(_) => story.push("refused".into()),
            }
        }
        assert_eq!(story.join(" "), expected, "{actions:?}");
    }
    use Action::{Acknowledge, DoesNotHold, Holds, HoldsAs, Resolve, Snooze};
    check(&[(0, DoesNotHold), (1, DoesNotHold)], "not-fired/- not-fired/-");
    check(&[(0, Holds), (1, Holds), (9999, Holds)], "fired/open repeated/open repeated/open");
    check(&[(0, Holds), (1, Acknowledge), (2, Holds)], "fired/open acknowledged/acknowledged repeated/acknowledged");
    check(&[(0, Holds), (1, DoesNotHold), (2, DoesNotHold)], "fired/open cleared/resolved not-fired/resolved");
    check(&[(0, Holds), (1, Acknowledge), (2, DoesNotHold)], "fired/open acknowledged/acknowledged cleared/resolved");
    // The cool-down ends 240 minutes after the alert fired.
    check(
        &[(0, Holds), (1, DoesNotHold), (239, Holds), (240, Holds)],
        "fired/open cleared/resolved suppressed/suppressed fired/open",
    );
    check(&[(0, Holds), (1, DoesNotHold), (240, Holds)], "fired/open cleared/resolved fired/open");
    check(
        &[(0, Holds), (1, DoesNotHold), (2, Holds), (3, DoesNotHold), (4, DoesNotHold), (240, Holds)],
        "fired/open cleared/resolved suppressed/suppressed cleared/resolved not-fired/resolved fired/open",
    );
    check(
        &[(0, Holds), (1, Resolve), (2, Holds), (240, Holds)],
        "fired/open resolved/resolved suppressed/suppressed fired/open",
    );
    // A higher severity fires again.
    check(
        &[(0, Holds), (1, HoldsAs(Severity::High)), (2, HoldsAs(Severity::High))],
        "fired/open fired/open repeated/open",
    );
    check(
        &[(0, Holds), (1, Acknowledge), (2, HoldsAs(Severity::High))],
        "fired/open acknowledged/acknowledged fired/open",
    );
    check(&[(0, Holds), (1, HoldsAs(Severity::Low))], "fired/open repeated/open");
    check(&[(0, Holds), (1, DoesNotHold), (2, HoldsAs(Severity::Critical))], "fired/open cleared/resolved fired/open");
    // Snoozed alerts.
    check(
        &[(0, Snooze(500)), (1, Holds), (499, Holds), (500, Holds)],
        "suppressed/suppressed suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Snooze(500)), (1, DoesNotHold), (2, Holds), (500, Holds)],
        "suppressed/suppressed cleared/resolved suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Snooze(500)), (2, HoldsAs(Severity::Critical)), (500, Holds)],
        "fired/open suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Snooze(9)), (10, Holds), (240, Holds)],
        "fired/open suppressed/suppressed suppressed/suppressed fired/open",
    );
    check(
        &[(0, Holds), (1, Resolve), (2, Snooze(300)), (250, Holds), (300, Holds)],
        "fired/open resolved/resolved suppressed/suppressed suppressed/suppressed fired/open",
    );
    // Refused actions.
    check(&[(0, Acknowledge), (0, Resolve)], "refused refused");
    check(&[(0, Holds), (1, Acknowledge), (2, Acknowledge)], "fired/open acknowledged/acknowledged refused");
    check(&[(0, Holds), (1, Resolve), (2, Resolve), (3, Acknowledge)], "fired/open resolved/resolved refused refused");
    check(&[(0, Snooze(5)), (1, Acknowledge), (2, Snooze(2))], "suppressed/suppressed refused refused");
    check(&[(0, Snooze(5)), (1, Resolve)], "suppressed/suppressed resolved/resolved");
}

#[test]
fn a_refusal_states_the_status_and_the_possible_actions() {
    fn refusal(before: &[Action], refused: Action) -> String {
        let mut alert = None;
        for (at, one) in (0..).zip(before) {
            let change = perform(alert.as_ref(), *one, &routed(), minute(at)).unwrap();
            alert = Alert::after(alert, &change, minute(at));
        }
        perform(alert.as_ref(), refused, &routed(), minute(9)).unwrap_err()
    }
    use Action::{Acknowledge, DoesNotHold, Holds, Resolve, Snooze};
    let refusals = [
        refusal(&[Holds, Acknowledge], Acknowledge),
        refusal(&[Holds, Snooze(60)], Acknowledge),
        refusal(&[Holds, DoesNotHold], Acknowledge),
        refusal(&[Holds, Resolve], Resolve),
        refusal(&[Holds], Snooze(9)),
        snooze(None, "INC-1/x", &actor(), minute(1), minute(0)).unwrap_err(),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    INC-1001/missing-evidence/3fa9c1d2 is acknowledged already since 2026-02-02T02:41:00Z; resolve or snooze it
    INC-1001/missing-evidence/3fa9c1d2 is suppressed until 2026-02-02T03:40:00Z; resolve it, or snooze it until another time
    INC-1001/missing-evidence/3fa9c1d2 is resolved since 2026-02-02T02:41:00Z; only an open alert can be acknowledged
    INC-1001/missing-evidence/3fa9c1d2 is resolved already since 2026-02-02T02:41:00Z; it can only be snoozed
    cannot snooze until 2026-02-02T02:49:00Z, which is not after now (2026-02-02T02:49:00Z); give a later time
    "INC-1/x" is not an alert, such as INC-1042/missing-evidence; `escalation list` prints them
    "#);
}

#[test]
fn an_alert_without_a_route_fires_again_when_it_has_one() {
    let without_address = Policy::parse("channels.chat.kind = 'slack'\nroutes = [{ channels = ['chat'] }]").unwrap();
    for unreachable in [Policy::default(), without_address] {
        for between in [&[][..], &[Action::DoesNotHold]] {
            let mut alert = None;
            for one in [&[Action::Holds], between].concat() {
                let change = perform(alert.as_ref(), one, &unreachable, minute(0)).unwrap();
                alert = Alert::after(alert, &change, minute(0));
            }
            let change = perform(alert.as_ref(), Action::Holds, &routed(), minute(1)).unwrap();
            assert_eq!(change.event, AlertEvent::Fired, "{between:?}");
            alert = Alert::after(alert, &change, minute(1));
            assert_eq!(
                perform(alert.as_ref(), Action::Holds, &routed(), minute(2)).unwrap().event,
                AlertEvent::Repeated
            );
        }
    }
}

#[test]
fn later_changes_keep_the_message_and_the_routes() {
    let policy = routed();
    let fired = perform(None, Action::Holds, &policy, minute(0)).unwrap();
    let alert = Alert::after(None, &fired, minute(0));
    assert_eq!(
        serde_json::to_value(&fired).unwrap(),
        serde_json::json!({
            "trigger": "missing-evidence", "event": "fired", "status": "open", "severity": "MEDIUM", "dedup_key": KEY,
            "reason": "a reason", "message": "Need manual investigation",
            "routes": [{ "channel": "chat", "kind": "slack", "to": "#oncall" }],
        })
    );
    // The routes were removed from the configuration.
    for one in [Action::Holds, Action::Acknowledge, Action::Resolve, Action::DoesNotHold, Action::Snooze(9)] {
        let change = perform(alert.as_ref(), one, &Policy::default(), minute(1)).unwrap();
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

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Holds),
        1 => proptest::sample::select(Severity::ALL).prop_map(Action::HoldsAs),
        2 => Just(Action::DoesNotHold),
        1 => Just(Action::Acknowledge),
        1 => Just(Action::Resolve),
        1 => (0i64..2000).prop_map(Action::Snooze),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_actions_is_consistent_and_can_be_replayed(actions in vec((0i64..200, any_action()), 0..40), cool_down in 0u32..400) {
        let mut policy = routed();
        policy.escalation.missing_evidence.cool_down_minutes = cool_down;
        let (mut now, mut alert, mut log) = (0, None::<Alert>, Vec::new());
        let mut fired: Option<(i64, Severity)> = None;
        for (pause, one) in actions {
            now += pause;
            let Ok(change) = perform(alert.as_ref(), one, &policy, minute(now)) else { continue };
            prop_assert_eq!(&change.dedup_key, KEY);
            let quiet_until = alert.as_ref().and_then(|alert| alert.quiet_until).filter(|until| *until > minute(now));
            if change.event == AlertEvent::Fired {
                let severity = change.severity.unwrap();
                prop_assert!(quiet_until.is_none(), "fired although suppressed until {quiet_until:?}");
                if let Some((last, before)) = fired {
                    prop_assert!(now - last >= i64::from(cool_down) || severity > before, "fired twice: {last} and {now}");
                }
                fired = Some((now, severity));
            }
            alert = Alert::after(alert, &change, minute(now));
            log.push((serde_json::to_string(&change).unwrap(), now));
            let Some(alert) = &alert else {
                prop_assert_eq!(change.event, AlertEvent::NotFired);
                continue;
            };
            prop_assert_eq!(change.status, Some(alert.status));
            prop_assert_eq!(alert.last_fired, fired.map(|(at, _)| minute(at)));
            prop_assert_eq!(alert.severity, fired.map(|(_, severity)| severity));
            prop_assert_eq!(alert.acknowledged_at.is_some(), alert.status == AlertStatus::Acknowledged);
            prop_assert_eq!(alert.resolved_at.is_some(), alert.status == AlertStatus::Resolved);
            match alert.status {
                AlertStatus::Open | AlertStatus::Acknowledged => prop_assert!(alert.last_fired.is_some()),
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
    fn a_trigger_that_keeps_holding_fires_in_the_end(actions in vec((0i64..200, any_action()), 0..20)) {
        let policy = routed();
        let (mut now, mut alert) = (0, None::<Alert>);
        for (pause, one) in actions {
            now += pause;
            if let Ok(change) = perform(alert.as_ref(), one, &policy, minute(now)) {
                alert = Alert::after(alert, &change, minute(now));
            }
        }
        // This is after every snooze and cool-down.
        let change = perform(alert.as_ref(), Action::Holds, &policy, minute(now + 10_000)).unwrap();
        let alert = Alert::after(alert, &change, minute(now + 10_000)).unwrap();
        prop_assert!(alert.last_fired.is_some());
        prop_assert!(matches!(alert.status, AlertStatus::Open | AlertStatus::Acknowledged));
    }
}
