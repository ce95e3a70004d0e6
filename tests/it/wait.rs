//! Waits with a limit for conditions and processes.

use std::{
    process::{Child, Output},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The limit for work that takes seconds on an idle machine. A test that reaches it fails.
pub const LIMIT: Duration = Duration::from_secs(600);

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Repeats `attempt` until it returns a value. Panics with `what` after [`LIMIT`].
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    eventually_within(LIMIT, what, attempt)
}

/// Like [`eventually`], with another limit, for work that takes minutes.
pub fn eventually_within<T>(limit: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(begun.elapsed() < limit, "waited {} s for: {what}", limit.as_secs());
        thread::sleep(BETWEEN_ATTEMPTS);
    }
}

/// Like [`eventually`], in an async test.
pub async fn eventually_async<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt().await {
            return value;
        }
        assert!(begun.elapsed() < LIMIT, "waited {} s for: {what}", LIMIT.as_secs());
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}

/// Returns the output of a process. After [`LIMIT`] it kills the process and panics with `what`.
pub fn output_of(what: &str, child: Child) -> Output {
    output_within(LIMIT, what, child)
}

/// Like [`output_of`], with another limit.
pub fn output_within(limit: Duration, what: &str, child: Child) -> Output {
    let id = child.id();
    let (done, waiting) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    match waiting.recv_timeout(limit) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            let _ = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
            panic!("{what}: still running after {} s", limit.as_secs());
        }
    }
}

/// Returns whether `tests/run --long` is running.
pub fn is_long() -> bool {
    std::env::var_os("OPS_RUNBOOK_TEST_LONG").is_some()
}

/// Returns a number of repetitions: `usual`, or `long` with `tests/run --long`.
pub fn repetitions<N>(usual: N, long: N) -> N {
    if is_long() { long } else { usual }
}
