use std::time::Duration;

use super::{
    super::{fake::Fake, reason},
    *,
};

fn smtp(port: u16, host: &str, encryption: Encryption) -> Smtp {
    let from = "Ops Runbook <ops@example.test>".to_owned();
    Smtp { host: host.into(), port, encryption, from, user: None, password: None }
}

fn post(fake: &Fake, to: &str) -> Post {
    Post::new(&smtp(fake.port, "localhost", Encryption::None), to, None).unwrap()
}

fn letter() -> Letter {
    Letter {
        id: "42.1:mail:trigger".into(),
        follows: vec!["41.1:mail:trigger".into(), "41.2".into()],
        at: "2026-07-01T03:00:00Z".parse().unwrap(),
        subject: "größer\r\nBcc: x@example.test".into(),
        text: "Grüße\n.\nend\n".into(),
        html: "<p>Grüße</p>".into(),
        lane: "prod/job 7".into(),
        list: Some("alerts.ops-runbook".into()),
    }
}

async fn sent(script: &[(&'static str, &'static str)], to: &str) -> (Outcome, Vec<String>) {
    let fake = Fake::smtp(script).await;
    let outcome = post(&fake, to).send(&letter(), None, Duration::from_millis(1500)).await;
    (reason::clean(outcome, &[]), fake.seen())
}

#[tokio::test]
async fn a_letter_says_what_it_is_and_what_it_follows() {
    let (outcome, seen) = sent(&[(".", "250 2.0.0 queued as 7")], "Änne <a@example.test>, b@example.test").await;
    assert_eq!(outcome, Outcome::Accepted { receipt: Some("2.0.0 queued as 7".into()), refused: None });
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
    // A subject stays one line, and a full stop alone ends no letter.
    assert!(all.contains("\nSubject: ") && !seen.iter().any(|line| line.starts_with("Bcc")), "{all}");
    assert_eq!(seen.iter().filter(|line| *line == ".").count(), 1, "{all}");
}

#[tokio::test]
async fn how_far_it_came_decides_what_the_end_means() {
    let refused = |reason: &str| Outcome::Refused { reason: reason.into() };
    let not_now = |reason: &str| Outcome::NotNow { reason: reason.into(), after_s: None };
    let unknown = |reason: &str| Outcome::Unknown { reason: reason.into() };
    for (script, outcome) in [
        (&[("CONNECT", "554 not you")][..], refused("the mail server answers 554 not you")),
        (&[("CONNECT", "421 busy")], not_now("the mail server answers 421 busy")),
        (&[("CONNECT", "hang")], not_now("the mail server takes too long")),
        (&[("MAIL", "550 no")], refused("the mail server answers 550 no")),
        (&[("MAIL", "451 later")], not_now("the mail server answers 451 later")),
        (&[("RCPT", "550 nobody")], refused("the mail server takes no recipient: a@example.test: 550 nobody")),
        (&[("RCPT", "450 greylisted")], not_now("the mail server takes no recipient: a@example.test: 450 greylisted")),
        (&[("DATA", "hang")], not_now("the mail server takes too long")),
        (&[("DATA", "554 no")], refused("the mail server answers 554 no")),
        (&[(".", "552 too big")], refused("the mail server answers 552 too big")),
        (&[(".", "452 full")], not_now("the mail server answers 452 full")),
        (&[(".", "hang")], unknown("the mail server did not confirm in time")),
        (&[(".", "close")], unknown("the mail server did not confirm: incomplete response")),
        (&[(".", "what?")], unknown("the mail server did not confirm: ")),
    ] {
        let (got, seen) = sent(script, "a@example.test").await;
        match (&got, &outcome) {
            (Outcome::Unknown { reason }, Outcome::Unknown { reason: start }) => {
                assert!(reason.starts_with(start), "{got:?}")
            }
            _ => assert_eq!(got, outcome, "{seen:?}"),
        }
    }
    let nobody = Post::new(&smtp(1, "127.0.0.1", Encryption::None), "a@example.test", None).unwrap();
    let outcome = nobody.send(&letter(), None, Duration::from_millis(1500)).await;
    assert!(matches!(&outcome, Outcome::NotNow { reason, .. } if reason.contains("cannot be reached")), "{outcome:?}");
}

#[tokio::test]
async fn whoever_can_be_told_is_told() {
    let (outcome, seen) = sent(&[("RCPT TO:<b@", "550 nobody")], "a@example.test, b@example.test").await;
    let refused = Some("not for b@example.test: 550 nobody".into());
    assert_eq!(outcome, Outcome::Accepted { receipt: Some("ok".into()), refused });
    assert!(seen.iter().any(|line| line == "DATA"));
}

