//! Splits input bytes into JSON documents: one document, or JSON Lines. The format is detected while the bytes arrive, with
//! bounded memory.

use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::{
    ids::{hex, sha256_hex},
    report::MAX_REPORT_BYTES,
};

/// A document and the line on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputDocument {
    pub line: u64,
    /// Content. A document that is too large is cut one byte after the limit.
    pub bytes: Vec<u8>,
    /// A line break follows it.
    pub ended: bool,
    /// SHA-256 of the whole document, if it is too large to be kept.
    hash: Option<String>,
}

impl InputDocument {
    /// Returns the SHA-256 of the whole document, without the line break after it.
    pub fn hash(&self) -> String {
        self.hash.clone().unwrap_or_else(|| sha256_hex(&self.bytes))
    }

    pub fn is_cut(&self) -> bool {
        self.hash.is_some()
    }

    /// Returns true if the document may still be written: it is empty, or ends within a value or a character.
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

/// Format of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    One,
    Lines,
}

#[derive(Debug)]
enum State {
    /// Only blank lines so far, and an incomplete line.
    Opening,
    /// The first line is a complete value; only blank lines followed so far.
    Single(InputDocument),
    /// The first line is no complete value, so the input is one document.
    One,
    /// As [`Self::One`] for input named as JSON Lines: one document if all of it is one value, else lines.
    Either,
    Lines,
}

/// Splits bytes into documents. If the first line is a complete JSON value and more follows, the format is JSON Lines.
#[derive(Debug)]
pub struct DocumentSplitter {
    /// The input is named as JSON Lines: a first line that is no value is an invalid line.
    called_lines: bool,
    state: State,
    line: u64,
    buffer: Vec<u8>,
    /// Hash of the buffer and the bytes that did not fit into it.
    excess: Option<Sha256>,
    found: u64,
}

impl DocumentSplitter {
    pub fn new(called_lines: bool) -> Self {
        Self { called_lines, state: State::Opening, line: 1, buffer: Vec::new(), excess: None, found: 0 }
    }

    /// Reads more bytes and adds complete documents to `found`. Each is a line of JSON Lines.
    pub fn push(&mut self, mut bytes: &[u8], found: &mut Vec<InputDocument>) {
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

    /// Ends the input and adds the remaining documents to `found`.
    pub fn finish(mut self, found: &mut Vec<InputDocument>) -> DocumentFormat {
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
        if self.found <= 1 { DocumentFormat::One } else { DocumentFormat::Lines }
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

    /// Returns the buffer as the document of this line.
    fn document(&mut self, ended: bool) -> InputDocument {
        let hash = self.excess.take().map(|excess| hex(&excess.finalize()));
        self.found += 1;
        InputDocument { line: self.line, bytes: std::mem::take(&mut self.buffer), ended, hash }
    }

    fn end_line(&mut self, ended: bool, found: &mut Vec<InputDocument>) {
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

    /// Splits the buffered bytes into lines.
    fn split_held(&mut self, found: &mut Vec<InputDocument>) {
        self.state = State::Lines;
        let held = std::mem::take(&mut self.buffer);
        self.push(&held, found);
    }
}

/// Removes a byte-order mark.
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

    fn split(bytes: &[u8], called_lines: bool, step: usize) -> (DocumentFormat, Vec<InputDocument>) {
        let mut splitter = DocumentSplitter::new(called_lines);
        let mut found = Vec::new();
        for part in bytes.chunks(step.max(1)) {
            splitter.push(part, &mut found);
        }
        let mut rest = Vec::new();
        let shape = splitter.finish(&mut rest);
        found.extend(rest);
        (shape, found)
    }

    fn check(text: &str, called_lines: bool, shape: DocumentFormat, expected: &[(u64, &str)]) {
        for step in [1, 3, text.len()] {
            let (found_shape, found) = split(text.as_bytes(), called_lines, step);
            let found: Vec<(u64, String)> =
                found.iter().map(|it| (it.line, String::from_utf8_lossy(&it.bytes).into_owned())).collect();
            let found: Vec<(u64, &str)> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
            assert_eq!((found_shape, found.as_slice()), (shape, expected), "{text:?} in steps of {step}");
        }
    }

    #[test]
    fn one_document_and_json_lines_are_distinguished() {
        use DocumentFormat::{Lines, One};
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
    fn input_named_as_json_lines_may_begin_with_an_invalid_line() {
        use DocumentFormat::{Lines, One};
        check("{]\n{}\n", true, Lines, &[(1, "{]"), (2, "{}")]);
        check("{\n\"a\":1}\n", true, One, &[(1, "{\n\"a\":1}\n")]);
        check("{]\n", true, One, &[(1, "{]")]);
        check("{", true, One, &[(1, "{")]);
        check("", true, One, &[(1, "")]);
    }

    #[test]
    fn a_document_that_is_too_large_is_cut_and_hashed() {
        let large = vec![b'x'; MAX_REPORT_BYTES * 2];
        let lines = [b"{}\n".to_vec(), large.clone(), b"\n{}\n".to_vec()].concat();
        let (shape, found) = split(&lines, false, 1 << 16);
        assert_eq!((shape, found.len()), (DocumentFormat::Lines, 3));
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
        assert_eq!((shape, found.len(), found[1].hash()), (DocumentFormat::Lines, 3, sha256_hex(&large)));
    }

    #[test]
    fn incomplete_documents_are_distinguished_from_invalid_ones() {
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
        fn lines_do_not_depend_on_the_chunk_size(
            lines in prop::collection::vec("[ -~]{0,30}", 1..12), step in 1_usize..50,
        ) {
            let text = format!("{{}}\n{{}}\n{}", lines.join("\n"));
            let (shape, found) = split(text.as_bytes(), false, step);
            prop_assert_eq!(shape, DocumentFormat::Lines);
            let expected: Vec<(u64, String)> = (1..).zip(text.split('\n').map(str::to_owned))
                .filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
            let found: Vec<(u64, String)> = found.into_iter()
                .map(|it| (it.line, String::from_utf8(it.bytes).unwrap())).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn documents_do_not_depend_on_the_chunk_size(bytes in prop::collection::vec(any::<u8>(), 0..200), called: bool, step in 1_usize..50) {
            prop_assert_eq!(split(&bytes, called, step), split(&bytes, called, bytes.len()));
        }
    }
}
