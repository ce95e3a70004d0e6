//! A Spark process shared by all tests of this process: `tests/peers/spark_serves.py`.

use std::{
    collections::HashMap,
    io::Write,
    process::ChildStdin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::peer::{self, Process};

/// The limit for one answer: the largest questions take a minute on an idle machine.
const LIMIT: Duration = Duration::from_secs(1800);

/// The shared server.
static SERVER: OnceLock<Server> = OnceLock::new();

/// Sends Spark a question of `tests/peers/spark_serves.py`, such as `{"audit": {"lake": …, "sql": …}}`. Returns the answer, or
/// Spark's error for this question. Spark starts with the first question.
pub fn ask(question: &Value) -> Result<Value, String> {
    peer::assert_named("spark");
    SERVER.get_or_init(Server::start).ask(question)
}

type Pending = Arc<Mutex<HashMap<u64, mpsc::Sender<Result<Value, String>>>>>;

pub struct Server {
    process: Process,
    input: Mutex<ChildStdin>,
    pending: Pending,
    next: AtomicU64,
}

impl Server {
    pub fn start() -> Self {
        let (mut process, lines) = Process::start("spark", "spark_serves.py", &[]);
        let input = Mutex::new(process.child.stdin.take().unwrap());
        let pending = Pending::default();
        let waiting = Arc::clone(&pending);
        thread::spawn(move || {
            for line in lines {
                let Some((id, answer)) = answer(&line) else { continue };
                if let Some(sender) = waiting.lock().unwrap().remove(&id) {
                    let _ = sender.send(answer);
                }
            }
            // The server has exited: dropping the senders ends the receivers.
            waiting.lock().unwrap().clear();
        });
        Self { process, input, pending, next: AtomicU64::new(1) }
    }

    pub fn ask(&self, question: &Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = mpsc::channel();
        self.pending.lock().unwrap().insert(id, sender);
        let mut asked = question.clone();
        asked["id"] = json!(id);
        let written = writeln!(self.input.lock().unwrap(), "{asked}");
        let ended = |error: &dyn std::fmt::Display| format!("spark_serves.py: {error}\n{}", self.process.errors());
        written.map_err(|error| ended(&error))?;
        answer.recv_timeout(LIMIT).map_err(|error| ended(&error))?
    }
}

/// Parses a line into the id of an answer and the answer. The first line has no id.
fn answer(line: &str) -> Option<(u64, Result<Value, String>)> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    let id = line["id"].as_u64()?;
    let answer = match line["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(line["result"].take()),
    };
    Some((id, answer))
}
