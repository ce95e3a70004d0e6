use std::time::Duration;

use super::{
    super::{fake::FakeReceiver, sanitise},
    *,
};

fn smtp(port: u16, host: &str, encryption: Encryption) -> Smtp {
    let from = "Ops Runbook <ops@example.test>".to_owned();
    Smtp { host: host.into(), port, encryption, from, user: None, password: None }
}

fn channel(fake: &FakeReceiver, to: &str) -> SmtpChannel {
    SmtpChannel::new(&smtp(fake.port, "localhost", Encryption::None), to, None).unwrap()
}

fn email() -> Email {
    Email {
        id: "42.1:mail:trigger".into(),
        references: vec!["41.1:mail:trigger".into(), "41.2".into()],
        at: "2026-07-01T03:00:00Z".parse().unwrap(),
        subject: "größer\r\nBcc: x@example.test".into(),
        text: "Grüße\n.\nend\n".into(),
        html: "<p>Grüße</p>".into(),
        stream: "prod/job 7".into(),
        list: Some("alerts.ops-runbook".into()),
    }
}

async fn sent(script: &[(&'static str, &'static str)], to: &str) -> (DeliveryOutcome, Vec<String>) {
    let fake = FakeReceiver::smtp(script).await;
    let outcome = channel(&fake, to).send(&email(), None, Duration::from_millis(1500)).await;
    (sanitise::outcome(outcome, &[]), fake.seen())
}

#[tokio::test]
async fn a_mail_has_the_headers_of_its_notification_and_thread() {
    let (outcome, seen) = sent(&[(".", "250 2.0.0 queued as 7")], "Änne <a@example.test>, b@example.test").await;
    assert_eq!(outcome, DeliveryOutcome::Accepted { receipt: Some("2.0.0 queued as 7".into()), refused: None });
    let all = seen.join("\n");
    for line in [
        "MAIL FROM:<ops@example.test>",
        "RCPT TO:<a@example.test>",
        "RCPT TO:<b@example.test>",
        "From: \"Ops Runbook\" <ops@example.test>",
        "Message-ID: <42.1=3amail=3atrigger@example.test>",
        "In-Reply-To: <41.2@example.test>",
        "Date: Wed, 01 Jul 2026 03:00:00 +0000",
        "Auto-Submitted: auto-generated",
        "X-Ops-Runbook-Lane: prod/job 7",
        "List-Id: <alerts.ops-runbook>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
    ] {
        assert!(seen.iter().any(|seen| seen == line), "{line}\n{all}");
    }
    assert!(
        all.contains("References: <41.1=3amail=3atrigger@example.test>") && all.contains("<41.2@example.test>\n"),
        "{all}"
    );
    assert!(all.contains("To: =?utf-8?b?") && all.contains("<a@example.test>, b@example.test"), "{all}");
    assert!(all.contains("Content-Type: multipart/alternative;") && all.is_ascii(), "{all}");
    // A subject stays one line, and a full stop alone does not end the mail.
    assert!(all.contains("\nSubject: ") && !seen.iter().any(|line| line.starts_with("Bcc")), "{all}");
    assert_eq!(seen.iter().filter(|line| *line == ".").count(), 1, "{all}");
}

