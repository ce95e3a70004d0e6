//! Peers: independent programs that tests run beside the binary, such as other engines, emulators and a browser.
//!
//! `tests/peers/prepare` prepares the environment of a peer when a test first needs it. The path of a test contains the name of
//! each of its peers, because `tests/run --without PEER` skips tests by name.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock, Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The limit for a peer to become ready.
const READY: Duration = Duration::from_secs(180);

/// The limit for a peer to exit after its standard input has ended.
const END: Duration = Duration::from_secs(10);

/// Maximum number of lines of standard error in a failure message.
const KEPT: usize = 40;

/// A prepared folder, or the reason for its absence.
type Prepared = Result<PathBuf, String>;

static PREPARED: LazyLock<Mutex<HashMap<String, Arc<OnceLock<Prepared>>>>> = LazyLock::new(Mutex::default);

/// Returns the folder with the environment of a peer, which is prepared once per process.
///
/// Panics if it cannot be prepared, or if the test's path does not contain the name of the peer.
pub fn environment(name: &str) -> PathBuf {
    assert_named(name);
    prepared(name).unwrap_or_else(|reason| panic!("{}", unavailable(name, &reason)))
}

/// Prepares a Debian program that tests and pasted commands call. Tests that need it are not named after it.
///
/// Panics if it cannot be prepared.
pub fn program(name: &str) {
    prepared(name).map(drop).unwrap_or_else(|reason| panic!("{name} is not available: {reason}"));
}

/// Returns the Python of a peer's environment.
pub fn python(name: &str) -> Command {
    let mut command = Command::new(environment(name).join("bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Returns the folder with the npm packages of a peer.
pub fn node_modules(name: &str) -> PathBuf {
    environment(name).join("node_modules")
}

pub fn unavailable(name: &str, reason: &str) -> String {
    format!("peer {name} is not available: {reason}; run the other tests with: tests/run --without {name}")
}

/// Panics if the test's path does not contain the name of the peer. Threads that a test starts have no path and pass.
pub fn assert_named(name: &str) {
    let thread = thread::current();
    let path = thread.name().unwrap_or_default();
    assert!(
        !path.contains("::") || path.contains(name),
        "{path} uses the peer {name}, but its path does not contain it: `tests/run --without {name}` would not skip it"
    );
}

fn prepared(name: &str) -> Prepared {
    let once = Arc::clone(PREPARED.lock().unwrap().entry(name.to_owned()).or_default());
    once.get_or_init(|| prepare(name)).clone()
}

/// Runs tests/peers/prepare, whose steps have their own time limits.
fn prepare(name: &str) -> Prepared {
    let script = "tests/peers/prepare";
    let output = Command::new(Path::new(ROOT).join(script)).arg(name).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{script}: {error}"))?;
    let out = String::from_utf8_lossy(&output.stdout);
    match out.trim_end().strip_prefix(name) {
        Some(folder) if output.status.success() => Ok(folder.trim_start().into()),
        _ => {
            let error = String::from_utf8_lossy(&output.stderr);
            let line = error.lines().last().unwrap_or("no message");
            Err(line.trim_start_matches(&format!("{script}: {name}: ")).to_owned())
        }
    }
}

/// A process of a peer that runs until its standard input ends. It is killed if it does not exit in time.
#[derive(Debug)]
pub struct Process {
    pub child: Child,
    errors: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts a script of `tests/peers/` in the environment of a peer. Returns it with the lines of its standard output.
    /// The first argument of a JavaScript script is the folder of its npm packages.
    pub fn start(name: &str, script: &str, arguments: &[&str]) -> (Self, mpsc::Receiver<String>) {
        let path = format!("{ROOT}/tests/peers/{script}");
        let mut command = if script.ends_with(".mjs") {
            let mut command = Command::new("node");
            command.arg(path).arg(node_modules(name));
            command
        } else {
            let mut command = python(name);
            command.arg(path);
            command
        };
        // A new process group, so that the whole group can be killed.
        command.args(arguments).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Read on even without a receiver: a full pipe would block the peer.
                let _ = sender.send(line);
            }
        });
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&errors);
        thread::spawn(move || {
            for line in BufReader::new(err).split(b'\n').map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_back(String::from_utf8_lossy(&line).into_owned());
                if kept.len() > KEPT {
                    kept.pop_front();
                }
            }
        });
        (Self { child, errors }, lines)
    }

    /// Returns the last lines of standard error.
    pub fn errors(&self) -> String {
        Vec::from(self.errors.lock().unwrap().clone()).join("\n")
    }

    /// Waits for the exit. Returns `false` if the process still runs at the limit.
    fn ends(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < END {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                _ => return true,
            }
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if !self.ends() {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.child.wait();
        }
    }
}

/// A server of a peer, with the document that it printed when it was ready.
#[derive(Debug)]
pub struct Peer {
    pub ready: Value,
    _process: Process,
}

impl Peer {
    /// Starts a script and waits for its first line, a JSON object.
    pub fn start(name: &str, script: &str, arguments: &[&str]) -> Self {
        let (process, lines) = Process::start(name, script, arguments);
        let line = lines.recv_timeout(READY);
        let ready = line.as_ref().ok().and_then(|line| serde_json::from_str(line).ok());
        let ready = ready.unwrap_or_else(|| {
            // Wait for the last lines of standard error, which belong to the message.
            thread::sleep(Duration::from_millis(100));
            panic!("{script} is not ready: {line:?}\n{}", process.errors())
        });
        Self { ready, _process: process }
    }

    /// Returns a field of its first line.
    pub fn ready(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }
}
