//! Where results and everything else go.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::exit::Failure;

/// Where a long result goes: standard output, or a file that is there only once it is whole.
#[derive(Debug)]
pub enum Sink {
    Stdout(BufWriter<io::Stdout>),
    File { partial: PathBuf, whole: PathBuf, file: BufWriter<File> },
}

impl Sink {
    /// Until it is finished, the file has `.partial` behind its name.
    ///
    /// # Errors
    /// [`Failure::Write`].
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(whole) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let mut partial = whole.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(|source| cannot_write(&partial, source))?;
        Ok(Self::File { partial, whole: whole.into(), file: BufWriter::new(file) })
    }

    /// # Errors
    /// [`Failure::Write`], or [`Failure::Output`] for standard output.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Stdout(stdout) => Ok(stdout.write_all(bytes)?),
            Self::File { partial, file, .. } => file.write_all(bytes).map_err(|source| cannot_write(partial, source)),
        }
    }

    /// Everything is on disk, under its name, when this returns.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(self) -> Result<(), Failure> {
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

fn cannot_write(path: &Path, source: io::Error) -> Failure {
    Failure::Write { what: path.display().to_string(), source }
}

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
    pub fn document(&self, text: &str, out: Option<&Path>) -> Result<(), Failure> {
        let mut sink = Sink::open(out)?;
        sink.write(text.as_bytes())?;
        sink.finish()?;
        if let Some(path) = out {
            self.problem(&format!("wrote {}", path.display()));
        }
        Ok(())
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

    /// A question to a person, on a line that the answer ends.
    pub fn prompt(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// Columns to fill: the terminal's, or 120 in a pipe.
    pub fn width(&self) -> usize {
        console::Term::stdout().size_checked().map_or(120, |(_, columns)| columns.into())
    }

    /// Something that turns, what is being done, and for how long, on a terminal; nothing anywhere else.
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
