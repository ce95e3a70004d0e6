//! Text from outside made safe for a Markdown document (CommonMark with GitHub's tables, task lists and autolinks).
//!
//! Characters that act on a terminal are shown as in [`super::plain::line`]. Markup of Markdown and HTML is escaped: the text
//! never becomes a link, image, heading, table cell, mention or tag.

use super::plain::{NA, line};

/// Text for prose, a list item or a table cell. One line; `n/a` for blank text.
pub fn inline(text: &str) -> String {
    let text = line(text);
    let text = text.trim_matches(' ');
    if text.is_empty() {
        return NA.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    // a number, `-`, `+`, `=`, `#` or `:` is markup only at the start of a line or cell
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let marker = match text.as_bytes().get(digits) {
        Some(b'.' | b')') if digits > 0 => Some(digits),
        Some(b'-' | b'+' | b'=' | b'#' | b':') if digits == 0 => Some(0),
        _ => None,
    };
    let mut before = None;
    for (at, character) in text.char_indices() {
        let rest = &text[at + character.len_utf8()..];
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '$' => safe.extend(['\\', character]),
            // inside a word it is no markup
            '_' if !(before.is_some_and(char::is_alphanumeric) && rest.starts_with(char::is_alphanumeric)) => {
                safe.push_str("\\_");
            }
            ':' if rest.starts_with("//") => safe.push_str("\\:"),
            '.' if ends_in_www(&text[..at]) => safe.push_str("\\."),
            _ if Some(at) == marker => safe.extend(['\\', character]),
            _ => safe.push(character),
        }
        before = Some(character);
    }
    safe
}

fn ends_in_www(text: &str) -> bool {
    text.len() >= 3 && text.as_bytes()[text.len() - 3..].eq_ignore_ascii_case(b"www")
}

