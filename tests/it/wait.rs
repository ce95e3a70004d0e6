//! Waiting that ends: for a condition, for a process, and never longer than a limit.

use std::{
    process::{Child, Output},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The limit for anything that takes seconds on an idle machine, with room for a busy one. A test that reaches it has failed.
pub const LIMIT: Duration = Duration::from_secs(600);

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// Repeats `attempt` until it returns a value. Panics with `what` after [`LIMIT`].
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    eventually_within(LIMIT, what, attempt)
}

/// As [`eventually`], with another limit, where the work itself takes minutes.
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

/// As [`eventually`], in an async test.
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

/// The output of a process that ends within [`LIMIT`]; else it is killed and the test fails with `what`.
pub fn output_of(what: &str, child: Child) -> Output {
    output_within(LIMIT, what, child)
}

/// As [`output_of`], with another limit.
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

/// Whether `tests/run --long` asked for more repetitions.
pub fn is_long() -> bool {
    std::env::var_os("OPS_RUNBOOK_TEST_LONG").is_some()
}

/// A number of repetitions: `usual`, or `long` with `tests/run --long`.
pub fn repetitions<N>(usual: N, long: N) -> N {
    if is_long() { long } else { usual }
}
