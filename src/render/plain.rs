//! Plain text for a terminal: hostile text made safe, text cut to a width, values that may be unknown.

use std::{borrow::Cow, fmt::Display};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::domain::time;

/// The text of an unknown value.
pub const NA: &str = "n/a";

/// Text made safe for one line of a terminal. Characters that move the cursor, reorder or break the line, or are invisible
/// become escapes such as `\n` or `\u{202e}`.
pub fn line(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else {
        return Cow::Borrowed(text);
    };
    let (safe, rest) = text.split_at(first);
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(safe);
    for character in rest.chars() {
        if is_unsafe(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    Cow::Owned(shown)
}

/// Controls, line and paragraph separators, bidirectional marks, and Unicode's default-ignorable code points.
///
/// Variation selectors 15 and 16 stay: they choose between the text and the emoji form of the character before.
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0d}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The width of the text on a terminal, in columns.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Text cut at a character boundary to at most `max_columns`. A cut ends in `…`.
pub fn cut(text: &str, max_columns: usize) -> Cow<'_, str> {
    if columns(text) <= max_columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = max_columns.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let mut used = 0;
    let mut end = 0;
    for (start, character) in text.char_indices() {
        used += widest(character);
        if used > room {
            break;
        }
        end = start + character.len_utf8();
    }
    let mut shown = text.get(..end).unwrap_or_default().to_owned();
    shown.push('…');
    Cow::Owned(shown)
}

/// An upper bound of a character's width: an emoji selector has no width alone, but can widen the character before it.
fn widest(character: char) -> usize {
    if character == '\u{fe0f}' { 1 } else { character.width().unwrap_or(1) }
}

/// Text cut at a character boundary so that the sum of its characters' weights is at most `most`. A cut ends in `…`.
pub fn within(text: &str, most: usize, weight: impl Fn(char) -> usize) -> Cow<'_, str> {
    let (mut used, mut end) = (0, 0);
    let room = most.checked_sub(weight('…'));
    for (start, character) in text.char_indices() {
        used += weight(character);
        if used > most {
            return room.map_or(Cow::Borrowed(""), |_| Cow::Owned(format!("{}…", &text[..end])));
        }
        if room.is_some_and(|room| used <= room) {
            end = start + character.len_utf8();
        }
    }
    Cow::Borrowed(text)
}

/// The lines that fit into `room`, then `… and N more` for the rest and the `hidden` ones. That line does not count.
pub fn fitting(
    lines: impl ExactSizeIterator<Item = String>,
    hidden: usize,
    room: usize,
    size: impl Fn(&str) -> usize,
) -> Vec<String> {
    let all = lines.len() + hidden;
    let mut used = 0;
    let mut shown: Vec<String> = lines
        .take_while(|line| {
            used += size(line);
            used <= room
        })
        .collect();
    if shown.len() < all {
        shown.push(format!("… and {} more", all - shown.len()));
    }
    shown
}

/// The value, or `n/a`. Text from outside passes [`line`] first.
pub fn na(value: Option<impl Display>) -> String {
    value.map_or_else(|| NA.to_owned(), |value| value.to_string())
}

