//! Other people's words inside our sentences: on one line, and no longer than anybody reads.

/// A name or a kind is cut at this many characters.
const MAX_WORD_CHARS: usize = 120;

/// A free text is cut at this many characters.
const MAX_TEXT_CHARS: usize = 240;

/// So many things are listed before `and N more`.
const MAX_LISTED: usize = 5;

/// A name on one line.
pub fn word(text: &str) -> String {
    flat(text, MAX_WORD_CHARS)
}

/// A free text on one line, without a full stop at its end.
pub fn phrase(text: &str) -> String {
    let text = flat(text, MAX_TEXT_CHARS);
    text.trim_end_matches(['.', ' ']).to_owned()
}

/// `run_output` as people say it.
pub fn kind(text: &str) -> String {
    word(&text.replace('_', " "))
}

/// The first few, and how many more there are.
pub fn list(items: impl IntoIterator<Item = String>, separator: &str) -> String {
    let mut items = items.into_iter();
    let shown: Vec<String> = items.by_ref().take(MAX_LISTED).collect();
    match items.count() {
        0 => shown.join(separator),
        more => format!("{}{separator}and {more} more", shown.join(separator)),
    }
}

/// All white space, line ends included, becomes single spaces.
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
