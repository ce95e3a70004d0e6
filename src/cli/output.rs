//! Where results and everything else go.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// stdout for results, stderr for the rest; progress only on a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// A result for people. Ends with a line break whether or not the text does.
    pub fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }

    /// A result that may go to a file instead.
    pub fn document(&self, text: &str, out: Option<&Path>) -> io::Result<()> {
        match out {
            None => self.text(text),
            Some(path) => {
                std::fs::write(path, text)?;
                self.problem(&format!("wrote {}", path.display()));
                Ok(())
            }
        }
    }

    /// A result for programs, on one line.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.text(&text)
    }

    /// Something to know that is not a result. Nobody can be told when that fails.
    pub fn problem(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Columns to fill: the terminal's, or 120 in a pipe.
    pub fn width(&self) -> usize {
        console::Term::stdout().size_checked().map_or(120, |(_, columns)| columns.into())
    }

    /// A bar on a terminal, nothing anywhere else.
    pub fn progress(&self, what: &'static str) -> ProgressBar {
        let target =
            if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    }
}
