//! What every page begins with, whoever lays it out: for a phone, in light and dark.

use maud::{Markup, html};

/// The inside of `head`, as far as it is the same for all.
pub fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="supported-color-schemes" content="light dark";
        title { (title) }
    }
}
