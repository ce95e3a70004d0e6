//! The head of every HTML page: for phones too, in a light and a dark theme.

use maud::{Markup, html};

/// The elements inside `head` that all pages share.
pub fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="supported-color-schemes" content="light dark";
        title { (title) }
    }
}