/// Seconds as [`time::spelled`] formats them, or `n/a`.
pub fn duration(seconds: Option<f64>) -> String {
    na(seconds.and_then(time::spelled))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::example::hostile_text;

    #[test]
    fn ordinary_text_of_any_script_is_borrowed() {
        for text in ["", "daily-etl", "größer → ≥ 3 ✓", "日次処理", "مهمة", "e\u{301}", "⚠\u{fe0f} nightly", r"C:\n"]
        {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn characters_that_act_on_a_terminal_become_escapes() {
        fn check(text: &str, shown: &str) {
            assert_eq!(line(text), shown, "{text:?}");
        }
        check("a\nb\r\tc", r"a\nb\r\tc");
        check("\u{1b}[2Jgone", r"\u{1b}[2Jgone");
        check("\u{9b}31m\u{7f}\0", r"\u{9b}31m\u{7f}\u{0}");
        check("\u{202e}gnp.exe\u{202c}", r"\u{202e}gnp.exe\u{202c}");
        check("\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}", r"\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}");
        check("one\u{2028}two\u{2029}", r"one\u{2028}two\u{2029}");
        check("ad\u{200b}min\u{feff}\u{ad}", r"ad\u{200b}min\u{feff}\u{ad}");
        check("\u{e0041}", r"\u{e0041}");
    }

    #[test]
    fn a_cut_ends_in_an_ellipsis_and_never_splits_a_character() {
        fn check(text: &str, columns: usize, shown: &str) {
            assert_eq!(cut(text, columns), shown, "{text:?} in {columns}");
        }
        check("daily-etl", 9, "daily-etl");
        check("daily-etl", 8, "daily-e…");
        check("daily-etl", 1, "…");
        check("daily-etl", 0, "");
        check("日次処理", 8, "日次処理");
        check("日次処理", 6, "日次…");
        check("日次処理", 4, "日…");
        check("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…");
        check("", 0, "");
    }

    #[test]
    fn text_is_cut_where_its_weight_exceeds_the_limit() {
        fn check(text: &str, most: usize, shown: &str) {
            assert_eq!(within(text, most, char::len_utf8), shown, "{text:?} within {most}");
        }
        check("daily-etl", 9, "daily-etl");
        check("daily-etl", 8, "daily…");
        check("日次処理", 12, "日次処理");
        check("日次処理", 11, "日次…");
        check("日次", 5, "…");
        check("日次", 2, "");
        check("", 0, "");
    }

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        fn check(hidden: usize, room: usize, shown: &[&str]) {
            let lines = ["one", "two", "three"].map(str::to_owned).into_iter();
            assert_eq!(fitting(lines, hidden, room, str::len), shown, "{hidden} hidden, room {room}");
        }
        check(0, 11, &["one", "two", "three"]);
        check(4, 11, &["one", "two", "three", "… and 4 more"]);
        check(0, 10, &["one", "two", "… and 1 more"]);
        check(4, 0, &["… and 7 more"]);
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        fn check(seconds: impl Into<Option<f64>>, shown: &str) {
            let seconds = seconds.into();
            assert_eq!(duration(seconds), shown, "{seconds:?}");
        }
        check(None, "n/a");
        check(f64::NAN, "n/a");
        check(f64::INFINITY, "n/a");
        check(0.0, "0s");
        check(0.25, "<1s");
        check(1.0, "1s");
        check(59.6, "1m");
        check(869.0, "14m 29s");
        check(900.0, "15m");
        check(11_100.0, "3h 5m");
        check(187_200.0, "2d 4h");
        check(86_400.0, "1d");
        check(-12.0, "−12s");
        check(f64::MAX, "213503982334601d 7h");
    }

    #[test]
    fn unknown_is_never_empty_or_zero() {
        assert_eq!(na(None::<u8>), "n/a");
        assert_eq!(na(Some(0)), "0");
    }

    proptest! {
        #[test]
        fn escaping_is_complete_and_idempotent(text in hostile_text()) {
            let shown = line(&text);
            prop_assert!(!shown.chars().any(|c| c.is_control() || ('\u{200b}'..='\u{200f}').contains(&c)), "{shown:?}");
            prop_assert!(!shown.chars().any(|c| ('\u{2028}'..='\u{202e}').contains(&c)), "{shown:?}");
            prop_assert!(!shown.chars().any(|c| ('\u{2066}'..='\u{2069}').contains(&c)), "{shown:?}");
            prop_assert!(matches!(line(&shown), Cow::Borrowed(_)));
        }

        #[test]
        fn a_cut_never_exceeds_its_columns(text in hostile_text(), max in 0usize..40) {
            let shown = cut(&text, max);
            prop_assert!(columns(&shown) <= max, "{shown:?} is wider than {max}");
        }
    }
}
