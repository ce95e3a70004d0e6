//! Programs of `tests/peers/` that serve something until their standard input ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// One that runs.
#[derive(Debug)]
pub struct Peer {
    process: Child,
    ready: Value,
}

impl Peer {
    /// By the Python that the variable names.
    pub fn start(python: &str, script: &str, arguments: &[&str]) -> Self {
        let python = std::env::var(python)
            .expect("the emulators need their Python environments: run the tests by tests/run, which makes them");
        Self::run(&python, script, arguments)
    }

    pub fn run(interpreter: &str, script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(interpreter);
        command.arg(format!("{}/tests/peers/{script}", env!("CARGO_MANIFEST_DIR"))).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut said = process.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = said.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str(&line) else { panic!("{script}: {}", said.join().unwrap()) };
        Self { process, ready }
    }

    /// What it said of itself when it was ready.
    pub fn ready(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
