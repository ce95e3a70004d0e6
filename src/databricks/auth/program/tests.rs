use std::{ffi::OsString, time::Instant};

use super::*;

async fn shell(script: &str, limit: Duration) -> Result<Vec<u8>, ProgramError> {
    run(Path::new("/bin/sh"), &["-c", script], limit).await
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed() {
    let begun = Instant::now();
    let error = shell("exec sleep 600", Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ProgramError::TooSlow { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(300));
}

#[tokio::test]
async fn the_standard_error_of_a_failed_program_is_shown_without_secrets() {
    assert_eq!(shell("echo out; echo err >&2", TIMEOUT).await.unwrap(), b"out\n");
    let secret = format!("dapi{}", "0123456789abcdef".repeat(2));
    let error = shell(&format!("echo 'no login for {secret}' >&2; exit 3"), TIMEOUT).await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("no login for [REDACTED"), "{error}");
    assert!(!error.contains(&secret), "{error}");
    let long = shell("yes ü | head -c 100000 >&2; exit 1", TIMEOUT).await.unwrap_err().to_string();
    assert!(long.chars().count() < 700, "{long}");
}

#[test]
fn programs_are_executable_files() {
    let path = OsStr::new("/nowhere:/etc:/bin:/usr/bin");
    assert!(find("sh", Some(&path)).first().is_some_and(|found| found == Path::new("/bin/sh")));
    assert!(find("passwd", Some(&OsStr::new("/etc"))).is_empty(), "a file that cannot be run");
    assert!(find("sh", None::<&OsString>).is_empty());
}
