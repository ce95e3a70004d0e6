//! One JSON document, or JSON Lines of many: told apart and split as the bytes come, in memory that does not grow with them.

use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::{
    ids::{hex, sha256_hex},
    report::MAX_REPORT_BYTES,
};

/// A document and the line it begins on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub line: u64,
    /// No more of it than shows that it is too large.
    pub bytes: Vec<u8>,
    /// A line break stands behind it.
    pub ended: bool,
    /// Of all of it, where it is too large to be kept.
    hash: Option<String>,
}

impl Document {
    /// SHA-256 of all of it, without the line break behind it.
    pub fn hash(&self) -> String {
        self.hash.clone().unwrap_or_else(|| sha256_hex(&self.bytes))
    }

    pub fn is_cut(&self) -> bool {
        self.hash.is_some()
    }

    /// Whether more of it may be about to come: it is nothing yet, or ends in the middle of a value or a character.
    pub fn is_cut_short(&self) -> bool {
        if self.ended || self.is_cut() {
            return false;
        }
        let bytes = without_mark(&self.bytes);
        if bytes.trim_ascii().is_empty() {
            return true;
        }
        if let Err(error) = std::str::from_utf8(bytes) {
            return error.error_len().is_none();
        }
        serde_json::from_slice::<IgnoredAny>(bytes).is_err_and(|error| error.is_eof())
    }
}

/// What many bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    One,
    Lines,
}

#[derive(Debug)]
enum State {
    /// Nothing but blank lines, and a line that is not whole yet.
    Opening,
    /// The first line is a whole value; nothing but blanks behind it so far.
    Single(Document),
    /// The first line is no whole value, so this is one document.
    One,
    /// The same, of something that should be JSON Lines: one document if it turns out to be one value, else lines.
    Either,
    Lines,
}

/// Splits bytes into documents. A first line that is a whole JSON value, with more behind it, means JSON Lines.
#[derive(Debug)]
pub struct Splitter {
    /// It is called JSON Lines: a first line that is no value is a bad line.
    called_lines: bool,
    state: State,
    line: u64,
    buffer: Vec<u8>,
    /// Of the buffer and all that did not fit into it.
    excess: Option<Sha256>,
    found: u64,
}

impl Splitter {
    pub fn new(called_lines: bool) -> Self {
        Self { called_lines, state: State::Opening, line: 1, buffer: Vec::new(), excess: None, found: 0 }
    }

    /// Takes more bytes. Documents that come out are lines of many.
    pub fn push(&mut self, mut bytes: &[u8], found: &mut Vec<Document>) {
        while !bytes.is_empty() {
            match self.state {
                State::One => return self.keep(bytes),
                State::Either if self.buffer.len() + bytes.len() <= MAX_REPORT_BYTES => return self.keep(bytes),
                State::Either => self.split_held(found),
                State::Opening | State::Single(_) | State::Lines => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    self.keep(part);
                    bytes = rest;
                    if end.is_some() {
                        bytes = &rest[1..];
                        self.end_line(true, found);
                    } else if self.excess.is_some() && matches!(self.state, State::Opening) {
                        self.state = if self.called_lines { State::Lines } else { State::One };
                    }
                }
            }
        }
    }

    /// There are no more bytes. Documents that come out are lines of many, or the only one.
    pub fn finish(mut self, found: &mut Vec<Document>) -> Shape {
        match self.state {
            State::Either if is_value(&self.buffer) => self.state = State::One,
            State::Either => self.split_held(found),
            _ => {}
        }
        match std::mem::replace(&mut self.state, State::One) {
            State::Single(first) if self.is_blank() => found.push(first),
            State::Single(first) => {
                found.push(first);
                found.push(self.document(false));
            }
            State::Lines if self.is_blank() => {}
            _ => found.push(self.document(false)),
        }
        if self.found <= 1 { Shape::One } else { Shape::Lines }
    }

    fn is_blank(&self) -> bool {
        self.excess.is_none() && self.buffer.trim_ascii().is_empty()
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (MAX_REPORT_BYTES + 1).saturating_sub(self.buffer.len());
        let (kept, beyond) = bytes.split_at(bytes.len().min(room));
        self.buffer.extend_from_slice(kept);
        if !beyond.is_empty() {
            self.excess.get_or_insert_with(|| Sha256::new_with_prefix(&self.buffer)).update(beyond);
        }
    }

    /// What stands in the buffer, as the document of this line.
    fn document(&mut self, ended: bool) -> Document {
        let hash = self.excess.take().map(|excess| hex(&excess.finalize()));
        self.found += 1;
        Document { line: self.line, bytes: std::mem::take(&mut self.buffer), ended, hash }
    }

    fn end_line(&mut self, ended: bool, found: &mut Vec<Document>) {
        if self.is_blank() {
            self.buffer.clear();
            self.line += 1;
            return;
        }
        match std::mem::replace(&mut self.state, State::Lines) {
            State::Opening if self.excess.is_none() && is_value(&self.buffer) => {
                self.state = State::Single(self.document(ended));
            }
            State::Opening if self.excess.is_none() || !self.called_lines => {
                self.keep(b"\n");
                self.state = if self.called_lines { State::Either } else { State::One };
                return;
            }
            State::Single(first) => {
                found.push(first);
                found.push(self.document(ended));
            }
            _ => found.push(self.document(ended)),
        }
        self.line += 1;
    }

    /// What was held back is lines after all.
    fn split_held(&mut self, found: &mut Vec<Document>) {
        self.state = State::Lines;
        let held = std::mem::take(&mut self.buffer);
        self.push(&held, found);
    }
}

