//! Standard output, standard error and output files.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::exit::CommandError;

/// The destination of a long result: standard output, or a file that gets its name when it is complete.
#[derive(Debug)]
pub enum OutputSink {
    Stdout(BufWriter<io::Stdout>),
    File { partial: PathBuf, whole: PathBuf, file: BufWriter<File> },
}

impl OutputSink {
    /// Opens a file, or standard output without a path. The file has the suffix `.partial` until [`Self::finish`].
    ///
    /// # Errors
    /// [`CommandError::Write`].
    pub fn open(path: Option<&Path>) -> Result<Self, CommandError> {
        let Some(whole) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let mut partial = whole.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|source| cannot_write(&partial, source))?;
        Ok(Self::File { partial, whole: whole.into(), file: BufWriter::new(file) })
    }

    /// # Errors
    /// [`CommandError::Write`], or [`CommandError::Output`] for standard output.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        match self {
            Self::Stdout(stdout) => Ok(stdout.write_all(bytes)?),
            Self::File { partial, file, .. } => file.write_all(bytes).map_err(|source| cannot_write(partial, source)),
        }
    }

    /// Writes all data to disk, and gives the file its name.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(self) -> Result<(), CommandError> {
        match self {
            Self::Stdout(mut stdout) => Ok(stdout.flush()?),
            Self::File { partial, whole, file } => {
                let written =
                    file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
                written.and_then(|()| std::fs::rename(&partial, &whole)).map_err(|source| cannot_write(&whole, source))
            }
        }
    }
}

fn cannot_write(path: &Path, source: io::Error) -> CommandError {
    CommandError::Write { what: path.display().to_string(), source }
}

/// Prints results to standard output, and everything else to standard error. Shows progress only on a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a text, and ends it with a line break.
    pub fn text(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }

    /// Prints a text, or writes it to a file.
    pub fn document(&self, text: &str, out: Option<&Path>) -> Result<(), CommandError> {
        let mut sink = OutputSink::open(out)?;
        sink.write(text.as_bytes())?;
        sink.finish()?;
        if let Some(path) = out {
            self.problem(&format!("wrote {}", path.display()));
        }
        Ok(())
    }

    /// Prints JSON on one line.
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(value)?;
        self.text(&text)
    }

    /// Prints a warning, an error or a note to standard error. A failure to print is ignored.
    pub fn problem(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints a question without a line break.
    pub fn prompt(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Returns the width of the terminal in columns, or 120 without a terminal.
    pub fn width(&self) -> usize {
        console::Term::stdout().size_checked().map_or(120, |(_, columns)| columns.into())
    }

    /// Returns a spinner with message and elapsed time; hidden without a terminal.
    pub fn spinner(&self) -> ProgressBar {
        if !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }

    /// Returns a progress bar; hidden without a terminal.
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
