//! Texts from outside in our sentences: on one line and truncated.

/// Maximum number of characters of a name or kind.
const MAX_WORD_CHARS: usize = 120;

/// Maximum number of characters of a free text.
const MAX_TEXT_CHARS: usize = 240;

/// Maximum number of listed items before `and N more`.
const MAX_LISTED: usize = 5;

/// Returns a name on one line.
pub fn word(text: &str) -> String {
    flat(text, MAX_WORD_CHARS)
}

/// Returns a free text on one line, without a full stop at its end.
pub fn phrase(text: &str) -> String {
    let text = flat(text, MAX_TEXT_CHARS);
    text.trim_end_matches(['.', ' ']).to_owned()
}

/// Returns a kind with spaces: `run output` for `run_output`.
pub fn kind(text: &str) -> String {
    word(&text.replace('_', " "))
}

/// Joins the first few items and the number of the others.
pub fn list(items: impl IntoIterator<Item = String>, separator: &str) -> String {
    let mut items = items.into_iter();
    let shown: Vec<String> = items.by_ref().take(MAX_LISTED).collect();
    match items.count() {
        0 => shown.join(separator),
        more => format!("{}{separator}and {more} more", shown.join(separator)),
    }
}

/// Replaces all white space, including line ends, by single spaces.
fn flat(text: &str, most: usize) -> String {
    let mut flat = String::with_capacity(text.len().min(4 * most));
    for word in text.split_whitespace() {
        if !flat.is_empty() {
            flat.push(' ');
        }
        flat.push_str(word);
        if flat.len() > 4 * most {
            break;
        }
    }
    match flat.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", flat.get(..end).unwrap_or_default().trim_end()),
        None => flat,
    }
}