/// A byte-order mark is no part of a document.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn is_value(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(without_mark(bytes)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(bytes: &[u8], called_lines: bool, step: usize) -> (Shape, Vec<Document>) {
        let mut splitter = Splitter::new(called_lines);
        let mut found = Vec::new();
        for part in bytes.chunks(step.max(1)) {
            splitter.push(part, &mut found);
        }
        let mut rest = Vec::new();
        let shape = splitter.finish(&mut rest);
        found.extend(rest);
        (shape, found)
    }

    fn check(text: &str, called_lines: bool, shape: Shape, expected: &[(u64, &str)]) {
        for step in [1, 3, text.len()] {
            let (found_shape, found) = split(text.as_bytes(), called_lines, step);
            let found: Vec<(u64, String)> =
                found.iter().map(|it| (it.line, String::from_utf8_lossy(&it.bytes).into_owned())).collect();
            let found: Vec<(u64, &str)> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
            assert_eq!((found_shape, found.as_slice()), (shape, expected), "{text:?} in steps of {step}");
        }
    }

    #[test]
    fn one_document_and_many_are_told_apart() {
        use Shape::{Lines, One};
        check("", false, One, &[(1, "")]);
        check("\n \n", false, One, &[(3, "")]);
        check("{\"a\":1}", false, One, &[(1, "{\"a\":1}")]);
        check("\n{\"a\":1}\n\n", false, One, &[(2, "{\"a\":1}")]);
        check("{\n\"a\":1}\n", false, One, &[(1, "{\n\"a\":1}\n")]);
        check("{}\r\n{}\r\n", false, Lines, &[(1, "{}\r"), (2, "{}\r")]);
        check("{}\n\n{]\n", false, Lines, &[(1, "{}"), (3, "{]")]);
        check("{]\n{}\n", false, One, &[(1, "{]\n{}\n")]);
        check("\u{feff}{}\n{}", false, Lines, &[(1, "\u{feff}{}"), (2, "{}")]);
    }

    #[test]
    fn what_is_called_json_lines_may_begin_with_a_bad_line() {
        use Shape::{Lines, One};
        check("{]\n{}\n", true, Lines, &[(1, "{]"), (2, "{}")]);
        check("{\n\"a\":1}\n", true, One, &[(1, "{\n\"a\":1}\n")]);
        check("{]\n", true, One, &[(1, "{]")]);
        check("{", true, One, &[(1, "{")]);
        check("", true, One, &[(1, "")]);
    }

    #[test]
    fn no_more_is_kept_of_a_document_than_shows_that_it_is_too_large() {
        let large = vec![b'x'; MAX_REPORT_BYTES * 2];
        let lines = [b"{}\n".to_vec(), large.clone(), b"\n{}\n".to_vec()].concat();
        let (shape, found) = split(&lines, false, 1 << 16);
        assert_eq!((shape, found.len()), (Shape::Lines, 3));
        assert_eq!(found[1].bytes.len(), MAX_REPORT_BYTES + 1);
        assert_eq!((found[1].is_cut(), found[1].hash()), (true, sha256_hex(&large)));
        assert_eq!((found[2].line, found[2].bytes.as_slice()), (3, &b"{}"[..]));
        for called_lines in [false, true] {
            let (_, found) = split(&large, called_lines, 1 << 16);
            assert_eq!((found.len(), found[0].bytes.len()), (1, MAX_REPORT_BYTES + 1));
            assert_eq!(found[0].hash(), sha256_hex(&large));
        }
        let after_a_bad_line = [b"{]\n".to_vec(), large.clone(), b"\n{}".to_vec()].concat();
        let (shape, found) = split(&after_a_bad_line, true, 1 << 16);
        assert_eq!((shape, found.len(), found[1].hash()), (Shape::Lines, 3, sha256_hex(&large)));
    }

    #[test]
    fn what_may_still_be_written_is_told_from_what_is_broken() {
        fn check(text: &[u8], expected: bool) {
            let (_, found) = split(text, false, text.len());
            assert_eq!(found[0].is_cut_short(), expected, "{}", String::from_utf8_lossy(text));
        }
        check(b"", true);
        check(b" ", true);
        check(b"{\"a\": [1, 2", true);
        check(b"{\"a\": \"\xc3", true);
        check(b"{]", false);
        check(b"{\"a\": \"\xc3\"", false);
        check(b"{\"a\": 1}", false);
        check(b"{}x", false);
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in_whatever_the_steps(
            lines in prop::collection::vec("[ -~]{0,30}", 1..12), step in 1_usize..50,
        ) {
            let text = format!("{{}}\n{{}}\n{}", lines.join("\n"));
            let (shape, found) = split(text.as_bytes(), false, step);
            prop_assert_eq!(shape, Shape::Lines);
            let expected: Vec<(u64, String)> = (1..).zip(text.split('\n').map(str::to_owned))
                .filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
            let found: Vec<(u64, String)> = found.into_iter()
                .map(|it| (it.line, String::from_utf8(it.bytes).unwrap())).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn steps_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200), called: bool, step in 1_usize..50) {
            prop_assert_eq!(split(&bytes, called, step), split(&bytes, called, bytes.len()));
        }
    }
}