#[tokio::test]
async fn the_progress_of_the_session_decides_the_outcome() {
    let refused = |reason: &str| DeliveryOutcome::Refused { reason: reason.into() };
    let not_now = |reason: &str| DeliveryOutcome::RetryLater { reason: reason.into(), after_s: None };
    let unknown = |reason: &str| DeliveryOutcome::Unknown { reason: reason.into() };
    for (script, outcome) in [
        (&[("CONNECT", "554 not you")][..], refused("the mail server answered 554 not you")),
        (&[("CONNECT", "421 busy")], not_now("the mail server answered 421 busy")),
        (&[("CONNECT", "hang")], not_now("the mail server did not respond in time")),
        (&[("MAIL", "550 no")], refused("the mail server answered 550 no")),
        (&[("MAIL", "451 later")], not_now("the mail server answered 451 later")),
        (
            &[("RCPT", "550 no such user")],
            refused("the mail server accepts no recipient: a@example.test: 550 no such user"),
        ),
        (
            &[("RCPT", "450 greylisted")],
            not_now("the mail server accepts no recipient: a@example.test: 450 greylisted"),
        ),
        (&[("DATA", "hang")], not_now("the mail server did not respond in time")),
        (&[("DATA", "554 no")], refused("the mail server answered 554 no")),
        (&[(".", "552 too big")], refused("the mail server answered 552 too big")),
        (&[(".", "452 full")], not_now("the mail server answered 452 full")),
        (&[(".", "hang")], unknown("the mail server did not confirm in time")),
        (&[(".", "close")], unknown("the mail server did not confirm: incomplete response")),
        (&[(".", "what?")], unknown("the mail server did not confirm: ")),
    ] {
        let (got, seen) = sent(script, "a@example.test").await;
        match (&got, &outcome) {
            (DeliveryOutcome::Unknown { reason }, DeliveryOutcome::Unknown { reason: start }) => {
                assert!(reason.starts_with(start), "{got:?}")
            }
            _ => assert_eq!(got, outcome, "{seen:?}"),
        }
    }
    let unreachable = SmtpChannel::new(&smtp(1, "127.0.0.1", Encryption::None), "a@example.test", None).unwrap();
    let outcome = unreachable.send(&email(), None, Duration::from_millis(1500)).await;
    assert!(
        matches!(&outcome, DeliveryOutcome::RetryLater { reason, .. } if reason.contains("cannot be reached")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn accepted_recipients_get_the_mail_and_rejected_ones_are_named() {
    let (outcome, seen) = sent(&[("RCPT TO:<b@", "550 no such user")], "a@example.test, b@example.test").await;
    let refused = Some("not for b@example.test: 550 no such user".into());
    assert_eq!(outcome, DeliveryOutcome::Accepted { receipt: Some("ok".into()), refused });
    assert!(seen.iter().any(|line| line == "DATA"));
}

#[tokio::test]
async fn only_deferred_recipients_are_retried() {
    let some = |all: &[&str]| Recipients::new(all.iter().map(|&one| one.to_owned()).collect());
    let to = "a@example.test, B <b@example.test>, c@example.test, d@example.test";
    let script = [("RCPT TO:<b@", "450 greylisted"), ("RCPT TO:<c@", "550 no such user"), ("RCPT TO:<d@", "452 full")];
    let fake = FakeReceiver::smtp(&script).await;
    let limit = Duration::from_millis(1500);
    let waits_for = some(&["b@example.test", "d@example.test"]).unwrap();
    let first = channel(&fake, to).send(&email(), None, limit).await;
    let partly = DeliveryOutcome::Partly {
        receipt: Some("ok".into()),
        waits_for: waits_for.clone(),
        reason:
            "not yet for b@example.test: 450 greylisted; d@example.test: 452 full; not for c@example.test: 550 no such user"
                .into(),
    };
    assert_eq!(first, partly);
    let again = channel(&fake, to).send(&email(), Some(&waits_for), limit).await;
    let reason =
        "the mail server accepts no recipient: b@example.test: 450 greylisted; d@example.test: 452 full".into();
    assert_eq!(
        again,
        DeliveryOutcome::RetryLater { reason, after_s: None },
        "no recipient of this attempt was accepted"
    );

    let fake = FakeReceiver::smtp(&[]).await;
    let again = channel(&fake, to).send(&email(), Some(&waits_for), limit).await;
    assert_eq!(again, DeliveryOutcome::Accepted { receipt: Some("ok".into()), refused: None });
    let seen = fake.seen();
    let recipients: Vec<&String> = seen.iter().filter(|line| line.starts_with("RCPT")).collect();
    assert_eq!(recipients, ["RCPT TO:<b@example.test>", "RCPT TO:<d@example.test>"]);
    for line in ["Message-ID: <42.1=3amail=3atrigger@example.test>", "In-Reply-To: <41.2@example.test>"] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: it is the same mail\n{seen:#?}");
    }
    assert!(seen.iter().any(|line| line.starts_with("To: a@example.test")), "{seen:#?}");

    // A recipient that was removed from the configuration gets no mail.
    let gone = channel(&fake, "a@example.test").send(&email(), Some(&waits_for), limit).await;
    let reason = "the channel no longer has the recipients b@example.test, d@example.test".into();
    assert_eq!(gone, DeliveryOutcome::Refused { reason });
    let one_left = channel(&fake, "a@example.test, d@example.test").send(&email(), Some(&waits_for), limit).await;
    assert_eq!(one_left, DeliveryOutcome::Accepted { receipt: Some("ok".into()), refused: None });
    assert!(!fake.seen().iter().any(|line| line.starts_with("RCPT TO:<a@")));
}

#[tokio::test]
async fn mail_is_not_sent_without_the_configured_encryption() {
    let fake = FakeReceiver::smtp(&[]).await;
    let channel =
        SmtpChannel::new(&smtp(fake.port, "localhost", Encryption::StartTls), "a@example.test", None).unwrap();
    let outcome = channel.send(&email(), None, Duration::from_millis(1500)).await;
    assert_eq!(
        outcome,
        DeliveryOutcome::Refused {
            reason: "the mail server does not support what is configured: STARTTLS is not supported on this server"
                .into()
        }
    );
    assert!(!fake.seen().iter().any(|line| line.starts_with("MAIL")), "{:?}", fake.seen());
    let channel = SmtpChannel::new(&smtp(fake.port, "localhost", Encryption::Tls), "a@example.test", None).unwrap();
    let outcome = channel.send(&email(), None, Duration::from_millis(1500)).await;
    assert!(matches!(outcome, DeliveryOutcome::RetryLater { .. }), "{outcome:?}");
    for host in ["mail.example.test", "10.0.0.1", "localhost.example.test"] {
        let error = SmtpChannel::new(&smtp(25, host, Encryption::None), "a@example.test", None).unwrap_err();
        assert!(error.to_string().contains("without encryption"), "{error}");
    }
    for host in ["localhost", "127.0.0.9", "::1", "[::1]"] {
        assert!(SmtpChannel::new(&smtp(25, host, Encryption::None), "a@example.test,", None).is_ok(), "{host}");
    }
    for to in ["", ",", "not-an-address", "a@example.test, not-an-address"] {
        assert!(SmtpChannel::new(&smtp(25, "localhost", Encryption::None), to, None).is_err(), "{to}");
    }
}

#[tokio::test]
async fn an_open_connection_is_reused() {
    let fake = FakeReceiver::smtp(&[]).await;
    let channel = channel(&fake, "a@example.test");
    let limit = Duration::from_millis(1500);
    for _ in 0..3 {
        assert!(matches!(channel.send(&email(), None, limit).await, DeliveryOutcome::Accepted { .. }));
    }
    let count = |fake: &FakeReceiver, word: &str| fake.seen().iter().filter(|line| *line == word).count();
    assert_eq!((count(&fake, "CONNECT"), count(&fake, "DATA")), (1, 3));
    // One server closes after each mail, the other one announces it with 421.
    for reply in ["250 ok|close", "250 ok\r\n421 bye"] {
        let fake = FakeReceiver::smtp(&[(".", reply)]).await;
        let channel = super::tests::channel(&fake, "a@example.test");
        for _ in 0..2 {
            assert!(matches!(channel.send(&email(), None, limit).await, DeliveryOutcome::Accepted { .. }), "{reply}");
        }
        assert_eq!((count(&fake, "CONNECT"), count(&fake, "DATA")), (2, 2), "{reply}");
    }
}