#[tokio::test]
async fn whoever_was_deferred_is_asked_again_and_nobody_else_is() {
    let some = |all: &[&str]| Recipients::new(all.iter().map(|&one| one.to_owned()).collect());
    let to = "a@example.test, B <b@example.test>, c@example.test, d@example.test";
    let script = [("RCPT TO:<b@", "450 greylisted"), ("RCPT TO:<c@", "550 nobody"), ("RCPT TO:<d@", "452 full")];
    let fake = Fake::smtp(&script).await;
    let limit = Duration::from_millis(1500);
    let waits_for = some(&["b@example.test", "d@example.test"]).unwrap();
    let first = post(&fake, to).send(&letter(), None, limit).await;
    let partly = Outcome::Partly {
        receipt: Some("ok".into()),
        waits_for: waits_for.clone(),
        reason:
            "not yet for b@example.test: 450 greylisted; d@example.test: 452 full; not for c@example.test: 550 nobody"
                .into(),
    };
    assert_eq!(first, partly);
    let again = post(&fake, to).send(&letter(), Some(&waits_for), limit).await;
    let reason = "the mail server takes no recipient: b@example.test: 450 greylisted; d@example.test: 452 full".into();
    assert_eq!(again, Outcome::NotNow { reason, after_s: None }, "none of those that it is about");

    let fake = Fake::smtp(&[]).await;
    let again = post(&fake, to).send(&letter(), Some(&waits_for), limit).await;
    assert_eq!(again, Outcome::Accepted { receipt: Some("ok".into()), refused: None });
    let seen = fake.seen();
    let told: Vec<&String> = seen.iter().filter(|line| line.starts_with("RCPT")).collect();
    assert_eq!(told, ["RCPT TO:<b@example.test>", "RCPT TO:<d@example.test>"]);
    for line in ["Message-ID: <42.1=3amail=3atrigger@example.test>", "In-Reply-To: <41.2@example.test>"] {
        assert!(seen.iter().any(|seen| seen == line), "{line}: it is the same letter\n{seen:#?}");
    }
    assert!(seen.iter().any(|line| line.starts_with("To: a@example.test")), "{seen:#?}");

    // Whoever was taken out of the configuration meanwhile is told nothing.
    let gone = post(&fake, "a@example.test").send(&letter(), Some(&waits_for), limit).await;
    let reason = "the channel does not lead to b@example.test, d@example.test any more".into();
    assert_eq!(gone, Outcome::Refused { reason });
    let one_left = post(&fake, "a@example.test, d@example.test").send(&letter(), Some(&waits_for), limit).await;
    assert_eq!(one_left, Outcome::Accepted { receipt: Some("ok".into()), refused: None });
    assert!(!fake.seen().iter().any(|line| line.starts_with("RCPT TO:<a@")));
}

#[tokio::test]
async fn encryption_that_is_asked_for_must_be_given() {
    let fake = Fake::smtp(&[]).await;
    let post = Post::new(&smtp(fake.port, "localhost", Encryption::StartTls), "a@example.test", None).unwrap();
    let outcome = post.send(&letter(), None, Duration::from_millis(1500)).await;
    assert_eq!(
        outcome,
        Outcome::Refused { reason: "the mail server will not do: STARTTLS is not supported on this server".into() }
    );
    assert!(!fake.seen().iter().any(|line| line.starts_with("MAIL")), "{:?}", fake.seen());
    let post = Post::new(&smtp(fake.port, "localhost", Encryption::Tls), "a@example.test", None).unwrap();
    let outcome = post.send(&letter(), None, Duration::from_millis(1500)).await;
    assert!(matches!(outcome, Outcome::NotNow { .. }), "{outcome:?}");
    for host in ["mail.example.test", "10.0.0.1", "localhost.example.test"] {
        let error = Post::new(&smtp(25, host, Encryption::None), "a@example.test", None).unwrap_err();
        assert!(error.to_string().contains("without encryption"), "{error}");
    }
    for host in ["localhost", "127.0.0.9", "::1", "[::1]"] {
        assert!(Post::new(&smtp(25, host, Encryption::None), "a@example.test,", None).is_ok(), "{host}");
    }
    for to in ["", ",", "nobody", "a@example.test, nobody"] {
        assert!(Post::new(&smtp(25, "localhost", Encryption::None), to, None).is_err(), "{to}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_unless_it_was_closed() {
    let fake = Fake::smtp(&[]).await;
    let post = post(&fake, "a@example.test");
    let limit = Duration::from_millis(1500);
    for _ in 0..3 {
        assert!(matches!(post.send(&letter(), None, limit).await, Outcome::Accepted { .. }));
    }
    let count = |fake: &Fake, word: &str| fake.seen().iter().filter(|line| *line == word).count();
    assert_eq!((count(&fake, "CONNECT"), count(&fake, "DATA")), (1, 3));
    // A server that closes after each letter, and one that says so when it is asked again.
    for reply in ["250 ok|close", "250 ok\r\n421 bye"] {
        let fake = Fake::smtp(&[(".", reply)]).await;
        let post = super::tests::post(&fake, "a@example.test");
        for _ in 0..2 {
            assert!(matches!(post.send(&letter(), None, limit).await, Outcome::Accepted { .. }), "{reply}");
        }
        assert_eq!((count(&fake, "CONNECT"), count(&fake, "DATA")), (2, 2), "{reply}");
    }
}