/// A short text as a code span. Not for table cells, where a `|` would end it.
pub fn code(text: &str) -> String {
    let text = line(text);
    if text.trim_matches(' ').is_empty() {
        return NA.into();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    // Markdown removes one space at both ends, which separates the text's backticks from ours
    let space = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}

/// A text of many lines as a fenced code block, each line after `indent`. Tabs become four spaces.
pub fn fenced(text: &str, indent: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let mut block = format!("{indent}{fence}text\n");
    for row in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        let row = row.strip_suffix('\r').unwrap_or(row).replace('\t', "    ");
        block.push_str(format!("{indent}{}", line(&row)).trim_end_matches(' '));
        block.push('\n');
    }
    block.push_str(&format!("{indent}{fence}\n"));
    block
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::render::example::{assert_safe, hostile_text};

    /// The text that a CommonMark reader shows, and the characters left that are markup.
    fn unescaped(markdown: &str) -> (String, Vec<char>) {
        let (mut text, mut active) = (String::new(), Vec::new());
        let mut rest = markdown;
        while let Some(first) = rest.chars().next() {
            let entity =
                [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')].into_iter().find(|(name, _)| rest.starts_with(name));
            let escaped =
                rest.strip_prefix('\\').and_then(|rest| rest.chars().next()).filter(char::is_ascii_punctuation);
            let (character, length) = match (entity, escaped) {
                (Some((name, character)), _) => (character, name.len()),
                (None, Some(character)) => (character, 2),
                (None, None) => {
                    let word = |part: Option<char>| part.is_some_and(char::is_alphanumeric);
                    let in_word = word(text.chars().next_back()) && word(rest[first.len_utf8()..].chars().next());
                    if "`*[]|~$<>&\\".contains(first) || first == '_' && !in_word {
                        active.push(first);
                    }
                    (first, first.len_utf8())
                }
            };
            text.push(character);
            rest = &rest[length..];
        }
        (text, active)
    }

    /// Text with much Markdown markup.
    fn markup() -> impl Strategy<Value = String> {
        let piece = select(vec![
            "`",
            "``",
            "*",
            "_",
            "a_b",
            "[x](http://e.test)",
            "![i](//e.test/i.png)",
            "<b>",
            "<!channel>",
            "&lt;",
            "&",
            "|",
            "\\",
            "\\|",
            "\n",
            "\r\n",
            "# ",
            "## h",
            "- ",
            "+",
            "1. ",
            "2) x",
            "> q",
            "===",
            "---",
            "    code",
            "~~~",
            "~",
            "$x$",
            "https://e.test",
            "www.e.test",
            "WWW.",
            "é",
            "日",
            " ",
            "word",
            "```\n",
            "]: ",
            "@channel",
            ":---",
        ]);
        prop_oneof![vec(piece, 1..8).prop_map(|pieces| pieces.concat()), hostile_text()]
    }

    #[test]
    fn markup_is_shown_and_does_nothing() {
        fn check(text: &str, shown: &str) {
            assert_eq!(inline(text), shown, "{text:?}");
        }
        check("Set max_retries=3, then run daily-etl.", "Set max_retries=3, then run daily-etl.");
        check("<!channel> & <img src=x>", "&lt;!channel&gt; &amp; &lt;img src=x&gt;");
        check("[click](https://e.test)", r"\[click\](https\://e.test)");
        check("![i](x)", r"!\[i\](x)");
        check("www.e.test", r"www\.e.test");
        check("a | b `c` *d* _e_ ~f~ $g$", r"a \| b \`c\` \*d\* \_e\_ \~f\~ \$g\$");
        check("# no heading", r"\# no heading");
        check("- no list", r"\- no list");
        check("12. no list", r"12\. no list");
        check("1) no list", r"1\) no list");
        check("3.5 s", r"3\.5 s");
        check("===", r"\===");
        check("    no code", "no code");
        check("one\ntwo", r"one\\ntwo");
        check("\u{202e}gnp.exe", r"\\u{202e}gnp.exe");
        check("  ", "n/a");
    }

    #[test]
    fn code_is_fenced_by_more_backticks_than_it_holds() {
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code(""), "n/a");
        insta::assert_snapshot!(fenced("one\n```\n\ttwo\r\n````rm\u{1b}\n", "  "), @r"
          `````text
          one
          ```
              two
          ````rm\u{1b}
          `````
        ");
    }

    proptest! {
        #[test]
        fn a_reader_sees_the_text_as_it_was_given(text in markup()) {
            let shown = inline(&text);
            assert_safe(&shown);
            prop_assert!(!shown.contains('\n'));
            let (read, active) = unescaped(&shown);
            prop_assert_eq!(active, Vec::<char>::new(), "{}", shown);
            let expected = line(&text);
            let expected = expected.trim_matches(' ');
            prop_assert_eq!(read, if expected.is_empty() { NA } else { expected });
            prop_assert!(!shown.replace("\\://", "").contains("://") && !shown.to_lowercase().contains("www."), "{}", shown);
            prop_assert!(!shown.starts_with(['#', '-', '+', '=', ':', '>', ' ']), "{}", shown);
            let number = shown.trim_start_matches(|c: char| c.is_ascii_digit());
            prop_assert!(number.len() == shown.len() || !number.starts_with(['.', ')']), "{}", shown);
        }

        #[test]
        fn only_its_own_fence_ends_code(text in markup()) {
            let shown = code(&text);
            assert_safe(&shown);
            prop_assert!(!shown.contains('\n'));
            if shown != NA {
                let ticks = shown.len() - shown.trim_start_matches('`').len();
                let inside = shown[ticks..].strip_suffix(&"`".repeat(ticks)).unwrap();
                prop_assert!(!inside.is_empty() && !inside.starts_with('`') && !inside.ends_with('`'));
                prop_assert!(inside.split(|c| c != '`').all(|run| run.len() != ticks));
            }

            let block = fenced(&text, "  ");
            assert_safe(&block);
            let lines: Vec<&str> = block.lines().collect();
            let fence = lines.last().unwrap().trim();
            prop_assert!(lines[0].trim().strip_suffix("text") == Some(fence) && fence.len() >= 3);
            prop_assert!(lines.iter().all(|line| line.is_empty() || line.starts_with("  ")));
            prop_assert!(lines[1..lines.len() - 1].iter().all(|line| !line.contains(fence)));
        }
    }
}
